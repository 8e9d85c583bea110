#!/usr/bin/python3
"""Space: blocks on disk after a clean stop, against the bytes that were sent; Orthanc on the same data."""
import collections
import dataclasses
import os
import shutil
import sys

import clients
import harness
import peers
from harness import RECORD, phantom

@dataclasses.dataclass(frozen=True)
class Measure:
    plan: phantom.Plan
    stow: bool = False  # instances of one request are committed together: fewer and fuller groups
    orthanc: bool = True


MEASURES = {
    "small_vs_raw": Measure(phantom.SMALL),
    "small_stow_vs_raw": Measure(phantom.SMALL, stow=True, orthanc=False),
    "ct_vs_raw": Measure(phantom.CT),
}
SIZES = {"small": (100_000, "5 KB instances"), "ct": (2000, "512x512 CT slices")}
SENDERS = 4
PER_REQUEST = 20


def send(peer, data, measure):
    if not measure.stow:
        clients.c_store(peer, data, SENDERS)
        return
    folder = harness.new_folder("bodies")
    try:
        clients.stow(peer, data, clients.multipart_bodies(data, folder, PER_REQUEST), SENDERS)
    finally:
        shutil.rmtree(folder)


def blocks(path):
    """Bytes of the disk that a file, or a folder with all in it, takes."""
    total = os.lstat(path).st_blocks * 512
    if path.is_dir() and not path.is_symlink():
        total += sum(blocks(child) for child in path.iterdir())
    return total


def stored(contestant, data, measure, side, name):
    """Disk taken by a peer that was sent the data and ended in order."""
    RECORD.begin()
    with contestant as peer:
        send(peer, data, measure)
        notes = peer.notes()
        peer.stop()
        parts = collections.Counter()
        for part, path in peer.parts():
            parts[part] += blocks(path)
    for line in RECORD.commands + RECORD.verified + notes:
        print(f"  {name} {side} {line}")
    total = sum(parts.values())
    for part, size in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"  {name} {side} {part:12} {size / 1e6:10.2f} MB {size / len(data.files):9.1f} bytes an instance "
              f"{size / data.bytes:7.4f} of raw")
    print(f"  {name} {side} total        {total / 1e6:10.2f} MB of {data.bytes / 1e6:.2f} MB raw", flush=True)
    return total / data.bytes


def run(bench, args, name):
    measure = MEASURES[name]
    plan = dataclasses.replace(measure.plan, instances=getattr(args, name.split("_")[0]))
    harness.need_disk(name, plan.instances * (plan.rows * plan.columns * 2 + 8000) * 4)
    data = harness.data(plan)
    print(f"{name}: {len(data.files)} instances, {data.bytes / 1e6:.0f} MB, data {data.digest}", flush=True)
    for side, contestant in (("narthex", lambda: peers.Ours(args.build)), ("peer", peers.Orthanc)):
        if bench.side in ("both", side) and (side == "narthex" or measure.orthanc):
            ratio = stored(contestant(), data, measure, side, name)
            bench.row(name, side, [ratio], "disk/raw")
            bench.ratio(name if side == "narthex" else f"{name}_orthanc", ratio)


if __name__ == "__main__":
    sys.exit(harness.main(__doc__, MEASURES, run, SIZES, rounds=1))
