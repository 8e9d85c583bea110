"""Large values through every door, in and out, by a server whose memory is limited and does not grow with them.

The release build runs under RLIMIT_DATA, which counts all that it allocates.  A sanitizer build cannot
live under that limit; there the growth of its resident set is bounded.  Bytes are made and hashed while
they pass, on both sides; the only copy on a disk is the store's.
"""
import contextlib
import hashlib
import http.client
import os
import shutil
import ssl
import struct
import subprocess
import threading

import pytest
from testenv import Narthex, find_binary, find_release
from testenv.peer import Association
from testenv.stream import PIECE, Hashed, LargeInstance, Stream, dataset_offset

MIB = 1 << 20
LIMIT = 256 * MIB
GROWTH_SANITIZED = 160 * MIB  # what a freed block leaves in quarantine is counted as well
SHORT = 300 * MIB + 12_345
SHORT_SANITIZED = 24 * MIB + 12_345  # several extents, and growing ones
LONG = 20_000_000_001
COLLECTION = "/api/v1/collections/clinical"
OBJECT = "/api/v1/collections/curated/objects/large/one.bin"
BUILDS = [pytest.param(("release", SHORT), id="release"), pytest.param(("sanitizer", SHORT_SANITIZED), id="sanitizer"),
          pytest.param(("release", LONG), id="20GB", marks=pytest.mark.long)]


