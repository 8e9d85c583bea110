#!/usr/bin/python3
"""Ingest: instances per second against a peer that throws them away, and against Orthanc."""
import dataclasses
import shutil
import sys

import clients
import harness
import peers
from harness import phantom


@dataclasses.dataclass(frozen=True)
class Measure:
    kind: str
    senders: int
    peer: type
    way: str = "c-store"
    client_env: dict = None  # None: TCP_NODELAY=1


MEASURES = {
    "ct1_vs_discard": Measure("ct", 1, peers.Discard),
    "ct4_vs_discard": Measure("ct", 4, peers.Discard),
    "small1_vs_discard": Measure("small", 1, peers.Discard),
    "small4_vs_discard": Measure("small", 4, peers.Discard),
    "ct4_vs_orthanc": Measure("ct", 4, peers.Orthanc),
    "small4_vs_orthanc": Measure("small", 4, peers.Orthanc),
    # Both sides as a hospital finds them: nobody sets an environment variable on a CT scanner.
    "untuned1_vs_orthanc": Measure("untuned", 1, peers.Orthanc, client_env={}),
    "stow4_vs_orthanc": Measure("ct", 4, peers.Orthanc, way="stow"),
}
STOW_INSTANCES_PER_REQUEST = 20
SIZES = {
    "ct": (2000, "512x512 CT slices"),
    "small": (10000, "5 KB instances"),
    "untuned": (200, "CT slices of the untuned measure"),
}


def plan_of(kind, args):
    base = phantom.SMALL if kind == "small" else phantom.CT
    return dataclasses.replace(base, instances=getattr(args, kind))


DISK_WRITES = 2000  # of each try of the disk
DISK_SEEN = set()


def disk_alone(bench, args, data, measure):
    """Context, not a contestant: a peer that keeps nothing is not bound by it, one that keeps everything is."""
    size, what = data.bytes // len(data.files), f"disk {measure.kind} {measure.senders}"
    if what in DISK_SEEN:
        return
    DISK_SEEN.add(what)
    rates = [clients.durable_writes(args.build, harness.WORK, size, measure.senders, DISK_WRITES)
             for _ in range(bench.rounds)]
    bench.row(what, "disk", rates, f"durable writes/s of {size} bytes")


def run(bench, args, name):
    measure = MEASURES[name]
    data = harness.data(plan_of(measure.kind, args))
    print(f"{name}: {len(data.files)} instances, {data.bytes / 1e6:.0f} MB, data {data.digest}", flush=True)
    disk_alone(bench, args, data, measure)
    bodies, folder = None, None
    if measure.way == "stow":
        folder = harness.new_folder("bodies")
        bodies = clients.multipart_bodies(data, folder, STOW_INSTANCES_PER_REQUEST)

    def against(contestant):
        data.read_once()
        with contestant as peer:
            if bodies:
                return clients.stow(peer, data, bodies, measure.senders)
            return clients.c_store(peer, data, measure.senders, measure.client_env)

    try:
        bench.compare(name, lambda: against(peers.Ours(args.build, measure.client_env)),
                      lambda: against(measure.peer(measure.client_env)), "instances/s")
    finally:
        if folder:
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(harness.main(__doc__, MEASURES, run, SIZES))
