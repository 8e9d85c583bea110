"""Logs under docs/evidence/: one file a phase, readable by itself, without names of machines or people."""
import datetime
import os
import pathlib
import platform
import re
import subprocess

from checks.core import ROOT

FOLDER = ROOT / "docs/evidence"
KEPT_FAILURES = 20


def output_of(*argv):
    """What a command prints; nothing where it fails or is not there."""
    try:
        return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def commit():
    changed = output_of("git", "status", "--porcelain", "--", ".", ":!docs/evidence")
    return (output_of("git", "rev-parse", "--short=12", "HEAD") or "unknown") + ("+changes" if changed else "")


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def machine():
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) / 2**20
    system = re.search(r'PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text())
    kernel = ".".join(platform.release().split(".")[:2])
    return (f"{os.cpu_count()} cores of {model[1] if model else platform.machine()}, {memory:.0f} GiB, "
            f"Linux {kernel}, {system[1] if system else 'unknown'}")


def versions(tools):
    found = []
    for tool in tools:
        number = re.search(r"\d+\.\d+(?:\.\d+)?", output_of(tool, "--version"))
        found.append(f"{tool} {number[0] if number else 'unknown'}")
    return ", ".join(found)


def head(title, fields):
    return [title, "", *(f"{name:<12}{value}" for name, value in fields)]


def clean(text):
    return text.replace(str(ROOT) + "/", "").replace(str(ROOT), ".")


def save(name, lines):
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.log").write_text(clean("\n".join(line.rstrip() for line in lines)) + "\n")


def write(phase, tally, seconds, notes):
    """The log of a phase that is run as a whole; the last run counts."""
    lines = head(f"{phase.name}: {phase.what}", [
        ("result", "failed" if tally.failed else "passed"), ("counted", tally.count()),
        ("date", now()), ("commit", commit()), ("command", f"tools/check --long --only {phase.name}"),
        ("machine", machine()), ("versions", versions(phase.tools)), ("duration", f"{seconds:.0f} s")])
    lines += ["", *(f"{took:8.1f} s  {name}" for name, took in tally.parts)]
    lines += ["", *notes] if notes else []
    lines += [f"failed: {name}" for name, _ in tally.failed[:KEPT_FAILURES]]
    lines += [f"skipped: {name}" for name in tally.skipped]
    save(phase.name, lines)


class Series:
    """The log of a phase that is run in parts: a row a run, added up.  A row with a finding ends what was added up."""

    def __init__(self, phase, unit, want, columns):
        self.phase, self.unit, self.want = phase, unit, want
        self.columns = ("date", "commit", unit, *columns, "findings")
        self.rows = self.load()

    def load(self):
        path = FOLDER / f"{self.phase.name}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        rows = [line.split() for line in lines if re.match(r"\d{4}-\d\d-\d\dT", line)]
        return [row for row in rows if len(row) == len(self.columns)]

    def clean_rows(self):
        last = max((i for i, row in enumerate(self.rows) if row[-1] != "0"), default=-1)
        return self.rows[last + 1:]

    def done(self):
        return sum(int(row[2]) for row in self.clean_rows())

    def add(self, amount, values, findings, seconds, note=""):
        self.rows.append([now(), commit(), str(amount), *map(str, values), str(findings)])
        done = self.done()
        state = "failed" if findings else "complete" if done >= self.want else "not complete"
        lines = head(f"{self.phase.name}: {self.phase.what}", [
            ("result", f"{state}: {done} of {self.want} {self.unit} without a finding"),
            ("command", f"tools/check --long --only {self.phase.name}"), ("machine", machine()),
            ("versions", versions(self.phase.tools)), ("duration", f"{seconds:.0f} s (the last run)")])
        widths = [max(len(row[i]) for row in [self.columns, *self.rows]) for i in range(len(self.columns))]
        lines += ["", *([note, ""] if note else [])]
        lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in [self.columns, *self.rows]]
        save(self.phase.name, lines)