class Bounded:
    """A site under the limit that fits its build; `check` is called when the door has been used."""

    def __init__(self, folder, build):
        self.sanitized = build == "sanitizer"
        program = find_binary() if self.sanitized else find_release()
        limit = [] if self.sanitized else ["/usr/bin/prlimit", f"--data={LIMIT}"]
        options = "detect_leaks=1:exitcode=99:abort_on_error=0:handle_segv=2:quarantine_size_mb=16"
        self.site = Narthex(folder, binary=[*limit, program], init_args=["--allow-ae", "TESTENV=clinical"],
                            env={"ASAN_OPTIONS": options} if self.sanitized else {})

    def __enter__(self):
        self.site.__enter__()
        self.before = self.site.process.rss_bytes()
        self.site.process.peak_rss_reset()
        return self

    def __exit__(self, *error):
        try:
            self.site.__exit__(*error)
        finally:
            shutil.rmtree(self.site.folder)

    def check(self):
        peak = self.site.process.peak_rss_bytes()
        print(f"peak resident {peak / MIB:.0f} MiB, {self.before / MIB:.0f} MiB before")
        assert peak - self.before < (GROWTH_SANITIZED if self.sanitized else LIMIT)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One site of each build for all short tests; what is large goes as soon as it was read."""
    with contextlib.ExitStack() as stack:
        sites = {build: stack.enter_context(Bounded(tmp_path_factory.mktemp(build) / "nx", build))
                 for build in ("release", "sanitizer")}
        yield sites


@pytest.fixture
def bounded(request, tmp_path):
    build, size = request.param
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(Bounded(tmp_path / "nx", build)) if size == LONG else (
            request.getfixturevalue("shared")[build])
        one.size = size
        one.site.process.peak_rss_reset()
        yield one
        one.check()


def connection(site, listener):
    context = ssl.create_default_context(cafile=site.ca)
    return http.client.HTTPSConnection("127.0.0.1", site.ports[listener], timeout=900, context=context)


def send(site, listener, method, path, pieces, headers):
    """(status, body) of a request whose body is made while it is sent; chunked unless its length is said."""
    with contextlib.closing(connection(site, listener)) as conn:
        conn.request(method, path, body=iter(pieces), encode_chunked="Content-Length" not in headers,
                     headers={"Authorization": f"Bearer {site.token}", **headers,
                              **({} if "Content-Length" in headers else {"Transfer-Encoding": "chunked"})})
        answer = conn.getresponse()
        return answer.status, answer.read()


def fetch(site, listener, path, skip=lambda head: 0, **headers):
    """The digest and size of a body that is read piece by piece, after what `skip` says of its first bytes."""
    with contextlib.closing(connection(site, listener)) as conn:
        conn.request("GET", path, headers={"Authorization": f"Bearer {site.token}", **headers})
        answer = conn.getresponse()
        assert answer.status in (200, 206), answer.read(1000)
        head = answer.read(4096)
        hashed = Hashed(skip=skip(head))
        hashed.add(head)
        piece = bytearray(PIECE)
        while n := answer.readinto(piece):
            hashed.add(memoryview(piece)[:n])
        return hashed.digest, hashed.size


def instance_path(one):
    return f"/studies/{one.study}/series/{one.series}/instances/{one.sop}"


@pytest.mark.parametrize("bounded", BUILDS, indirect=True)
def test_an_object_goes_in_and_out_by_the_api(bounded):
    site, stream = bounded.site, Stream("api", bounded.size)
    sent = Hashed(stream)
    status, body = send(site, "management", "PUT", OBJECT, sent, {"Content-Length": str(bounded.size)})
    assert status == 201, body
    assert fetch(site, "management", OBJECT) == (sent.digest, bounded.size)
    last = memoryview(b"".join(stream.last(3)))[-2 * PIECE - 17:]
    tail = fetch(site, "management", OBJECT, Range=f"bytes=-{len(last)}")
    assert tail == (hashlib.sha256(last).hexdigest(), len(last))
    assert '"bad":0' in site.cli("scrub", "--json", "--site", site.site, seconds=900).replace(" ", "")


@pytest.mark.parametrize("bounded", BUILDS, indirect=True)
def test_an_object_goes_in_and_out_by_the_command_line(bounded):
    site = bounded.site
    sent, got = Hashed(Stream("cli", bounded.size)), Hashed()
    with subprocess.Popen([*site.binary, "put", "--site", str(site.site), "-", "large/cli.bin"],
                          stdin=subprocess.PIPE) as child:
        for piece in sent:
            child.stdin.write(piece)
        child.stdin.close()
        assert child.wait(900) == 0
    with subprocess.Popen([*site.binary, "get", "--site", str(site.site), "--object", "large/cli.bin", "-"],
                          stdout=subprocess.PIPE) as child:
        while piece := child.stdout.read(PIECE):
            got.add(piece)
        assert child.wait(900) == 0
    assert (got.digest, got.size) == (sent.digest, bounded.size)


@pytest.mark.parametrize("bounded", BUILDS, indirect=True)
def test_an_instance_goes_in_by_stow_and_out_by_wado(bounded):
    site, one = bounded.site, LargeInstance("stow", bounded.size)
    sent = Hashed(one.part10())

    def body():
        yield b"--part\r\nContent-Type: application/dicom\r\n\r\n"
        yield from sent
        yield b"\r\n--part--\r\n"

    status, answer = send(site, "data", "POST", "/dicom-web/studies", body(),
                          {"Content-Type": 'multipart/related; type="application/dicom"; boundary=part'})
    assert status == 200, answer
    got = fetch(site, "data", "/dicom-web" + instance_path(one), Accept="application/dicom; transfer-syntax=*")
    assert got == (sent.digest, sent.size)


@pytest.mark.parametrize("bounded", BUILDS, indirect=True)
def test_an_instance_goes_in_by_c_store(bounded):
    site, one = bounded.site, LargeInstance("c-store", bounded.size)
    sent = Hashed(one.dataset())
    with Association(site.ports["dimse_tls"], [(one.sop_class, [one.syntax])], ca=site.ca, seconds=900) as peer:
        response = peer.store(one.sop_class, one.sop, one.syntax, sent)
    assert response.status == 0, response
    got = fetch(site, "management", COLLECTION + instance_path(one), skip=dataset_offset)
    assert got == (sent.digest, sent.size)


def write_sparse(path, one):
    """The instance as a file of that size with few blocks: pieces of zeros are left out."""
    with open(path, "wb") as file:
        for n, piece in enumerate(one.part10()):
            if len(piece) > 65536 and n % 64:
                file.seek(len(piece), os.SEEK_CUR)
            else:
                file.write(piece)


def file_digest(path):
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            sha.update(piece)
    return sha.hexdigest()


@pytest.mark.parametrize("bounded", BUILDS, indirect=True)
def test_a_file_goes_in_by_import(bounded, tmp_path):
    site, one = bounded.site, LargeInstance("import", bounded.size)
    path = tmp_path / "large.dcm"
    write_sparse(path, one)
    assert path.stat().st_blocks * 512 < bounded.size // 8
    site.cli("import", "--site", site.site, "--collection", "clinical", path, seconds=3600)
    got = fetch(site, "management", COLLECTION + instance_path(one))
    assert got == (file_digest(path), path.stat().st_size)


@pytest.mark.parametrize("bounded", BUILDS[:1], indirect=True)
def test_large_values_at_the_same_time(bounded):
    """Eight at once cost eight times the buffers of one, not the values."""
    site, size = bounded.site, bounded.size // 8
    failed = []

    def one(number):
        path = f"{OBJECT}.{number}"
        sent = Hashed(Stream(number, size))
        status, _ = send(site, "management", "PUT", path, sent, {"Content-Length": str(size)})
        if status != 201 or fetch(site, "management", path) != (sent.digest, size):
            failed.append(number)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def headers(n, size):
    """A STOW-RS body of `n` instances of `size` bytes of which nothing is bulk."""
    value = b"z" * 60000
    block = b"".join(struct.pack("<HH2sH", 0x29, 0x1000 + i % 256, b"LO", len(value)) + value
                     for i in range(size // len(value)))
    for i in range(n):
        uid = f"1.2.3.{10 + i}"
        texts = ((8, 0x16, b"1.2.840.10008.5.1.4.1.1.7\0"), (8, 0x18, uid.encode()), (0x20, 0xd, b"1.2.3.99"),
                 (0x20, 0xe, b"1.2.3.98"))
        yield b"--b\r\nContent-Type: application/dicom\r\n\r\n"
        yield b"".join(struct.pack("<HH2sH", group, element, b"UI", len(text)) + text for group, element, text in texts)
        yield block + b"\r\n"
    yield b"--b--\r\n"


def test_long_headers_that_wait_for_their_answers_take_no_memory(shared):
    """More of them than the limit allows, in one request; each is answered for at the end."""
    site = shared["release"].site
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    done = site.session().post(site.url("/dicom-web/studies"), data=headers(16, 24 * MIB), timeout=300,
                               headers={"Content-Type": kind})
    assert done.status_code == 200, done.text
    assert len(done.json()["00081199"]["Value"]) == 16
    shared["release"].check()
