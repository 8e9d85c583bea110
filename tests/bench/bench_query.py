#!/usr/bin/python3
"""Query: latency of QIDO-RS over one kept connection, idle and while instances arrive; and against Orthanc.

The figure of a measure is that of its worst kind of query.
"""
import contextlib
import dataclasses
import random
import statistics
import sys
import time

import clients
import harness
import peers
import requests
from harness import RECORD, CannotMeasure

MEASURES = ("p99_ms", "p99_busy_ms", "vs_orthanc")
SIZES = {
    "instances": (1_000_000, "instances held for p99_ms and p99_busy_ms"),
    "peer": (100_000, "instances held, on both sides, for vs_orthanc"),
    "seconds": (6, "seconds of each run of queries"),
    "keys": (400, "different queries of a kind"),
    "pixels": (1024, "bytes of pixel data of an instance"),
    "window": (16, "operations outstanding on each of four associations while queries are timed"),
    "seed": (1, "of the data"),
}
ACCEPT = "application/dicom+json"
LEAST_ANSWER = 100  # bytes: a study in DICOM JSON has more, "[]" has fewer
DISK_PER_INSTANCE = 3_500


def first(study, tag):
    value = study.get(tag, {}).get("Value", [""])[0]
    return value.get("Alphabetic", "") if isinstance(value, dict) else value


@dataclasses.dataclass(frozen=True)
class Study:
    uid: str
    patient: str
    name: str
    date: str
    modality: str


def studies(peer, args):
    """A sample of what the peer holds, from its own answers."""
    session = requests.Session()
    session.trust_env = False
    session.verify = False
    session.headers.update({"Accept": ACCEPT, **peer.headers})
    found = []
    for at in range(0, 10**9, 500):
        answer = session.get(f"{peer.dicomweb}/studies", timeout=600, params={
            "limit": 500, "offset": at, "includefield": "00080061"})
        page = answer.json() if answer.status_code == 200 else []
        found += [Study(*(first(study, tag) for tag in ("0020000D", "00100020", "00100010", "00080020", "00080061")))
                  for study in page]
        if len(page) < 500 or len(found) >= 20 * args.keys:
            break
    if len(found) < 10:
        raise CannotMeasure(f"{type(peer).__name__} lists {len(found)} studies")
    return random.Random(args.seed).sample(found, min(args.keys, len(found)))


# Every query has the study that it was made from among its answers.
KINDS = {
    "patient": lambda study: f"PatientID={study.patient}",
    "study": lambda study: f"StudyInstanceUID={study.uid}",
    "date_modality": lambda study: f"StudyDate={study.date[:6]}01-{study.date[:6]}31&ModalitiesInStudy={study.modality}",
    "name_prefix": lambda study: f"PatientName={study.name[:4]}*",
}


def urls(peer, sample, kind):
    return [f"{peer.dicomweb}/studies?{KINDS[kind](study)}" for study in sample]


def query(peer, args, sample, kind):
    return clients.wrk(peer, urls(peer, sample, kind), ACCEPT, 1, args.seconds, LEAST_ANSWER)


def show(name, side, kind, found):
    print(f"  {name} {side} {kind:14} p50 {found.p50_ms:8.3f} ms  p99 {found.p99_ms:8.3f} ms  {found.rate:8.1f}/s",
          flush=True)


