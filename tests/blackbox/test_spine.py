"""The whole way: in by C-STORE, de-identified, released, leased, erased, accounted for, lost, restored."""
import json
import pathlib
import shutil
import subprocess

import pydicom
import pytest
from testenv import Deadline, Dcmtk, Loader, Narthex, phantom

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
