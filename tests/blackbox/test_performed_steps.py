"""Modality Performed Procedure Steps (PS3.4 F.7), and what they say of the completeness of a study."""
import concurrent.futures
import io
import itertools
import json
import socket

import pydicom
import pytest
from pydicom.dataset import Dataset
from testenv import Deadline, Narthex, phantom
from testenv.peer import ABORT, IMPLICIT_LE, Association, element, encode, pdu

STEP = "1.2.840.10008.3.1.2.3.3"
PUSH, PUSH_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom's, about what is wrong on purpose
PLAN = phantom.Plan(kind="small", instances=40, slices=4, series=1, rows=16, columns=16)
MADE = [list(group) for _, group in itertools.groupby(phantom.instances(PLAN), lambda one: one.study)]
STUDIES = iter(MADE)
UIDS = itertools.count(1)
FINAL, DUPLICATE, ABSENT, MISSING, NO_VALUE, INVALID, NOT_ALLOWED = (
    0x0110, 0x0111, 0x0112, 0x0120, 0x0121, 0x0106, 0x0105)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    allowed = ["--allow-ae", "TESTENV=clinical"]
    with Narthex(tmp_path_factory.mktemp("nx") / "nx", init_args=allowed,
                 config={"studies": {"quiet_s": 2}}) as server:
        yield server


@pytest.fixture
def peer(site):
    with association(site) as one:
        yield one


def association(site, **more):
    contexts = [(STEP, [IMPLICIT_LE]), (PUSH, [IMPLICIT_LE]), (phantom.SC_STORAGE, [phantom.EXPLICIT_LE])]
    return Association(site.ports["dimse"], contexts, **more)


def uid():
    return f"2.25.5{next(UIDS)}"


def begun(study="2.25.31", patient="STEP-1", **more):
    """What a modality sends when it begins."""
    ds, scheduled = Dataset(), Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    scheduled.StudyInstanceUID, scheduled.AccessionNumber = study, "A1"
    scheduled.ReferencedStudySequence, scheduled.ScheduledProtocolCodeSequence = [], []
    scheduled.RequestedProcedureID, scheduled.RequestedProcedureDescription = "R1", "TEST"
    scheduled.ScheduledProcedureStepID, scheduled.ScheduledProcedureStepDescription = "S1", "TEST"
    ds.ScheduledStepAttributesSequence = [scheduled]
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "PROBE^ÄGIDIUS", patient, "19700101", "O"
    ds.ReferencedPatientSequence = []
    ds.PerformedProcedureStepID, ds.PerformedStationAETitle = "P1", "TESTENV"
    ds.PerformedStationName, ds.PerformedLocation = "", ""
    ds.PerformedProcedureStepStartDate, ds.PerformedProcedureStepStartTime = "20260105", "080000"
    ds.PerformedProcedureStepStatus, ds.PerformedProcedureStepDescription = "IN PROGRESS", ""
    ds.PerformedProcedureTypeDescription, ds.ProcedureCodeSequence = "", []
    ds.PerformedProcedureStepEndDate, ds.PerformedProcedureStepEndTime = "", ""
    ds.Modality, ds.StudyID = "OT", ""
    ds.PerformedProtocolCodeSequence, ds.PerformedSeriesSequence = [], []
    for key, value in more.items():
        setattr(ds, key, value)
    return ds


def series_of(instances, non_images=()):
    one = Dataset()
    one.PerformingPhysicianName, one.ProtocolName, one.OperatorsName = "", "PROTOCOL", ""
    one.SeriesInstanceUID, one.SeriesDescription, one.RetrieveAETitle = instances[0].series_uid, "", ""
    one.ReferencedImageSequence = [ref(i.sop_uid) for i in instances]
    one.ReferencedNonImageCompositeSOPInstanceSequence = [ref(sop) for sop in non_images]
    return one


def ref(sop):
    one = Dataset()
    one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = phantom.SC_STORAGE, sop
    return one


