#!/usr/bin/python3
"""Concurrent: how long viewers wait for the next image while instances arrive at full rate, against the site idle.

Eight viewers page through CT, each over a connection of its own and with a pause between images, as somebody who
scrolls.  The figure is the 99th percentile of the viewer that waited longest.
"""
import contextlib
import dataclasses
import statistics
import sys

import clients
import harness
import peers
from harness import RECORD, phantom

OCTETS = "application/octet-stream"
VIEWERS = 8
MEASURES = ("viewer_p99_vs_idle",)
SIZES = {
    "ct": (400, "512x512 CT slices to page through"),
    "seconds": (8, "seconds of each run of the viewers"),
    "pause": (100, "milliseconds between an image and the next request of a viewer"),
    "pixels": (512 * 512 * 2, "bytes of pixel data of an instance that arrives"),
    "window": (16, "operations outstanding on each of four associations"),
}
LEAST_FRAME = 512 * 512 * 2


def pages(peer, known):
    """Each viewer's images, in order."""
    urls = [f"{peer.dicomweb}/studies/{i.study_uid}/series/{i.series_uid}/instances/{i.sop_uid}/frames/1"
            for i in known]
    share = len(urls) // VIEWERS
    return [urls[at * share:(at + 1) * share] for at in range(VIEWERS)]


def run(bench, args, name):
    RECORD.begin()
    plan = dataclasses.replace(phantom.CT, instances=args.ct)
    data = harness.data(plan)
    known = [dataclasses.replace(i, data=b"") for i in phantom.instances(plan)]
    waits, noisy = {"idle": [], "busy": []}, {"idle": 0, "busy": 0}
    with peers.Ours(args.build) as peer:
        clients.c_store(peer, data, 2)
        lists = pages(peer, known)
        for turn in range(bench.rounds):
            for side in ("idle", "busy") if turn % 2 == 0 else ("busy", "idle"):
                foreign = harness.busy_share() > harness.FOREIGN_CPU
                noisy[side] += foreign
                with clients.Feed(peer, args.build, 4, args.window, args.pixels) if side == "busy" \
                        else contextlib.nullcontext() as feed:
                    found = clients.page(peer, lists, OCTETS, args.seconds, LEAST_FRAME, args.pause)
                waits[side].append(max(one.p99_ms for one in found))
                arrived = f", {feed.rate:.0f} instances/s arrive" if feed else ""
                print(f"  {name} {side}: p50 {statistics.median(one.p50_ms for one in found):.2f} ms, p99 "
                      f"{waits[side][-1]:.2f} ms, {sum(one.rate for one in found):.0f} images/s{arrived}"
                      f"{' (others busy)' if foreign else ''}", flush=True)
        peer.note_peak()
    for line in RECORD.commands + RECORD.verified:
        print(f"  {name} narthex {line}")
    for side, values in waits.items():
        bench.row(f"p99 {side}", "narthex", values, "ms", noisy[side])
    bench.ratio(name, statistics.median(waits["busy"]) / statistics.median(waits["idle"]))


if __name__ == "__main__":
    sys.exit(harness.main(__doc__, MEASURES, run, SIZES, rounds=3))
