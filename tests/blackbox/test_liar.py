"""libnarthex with a site that lies: every lie is an error of one line, and what is given out is what was released."""
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import test_spine as spine
from testenv import Narthex
from testenv.liar import Liar
from testenv.narthex import ROOT

SECONDS = 30
# One line in: open the release, read all of it, say what came.
SCRIPT = """
import hashlib, json, sys
import narthex
for line in sys.stdin:
    try:
        with narthex.open("lung-ct", **json.loads(line)) as dataset:
            said = [hashlib.sha256(data).hexdigest() for batch in dataset for _, data in batch]
    except narthex.Error as error:
        said = str(error)
    print(json.dumps(said), flush=True)
"""


class Reader:
    """A job, in a process of its own."""

    def __init__(self, build):
        library = build / "src/loader/libnarthex.so.0"
        linked = subprocess.run(["ldd", library], capture_output=True, text=True, check=True).stdout
        env = {**os.environ, "NARTHEX_LIBRARY": str(library), "PYTHONPATH": str(ROOT / "python"),
               "ASAN_OPTIONS": "detect_leaks=0:exitcode=99:allocator_may_return_null=1",
               "LD_PRELOAD": " ".join(re.findall(r"=> (\S*lib(?:asan|ubsan|tsan)\S*)", linked))}
        self.child = subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True, env=env)

    def read(self, site, **options):
        self.child.stdin.write(json.dumps({"site": site, "batch": 3, **options}) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        assert line, self.child.stderr.read()[-4000:]
        return json.loads(line)

    def close(self):
        self.child.stdin.close()
        assert self.child.wait(SECONDS) == 0, self.child.stderr.read()[-4000:]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A site with a release, a liar before it, a reader, and what the release holds."""
    folder = tmp_path_factory.mktemp("liar")
    with Narthex(folder / "nx", init_args=["--allow-ae", "TESTENV=clinical"]) as site:
        spine.store(site, folder / "in")
        spine.cli(site, "deid", "--all")
        spine.cli(site, "release", "create", "lung-ct")
        liar = Liar(site.site / "run/narthex.sock", folder / "liar.sock")
        reader = Reader(spine.build_folder(site))
        liar.uri = f"unix:{liar.path}"
        truth = reader.read(liar.uri)
        assert len(truth) == spine.PLAN.instances
        yield liar, reader, truth, folder
        reader.close()
        liar.close()


def changed(path, change):
    """The lie that the first answer to `path` is changed by `change`, which gets JSON, or bytes of a manifest."""
    def lie(_, asked, body):
        if path not in asked:
            return body
        if path == "/manifest":
            return change(body)
        answer = json.loads(body)
        return json.dumps(change(answer) or answer).encode()
    return lie


def put(*keys_and_value):
    """A change: answer[key][key]... = value."""
    *keys, last, value = keys_and_value

    def change(answer):
        for key in keys:
            answer = answer[key]
        answer[last] = value
    return change


def raw(path, *pieces):
    return lambda _, asked, body: Liar.raw(pieces) if path in asked else body


def every_sample_twice(answer):
    answer["samples"] += answer["samples"]
    answer["next"] = answer["first"] + len(answer["samples"])


def keys_swapped(answer):
    blobs = [blob for sample in answer["samples"] for blob in sample["blobs"]]
    blobs[0]["key"], blobs[1]["key"] = blobs[1]["key"], blobs[0]["key"]


def samples_swapped(answer):
    one, two = answer["samples"][:2]
    one["position"], two["position"] = two["position"], one["position"]
    answer["samples"][:2] = two, one


def packs(path):
    def change(answer):
        answer["packs"] = {pack: path for pack in answer["packs"]}
    return change


def many_blobs(answer):
    sample = answer["samples"][0]
    sample["blobs"] = [sample["blobs"][0]] * 50_000
    sample["parts"] = sample["parts"] * 50_000


SAMPLE, BLOB = ("samples", 0), ("samples", 0, "blobs", 0)
HUGE = 2**62
OK = b"HTTP/1.1 200 OK\r\n"
LIES = {
    "a lease of nothing": raw("/leases", OK + b"Content-Length: 0\r\n\r\n"),
    "a lease that is no JSON": raw("/leases", OK + b"Content-Length: 4\r\n\r\n{\"a\""),
    "a lease that breaks off": raw("/leases", OK + b"Content-Length: 4000\r\n\r\n{"),
    "a lease without end": raw("/leases", OK + b"\r\n", *[b" " * 65536] * 4),
    "a lease elsewhere": raw("/leases", b"HTTP/1.1 307 Over there\r\nLocation: http://localhost/api/v1/leases\r\n"
                                        b"Content-Length: 0\r\n\r\n"),
    "no HTTP": raw("/leases", b"\x16\x03\x01" + b"\0" * 1000),
    "a head without end": raw("/leases", OK, *[b"X: " + b"a" * 60000 + b"\r\n"] * 20),
    "a lease id that is a path": changed("/leases", put("lease", "../../tokens")),
    "a release that is a path": changed("/leases", put("release", "../../status@v1")),
    "a release without a version": changed("/leases", put("release", "lung-ct")),
    "a release with a long name": changed("/leases", put("release", "a" * 5000 + "@v1")),
    "another root": changed("/leases", put("root", "00" * 32)),
    "a manifest of nothing": changed("/manifest", lambda body: b""),
    "a manifest that breaks off": changed("/manifest", lambda body: body[:-100]),
    "a manifest with something after it": changed("/manifest", lambda body: body + b"page 0 0 \n"),
    "a manifest of too many": changed("/manifest", lambda body: body.replace(b"items 8", b"items 99999999999999999")),
    "a manifest of too many pages": changed("/manifest", lambda body: re.sub(rb"pages \d+", b"pages 4294967295", body)),
    "a manifest with another size": changed("/manifest", lambda body: body.replace(b'"size":1', b'"size":2', 1)),
    "a window of nothing": changed("/read", put("samples", [])),
    "a window of other positions": changed("/read", put("first", 3)),
    "a window without end": changed("/read", put("next", HUGE)),
    "a window of more than there is": changed("/read", every_sample_twice),
    "samples that changed places": changed("/read", samples_swapped),
    "a sample of no parts": changed("/read", put(*SAMPLE, "parts", [])),
    "a sample of huge size": changed("/read", put(*SAMPLE, "size", HUGE)),
    "a sample of negative size": changed("/read", put(*SAMPLE, "size", -1)),
    "parts that overflow": changed("/read", put(*SAMPLE, "parts", [[0, HUGE, HUGE]] * 4)),
    "a part past its blob": changed("/read", put(*SAMPLE, "parts", 0, [0, 1, HUGE])),
    "a part of no blob": changed("/read", put(*SAMPLE, "parts", 0, [2**32, 0, 1])),
    "a literal that is no base64": changed("/read", put(*SAMPLE, "parts", 0, "*" * 1000)),
    "a part that is an object": changed("/read", put(*SAMPLE, "parts", 0, {"a": 1})),
    "many blobs": changed("/read", many_blobs),
    "a blob without a key": changed("/read", put(*BLOB, "key", "")),
    "a key that is too long": changed("/read", put(*BLOB, "key", "AAAA" * 1000)),
    "keys that changed places": changed("/read", keys_swapped),
    "another root of a blob": changed("/read", put(*BLOB, "root", "00" * 32)),
    "a blob of huge length": changed("/read", put(*BLOB, "len", HUGE)),
    "a blob that is stored in nothing": changed("/read", put(*BLOB, "extents", [])),
    "a blob of an unknown codec": changed("/read", put(*BLOB, "codec", 77)),
    "an extent of no length": changed("/read", put(*BLOB, "extents", 0, 2, 0)),
    "an extent of huge length": changed("/read", put(*BLOB, "extents", 0, 2, 2**31)),
    "an extent past the end": changed("/read", put(*BLOB, "extents", 0, 1, HUGE)),
    "an extent of no pack": changed("/read", put(*BLOB, "extents", 0, 0, 12345)),
    "an extent whose data is elsewhere": changed("/read", put(*BLOB, "extents", 0, 3, 64)),
    "packs that are a device": changed("/read", packs("/dev/zero")),
    "packs that are another file": changed("/read", packs("/etc/passwd")),
    "packs that are a folder": changed("/read", packs("/")),
    "packs that are not there": changed("/read", packs("/nowhere/at/all")),
    "packs that are numbers": changed("/read", packs(7)),
    "no packs": changed("/read", put("packs", {})),
    "an answer that is deep": raw("/read", OK + b"Content-Length: 400000\r\n\r\n" + b"[" * 400000),
    "an answer that is large": raw("/read", OK + b"\r\n", *[b'"' + b"a" * (1 << 20)] * 80),
}
SAID = {"a lease elsewhere": "the site says 307"}


def test_no_lie_is_believed(released):
    """Each is told in a line, in time, and the reader goes on: the truth is read after every lie."""
    liar, reader, truth, _ = released
    for what, lie in LIES.items():
        liar.lie = lie
        said = reader.read(liar.uri)
        assert isinstance(said, str) and 0 < len(said) < 400 and "\n" not in said, (what, said)
        assert SAID.get(what, "") in said, (what, said)
    liar.lie = lambda method, path, body: body
    assert reader.read(liar.uri) == truth
