"""What is storable but wrong is kept, told, found, read, taken in again and destroyed; conflicts are seen."""
import json
import shutil
import struct

import pydicom
import pytest
from testenv import Dcmtk, Narthex, phantom
from testenv.peer import Association

PLAN = phantom.Plan(instances=4, slices=2, series=1, rows=256, columns=256)  # two patients
API = "/api/v1"
STOW = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}


@pytest.fixture
def site(tmp_path):
    with Narthex(tmp_path / "nx", init_args=["--allow-ae", "TESTENV=clinical"]) as server:
        yield server


@pytest.fixture(scope="module")
def made():
    return list(phantom.instances(PLAN))


def cli(site, *args, **kwargs):
    return site.cli(*args, "--site", site.site, **kwargs)


def cli_json(site, *args):
    return json.loads(cli(site, *args, "--json"))


def sender(site):
    """Sends any bytes as a data set: real peers refuse to send what is broken."""
    return Association(site.ports["dimse"], [(phantom.CT_STORAGE, [phantom.EXPLICIT_LE])])


def store(scu, sop_instance, data):
    """The status and the error comment."""
    answer = scu.store(phantom.CT_STORAGE, sop_instance, phantom.EXPLICIT_LE, [data])
    return answer.status, answer.comment


def bare(data):
    """The data set of a Part 10 file."""
    (size,) = struct.unpack_from("<I", data, 140)
    return data[144 + size:]


def kept(site, *args):
    return cli_json(site, "quarantine", "list", *args)["quarantine"]


def content(site, number, place):
    cli(site, "quarantine", "get", number, place)
    return place.read_bytes()


def check_sound(site):
    site.stop()
    done = site.cli("fsck", "--json", "--site", site.site, "--passphrase-file", site.passphrase_file)
    report = json.loads(done)["fsck"]
    assert report["orphans"] == 0 and report["missing_blobs"] == 0 and report["wrong_refs"] == 0
    site.start()


def test_c_store_keeps_what_it_cannot_take(site, made, tmp_path):
    one = made[0]
    data = bare(one.data)
    modality = data.index(b"\x08\x00\x60\x00CS")
    uid = data.index(b"\x20\x00\x0d\x00UI")
    broken = {
        "truncated": (data[:-5000], 0xC000, "7fe0,0010"),
        "malformed": (data[:modality] + struct.pack("<HH2sHI", 8, 0x60, b"LO", 0, 0)[:8] + b"\xfe\xff\x00\xe0" +
                      bytes(4) + data[modality:], 0xC000, "fffe,e000"),
        "bad-uid": (data[:uid + 6] + struct.pack("<H", 0) + data[uid + 8 + 40:], 0xC000, "0020,000d"),
    }
    with sender(site) as scu:
        for reason, (bad, status, tag) in broken.items():
            got, comment = store(scu, one.sop_uid, bad)
            assert got == status, (reason, comment)
            assert comment.startswith("quarantine ") and reason in comment and tag in comment, comment
            assert one.sop_uid not in comment and one.patient_id not in comment
        got, comment = store(scu, "1.2.3", data)
        assert got == 0xA900 and "other-instance at (0008,0018)" in comment
        assert store(scu, one.sop_uid, data)[0] == 0  # the association goes on
    rows = kept(site)
    assert [row["reason"] for row in rows] == ["truncated", "malformed", "bad-uid", "other-instance"]
    assert {row["source"] for row in rows} == {"AE:TESTENV"}
    assert [row["patient_known"] for row in rows] == [True, False, True, True]  # one broke before the patient's id
    for row, bad in zip(rows, [*(bad for bad, _, _ in broken.values()), data]):
        assert content(site, row["number"], tmp_path / "kept") == bad
    assert [row["reason"] for row in kept(site, "--reason", "bad-uid")] == ["bad-uid"]
    shown = cli_json(site, "quarantine", "show", rows[0]["number"])
    assert shown["detail"]["patient_id"] == one.patient_id and shown["detail"]["tag"] == "7fe00010"
    assert len(cli_json(site, "find", "instance")["instances"]) == 1
    check_sound(site)


