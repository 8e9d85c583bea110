#!/usr/bin/python3
"""C-GET and C-MOVE of a study against dcmqrscp, which gives out plain files without encryption."""
import dataclasses
import re
import sys

import clients
import harness
import peers
from harness import CannotMeasure, phantom
from testenv import Dcmtk
from testenv.dcmtk import TUNED, StoreScp

MEASURES = ("get_vs_dcmqrscp", "move_vs_dcmqrscp")
SIZES = {"ct": (200, "512x512 CT slices, one study"), "times": (5, "how often it is fetched in each run")}
SINK = "SINK"


def counted(output, n):
    """The last response says how many were sent."""
    found = re.findall(r"Completed Suboperations\s*: (\d+)", output)
    if not found or int(found[-1]) != n:
        raise CannotMeasure(f"{found[-1] if found else 'no'} sub-operations of {n} were completed")


def rate(argv, n, times):
    """Instances per second; once before, with all that DCMTK tells, to see that all of them come."""
    _, outputs = clients.run_all([[argv[0], "-d", *argv[1:]]], TUNED)
    counted(outputs[0], n)
    return n * times / sum(clients.run_all([argv], TUNED)[0] for _ in range(times))


def get(peer, study, n, times):
    """Into getscu, which throws them away."""
    client = Dcmtk(peer.dimse_port, aec=peer.aet)
    return rate(["getscu", "-S", "--ignore", "-pdu", 131072, *client._peer(), "-k", "QueryRetrieveLevel=STUDY", "-k",
                 f"StudyInstanceUID={study}", client.host, client.port], n, times)


def move(peer, study, n, times):
    """Into a storescp that throws them away."""
    client = Dcmtk(peer.dimse_port, aec=peer.aet)
    return rate(["movescu", "-S", "-aem", SINK, *client._peer(), "-k", "QueryRetrieveLevel=STUDY", "-k",
                 f"StudyInstanceUID={study}", client.host, client.port], n, times)


def filled(contestant, sink, data, measure):
    with contestant as peer:
        peer.destination(SINK, sink.port)
        clients.c_store(peer, data, 1)
        return measure(peer)


def run(bench, args, name):
    plan = dataclasses.replace(phantom.CT, instances=args.ct, slices=args.ct, series=1)
    data = harness.data(plan)
    study = phantom.uid(plan, "study", 0)
    print(f"{name}: {len(data.files)} instances, {data.bytes / 1e6:.0f} MB, data {data.digest}", flush=True)
    what = get if name.startswith("get") else move

    def measure(peer):
        return what(peer, study, len(data.files), args.times)

    data.read_once()
    with StoreScp(data.folder.parent / f"{name}-sink.log", extra=["-aet", SINK, "-pdu", 131072]) as sink:
        bench.compare(name, lambda: filled(peers.Ours(args.build, role="workstation"), sink, data, measure),
                      lambda: filled(peers.Dcmqrscp(sink.port), sink, data, measure), "instances/s")


if __name__ == "__main__":
    sys.exit(harness.main(__doc__, MEASURES, run, SIZES))
