"""What is stored is sent on by rules: at least once, whatever destinations and the server do meanwhile."""
import itertools
import json
import re
import socket

import pydicom
import pytest
from testenv import Dcmtk, Deadline, Narthex, phantom
from testenv.dcmtk import StoreScp
from testenv.peer import IMPLICIT_LE, Association, encode
from testenv.process import free_port
from testenv.scp import BadScp

CONFIG = {"forward": {"tries": 3, "backoff_seconds": 1, "backoff_max_seconds": 1}, "dimse": {"destination_seconds": 2}}
seeds = itertools.count(100)


class Files:
    """A study that was never seen before: what is stored already is not sent on."""

    def __init__(self, folder, kind):
        self.plan = phantom.Plan(kind=kind, instances=6, slices=3, series=2, rows=16, columns=16, seed=next(seeds))
        self.folder, self.n = folder / f"{kind}{self.plan.seed}", self.plan.instances
        phantom.write(self.plan, self.folder)
        self.paths = sorted(self.folder.rglob("*.dcm"))
        self.uids = {one.sop_uid for one in phantom.instances(self.plan)}


@pytest.fixture
def ct(tmp_path):
    return Files(tmp_path, "ct")


@pytest.fixture
def sc(tmp_path):
    return Files(tmp_path, "small")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Narthex(tmp_path_factory.mktemp("nx"), config=CONFIG, init_args=["--allow-ae", "CT01=clinical"]) as server:
        yield server


class At:
    """The command line of a site."""

    def __init__(self, site):
        self.site = site

    def __call__(self, *words, check=True):
        return self.site.cli(*words, "--site", self.site.site, check=check)

    def json(self, *words):
        return json.loads(self(*words, "--json"))

    def destination(self, ae, port):
        self("destination", "set", ae, "127.0.0.1", port, "--plain")

    def queue(self, *words):
        return self.json("forward", "queue", *words)["deliveries"]

    def load(self, files):
        self("import", files.folder, "--collection", "clinical")

    def sent(self, rule):
        entries = self.json("ledger", "search", "--principal", f"rule:{rule}")["entries"]
        entries = [entry for entry in entries if entry["action"] == "forward"]
        return {uid for entry in entries for uid in entry["body"]["detail"]["sent"]}


@pytest.fixture
def at(site):
    """Its rules, and what is still owed, end with the test."""
    at = At(site)
    yield at
    for rule in at.json("forward", "list")["rules"]:
        at("forward", "remove", rule["name"])
    for one in at.queue():
        at("forward", "drop", one["number"], "--yes", check=False)


def until(what, deadline_s=40):
    deadline = Deadline(deadline_s)
    while not what():
        deadline.wait("what was to come")


def dataset_of(path):
    """Without preamble and meta group; storescp writes its own."""
    data = path.read_bytes()
    size = pydicom.filereader.read_file_meta_info(path).FileMetaInformationGroupLength
    return data[132 + 12 + size:]


def test_by_modality_and_bit_for_bit(site, at, ct, sc, tmp_path):
    got = tmp_path / "got"
    got.mkdir()
    with StoreScp(tmp_path / "scp.log", got, extra=["-aet", "PACS"]) as scp:
        at.destination("PACS", scp.port)
        at("forward", "add", "ct-only", "PACS", "Modality=CT\\MR", "StudyDescription=*")
        at("forward", "add", "none", "PACS", "Modality=C", "CallingAE=CT0?")
        at.load(sc)
        at.load(ct)
        until(lambda: len(list(got.iterdir())) == ct.n and not at.queue())
        assert sorted(map(dataset_of, got.iterdir())) == sorted(map(dataset_of, ct.paths))
    assert at.sent("ct-only") == ct.uids
    entries = at.json("ledger", "search", "--principal", "rule:ct-only")["entries"]
    assert {entry["action"] for entry in entries} == {"forward", "read"}
    assert all(entry["body"]["detail"]["to"] == "PACS" for entry in entries)
    text = site.session().get(site.url("/metrics", "management"), timeout=60).text
    assert int(re.search(r"^narthex_forward_sent_total (\d+)$", text, re.M)[1]) >= ct.n
    assert re.search(r"^narthex_forward_waiting 0$", text, re.M)


