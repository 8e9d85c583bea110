"""Corrections: new versions that say what they said before; the originals stay, pixels are the same bytes."""
import concurrent.futures
import io
import json

import pydicom
import pytest
from test_changes import feed, last, seen, stow, uids
from testenv import Deadline, Narthex, phantom

PLAN = phantom.Plan(instances=4, slices=4, series=1, rows=256, columns=256)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Narthex(tmp_path_factory.mktemp("edit") / "nx") as one:
        yield one


def study_of(site, seed, **changes):
    """Four instances that are in no other test; attributes by keyword."""
    made = []
    for one in phantom.instances(PLAN):
        ds = pydicom.dcmread(io.BytesIO(one.data))
        for key in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(ds, key, f"{getattr(ds, key)}.{seed}"[-64:])
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.PatientID = f"P{seed}"
        for key, value in changes.items():
            setattr(ds, key, value)
        out = io.BytesIO()
        ds.save_as(out)
        made.append(out.getvalue())
        stow(site, out.getvalue())
    return made


def cli(site, *words, check=True):
    return site.cli(*words, "--site", site.site, check=check)


def edit(site, *words):
    return json.loads(cli(site, "edit", *words, "--json"))


def qido(site, level="studies", **keys):
    answer = site.session().get(site.url(f"/dicom-web/{level}"), params={**keys, "includefield": "all"}, timeout=60)
    return answer.json() if answer.status_code == 200 else []


def value(row, tag):
    return row.get(tag, {}).get("Value", [None])[0]


def fetched(site, data):
    path = "/dicom-web/studies/%s/series/%s/instances/%s" % uids(data)
    return pydicom.dcmread(io.BytesIO(
        site.session().get(site.url(path), headers={"Accept": "application/dicom"}, timeout=60).content))


def test_a_study_says_something_else_and_what_it_said_before(site):
    made = study_of(site, 1, AccessionNumber="A1", StudyDescription="Knee")
    study, known = uids(made[0])[0], last(site)
    words = ("study", study, "--set", "AccessionNumber=A2", "--set", "StudyDescription=Knie, grün",
             "--remove", "StudyID", "--reason", "typed wrong", "--source", "RIS")
    dry = edit(site, *words, "--dry-run")
    assert dry["changed"] == 4 and dry["dry_run"] and last(site) == known
    assert value(qido(site, StudyInstanceUID=study)[0], "00080050") == "A1"
    done = edit(site, *words)
    assert (done["studies"], done["instances"], done["changed"]) == (1, 4, 4)
    (row,) = qido(site, AccessionNumber="A2")
    assert value(row, "0020000D") == study and value(row, "00081030") == "Knie, grün"
    assert value(row, "00201208") == 4 and qido(site, AccessionNumber="A1") == []
    for data in made:
        was, ds = pydicom.dcmread(io.BytesIO(data)), fetched(site, data)
        assert (ds.AccessionNumber, ds.StudyDescription, "StudyID" in ds) == ("A2", "Knie, grün", False)
        assert ds.SpecificCharacterSet == "ISO_IR 192" and ds.PixelData == was.PixelData
        (item,) = ds.OriginalAttributesSequence
        assert (item.ModifyingSystem, item.ReasonForTheAttributeModification) == ("narthex", "CORRECT")
        assert item.SourceOfPreviousValues == "RIS" and item.AttributeModificationDateTime
        (before,) = item.ModifiedAttributesSequence
        assert (before.AccessionNumber, before.StudyDescription) == ("A1", "Knee")
        for elem in was:
            if elem.keyword not in ("AccessionNumber", "StudyDescription", "StudyID", "SpecificCharacterSet"):
                assert ds[elem.tag].value == elem.value, elem.keyword
    assert [one[:2] for one in seen(feed(site, offset=known))] == [("Update", "current")] * 4
    words_of_ledger = ("--action", "instance.edit", "--study", study, "--json")
    entries = json.loads(cli(site, "ledger", "search", *words_of_ledger))["entries"]
    assert len(entries) == 4 and entries[0]["body"]["detail"]["reason"] == "typed wrong"
    versions = json.loads(cli(site, "versions", "list", *uids(made[0]), "--json"))["versions"]
    assert [(one["version"], one["state"]) for one in versions] == [(1, "old"), (2, "live")]
    cli(site, "versions", "get", *uids(made[0]), "1", site.folder / "first.dcm")
    assert (site.folder / "first.dcm").read_bytes() == made[0]
    again = edit(site, *words)
    assert again["changed"] == 0 and seen(feed(site, offset=known)) and last(site) == known + 4
    assert json.loads(cli(site, "conflict", "list", "--json"))["conflicts"] == []