def ended(instances, state="COMPLETED", **more):
    ds = Dataset()
    ds.PerformedProcedureStepStatus = state
    ds.PerformedProcedureStepEndDate, ds.PerformedProcedureStepEndTime = "20260105", "081500"
    ds.PerformedSeriesSequence = [series_of(instances)] if instances else []
    for key, value in more.items():
        setattr(ds, key, value)
    return ds


def create(peer, ds, sop=None):
    sop = sop or uid()
    answer = peer.create(STEP, sop, encode(ds))
    assert answer.status == 0 and answer.sop_instance == sop
    return sop


def change(peer, sop, ds):
    return peer.set(STEP, sop, encode(ds))


def send(peer, instances):
    for one in instances:
        ds = pydicom.dcmread(io.BytesIO(one.data))
        out = pydicom.filebase.DicomBytesIO()
        out.is_little_endian, out.is_implicit_VR = True, False
        pydicom.filewriter.write_dataset(out, ds)
        assert peer.store(phantom.SC_STORAGE, one.sop_uid, phantom.EXPLICIT_LE, [out.getvalue()]).status == 0


def cli_json(site, *args):
    return json.loads(site.cli(*args, "--json", "--site", site.site))


def told(site, study):
    entries = cli_json(site, "ledger", "search", "--action", "study.complete", "--study", study)["entries"]
    return [entry["body"]["detail"] for entry in reversed(entries)]


def wait_told(site, study, n=1):
    deadline = Deadline(60, step=0.1)
    while len(told(site, study)) < n:
        deadline.wait(f"{n} events of {study}")
    return told(site, study)[n - 1]


def test_a_step_from_begin_to_end(site, peer):
    study = next(STUDIES)
    sop = create(peer, begun(study[0].study_uid, PatientName="PROBE^ÄGIDIUS"))
    shown = cli_json(site, "step", "show", sop)
    assert (shown["state"], shown["patient"], shown["name"]) == ("IN PROGRESS", "STEP-1", "PROBE^ÄGIDIUS")
    described = Dataset()
    described.SpecificCharacterSet, described.PerformedProcedureStepDescription = "ISO_IR 192", "KÖRPER"
    assert change(peer, sop, described).status == 0
    assert change(peer, sop, ended(study)).status == 0
    shown = cli_json(site, "step", "show", sop)
    assert (shown["state"], shown["instances"], shown["version"]) == ("COMPLETED", 4, 3)
    assert shown["dataset"]["00400254"]["Value"] == ["KÖRPER"] and shown["ended"] == "20260105081500"
    assert shown["dataset"]["00100010"]["Value"][0]["Alphabetic"] == "PROBE^ÄGIDIUS"
    after = change(peer, sop, described)
    assert (after.status, after.error_id) == (FINAL, 0xA710)
    assert sop in [one["uid"] for one in cli_json(site, "step", "list")["performed_steps"]]
    assert "COMPLETED" in site.cli("step", "list", "--site", site.site)
    actions = [one["action"] for one in cli_json(site, "ledger", "search", "--study", study[0].study_uid)["entries"]]
    assert actions.count("step.set") == 2 and actions.count("step.create") == 1


def test_what_is_wrong_is_answered_as_the_standard_says(site, peer):
    sop = create(peer, begun())
    assert peer.create(STEP, sop, encode(begun())).status == DUPLICATE
    assert peer.create(STEP, sop, encode(begun(patient="ANOTHER"))).status == DUPLICATE
    assert change(peer, uid(), ended(MADE[0])).status == ABSENT
    for keyword, status in (("PatientID", MISSING), ("ScheduledStepAttributesSequence", MISSING),
                            ("PerformedStationAETitle", MISSING)):
        ds = begun()
        delattr(ds, keyword)
        answer = peer.create(STEP, uid(), encode(ds))
        assert answer.status == status and "is missing" in answer.comment
    wrong = {NO_VALUE: {"Modality": ""}, INVALID: {"PerformedProcedureStepStatus": "COMPLETED"}}
    for status, values in wrong.items():
        assert peer.create(STEP, uid(), encode(begun(**values))).status == status
    assert peer.create(STEP, uid(), encode(begun(study="1.2.not"))).status == INVALID
    assert change(peer, sop, ended([])).status == NO_VALUE  # a completed step has a series
    assert change(peer, sop, ended([], "FINISHED")).status == INVALID
    assert change(peer, sop, begun(patient="ANOTHER")).status == NOT_ALLOWED
    assert change(peer, sop, ended(MADE[0], PerformedProcedureStepEndTime="")).status == NO_VALUE
    assert cli_json(site, "step", "show", sop)["version"] == 1
    assert change(peer, sop, begun()).status == 0  # what it says again is no change
    assert change(peer, sop, ended([], "DISCONTINUED")).status == 0
    made = peer.create(STEP, None, encode(begun()))
    assert made.status == 0 and made.sop_instance.startswith("2.25.")
    refused = cli_json(site, "ledger", "search", "--action", "step.create")["entries"]
    assert any(one["outcome"] != "ok" for one in refused)


