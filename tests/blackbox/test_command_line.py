"""What a command shows to others while it runs, and what it leaves when it is cut short."""
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess

import pytest
from testenv import Deadline, Narthex
from testenv.narthex import PASSPHRASE, find_binary, init_argv
from testenv.process import SANITIZER_ENV

SECRET = "PATIENT-4711"
MARK = "init.unfinished"


@pytest.fixture
def silent(tmp_path):
    """A site whose socket takes connections and never says a word."""
    (tmp_path / "narthex.yaml").touch()
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "run/narthex.sock"))
        sock.listen(8)
        yield tmp_path


@contextlib.contextmanager
def running(*args):
    child = subprocess.Popen([find_binary(), *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env={**os.environ, **SANITIZER_ENV})
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def arguments(child):
    return pathlib.Path(f"/proc/{child.pid}/cmdline").read_bytes().rstrip(b"\0").decode().split("\0")


@pytest.mark.parametrize("command, args", [
    (["erase"], ["--patient", SECRET, "--collection", "clinical", "--reason", "x", "--yes"]),
    (["find"], ["study", "PatientID=" + SECRET]),
    (["who-saw"], ["--patient=" + SECRET]),
    (["put"], ["--collection", "clinical", "--patient", SECRET, "-", "report/" + SECRET]),
])
def test_what_names_a_patient_is_not_in_the_list_of_processes(silent, command, args):
    with running(*command, *args, "--site", silent) as child:
        deadline = Deadline(60)
        while arguments(child)[1:1 + len(command)] != command or any(SECRET in word for word in arguments(child)):
            assert child.poll() is None
            deadline.wait("arguments are hidden")
        with pytest.raises(subprocess.TimeoutExpired):  # it still waits for an answer
            child.wait(1)


def cut_short(folder):
    """A site whose init was killed when the first key was there."""
    passphrase = folder / "passphrase"
    passphrase.write_text(PASSPHRASE + "\n")
    passphrase.chmod(0o600)
    site = folder / "site"
    with running(*init_argv(site, passphrase)) as child:
        deadline = Deadline(60, step=0.001)
        while not (site / "keys1").exists():
            assert child.poll() is None
            deadline.wait("a key place")
    assert (site / MARK).exists()
    return site, passphrase


def run(*args):
    return subprocess.run([find_binary(), *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False, env={**os.environ, **SANITIZER_ENV})


def test_an_init_that_was_cut_short_says_what_to_do(tmp_path):
    site, passphrase = cut_short(tmp_path)
    offline = ["--site", site, "--passphrase-file", passphrase]
    for argv in (init_argv(site, passphrase), ["fsck", *offline], ["serve", *offline]):
        done = run(*argv)
        assert done.returncode == 7
        assert "not finished" in done.stderr and "remove" in done.stderr
    shutil.rmtree(site)
    done = run(*init_argv(site, passphrase))
    assert done.returncode == 0 and json.loads(done.stdout)["admin_token"]
    assert not (site / MARK).exists()


@pytest.mark.parametrize("left", ["keys1", "keys2", "pool"])
def test_init_touches_nothing_that_may_be_of_another_site(tmp_path, left):
    with Narthex(tmp_path / "nx") as nx:
        nx.stop()
        for path in list(nx.site.iterdir()):
            if path.name != left:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        before = sorted((path, path.read_bytes()) for path in nx.site.rglob("*") if path.is_file())
        done = run(*init_argv(nx.site, nx.passphrase_file))
        assert done.returncode == 7 and "another site" in done.stderr
        assert before == sorted((path, path.read_bytes()) for path in nx.site.rglob("*") if path.is_file())


def test_help_is_printed_and_nothing_else():
    done = subprocess.run([find_binary(), "help"], capture_output=True, text=True, check=True,
                          env={**os.environ, **SANITIZER_ENV})
    assert "narthex COMMAND" in done.stdout and not done.stderr


def test_a_closed_standard_stream_is_no_other_file(silent):
    """What is printed would go into the first file or socket that is opened."""
    shell = f'exec "$0" status --site {silent} <&- >&- 2>&-'
    with subprocess.Popen(["/bin/sh", "-c", shell, find_binary()], env={**os.environ, **SANITIZER_ENV}) as child:
        try:
            deadline = Deadline(10)
            while not any(link.startswith("socket:") for link in links(child)):
                deadline.wait("it asks the site")
            assert [os.readlink(f"/proc/{child.pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
        finally:
            child.kill()


def links(child):
    """What its descriptors are; one that it closes meanwhile is left out."""
    found = []
    for fd in pathlib.Path(f"/proc/{child.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(fd))
    return found
