"""One site from its making to its end: every door, every refusal, a restart, a kill."""
import json
import os
import signal
import subprocess

import pydicom
import pytest
import requests
from testenv import Deadline, Dcmtk, Narthex, phantom
from testenv.process import SANITIZER_ENV

API = "/api/v1"
AE = "TESTENV=clinical"


@pytest.fixture
def site(tmp_path):
    with Narthex(tmp_path / "nx", init_args=["--allow-ae", AE]) as server:
        yield server


def api(site, path, method="GET", **kwargs):
    return site.session().request(method, site.url(API + path, "management"), timeout=60, **kwargs)


def objects(site, key="a/b c/d.bin"):
    return site.url(f"{API}/collections/curated/objects/{key}", "management")


def test_status_says_what_is_held(site):
    status = api(site, "/status").json()
    assert status["ready"] and status["holds"]["items"] == 0
    assert json.loads(site.cli("status", "--json", "--site", site.site))["site"] == "narthex"


def test_health_needs_no_token_and_metrics_does(site):
    for path in ("/livez", "/readyz"):
        assert requests.get(site.url(path, "management"), verify=site.ca, timeout=60).status_code == 200
    assert requests.get(site.url("/metrics", "management"), verify=site.ca, timeout=60).status_code == 401
    text = site.session().get(site.url("/metrics", "management"), timeout=60).text
    assert "narthex_build_info" in text and "process_resident_memory_bytes" in text


def test_ct_comes_in_by_c_store_and_out_again(site, tmp_path):
    plan = phantom.Plan(instances=3, slices=3, series=1)
    files = phantom.write(plan, tmp_path / "ct")
    Dcmtk(site.ports["dimse"]).storescu([tmp_path / "ct"])
    sent = {str(pydicom.dcmread(path).SOPInstanceUID): path for path, _ in files}
    found = api(site, "/collections/clinical/instances", params={"PatientID": "PHANTOM-000001"}).json()["instances"]
    assert {one["SOPInstanceUID"] for one in found} == set(sent)
    for one in found:
        got = api(site, f"/collections/clinical/studies/{one['StudyInstanceUID']}/series/{one['SeriesInstanceUID']}"
                        f"/instances/{one['SOPInstanceUID']}")
        assert got.status_code == 200 and int(got.headers["Content-Length"]) == one["size"]
        path = tmp_path / "got.dcm"
        path.write_bytes(got.content)
        ours, theirs = pydicom.dcmread(path), pydicom.dcmread(sent[one["SOPInstanceUID"]])
        assert ours.PixelData == theirs.PixelData and ours == theirs


