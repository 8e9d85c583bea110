"""Rejection notes: what they name is given to nobody, is there all the same, and can be used again."""
import io
import json

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from test_changes import feed, last, seen, stow, uids
from test_edit import cli, qido, study_of, value
from testenv import Dcmtk, Narthex

KOS = "1.2.840.10008.5.1.4.1.1.88.59"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Narthex(tmp_path_factory.mktemp("reject") / "nx") as one:
        yield one


def item(**values):
    ds = Dataset()
    for key, one in values.items():
        setattr(ds, key, one)
    return ds


def note_of(made, code, suffix):
    """A note as a workstation writes it, about all that was made."""
    first = pydicom.dcmread(io.BytesIO(made[0]))
    refs = [item(ReferencedSOPClassUID=one.SOPClassUID, ReferencedSOPInstanceUID=one.SOPInstanceUID)
            for one in (pydicom.dcmread(io.BytesIO(data)) for data in made)]
    ds = item(SOPClassUID=KOS, SOPInstanceUID=f"{first.SOPInstanceUID}.{suffix}"[-64:], Modality="KO",
              StudyInstanceUID=first.StudyInstanceUID, SeriesInstanceUID=f"{first.SeriesInstanceUID}.{suffix}"[-64:],
              PatientID=first.PatientID, PatientName=first.PatientName, ValueType="CONTAINER")
    ds.ConceptNameCodeSequence = Sequence(
        [item(CodeValue=code, CodingSchemeDesignator="DCM", CodeMeaning="because")])
    ds.CurrentRequestedProcedureEvidenceSequence = Sequence([item(
        StudyInstanceUID=first.StudyInstanceUID, ReferencedSeriesSequence=Sequence(
            [item(SeriesInstanceUID=first.SeriesInstanceUID, ReferencedSOPSequence=Sequence(refs))]))])
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = KOS, ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.is_little_endian, ds.is_implicit_VR = True, False
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    return out.getvalue()


def rejected(site):
    return json.loads(cli(site, "rejected", "list", "--json"))["rejected"]


def uids_of(site, study, instance):
    found, = qido(site, "instances", StudyInstanceUID=study, SOPInstanceUID=instance)
    return value(found, "0020000E"), instance


def images(site, study):
    return [value(one, "00080018") for one in qido(site, "instances", StudyInstanceUID=study, Modality="CT")]


def test_a_note_hides_what_it_names_and_it_can_be_used_again(site, tmp_path):
    made = study_of(site, 1)
    study, series, instance = uids(made[0])
    known = last(site)
    stow(site, note_of(made[:2], "113001", 9))
    assert len(images(site, study)) == 2 and len(rejected(site)) == 2
    path = f"/dicom-web/studies/{study}/series/{series}/instances/{instance}"
    assert site.session().get(site.url(path), headers={"Accept": "application/dicom"}, timeout=60).status_code == 404
    assert value(qido(site, StudyInstanceUID=study)[0], "00201208") == 3  # two images and the note
    assert sorted(one[:2] for one in seen(feed(site, offset=known))) == [("Create", "current")] + [
        ("Delete", "rejected")] * 2
    one = next(one for one in rejected(site) if one["instance"] == instance)
    assert one["reason"] == "quality" and one["study"] == study and one["note"]
    cli(site, "rejected", "get", str(one["number"]), str(tmp_path / "kept.dcm"))
    assert (tmp_path / "kept.dcm").read_bytes() == made[0]
    stow(site, made[0], status=409)  # it stays rejected
    assert len(images(site, study)) == 2
    site.kill()
    site.start()
    assert len(rejected(site)) == 2 and len(images(site, study)) == 2
    done = json.loads(cli(site, "rejected", "restore", study, "--reason", "looked at again", "--json"))
    assert done == {"restored": 2} and rejected(site) == [] and len(images(site, study)) == 4
    assert site.session().get(site.url(path), headers={"Accept": "application/dicom"}, timeout=60).content == made[0]
    stow(site, note_of(made[:2], "113001", 9))  # the same note again is no news
    assert rejected(site) == []
    for action, n in (("rejection", 1), ("rejection.end", 2)):
        entries = json.loads(cli(site, "ledger", "search", "--action", action, "--study", study, "--json"))["entries"]
        assert len(entries) == n, action


def test_notes_made_here_are_read_by_others(site):
    made = study_of(site, 2)
    study, series, instance = uids(made[1])
    done = json.loads(cli(site, "reject", study, series, instance, "--reason", "retention", "--json"))
    assert done["rejected"] == 1 and len(images(site, study)) == 3
    path = f"/dicom-web/studies/{study}/series/{done['series']}/instances/{done['note']}"
    ds = pydicom.dcmread(io.BytesIO(
        site.session().get(site.url(path), headers={"Accept": "application/dicom"}, timeout=60).content))
    assert ds.SOPClassUID == KOS and ds.PatientID == "P2" and ds.ConceptNameCodeSequence[0].CodeValue == "113039"
    (evidence,) = ds.CurrentRequestedProcedureEvidenceSequence
    assert evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == instance
    assert ds.ContentSequence[0].ValueType == "IMAGE"
    stow(site, made[1])  # what was too old may come again
    assert len(images(site, study)) == 4 and rejected(site) == []
    missing = cli(site, "reject", study, series, "1.2.3", "--reason", "quality", check=False)
    assert missing.returncode == 3
    wrong = cli(site, "reject", study, "--reason", "because", check=False)
    assert wrong.returncode != 0 and len(images(site, study)) == 4


def written(ds):
    out = io.BytesIO()
    ds.save_as(out)
    return out.getvalue()