def loaded(peer, args, instances):
    feed = clients.Feed(peer, args.build, pixels=args.pixels, seed=args.seed)
    points = feed.run(instances, max(1, instances // 10))
    clients.check_count(peer, instances)
    print(f"  {type(peer).__name__}: {points[-1][1]} instances in {points[-1][0]:.1f} s; after each tenth: "
          + " ".join(f"{seconds:.1f}" for seconds, _ in points[:-1]), flush=True)


class Site:
    """Ours with all its instances: loaded once, for the measures that need it."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.peer = self.sample = None

    def get(self, args):
        if not self.peer:
            harness.need_disk(f"{args.instances:,} instances", args.instances * DISK_PER_INSTANCE)
            peer = self.stack.enter_context(peers.Ours(args.build))
            loaded(peer, args, args.instances)
            self.sample = studies(peer, args)
            self.peer = peer
        return self.peer, self.sample


SITE = Site()


def client_alone(bench, args, peer):
    """The least that the client, TLS and HTTP cost: a request that asks the server for nothing."""
    found = clients.wrk(peer, [peer.server.url("/livez")], "*/*", 1, args.seconds, 1)
    show("client", "narthex", "GET /livez", found)
    bench.row("client_and_http_p99", "narthex", [found.p99_ms], "ms")


def latency(bench, args, name):
    peer, sample = SITE.get(args)
    busy = name == "p99_busy_ms"
    client_alone(bench, args, peer)
    worst = {kind: [] for kind in KINDS}
    before, began = peer.status()["commits"], time.monotonic()
    with clients.Feed(peer, args.build, 4, args.window, args.pixels, args.seed + 1) if busy else contextlib.nullcontext(
    ) as feed:
        for _ in range(bench.rounds):
            for kind in KINDS:
                found = query(peer, args, sample, kind)
                show(name, "narthex", kind, found)
                worst[kind].append(found.p99_ms)
    peer.note_peak()
    for line in RECORD.commands + RECORD.verified:
        print(f"  {name} narthex {line}")
    if busy:
        after, took = peer.status()["commits"], time.monotonic() - began
        groups = after["groups"] - before["groups"]
        print(f"  {name} narthex took in {feed.rate:.1f} instances/s meanwhile: a group of "
              f"{(after['changes'] - before['changes']) / groups:.0f} every {took * 1e3 / groups:.1f} ms; a query waits "
              "for the rows of what was acknowledged before it")
    for kind, values in worst.items():
        bench.row(f"{name} {kind}", "narthex", values, "ms")
    bench.ratio(name, max(statistics.median(values) for values in worst.values()))


def against_orthanc(bench, args, name):
    sides = {side: make for side, make in (("narthex", lambda: peers.Ours(args.build)), ("peer", peers.Orthanc))
             if bench.side in ("both", side)}
    found = {kind: {side: [] for side in sides} for kind in KINDS}
    with contextlib.ExitStack() as stack:
        held = {}
        for side, make in sides.items():
            held[side] = stack.enter_context(make())
            loaded(held[side], args, args.peer)
        samples = {side: studies(peer, args) for side, peer in held.items()}
        for turn in range(bench.rounds):
            for side in held if turn % 2 == 0 else reversed(held):
                for kind in KINDS:
                    one = query(held[side], args, samples[side], kind)
                    show(name, side, kind, one)
                    found[kind][side].append(one.p50_ms)
    for line in RECORD.commands + RECORD.verified:
        print(f"  {name} {line}")
    for kind, by_side in found.items():
        for side, values in by_side.items():
            bench.row(f"p50 {kind}", side, values, "ms")
    if len(sides) == 2:
        ratios = {kind: statistics.median(by_side["peer"]) / statistics.median(by_side["narthex"])
                  for kind, by_side in found.items()}
        for kind, ratio in ratios.items():
            bench.ratio(f"{name}_{kind}", ratio)
        bench.ratio(name, min(ratios.values()))


def run(bench, args, name):
    RECORD.begin()
    print(f"{name}: instances of seed {args.seed}, {args.pixels} bytes of pixels", flush=True)
    if name == "vs_orthanc":
        SITE.stack.close()
        against_orthanc(bench, args, name)
    else:
        latency(bench, args, name)


if __name__ == "__main__":
    requests.packages.urllib3.disable_warnings()
    with SITE.stack:
        status = harness.main(__doc__, MEASURES, run, SIZES, rounds=3)
    sys.exit(status)
