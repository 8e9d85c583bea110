"""Clients that mean harm, from addresses of their own, while one that means well is answered as ever.

The crowd comes from 127.0.0.0/8 addresses other than 127.0.0.1.  During every attack a C-ECHO and a
QIDO-RS query are each answered within ANSWER_S, memory and descriptors stay below what the
configuration allows, and afterwards descriptors and threads are back to what they were.
"""
import contextlib
import http.client
import json
import re
import resource
import select
import socket
import ssl
import struct
import threading
import time

import pytest
from testenv import Deadline, Narthex, find_binary, peer, phantom
from testenv.stream import Stream

ANSWER_S = 5.0
IDLE = 1000
MAX_PER_PEER, MAX_ASSOCIATIONS, MAX_HTTP, HTTP_PER_PEER = 32, 128, 128, 48
LISTENERS = ("dimse", "dimse_tls", "data", "management")
FDS_MAX = 2 * MAX_ASSOCIATIONS + 2 * MAX_HTTP + 128
PACKS_FDS = 16 + 8  # packs that an attack made the server open, two each, stay open, and some rings
RSS_GROWTH_MAX = 768 << 20  # sanitizer stacks, red zones and freed memory are many times the real ones
CONFIG = {
    "dimse": {"max_per_peer": MAX_PER_PEER, "max_associations": MAX_ASSOCIATIONS, "artim_seconds": 3,
              "idle_seconds": 5},
    "http": {"max_connections": MAX_HTTP, "max_per_peer": HTTP_PER_PEER, "header_seconds": 3, "idle_seconds": 4,
             "min_rate": 131072},
}
# The two kinds of listener, and the two that are like them.
EVERY = ["dimse_tls", "data", *(pytest.param(name, marks=pytest.mark.long) for name in ("dimse", "management"))]
AE = [word for n in range(1, 10) for word in ("--allow-ae", f"AE{n}=clinical")]


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """The crowd is in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One for all: what an attack leaves behind shows in the next."""
    with Narthex(tmp_path_factory.mktemp("hostile") / "nx", config=CONFIG,
                 init_args=["--allow-ae", "TESTENV=clinical", *AE]) as server:
        plan = phantom.Plan(kind="small", instances=4, slices=2, series=1, rows=64, columns=64)
        phantom.write(plan, server.folder / "small")
        server.cli("import", "--site", server.site, "--collection", "clinical", server.folder / "small")
        yield server


class Watch:
    """What the process had before, and the answers of the well-behaved client."""

    def __init__(self, site):
        self.site, self.process = site, site.process
        self.slowest = 0.0
        self.well()
        self.fds, self.threads, self.rss = self.process.fds(), self.process.threads(), self.process.rss_bytes()
        self.log_at = len(self.process.text())

    def timed(self, what, fn):
        start = time.monotonic()
        fn()
        took = time.monotonic() - start
        self.slowest = max(self.slowest, took)
        assert took < ANSWER_S, f"{what} took {took:.2f} s"

    def well(self):
        """Each on a new connection: who is connected already is not what a crowd keeps out."""
        self.timed("C-ECHO", lambda: self.echo(self.site.ports["dimse"]))
        self.timed("C-ECHO over TLS", lambda: self.echo(self.site.ports["dimse_tls"], ca=self.site.ca))
        self.timed("QIDO-RS", self.qido)

    @staticmethod
    def echo(port, **transport):
        assert peer.echo(port, seconds=30, **transport) == 0

    def qido(self):
        with self.site.session() as session:
            found = session.get(self.site.url("/dicom-web/studies"), timeout=30)
        assert found.status_code == 200 and len(found.json()) == 2

    def bounded(self):
        assert self.process.fds() <= FDS_MAX
        assert self.process.rss_bytes() - self.rss < RSS_GROWTH_MAX

    def settle(self, fds, threads, seconds=30):
        deadline = Deadline(seconds, step=0.1)
        while self.process.fds() > fds or self.process.threads() > threads:
            deadline.wait(f"{self.process.fds()} descriptors, {self.process.threads()} threads; "
                          f"before there were {fds} and {threads}")

    def over(self):
        """As before: what the attack took is given back, and the log has no more than a line for each connection."""
        self.settle(self.fds + PACKS_FDS, self.threads)
        self.well()
        print(f"slowest answer {self.slowest * 1000:.0f} ms")

    def log(self):
        """Its lines since the attack began, without one that is being written."""
        text = self.process.text()[self.log_at:]
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]


