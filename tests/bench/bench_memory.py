#!/usr/bin/python3
"""Memory: the highest resident set of the server in a short run of every other benchmark."""
import re
import subprocess
import sys

import harness
from harness import ROOT, CannotMeasure

MEASURES = ("rss_mb",)
SIZES = {
    "ct": (400, "512x512 CT slices"),
    "small": (5000, "5 KB instances"),
    "instances": (100_000, "made-up instances of scale and query"),
    "seconds": (3, "seconds of each run of requests"),
}


def short_runs(args):
    """The other benchmarks and what makes them short."""
    sizes = ("--ct", args.ct, "--small", args.small)
    return {
        "ingest": (*sizes, "--untuned", 20),
        "scale": ("--small", 10_000, "--middle", args.instances, "--large", 2 * args.instances),
        "space": sizes,
        "query": ("--instances", args.instances, "--peer", 10_000, "--seconds", args.seconds),
        "retrieve": ("--ct", args.ct, "--seconds", args.seconds),
    }


def peak(args, name, options):
    argv = [sys.executable, ROOT / f"tests/bench/bench_{name}.py", "--side", "narthex", "--rounds", 1, "--cold",
            "--build", args.build, *options]
    print(f"  {' '.join(str(word) for word in argv[1:])}", flush=True)
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)
    found = re.search(r"^highest resident set of narthex: (\S+) MB$", done.stdout, re.M)
    if done.returncode or not found:
        raise CannotMeasure(f"{name}: status {done.returncode}: {done.stderr[-800:]}")
    print(f"  {name} narthex {found[1]} MB", flush=True)
    return float(found[1])


def run(bench, args, name):
    found = {bench_name: peak(args, bench_name, options) for bench_name, options in short_runs(args).items()}
    for bench_name, value in found.items():
        bench.row(f"rss_mb {bench_name}", "narthex", [value], "MB")
    bench.ratio(name, max(found.values()))


if __name__ == "__main__":
    sys.exit(harness.main(__doc__, MEASURES, run, SIZES, rounds=1))
