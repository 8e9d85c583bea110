#!/usr/bin/python3
"""Make the golden site of a format version, once: tests/tools/golden_site.py VERSION [--build BUILD].

A whole site with one of everything that rests on disk, its backup, and what must come out of both: three files in
tests/blackbox/golden.  tests/blackbox/test_golden.py opens them with the program of today.  They are made when a
version of a format is new and never again: a file that is there is not replaced.
"""
import argparse
import hashlib
import io
import json
import pathlib
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "blackbox"))
from testenv import Narthex, find_binary, phantom  # noqa: E402

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "blackbox/golden"
MULTIPART = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
CT = phantom.Plan(instances=1, slices=1, series=1, rows=128, columns=264)  # pixels just too large for a unit
SMALL = phantom.Plan(kind="small", instances=2, slices=1, series=1, rows=16, columns=16)
OBJECT = b"An object of the golden site.\n" * 20
# Certificates expire: the test brings new ones.  The catalog is in the backup; of the site's own nothing is left, so
# that it must come from packs and keys.
LEFT_OUT = ("lock", "narthex.sock", "LOCK", "tls", "catalog.db", "catalog.db-wal", "catalog.db-shm")


def cli(site, *args):
    return site.cli(*args, "--site", site.site)


def cli_json(site, *args):
    return json.loads(cli(site, *args, "--json"))


def store(site, data):
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--b--\r\n"
    return site.session().post(site.url("/dicom-web/studies"), data=body, headers=MULTIPART, timeout=60).status_code


def fill(site, folder):
    """The facts: what must come out again."""
    ct, = phantom.instances(CT)
    kept, gone = phantom.instances(SMALL)
    if any(store(site, one.data) != 200 for one in (ct, kept, gone)):
        sys.exit("an instance was not stored")
    store(site, kept.data[:-100])  # ends inside its pixels: to quarantine
    (folder / "object").write_bytes(OBJECT)
    cli(site, "put", folder / "object", "golden/object")
    cli(site, "deid", "--study", ct.study_uid)
    cli(site, "release", "create", "golden")
    lease = cli(site, "lease", "open", "golden", "--purpose", "golden").strip()
    window = cli_json(site, "lease", "read", lease)
    cli(site, "lease", "end", lease)
    cli(site, "erase", "--patient", gone.patient_id, "--collection", "clinical", "--reason", "golden", "--yes",
        "--certificate", folder / "certificate.json")
    cli(site, "key", "rotate")
    return {
        "token": site.token,
        "instances": [{"study": one.study_uid, "series": one.series_uid, "instance": one.sop_uid,
                       "patient": one.patient_id, "sha256": hashlib.sha256(one.data).hexdigest()} for one in (ct, kept)],
        "erased": {"study": gone.study_uid, "patient": gone.patient_id},
        "object": hashlib.sha256(OBJECT).hexdigest(),
        "quarantine": len(cli_json(site, "quarantine", "list")["quarantine"]),
        "manifest": cli(site, "release", "manifest", "golden@v1"),
        "verifier": cli_json(site, "release", "verifier")["verifier_key"],
        "ledger_key": cli_json(site, "ledger", "checkpoint")["verifier_key"],
        "window": window,
    }


def keep(info):
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return None if pathlib.PurePath(info.name).name in LEFT_OUT else info


def pack(out, folder):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:xz", preset=9) as archive:
        for name in ("site", "backup", "passphrase", "certificate.json"):
            archive.add(folder / name, name, filter=keep)
    out.write_bytes(raw.getvalue())


def main():
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("version", type=int)
    parse.add_argument("--build", type=pathlib.Path)
    args = parse.parse_args()
    archive, facts = (GOLDEN / f"v{args.version}-site.{end}" for end in ("tar.xz", "json"))
    if archive.exists() or facts.exists():
        sys.exit(f"{archive} is there, and golden files are never made anew")
    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        site = Narthex(folder, binary=find_binary(args.build), init_args=["--allow-ae", "TESTENV=clinical"])
        with site:
            told = fill(site, folder)
            site.restart()  # a second run of the site: the packs of the first are closed
            cli(site, "backup", folder / "backup")
            told["entries"] = cli_json(site, "ledger", "verify")["entries"]
        pack(archive, folder)
        facts.write_text(json.dumps(told, indent=1) + "\n")
    print(f"{archive}: {archive.stat().st_size} bytes")


if __name__ == "__main__":
    main()
