"""The whole way: in by C-STORE, de-identified, released, leased, erased, accounted for, lost, restored."""
import json
import os
import pathlib
import pty
import shutil
import subprocess

import pydicom
import pytest
from testenv import Deadline, Dcmtk, Loader, Narthex, phantom
from testenv.process import SANITIZER_ENV

PLAN = phantom.Plan(instances=8, slices=2, series=2, rows=256, columns=256)  # two patients, four instances each
API = "/api/v1"
REASON = "consent withdrawn"


@pytest.fixture
def site(tmp_path):
    with Narthex(tmp_path / "nx", init_args=["--allow-ae", "TESTENV=clinical"]) as server:
        yield server


def build_folder(site):
    return pathlib.Path(site.binary[0]).parents[2]


def cli(site, *args, **kwargs):
    return site.cli(*args, "--site", site.site, **kwargs)


def cli_json(site, *args):
    return json.loads(cli(site, *args, "--json"))


def store(site, folder):
    """The study of each patient id."""
    phantom.write(PLAN, folder)
    Dcmtk(site.ports["dimse"]).storescu([folder])
    found = cli_json(site, "find", "study")["studies"]
    return {one["PatientID"]: one["StudyInstanceUID"] for one in found}


def fetch(site, study, place):
    """name -> bytes of every instance, as the site gives them back."""
    cli(site, "get", study, place, "--collection", "clinical")
    return {path.name: path.read_bytes() for path in place.rglob("*.dcm")}


def wado(site, study, collection=None):
    root = "/dicom-web" + (f"/{collection}" if collection else "")
    return site.session().get(site.url(f"{root}/studies/{study}"), timeout=60,
                              headers={"Accept": 'multipart/related; type="application/dicom"'})


def actions(answer):
    return {entry["action"] for entry in answer["entries"]}


