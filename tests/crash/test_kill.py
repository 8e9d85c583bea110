"""kill -9 at random moments: what was answered before is there afterwards.

The worker prints a line after each answer; the line is in the pipe when the process is gone.
NX_CRASH_ROUNDS kills (50), NX_CRASH_SEED chooses the moments.
"""
import os
import pathlib
import random
import re
import signal
import subprocess
import threading
import time

import pytest

WORKER = pathlib.Path(os.environ.get("NX_BUILD", "build")) / "tests/crash/crash_worker"
ROUNDS = int(os.environ.get("NX_CRASH_ROUNDS", "50"))
SEED = int(os.environ.get("NX_CRASH_SEED", "1"))
THREADS = 4
CHECK_EVERY = 10
DEADLINE_S = 60


def write_and_kill(site, run, delay):
    """Lines that the worker printed until it was killed, `delay` seconds after the first of them."""
    lines = []
    begun = threading.Event()
    with subprocess.Popen([WORKER, "write", site, str(run), str(THREADS)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as child:
        def read():
            for line in child.stdout:
                lines.append(line)
                begun.set()
            begun.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert begun.wait(DEADLINE_S), "the worker did not start"
        time.sleep(delay)
        early = child.poll()
        child.send_signal(signal.SIGKILL)
        reader.join()
        child.stdout = None
        errors = child.stderr.read()
        child.wait()
    assert early is None, f"the worker ended by itself: {errors[-3000:]}"
    return [line for line in lines if line.endswith("\n")]


def checked(site, lines):
    return subprocess.run([WORKER, "check", site], input="".join(lines), capture_output=True, text=True,
                          timeout=DEADLINE_S, check=False)


def check(site, lines):
    done = checked(site, lines)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


@pytest.mark.skipif(not WORKER.exists(), reason="crash_worker is not built")
def test_what_was_answered_survives_kill_9(tmp_path):
    dice = random.Random(SEED)
    site, lines = tmp_path / "site0", []
    site.mkdir()
    for run in range(ROUNDS):
        lines += write_and_kill(site, run, dice.random() * 0.2)
        if run % CHECK_EVERY == CHECK_EVERY - 1 or run == ROUNDS - 1:
            check(site, lines)
            site, lines = tmp_path / f"site{run + 1}", []
            site.mkdir()


@pytest.mark.skipif(not WORKER.exists(), reason="crash_worker is not built")
def test_the_check_sees_an_answer_without_its_change(tmp_path):
    """The test of the test: a line that the worker would have printed too early."""
    site = tmp_path / "site"
    site.mkdir()
    lines = write_and_kill(site, 0, 0.1)
    early = re.sub(r"^(\d+-\d+)-\d+ ", r"\1-999999 ", lines[-1])
    done = checked(site, [*lines, early])
    assert done.returncode == 1 and "lost: " in done.stdout, done.stdout + done.stderr