def test_a_study_of_the_wrong_patient_is_given_to_the_right_one(site):
    right = study_of(site, 20, PatientName="ROE^RITA", PatientBirthDate="19700101", PatientSex="F")
    wrong = study_of(site, 21, PatientName="DOE^JANE", PatientBirthDate="19800202", PatientSex="F")
    study = uids(wrong[0])[0]
    done = edit(site, "study", study, "--into", "P20", "--reason", "picked from the list by mistake")
    assert done["changed"] == 4
    (row,) = qido(site, StudyInstanceUID=study)
    assert (value(row, "00100020"), value(row, "00100030")) == ("P20", "19700101")
    assert qido(site, PatientID="P21") == [] and len(qido(site, PatientID="P20")) == 2
    versions = json.loads(cli(site, "versions", "list", *uids(wrong[0]), "--json"))["versions"]
    assert [(one["version"], one["other_patient"]) for one in versions] == [(1, True), (2, False)]
    cli(site, "versions", "get", *uids(wrong[0]), "1", site.folder / "wrong.dcm")
    assert (site.folder / "wrong.dcm").read_bytes() == wrong[0]
    ds = fetched(site, wrong[0])
    assert (ds.PatientID, str(ds.PatientName)) == ("P20", "ROE^RITA")
    before = ds.OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
    assert (before.PatientID, str(before.PatientName)) == ("P21", "DOE^JANE")
    known = last(site)
    stow(site, *wrong)  # the modality sends again what it always sent: it is here
    assert last(site) == known and qido(site, PatientID="P21") == []
    site.kill()
    site.start()
    assert len(qido(site, PatientID="P20")) == 2 and fetched(site, wrong[0]).PatientID == "P20"
    cli(site, "erase", "--patient", "P21", "--collection", "clinical", "--reason", "asked for", "--yes")
    assert fetched(site, wrong[0]).PixelData == pydicom.dcmread(io.BytesIO(wrong[0])).PixelData
    cli(site, "erase", "--patient", "P20", "--collection", "clinical", "--reason", "asked for", "--yes")
    assert qido(site, StudyInstanceUID=study) == [] and qido(site, StudyInstanceUID=uids(right[0])[0]) == []
    refused = cli(site, "edit", "study", study, "--set", "StudyID=1", "--reason", "late", "--collection", "clinical",
                  check=False)
    assert refused.returncode == 3


def test_erasing_the_right_patient_erases_what_was_the_wrong_one_s(site):
    made = study_of(site, 30)
    edit(site, "study", uids(made[0])[0], "--set", "PatientID=P31", "--reason", "id typed wrong")
    words = ("--patient", "P31", "--collection", "clinical", "--reason", "asked for", "--yes", "--json")
    done = json.loads(cli(site, "erase", *words))
    assert done["statement"]["items"] == 8  # four versions of each patient
    assert qido(site, PatientID="P30") == []
    site.stop()
    site.cli("fsck", "--rebuild", "--passphrase-file", site.passphrase_file, "--site", site.site)
    site.start()
    assert qido(site, PatientID="P30") == [] and qido(site, StudyInstanceUID=uids(made[0])[0]) == []


