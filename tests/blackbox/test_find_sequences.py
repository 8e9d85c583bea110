"""C-FIND with keys that are sequences (PS3.4 C.2.2.2.6): matched and given out as the headers have them."""
import contextlib

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from testenv import Dcmtk, Narthex
from testenv.peer import IMPLICIT_LE, Association, encode

STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
REQUEST = "RequestAttributesSequence[0]."
PROCEDURE = "ProcedureCodeSequence[0]."


def items(**values):
    ds = Dataset()
    for key, value in values.items():
        setattr(ds, key, value)
    return [ds]


def code(value, meaning="TEST"):
    return items(CodeValue=value, CodingSchemeDesignator="99TEST", CodeMeaning=meaning)


def instance(folder, study, series, n, **more):
    ds = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    ds.SpecificCharacterSet, ds.PatientID, ds.InstanceNumber = "ISO_IR 100", f"SEQ{study}", n
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"2.25.60{study}", f"2.25.60{study}{series}"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"2.25.60{study}{series}{n}"
    for key, value in more.items():
        setattr(ds, key, value)
    ds.save_as(folder / f"{study}{series}{n}.dcm")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seq")
    files = folder / "files"
    files.mkdir()
    for series in (1, 2):
        for n in (1, 2):
            instance(files, 1, series, n, ProcedureCodeSequence=code("P1", "Sch\u00e4del"),
                     RequestAttributesSequence=items(ScheduledProcedureStepID=f"SPS{series}", RequestedProcedureID="RP1",
                                                     ScheduledProtocolCodeSequence=code(f"PROT{series}")),
                     ReferencedPerformedProcedureStepSequence=items(ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.3",
                                                                    ReferencedSOPInstanceUID=f"2.25.70{series}"),
                     AnatomicRegionSequence=code(f"REGION{n}"),
                     ReferencedImageSequence=items(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID=f"2.25.8{n}"))
    instance(files, 2, 1, 1, ProcedureCodeSequence=code("P2"))
    instance(files, 2, 2, 1, ProcedureCodeSequence=code("P3"))
    instance(files, 3, 1, 1)
    with Narthex(folder / "nx", init_args=["--allow-ae", "TESTENV=clinical/workstation"]) as server:
        server.cli("import", files, "--collection", "clinical", "--site", server.site)
        yield server


@pytest.fixture(scope="module")
def dcmtk(site):
    return Dcmtk(site.ports["dimse"])


def studies(dcmtk, *keys):
    found = dcmtk.findscu(["QueryRetrieveLevel=STUDY", "PatientID", *keys])
    return sorted(ds.PatientID[-1] for ds in found)


def series(dcmtk, *keys, study=1):
    return dcmtk.findscu(["QueryRetrieveLevel=SERIES", f"StudyInstanceUID=2.25.60{study}", "SeriesInstanceUID", *keys])


@pytest.mark.parametrize("keys, found", [
    ([PROCEDURE + "CodeValue=P1"], "1"),
    ([PROCEDURE + "CodeValue=P?"], "12"),
    ([PROCEDURE + "CodeValue=P3", PROCEDURE + "CodingSchemeDesignator=99TEST"], "2"),
    ([PROCEDURE + "CodeValue=P3", PROCEDURE + "CodingSchemeDesignator=DCM"], ""),
    ([PROCEDURE + "CodeValue=P1", "PatientID=SEQ2"], ""),
    ([PROCEDURE + "CodeValue"], "123"),
    (["ProcedureCodeSequence"], "123"),
    (["SpecificCharacterSet=ISO_IR 192", PROCEDURE + "CodeMeaning=Sch\u00e4*"], "1"),
])
def test_studies_by_their_procedure(dcmtk, keys, found):
    assert studies(dcmtk, *keys) == list(found)


def test_a_study_has_the_items_of_all_its_series_each_once(dcmtk):
    found = {ds.PatientID: ds for ds in dcmtk.findscu(["QueryRetrieveLevel=STUDY", "PatientID", "ProcedureCodeSequence"])}
    assert [one.CodeValue for one in found["SEQ1"].ProcedureCodeSequence] == ["P1"]
    assert sorted(one.CodeValue for one in found["SEQ2"].ProcedureCodeSequence) == ["P2", "P3"]
    assert found["SEQ3"].ProcedureCodeSequence == []
    assert found["SEQ1"].ProcedureCodeSequence[0].CodeMeaning == "Sch\u00e4del"
    assert found["SEQ1"].SpecificCharacterSet == "ISO_IR 192" and "SpecificCharacterSet" not in found["SEQ2"]
    part, = dcmtk.findscu(["QueryRetrieveLevel=STUDY", "PatientID=SEQ1", PROCEDURE + "CodeValue"])
    assert [one.keyword for one in part.ProcedureCodeSequence[0]] == ["CodeValue"]


