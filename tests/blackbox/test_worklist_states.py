"""What becomes of what is scheduled: performed procedure steps, by hand, in time; and it is found as before."""
import itertools
import json

import pytest
from pydicom.dataset import Dataset
from test_performed_steps import STEP, begun, ended
from testenv import Dcmtk, Narthex, phantom
from testenv.peer import IMPLICIT_LE, Association, encode

pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom's, about empty values
SPS = "ScheduledProcedureStepSequence[0]."
DAYS = {"worklist": {"expire_days": 30}}
FUTURE = "20991231"
IMAGES = list(phantom.instances(phantom.Plan(kind="small", instances=1, slices=1, series=1, rows=16, columns=16)))
UIDS = itertools.count(1)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Narthex(tmp_path_factory.mktemp("nx") / "nx", DAYS, init_args=["--allow-ae", "TESTENV=clinical"]) as server:
        yield server


def cli(site, *words, check=True):
    return site.cli("worklist", *words, "--site", site.site, check=check)


def add(site, item, day=FUTURE, **more):
    values = {"PatientID": f"P{item}", "StudyInstanceUID": f"2.25.9{item}", "AccessionNumber": f"A{item}",
              "Modality": "CT", "ScheduledProcedureStepID": f"S{item}", "ScheduledProcedureStepStartDate": day, **more}
    cli(site, "add", item, *(f"{key}={value}" for key, value in values.items() if value))


def listed(site, *words):
    return {one["item"]: one for one in json.loads(cli(site, "list", "--json", *words))["worklist"]}


def ask(site, *keys):
    given = {key.split("=")[0] for key in keys}
    rest = [key for key in ("PatientID", SPS + "ScheduledProcedureStepStatus") if key not in given]
    return Dcmtk(site.ports["dimse"]).findscu([*keys, *rest], model="-W")


def offered(site, item):
    found = ask(site, f"AccessionNumber=A{item}")
    return [ds.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus for ds in found]


def scheduled(item, step=None):
    ds = Dataset()
    ds.StudyInstanceUID, ds.ScheduledProcedureStepID = f"2.25.9{item}", step or f"S{item}"
    for keyword in ("AccessionNumber", "RequestedProcedureID", "RequestedProcedureDescription",
                    "ScheduledProcedureStepDescription"):
        setattr(ds, keyword, "")
    ds.ReferencedStudySequence, ds.ScheduledProtocolCodeSequence = [], []
    return ds


class Steps:
    """Performed steps of one association."""

    def __init__(self, site):
        self.peer = Association(site.ports["dimse"], [(STEP, [IMPLICIT_LE])])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.peer.__exit__(*error)

    def begin(self, *items):
        sop = f"2.25.77{next(UIDS)}"
        named = [one if isinstance(one, tuple) else (one,) for one in items]
        ds = begun(patient="P" + named[0][0])
        ds.ScheduledStepAttributesSequence = [scheduled(*one) for one in named]
        assert self.peer.create(STEP, sop, encode(ds)).status == 0
        return sop

    def end(self, sop, state):
        assert self.peer.set(STEP, sop, encode(ended(IMAGES if state == "COMPLETED" else [], state))).status == 0


def test_a_performed_step_starts_and_closes_what_was_scheduled(site):
    add(site, "10")
    assert offered(site, "10") == [""] and listed(site)["10"]["state"] == "scheduled"
    with Steps(site) as steps:
        sop = steps.begin("10")
        assert offered(site, "10") == ["STARTED"] and listed(site)["10"]["state"] == "started"
        steps.end(sop, "COMPLETED")
    assert offered(site, "10") == []
    entry = listed(site)["10"]
    assert entry["state"] == "completed" and entry["steps"][0]["performed"] == sop
    add(site, "10", PatientName="CHANGED")  # what was done stays done
    assert offered(site, "10") == [] and "completed" in cli(site, "list")


def test_discontinued_is_offered_again_and_a_second_step_counts(site):
    add(site, "20")
    with Steps(site) as steps:
        first = steps.begin("20")
        steps.end(first, "DISCONTINUED")
        assert offered(site, "20") == [""] and listed(site)["20"]["state"] == "discontinued"
        first, second = steps.begin("20"), steps.begin("20")
        steps.end(second, "COMPLETED")
        steps.end(first, "DISCONTINUED")  # another has done it
    assert offered(site, "20") == [] and listed(site, "--state", "completed")["20"]


def test_only_the_steps_that_are_named_move(site):
    ds = Dataset()
    ds.SpecificCharacterSet, ds.PatientID, ds.AccessionNumber, ds.StudyInstanceUID = "ISO_IR 192", "P30", "A30", "2.25.930"
    ds.ScheduledProcedureStepSequence = [Dataset(), Dataset()]
    for step, name, modality in zip(ds.ScheduledProcedureStepSequence, ("ONE", "TWO"), ("CT", "MR")):
        step.ScheduledProcedureStepID, step.Modality, step.ScheduledProcedureStepStartDate = name, modality, FUTURE
        step.ScheduledStationAETitle = ["ROOM1", "ROOM2"]
    path = site.folder / "two.json"
    path.write_text(ds.to_json())
    cli(site, "add", "30", "--file", path)
    with Steps(site) as steps:
        steps.end(steps.begin(("30", "ONE"), ("30", "NOT-HERE"), ("30", "")), "COMPLETED")
    found, = ask(site, "AccessionNumber=A30", "ScheduledProcedureStepSequence[0].ScheduledProcedureStepID")
    assert [one.ScheduledProcedureStepID for one in found.ScheduledProcedureStepSequence] == ["TWO"]
    assert ask(site, "AccessionNumber=A30", SPS + "Modality=CT") == []
    assert len(ask(site, SPS + "ScheduledStationAETitle=ROOM2")) == 1
    assert [one["state"] for one in listed(site)["30"]["steps"]] == ["completed", "scheduled"]
    assert listed(site, "--state", "scheduled")["30"]
    with Steps(site) as steps:  # of another study: nothing of this
        steps.begin(("31", "TWO"))
    assert listed(site)["30"]["state"] == "scheduled"


