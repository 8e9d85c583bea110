"""What all benchmarks share: warm memory, alternating order, a table, and the `ratio` lines.

A benchmark never judges its figures: it ends with status 1 only when it could not measure.
"""
import argparse
import dataclasses
import hashlib
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/blackbox"))
from testenv import ProcessError, phantom  # noqa: E402

WORK = ROOT / "build/bench"
PACKAGES = ("dcmtk", "orthanc", "orthanc-dicomweb", "nginx-light", "wrk", "curl", "libgnutls30", "libipsec-mb1")
COMMAND_MAX = 600
DISK_LEAVE = 5_000_000_000
FOREIGN_CPU = 0.15  # above this share of the machine a run is marked


class CannotMeasure(Exception):
    """The figure would be wrong, so there is none."""


def meminfo(key):
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


class WarmMemory:
    """Keeps free memory filled with page cache.

    A hypervisor takes free pages back, and the first touch of such a page costs more than anything
    measured here.  Reading a file of holes fills the cache without touching the disk; the kernel
    gives those pages out as they are needed.
    """

    LEAVE = 512 << 20
    PIECE = 8 << 20

    def __init__(self):
        WORK.mkdir(parents=True, exist_ok=True)
        self.file = tempfile.TemporaryFile(dir=WORK)
        self.size = meminfo("MemTotal")
        self.file.truncate(self.size)
        self.buffer = bytearray(self.PIECE)

    def fill(self):
        at = 0
        while at < self.size and meminfo("MemFree") > self.LEAVE:
            os.preadv(self.file.fileno(), [self.buffer], at)
            at += self.PIECE

    def close(self):
        self.file.close()


def busy_share(seconds=0.5):
    """Share of the machine that others use just now."""
    def sample():
        fields = [int(f) for f in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]
    total, idle = sample()
    time.sleep(seconds)
    total2, idle2 = sample()
    return 1 - (idle2 - idle) / max(1, total2 - total)


def versions():
    lines = [f"machine: {os.cpu_count()} CPUs, {meminfo('MemTotal') >> 30} GiB, Linux {platform.release()}"]
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            lines.append("cpu: " + line.split(":", 1)[1].strip())
            break
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True,
                            check=False).stdout.strip()
    lines.append(f"narthex: {commit or 'unknown'}")
    for package in PACKAGES:
        found = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True,
                               check=False)
        if found.returncode == 0:
            lines.append(f"{package}: {found.stdout}")
    return lines


class Record:
    """What one run did: filled by clients and peers while it lasts, printed by Bench."""

    def __init__(self):
        self.commands, self.verified, self.seconds, self.peak_rss = [], [], 0.0, 0

    def command(self, who, argv):
        line = re.sub(r"Bearer \S+", "Bearer ...", " ".join(str(word) for word in argv))
        line = f"{who}: {line if len(line) <= COMMAND_MAX else line[:COMMAND_MAX] + ' ...'}"
        if line not in self.commands:
            self.commands.append(line)

    def begin(self):
        self.commands, self.verified, self.seconds = [], [], 0.0


RECORD = Record()


def tool(build, name):
    """A program of tests/tools, built when it is not up to date."""
    target = f"tests/tools/{name}"
    made = subprocess.run(["ninja", "-C", ROOT / build, target], capture_output=True, text=True, check=False)
    if made.returncode:
        raise CannotMeasure(f"build {target}: {made.stdout[-800:]}{made.stderr[-800:]}")
    return ROOT / build / target


def need_disk(what, size):
    """Refuse what would fill the disk half way."""
    WORK.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(WORK).free
    if free < size + DISK_LEAVE:
        raise CannotMeasure(f"{what} needs {size / 1e9:.0f} GB and {DISK_LEAVE / 1e9:.0f} GB must stay free; "
                            f"{free / 1e9:.0f} GB are")


@dataclasses.dataclass
class Data:
    """Files on disk, made once, and what identifies them."""
    plan: phantom.Plan
    folder: pathlib.Path
    files: list
    bytes: int
    digest: str

    def studies(self):
        return sorted(self.folder.iterdir())

    def shares(self, n):
        """The studies, dealt out to `n` senders; with fewer than senders, the series, or the files."""
        parts = self.studies()
        while len(parts) < n:
            if not parts[0].is_dir():
                raise CannotMeasure(f"{self.folder.name}: too few files for {n} senders")
            parts = sorted(p for folder in parts for p in folder.iterdir())
        return [parts[i::n] for i in range(n)]

    def read_once(self):
        """Into the page cache, so that no run pays for the disk of its client."""
        for path in self.files:
            path.read_bytes()


def data(plan):
    """The plan's files under build/bench/data, written when they are not there."""
    changed = {field.name: getattr(plan, field.name) for field in dataclasses.fields(plan)
               if getattr(plan, field.name) != field.default}
    folder = WORK / "data" / "-".join([plan.kind, *(f"{name}{value}" for name, value in changed.items()
                                                    if name != "kind")])
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        phantom.write(plan, partial)
        partial.rename(folder)
    files = sorted(folder.rglob("*.dcm"))
    if len(files) != plan.instances:
        raise CannotMeasure(f"{folder} has {len(files)} files instead of {plan.instances}: remove it")
    digest = hashlib.sha256()
    size = 0
    for path in files:
        content = path.read_bytes()
        digest.update(hashlib.sha256(content).digest())
        size += len(content)
    return Data(plan, folder, files, size, digest.hexdigest()[:16])