def verify_proof(site, proof):
    key = cli_json(site, "ledger", "checkpoint")["verifier_key"]
    done = subprocess.run([build_folder(site) / "verify/narthex-verify", "proof", proof, "--key", key],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def check_no_one(folder, n):
    """pydicom reads every sample, and nothing of who the patient was is in its bytes."""
    paths = sorted(folder.glob("*.dcm"))
    assert len(paths) == n
    for path in paths:
        data = path.read_bytes()
        for word in (b"TEST^PHANTOM", b"PHANTOM-0000", b"REFERRER", b"TEST HOSPITAL"):
            assert word not in data
        sample = pydicom.dcmread(path)
        assert sample.PatientIdentityRemoved == "YES"
        assert sample.pixel_array.shape == (PLAN.rows, PLAN.columns)


def check_erased(loader):
    """The keys in a reader's hands are good for a second; then one patient of two is gone from the same lease."""
    deadline = Deadline(10)
    again = loader.look_again()
    while not any("erased" in one for one in again["positions"]):
        deadline.wait("the erasure reaches the lease")
        again = loader.look_again()
    gone = {one["key"][0]: "erased" in one for one in again["positions"]}
    assert sorted(gone.values()) == [False, True]
    assert len(again["batched"]) == 4 and not any(gone[key[0]] for key in again["batched"])


def erase(site, patient, file):
    cli(site, "erase", "--patient", patient, "--collection", "clinical", "--reason", REASON, "--yes",
        "--certificate", file)
    certificate = json.loads(file.read_text())
    assert certificate["statement"]["reason"] == REASON and patient not in file.read_text()
    return certificate["statement"]


def check_accounts(site, living, subject, folder):
    for name, who in (("living", ["--patient", living]), ("erased", ["--subject", subject])):
        proof = folder / f"{name}.json"
        answer = cli_json(site, "who-saw", *who, "--proof", proof)
        assert actions(answer) >= {"instance.store", "read", "deidentify", "lease.read"}, name
        assert ("erase" in actions(answer)) == (name == "erased")
        verify_proof(site, proof)
    assert "lease.read" in actions(cli_json(site, "who-saw", "--user", "gpu"))


def lose_everything_but(site, tmp_path):
    """Of two key places one survives, on another machine; of the site nothing."""
    keys = tmp_path / "elsewhere"
    shutil.copytree(site.site / "keys2", keys)
    shutil.rmtree(site.site)
    return keys


def restore(site, tmp_path, backup, keys):
    site.site = tmp_path / "new"
    done = json.loads(site.cli("restore", "--json", "--from", backup, "--site", site.site, "--keys", keys,
                               "--passphrase-file", site.passphrase_file))
    assert done["erased"] == 1
    return site.start()


def test_the_whole_way(site, tmp_path):
    studies = store(site, tmp_path / "ct")
    gone, living = sorted(studies)
    before = {patient: fetch(site, study, tmp_path / patient) for patient, study in studies.items()}
    assert {len(files) for files in before.values()} == {4}

    copied = cli_json(site, "deid", "--all")
    assert copied["stored"] == 8 and copied["skipped"] == 0
    release = cli_json(site, "release", "create", "lung-ct")
    assert release["release"] == "lung-ct@v1" and release["items"] == 8

    token = cli_json(site, "token", "create", "gpu", "trainer")["token"]
    verifier = cli_json(site, "release", "verifier")["verifier_key"]
    options = {"site": f"unix:{site.site}/run/narthex.sock", "token": token, "purpose": "training", "batch": 3,
               "verifier": verifier}
    with Loader(build_folder(site), "lung-ct@v1", tmp_path / "read", **options) as loader:
        assert len(loader.about["keys"]) == 8
        check_no_one(tmp_path / "read", 8)
        statement = erase(site, gone, tmp_path / "certificate.json")
        check_erased(loader)

    for collection in (None, "clinical"):
        assert wado(site, studies[gone], collection).status_code in (404, 410)
        assert wado(site, studies[living], collection).status_code == 200
    check_accounts(site, living, statement["subject"], tmp_path)

    backup = tmp_path / "backup"
    cli(site, "backup", backup)
    site.stop()
    keys = lose_everything_but(site, tmp_path)
    restore(site, tmp_path, backup, keys)

    assert fetch(site, studies[living], tmp_path / "again") == before[living]
    assert wado(site, studies[gone]).status_code in (404, 410)
    assert cli_json(site, "release", "list")["releases"][0]["name"] == "lung-ct"
    options["site"] = f"unix:{site.site}/run/narthex.sock"
    with Loader(build_folder(site), "lung-ct", tmp_path / "reread", **options) as loader:
        assert loader.about["samples"] == 8 and len(loader.about["keys"]) == 4
    assert site.session().get(site.url(API + "/ledger/verify", "management"), timeout=60).json()["entries"] > 20
    assert sorted(path.name for path in (site.site / "keys1").iterdir()) == sorted(path.name for path in keys.iterdir())


def post(site, path, body, token=None):
    return site.session(token).post(site.url(API + path, "management"), json=body, timeout=60)


def get(site, path, token=None, **params):
    return site.session(token).get(site.url(API + path, "management"), params=params, timeout=60)


def token_of(site, role):
    return cli_json(site, "token", "create", role, role)["token"]


@pytest.fixture
def filled(site, tmp_path):
    """Two patients, de-identified and released; .studies by patient id."""
    site.studies = store(site, tmp_path / "ct")
    cli(site, "deid", "--all")
    cli(site, "release", "create", "lung-ct")
    return site


def test_doing_it_again_changes_nothing(filled):
    again = cli_json(filled, "deid", "--study", list(filled.studies.values())[0])
    assert again["stored"] == 0 and again["duplicates"] == 4
    assert cli_json(filled, "release", "create", "lung-ct")["release"] == "lung-ct@v2"
    first, second = (cli(filled, "release", "manifest", f"lung-ct@{v}") for v in (1, 2))
    assert first != second
    assert first.splitlines()[4].startswith("root ") and first.splitlines()[4] == second.splitlines()[4]


def test_a_lease_by_hand(filled):
    lease = cli(filled, "lease", "open", "lung-ct", "--purpose", "a look").strip()
    read = cli_json(filled, "lease", "read", lease, "--first", "6")
    assert [one["position"] for one in read["samples"]] == [6, 7] and read["next"] == 8
    assert read["release"] == "lung-ct@v1" and read["packs"]
    cli(filled, "lease", "end", lease)
    assert filled.cli("lease", "read", lease, "--site", filled.site, check=False).returncode == 4
    assert post(filled, f"/leases/{lease}/read", {"first": 8, "count": 1}).status_code == 403
    assert get(filled, "/who-saw", principal="nobody").json()["total"] == 0


def test_every_role_has_its_own_and_no_more(filled):
    trainer, steward, reader = (token_of(filled, role) for role in ("trainer", "steward", "reader"))
    study = list(filled.studies.values())[0]
    deid = {"collection": "clinical", "study": study, "destination": "curated"}
    release = {"name": "lung-ct", "collection": "curated"}
    lease = {"release": "lung-ct", "purpose": "training", "seconds": 60}
    erasure = {"collection": "clinical", "patient_id": "PHANTOM-000001", "reason": REASON}
    allowed = {"/deid": {steward}, "/releases": {steward}, "/leases": {steward, trainer}, "/erasures": set()}
    for path, body in (("/deid", deid), ("/releases", release), ("/leases", lease), ("/erasures", erasure)):
        for token in (trainer, steward, reader):
            answer = post(filled, path, body, token)
            assert (answer.status_code < 300) == (token in allowed[path]), (path, answer.text)
            assert answer.status_code < 300 or answer.status_code == 403
    for token in (trainer, steward):
        assert get(filled, "/releases", token).status_code == 200
        assert get(filled, "/releases/lung-ct/1/manifest", token).status_code == 200
        assert get(filled, "/who-saw", token, study=study).status_code == 403
    assert get(filled, "/releases", reader).status_code == 403
    for token, status in ((reader, 200), (trainer, 403)):  # the bare root is the clinical collection
        answer = filled.session(token).get(filled.url("/dicom-web/studies"), timeout=60)
        assert answer.status_code == status


def test_what_is_wrong_is_said(filled):
    refused = [
        ("/deid", {"collection": "clinical", "study": "1.2.3", "destination": "curated"}, 404),
        ("/deid", {"collection": "clinical", "study": "1.2.3"}, 400),
        ("/deid", {"collection": "clinical", "study": "1.2.3", "destination": "curated", "profile": "none"}, 400),
        ("/releases", {"name": "../x", "collection": "curated"}, 400),
        ("/releases", {"name": "x", "collection": "curated", "studies": []}, 400),
        ("/releases", {"name": "x", "collection": "clinical"}, 400),
        ("/leases", {"release": "no-such", "purpose": "training"}, 404),
        ("/leases", {"release": "lung-ct"}, 400),
        ("/leases", {"release": "lung-ct", "purpose": "training", "seconds": -1}, 400),
        ("/leases/00/read", {"first": 0, "count": 1}, 404),
        ("/erasures", {"collection": "clinical", "patient_id": "PHANTOM-000001"}, 400),
        ("/erasures", {"collection": "clinical", "patient_id": "NOBODY", "reason": REASON}, 404),
        ("/erasures", {"subject": "no number", "reason": REASON}, 400),
        ("/backups", {"folder": "/tmp/never"}, 403),
    ]
    for path, body, status in refused:
        answer = post(filled, path, body)
        assert answer.status_code == status, (path, body, answer.text)
        assert answer.json()["error"]["message"]
    assert get(filled, "/releases/lung-ct/zero/manifest").status_code == 400
    assert get(filled, "/releases/lung-ct/7/manifest").status_code == 404
    assert get(filled, "/who-saw").status_code == 400
    assert get(filled, "/who-saw", patient="NOBODY", collection="clinical").status_code == 404


def test_nothing_is_erased_without_a_word(filled, tmp_path):
    args = ["erase", "--patient", "PHANTOM-000001", "--collection", "clinical", "--site", filled.site]
    assert filled.cli(*args, "--reason", REASON, check=False).returncode == 2
    assert filled.cli(*args, "--yes", check=False).returncode == 2
    (tmp_path / "there").write_text("kept")
    done = filled.cli(*args, "--yes", "--reason", REASON, "--certificate", tmp_path / "there", check=False)
    assert done.returncode == 7 and (tmp_path / "there").read_text() == "kept"
    for study in filled.studies.values():
        assert wado(filled, study).status_code == 200


def erase_on_a_terminal(site, answer):
    """The exit status, and what was printed to standard output."""
    ours, theirs = pty.openpty()
    argv = [*site.binary, "erase", "--patient", "PHANTOM-000001", "--collection", "clinical", "--reason", REASON,
            "--site", site.site]
    with subprocess.Popen([str(word) for word in argv], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, **SANITIZER_ENV}) as child:
        os.close(theirs)
        os.write(ours, answer)
        out, _ = child.communicate(timeout=60)
    os.close(ours)
    return child.returncode, out