def test_what_one_sends_is_not_sent_back(site, at, sc):
    with BadScp("good") as sender, BadScp("good") as other:
        at.destination("CT01", sender.port)
        at.destination("OTHER", other.port)
        at("forward", "add", "back", "CT01")
        at("forward", "add", "on", "OTHER", "CallingAE=ct0?")
        Dcmtk(site.ports["dimse"], aet="CT01").storescu([sc.folder])
        until(lambda: other.stored == sc.n and not at.queue())
        assert not sender.stored


def test_the_queue_survives_a_kill(site, at, sc):
    """Acknowledged, and the destination not there: after a SIGKILL everything is still owed, and comes."""
    port = free_port()
    at.destination("LATE", port)
    at("forward", "add", "late", "LATE")
    at.load(sc)
    site.kill()
    site.start()
    assert {one["instance"] for one in at.queue("--state", "waiting")} == sc.uids
    with BadScp("good", port) as scp:
        until(lambda: not at.queue())
        assert scp.stored >= sc.n
    assert at.sent("late") == sc.uids


@pytest.mark.parametrize("how, error, status", [("full", None, 0xA700), ("closes", "closed", 0)])
def test_dead_letters_are_listed_and_tried_again(site, at, sc, how, error, status):
    with BadScp(how) as scp:
        at.destination(how.upper(), scp.port)
        at("forward", "add", how, how.upper())
        at.load(sc)
        until(lambda: len(at.queue("--state", "dead")) == sc.n)
        dead = at.queue()
        assert {one["instance"] for one in dead} == sc.uids and all(one["tries"] == 3 for one in dead)
        assert all(one["status"] == status and one["error"] == error for one in dead)
        assert "dead" in at("forward", "queue", "--destination", how.upper())
        site.restart()
        assert len(at.queue("--state", "dead")) == sc.n  # nobody tries them
        scp.how = "good"
        at("forward", "drop", dead[0]["number"], "--yes")
        assert at("forward", "drop", dead[0]["number"], "--yes", check=False).returncode == 3
        assert at.json("forward", "retry", dead[1]["number"]) == {"deliveries": 1}
        until(lambda: len(at.queue()) == sc.n - 2)
        assert at.json("forward", "retry", "--dead", "--destination", how.upper()) == {"deliveries": sc.n - 2}
        until(lambda: not at.queue())
        assert at.sent(how) == sc.uids - {dead[0]["instance"]}


def test_what_is_refused_for_good_is_not_tried_again(at, sc, tmp_path):
    """storescp knows no class that is private: no context is accepted."""
    for path in sc.paths:
        ds = pydicom.dcmread(path)
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.826.0.1.3680043.9.7777.1"
        ds.save_as(path)
    with StoreScp(tmp_path / "scp.log", extra=["-aet", "PICKY"]) as scp:
        at.destination("PICKY", scp.port)
        at("forward", "add", "picky", "PICKY")
        at.load(sc)
        until(lambda: len(at.queue("--state", "dead")) == sc.n)
        assert all(one["tries"] == 1 and one["status"] == 0x0122 for one in at.queue())


def test_a_bad_destination_holds_up_nobody(at, ct, sc):
    """One hangs, one accepts no connection, one is full: the good one has everything before their time is up."""
    silent = socket.create_server(("127.0.0.1", 0))  # nobody ever accepts
    with silent, BadScp("hangs") as hangs, BadScp("full") as full, BadScp("good") as good:
        for ae, port in (("HANGS", hangs.port), ("FULL", full.port), ("SILENT", silent.getsockname()[1]),
                         ("GOOD", good.port)):
            at.destination(ae, port)
            at("forward", "add", ae.lower(), ae)
        at.load(sc)
        until(lambda: good.stored == sc.n)
        at.load(ct)
        until(lambda: good.stored == sc.n + ct.n and not at.queue("--destination", "GOOD"))
        assert at.queue("--destination", "HANGS") and at.queue("--destination", "SILENT")
    until(lambda: all(one["state"] == "dead" for one in at.queue()))
    at("forward", "drop", "--dead", "--yes")
    assert not at.queue()