@pytest.fixture
def watch(site):
    one = Watch(site)
    yield one
    one.over()


def crowd(port, n, first=b"", addresses=1):
    """`n` connections from 127.0.1.1 and on; those that were refused count as well."""
    out = []
    for i in range(n):
        sock = socket.socket()
        sock.bind((f"127.0.1.{1 + i % addresses}", 0))
        sock.settimeout(10)
        with contextlib.suppress(OSError):
            sock.connect(("127.0.0.1", port))
            if first:
                sock.sendall(first)
        out.append(sock)
    return out


def close_all(socks):
    for sock in socks:
        with contextlib.suppress(OSError):
            sock.close()


def alive(socks):
    """How many the server has not closed."""
    by_fd = {sock.fileno(): sock for sock in socks}
    poll = select.poll()
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    closed = 0
    for fd, _ in poll.poll(0):
        try:
            closed += not by_fd[fd].recv(65536, socket.MSG_PEEK)
        except OSError:
            closed += 1
    return len(by_fd) - closed


def no_names(entries):
    """Nothing of patients or clients' paths in the log."""
    text = json.dumps(entries)
    assert "PHANTOM" not in text and "TEST^" not in text and "2.25." not in text
    assert "secret-path" not in text


# ---- connections that say nothing ----


@pytest.mark.parametrize("listener", EVERY)
def test_a_thousand_idle_connections_of_one_address(watch, listener):
    socks = crowd(watch.site.ports[listener], IDLE)
    watch.well()
    watch.bounded()
    assert alive(socks) <= max(MAX_PER_PEER, HTTP_PER_PEER)
    refused = [line for line in watch.log() if line["event"] == "connection-refused"]
    assert IDLE - max(MAX_PER_PEER, HTTP_PER_PEER) <= len(refused) <= IDLE
    assert {line["text"].partition(": ")[2].partition(": ")[0] for line in refused} == {"127.0.1.1"}
    close_all(socks)


@pytest.mark.parametrize("listener", EVERY)
def test_a_thousand_idle_connections_of_many_addresses(watch, listener):
    """They fill the listener; who comes after them is let in all the same."""
    socks = crowd(watch.site.ports[listener], IDLE, addresses=50)
    for _ in range(3):
        watch.well()
        watch.bounded()
    close_all(socks)


@pytest.mark.long
def test_idle_connections_end_by_themselves(watch):
    socks = [sock for listener in LISTENERS for sock in crowd(watch.site.ports[listener], 8)]
    deadline = Deadline(30, step=0.2)
    while alive(socks):
        deadline.wait("idle connections end")
    close_all(socks)


# ---- associations that are half there ----


HALF_RQ = peer.associate_rq([(peer.VERIFICATION, [peer.IMPLICIT_LE])], aet="AE1")[:40]
HALF_PDU = struct.pack(">BBI", peer.P_DATA, 0, 4000) + struct.pack(">IBB", 3998, 1, 3) + b"\0" * 100


@pytest.mark.parametrize("listener, first", [
    pytest.param("dimse_tls", b"", id="no TLS handshake"),
    pytest.param("dimse_tls", b"\x16\x03\x01\x02\x00\x01\x00", id="half a ClientHello"),
    pytest.param("dimse", HALF_RQ, id="half an A-ASSOCIATE-RQ"),
    pytest.param("dimse", b"GET / HTTP/1.1\r\n", id="not a PDU"),
])
def test_a_thousand_half_open_associations(watch, listener, first):
    socks = crowd(watch.site.ports[listener], IDLE, first, addresses=20)
    watch.well()
    watch.bounded()
    close_all(socks)