def test_by_hand(site):
    add(site, "40")
    cli(site, "set", "40", "completed")
    assert offered(site, "40") == []
    cli(site, "set", "40", "scheduled")
    assert offered(site, "40") == [""]
    assert cli(site, "set", "40", "gone", check=False).returncode == 2
    assert cli(site, "set", "41", "completed", check=False).returncode == 3
    entries = json.loads(site.cli("ledger", "search", "--action", "worklist.set", "--json", "--site", site.site))["entries"]
    assert [one["body"]["detail"]["state"] for one in entries] == ["completed", "scheduled"]


QUERIES = [
    (["PatientName=TEST^B*"], "2"),
    (["PatientName=test^?erta"], "2"),
    (["PatientName=TEST*"], "12"),
    (["PatientName=*ANNA"], "1"),
    (["PatientName=TEST^Muller"], ""),
    (["PatientID=P5?2"], "2"),
    (["StudyInstanceUID=2.25.9501\\2.25.9502\\2.25.1"], "12"),
    (["RequestedProcedureID=R2"], "2"),
    ([SPS + "ScheduledStationAETitle=CT02"], "2"),
    ([SPS + "ScheduledStationAETitle=CT0?", SPS + "ScheduledProcedureStepID=S501"], "1"),
    ([SPS + "ScheduledProcedureStepStartDate=20981201-20981231"], "2"),
    ([SPS + "ScheduledProcedureStepStartDate=2098"], "2"),  # no date, and told by its text as ever
    (["AccessionNumber=A501", SPS + "ScheduledProcedureStepStartDate=20981201-20981231"], ""),
    (["ReferringPhysicianName=DOC*"], "1"),
]


def test_the_index_finds_what_the_data_sets_say(site):
    add(site, "501", PatientName="TEST^ANNA", RequestedProcedureID="R1", ReferringPhysicianName="DOC^X",
        ScheduledStationAETitle="CT01")
    add(site, "502", "20981224", PatientName="TEST^BERTA", RequestedProcedureID="R2", ScheduledStationAETitle="CT02")
    for keys, found in QUERIES:
        numbers = sorted(ds.PatientID[-1] for ds in ask(site, *keys) if ds.PatientID.startswith("P50"))
        assert numbers == list(found), keys


def test_what_nobody_does_expires_and_is_told(site):
    add(site, "60", "20200101")
    add(site, "61", "")
    site.stop()
    site.start()  # it is looked for at a start, and every minute
    assert offered(site, "60") == [] and offered(site, "61") == [""]
    states = listed(site)
    assert (states["60"]["state"], states["61"]["state"]) == ("expired", "scheduled")
    entry, = json.loads(site.cli("ledger", "search", "--action", "worklist.expire", "--json", "--site", site.site))["entries"]
    assert entry["body"]["detail"]["item"] == "worklist/60" and entry["body"]["detail"]["since"] == "20200101"
    cli(site, "set", "60", "scheduled")  # new time
    site.stop()
    site.start()
    assert offered(site, "60") == [""]
    with Steps(site) as steps:
        steps.begin("60")
    assert offered(site, "60") == ["STARTED"]


def test_settings_removal_and_rebuild(site):
    add(site, "70")
    add(site, "71")
    add(site, "72")
    with Steps(site) as steps:
        steps.end(steps.begin("70"), "COMPLETED")
        steps.end(steps.begin("71"), "DISCONTINUED")
        steps.end(steps.begin("72"), "COMPLETED")
    cli(site, "remove", "72")
    add(site, "72")  # of the same name, and new
    assert offered(site, "72") == [""]
    site.cli("erase", "--patient", "P72", "--collection", "clinical", "--reason", "test", "--yes", "--site", site.site)
    assert offered(site, "72") == [] and "72" not in listed(site)
    site.stop()
    site.cli("fsck", "--rebuild", "--passphrase-file", site.passphrase_file, "--site", site.site)
    site.configure({"worklist": {"completed": "yes", "discontinued": "no"}})
    site.start()
    assert offered(site, "70") == ["COMPLETED"] and offered(site, "71") == []
    assert {one: state["state"] for one, state in listed(site).items() if one[0] == "7"} == {
        "70": "completed", "71": "discontinued"}


def test_only_the_worklist_itself_puts_items(site):
    answer = site.session().put(site.url("/api/v1/collections/clinical/objects/worklist/80", "management"), data=b"x")
    assert answer.status_code == 403
    url = site.url("/api/v1/collections/clinical/worklist", "management")
    assert site.session().get(url + "?state=none").status_code == 400
    page = site.session().get(url + "?limit=1").json()
    rest = site.session().get(url + "?limit=1&after=" + page["next"]).json()
    assert len(page["worklist"]) == len(rest["worklist"]) == 1 and page["worklist"] != rest["worklist"]
