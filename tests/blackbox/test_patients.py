"""Whose an instance is: a study that changes its patient on the way, names that two things share."""
import io
import json

import pydicom
import pytest
from testenv import Narthex, phantom

API = "/api/v1"
SHARED = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
WHOLE = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
ONE = {"Accept": "application/dicom; transfer-syntax=*"}


@pytest.fixture(scope="module")
def made():
    """Four instances of one study, in two series."""
    plan = phantom.Plan(instances=4, slices=2, series=2, rows=256, columns=256)
    return [one.data for one in phantom.instances(plan)]


@pytest.fixture
def site(tmp_path):
    with Narthex(tmp_path / "nx") as server:
        yield server


def of_patient(data, patient, study=None):
    ds = pydicom.dcmread(io.BytesIO(data))
    ds.PatientID, ds.PatientName = patient, patient + "^NAME"
    ds.SeriesDescription = "of " + patient
    if study:
        ds.StudyInstanceUID = study
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    return out.getvalue(), ds


def stow(site, *files):
    body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n" for data, _ in files) + b"--b--\r\n"
    assert site.session().post(site.url("/dicom-web/studies"), data=body, headers=SHARED, timeout=60).status_code == 200


def path(ds):
    return f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"


def got(site, file, token=None):
    data, ds = file
    answer = site.session(token).get(site.url(path(ds)), headers=ONE, timeout=60)
    assert answer.status_code != 200 or answer.content == data
    return answer.status_code


def reads(site, patient, who):
    """What `who` read of the patient, as its accounting has it."""
    seen = site.session().get(site.url(f"{API}/who-saw", "management"), timeout=60,
                              params={"collection": "clinical", "patient": patient}).json()["entries"]
    return [entry for entry in seen if entry["action"] == "read" and entry["body"]["principal"] == who]


def reader(site):
    url = site.url(f"{API}/tokens", "management")
    return site.session().post(url, json={"name": "r", "role": "reader"}, timeout=60).json()["token"]


def erase(site, patient):
    answer = site.session().post(site.url(f"{API}/erasures", "management"), timeout=60,
                                 json={"collection": "clinical", "patient_id": patient, "reason": "test"})
    assert answer.status_code == 201, answer.text


def studies(site, **keys):
    answer = site.session().get(site.url("/dicom-web/studies"), params=keys, timeout=60)
    return answer.json() if answer.status_code == 200 else []


def mixed(made):
    """The first of each series is PA's, the second PB's; then one series the other way about."""
    owners = ("PA", "PB", "PB", "PA")
    study = str(pydicom.dcmread(io.BytesIO(made[0])).StudyInstanceUID)
    return [of_patient(data, owner, study) for data, owner in zip(made, owners)]


# ---- who saw whom ----

def test_a_read_is_in_the_accounting_of_every_patient_in_the_study(site, made):
    files = mixed(made)
    stow(site, *files)
    token = reader(site)
    assert got(site, files[1], token) == 200  # PB's, in the study that began as PA's
    assert len(reads(site, "PB", "r")) == 1
    whole = site.session(token).get(site.url(path(files[0][1]).partition("/series")[0]), headers=WHOLE, timeout=60)
    assert whole.status_code == 200
    assert reads(site, "PA", "r") and reads(site, "PB", "r")


def test_an_object_named_like_a_study_does_not_hide_a_read(site, made):
    file = of_patient(made[0], "PC")
    stow(site, file)
    study, token = file[1].StudyInstanceUID, reader(site)
    url = site.url(f"{API}/collections/clinical/objects/{study}", "management")
    assert site.session().put(url, data=b"x", timeout=60).status_code == 201
    assert site.session(token).get(url, timeout=60).content == b"x"
    assert site.session(token).get(site.url(f"/dicom-web/studies/{study}"), headers=WHOLE, timeout=60).status_code == 200
    assert len(reads(site, "PC", "r")) == 1


def test_a_name_that_passes_to_another_patient_is_read_anew(site):
    token = reader(site)
    url = site.url(f"{API}/collections/clinical/objects/report", "management")
    for patient in ("PD", "PE"):
        assert site.session().put(url, params={"patient": patient}, data=patient, timeout=60).status_code == 201
        assert site.session(token).get(url, timeout=60).text == patient
        assert site.session().delete(url, timeout=60).status_code == 204
        assert len(reads(site, patient, "r")) == 1


# ---- an instance that moves ----

def related(site, study, level):
    answer = site.session().get(site.url(f"/dicom-web/studies/{study}/{level}"), timeout=60)
    return answer.json() if answer.status_code == 200 else []


