"""Storage commitment: a modality asks whether what it sent is safe here (PS3.4 Annex J)."""
import io
import json

import pydicom
import pytest
from pydicom.dataset import Dataset
from testenv import Deadline, Narthex, phantom
from testenv.peer import IMPLICIT_LE, Association, encode
from testenv.process import free_port
from testenv.scp import BadScp

PUSH, INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
PLAN = phantom.Plan(kind="small", instances=6, slices=3, series=2, rows=16, columns=16)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nx")
    with Narthex(folder / "nx", init_args=["--allow-ae", "TESTENV=clinical"]) as server:
        phantom.write(PLAN, folder / "files")
        server.cli("import", folder / "files", "--collection", "clinical", "--site", server.site)
        yield server


@pytest.fixture
def address(site):
    """Where the requester can be called, until the test is over."""
    def known(port):
        site.cli("destination", "set", "TESTENV", "127.0.0.1", port, "--plain", "--site", site.site)
    yield known
    site.cli("destination", "remove", "TESTENV", "--site", site.site)


def refs(*more):
    held = [(phantom.SC_STORAGE, phantom.uid(PLAN, "sop", 0, series, n)) for series in range(2) for n in range(3)]
    return held + list(more)


def asked(pairs, transaction="2.25.77"):
    ds = Dataset()
    if transaction:
        ds.TransactionUID = transaction
    ds.ReferencedSOPSequence = []
    for sop_class, uid in pairs:
        one = Dataset()
        one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = sop_class, uid
        ds.ReferencedSOPSequence.append(one)
    return encode(ds)


def decode(data):
    return pydicom.dcmread(io.BytesIO(data), force=True)


def check(event, data, failed):
    ds = decode(data)
    assert ds.TransactionUID == "2.25.77"
    assert {one.ReferencedSOPInstanceUID for one in ds.ReferencedSOPSequence} == {uid for _, uid in refs()}
    assert event == (2 if failed else 1)
    got = {one.ReferencedSOPInstanceUID: one.FailureReason for one in ds.get("FailedSOPSequence", [])}
    assert got == failed


def test_on_the_same_association(site):
    with Association(site.ports["dimse"], [(PUSH, [IMPLICIT_LE])]) as peer:
        assert peer.action(PUSH, INSTANCE, asked(refs())).status == 0
        check(*peer.event(PUSH), {})
        other = phantom.uid(PLAN, "sop", 0, 0, 0)
        assert peer.action(PUSH, INSTANCE, asked(refs((phantom.CT_STORAGE, "2.25.404")))).status == 0
        check(*peer.event(PUSH), {"2.25.404": 0x0112})
        assert peer.action(PUSH, INSTANCE, asked([(phantom.CT_STORAGE, other)])).status == 0
        event, data = peer.event(PUSH)
        assert event == 2 and decode(data).FailedSOPSequence[0].FailureReason == 0x0119
        assert "ReferencedSOPSequence" not in decode(data)
    entries = json.loads(site.cli("ledger", "search", "--site", site.site, "--json"))["entries"]
    assert sum(entry["action"] == "commitment" for entry in entries) == 3


def test_at_the_address_of_who_asked(site, address):
    """It is in the table of destinations: the result comes when the association is over, in the role of an SCP."""
    with BadScp("good") as scp:
        address(scp.port)
        with Association(site.ports["dimse"], [(PUSH, [IMPLICIT_LE])]) as peer:
            assert peer.action(PUSH, INSTANCE, asked(refs((phantom.CT_STORAGE, "2.25.404")))).status == 0
        deadline = Deadline(20)
        while not scp.events:
            deadline.wait("the result comes")
        check(*scp.events[0], {"2.25.404": 0x0112})
        assert scp.roles == [(0, 1)]


@pytest.mark.parametrize("instance, data, action, status", [
    ("1.2.3", asked(refs()), 1, 0x0112),
    (INSTANCE, asked(refs()), 2, 0x0123),
    (INSTANCE, asked([]), 1, 0x0120),
    (INSTANCE, asked(refs(), None), 1, 0x0120),
    (INSTANCE, asked(refs())[:-6], 1, 0x0110),
])
def test_refused(site, instance, data, action, status):
    with Association(site.ports["dimse"], [(PUSH, [IMPLICIT_LE])]) as peer:
        assert peer.action(PUSH, instance, data, action).status == status


def test_released_before_the_result(site):
    """Nothing waits for a peer that has gone."""
    for _ in range(3):
        peer = Association(site.ports["dimse"], [(PUSH, [IMPLICIT_LE])])
        assert peer.action(PUSH, INSTANCE, asked(refs())).status == 0
        peer.sock.close()


def test_a_result_that_could_not_be_told_is_told_after_a_restart(site, address):
    """It was promised with the response: it is in the queue, and a SIGKILL does not lose it."""
    port = free_port()
    address(port)
    with Association(site.ports["dimse"], [(PUSH, [IMPLICIT_LE])]) as peer:
        assert peer.action(PUSH, INSTANCE, asked(refs((phantom.CT_STORAGE, "2.25.404")))).status == 0
    site.kill()
    site.start()
    waiting = json.loads(site.cli("forward", "queue", "--json", "--site", site.site))["deliveries"]
    assert [(one["kind"], one["destination"], one["for"]) for one in waiting] == [("report", "TESTENV", "AE:TESTENV")]
    with BadScp("good", port) as scp:
        deadline = Deadline(30)
        while not scp.events:
            deadline.wait("the result comes")
        check(*scp.events[0], {"2.25.404": 0x0112})