def test_what_cannot_be_edited_is_refused(site):
    made = study_of(site, 40)
    study, series, instance = uids(made[0])
    for words in (("study", study, "--set", "StudyInstanceUID=1.2"), ("study", study, "--set", "PatientID="),
                  ("study", study, "--set", "StudyDate=yesterday"), ("study", study, "--set", "Modality=MR"),
                  ("series", study, series, "--set", "PatientName=X"), ("study", study, "--set", "NoSuchThing=1"),
                  ("instance", study, series, instance, "--set", "SeriesDescription=X")):
        assert cli(site, "edit", *words, "--reason", "try", check=False).returncode != 0, words
    assert cli(site, "edit", "study", study, "--set", "StudyID=1", check=False).returncode == 2
    token = json.loads(cli(site, "token", "create", "looking", "reader", "--json"))["token"]
    body = {"collection": "clinical", "level": "study", "study": study, "set": {"StudyID": "1"}, "reason": "x"}
    url = site.url("/api/v1/edits", "management")
    assert site.session(token).post(url, json=body, timeout=60).status_code == 403
    assert edit(site, "instance", study, series, instance, "--set", "ImageComments=a", "--reason", "note")["changed"] == 1
    assert edit(site, "series", study, series, "--set", "SeriesDescription=b", "--reason", "note")["changed"] == 4
    assert fetched(site, made[0]).SeriesDescription == "b" and len(fetched(site, made[0]).OriginalAttributesSequence) == 2


def conflicts(site, kind):
    return [one for one in json.loads(cli(site, "conflict", "list", "--json"))["conflicts"] if one["kind"] == kind]


def shown(site, number):
    return json.loads(cli(site, "conflict", "show", str(number), "--json"))


def test_two_patients_under_one_study_uid_are_told_once_and_settled(site):
    made = study_of(site, 50)
    study = uids(made[0])[0]
    for data in made[:3]:
        ds = pydicom.dcmread(io.BytesIO(data))
        ds.PatientID, ds.SOPInstanceUID = "P51", ds.SOPInstanceUID + ".9"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        out = io.BytesIO()
        ds.save_as(out)
        stow(site, out.getvalue())
    (one,) = conflicts(site, "patients")
    told = shown(site, one["number"])
    assert (told["state"], told["study"], told["differ"], told["versions"]) == ("open", study, ["00100020"], [])
    settled = cli(site, "conflict", "settle", str(one["number"]), "--keep", "1", "--reason", "x", check=False)
    assert settled.returncode != 0
    assert edit(site, "study", study, "--set", "PatientID=P50", "--reason", "one patient")["changed"] == 3
    cli(site, "conflict", "settle", str(one["number"]), "--reason", "corrected")
    assert [one["state"] for one in conflicts(site, "patients")] == ["settled"]
    found = json.loads(cli(site, "ledger", "search", "--action", "conflict.settle", "--study", study, "--json"))
    assert len({one["body"]["subject"] for one in found["entries"]}) == 2  # of both patients, in the study's chain
    assert value(qido(site, StudyInstanceUID=study)[0], "00201208") == 7


def test_changed_demographics_are_told_once_for_each_difference(site):
    study_of(site, 60, PatientName="Muster^Anna", PatientBirthDate="19500101", PatientSex="F")
    assert conflicts(site, "demographics") == []
    study_of(site, "60.1", PatientID="P60", PatientName="MUSTER^ANNA^^", PatientBirthDate="19500101", PatientSex="")
    assert conflicts(site, "demographics") == []
    for seed in ("60.2", "60.3"):
        study_of(site, seed, PatientID="P60", PatientName="Beispiel^Anna", PatientBirthDate="19500102", PatientSex="F")
    (one,) = conflicts(site, "demographics")
    assert shown(site, one["number"])["differ"] == ["00100010", "00100030"]
    edit(site, "patient", "P60", "--set", "PatientName=Beispiel^Anna", "--set", "PatientBirthDate=19500102",
         "--reason", "married")
    study_of(site, "60.4", PatientID="P60", PatientName="Beispiel^Anna", PatientBirthDate="19500102", PatientSex="F")
    assert len(conflicts(site, "demographics")) == 1
    assert {value(row, "00100010")["Alphabetic"] for row in qido(site, PatientID="P60")} == {"Beispiel^Anna"}


