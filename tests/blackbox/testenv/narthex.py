"""The server under test: a site in a temporary directory, every listener on loopback port 0."""
import json
import os
import pathlib
import subprocess

import requests
import yaml

from .process import SANITIZER, SANITIZER_ENV, Process, ProcessError

ROOT = pathlib.Path(__file__).resolve().parents[3]

# The command line and the configuration keys that tests rely on: here and nowhere else.
BINARY = pathlib.Path("src/cli/narthex")  # inside the build folder
CONFIG = "narthex.yaml"
PASSPHRASE = "correct horse battery staple, for tests only"
LISTENERS = ("dimse", "dimse_tls", "data", "management")
LOOPBACK = {"listen": {name: "127.0.0.1:0" for name in LISTENERS}}


def init_argv(site, passphrase_file):
    return ["init", "--json", "--site", site, "--passphrase-file", passphrase_file]


def serve_argv(site, passphrase_file, ready_file):
    return ["serve", "--site", site, "--passphrase-file", passphrase_file, "--ready-file", ready_file]


def find_binary(build=None):
    """In the build folder named, or in NX_BUILD, or in that of `make check`."""
    folder = pathlib.Path(build or os.environ.get("NX_BUILD") or ROOT / "build/check")
    return (folder if folder.is_absolute() else ROOT / folder) / BINARY


def find_release():
    """The release build's program: in NX_RELEASE, or where `make` puts it.  NX_RELEASE is what `make check` built."""
    return find_binary(os.environ.get("NX_RELEASE") or ROOT / "build/release")


def merge(base, changes):
    """`changes` over `base`, deep in mappings; a value of None removes its key."""
    merged = dict(base)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            old = merged.get(key)
            merged[key] = merge(old if isinstance(old, dict) else {}, value)
        else:
            merged[key] = value
    return merged


class Narthex:
    """`with Narthex(tmp_path) as nx:` makes a site, serves it, and checks its end.

    `config` is merged into the configuration that init wrote.  `binary` may be a list, when the
    server runs under another program.
    """

    def __init__(self, folder, config=None, binary=None, init_args=(), env=None, ready_seconds=90):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.site = self.folder / "site"
        self.passphrase_file = self.folder / "passphrase"
        self.ready_file = self.folder / "ready.json"
        self.log = self.folder / "narthex.log"
        binary = binary or find_binary()
        self.binary = [str(word) for word in (binary if isinstance(binary, (list, tuple)) else [binary])]
        self.config, self.init_args, self.env = config or {}, list(init_args), env or {}
        self.ready_seconds = ready_seconds
        self.process = None
        self.ports, self.ca, self.token = {}, None, None

    def cli(self, *args, check=True, seconds=120, stdin=None):
        """Run the command line; its standard output, or with check=False the finished process."""
        done = subprocess.run([*self.binary, *map(str, args)], input=stdin, stdin=None if stdin else subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=seconds, check=False,
                              env={**os.environ, **SANITIZER_ENV, **self.env})
        if SANITIZER.search(done.stderr) or (check and done.returncode):
            raise ProcessError(f"narthex {' '.join(map(str, args))}: status {done.returncode}\n{done.stderr[-6000:]}")
        return done.stdout if check else done

    def init(self):
        if not pathlib.Path(self.binary[0]).exists():
            raise ProcessError(f"{self.binary[0]} is not there: build first, or set NX_BUILD to the build folder")
        self.passphrase_file.write_text(PASSPHRASE + "\n")
        self.passphrase_file.chmod(0o600)
        made = json.loads(self.cli(*init_argv(self.site, self.passphrase_file), *self.init_args))
        self.token = made["admin_token"]
        self.configure(merge(LOOPBACK, self.config))
        return self

    def configure(self, changes):
        """Change the configuration file; the server reads it when it starts next."""
        path = self.site / CONFIG
        path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text()) or {}, changes), sort_keys=False))

    def start(self):
        self.ready_file.unlink(missing_ok=True)
        argv = [*self.binary, *serve_argv(self.site, self.passphrase_file, self.ready_file)]
        self.process = Process(argv, self.log, env=self.env)
        ready = self.process.wait_ready(self._ready, self.ready_seconds)
        self.ports, self.ca = ready["ports"], ready.get("ca")
        return self

    def _ready(self):
        try:
            return json.loads(self.ready_file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def stop(self, **kwargs):
        if self.process:
            process, self.process = self.process, None
            process.stop(**kwargs)

    def kill(self):
        process, self.process = self.process, None
        process.kill()

    def restart(self):
        self.stop()
        return self.start()

    def url(self, path="/", listener="data"):
        return f"https://127.0.0.1:{self.ports[listener]}{path}"

    def session(self, token=None):
        """A requests session that trusts the site's certificate and is its administrator."""
        session = requests.Session()
        session.trust_env = False
        session.verify = self.ca
        session.headers["Authorization"] = f"Bearer {token or self.token}"
        return session

    def __enter__(self):
        try:
            return self.init().start()
        except BaseException:
            if self.process:
                self.process.child.kill()
                self.process.wait_exit(30)
            raise

    def __exit__(self, kind, value, trace):
        if not self.process:
            return
        if kind is None:
            self.stop()
            return
        try:  # the test failed already: its own error is the one to show, with the log's end
            self.stop()
        except ProcessError as error:
            raise error from value