def test_associations_that_say_nothing(watch):
    """They are known peers, so their number is bounded by title and in total; the rest is rejected or refused."""
    open_now, turned_away = [], 0
    for n in range(200):
        try:
            open_now.append(peer.Association(watch.site.ports["dimse"], [(peer.VERIFICATION, [peer.IMPLICIT_LE])],
                                             aet=f"AE{1 + n % 3}", source=f"127.0.2.{1 + n % 2}", seconds=10))
        except (OSError, peer.PeerError):
            turned_away += 1
    assert len(open_now) <= 2 * MAX_PER_PEER and turned_away == 200 - len(open_now)
    watch.well()
    watch.bounded()
    for association in open_now:
        association.sock.close()


def test_an_association_that_stops_in_a_pdu_is_ended(watch):
    one = peer.Association(watch.site.ports["dimse"], [(peer.VERIFICATION, [peer.IMPLICIT_LE])], aet="AE9",
                           source="127.0.2.9", seconds=40)
    one.sock.sendall(HALF_PDU)
    kind, body = one.receive()
    assert kind == peer.ABORT and body[2] == 2
    one.sock.close()


# ---- PDUs as they must not be ----


ECHO = peer.command(peer.C_ECHO_RQ, peer.VERIFICATION, 1, False)
STORE_SOP = "1.2.840.10008.5.1.4.1.1.7"


def store_command(sop):
    return peer.command(peer.C_STORE_RQ, STORE_SOP, 1, True, sop)


BAD_PDUS = {
    "P-DATA of 2 GiB": struct.pack(">BBI", peer.P_DATA, 0, 0x7FFFFFFF),
    "P-DATA over what was negotiated": struct.pack(">BBI", peer.P_DATA, 0, 262145) + b"\0" * 262145,
    "P-DATA of no bytes": struct.pack(">BBI", peer.P_DATA, 0, 0),
    "PDV longer than its PDU": peer.pdu(peer.P_DATA, struct.pack(">IBB", 4000, 1, 3) + ECHO),
    "PDV of no bytes": peer.pdu(peer.P_DATA, struct.pack(">IBB", 0, 1, 3)),
    "PDV of odd length": peer.pdu(peer.P_DATA, struct.pack(">IBB", 5, 1, 3) + b"abc"),
    "unknown presentation context": peer.pdv(77, 3, ECHO),
    "data set without a command": peer.pdv(1, 2, b"\0" * 100),
    "command with a wrong group length": peer.pdv(1, 3, b"\0\0\0\0\x04\0\0\0\xff\xff\xff\x7f" + ECHO[12:]),
    "command with an element past its end": peer.pdv(1, 3, ECHO[:-2]),
    "command without end": peer.pdv(1, 1, b"\0" * 60000) + peer.pdv(1, 1, b"\0" * 60000),
    "A-ASSOCIATE-RQ again": peer.associate_rq([(peer.VERIFICATION, [peer.IMPLICIT_LE])]),
    "A-ASSOCIATE-AC": peer.pdu(peer.ASSOCIATE_AC, b"\0" * 68),
    "A-RELEASE-RP unasked": peer.pdu(peer.RELEASE_RP, b"\0" * 4),
    "A-RELEASE-RQ of 70,000 bytes": peer.pdu(peer.RELEASE_RQ, b"\0" * 70000),
    "unknown PDU": peer.pdu(0x77, b"\0" * 4),
    "response unasked": peer.pdv(1, 3, peer.command(0x8030, peer.VERIFICATION, 1, False)),
}