def test_on_a_terminal_a_person_is_asked(filled):
    assert erase_on_a_terminal(filled, b"yes\n") == (2, b"")
    assert wado(filled, filled.studies["PHANTOM-000001"]).status_code == 200
    status, out = erase_on_a_terminal(filled, b"erase\n")
    assert status == 0 and json.loads(out)["statement"]["items"] == 8  # four received, four de-identified
    assert wado(filled, filled.studies["PHANTOM-000001"]).status_code in (404, 410)


def restore_cli(site, new, backup, keys):
    return site.cli("restore", "--from", backup, "--site", new, "--keys", keys, "--passphrase-file",
                    site.passphrase_file, check=False)


def test_a_restore_takes_no_chances(filled, tmp_path):
    backup, keys = tmp_path / "backup", filled.site / "keys2"
    first = cli_json(filled, "backup", backup)
    again = cli_json(filled, "backup", backup)
    assert again["backup"] != first["backup"] and again["bytes_copied"] < first["bytes_copied"]
    filled.stop()
    assert restore_cli(filled, filled.site, backup, keys).returncode == 7  # a site is there
    assert restore_cli(filled, tmp_path / "a", tmp_path / "nothing", keys).returncode == 3
    assert restore_cli(filled, tmp_path / "b", backup, tmp_path / "nothing").returncode == 3
    pack = next(path for path in sorted((backup / "packs").iterdir()))
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)
    assert restore_cli(filled, tmp_path / "c", backup, keys).returncode == 5
    assert not (tmp_path / "c" / "narthex.yaml").exists()  # what failed is not a site
    filled.passphrase_file.write_text("not it\n")
    assert restore_cli(filled, tmp_path / "d", backup, keys).returncode == 4


def test_fsck_finds_what_was_served_sound(filled):
    filled.stop()
    for option in ([], ["--repair"], ["--rebuild"]):
        found = json.loads(filled.cli("fsck", *option, "--json", "--site", filled.site, "--passphrase-file",
                                      filled.passphrase_file))
        assert found["scrub"]["bad"] == 0 and found["fsck"]["missing_blobs"] == 0, option
