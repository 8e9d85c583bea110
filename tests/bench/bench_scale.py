#!/usr/bin/python3
"""Scale: the rate at which small instances are taken in when the site holds 10 thousand, 1 and 10 million.

One run per size, into an empty site; the rate at a size is that of a window of answers around it.
"""
import re
import statistics
import subprocess
import sys

import clients
import harness
import peers
from harness import RECORD, CannotMeasure

MEASURES = ("rate_1m_vs_10k", "rate_10m_vs_1m")
SIZES = {
    "small": (10_000, "instances that stand for 10 k"),
    "middle": (1_000_000, "instances that stand for 1 M"),
    "large": (10_000_000, "instances that stand for 10 M"),
    "pixels": (1024, "bytes of pixel data of an instance"),
    "associations": (4, "associations of the sender"),
    "window": (64, "operations outstanding on each"),
    "seed": (1, "of the data"),
}
HALF_WINDOW = 50_000  # at most half the size
REPORT = 500
SENDER_TRIES = 300_000
# Besides its own bytes an instance takes that much, in packs, catalog and ledger: room is asked for, not measured.
DISK_BESIDE = 2_500


def half_window(size):
    return min(size // 2, HALF_WINDOW)


def rate_at(points, size):
    """Instances per second between the reports around `size`."""
    def moment(n):
        return next(((t, stored) for t, stored in points if stored >= n), None)
    begin, end = moment(size - half_window(size)), moment(size + half_window(size))
    if not begin or not end or end[0] <= begin[0]:
        raise CannotMeasure(f"no answers around {size}")
    return (end[1] - begin[1]) / (end[0] - begin[0])


def sender_alone(bench, args):
    """What the sender can give: into an acceptor that throws away."""
    sink = subprocess.Popen([harness.tool(args.build, "dimse_sink"), "0"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)
    try:
        port = re.fullmatch(r"port (\d+)\n", sink.stdout.readline())[1]
        argv = [harness.tool(args.build, "dimse_source"), "--port", port, "--instances", SENDER_TRIES,
                "--associations", args.associations, "--window", args.window, "--pixels", args.pixels]
        rates = []
        for _ in range(3):
            _, outputs = clients.run_all([argv])
            rates.append(float(re.search(r"rate (\S+)", outputs[0])[1]))
    finally:
        sink.communicate(timeout=60)
    bench.row("sender_into_nothing", "sender", rates, "instances/s")


class Runs:
    """The rates found, by size; a larger run gives those of the smaller sizes too."""

    def __init__(self):
        self.rates = {}

    def make(self, bench, args, size, at):
        harness.need_disk(f"{size:,} instances", size * (args.pixels + DISK_BESIDE))
        if bench.warm:
            bench.warm.fill()
        RECORD.begin()
        total = size + half_window(size)
        with peers.Ours(args.build) as peer:
            feed = clients.Feed(peer, args.build, args.associations, args.window, args.pixels, args.seed)
            points = feed.run(total, REPORT)
            clients.check_count(peer, total)
        for line in RECORD.commands + RECORD.verified:
            print(f"  {size} narthex {line}")
        print(f"  {size} narthex {points[-1][1]} instances in {points[-1][0]:.1f} s", flush=True)
        for wanted in at:
            rate = rate_at(points, wanted)
            print(f"  {size} narthex at {wanted}: {rate:.1f} instances/s", flush=True)
            self.rates.setdefault(wanted, []).append(rate)

    def median(self, size):
        return statistics.median(self.rates[size])


RUNS = Runs()


def run(bench, args, name):
    sizes = [args.small, args.middle, args.large]
    above = 1 if name == MEASURES[0] else 2
    print(f"{name}: instances of seed {args.seed}, {args.pixels} bytes of pixels, random 2.25 UIDs", flush=True)
    if not RUNS.rates:
        sender_alone(bench, args)
        for _ in range(bench.rounds):
            RUNS.make(bench, args, args.small, sizes[:1])
    for size in sizes[1:above + 1]:
        if size not in RUNS.rates:
            # Of one run, so that what the machine does meanwhile is in both rates.
            RUNS.make(bench, args, size, [n for n in sizes if n <= size and (n == size or n != args.small)])
            bench.row(f"rate_at_{size}", "narthex", RUNS.rates[size], "instances/s")
    if above == 1:
        bench.row(f"rate_at_{args.small}", "narthex", RUNS.rates[args.small], "instances/s")
    bench.ratio(name, RUNS.median(sizes[above]) / RUNS.median(sizes[above - 1]))


if __name__ == "__main__":
    sys.exit(harness.main(__doc__, MEASURES, run, SIZES, rounds=3))
