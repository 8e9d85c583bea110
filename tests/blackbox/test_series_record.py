"""Metadata of a long series: the answer made in advance is the answer made on the spot, and never an old one."""
import json
import re
import time

import pytest
from testenv import Narthex, phantom

SLICES = 40
PLAN = phantom.Plan(instances=SLICES + 1, slices=SLICES + 1, series=1, rows=256, columns=256)
JSON = {"Accept": "application/dicom+json"}
SHARED = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
DEADLINE_S = 60


@pytest.fixture(scope="module")
def made():
    return list(phantom.instances(PLAN))


@pytest.fixture
def site(tmp_path):
    with Narthex(tmp_path / "nx") as server:
        yield server


def stow(site, instances):
    body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + one.data + b"\r\n" for one in instances)
    answer = site.session().post(site.url("/dicom-web/studies"), data=body + b"--b--\r\n", headers=SHARED, timeout=60)
    assert answer.status_code == 200


def counter(site, name):
    text = site.session().get(site.url("/metrics", "management"), timeout=60).text
    return int(re.search(rf"^narthex_series_records_{name}_total (\d+)$", text, re.M)[1])


def wait_made(site, want):
    """The maker waits until nothing has arrived for a while."""
    deadline = time.monotonic() + DEADLINE_S
    while counter(site, "made") < want:
        assert time.monotonic() < deadline, "no series record was made"
        time.sleep(0.1)


def url(site, series=PLAN):
    return site.url(f"/dicom-web/studies/{phantom.uid(series, 'study', 0)}/series/{phantom.uid(series, 'series', 0, 0)}"
                    "/metadata")


def metadata(site, **headers):
    return site.session().get(url(site), headers={**JSON, **headers}, timeout=60)


def numbers(answer):
    assert answer.status_code == 200, answer.text
    return sorted(one["00200013"]["Value"][0] for one in answer.json())


def test_the_answer_is_the_same_and_follows_the_series(site, made):
    stow(site, made[:SLICES])
    fresh = metadata(site)
    assert fresh.status_code == 200 and numbers(fresh) == list(range(1, SLICES + 1))
    wait_made(site, 1)
    assert counter(site, "used") == 0
    ready = metadata(site)
    assert counter(site, "used") == 1
    assert ready.content == fresh.content and ready.headers["ETag"] == fresh.headers["ETag"]
    assert metadata(site, **{"If-None-Match": ready.headers["ETag"]}).status_code == 304
    bulk = {one["7FE00010"]["BulkDataURI"] for one in ready.json()}
    assert len(bulk) == SLICES
    assert all(uri.startswith(site.url("/dicom-web/studies/")) for uri in bulk)
    pixels = site.session().get(sorted(bulk)[0], headers={"Accept": "application/octet-stream"}, timeout=60)
    assert any(one.data.endswith(pixels.content) for one in made) and len(pixels.content) == 256 * 256 * 2

    stow(site, made[SLICES:])
    used = counter(site, "used")
    assert numbers(metadata(site)) == list(range(1, SLICES + 2)) and counter(site, "used") == used
    wait_made(site, 2)
    assert numbers(metadata(site)) == list(range(1, SLICES + 2)) and counter(site, "used") == used + 1


def test_it_outlives_a_restart_and_not_an_erasure(site, made):
    stow(site, made)
    fresh = metadata(site).json()
    wait_made(site, 1)
    # It is no object, and no instance.
    listed = site.session().get(site.url("/api/v1/collections/clinical/objects", "management"), timeout=60).json()
    assert listed["objects"] == []
    site.stop()
    checked = json.loads(site.cli("fsck", "--json", "--site", site.site, "--passphrase-file", site.passphrase_file))
    assert checked["fsck"]["sound"] and checked["fsck"]["orphans"] == 0 and checked["scrub"]["bad"] == 0, checked
    assert checked["fsck"]["items"] == SLICES + 2
    site.start()
    again = metadata(site).json()
    assert counter(site, "used") == 1
    port = re.compile(r":\d+/dicom-web/")
    assert port.sub("/", json.dumps(again)) == port.sub("/", json.dumps(fresh))
    certificate = site.cli("erase", "--patient", made[0].patient_id, "--collection", "clinical", "--reason", "asked",
                           "--yes", "--site", site.site)
    assert json.loads(certificate)["statement"]["items"] == SLICES + 1
    assert metadata(site).status_code == 404


def packs(site):
    return {path: path.read_bytes() for path in site.site.glob("pool/*/*.nxp")}


def changed(before, after):
    """(path, offset) of every 64 bytes that came between the two."""
    for path, data in after.items():
        old = before.get(path, b"")
        for at in range(0, len(data), 64):
            if data[at:at + 64] != old[at:at + 64] and any(data[at:at + 64]):
                yield path, at


def test_a_damaged_one_is_told_of_and_costs_only_time(site, made):
    stow(site, made)
    before = packs(site)
    fresh = metadata(site)
    wait_made(site, 1)
    for path, at in changed(before, packs(site)):
        with open(path, "r+b") as pack:
            pack.seek(at + 32)
            byte = pack.read(1)
            pack.seek(at + 32)
            pack.write(bytes([byte[0] ^ 1]))
    slow = metadata(site)
    assert slow.status_code == 200 and slow.content == fresh.content
    assert counter(site, "used") == 0
    assert "series.record" in site.log.read_text()
