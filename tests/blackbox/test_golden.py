"""A site, a backup and what was signed, as version 1 of the formats has them, under the program of today.

The files in golden/ were made once, by tests/tools/golden_site.py, and are never made anew.
"""
import hashlib
import json
import pathlib
import shutil
import subprocess
import tarfile

import pytest
from testenv import Narthex

GOLDEN = pathlib.Path(__file__).resolve().parent / "golden"
ONE = {"Accept": "application/dicom; transfer-syntax=*"}
VERSIONS = sorted(int(path.name[1:].split("-")[0]) for path in GOLDEN.glob("v*-site.tar.xz"))


class Golden:
    """The golden site of a version, unpacked; nothing of it is served yet."""

    def __init__(self, folder, version):
        self.folder = folder
        with tarfile.open(GOLDEN / f"v{version}-site.tar.xz") as archive:
            archive.extractall(folder)
        self.facts = json.loads((GOLDEN / f"v{version}-site.json").read_text())
        self.server = Narthex(folder)
        self.server.token = self.facts["token"]
        (folder / "passphrase").chmod(0o600)

    def cli(self, *args, **kwargs):
        return self.server.cli(*args, "--site", self.server.site, **kwargs)

    def cli_json(self, *args):
        return json.loads(self.cli(*args, "--json"))

    def offline(self, *args):
        return self.cli_json(*args, "--passphrase-file", self.server.passphrase_file)

    def certificates(self):
        """Those of the golden site expire."""
        fresh = Narthex(self.folder / "fresh").init()
        shutil.rmtree(self.server.site / "tls", ignore_errors=True)
        shutil.copytree(fresh.site / "tls", self.server.site / "tls")

    def __enter__(self):
        self.certificates()
        self.server.start()
        return self

    def __exit__(self, *error):
        self.server.stop()


@pytest.fixture(params=VERSIONS)
def golden(tmp_path, request):
    return Golden(tmp_path, request.param)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def check_sound(golden, *options):
    found = golden.offline("fsck", *options)
    assert found["fsck"]["sound"] and found["scrub"]["bad"] == 0, found


def check_bytes(golden):
    """Everything comes out as it went in; what was erased does not."""
    server = golden.server
    for one in golden.facts["instances"]:
        path = "/dicom-web/studies/{study}/series/{series}/instances/{instance}".format(**one)
        answer = server.session().get(server.url(path), headers=ONE, timeout=60)
        assert answer.status_code == 200 and digest(answer.content) == one["sha256"]
    golden.cli("get", "--object", "golden/object", golden.folder / "object")
    assert digest((golden.folder / "object").read_bytes()) == golden.facts["object"]
    (golden.folder / "object").unlink()
    studies = {one["StudyInstanceUID"] for one in golden.cli_json("find", "study")["studies"]}
    assert studies == {one["study"] for one in golden.facts["instances"]}
    assert len(golden.cli_json("quarantine", "list")["quarantine"]) == golden.facts["quarantine"]


def check_ledger(golden):
    assert golden.cli_json("ledger", "verify")["entries"] >= golden.facts["entries"]
    assert golden.cli_json("ledger", "checkpoint")["verifier_key"] == golden.facts["ledger_key"]


def check_release(golden):
    """The signed manifest, byte for byte; a lease of then has ended, a new one gives the same keys and places."""
    facts = golden.facts
    assert golden.cli_json("release", "verifier")["verifier_key"] == facts["verifier"]
    assert golden.cli("release", "manifest", "golden@v1") == facts["manifest"]
    assert golden.cli("lease", "read", facts["window"]["lease"], check=False).returncode == 4
    lease = golden.cli("lease", "open", "golden", "--purpose", "golden").strip()
    window = golden.cli_json("lease", "read", lease)
    assert window["samples"] == facts["window"]["samples"]
    assert window.keys() == facts["window"].keys() and window["packs"].keys() == facts["window"]["packs"].keys()


def test_packs_and_keys_alone_make_the_site(golden):
    check_sound(golden, "--rebuild")
    with golden:
        check_bytes(golden)
        check_ledger(golden)
        check_release(golden)
        assert golden.cli_json("scrub")["bad"] == 0
    check_sound(golden)


def test_the_backup_makes_the_site(golden):
    shutil.copytree(golden.server.site / "keys2", golden.folder / "surviving")
    golden.server.site = golden.folder / "restored"
    golden.offline("restore", "--from", golden.folder / "backup", "--keys", golden.folder / "surviving")
    check_sound(golden)
    with golden:
        check_bytes(golden)
        check_ledger(golden)
        check_release(golden)


def test_the_lists_of_the_backup_are_those_of_a_common_tool(golden):
    lists = list((golden.folder / "backup").glob("SHA256SUMS-*"))
    assert len(lists) == 1
    subprocess.run(["sha256sum", "--quiet", "-c", lists[0]], cwd=golden.folder / "backup", check=True)


def test_the_certificate_of_the_erasure_holds(golden):
    golden.offline("fsck", "--rebuild")
    with golden:
        golden.cli("certificate", "check", golden.folder / "certificate.json")
