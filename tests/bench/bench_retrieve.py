#!/usr/bin/python3
"""Retrieve: whole studies and single instances against Orthanc, and against nginx serving plain files."""
import dataclasses
import sys

import clients
import harness
import peers
from harness import phantom

DICOM = 'multipart/related; type="application/dicom"'
CONNECTIONS = 16
MEASURES = ("study1_vs_orthanc", "cget1_vs_orthanc", "instance16_vs_orthanc", "instance16_vs_nginx")
SIZES = {"ct": (800, "512x512 CT slices"), "seconds": (8, "seconds of each wrk run")}


def wado(peer, instance):
    return (f"{peer.dicomweb}/studies/{instance.study_uid}/series/{instance.series_uid}"
            f"/instances/{instance.sop_uid}")


def filled(contestant, data, measure):
    """Start, store everything, then measure: a store is as warm as its writing left it."""
    data.read_once()
    with contestant as peer:
        clients.c_store(peer, data, 2)
        return measure(peer)


def run(bench, args, name):
    plan = dataclasses.replace(phantom.CT, instances=args.ct)
    data = harness.data(plan)
    known = [dataclasses.replace(i, data=b"") for i in phantom.instances(plan)]
    study = [i for i in known if i.study == 0]
    study_bytes = sum((data.folder / i.path).stat().st_size for i in study)
    print(f"{name}: {len(data.files)} instances, {data.bytes / 1e6:.0f} MB, data {data.digest}", flush=True)

    def whole_study(peer):
        return clients.fetch(peer, f"{peer.dicomweb}/studies/{study[0].study_uid}", DICOM, study_bytes, times=5)

    def by_c_get(peer):
        return clients.c_get(peer, study[0].study_uid, len(study))

    def single(peer):
        return clients.wrk(peer, [wado(peer, i) for i in known], DICOM, CONNECTIONS, args.seconds)

    def plain_files():
        data.read_once()
        with peers.Nginx(data.folder) as peer:
            urls = [f"{peer.base}/{path.relative_to(data.folder)}" for path in data.files]
            return clients.wrk(peer, urls, "*/*", CONNECTIONS, args.seconds)

    measure, unit = {"study1": (whole_study, "MB/s"), "cget1": (by_c_get, "instances/s"),
                     "instance16": (single, "requests/s")}[name.split("_vs_")[0]]
    peer = plain_files if name.endswith("_nginx") else lambda: filled(peers.Orthanc(), data, measure)
    bench.compare(name, lambda: filled(peers.Ours(args.build), data, measure), peer, unit)


if __name__ == "__main__":
    sys.exit(harness.main(__doc__, MEASURES, run, SIZES))
