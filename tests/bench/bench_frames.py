#!/usr/bin/python3
"""Frames: random frames of uncompressed CT by WADO-RS, against nginx serving the same bytes as files."""
import dataclasses
import random
import shutil
import sys

import clients
import harness
import peers
import pydicom
from harness import phantom

OCTETS = "application/octet-stream"
CONNECTIONS = 16
MEASURES = ("vs_nginx",)
SIZES = {"ct": (800, "512x512 CT slices"), "seconds": (8, "seconds of each wrk run")}
SEED = 1


def frame_urls(peer, known):
    return [f"{peer.dicomweb}/studies/{i.study_uid}/series/{i.series_uid}/instances/{i.sop_uid}/frames/1"
            for i in known]


def checked(peer, url, want):
    """The first answer is looked at: a fast server of other bytes is not fast."""
    body = peer.folder / "frame"
    clients.run_all([["curl", "-sS", "-k", "-f", "-H", f"Accept: {OCTETS}", *peer.header_args(), "-o", body, url]])
    if body.read_bytes() != want:
        raise harness.CannotMeasure(f"{url}: not the frame that was sent")


def run(bench, args, name):
    plan = dataclasses.replace(phantom.CT, instances=args.ct)
    data = harness.data(plan)
    known = [dataclasses.replace(i, data=b"") for i in phantom.instances(plan)]
    order = random.Random(SEED).sample(range(len(known)), len(known))
    pixels = [pydicom.dcmread(data.folder / known[i].path).PixelData for i in order]
    print(f"{name}: {len(known)} frames of {len(pixels[0])} bytes, data {data.digest}", flush=True)

    def measure(peer, urls):
        checked(peer, urls[0], pixels[0])
        return clients.wrk(peer, urls, OCTETS, CONNECTIONS, args.seconds).rate

    def ours():
        with peers.Ours(args.build) as peer:
            clients.c_store(peer, data, 2)
            return measure(peer, frame_urls(peer, [known[i] for i in order]))

    def nginx():
        root = harness.new_folder("frames")
        try:
            for i, frame in enumerate(pixels):
                (root / f"{i:06d}").write_bytes(frame)
            with peers.Nginx(root) as peer:
                return measure(peer, [f"{peer.base}/{i:06d}" for i in range(len(pixels))])
        finally:
            shutil.rmtree(root)

    data.read_once()
    bench.compare(name, ours, nginx, "requests/s")


if __name__ == "__main__":
    sys.exit(harness.main(__doc__, MEASURES, run, SIZES))