def test_a_bad_pdu_ends_its_association_only(watch):
    """One line of the log for each, and the association beside it does not notice."""
    contexts = [(peer.VERIFICATION, [peer.IMPLICIT_LE]), (STORE_SOP, [peer.IMPLICIT_LE])]
    with peer.Association(watch.site.ports["dimse"], contexts, seconds=20) as good:
        for what, data in BAD_PDUS.items():
            bad = peer.Association(watch.site.ports["dimse"], contexts, aet="AE9", source="127.0.2.9", seconds=20)
            with contextlib.suppress(ConnectionError):
                bad.sock.sendall(data)
            with contextlib.suppress(ConnectionError):
                kind, _ = bad.receive()
                assert kind in (peer.ABORT, None), (what, kind)
            bad.sock.close()
            assert good.echo().status == 0, what
    deadline = Deadline(10)
    while len(aborted := [line for line in watch.log() if line["event"] == "aborted"]) < len(BAD_PDUS):
        deadline.wait("a line for each")
    assert len(aborted) == len(BAD_PDUS)
    assert all(line["text"].startswith("127.0.2.9: ") for line in aborted)


BAD_REQUESTS = {
    "another PDU first": peer.pdv(1, 3, ECHO),
    "of 4 GiB": struct.pack(">BBI", peer.ASSOCIATE_RQ, 0, 0xFFFFFFF0),
    "of 300 KB": peer.pdu(peer.ASSOCIATE_RQ, b"\0" * 300_000),
    "of no items": peer.pdu(peer.ASSOCIATE_RQ, b"\0" * 68),
    "too short": peer.pdu(peer.ASSOCIATE_RQ, b"\0" * 20),
    "with an item past its end": peer.pdu(peer.ASSOCIATE_RQ, b"\0\x01" + b"\0" * 66 + b"\x10\0\xff\xff"),
    "with 5,000 contexts": peer.associate_rq([(peer.VERIFICATION, [peer.IMPLICIT_LE])] * 120)[:74] +
                           peer.item(0x20, b"\x01\0\0\0" + peer.item(0x30, b"1.2") + peer.item(0x40, b"1.2")) * 5000,
    "with binary titles": peer.associate_rq([(peer.VERIFICATION, [peer.IMPLICIT_LE])], aet="\x01\x02\\", aec="\x7f"),
}


def test_a_bad_association_request_is_refused(watch):
    for what, data in BAD_REQUESTS.items():
        with contextlib.closing(peer.connect(watch.site.ports["dimse"], source="127.0.2.9", seconds=20)) as sock:
            with contextlib.suppress(ConnectionError):
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                answer = sock.recv(10)
                assert not answer or answer[0] in (peer.ASSOCIATE_RJ, peer.ABORT), (what, answer)
    no_names(watch.log())


# ---- UIDs that are paths, or none ----

BAD_UIDS = ["../../../etc/passwd", "/etc/passwd", "1.2.3/../4", "1..2", ".", "..", "1.2.840." + "1" * 80, "1.2\\3.4",
            "secret-path", "1.2.3%00", "1.2.3\x01"]


def dataset(sop, study="2.25.1", series="2.25.2"):
    """Implicit little endian, as small as can be stored."""
    return b"".join(peer.element(tag, value) for tag, value in (
        (0x00080016, STORE_SOP), (0x00080018, sop), (0x00080060, "OT"), (0x00100020, "HOSTILE "),
        (0x0020000D, study), (0x0020000E, series)))


@pytest.mark.parametrize("where", ["command", "sop", "study", "series"])
def test_a_uid_that_is_none_is_refused_by_dicom(watch, where):
    good = {"sop": "2.25.3", "study": "2.25.1", "series": "2.25.2"}
    with peer.Association(watch.site.ports["dimse"], [(STORE_SOP, [peer.IMPLICIT_LE])], aet="AE9", source="127.0.2.9",
                          seconds=20) as one:
        for uid in BAD_UIDS:
            data = dataset(**good if where == "command" else {**good, where: uid})
            command_sop = uid if where in ("command", "sop") else good["sop"]
            response = one.store(STORE_SOP, command_sop, peer.IMPLICIT_LE, [data])
            assert response.status and response.status >> 12 in (0x0, 0xA, 0xC), (uid, response)
    no_names(watch.log())