def test_two_at_once_make_one(site):
    sop = uid()

    def one(_):
        with association(site) as peer:
            return peer.create(STEP, sop, encode(begun())).status

    def many_sets(n):
        ds = Dataset()
        ds.PerformedProcedureStepDescription = f"SET {n}"
        with association(site) as peer:
            return change(peer, sop, ds).status

    def an_end(n):
        with association(site) as peer:
            return change(peer, sop, ended([], "DISCONTINUED", CommentsOnThePerformedProcedureStep=str(n))).status

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(one, range(6))) == [0] + 5 * [DUPLICATE]
        assert list(pool.map(many_sets, range(4))) == 4 * [0]
        assert sorted(pool.map(an_end, range(6))) == [0] + 5 * [FINAL]
    assert cli_json(site, "step", "show", sop)["version"] == 6


def test_hostile_input_is_refused_and_leaves_nothing(site):
    sop = uid()
    with association(site) as peer:
        huge = begun(CommentsOnThePerformedProcedureStep="x" * (4 << 20))
        assert peer.create(STEP, sop, encode(huge)).status == 0xA700
        items = encode(begun())[:-8] + element(0x00400340, bytes.fromhex("feff00e000000000") * 500000)
        assert peer.create(STEP, sop, items).status in (MISSING, 0x0213)
        assert peer.create(STEP, sop, encode(begun())[:-4]).status == FINAL
        assert peer.create(STEP, sop, b"\xff" * 100).status == FINAL
        deep = begun()
        for _ in range(100):
            outer = Dataset()
            outer.PerformedSeriesSequence = [deep]
            deep = outer
        assert peer.create(STEP, sop, encode(deep)).status != 0
        many = begun(ScheduledStepAttributesSequence=list(begun().ScheduledStepAttributesSequence) * 17)
        assert peer.create(STEP, sop, encode(many)).status == INVALID
    for goodbye in (pdu(ABORT, bytes(4)), b""):
        peer = association(site)
        peer.step_command(STEP, sop, True)
        peer.sock.sendall(goodbye)
        peer.sock.shutdown(socket.SHUT_WR)
        peer.sock.close()
    answer = site.session().put(site.url(f"/api/v1/collections/clinical/objects/performed-steps/{sop}", "management"),
                                data=b"x")
    assert answer.status_code == 403
    with association(site) as peer:
        assert peer.set(STEP, sop, encode(ended([]))).status == ABSENT
        create(peer, begun(), sop)


def test_expected_as_soon_as_all_is_there(site, peer):
    study = next(STUDIES)
    sop = create(peer, begun(study[0].study_uid))
    send(peer, study[:3])
    assert change(peer, sop, ended(study)).status == 0
    missing = cli_json(site, "completeness", study[0].study_uid)
    assert (missing["expected"], missing["found"], missing["missing"]) == (4, 3, 1)
    assert [one["instance"] for one in missing["missing_instances"]] == [study[3].sop_uid]
    send(peer, study[3:])
    assert wait_told(site, study[0].study_uid) == {
        "confidence": "expected", "quiet_s": 2, "series": 1, "instances": 4,
        "steps": {"in_progress": 0, "completed": 1, "discontinued": 0}, "expected": 4, "found": 4, "missing": 0}
    known = cli_json(site, "completeness", study[0].study_uid)
    assert known["complete"] and known["told"]["event"]["confidence"] == "expected"