def new_folder(name):
    WORK.mkdir(parents=True, exist_ok=True)
    return pathlib.Path(tempfile.mkdtemp(prefix=name + "-", dir=WORK))


class Bench:
    """Runs contestants in alternating order and reports them.

    `compare(name, ours, peer)`: both are callables that return a rate (higher is better); either
    sets up, measures, and clears away by itself.
    """

    def __init__(self, args):
        self.rounds, self.side = args.rounds, args.side
        self.warm = None if args.cold else WarmMemory()
        self.rows, self.ratios, self.failures = [], [], []

    def _once(self, name, side, measure, unit, show):
        os.sync()
        if self.warm:
            self.warm.fill()
        foreign = busy_share() > FOREIGN_CPU
        RECORD.begin()
        rate = measure()
        if show:
            for line in RECORD.commands + RECORD.verified:
                print(f"  {name} {side} {line}")
        took = f" in {RECORD.seconds:.3f} s" if RECORD.seconds else ""
        print(f"  {name} {side} {rate:.1f} {unit}{took}{' (others busy)' if foreign else ''}", flush=True)
        return rate, foreign

    def compare(self, name, ours, peer, unit, less_is_better=False):
        """The ratio is ours to the peer's, or the other way round where less is better."""
        sides = [(side, run) for side, run in (("narthex", ours), ("peer", peer)) if self.side in ("both", side)]
        found = {side: [] for side, _ in sides}
        noisy = {side: 0 for side, _ in sides}
        for turn in range(self.rounds):
            for side, measure in sides if turn % 2 == 0 else reversed(sides):
                rate, foreign = self._once(name, side, measure, unit, turn == 0)
                found[side].append(rate)
                noisy[side] += foreign
        for side, rates in found.items():
            self.row(name, side, rates, unit, noisy[side])
        if self.side == "both":
            ours, peer = (statistics.median(found[side]) for side in ("narthex", "peer"))
            self.ratio(name, peer / ours if less_is_better else ours / peer)

    def alone(self, name, ours, unit):
        """A figure without a peer: its ratio is the median itself."""
        found = [self._once(name, "narthex", ours, unit, turn == 0) for turn in range(self.rounds)]
        values = [value for value, _ in found]
        self.row(name, "narthex", values, unit, sum(foreign for _, foreign in found))
        self.ratio(name, statistics.median(values))

    def row(self, name, side, values, unit, noisy=0):
        self.rows.append((name, side, min(values), statistics.median(values), max(values), unit, noisy, len(values)))

    def ratio(self, name, number):
        """A last line, also for a figure that has no peer."""
        self.ratios.append((name, number))

    def could_not(self, name, error):
        print(f"could not measure {name}: {error}", file=sys.stderr, flush=True)
        self.failures.append(name)

    def report(self):
        print(f"\n{'measure':28} {'side':8} {'min':>10} {'median':>10} {'max':>10}  unit")
        for name, side, low, middle, high, unit, noisy, runs in self.rows:
            mark = f"  ({noisy} of {runs} runs with others busy)" if noisy else ""
            print(f"{name:28} {side:8} {low:10.1f} {middle:10.1f} {high:10.1f}  {unit}{mark}")
        if RECORD.peak_rss:
            print(f"highest resident set of narthex: {RECORD.peak_rss / 1e6:.1f} MB")
        for name in self.failures:
            print(f"could not measure {name}")
        for name, ratio in self.ratios:
            print(f"ratio {name} {ratio:.3f}")


def main(description, measures, run, defaults, rounds=5):
    """Command line of one benchmark: `run(bench, args, name)` for every measure chosen."""
    parse = argparse.ArgumentParser(description=description)
    parse.add_argument("--only", action="append", choices=measures, help="this measure; may be repeated")
    parse.add_argument("--rounds", type=int, default=rounds)
    parse.add_argument("--side", choices=("both", "narthex", "peer"), default="both",
                       help="leave the other out: no ratios then")
    parse.add_argument("--cold", action="store_true", help="do not warm memory first (faster to start, worthless)")
    parse.add_argument("--build", default="build/release", help="build folder of the server")
    for name, (default, text) in defaults.items():
        parse.add_argument(f"--{name}", type=type(default), default=default, help=f"{text} ({default})")
    args = parse.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what it started ends with it
    bench = Bench(args)
    print("\n".join(versions()), flush=True)
    try:
        for name in args.only or measures:
            try:
                run(bench, args, name)
            except (CannotMeasure, ProcessError, OSError, subprocess.SubprocessError) as error:
                bench.could_not(name, error)
    finally:
        if bench.warm:
            bench.warm.close()
    bench.report()
    if args.cold:
        print("memory was not warmed: the figures are for trying things out")
    return 1 if bench.failures else 0
