"""What every phase of tools/check is made of: running, building, counting."""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RELEASE = ROOT / "build/check-release"
PYTHON = "/usr/bin/python3"
# Seconds each part may take; together they stay within the 25 minutes of `make check`.
LIMIT_BUILD, LIMIT_MESON, LIMIT_BLACKBOX, LIMIT_CRASH = 400, 480, 1200, 360
LIMIT_LONG = 7200
FAST_SUITES = ("--no-suite", "long", "--no-suite", "crash")
CRASH_SUITE = ("--suite", "crash")
TAP_LINE = re.compile(r"^\s*(not )?ok\b(?:\s+\d+)?\s*(?:-\s*)?(.*)$")
TAP_SKIP = re.compile(r"#\s*skip", re.I)

under = []  # put before every build, test and fuzzer: `nice -n 19`, a lock


class Tally:
    """What passed, failed and was skipped, and how long each part took."""

    def __init__(self):
        self.passed = 0
        self.failed = []  # (name, output)
        self.skipped = []
        self.parts = []  # (name, seconds)

    def fail(self, name, output=""):
        self.failed.append((name, output))

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.parts += other.parts

    def count(self):
        return f"{self.passed} passed, {len(self.failed)} failed"

    def add_tap(self, name, stdout):
        """Count the inner tests of one program; returns how many of them failed."""
        failed = 0
        for line in stdout.splitlines():
            found = TAP_LINE.match(line)
            if not found:
                continue
            if TAP_SKIP.search(found[2]):
                self.skipped.append(f"{name}: {found[2]}")
            elif found[1]:
                failed += 1
                self.fail(f"{name}: {found[2]}")
            else:
                self.passed += 1
        return failed


def run(command, limit, env=None, bare=False):
    """Exit status (124 past the limit) and output.  Past the limit everything it started is killed."""
    sys.stdout.flush()
    with subprocess.Popen([*([] if bare else under), *map(str, command)], cwd=ROOT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          start_new_session=True, env={**os.environ, **(env or {})}) as child:
        try:
            output, _ = child.communicate(timeout=limit)
            return child.returncode, output.decode(errors="replace")
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            output, _ = child.communicate()
            return 124, output.decode(errors="replace") + f"\nover its limit of {limit} s"


def part(tally, name, fn, *args, **options):
    """One timed step of a phase."""
    print(f"== {name}", flush=True)
    start = time.monotonic()
    good = fn(tally, *args, **options)
    tally.parts.append((name, time.monotonic() - start))
    return good


def command(tally, name, argv, limit):
    rc, output = run(argv, limit)
    if rc:
        tally.fail(name, output[-8000:])
    else:
        tally.passed += 1
    return rc == 0