@pytest.mark.parametrize("keys, found", [
    ([REQUEST + "ScheduledProcedureStepID=SPS1"], "1"),
    ([REQUEST + "RequestedProcedureID=RP1"], "12"),
    ([REQUEST + "RequestedProcedureID=RP1", REQUEST + "ScheduledProcedureStepID=SPS2"], "2"),
    ([REQUEST + "ScheduledProtocolCodeSequence[0].CodeValue=PROT2"], "2"),
    (["ReferencedPerformedProcedureStepSequence[0].ReferencedSOPInstanceUID=2.25.701\\2.25.9"], "1"),
    (["ReferencedPerformedProcedureStepSequence[0].ReferencedSOPInstanceUID=2.25.9"], ""),
])
def test_series_by_what_was_requested_and_performed(dcmtk, keys, found):
    assert sorted(ds.SeriesInstanceUID[-1] for ds in series(dcmtk, *keys)) == list(found)


def test_images_by_any_sequence(dcmtk):
    def images(*keys):
        return dcmtk.findscu(["QueryRetrieveLevel=IMAGE", "StudyInstanceUID=2.25.601", "SeriesInstanceUID=2.25.6011",
                              "SOPInstanceUID", *keys])
    found, = images("AnatomicRegionSequence[0].CodeValue=REGION2", "ReferencedImageSequence", "SourceImageSequence")
    assert found.SOPInstanceUID == "2.25.60112" and found.SourceImageSequence == []
    assert found.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "2.25.82"
    assert len(images("ReferencedImageSequence")) == 2


@pytest.mark.parametrize("path, found", [
    ("studies?ProcedureCodeSequence.CodeValue=P3", ["2"]),
    ("studies?00081032.00080104=Schädel", ["1"]),
    ("series?StudyInstanceUID=2.25.601&RequestAttributesSequence.ScheduledProcedureStepID=SPS2", ["2"]),
    ("series?00400275.00400008.00080100=PROT*&limit=1&offset=1", ["1"]),
    ("series?RequestAttributesSequence.RequestedProcedureID=none", []),
    ("instances?SeriesInstanceUID=2.25.6011&AnatomicRegionSequence.CodeValue=REGION2", ["2"])])
def test_on_the_web_too(site, path, found):
    with site.session() as session:
        answer = session.get(site.url("/dicom-web/" + path, "data"), timeout=60)
    assert answer.status_code == 200 and "not matched" not in answer.headers.get("Warning", "")
    level = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}[path.split("?")[0]]
    assert [one[level]["Value"][0][-1] for one in answer.json()] == found


def test_on_the_web_a_sequence_is_given_where_it_is_asked_for(site):
    def series(query):
        with site.session() as session:
            return session.get(site.url(f"/dicom-web/studies/2.25.601/series?{query}", "data"), timeout=60).json()
    assert all("00400275" not in one for one in series(""))
    one, = series("RequestAttributesSequence.ScheduledProcedureStepID=SPS1")
    assert one["00400275"]["Value"][0]["00401001"]["Value"] == ["RP1"]  # whole, as asked for by name
    items = [one["00400275"]["Value"][0] for one in series("includefield=RequestAttributesSequence")]
    assert sorted(item["00400009"]["Value"][0] for item in items) == ["SPS1", "SPS2"]
    assert all(item["00401001"]["Value"] == ["RP1"] for item in items)


def test_a_patient_is_found_by_the_newest_study(dcmtk):
    found = dcmtk.findscu(["QueryRetrieveLevel=PATIENT", "PatientID", "ReferencedPatientSequence"], model="-P")
    assert len(found) == 3 and all(ds.ReferencedPatientSequence == [] for ds in found)


def test_supported_keys_are_no_warning_and_two_items_are_refused(site):
    key = Dataset()
    key.QueryRetrieveLevel, key.StudyInstanceUID, key.SeriesInstanceUID = "SERIES", "2.25.601", ""

    def ask(sequence):
        key.RequestAttributesSequence = sequence
        peer = Association(site.ports["dimse"], [(STUDY_ROOT, [IMPLICIT_LE])])
        with contextlib.closing(peer.sock):
            return peer.find(STUDY_ROOT, encode(key))

    assert ask([]).status == 0xFF00
    assert ask(items(RequestedProcedureID="NO")).status == 0
    refused = ask(items(RequestedProcedureID="RP1") * 2)
    assert refused.status == 0xA900 and "more than one item" in refused.comment