def test_quiet_with_missing_instances_is_partial_and_opened_by_what_comes(site, peer):
    study = next(STUDIES)
    sop = create(peer, begun(study[0].study_uid))
    assert change(peer, sop, ended(study)).status == 0
    empty = cli_json(site, "completeness", study[0].study_uid)  # nothing of it has come
    assert (empty["complete"], empty["found"], empty["missing"]) == (False, 0, 4)
    send(peer, study[:2])
    partial = wait_told(site, study[0].study_uid)
    assert (partial["confidence"], partial["expected"], partial["found"], partial["missing"]) == ("partial", 4, 2, 2)
    send(peer, study[2:])
    assert wait_told(site, study[0].study_uid, 2)["confidence"] == "expected"
    assert "0 missing" in site.cli("completeness", study[0].study_uid, "--site", site.site)


def test_a_step_that_ends_opens_the_study_again(site, peer):
    study = next(STUDIES)
    sop = create(peer, begun(study[0].study_uid))
    send(peer, study)
    quiet = wait_told(site, study[0].study_uid)
    assert (quiet["confidence"], quiet["steps"]["in_progress"]) == ("quiet", 1)
    assert change(peer, sop, ended(study, "DISCONTINUED")).status == 0
    second = wait_told(site, study[0].study_uid, 2)
    assert (second["confidence"], second["found"]) == ("quiet", 4)
    assert second["steps"] == {"in_progress": 0, "completed": 0, "discontinued": 1}


def commit(peer, instances):
    ds = Dataset()
    ds.TransactionUID, ds.ReferencedSOPSequence = uid(), [ref(one.sop_uid) for one in instances]
    assert peer.action(PUSH, PUSH_INSTANCE, encode(ds)).status == 0
    assert peer.event(PUSH)[0] == 1


def test_a_commitment_of_all_of_it_is_committed(site, peer):
    study = next(STUDIES)
    send(peer, study)
    commit(peer, study[:2])
    commit(peer, study)
    assert wait_told(site, study[0].study_uid)["confidence"] == "committed"
    assert len(told(site, study[0].study_uid)) == 1


def test_steps_survive_a_kill_and_a_rebuild_and_settings_are_kept_to(tmp_path):
    with Narthex(tmp_path / "nx", init_args=["--allow-ae", "TESTENV=clinical"],
                 config={"studies": {"quiet_s": 3600}}) as site:
        study, waits, last = next(STUDIES), next(STUDIES), next(STUDIES)
        kept, gone = uid(), uid()
        with association(site) as peer:
            create(peer, begun(study[0].study_uid, patient="KEPT"), kept)
            create(peer, begun("2.25.404", patient="GONE"), gone)
            assert change(peer, kept, ended(study)).status == 0
            send(peer, waits)  # for an hour, and nobody else for it
        site.kill()
        site.cli("fsck", "--rebuild", "--passphrase-file", site.passphrase_file, "--site", site.site)
        site.start()
        site.cli("erase", "--patient", "GONE", "--collection", "clinical", "--reason", "asked", "--yes",
                 "--site", site.site)
        steps = cli_json(site, "step", "list")["performed_steps"]
        assert [(one["uid"], one["state"]) for one in steps] == [(kept, "COMPLETED")]
        assert cli_json(site, "completeness", study[0].study_uid)["missing"] == 4
        assert site.cli("step", "show", gone, "--site", site.site, check=False).returncode == 3
        with association(site) as peer:
            assert change(peer, gone, ended(study)).status == ABSENT
            send(peer, study)
            assert wait_told(site, study[0].study_uid)["confidence"] == "expected"
        site.stop()
        site.configure({"studies": {"quiet_s": 1, "expected": "no", "committed": "no"}})
        site.start()
        with association(site) as peer:
            assert change(peer, create(peer, begun(last[0].study_uid)), ended(last)).status == 0
            send(peer, last)
            commit(peer, last)
        event = wait_told(site, last[0].study_uid)
        assert (event["confidence"], event["found"], event["missing"]) == ("quiet", 4, 0)