def test_imported_files_come_back_identical(site, tmp_path, corpus):
    names = ["CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "rtplan.dcm"]
    paths = [corpus.pydicom_file(name) for name in names]
    done = json.loads(site.cli("import", "--json", "--site", site.site, "--collection", "clinical", *paths))
    assert done["stored"] == len(paths) and done["failed"] == 0
    for path in paths:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        site.cli("get", "--site", site.site, "--collection", "clinical", header.StudyInstanceUID, tmp_path / "out",
                 "--series", header.SeriesInstanceUID, "--instance", header.SOPInstanceUID)
        got = list((tmp_path / "out").rglob(f"{header.SOPInstanceUID}.dcm"))
        assert len(got) == 1 and got[0].read_bytes() == path.read_bytes()
    again = json.loads(site.cli("import", "--json", "--site", site.site, "--collection", "clinical", *paths))
    assert again["duplicates"] == len(paths) and again["stored"] == 0


def test_objects_are_put_ranged_conditioned_and_deleted(site):
    data = os.urandom(3_000_000)
    session, url = site.session(), objects(site)
    put = session.put(url, data=data, headers={"Content-Type": "application/x-thing"}, timeout=60)
    assert put.status_code == 201
    etag = put.headers["ETag"]
    got = session.get(url, timeout=60)
    assert got.content == data and got.headers["ETag"] == etag and got.headers["Content-Type"] == "application/x-thing"
    part = session.get(url, headers={"Range": "bytes=1000000-1000099"}, timeout=60)
    assert part.status_code == 206 and part.content == data[1000000:1000100]
    assert part.headers["Content-Range"] == f"bytes 1000000-1000099/{len(data)}"
    assert session.get(url, headers={"Range": "bytes=9000000-"}, timeout=60).status_code == 416
    assert session.get(url, headers={"If-None-Match": etag}, timeout=60).status_code == 304
    head = session.head(url, timeout=60)
    assert head.headers["Content-Length"] == str(len(data)) and not head.content
    assert session.put(url, data=b"x", headers={"If-None-Match": "*"}, timeout=60).status_code == 412
    assert session.put(url, data=b"x", headers={"If-Match": '"0"'}, timeout=60).status_code == 412
    assert session.delete(url, headers={"If-Match": '"0"'}, timeout=60).status_code == 412
    listed = api(site, "/collections/curated/objects", params={"prefix": "a/"}).json()["objects"]
    assert [one["key"] for one in listed] == ["a/b c/d.bin"]
    again = session.put(url, data=b"y", headers={"If-Match": "*"}, timeout=60)
    assert again.status_code == 200 and again.headers["ETag"] != etag
    assert session.delete(url, headers={"If-Match": etag}, timeout=60).status_code == 412
    assert session.delete(url, headers={"If-Match": again.headers["ETag"]}, timeout=60).status_code == 204
    assert session.get(url, timeout=60).status_code == 404
    assert session.put(url, data=b"z", headers={"If-Match": "*"}, timeout=60).status_code == 412
    assert session.delete(url, headers={"If-Match": "*"}, timeout=60).status_code == 412
    assert session.delete(url, timeout=60).status_code == 404


def test_a_key_that_json_cannot_say_is_refused(site):
    url = site.url("/api/v1/collections/curated/objects/", "management")
    for key, status in (("%C3%A4", 201), ("%FF", 400), ("a%ED%A0%80", 400), ("%C0%AFb", 400)):
        assert site.session().put(url + key, data=b"x", timeout=60).status_code == status, key
    taken = site.session().put(url + "k", params="patient=%FF", data=b"x", timeout=60)
    assert taken.status_code == 400


def test_who_has_no_token_is_refused_and_recorded(site):
    url = site.url(API + "/status", "management")
    assert requests.get(url, verify=site.ca, timeout=60).status_code == 401
    assert requests.get(url, verify=site.ca, timeout=60,
                        headers={"Authorization": "Bearer " + "A" * 43}).status_code == 401
    found = api(site, "/ledger/entries", params={"action": "auth.fail"}).json()["entries"]
    assert len(found) == 2 and found[0]["body"]["detail"]["peer"] == "127.0.0.1"


def test_failures_do_not_flood_the_ledger(site):
    url = site.url(API + "/status", "management")
    with requests.Session() as session:
        session.trust_env, session.verify = False, site.ca
        for _ in range(30):
            assert session.get(url, timeout=60).status_code == 401
    found = api(site, "/ledger/entries", params={"action": "auth.fail"}).json()["entries"]
    assert len(found) <= 10


def test_a_reader_may_read_and_nothing_else(site):
    made = api(site, "/tokens", "POST", json={"name": "r", "role": "reader", "days": 1})
    assert made.status_code == 201
    reader = site.session(made.json()["token"])
    assert reader.get(site.url(API + "/collections", "management"), timeout=60).status_code == 200
    assert reader.get(site.url("/dicom-web/"), timeout=60).status_code == 200
    assert reader.get(site.url(API + "/tokens", "management"), timeout=60).status_code == 403
    assert reader.put(objects(site), data=b"x", timeout=60).status_code == 403
    assert api(site, "/tokens/r", "DELETE").status_code == 204
    assert reader.get(site.url(API + "/collections", "management"), timeout=60).status_code == 401


def test_an_unknown_ae_is_rejected(site):
    assert Dcmtk(site.ports["dimse"]).echoscu().returncode == 0
    done = Dcmtk(site.ports["dimse"], aet="STRANGER").echoscu(check=False)
    assert done.returncode != 0 and "Calling AE Title Not Recognized" in done.stdout
    found = api(site, "/ledger/entries", params={"action": "association.refuse"}).json()["entries"]
    assert found[0]["body"]["detail"]["calling"] == "STRANGER"


def test_a_second_process_cannot_have_the_site(site):
    done = subprocess.run([*site.binary, "serve", "--site", site.site, "--passphrase-file", site.passphrase_file],
                          capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **SANITIZER_ENV})
    assert done.returncode == 8 and "another process" in done.stderr