def each(tally, jobs, names, argv_of, what, limit=600):
    """The same tool over many files, `jobs` at a time."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=jobs) as pool:
        for name, (rc, output) in zip(names, pool.map(lambda n: run(argv_of(n), limit), names)):
            if rc:
                tally.fail(f"{what} {pathlib.Path(name).relative_to(ROOT)}", output[-4000:])
            else:
                tally.passed += 1


def build(tally, folder, jobs, cc, options, limit=LIMIT_BUILD, targets=()):
    """Configure (anew where an earlier run was cut short) and compile."""
    setup = ["meson", "setup", str(folder), *options]
    if (folder / "meson-private/coredata.dat").exists():
        setup.append("--reconfigure" if (folder / "build.ninja").exists() else "--wipe")
    for argv in (setup, ["ninja", "-C", str(folder), "-j", str(jobs), *targets]):
        rc, output = run(argv, limit, env={"CC": cc})
        if rc:
            tally.fail(f"build {folder.name}: {argv[0]}", output[-6000:])
            return False
    return True


def meson_tests(tally, folder, jobs, limit=LIMIT_MESON, suites=FAST_SUITES, env=None):
    """Unit tests, style and fuzz replay.  cmocka programs speak TAP, so their inner tests count."""
    log = folder / "meson-logs/testlog.json"
    log.unlink(missing_ok=True)
    # Each test under what all is to be under, for which it may have to wait.
    each_under = ["--wrapper", shlex.join(under), "--timeout-multiplier", "10"] if under else []
    rc, output = run(["meson", "test", "-C", str(folder), "--no-rebuild", "--num-processes", str(jobs),
                      *each_under, *suites], limit, env, bare=True)
    before = len(tally.failed)
    for line in log.read_text().splitlines() if log.exists() else ():
        meson_test(tally, json.loads(line))
    if rc and len(tally.failed) == before:
        tally.fail(f"meson test (status {rc})", output[-6000:])
    return rc == 0


def meson_test(tally, test):
    name, stdout = test["name"], test.get("stdout", "")
    bad = test["result"] not in ("OK", "SKIP")
    inner_failed = 0
    if re.search(r"^1\.\.\d+", stdout, re.M):
        inner_failed = tally.add_tap(name, stdout)
    elif test["result"] == "SKIP":
        tally.skipped.append(name)
    elif not bad:
        tally.passed += 1
    if bad:  # also a crash or a leak report after the last inner test
        text = (stdout + test.get("stderr", ""))[-6000:]
        if inner_failed:
            tally.failed[-1] = (tally.failed[-1][0], text)
        else:
            tally.fail(f"{name} ({test['result']}, status {test.get('returncode')})", text)


def pytest(tally, folder, where, limit, env=None, at_once=1):
    """One folder of pytest files, `at_once` side by side, against the binaries in `folder` and in its release build."""
    report = folder / f"junit-{where.name}.xml"
    report.unlink(missing_ok=True)
    spread = ["-n", str(at_once), "--dist", "loadfile"] if at_once > 1 else []
    rc, output = run([PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", *spread, f"--junitxml={report}",
                      str(where)],
                     limit, env={"NX_BUILD": str(folder), "NX_RELEASE": str(RELEASE), "PYTHONDONTWRITEBYTECODE": "1",
                                 "NX_DICOM_DUMP": str(folder / "tests/unit/nx_dicom_dump"),
                                 "NX_DICOMWEB_SERVE": str(folder / "tests/tools/dicomweb_serve"),
                                 "ASAN_OPTIONS": "handle_segv=2:detect_leaks=1:abort_on_error=0:exitcode=99",
                                 "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1", **(env or {})})
    before = len(tally.failed)
    for case in ET.parse(report).iter("testcase") if report.exists() else ():
        name = f"{where.name}/{case.get('classname')}.{case.get('name')}"
        bad = [child for child in case if child.tag in ("failure", "error")]
        skip = case.find("skipped")
        if bad:
            tally.fail(name, (bad[0].text or bad[0].get("message") or "")[-6000:])
        elif skip is not None:
            tally.skipped.append(f"{name}: {skip.get('message')}")
        else:
            tally.passed += 1
    if rc and len(tally.failed) == before:
        tally.fail(f"pytest {where.name} (status {rc})", output[-6000:])
    return rc == 0


def missing_tools(tally, tools):
    for tool in tools:
        if not shutil.which(tool):
            tally.fail(f"{tool} is not installed", "run tools/install-deps")
    return bool(tally.failed)


def short(tally, args):
    """What `make check` does."""
    folder = ROOT / "build/check"
    if not part(tally, "build with gcc, ASan and UBSan", build, folder, args.jobs, "gcc",
                ["-Db_sanitize=address,undefined", "-Dwerror=true"]):
        return
    # Where memory or time is measured, instrumented code says nothing.
    part(tally, "build for release, without tests", build, RELEASE, args.jobs, "gcc",
         ["--buildtype=release", "-Db_pie=true", "-Dtests=false", "-Dwerror=true"])
    part(tally, "unit, style, fuzz replay", meson_tests, folder, args.jobs)
    part(tally, "power cuts, faults, damage", meson_tests, folder, args.jobs, LIMIT_CRASH, CRASH_SUITE)
    part(tally, "black box", pytest, folder, ROOT / "tests/blackbox", LIMIT_BLACKBOX, at_once=args.jobs)
    part(tally, "kills", pytest, folder, ROOT / "tests/crash", LIMIT_CRASH)
