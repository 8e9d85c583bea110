"""The change feed: numbers without a gap, resumed after any, waited for, the same after a kill and a rebuild."""
import io
import json
import threading
import time

import pydicom
import pytest
from testenv import Narthex, phantom

PLAN = phantom.Plan(instances=12, slices=4, series=1, rows=8, columns=8)
SHARED = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}


@pytest.fixture(scope="module")
def made():
    return list(phantom.instances(PLAN))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Narthex(tmp_path_factory.mktemp("changes") / "nx") as one:
        one.cli("collection", "create", "strict", "--site", one.site, "--on-conflict", "reject")
        yield one


def stow(site, *files, mount="/dicom-web", status=200):
    body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n" for data in files) + b"--b--\r\n"
    answer = site.session().post(site.url(mount + "/studies"), data=body, headers=SHARED, timeout=60)
    assert answer.status_code == status, answer.text


def changed(data, comment):
    ds = pydicom.dcmread(io.BytesIO(data))
    ds.ImageComments = comment
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    return out.getvalue()


def uids(data):
    ds = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    return ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID


def feed(site, mount="/dicom-web", **params):
    answer = site.session().get(site.url(mount + "/changefeed"), params=params, timeout=90)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()


def last(site, mount="/dicom-web"):
    answer = site.session().get(site.url(mount + "/changefeed/latest"), timeout=60)
    return answer.json()["Sequence"] if answer.status_code == 200 else 0


def seen(entries):
    return [(one["Action"], one["State"], one["SopInstanceUid"]) for one in entries]


def test_what_became_of_every_instance_has_a_number(site, made):
    assert last(site) == 0 and feed(site) == []
    first, second = made[0].data, made[1].data
    stow(site, first, second)
    stow(site, first)  # nothing became of it
    stow(site, changed(first, "corrected"))
    a, b = uids(first), uids(second)
    assert site.session().delete(site.url("/dicom-web/studies/%s/series/%s/instances/%s" % b), timeout=60).ok
    entries = feed(site)
    assert [one["Sequence"] for one in entries] == [1, 2, 3, 4]
    assert seen(entries) == [("Create", "replaced", a[2]), ("Create", "deleted", b[2]), ("Update", "current", a[2]),
                             ("Delete", "deleted", b[2])]
    assert [(one["StudyInstanceUid"], one["SeriesInstanceUid"]) for one in entries] == [a[:2], b[:2], a[:2], b[:2]]
    assert entries == sorted(entries, key=lambda one: one["Timestamp"])
    stow(site, second)
    assert seen(feed(site, offset=4)) == [("Create", "current", b[2])]
    assert feed(site, offset=5) == [] and feed(site, offset=10 ** 15) == []


def test_pages_follow_each_other_after_any_number(site, made):
    stow(site, *(one.data for one in made[2:8]))
    whole = feed(site, limit=1000)
    for size in (1, 3, 1000):
        read = []
        while page := feed(site, offset=len(read), limit=size):
            assert len(page) <= size
            read += page
        assert read == whole
    assert [one["Sequence"] for one in whole] == list(range(1, len(whole) + 1))
    listed = json.loads(site.cli("changes", "--after", "3", "--limit", "2", "--json", "--site", site.site))
    assert listed["changes"] == whole[3:5]
    assert whole[0]["SopInstanceUid"] in site.cli("changes", "--limit", "1", "--site", site.site)


def test_a_collection_has_numbers_of_its_own_and_refusals_have_none(site, made):
    before = last(site)
    stow(site, made[0].data, mount="/dicom-web/strict")
    stow(site, changed(made[0].data, "refused"), mount="/dicom-web/strict", status=409)
    stow(site, made[1].data, mount="/dicom-web/strict")
    entries = feed(site, mount="/dicom-web/strict")
    assert [(one["Sequence"], one["Action"]) for one in entries] == [(1, "Create"), (2, "Create")]
    assert last(site) == before


def test_who_may_not_query_may_not_follow(site):
    token = json.loads(site.cli("token", "create", "watcher", "monitor", "--json", "--site", site.site))["token"]
    session = site.session(token)
    assert session.get(site.url("/dicom-web/changefeed"), timeout=60).status_code == 403
    session = site.session()
    assert session.get(site.url("/dicom-web/nowhere/changefeed"), timeout=60).status_code == 404
    for params in ("offset=-1", "limit=x", "wait=1.5"):
        assert session.get(site.url(f"/dicom-web/changefeed?{params}"), timeout=60).status_code == 400


def test_waiting_ends_with_the_next_change_or_with_the_time(site, made):
    known = last(site)
    started = time.monotonic()
    assert feed(site, offset=known, wait=1) == [] and time.monotonic() - started >= 1
    got = []
    waiter = threading.Thread(target=lambda: got.append(feed(site, offset=known, wait=60)))
    waiter.start()
    stow(site, made[8].data)
    waiter.join(30)
    assert not waiter.is_alive() and seen(got[0]) == [("Create", "current", uids(made[8].data)[2])]
    assert got[0][0]["Sequence"] == known + 1
    assert feed(site, offset=known, wait=60) == got[0]


def test_numbers_outlive_a_kill_and_a_stop_frees_who_waits(site, made):
    whole = feed(site, limit=1000)
    site.kill()
    site.start()
    assert feed(site, limit=1000) == whole
    stow(site, made[9].data)
    assert last(site) == len(whole) + 1
    waiting = site.session()
    failed = []

    def wait():
        try:
            waiting.get(site.url("/dicom-web/changefeed"), params={"offset": 1000, "wait": 60}, timeout=90)
        except OSError as error:
            failed.append(error)
    waiter = threading.Thread(target=wait)
    waiter.start()
    started = time.monotonic()
    site.stop()
    waiter.join(60)
    assert time.monotonic() - started < 30
    checked = json.loads(site.cli("fsck", "--rebuild", "--json", "--site", site.site, "--passphrase-file",
                                  site.passphrase_file))
    assert checked["fsck"]["sound"], checked
    site.start()
    assert feed(site, limit=1000)[:-1] == whole


def test_an_erasure_is_told_and_takes_the_names(site, made):
    whole = feed(site, limit=1000)
    patient = made[0].patient_id
    site.cli("erase", "--patient", patient, "--collection", "clinical", "--reason", "asked", "--yes", "--site", site.site)
    entries = feed(site, limit=1000)
    assert len(entries) == len(whole) + 1
    erased = entries[-1]
    assert erased["Action"] == "Erase" and erased["SopInstanceUid"] is None and erased["State"] == "erased"
    theirs = [one for one in entries if one["Subject"] == erased["Subject"]]
    assert len(theirs) > 1 and all(one["State"] == "erased" and not one["StudyInstanceUid"] for one in theirs)
    assert [one["Sequence"] for one in entries] == list(range(1, len(entries) + 1))
    rest = [one for one in entries if one["Subject"] != erased["Subject"]]
    assert all(one["State"] != "erased" for one in rest)
    assert {one["State"] for one in feed(site, mount="/dicom-web/strict")} == {"current"}  # another key domain