def test_a_note_is_not_rejected_with_its_study(site):
    made = study_of(site, 21)
    study = uids(made[0])[0]
    cli(site, "reject", study, "--reason", "quality")
    note = [value(one, "00080018") for one in qido(site, "instances", StudyInstanceUID=study)]
    again = cli(site, "reject", study, "--reason", "quality", check=False)
    assert len(note) == 1 and again.returncode == 3 and "no such instances" in again.stderr
    cli(site, "rejected", "restore", study, "--reason", "looked at again")
    done = json.loads(cli(site, "reject", study, "--reason", "quality", "--json"))
    assert done["rejected"] == len(made)  # and not the note
    assert len(qido(site, "instances", StudyInstanceUID=study)) == 2
    cli(site, "reject", study, *uids_of(site, study, note[0]), "--reason", "quality")  # by name it is
    assert note[0] not in [value(one, "00080018") for one in qido(site, "instances", StudyInstanceUID=study)]


def test_a_note_may_name_anything_twice_and_itself(site):
    made = study_of(site, 5)
    study = uids(made[0])[0]
    ds = pydicom.dcmread(io.BytesIO(note_of([made[0], made[0]], "113001", 7)))
    (evidence,) = ds.CurrentRequestedProcedureEvidenceSequence
    evidence.ReferencedSeriesSequence.append(item(
        SeriesInstanceUID=ds.SeriesInstanceUID, ReferencedSOPSequence=Sequence(
            [item(ReferencedSOPClassUID=KOS, ReferencedSOPInstanceUID=ds.SOPInstanceUID)])))
    for name in ("FIRST", "SECOND"):  # which replaces the one it names
        ds.PatientName = name
        stow(site, written(ds))
        assert value(qido(site, StudyInstanceUID=study)[0], "00201208") == 4  # three images and the note
        assert [one["instance"] for one in rejected(site) if one["study"] == study] == [uids(made[0])[2]]
    cli(site, "edit", "study", study, "--set", "StudyDescription=Knee", "--reason", "typed wrong")
    cli(site, "rejected", "restore", study, "--reason", "looked at again")
    stow(site, written(ds))  # what was corrected since is no news either
    told = json.loads(cli(site, "ledger", "search", "--action", "rejection", "--study", study, "--json"))["entries"]
    assert len(images(site, study)) == 4 and len(told) == 1


def test_a_note_of_another_study_with_a_long_value(site):
    made, other = study_of(site, 6), study_of(site, 7)
    study = uids(made[0])[0]
    ds = pydicom.dcmread(io.BytesIO(note_of(made, "113001", 6)))
    ds.StudyInstanceUID, ds.PatientID = uids(other[0])[0], "P7"
    ds.add_new(0x00090010, "LO", "TEST")
    ds.add_new(0x00091001, "OB", bytes(70000))
    stow(site, written(ds))
    assert images(site, study) == [] and len(images(site, ds.StudyInstanceUID)) == 4
    (told,) = json.loads(cli(site, "ledger", "search", "--action", "rejection", "--study", study, "--json"))["entries"]
    assert told["body"]["detail"]["instances"] == 4


def test_what_is_rejected_is_kept_when_its_study_became_another_patient_s(site):
    made = study_of(site, 8)
    study = uids(made[0])[0]
    cli(site, "reject", *uids(made[0]), "--reason", "quality")
    cli(site, "edit", "study", study, "--set", "PatientID=P9", "--reason", "wrong patient")
    cli(site, "erase", "--patient", "P9", "--collection", "clinical", "--reason", "asked for", "--yes")
    assert qido(site, StudyInstanceUID=study) == []
    assert [one["instance"] for one in rejected(site) if one["study"] == study] == [uids(made[0])[2]]
    cli(site, "rejected", "restore", study, "--reason", "was right")
    assert images(site, study) == [uids(made[0])[2]]
    assert value(qido(site, StudyInstanceUID=study)[0], "00100020") == "P8"
    site.stop()
    site.cli("fsck", "--passphrase-file", site.passphrase_file, "--site", site.site)
    site.start()


def test_the_wrong_worklist_entry_may_come_in_another_study(site):
    made = study_of(site, 3)
    study = uids(made[0])[0]
    cli(site, "reject", study, "--reason", "worklist")
    assert images(site, study) == []
    stow(site, made[0], status=409)
    ds = pydicom.dcmread(io.BytesIO(made[0]))
    ds.StudyInstanceUID += ".5"
    ds.SeriesInstanceUID += ".5"
    out = io.BytesIO()
    ds.save_as(out)
    stow(site, out.getvalue())
    assert images(site, ds.StudyInstanceUID) == [ds.SOPInstanceUID]


def test_who_may_not_reject_stores_no_note(site):
    made = study_of(site, 4)
    study, known = uids(made[0])[0], last(site)
    token = json.loads(cli(site, "token", "create", "looking", "reader", "--json"))["token"]
    session = site.session(token)
    base = site.url("/api/v1/collections/clinical/rejected", "management")
    assert session.get(base, timeout=60).status_code == 403
    assert session.post(base, json={"study": study, "reason": "quality"}, timeout=60).status_code == 403
    cli(site, "ae", "allow", "CT9", "clinical", "--role", "modality")
    path = site.folder / "note.dcm"
    path.write_bytes(note_of(made, "113037", 8))
    done = Dcmtk(site.ports["dimse"], aet="CT9").storescu([path], "-v", check=False)
    assert done.returncode != 0 and len(images(site, study)) == 4 and last(site) == known
    cli(site, "ae", "allow", "QA9", "clinical", "--role", "quality")
    Dcmtk(site.ports["dimse"], aet="QA9").storescu([path])
    assert images(site, study) == [] and {one["reason"] for one in rejected(site) if one["study"] == study} == {"safety"}