def test_a_study_without_instances_is_in_no_answer_until_one_comes_back(site, made):
    first, other = of_patient(made[0], "PM"), of_patient(made[1], "PM")
    old, new = first[1].StudyInstanceUID, "2.25.77"
    moved = of_patient(made[0], "PM", new)
    stow(site, first, other)
    stow(site, moved)
    by_study = {one["0020000D"]["Value"][0]: one["00201208"]["Value"] for one in studies(site, PatientID="PM")}
    assert by_study == {old: [1], new: [1]}
    stow(site, of_patient(made[1], "PM", new))
    (only,) = studies(site, PatientID="PM")
    assert only["0020000D"]["Value"] == [new] and only["00201208"]["Value"] == [2]
    assert related(site, old, "series") == [] and got(site, first) == 404 and got(site, moved) == 200
    assert [study["StudyInstanceUID"] for study in json.loads(
        site.cli("find", "study", "--json", "--site", site.site))["studies"]] == [new]
    stow(site, first)
    by_study = {one["0020000D"]["Value"][0]: one["00201208"]["Value"] for one in studies(site, PatientID="PM")}
    assert by_study == {old: [1], new: [1]} and len(related(site, old, "series")) == 1


def test_a_series_without_instances_is_not_counted(site, made):
    files = [of_patient(data, "PM") for data in made]
    stow(site, *files)
    ds = pydicom.dcmread(io.BytesIO(made[0]))
    study, into = ds.StudyInstanceUID, files[3][1].SeriesInstanceUID
    left = files[0][1].SeriesInstanceUID
    for data, file in zip(made, files):
        if file[1].SeriesInstanceUID == left:
            moved = pydicom.dcmread(io.BytesIO(data))
            moved.PatientID, moved.SeriesInstanceUID = "PM", into
            out = io.BytesIO()
            moved.save_as(out, write_like_original=False)
            stow(site, (out.getvalue(), moved))
    (one,) = studies(site, includefield="all", PatientID="PM")
    assert one["0020000D"]["Value"] == [study] and one["00201208"]["Value"] == [4]
    assert one["00201206"]["Value"] == [1]
    (series,) = related(site, study, "series")
    assert series["0020000E"]["Value"] == [into] and series["00201209"]["Value"] == [4]
    stow(site, next(file for file in files if file[1].SeriesInstanceUID == left))
    (one,) = studies(site, includefield="all", PatientID="PM")
    assert one["00201206"]["Value"] == [2] and one["00201208"]["Value"] == [4]
    site.stop()
    found = json.loads(site.cli("fsck", "--json", "--site", site.site, "--passphrase-file", site.passphrase_file))
    site.start()
    assert found["fsck"]["wrong_counters"] == 0, found


# ---- erasure ----

def check_left(site, files, patient):
    """What is not of the erased patient is there and found, and nothing is left of whom is."""
    left = [file for file in files if file[1].PatientID != patient]
    assert [got(site, file) for file in files] == [200 if file in left else 404 for file in files]
    (study,) = studies(site, StudyInstanceUID=files[0][1].StudyInstanceUID, includefield="all")
    series = site.session().get(site.url(f"/dicom-web/studies/{files[0][1].StudyInstanceUID}/series"),
                                params={"includefield": "all"}, timeout=60).json()
    assert patient not in json.dumps([study, series])
    assert study["00100020"]["Value"] == [left[0][1].PatientID]
    assert study["00201208"]["Value"] == [len(left)] and len(series) == study["00201206"]["Value"][0]
    assert [one["00201209"]["Value"][0] for one in series] == [1] * len(left)


@pytest.mark.parametrize("patient", ["PA", "PB"])
def test_an_erasure_leaves_the_other_patients_of_a_study(site, made, patient):
    files = mixed(made)
    for file in files:
        stow(site, file)
    erase(site, patient)
    check_left(site, files, patient)
    site.stop()
    offline = ["--site", site.site, "--passphrase-file", site.passphrase_file]
    for extra in ([], ["--rebuild"]):
        report = json.loads(site.cli("fsck", "--json", *extra, *offline))["fsck"]
        assert report["sound"] and report["wrong_counters"] == 0
    site.start()
    check_left(site, files, patient)
    other = "PB" if patient == "PA" else "PA"
    erase(site, other)
    assert [got(site, file) for file in files] == [404] * 4
    assert studies(site) == []


def test_a_copy_without_names_is_of_one_patient(site, made):
    files = mixed(made)
    stow(site, *files)
    answer = site.session().post(site.url(f"{API}/deid", "management"), timeout=60, json={
        "collection": "clinical", "study": files[0][1].StudyInstanceUID, "destination": "curated"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["stored"] == 2
    assert [one["why"] for one in answer.json()["left_out"]] == ["another patient"] * 2
