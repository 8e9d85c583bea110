#!/usr/bin/python3
"""Metadata of a series of 600 slices with 150 attributes and more each (WADO-RS): ours, and against Orthanc.

One client asks over one kept connection, from a few seconds after the first answer on, which is left out on both sides.
"""
import dataclasses
import sys
import time

import clients
import harness
import peers
import requests
from harness import CannotMeasure, phantom

ACCEPT = "application/dicom+json"
MEASURES = ("vs_orthanc", "ms_600")
SIZES = {"slices": (600, "slices of the series"), "private": (120, "private elements of each, beside 50 others"),
         "seconds": (6, "seconds of each run")}
LEAST_ATTRIBUTES = 150
SETTLE_S = 5


def check(peer, url, args):
    """Every slice is in the answer, with all of its attributes."""
    answer = requests.get(url, headers={"Accept": ACCEPT, **peer.headers}, verify=False, timeout=600)
    found = answer.json() if answer.status_code == 200 else []
    least = min((len(one) for one in found), default=0)
    if len(found) != args.slices or least < LEAST_ATTRIBUTES:
        raise CannotMeasure(f"{type(peer).__name__}: {len(found)} slices of {args.slices}, with {least} attributes")
    return len(answer.content)


def run(bench, args, name):
    plan = dataclasses.replace(phantom.CT, instances=args.slices, slices=args.slices, series=1, rows=64, columns=64,
                               private=args.private)
    data = harness.data(plan)
    print(f"{name}: {len(data.files)} slices, data {data.digest}", flush=True)
    study, series = phantom.uid(plan, "study", 0), phantom.uid(plan, "series", 0, 0)

    def milliseconds(make):
        data.read_once()
        with make() as peer:
            clients.c_store(peer, data, 1)
            url = f"{peer.dicomweb}/studies/{study}/series/{series}/metadata"
            size = check(peer, url, args)
            time.sleep(SETTLE_S)
            found = clients.wrk(peer, [url], ACCEPT, 1, args.seconds, size // 2)
            print(f"  {name} {type(peer).__name__}: {size} bytes, p50 {found.p50_ms:.2f} ms, p99 {found.p99_ms:.2f} ms")
            return found.p50_ms

    def ours():
        return milliseconds(lambda: peers.Ours(args.build))

    if name == "vs_orthanc":
        bench.compare(name, ours, lambda: milliseconds(peers.Orthanc), "ms", less_is_better=True)
    else:
        bench.alone(name, ours, "ms")


if __name__ == "__main__":
    requests.packages.urllib3.disable_warnings()
    sys.exit(harness.main(__doc__, MEASURES, run, SIZES, rounds=3))
