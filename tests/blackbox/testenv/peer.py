"""A DICOM peer on bare sockets: what DCMTK will not send (streams without end, broken PDUs) comes from here."""
import dataclasses
import socket
import ssl
import struct

import pydicom

APPLICATION = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_LE = "1.2.840.10008.1.2"
ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
C_STORE_RQ, C_FIND_RQ, C_MOVE_RQ, C_ECHO_RQ, C_CANCEL_RQ = 0x0001, 0x0020, 0x0021, 0x0030, 0x0FFF
N_ACTION_RQ, N_EVENT_REPORT_RQ, N_EVENT_REPORT_RSP = 0x0130, 0x0100, 0x8100
N_CREATE_RQ, N_SET_RQ = 0x0140, 0x0120
NO_DATASET = 0x0101


class PeerError(AssertionError):
    """The server refused, or said what it must not."""


@dataclasses.dataclass
class Response:
    status: int
    comment: str
    offending: str  # tags, as they came
    error_id: int  # 0: none
    sop_instance: str


def connect(port, source="127.0.0.1", seconds=60, ca=None, host="127.0.0.1"):
    """A TCP connection from the loopback address `source`; with TLS when `ca` is given."""
    sock = socket.create_connection((host, port), timeout=seconds, source_address=(source, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not ca:
        return sock
    context = ssl.create_default_context(cafile=str(ca))
    return context.wrap_socket(sock, server_hostname="127.0.0.1")


def pdu(kind, body, length=None):
    return struct.pack(">BBI", kind, 0, len(body) if length is None else length) + body


def item(kind, body):
    return struct.pack(">BBH", kind, 0, len(body)) + body


def user_identity(kind, primary, secondary=b"", respond=True):
    """PS3.7 D.3.3.7.1"""
    return item(0x58, struct.pack(">BBH", kind, respond, len(primary)) + primary +
                struct.pack(">H", len(secondary)) + secondary)


def associate_rq(contexts, aet="TESTENV", aec="NARTHEX", max_pdu=262144, more=b""):
    """PS3.8 9.3.2; `contexts` are (abstract syntax, [transfer syntaxes]) and get the ids 1, 3, 5...  `more`: further
    items of the user information."""
    body = struct.pack(">HH16s16s32x", 1, 0, aec.ljust(16).encode(), aet.ljust(16).encode())
    body += item(0x10, APPLICATION.encode())
    for n, (abstract, syntaxes) in enumerate(contexts):
        body += item(0x20, bytes((2 * n + 1, 0, 0, 0)) + item(0x30, abstract.encode()) +
                     b"".join(item(0x40, uid.encode()) for uid in syntaxes))
    return pdu(ASSOCIATE_RQ, body + item(0x50, item(0x51, struct.pack(">I", max_pdu)) + item(0x52, b"2.25.1") + more))


def element(tag, value):
    """Implicit VR little endian, as command sets are (PS3.7 6.3.1)."""
    if isinstance(value, int):
        value = struct.pack("<H", value)
    elif isinstance(value, str):
        value = value.encode() + b"\0" * (len(value) & 1)
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def command(field, sop_class, message_id, dataset, sop_instance=None):
    body = element(0x00000002, sop_class) + element(0x00000100, field) + element(0x00000110, message_id)
    if sop_instance:
        body += element(0x00000700, 0)
    body += element(0x00000800, 1 if dataset else NO_DATASET)
    if sop_instance:
        body += element(0x00001000, sop_instance)
    return element(0x00000000, struct.pack("<I", len(body))) + body


def elements(data):
    """A command set: tag -> value."""
    values, at = {}, 0
    while at + 8 <= len(data):
        group, number, size = struct.unpack_from("<HHI", data, at)
        values[(group << 16) | number] = data[at + 8:at + 8 + size]
        at += 8 + size
    return values


def event_response(values):
    """N-EVENT-REPORT-RSP to the command set of an N-EVENT-REPORT-RQ."""
    body = (element(0x00000002, values[0x00000002].decode().rstrip("\0")) + element(0x00000100, N_EVENT_REPORT_RSP) +
            element(0x00000120, struct.unpack("<H", values[0x00000110])[0]) + element(0x00000800, NO_DATASET) +
            element(0x00000900, 0))
    return element(0x00000000, struct.pack("<I", len(body))) + body


def event_request(sop_class, sop_instance, event_type, message_id=1):
    """N-EVENT-REPORT-RQ; a data set follows."""
    body = (element(0x00000002, sop_class) + element(0x00000100, N_EVENT_REPORT_RQ) +
            element(0x00000110, message_id) + element(0x00000800, 1) + element(0x00001000, sop_instance) +
            element(0x00001002, event_type))
    return element(0x00000000, struct.pack("<I", len(body))) + body


def encode(ds):
    """A pydicom data set in implicit VR little endian."""
    out = pydicom.filebase.DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, True
    pydicom.filewriter.write_dataset(out, ds)
    return out.getvalue()


def pdv(context, flags, data):
    return pdu(P_DATA, struct.pack(">IBB", len(data) + 2, context, flags) + data)


def fragments(chunks, most):
    """The same bytes in pieces of `most`; a fragment has an even number of bytes (PS3.8 9.3.5.1)."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= most:
            yield bytes(held[:most])
            del held[:most]
    if held:
        yield bytes(held)


class Association:
    """One association; leaving the block releases it, an error in the block drops the connection."""

    def __init__(self, port, contexts, aet="TESTENV", aec="NARTHEX", more=b"", **transport):
        self.sock = connect(port, **transport)
        self.contexts = list(contexts)
        self.message_id = 0
        self.sock.sendall(associate_rq(self.contexts, aet, aec, more=more))
        kind, body = self.receive()
        if kind != ASSOCIATE_AC:
            self.sock.close()
            raise PeerError(f"no association: PDU {kind}, {body[:4].hex()}")
        self._accepted(body)

    def _accepted(self, body):
        """(abstract syntax, transfer syntax) -> id of what was accepted, the size of PDU the server takes, and whether
        it answers the user identity."""
        self.accepted, self.max_pdu, at = {}, 16384, 68
        self.user_known = False
        while at + 4 <= len(body):
            kind, size = body[at], struct.unpack_from(">H", body, at + 2)[0]
            value = body[at + 4:at + 4 + size]
            if kind == 0x21 and value[2] == 0:
                syntax = value[8:8 + struct.unpack_from(">H", value, 6)[0]].decode()
                self.accepted[(self.contexts[value[0] // 2][0], syntax)] = value[0]
            elif kind == 0x50:
                self.max_pdu = struct.unpack_from(">I", value, 4)[0] or self.max_pdu
                self.user_known = item(0x59, bytes(2)) in value
            at += 4 + size

    def receive(self):
        """The next PDU: its type and its body; (None, b"") when the server has closed."""
        head = self._exactly(6)
        if head is None:
            return None, b""
        kind, _, size = struct.unpack(">BBI", head)
        return kind, self._exactly(size) or b""

    def _exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.sock.recv(n - len(data))
            if not more:
                return None
            data += more
        return data

    def response(self):
        kind, body = self.receive()
        if kind != P_DATA:
            raise PeerError(f"no response: PDU {kind}, {body[:4].hex()}")
        values = elements(body[6:])
        return Response(struct.unpack("<H", values[0x00000900])[0],
                        values.get(0x00000902, b"").decode("ascii", "replace").strip(),
                        values.get(0x00000901, b"").hex(),
                        struct.unpack("<H", values.get(0x00000903, b"\0\0"))[0],
                        values.get(0x00001000, b"").decode("ascii").rstrip("\0"))

    def _context(self, sop_class, syntax):
        context = self.accepted.get((sop_class, syntax))
        if context is None:
            raise PeerError(f"presentation context not accepted: {sop_class} in {syntax}")
        return context

    def echo(self):
        self.message_id += 1
        context = self._context(VERIFICATION, IMPLICIT_LE)
        self.sock.sendall(pdv(context, 3, command(C_ECHO_RQ, VERIFICATION, self.message_id, False)))
        return self.response()

    def store(self, sop_class, sop_instance, syntax, chunks):
        """C-STORE a data set that comes in pieces of any size."""
        self.message_id = self.message_id % 65535 + 1
        context = self._context(sop_class, syntax)
        self.sock.sendall(pdv(context, 3, command(C_STORE_RQ, sop_class, self.message_id, True, sop_instance)))
        for piece in fragments(chunks, (self.max_pdu - 6) & ~1):
            head = struct.pack(">BBIIBB", P_DATA, 0, len(piece) + 6, len(piece) + 2, context, 0)
            self.sock.sendall(head + piece)
        self.sock.sendall(pdv(context, 2, b""))
        return self.response()

    def find(self, sop_class, keys):
        """C-FIND-RQ with tags and values, or an encoded identifier; the first response."""
        self.message_id += 1
        context = self._context(sop_class, IMPLICIT_LE)
        self.sock.sendall(pdv(context, 3, command(C_FIND_RQ, sop_class, self.message_id, True)))
        identifier = keys if isinstance(keys, bytes) else b"".join(element(tag, keys[tag]) for tag in sorted(keys))
        self.sock.sendall(pdv(context, 2, identifier))
        return self.response()

    def move(self, sop_class, to, keys):
        """C-MOVE-RQ; its responses are the caller's to wait for."""
        self.message_id += 1
        context = self._context(sop_class, IMPLICIT_LE)
        body = (element(0x00000002, sop_class) + element(0x00000100, C_MOVE_RQ) +
                element(0x00000110, self.message_id) + element(0x00000600, to.ljust(16)) + element(0x00000700, 0) +
                element(0x00000800, 1))
        self.sock.sendall(pdv(context, 3, element(0x00000000, struct.pack("<I", len(body))) + body))
        self.sock.sendall(pdv(context, 2, b"".join(element(tag, keys[tag]) for tag in sorted(keys))))

    def action(self, sop_class, sop_instance, dataset, action=1):
        """N-ACTION-RQ; the status of its response."""
        self.message_id += 1
        context = self._context(sop_class, IMPLICIT_LE)
        body = (element(0x00000003, sop_class) + element(0x00000100, N_ACTION_RQ) +
                element(0x00000110, self.message_id) + element(0x00000800, 1) +
                element(0x00001001, sop_instance) + element(0x00001008, action))
        self.sock.sendall(pdv(context, 3, element(0x00000000, struct.pack("<I", len(body))) + body))
        self.sock.sendall(pdv(context, 2, dataset))
        return self.response()

    def step_command(self, sop_class, sop_instance, creates):
        """N-CREATE-RQ or N-SET-RQ without the data set that must follow; its presentation context."""
        self.message_id += 1
        context = self._context(sop_class, IMPLICIT_LE)
        body = (element(0x00000002 if creates else 0x00000003, sop_class) +
                element(0x00000100, N_CREATE_RQ if creates else N_SET_RQ) +
                element(0x00000110, self.message_id) + element(0x00000800, 1))
        if sop_instance:
            body += element(0x00001000 if creates else 0x00001001, sop_instance)
        self.sock.sendall(pdv(context, 3, element(0x00000000, struct.pack("<I", len(body))) + body))
        return context

    def _step(self, sop_class, sop_instance, dataset, creates):
        context = self.step_command(sop_class, sop_instance, creates)
        for piece in fragments([dataset], (self.max_pdu - 6) & ~1):
            self.sock.sendall(pdv(context, 0, piece))
        self.sock.sendall(pdv(context, 2, b""))
        return self.response()

    def create(self, sop_class, sop_instance, dataset):
        """N-CREATE; without a UID the server is to make one."""
        return self._step(sop_class, sop_instance, dataset, True)

    def set(self, sop_class, sop_instance, dataset):
        return self._step(sop_class, sop_instance, dataset, False)

    def report(self, sop_class, sop_instance, event_type, dataset):
        """N-EVENT-REPORT-RQ; the status of its response."""
        context = self._context(sop_class, IMPLICIT_LE)
        self.sock.sendall(pdv(context, 3, event_request(sop_class, sop_instance, event_type)))
        self.sock.sendall(pdv(context, 2, dataset))
        return self.response()

    def event(self, sop_class):
        """The N-EVENT-REPORT-RQ that comes: event type and data set; it is answered with success."""
        command, dataset = b"", b""
        while not dataset:
            kind, body = self.receive()
            if kind != P_DATA:
                raise PeerError(f"no report: PDU {kind}")
            at = 0
            while at < len(body):
                size, _, flags = struct.unpack_from(">IBB", body, at)
                piece = body[at + 6:at + 4 + size]
                command, dataset = (command + piece, dataset) if flags & 1 else (command, dataset + piece)
                at += 4 + size
        values = elements(command)
        self.sock.sendall(pdv(self._context(sop_class, IMPLICIT_LE), 3, event_response(values)))
        return struct.unpack("<H", values[0x00001002])[0], dataset

    def cancel(self, sop_class):
        """C-CANCEL-RQ of what was sent last."""
        context = self._context(sop_class, IMPLICIT_LE)
        body = (element(0x00000100, C_CANCEL_RQ) + element(0x00000120, self.message_id) +
                element(0x00000800, NO_DATASET))
        self.sock.sendall(pdv(context, 3, element(0x00000000, struct.pack("<I", len(body))) + body))

    def release(self):
        self.sock.sendall(pdu(RELEASE_RQ, bytes(4)))
        kind, _ = self.receive()
        self.sock.close()
        if kind != RELEASE_RP:
            raise PeerError(f"no release: PDU {kind}")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.release()
        else:
            self.sock.close()


def echo(port, seconds=60, **transport):
    """One association with one C-ECHO, its status."""
    with Association(port, [(VERIFICATION, [IMPLICIT_LE])], seconds=seconds, **transport) as association:
        return association.echo().status