def raw(site, data, listener="data", seconds=20, source="127.0.2.9"):
    """What comes back for bytes sent over TLS: status of the first response, or None where there is none."""
    with contextlib.closing(peer.connect(site.ports[listener], source=source, seconds=seconds, ca=site.ca)) as sock:
        answer = b""
        with contextlib.suppress(OSError):
            sock.sendall(data)
            while b"\r\n" not in answer:
                more = sock.recv(65536)
                if not more:
                    break
                answer += more
    found = re.match(rb"HTTP/1\.1 (\d+)", answer)
    return int(found[1]) if found else None


def head(site, method, target, *lines):
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {site.token}", *lines, "",
                        ""]).encode("latin-1")


URLS = ["/dicom-web/studies/" + uid for uid in ("..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "1%00", "a" * 70, "1.2.3%2f4",
                                                 "1.2\\3", "%", "%zz", "secret-path", "1." * 5000)] + [
    "/dicom-web/../../etc/passwd", "//etc/passwd", "/dicom-web/%2e%2e/%2e%2e/etc/passwd", "http://other/etc/passwd",
    "/dicom-web/secret-path/studies", "/dicom-web/" + "a" * 300 + "/studies", "*", "/\x7f", "/\xff"]


def test_a_path_that_is_a_trick_finds_nothing(watch):
    for target in URLS:
        status = raw(watch.site, head(watch.site, "GET", target))
        assert status in (None, 400, 404, 405, 413, 414), (target, status)
    no_names(watch.log())


OBJECT_KEYS = ["../../../../etc/passwd", "..%2f..%2fkeys1%2fkeys.nxk", "%2e%2e/%2e%2e/narthex.yaml", "a/../../b",
               "x" * 3000, "%00", "a%0d%0ab"]


def files_of(site):
    """All but those that every commit may add."""
    return {path for path in site.folder.rglob("*") if not {"pool", "ledger"} & set(path.parts)}


def test_an_object_key_that_is_a_path_leaves_the_site_alone(watch):
    before = files_of(watch.site)
    for key in OBJECT_KEYS:
        target = f"/api/v1/collections/curated/objects/{key}"
        status = raw(watch.site, head(watch.site, "PUT", target, "Content-Length: 3") + b"abc", "management")
        assert status in (None, 201, 400, 404, 413, 414), (key, status)
    assert files_of(watch.site) <= before


# ---- HTTP that is two things at once ----

SMUGGLED = {
    "two Content-Length": ("Content-Length: 3", "Content-Length: 4"),
    "the same Content-Length twice": ("Content-Length: 3", "Content-Length: 3"),
    "Content-Length and Transfer-Encoding": ("Content-Length: 3", "Transfer-Encoding: chunked"),
    "Transfer-Encoding twice": ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "Transfer-Encoding of two": ("Transfer-Encoding: gzip, chunked",),
    "Content-Length with a sign": ("Content-Length: +3",),
    "Content-Length of 2^64": ("Content-Length: 18446744073709551616",),
    "two Host": ("Host: y", "Content-Length: 3"),
    "a space before the colon": ("Content-Length : 3",),
    "a folded line": ("Content-Length: 3", " 4"),
    "a NUL": ("X: a\0b", "Content-Length: 3"),
}


@pytest.mark.parametrize("listener", ["data", "management"])
def test_an_ambiguous_head_is_refused_and_nothing_after_it_is_read(watch, listener):
    target = "/dicom-web/studies" if listener == "data" else "/api/v1/collections/curated/objects/smuggled"
    for what, lines in SMUGGLED.items():
        data = head(watch.site, "POST" if listener == "data" else "PUT", target, *lines)
        with contextlib.closing(peer.connect(watch.site.ports[listener], source="127.0.2.9", seconds=20,
                                             ca=watch.site.ca)) as sock:
            answer = b""
            with contextlib.suppress(OSError):
                sock.sendall(data + b"abc" + head(watch.site, "GET", "/livez"))
                while more := sock.recv(65536):
                    answer += more
        assert set(re.findall(rb"HTTP/1\.1 (\d+)", answer)) <= {b"400", b"413"}, (what, answer[:500])


# ---- slow ones ----