def test_by_hand(at, ct):
    with BadScp("good") as scp:
        at.destination("HAND", scp.port)
        at.load(ct)
        study = phantom.uid(ct.plan, "study", 0)
        assert at.json("forward", "send", study, "HAND") == {"deliveries": ct.n}
        until(lambda: not at.queue())
        assert scp.stored == ct.n
    assert at.json("ledger", "search", "--action", "forward", "--study", study)["entries"][0]["body"]["detail"]["to"] == "HAND"
    assert at("forward", "send", "1.2.3", "HAND", check=False).returncode == 3
    assert at("forward", "send", study, "NOBODY", check=False).returncode == 3


# ---- storage commitment ----


PUSH, WELL_KNOWN = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"


def held(at, rule):
    entries = at.json("ledger", "search", "--principal", f"rule:{rule}")["entries"]
    return {uid for entry in entries if entry["action"] == "forward.commit" for uid in entry["body"]["detail"]["held"]}


def test_who_is_asked_answers_at_once(site, at, sc):
    """To the site itself, into another collection: it answers on the association of the question."""
    at("ae", "allow", "NARTHEX", "curated", "--called", "SELF")
    at.destination("SELF", site.ports["dimse"])
    at("forward", "add", "self", "SELF", "--commitment")
    at.load(sc)
    until(lambda: held(at, "self") == sc.uids and not at.queue())
    assert at.json("forward", "list")["rules"][0]["commitment"]


def test_what_the_destination_has_not_is_sent_again(at, sc):
    with BadScp("forgets") as scp:
        at.destination("FORGETS", scp.port)
        at("forward", "add", "forgets", "FORGETS", "--commitment")
        at.load(sc)
        until(lambda: scp.stored >= 2 * sc.n)
        scp.how = "good"  # takes them, and does not answer
        until(lambda: all(one["kind"] == "commit" and one["state"] == "asked" for one in at.queue()))
        assert len(at.queue()) == sc.n and not held(at, "forgets")
        assert {one.ReferencedSOPInstanceUID for one in scp.asked[-1].ReferencedSOPSequence} <= sc.uids


def test_only_who_was_asked_can_answer(site, at, sc):
    """And after a restart, on an association of its own."""
    with BadScp("good") as scp:
        at.destination("CT01", scp.port)
        at.load(sc)
        at("forward", "send", phantom.uid(sc.plan, "study", 0), "CT01", "--commitment")
        until(lambda: [one["state"] for one in at.queue()] == ["asked"] * sc.n)
        site.kill()
        site.start()
        result = pydicom.Dataset()
        result.TransactionUID = scp.asked[-1].TransactionUID
        result.ReferencedSOPSequence = scp.asked[-1].ReferencedSOPSequence[1:]
        at("ae", "allow", "OTHER", "clinical")
        for aet, event, status in (("OTHER", 1, 0x0110), ("CT01", 3, 0x0113), ("CT01", 2, 0), ("CT01", 2, 0x0110)):
            with Association(site.ports["dimse"], [(PUSH, [IMPLICIT_LE])], aet=aet) as peer:
                assert peer.report(PUSH, WELL_KNOWN, event, encode(result)).status == status
        # What it does not vouch for it gets again.
        until(lambda: scp.stored == sc.n + 1)


def test_the_erased_are_not_sent(at, sc):
    at.destination("NOBODY", free_port())
    at("forward", "add", "all", "NOBODY")
    at.load(sc)
    patient = pydicom.dcmread(sc.paths[0]).PatientID
    assert len(at.queue()) == sc.n
    at("erase", "--patient", patient, "--collection", "clinical", "--reason", "test", "--yes")
    assert not at.queue()


def test_rules(site, at):
    at.destination("SOME", 104)
    at("forward", "add", "one", "SOME", "Modality=CT", "--collection", "curated")
    at("forward", "add", "one", "SOME", "Modality=MR")
    rules = at.json("forward", "list")["rules"]
    assert [(one["name"], one["collection"], one["conditions"]) for one in rules] == \
        [("one", "clinical", {"Modality": "MR"})]
    assert "Modality=MR" in at("forward", "list")
    for bad in (["two", "UNKNOWN"], ["two", "SOME", "PatientID=1"], ["two", "SOME", "Modality="],
                ["two", "SOME", "Modality"], ["Two", "SOME"], ["two", "SOME", "--collection", "nowhere"]):
        assert at("forward", "add", *bad, check=False).returncode != 0
    at("forward", "remove", "one")
    assert at("forward", "remove", "one", check=False).returncode == 3
    assert not at.json("forward", "list")["rules"]
