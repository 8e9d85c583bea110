"""A child process with a log, a deadline for everything, and no mercy for sanitizer reports."""
import atexit
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

SANITIZER = re.compile(r"ERROR: AddressSanitizer|ERROR: LeakSanitizer|LeakSanitizer: detected|runtime error:"
                       r"|WARNING: ThreadSanitizer|AddressSanitizer:DEADLYSIGNAL|Assertion `.*' failed")
# A report ends the process with a status of its own, and a crash keeps its stack.
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:abort_on_error=0:handle_segv=2",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
    "TSAN_OPTIONS": "exitcode=99",
}


class ProcessError(AssertionError):
    """A peer did not start, did not stop, or ended as it must not."""


class Deadline:
    """`while deadline.wait("what"):` polls until the caller breaks out, and fails past the end."""

    def __init__(self, seconds, step=0.02):
        self.end = time.monotonic() + seconds
        self.seconds, self.step = seconds, step

    def wait(self, what):
        if time.monotonic() > self.end:
            raise ProcessError(f"{what}: not within {self.seconds} s")
        time.sleep(self.step)
        return True


def free_port():
    """For peers that cannot report which port 0 became: free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def listening(port):
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """One child.  stop() is the orderly end and checks it; kill() is the power cord."""

    running = set()

    def __init__(self, argv, log, env=None, cwd=None):
        self.name = pathlib.Path(str(argv[0])).name
        self.log = pathlib.Path(log)
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          cwd=cwd, env={**os.environ, **SANITIZER_ENV, **(env or {})})
        Process.running.add(self)

    @property
    def pid(self):
        return self.child.pid

    @property
    def alive(self):
        return self.child.poll() is None

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def error(self, what):
        return ProcessError(f"{self.name}: {what}\n--- end of {self.log.name}\n{self.text()[-6000:]}")

    def check_log(self):
        if SANITIZER.search(self.text()):
            raise self.error("sanitizer report")

    def wait_ready(self, ready, seconds=60):
        """Poll `ready()` until it returns something true, which is returned."""
        deadline = Deadline(seconds)
        while True:
            if not self.alive:
                raise self.error(f"ended with status {self.child.returncode} before it was ready")
            found = ready()
            if found:
                return found
            deadline.wait(f"{self.name} ready")

    def wait_listening(self, port, seconds=60):
        self.wait_ready(lambda: listening(port), seconds)
        return self

    def wait_exit(self, seconds):
        try:
            status = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise self.error(f"did not end within {seconds} s") from None
        finally:
            Process.running.discard(self)
        return status

    def stop(self, seconds=30, clean=(0,)):
        """SIGTERM; any status but those in `clean`, and any sanitizer report, fails the test."""
        was_alive = self.alive
        if was_alive:
            self.child.send_signal(signal.SIGTERM)
        status = self.wait_exit(seconds)
        self.check_log()
        if status not in clean:
            raise self.error(f"ended with status {status}" + ("" if was_alive else " on its own"))

    def kill(self):
        """SIGKILL, by pid.  A report written before that still fails the test."""
        if self.alive:
            self.child.kill()
        self.wait_exit(30)
        self.check_log()

    def rss_bytes(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def peak_rss_bytes(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    def peak_rss_reset(self):
        """From here on the peak is that of what follows (proc(5), clear_refs)."""
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def threads(self):
        """Its own; not those that the kernel lends it for io_uring."""
        def name(task):
            try:
                return (task / "comm").read_text()
            except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
                return "iou-"
        return sum(not name(task).startswith("iou-") for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir())

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@atexit.register
def _leave_nothing_running():
    for process in list(Process.running):
        if process.alive:
            process.child.kill()
