"""Corrections: new versions that say what they said before; the originals stay, pixels are the same bytes."""
import io
import json

import pydicom
import pytest
from test_changes import feed, last, seen, stow, uids
from testenv import Narthex, phantom

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
    entries = json.loads(cli(site, "ledger", "search", "--action", "instance.edit", "--study", study, "--json"))["entries"]
    assert len(entries) == 4 and entries[0]["body"]["detail"]["reason"] == "typed wrong"
    again = edit(site, *words)
    assert again["changed"] == 0 and seen(feed(site, offset=known)) and last(site) == known + 4
    assert json.loads(cli(site, "conflict", "list", "--json"))["conflicts"] == []