@pytest.fixture(scope="module")
def many(site):
    """A study of 100 small instances: edited in four changes."""
    plan = phantom.Plan(kind="small", instances=100, slices=100, series=1, rows=8, columns=8, seed=7)
    made = [one.data for one in phantom.instances(plan)]
    stow(site, *made)
    return made


def accessions(site, study):
    answer = site.session().get(site.url(f"/dicom-web/studies/{study}/metadata"), timeout=60).json()
    assert len(answer) == 100
    return [value(one, "00080050") for one in answer]


def test_an_edit_that_was_killed_is_completed_by_the_same_command(site, many):
    study, known = uids(many[0])[0], last(site)
    words = ("study", study, "--set", "AccessionNumber=AFTER", "--reason", "killed")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(cli, site, "edit", *words, check=False)
        deadline = Deadline(60)
        while last(site) == known and not running.done() and deadline.wait("the edit changes something"):
            pass
        site.kill()
        running.result()
    site.start()
    assert "AFTER" in accessions(site, study)
    done = edit(site, *words)
    assert done["instances"] == 100 and set(accessions(site, study)) == {"AFTER"}
    (row,) = qido(site, AccessionNumber="AFTER")
    assert value(row, "00201208") == 100
    assert all(len(fetched(site, data).OriginalAttributesSequence) == 1 for data in many[:100:33])
    assert cli(site, "ledger", "verify")


def of_patient(data, patient, suffix):
    ds = pydicom.dcmread(io.BytesIO(data))
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{ds.SOPInstanceUID}.{suffix}"[-64:]
    ds.PatientID = patient
    out = io.BytesIO()
    ds.save_as(out)
    return out.getvalue()


def edits_of(site, study):
    found = cli(site, "ledger", "search", "--action", "instance.edit", "--study", study, "--json")
    return [one["body"]["detail"].get("what") for one in json.loads(found)["entries"]]


def test_a_study_of_two_patients_is_given_to_nobody_by_an_issuer(site):
    made = study_of(site, 70)
    study, guest = uids(made[0])[0], of_patient(made[0], "P71", 7)
    stow(site, guest)
    refused = cli(site, "edit", "study", study, "--set", "IssuerOfPatientID=HOSP", "--reason", "moved", check=False)
    assert refused.returncode and "name the patient's id" in refused.stderr
    assert (fetched(site, guest).PatientID, "IssuerOfPatientID" in fetched(site, guest)) == ("P71", False)
    for data in made:
        assert site.session().delete(site.url("/dicom-web/studies/%s/series/%s/instances/%s" % uids(data)), timeout=60).ok
    words = ("study", study, "--set", "PatientID=P71", "--reason", "one patient")
    done = edit(site, *words)  # its last instance says so; the study does not
    assert done["changed"] == 0 and value(qido(site, StudyInstanceUID=study)[0], "00100020") == "P71"
    assert edits_of(site, study) == ["study", "study"]  # whose it was, and whose it is
    edit(site, *words, "--set", "PatientName=ROE^RITA")
    assert edits_of(site, study).count("given to another patient") == 0


def test_two_edits_at_once_leave_one_value(site, many):
    study = uids(many[0])[0]
    words = [("study", study, "--set", f"AccessionNumber={one}", "--reason", "race") for one in ("ONE", "TWO")]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda some: cli(site, "edit", *some, check=False), words))
    assert {one.returncode for one in done} <= {0, 7}
    assert set(accessions(site, study)) <= {"ONE", "TWO", "AFTER"}
    edit(site, *words[0])
    assert set(accessions(site, study)) == {"ONE"} and len(qido(site, AccessionNumber="ONE")) == 1