def test_dcmtk_hears_of_it(site, made, tmp_path):
    """What its own tools write without a study, it sends; the association is not cut."""
    ds = pydicom.dcmread(write(tmp_path / "a.dcm", made[0].data))
    del ds.StudyInstanceUID
    ds.save_as(tmp_path / "bad.dcm")
    good = write(tmp_path / "good.dcm", made[1].data)
    done = Dcmtk(site.ports["dimse"]).storescu([tmp_path / "bad.dcm", good], "-v", "-nh", check=False)
    assert "CannotUnderstand" in done.stdout, done.stdout
    assert [row["reason"] for row in kept(site)] == ["bad-uid"]
    assert len(cli_json(site, "find", "instance")["instances"]) == 1


def write(path, data):
    path.write_bytes(data)
    return path


def test_stow_names_number_and_reason(site, made):
    bad = made[0].data[:-5000]
    body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n" for data in (bad, made[1].data))
    answer = site.session().post(site.url("/dicom-web/studies"), data=body + b"--b--\r\n", headers=STOW, timeout=60)
    assert answer.status_code == 202, answer.text
    report = answer.json()
    (failed,) = report["00081198"]["Value"]
    assert failed["00081155"]["Value"] == [made[0].sop_uid] and failed["00081197"]["Value"] == [0xC000]
    (row,) = kept(site)
    assert failed["00090010"]["Value"] == ["NARTHEX"] and failed["00091001"]["Value"] == [str(row["number"])]
    assert "truncated at (7fe0,0010)" in failed["00091002"]["Value"][0]
    assert len(report["00081199"]["Value"]) == 1


def test_import_counts_and_status_says(site, made, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "good.dcm", made[0].data)
    write(folder / "cut.dcm", made[1].data[:-77])
    write(folder / "readme.txt", b"no DICOM at all\n" * 100)
    done = site.cli("import", folder, "--json", "--site", site.site, check=False)
    result = json.loads(done.stdout)
    assert done.returncode == 1
    assert (result["stored"], result["quarantined"], result["failed"]) == (1, 1, 1)
    (row,) = kept(site)
    assert f"cut.dcm: kept in quarantine {row['number']}: truncated" in done.stderr
    status = cli_json(site, "status")
    assert status["holds"]["quarantined"] == 1 and status["holds"]["quarantined_bytes"] == len(made[1].data) - 77
    assert status["ingest"]["quarantined"] == 1 and status["ingest"]["refused"] == 1
    metrics = site.session().get(site.url("/metrics", "management"), timeout=60).text
    assert "\nnarthex_ingest_quarantined_total 1\n" in metrics and "\nnarthex_quarantine_items 1\n" in metrics
    entries = cli_json(site, "ledger", "search", "--action", "quarantine")["entries"]
    assert [entry["body"]["detail"]["quarantine"] for entry in entries] == [row["number"]]


def test_it_survives_kill_backup_and_rebuild(site, made, tmp_path):
    bad = made[0].data[:-5000]
    site.session().post(site.url(API + "/collections/clinical/instances", "management"), data=bad, timeout=60)
    site.kill()
    site.start()
    (row,) = kept(site)
    assert content(site, row["number"], tmp_path / "a") == bad
    cli(site, "backup", tmp_path / "backup")
    site.stop()
    site.cli("fsck", "--rebuild", "--site", site.site, "--passphrase-file", site.passphrase_file)
    site.start()
    assert content(site, row["number"], tmp_path / "b") == bad
    site.stop()
    shutil.copytree(site.site / "keys2", tmp_path / "keys")
    shutil.rmtree(site.site)
    site.site = tmp_path / "new"
    site.cli("restore", "--from", tmp_path / "backup", "--site", site.site, "--keys", tmp_path / "keys",
             "--passphrase-file", site.passphrase_file)
    site.start()
    assert content(site, row["number"], tmp_path / "c") == bad
    check_sound(site)