def test_all_is_there_after_a_restart_and_after_a_kill(site, tmp_path):
    files = phantom.write(phantom.Plan(kind="small", instances=10, slices=5, series=2, rows=64, columns=64),
                          tmp_path / "small")
    site.session().put(objects(site, "k"), data=b"v" * 100_000, timeout=60).raise_for_status()
    site.restart()
    site.cli("import", "--site", site.site, "--collection", "clinical", tmp_path / "small")
    site.kill()
    site.start()
    assert len(api(site, "/collections/clinical/instances").json()["instances"]) == len(files)
    assert site.session().get(objects(site, "k"), timeout=60).content == b"v" * 100_000
    assert api(site, "/scrub", "POST").json()["bad"] == 0
    assert api(site, "/ledger/verify").json()["entries"] > 10


def test_certificates_are_read_again_on_sighup(site):
    site.process.child.send_signal(signal.SIGHUP)
    deadline = Deadline(30)
    while "were read again" not in site.log.read_text():
        deadline.wait("reload")
    assert api(site, "/status").status_code == 200
    assert Dcmtk(site.ports["dimse"]).echoscu().returncode == 0


def test_a_rebuilt_catalog_has_everything(site, tmp_path):
    files = phantom.write(phantom.Plan(kind="small", instances=5, slices=5, series=1, rows=64, columns=64),
                          tmp_path / "small")
    site.cli("import", "--site", site.site, "--collection", "clinical", tmp_path / "small")
    site.stop()
    checked = json.loads(site.cli("fsck", "--rebuild", "--json", "--site", site.site,
                                  "--passphrase-file", site.passphrase_file))
    assert checked["scrub"]["items"] == len(files) and checked["scrub"]["bad"] == 0
    site.start()
    assert len(api(site, "/collections/clinical/instances").json()["instances"]) == len(files)


def test_a_deleted_study_is_in_the_ledger_and_stays_deleted(site, tmp_path):
    phantom.write(phantom.Plan(kind="small", instances=6, slices=3, series=1, rows=64, columns=64), tmp_path / "small")
    site.cli("import", "--site", site.site, "--collection", "clinical", tmp_path / "small")
    found = lambda: api(site, "/collections/clinical/instances").json()["instances"]
    study = found()[0]["StudyInstanceUID"]
    before = len(found())
    url = lambda: site.url(f"/dicom-web/studies/{study}", "data")
    assert requests.delete(url(), verify=site.ca, timeout=60).status_code == 401
    assert site.session().delete(url(), timeout=60).status_code == 204
    assert len(found()) == before - 3
    (entry,) = api(site, "/ledger/entries", params={"action": "item.delete"}).json()["entries"]
    assert study in json.dumps(entry["body"]) and "instances" in json.dumps(entry["body"]), entry
    site.stop()
    site.cli("fsck", "--rebuild", "--json", "--site", site.site, "--passphrase-file", site.passphrase_file)
    site.start()
    assert len(found()) == before - 3
    assert site.session().get(url(), timeout=60).status_code == 404
    assert api(site, "/ledger/verify").json()["entries"] > 6


def test_a_wrong_passphrase_opens_nothing(site):
    site.stop()
    site.passphrase_file.write_text("not it\n")
    done = site.cli("serve", "--site", site.site, "--passphrase-file", site.passphrase_file, check=False)
    assert done.returncode == 4


def test_an_unknown_key_of_the_configuration_is_named(site):
    site.stop()
    site.configure({"listen": {"dinse": "off"}})
    done = site.cli("serve", "--site", site.site, "--check-config", check=False)
    assert done.returncode == 1 and "dinse" in done.stderr


def test_plain_dicom_off_loopback_needs_a_word(site):
    site.stop()
    site.configure({"listen": {"dimse": "0.0.0.0:0"}})
    done = site.cli("serve", "--site", site.site, "--check-config", check=False)
    assert done.returncode == 1 and "allow_plain" in done.stderr
