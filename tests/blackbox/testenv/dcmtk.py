"""DCMTK's tools as clients and as a discarding peer."""
import os
import pathlib
import re
import subprocess
import tempfile

from .process import Process, ProcessError, free_port

# Debian builds DCMTK with Nagle's algorithm on; with delayed ACKs that costs 40 ms a message.
TUNED = {"TCP_NODELAY": "1"}


class Dcmtk:
    """`env={}` gives the tools as they come; TLS options are passed through `extra`."""

    def __init__(self, port, host="127.0.0.1", aec="NARTHEX", aet="TESTENV", env=None, seconds=300):
        self.host, self.port, self.aec, self.aet = host, port, aec, aet
        self.env = TUNED if env is None else env
        self.seconds = seconds

    def run(self, argv, check=True, env=None):
        done = subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=self.seconds, check=False,
                              env={**os.environ, **(self.env if env is None else env)})
        if check and done.returncode:
            raise ProcessError(f"{argv[0]}: status {done.returncode}\n{done.stdout[-4000:]}")
        return done

    def _peer(self):
        return ["-aet", self.aet, "-aec", self.aec]

    def echoscu(self, *extra, check=True):
        return self.run(["echoscu", *extra, *self._peer(), self.host, self.port], check)

    def storescu(self, paths, *extra, check=True):
        """Files and folders (searched to the bottom), one association."""
        return self.run(self.storescu_argv(paths, *extra), check)

    def storescu_argv(self, paths, *extra):
        return ["storescu", "-xe", *extra, *self._peer(), "+sd", "+r", self.host, self.port, *paths]

    def findscu(self, keys, *extra, model="-S"):
        """The answers as pydicom data sets; `keys` as on findscu's command line ("PatientID=X")."""
        import pydicom
        with tempfile.TemporaryDirectory() as folder:
            args = [word for key in keys for word in ("-k", key)]
            self.run(["findscu", model, *extra, *self._peer(), "-X", "-od", folder, *args, self.host, self.port])
            return [pydicom.dcmread(path, force=True) for path in sorted(pathlib.Path(folder).glob("rsp*.dcm"))]

    def getscu(self, keys, folder, *extra, check=True):
        """C-GET as study root; received files are in `folder`, bit for bit."""
        args = [word for key in keys for word in ("-k", key)]
        argv = ["getscu", "-S", "+B", *extra, *self._peer(), *args, "-od", folder, self.host, self.port]
        return self.run(argv, check)

    def movescu(self, keys, destination, *extra, check=True):
        args = [word for key in keys for word in ("-k", key)]
        return self.run(["movescu", "-S", *extra, *self._peer(), "-aem", destination, *args, self.host, self.port],
                        check)

    @staticmethod
    def dcmdump(path, *extra, check=True):
        done = subprocess.run(["dcmdump", *extra, str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=60, check=False)
        if check and done.returncode:
            raise ProcessError(f"dcmdump {path}: status {done.returncode}\n{done.stderr[-4000:]}")
        return done.stdout

    @staticmethod
    def version():
        text = subprocess.run(["storescu", "--version"], capture_output=True, text=True, check=False).stdout
        return re.search(r"v(\S+)", text)[1]


class StoreScp:
    """storescp as a receiver that keeps (`folder`) or discards what it gets."""

    def __init__(self, log, folder=None, env=None, extra=()):
        self.log, self.folder, self.extra = log, folder, list(extra)
        self.env = TUNED if env is None else env
        self.port = free_port()
        self.process = None

    def __enter__(self):
        keep = ["+B", "-od", self.folder] if self.folder else ["--ignore"]
        argv = ["storescp", *keep, *self.extra, "--fork", self.port]
        self.process = Process(argv, self.log, env=self.env).wait_listening(self.port)
        return self

    def __exit__(self, *_):
        self.process.kill()  # it has no orderly end
