#!/usr/bin/python3
"""Retrieve: whole studies and single instances against Orthanc, and against nginx serving plain files."""
import dataclasses
import shutil
import sys

import clients
import harness
import peers
from harness import phantom

DICOM = 'multipart/related; type="application/dicom"'
CONNECTIONS = 16
MEASURES = ("study_vs_nginx", "instance_vs_nginx", "instance_vs_orthanc", "study1_vs_orthanc")
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


def plain_files(data, measure):
    """The files as they are, and beside them every study as the body that WADO-RS sends."""
    data.read_once()
    root = harness.new_folder("plain")
    try:
        (root / "files").symlink_to(data.folder)
        for folder in data.studies():
            clients.multipart_body(root / folder.name, "b" * 32, sorted(folder.rglob("*.dcm")))
        with peers.Nginx(root) as peer:
            return measure(peer)
    finally:
        shutil.rmtree(root)


def run(bench, args, name):
    plan = dataclasses.replace(phantom.CT, instances=args.ct)
    data = harness.data(plan)
    known = [dataclasses.replace(i, data=b"") for i in phantom.instances(plan)]
    first = [i for i in known if i.study == 0]
    first_bytes = sum((data.folder / i.path).stat().st_size for i in first)
    print(f"{name}: {len(data.files)} instances, {data.bytes / 1e6:.0f} MB, data {data.digest}", flush=True)

    def one_study(peer):
        return clients.fetch(peer, f"{peer.dicomweb}/studies/{first[0].study_uid}", DICOM, first_bytes, times=5)

    def studies(peer):
        uids = sorted({i.study_uid for i in known})
        urls = [f"{peer.dicomweb}/studies/{uid}" for uid in uids] if peer.dicomweb else [
            f"{peer.base}/{folder.name}" for folder in data.studies()]
        return clients.wrk(peer, urls, DICOM, CONNECTIONS, args.seconds).mb_s

    def instances(peer):
        urls = [wado(peer, i) for i in known] if peer.dicomweb else [
            f"{peer.base}/files/{path.relative_to(data.folder)}" for path in data.files]
        return clients.wrk(peer, urls, DICOM, CONNECTIONS, args.seconds).rate

    what, against = name.split("_vs_")
    measure, unit = {"study1": (one_study, "MB/s"), "study": (studies, "MB/s"),
                     "instance": (instances, "requests/s")}[what]
    peer = (lambda: plain_files(data, measure)) if against == "nginx" else (
        lambda: filled(peers.Orthanc(), data, measure))
    bench.compare(name, lambda: filled(peers.Ours(args.build), data, measure), peer, unit)


if __name__ == "__main__":
    sys.exit(harness.main(__doc__, MEASURES, run, SIZES))