def tls_crowd(site, listener, n, first, addresses=20):
    """Connections with a handshake behind them that have sent `first`."""
    context = ssl.create_default_context(cafile=site.ca)
    out = []
    for i in range(n):
        sock = socket.socket()
        sock.bind((f"127.0.1.{1 + i % addresses}", 0))
        sock.settimeout(10)
        with contextlib.suppress(OSError):
            sock.connect(("127.0.0.1", site.ports[listener]))
            sock = context.wrap_socket(sock, server_hostname="127.0.0.1")
            sock.sendall(first)
            out.append(sock)
            continue
        sock.close()
    return out


class Drip(threading.Thread):
    """A byte now and then on every connection, until it is closed or told to end."""

    def __init__(self, socks, byte=b"x"):
        super().__init__(daemon=True)
        self.left, self.byte, self.end = list(socks), byte, threading.Event()
        self.start()

    def run(self):
        while self.left and not self.end.wait(0.5):
            for sock in list(self.left):
                try:
                    sock.send(self.byte)
                except OSError:
                    self.left.remove(sock)

    def stop(self):
        self.end.set()
        self.join()


OBJECT = "/api/v1/collections/curated/objects/slow"
TARGETS = {"data": ("POST", "/dicom-web/studies"), "management": ("PUT", OBJECT)}


def slow_first(site, listener, what):
    """A head that does not end; a whole head, and a body that comes a byte at a time."""
    method, target = TARGETS[listener]
    if what == "head":
        return f"{method} {target} HTTP/1.1\r\nHost: x\r\nX-Slow: ".encode()
    return head(site, method, target, "Content-Length: 1000000",
                'Content-Type: multipart/related; type="application/dicom"; boundary=b')


def put_large(site, size=64 << 20):
    context = ssl.create_default_context(cafile=site.ca)
    with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", site.ports["management"], timeout=60,
                                                        context=context)) as conn:
        conn.request("PUT", OBJECT, body=iter(Stream("slow reader", size)),
                     headers={"Authorization": f"Bearer {site.token}", "Content-Length": str(size)})
        assert conn.getresponse().status in (200, 201)


def test_slow_heads_bodies_and_readers_are_cut(watch):
    """All at once on both listeners.  The answers are larger than what the sockets take, and nobody reads them."""
    put_large(watch.site)
    dripping = [sock for listener in TARGETS for what in ("head", "body")
                for sock in tls_crowd(watch.site, listener, 40, slow_first(watch.site, listener, what))]
    deaf = tls_crowd(watch.site, "management", 16, head(watch.site, "GET", OBJECT))
    assert len(deaf) == 16
    drip = Drip(dripping)
    watch.well()
    watch.bounded()
    deadline = Deadline(60, step=0.2)
    while drip.left or watch.process.threads() > watch.threads:
        deadline.wait("all that are slow are cut")
    drip.stop()
    close_all(dripping + deaf)
    no_names(watch.log())


# ---- descriptors ----


def limited(tmp_path, files, **config):
    return Narthex(tmp_path / "nx", config=config, binary=["/usr/bin/prlimit", f"--nofile={files}", find_binary()])


def test_too_few_descriptors_for_the_configuration_are_refused_at_the_start(tmp_path):
    with pytest.raises(AssertionError, match="open files"):
        with limited(tmp_path, 512):
            pass


def doctor(site):
    rows = json.loads(site.cli("doctor", "--json", "--site", site.site, check=False).stdout)
    return next(row for row in rows if row["check"] == "open files")


def test_doctor_says_that_descriptors_are_too_few(tmp_path):
    site = limited(tmp_path, 512).init()
    said = doctor(site)
    assert said["verdict"] == "bad" and "512" in said["text"]
    site.binary = [str(find_binary())]
    assert doctor(site)["verdict"] == "good"


def test_the_soft_limit_is_raised_to_what_is_needed(tmp_path):
    with limited(tmp_path, "256:20000") as site:
        assert site.process.alive
        text = open(f"/proc/{site.process.pid}/limits", encoding="ascii").read()
        assert int(re.search(r"Max open files\s+(\d+)", text)[1]) > 1024
