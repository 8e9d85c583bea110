"""Which of two versions counts is said by a person, becomes the newest version, and loses none of the others."""
import io
import json

import pydicom
import pytest
from test_changes import changed, feed, last, seen, stow, uids
from testenv import Narthex, phantom

PLAN = phantom.Plan(instances=4, slices=4, series=1, rows=256, columns=256)


@pytest.fixture(scope="module")
def made():
    return [one.data for one in phantom.instances(PLAN)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Narthex(tmp_path_factory.mktemp("settle") / "nx") as one:
        yield one


def cli(site, *words, check=True):
    return site.cli(*words, "--site", site.site, check=check)


def conflicts(site):
    return json.loads(cli(site, "conflict", "list", "--json"))["conflicts"]


def show(site, number):
    return json.loads(cli(site, "conflict", "show", str(number), "--json"))


def fetched(site, data):
    path = "/dicom-web/studies/%s/series/%s/instances/%s" % uids(data)
    return site.session().get(site.url(path), headers={"Accept": "application/dicom"}, timeout=60).content


def test_the_old_version_counts_again_and_nothing_is_lost(site, made, tmp_path):
    data = made[0]
    wrong = changed(data, "another patient's")
    stow(site, data)
    stow(site, wrong)
    (conflict,) = conflicts(site)
    number = conflict["number"]
    assert conflict["state"] == "open" and fetched(site, data) == wrong
    known = last(site)
    cli(site, "conflict", "settle", str(number), "--keep", "1", "--reason", "sent by mistake")
    assert fetched(site, data) == data
    (conflict,) = conflicts(site)
    assert conflict["state"] == "settled"
    versions = show(site, number)["versions"]
    assert [(one["version"], one["state"]) for one in versions] == [(1, "old"), (2, "old"), (3, "live")]
    assert [one["door"] for one in versions] == ["stow-rs", "stow-rs", "settle"]
    assert seen(feed(site, offset=known)) == [("Update", "current", uids(data)[2])]
    cli(site, "conflict", "get", str(number), "2", str(tmp_path / "wrong.dcm"))
    assert (tmp_path / "wrong.dcm").read_bytes() == wrong
    entry = json.loads(cli(site, "ledger", "search", "--action", "conflict.settle", "--json"))["entries"][-1]
    assert entry["body"]["detail"]["keep"] == 1 and entry["body"]["detail"]["reason"] == "sent by mistake"
    done = cli(site, "conflict", "settle", str(number), "--keep", "2", "--reason", "again", check=False)
    assert done.returncode != 0 and fetched(site, data) == data
    found = site.session().get(site.url("/dicom-web/instances"), timeout=60).json()
    assert len(found) == 1
    site.kill()
    site.start()
    assert fetched(site, data) == data and conflicts(site) == [conflict]


def test_the_newest_may_be_the_one_that_counts(site, made):
    data, better = made[1], changed(made[1], "corrected")
    stow(site, data)
    stow(site, better)
    number, known = conflicts(site)[-1]["number"], last(site)
    cli(site, "conflict", "settle", str(number), "--keep", "2", "--reason", "a correction")
    assert fetched(site, data) == better and last(site) == known
    shown = show(site, number)
    assert shown["state"] == "settled" and [one["door"] for one in shown["versions"]] == ["stow-rs", "stow-rs"]


def moved(data, study, sop):
    """The same series in another study."""
    ds = pydicom.dcmread(io.BytesIO(data))
    ds.StudyInstanceUID, ds.SOPInstanceUID = study, sop
    ds.file_meta.MediaStorageSOPInstanceUID = sop
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    return out.getvalue()


def test_a_series_of_two_studies_is_told_once_and_both_are_kept(site, made):
    stow(site, made[1])
    before = [one["number"] for one in conflicts(site)]
    for n in range(3):
        stow(site, moved(made[1], "2.25.4711", f"2.25.471{n}"))
    stow(site, made[2])
    (conflict,) = [one for one in conflicts(site) if one["number"] not in before]
    assert conflict["kind"] == "series" and conflict["state"] == "open"
    shown = show(site, conflict["number"])
    study, series, _ = uids(made[1])
    assert (shown["study"], shown["other_study"], shown["series"]) == ("2.25.4711", study, series)
    assert shown["differ"] == ["0020000D"] and shown["versions"] == []
    assert study in cli(site, "conflict", "show", str(conflict["number"]))
    refused = cli(site, "conflict", "settle", str(conflict["number"]), "--keep", "1", "--reason", "x", check=False)
    assert refused.returncode == 2
    cli(site, "conflict", "settle", str(conflict["number"]), "--reason", "sent under the wrong study")
    assert show(site, conflict["number"])["state"] == "settled"
    stow(site, moved(made[1], "2.25.4711", "2.25.4719"))
    assert len(conflicts(site)) == len(before) + 1
    stow(site, moved(made[1], "2.25.4712", "2.25.4720"))  # a third study
    assert show(site, conflicts(site)[-1]["number"])["other_study"] == study


def test_who_and_what_is_refused(site, made):
    stow(site, made[2])
    stow(site, changed(made[2], "two"))
    number = conflicts(site)[-1]["number"]
    url = site.url(f"/api/v1/conflicts/{number}/settle", "management")
    token = json.loads(cli(site, "token", "create", "looking", "reader", "--json"))["token"]
    body = {"keep": 1, "reason": "because"}
    assert site.session(token).post(url, json=body, timeout=60).status_code == 403
    session = site.session()
    for wrong, status in (({"keep": 9, "reason": "x"}, 404), ({"keep": 0, "reason": "x"}, 400), ({"keep": 1}, 400)):
        assert session.post(url, json=wrong, timeout=60).status_code == status, wrong
    missing = site.url("/api/v1/conflicts/999/settle", "management")
    assert session.post(missing, json=body, timeout=60).status_code == 404
    assert conflicts(site)[-1]["state"] == "open"
    assert session.post(url, json=body, timeout=60).status_code == 204
    assert session.post(url, json=body, timeout=60).status_code == 409
