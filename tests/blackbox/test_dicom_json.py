"""Our DICOM JSON of real files against that of pydicom and of DCMTK.

NX_DICOM_DUMP names the test program; the files are those of python3-pydicom.
"""
import base64
import json
import math
import os
import pathlib
import shutil
import subprocess

import pydicom
import pytest

DUMP = os.environ.get("NX_DICOM_DUMP", "")
DATA = pathlib.Path(pydicom.__file__).parent / "data"
REFUSED = {  # broken: cut short, or lengths that do not fit
    "DICOMDIR-nooffset", "rtplan_truncated.dcm", "no_meta.dcm", "MR_truncated.dcm",
}
NO_LIMIT = str(0xFFFFFFFF)

pytestmark = [pytest.mark.skipif(not DUMP, reason="NX_DICOM_DUMP is not set"),
              pytest.mark.filterwarnings("ignore")]


def files():
    out = []
    for path in sorted(DATA.rglob("*")):
        if path.is_file() and path.name not in REFUSED and b"DICM" == path.read_bytes()[128:132]:
            out.append(path)
    return out


def ours(path):
    run = subprocess.run([DUMP, str(path), NO_LIMIT], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def number(v):
    try:
        return float(v)
    except (TypeError, ValueError):
        return v


def private(key):
    return int(key[:4], 16) & 1


def name(v):
    return {k: w for k, w in (v or {}).items() if w.strip("^")}


def same_value(vr, a, b):
    if vr == "PN":
        return name(a) == name(b)
    a, b = (None if v == "" else v for v in (a, b))
    if vr in ("FL", "FD", "DS", "IS") and isinstance(number(a), float) and isinstance(number(b), float):
        a, b = number(a), number(b)
        return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-15 if vr != "FL" else 1e-6)
    if isinstance(a, str) and isinstance(b, str):
        return a.strip(" \0") == b.strip(" \0")
    return a == b


def differences(mine, theirs, where=""):
    for key in sorted(set(mine) | set(theirs)):
        at = f"{where}/{key}"
        if key == "00080005" or (key not in mine and (key.endswith("0000") or key == "FFFCFFFC")):
            continue  # the repertoire is ISO_IR 192 in JSON; group lengths and padding are not data
        if key not in mine or (key not in theirs and mine[key].get("Value") != ["1A"]):
            yield at, "missing", mine.get(key), theirs.get(key)
            continue
        a, b = mine[key], theirs.get(key, {})
        if private(key) and a["vr"] == "UN" or "1A" in a.get("Value", ()):
            continue  # pydicom has a private dictionary; it leaves out a bad IS
        if key == "7FE00010" and a["vr"] == "OB":
            continue  # encapsulated is OB (PS3.5 A.4); pydicom gives what the stream says
        if a["vr"] != b["vr"]:
            yield at, "vr", a["vr"], b["vr"]
        elif "BulkDataURI" in a:
            pass  # pixel data
        elif a["vr"] == "SQ":
            items, others = a.get("Value", []), b.get("Value", [])
            if len(items) != len(others):
                yield at, "items", len(items), len(others)
            for n, (x, y) in enumerate(zip(items, others)):
                yield from differences(x, y, f"{at}[{n}]")
        elif "InlineBinary" in a or "InlineBinary" in b:
            x, y = (base64.b64decode(v.get("InlineBinary", "")) for v in (a, b))
            if x != y:
                yield at, "bytes", x[:32], y[:32]
        else:
            x, y = a.get("Value", []), b.get("Value", [])
            x = [] if a["vr"] == "PN" and not any(map(name, x)) else x
            y = [] if all(v in (None, "") or a["vr"] == "PN" and not name(v) for v in y) and len(y) <= 1 else y
            if len(x) != len(y) or not all(same_value(a["vr"], v, w) for v, w in zip(x, y)):
                yield at, "value", x, y


@pytest.mark.parametrize("path", files(), ids=lambda p: p.name)
def test_json_is_that_of_pydicom(path):
    theirs = pydicom.dcmread(path).to_json_dict(suppress_invalid_tags=True)
    assert list(differences(ours(path), theirs)) == []


NOT_BY_DCMTK = {"chrSQEncoding.dcm"}  # a character set of its own in an item


@pytest.mark.skipif(not shutil.which("dcm2json"), reason="dcm2json is not installed")
@pytest.mark.parametrize("path", files(), ids=lambda p: p.name)
def test_json_is_that_of_dcmtk(path):
    run = subprocess.run(["dcm2json", str(path)], capture_output=True, check=False)
    if run.returncode or path.name in NOT_BY_DCMTK:
        pytest.skip("beyond dcm2json: compressed pixel data, most multi-byte character sets")
    assert list(differences(ours(path), json.loads(run.stdout))) == []
