"""A study counts as complete when it has been quiet, once for what it has, and is told of again when it changes."""
import io
import json
import re
import time

import pydicom
import pytest
from testenv import Narthex, phantom

SLICES = 40
PLAN = phantom.Plan(instances=SLICES, slices=SLICES, series=1, rows=32, columns=32)
SHARED = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
DEADLINE_S = 60
QUIET_S = 1


@pytest.fixture(scope="module")
def made():
    return [one.data for one in phantom.instances(PLAN)]


def started(folder, quiet_s=QUIET_S):
    return Narthex(folder, config={"studies": {"quiet_s": quiet_s}})


def stow(site, *files):
    body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n" for data in files) + b"--b--\r\n"
    assert site.session().post(site.url("/dicom-web/studies"), data=body, headers=SHARED, timeout=60).status_code == 200


def told(site):
    found = json.loads(site.cli("ledger", "search", "--action", "study.complete", "--json", "--site", site.site))
    return [entry["body"]["detail"] for entry in found["entries"]]


def wait_told(site, n):
    deadline = time.monotonic() + DEADLINE_S
    while len(told(site)) < n:
        assert time.monotonic() < deadline, f"told {len(told(site))} times of {n}"
        time.sleep(0.2)
    return told(site)


def changed(data):
    ds = pydicom.dcmread(io.BytesIO(data))
    ds.ImageComments = "corrected"
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    return out.getvalue()


def test_quiet_is_complete_and_a_change_is_told_again(tmp_path, made):
    with started(tmp_path / "nx") as site:
        stow(site, *made[:3])
        assert wait_told(site, 1) == [{"confidence": "quiet", "quiet_s": QUIET_S, "series": 1, "instances": 3}]
        stow(site, made[3])
        assert wait_told(site, 2)[1]["instances"] == 4
        stow(site, changed(made[0]))
        assert wait_told(site, 3)[2]["instances"] == 4
        stow(site, made[1])  # known already: nothing changes
        stow(site, *made[4:6])
        assert wait_told(site, 4)[3]["instances"] == 6
        assert len(told(site)) == 4


def test_what_was_open_at_a_stop_is_taken_up_again(tmp_path, made):
    with started(tmp_path / "nx", quiet_s=5) as site:
        stow(site, made[0])
        site.stop()
        site.start()
        assert wait_told(site, 1)[0]["instances"] == 1
        site.stop()
        site.start()
        stow(site, made[1])
        assert [one["instances"] for one in wait_told(site, 2)] == [1, 2]


def test_a_complete_study_is_made_ready_for_viewers(tmp_path, made):
    with started(tmp_path / "nx") as site:
        stow(site, *made)
        wait_told(site, 1)
        deadline = time.monotonic() + DEADLINE_S
        text = ""
        while not re.search(r"^narthex_series_records_made_total 1$", text, re.M):
            assert time.monotonic() < deadline
            text = site.session().get(site.url("/metrics", "management"), timeout=60).text
            time.sleep(0.2)