def test_retry_discard_and_erase(site, made, tmp_path):
    for one in made[:1] + made[2:]:
        site.session().post(site.url(API + "/collections/clinical/instances", "management"), data=one.data[:-9],
                            timeout=60)
    first, second, third = (row["number"] for row in kept(site))
    failed = site.cli("quarantine", "retry", first, "--site", site.site, check=False)
    assert failed.returncode == 1 and "7fe0,0010" in failed.stderr
    assert site.cli("quarantine", "discard", first, "--site", site.site, check=False).returncode != 0  # it asks
    cli(site, "quarantine", "discard", first, "--yes")
    assert site.cli("quarantine", "show", first, "--site", site.site, check=False).returncode == 3
    assert [row["number"] for row in kept(site)] == [second, third]
    cli(site, "erase", "--patient", made[2].patient_id, "--collection", "clinical", "--reason", "asked", "--yes")
    assert kept(site) == []
    entries = cli_json(site, "ledger", "search", "--action", "quarantine.discard")["entries"]
    assert {entry["body"]["detail"]["quarantine"] for entry in entries} == {first, second, third}
    assert cli_json(site, "status")["holds"]["quarantined"] == 0
    check_sound(site)


def test_roles_and_switch(site, made):
    reader = cli_json(site, "token", "create", "reader", "reader")["token"]
    steward = cli_json(site, "token", "create", "steward", "steward")["token"]
    site.session().post(site.url(API + "/collections/clinical/instances", "management"), data=made[0].data[:-9],
                        timeout=60)
    (row,) = kept(site)
    for path in ("/quarantine", f"/quarantine/{row['number']}", f"/quarantine/{row['number']}/content"):
        for token, status in ((reader, 403), (steward, 200)):
            assert site.session(token).get(site.url(API + path, "management"), timeout=60).status_code == status, path
    assert site.session().get(site.url(API + "/quarantine/x", "management"), timeout=60).status_code == 400
    site.stop()
    site.configure({"ingest": {"quarantine": "no"}})
    site.start()
    answer = site.session().post(site.url(API + "/collections/clinical/instances", "management"),
                                 data=made[1].data[:-9], timeout=60)
    assert answer.status_code == 400
    assert len(kept(site)) == 1


def test_the_limit_is_said(site, made):
    site.stop()
    site.configure({"ingest": {"quarantine_items": 1}})
    site.start()
    url = site.url(API + "/collections/clinical/instances", "management")
    assert site.session().post(url, data=made[0].data[:-9], timeout=60).status_code == 202
    answer = site.session().post(url, data=made[1].data[:-9], timeout=60)
    assert answer.status_code == 507 and "1 of 1 items" in answer.text
    assert site.session().post(url, data=made[1].data, timeout=60).status_code == 201


def test_conflicts_are_seen(site, made, tmp_path):
    one = made[0]
    changed = one.data.replace(b"TEST HOSPITAL", b"BEST HOSPITAL").replace(b"SOFT", b"HARD")
    changed = changed[:-1] + bytes([changed[-1] ^ 1])
    write(tmp_path / "again.dcm", changed)
    with sender(site) as scu:
        assert store(scu, one.sop_uid, bare(one.data)) == (0, "")
    cli(site, "import", tmp_path / "again.dcm")
    (row,) = cli_json(site, "conflict", "list")["conflicts"]
    assert (row["old_version"], row["new_version"], row["collection"]) == (1, 2, "clinical")
    assert one.sop_uid not in json.dumps(row)
    shown = cli_json(site, "conflict", "show", row["number"])
    assert shown["instance"] == one.sop_uid and shown["differ"] == ["00080080", "00181210", "7FE00010"]
    assert [(v["version"], v["state"], v["door"]) for v in shown["versions"]] == [
        (1, "old", "c-store"), (2, "live", "import")]
    assert shown["versions"][0]["source"] == "AE:TESTENV"
    assert "BEST HOSPITAL" not in json.dumps(shown)
    for version, data in ((1, bare(one.data)), (2, bare(changed))):
        cli(site, "conflict", "get", row["number"], version, tmp_path / f"v{version}")
        assert bare((tmp_path / f"v{version}").read_bytes()) == data
    text = cli(site, "conflict", "show", row["number"])
    assert "differ: 00080080 00181210 7FE00010" in text
    cli(site, "erase", "--patient", one.patient_id, "--collection", "clinical", "--reason", "asked", "--yes")
    (row,) = cli_json(site, "conflict", "list")["conflicts"]
    assert row["old_version"] is None
    gone = site.cli("conflict", "show", row["number"], "--site", site.site, check=False)
    assert gone.returncode != 0 and "erased" in gone.stderr
