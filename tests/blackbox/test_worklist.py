"""The modality worklist, filled by command line and API, asked by findscu; the same answers as DCMTK's wlmscpfs."""
import json
import shutil

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from testenv import Dcmtk, Narthex
from testenv.process import Process, free_port

STEP = "ScheduledProcedureStepSequence[0]."
WANTED = ["AccessionNumber", "PatientName", "PatientID", "StudyInstanceUID"]


def entry(n, name, modality, station, date, time, **more):
    ds, step = Dataset(), Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.AccessionNumber, ds.PatientID, ds.PatientName = f"A{n}", f"WL{n}", name
    ds.PatientBirthDate, ds.PatientSex, ds.StudyInstanceUID = "19700101", "O", f"2.25.7{n}"
    ds.RequestedProcedureID, ds.RequestedProcedureDescription = f"R{n}", "TEST"
    step.Modality, step.ScheduledStationAETitle = modality, station
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = date, time
    step.ScheduledProcedureStepID, step.ScheduledProcedureStepDescription = f"S{n}", "STEP"
    step.ScheduledPerformingPhysicianName = more.get("physician", "DOC^TEST")
    ds.ScheduledProcedureStepSequence = Sequence([step])
    return ds


ENTRIES = [
    entry(1, "TEST^ANNA", "CT", "CT01", "20260105", "080000"),
    entry(2, "TEST^BERTA", "CT", "CT02", "20260105", "093000"),
    entry(3, "TEST^ANTON", "MR", "MR01", "20260106", "100000", physician="DOC^OTHER"),
    entry(4, "PROBE^ÄGIDIUS", "US", "US01", "20260107", "235900"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nx")
    with Narthex(folder / "nx", {"worklist": {"expire_days": 0}}, init_args=["--allow-ae", "CT01=clinical"]) as server:
        for ds in ENTRIES[1:]:
            path = folder / "item.json"
            path.write_text(ds.to_json())
            server.cli("worklist", "add", ds.AccessionNumber, "--file", path, "--site", server.site)
        server.cli("worklist", "add", "A1", "PatientName=TEST^ANNA", "PatientID=WL1", "AccessionNumber=A1",
                   "StudyInstanceUID=2.25.71", "Modality=CT", "ScheduledStationAETitle=CT01", "PatientSex=O",
                   "ScheduledProcedureStepStartDate=20260105", "ScheduledProcedureStepStartTime=080000",
                   "ScheduledProcedureStepID=S1", "ScheduledPerformingPhysicianName=DOC^TEST",
                   "--site", server.site)
        yield server


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """wlmscpfs with the same items."""
    if not shutil.which("wlmscpfs"):
        pytest.skip("wlmscpfs is not installed")
    folder = tmp_path_factory.mktemp("wl")
    (folder / "NARTHEX").mkdir()
    (folder / "NARTHEX" / "lockfile").touch()
    for ds in ENTRIES[:3]:  # it leaves out what its own checks do not like: plain ones only
        ds = pydicom.Dataset(ds)
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.file_meta = pydicom.dataset.FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = "1.2.276.0.7230010.3.1.0.1"
        ds.file_meta.MediaStorageSOPInstanceUID = f"2.25.8{ds.AccessionNumber[1:]}"
        ds.is_little_endian, ds.is_implicit_VR = True, False
        ds.save_as(folder / "NARTHEX" / f"{ds.AccessionNumber}.wl", write_like_original=False)
    port = free_port()
    process = Process(["wlmscpfs", "-dfp", folder, "-dfr", port], folder / "log").wait_listening(port)
    yield Dcmtk(port, aet="CT01")
    process.kill()  # it has no orderly end


@pytest.fixture(scope="module")
def dcmtk(site):
    return Dcmtk(site.ports["dimse"], aet="CT01")


def ask(dcmtk, *keys):
    given = {key.split("=")[0] for key in keys}
    rest = [key for key in [*WANTED, STEP + "Modality", STEP + "ScheduledStationAETitle",
                            STEP + "ScheduledProcedureStepStartDate"] if key not in given]
    return dcmtk.findscu([*keys, *rest], model="-W")


QUERIES = [
    (["PatientName"], "123"),
    (["PatientName=TEST*"], "123"),
    (["PatientName=TEST^AN*"], "13"),
    (["PatientID=WL2"], "2"),
    (["PatientID=WL9"], ""),
    ([STEP + "Modality=CT"], "12"),
    ([STEP + "Modality=CT", STEP + "ScheduledStationAETitle=CT02"], "2"),
    ([STEP + "ScheduledStationAETitle=MR01"], "3"),
    ([STEP + "ScheduledProcedureStepStartDate=20260105"], "12"),
    ([STEP + "ScheduledProcedureStepStartDate=20260105-20260106"], "123"),
    ([STEP + "ScheduledProcedureStepStartDate=20260106-"], "3"),
    ([STEP + "ScheduledProcedureStepStartDate=-20260105"], "12"),
    ([STEP + "ScheduledProcedureStepStartDate=20260105", STEP + "ScheduledProcedureStepStartTime=090000-100000"], "2"),
    ([STEP + "ScheduledPerformingPhysicianName=DOC^OTH*"], "3"),
    ([STEP + "Modality=CT", "PatientName=TEST^B*"], "2"),
    ([STEP + "Modality=MR", "PatientName=TEST^B*"], ""),
]


@pytest.mark.parametrize("keys, found", QUERIES)
def test_matching_as_wlmscpfs_does(dcmtk, oracle, keys, found):
    def numbers(peer):
        return sorted(ds.AccessionNumber[1:] for ds in ask(peer, *keys) if ds.AccessionNumber != "A4")
    assert numbers(dcmtk) == sorted(found) == numbers(oracle)


def test_what_is_asked_for_is_answered(dcmtk):
    found, = ask(dcmtk, "PatientID=WL3", STEP + "Modality=MR", "ReferringPhysicianName")
    assert (found.PatientName, found.StudyInstanceUID) == ("TEST^ANTON", "2.25.73")
    step, = found.ScheduledProcedureStepSequence
    assert {one.keyword: one.value for one in step} == {
        "Modality": "MR", "ScheduledStationAETitle": "MR01", "ScheduledProcedureStepStartDate": "20260106"}
    assert found.ReferringPhysicianName == "" and "PatientSex" not in found
    whole, = dcmtk.findscu(["PatientID=WL3", "ScheduledProcedureStepSequence"], model="-W")
    assert whole.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID == "S3"


def test_names_beyond_ascii(dcmtk):
    found, = ask(dcmtk, "PatientID=WL4")
    assert found.PatientName == "PROBE^ÄGIDIUS" and found.SpecificCharacterSet == "ISO_IR 192"


def test_changed_listed_and_removed(site, dcmtk):
    def cli(*words, check=True):
        return site.cli("worklist", *words, "--site", site.site, check=check)
    item = ["PatientID=WL5", "StudyInstanceUID=2.25.75", "Modality=CR"]
    cli("add", "A5", *item, "PatientName=FIRST")
    cli("add", "A5", *item, "PatientName=SECOND")
    assert [str(ds.PatientName) for ds in ask(dcmtk, "PatientID=WL5")] == ["SECOND"]
    listed = json.loads(cli("list", "--json"))["worklist"]
    assert [one["item"] for one in listed] == ["A1", "A2", "A3", "A4", "A5"]
    assert pydicom.Dataset.from_json(listed[4]["dataset"]).PatientName == "SECOND"
    assert "SECOND" in cli("list")
    cli("remove", "A5")
    assert not ask(dcmtk, "PatientID=WL5") and cli("remove", "A5", check=False).returncode == 3
    for bad in (["StudyInstanceUID=1.2", "Modality=CR"], ["PatientID=1", "Modality=CR"],
                ["PatientID=1", "StudyInstanceUID=1.2"], [*item, "NoSuchThing=1"], [*item, "Modality"]):
        assert cli("add", "A6", *bad, check=False).returncode != 0


def test_attributes_go_over_those_of_a_file(site, tmp_path):
    path = tmp_path / "item.json"
    path.write_text(entry(8, "TEST^OTTO", "CT", "CT01", "20260108", "080000").to_json())
    add = ["worklist", "add", "A8", "--site", site.site]
    site.cli(*add, "--file", path, "Modality=MR", "AccessionNumber=B8")
    row = next(one for one in json.loads(site.cli("worklist", "list", "--json", "--site", site.site))["worklist"]
               if one["item"] == "A8")["dataset"]
    step = row["00400100"]["Value"][0]
    assert row["00080050"]["Value"] == ["B8"] and step["00080060"]["Value"] == ["MR"]
    assert step["00400009"]["Value"] == ["S8"] and step["00400002"]["Value"] == ["20260108"]
    wrong = site.cli(*add, "--file", path, "ScheduledProcedureStepStartDate=8.1.2026", check=False)
    assert wrong.returncode == 2 and "(0040,0002) cannot have this value" in wrong.stderr
    site.cli("worklist", "remove", "A8", "--site", site.site)


def test_an_erased_patient_is_scheduled_no_longer(site, dcmtk):
    site.cli("worklist", "add", "A7", "PatientID=WL7", "StudyInstanceUID=2.25.77", "Modality=CR", "--site", site.site)
    assert len(ask(dcmtk, "PatientID=WL7")) == 1
    site.cli("erase", "--patient", "WL7", "--collection", "clinical", "--reason", "test", "--yes", "--site", site.site)
    assert not ask(dcmtk, "PatientID=WL7")


def test_over_a_restart_and_in_the_ledger(site):
    site.kill()
    site.start()
    assert len(ask(Dcmtk(site.ports["dimse"], aet="CT01"), "PatientName=TEST*")) == 3
    entries = json.loads(site.cli("ledger", "search", "--principal", "AE:CT01", "--json", "--site", site.site))["entries"]
    assert any(one["action"] == "query" and one["body"]["detail"].get("what") == "worklist" for one in entries)
