"""A C-STORE sender that sends any bytes as a data set: real peers refuse to send what is broken."""
import socket
import struct

APPLICATION = "1.2.840.10008.3.1.1.1"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
PIECE = 16000


def _item(kind, body):
    return struct.pack(">BBH", kind, 0, len(body)) + body


def _element(tag, value):
    if isinstance(value, int):
        value = struct.pack("<H", value)
    else:
        value = value.encode() + b"\0" * (len(value) & 1)
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def _command(elements):
    body = b"".join(_element(*e) for e in elements)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _elements(data):
    at, found = 0, {}
    while at + 8 <= len(data):
        group, element, size = struct.unpack_from("<HHI", data, at)
        found[group << 16 | element] = data[at + 8:at + 8 + size]
        at += 8 + size
    return found


class RawScu:
    """`with RawScu(port, sop_class) as scu: status, comment = scu.store(sop_instance, data)`."""

    def __init__(self, port, sop_class, ts=EXPLICIT_LE, aet="TESTENV", aec="NARTHEX"):
        self.sop_class = sop_class
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        context = _item(0x20, b"\1\0\0\0" + _item(0x30, sop_class.encode()) + _item(0x40, ts.encode()))
        user = _item(0x50, _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"2.25.1"))
        body = struct.pack(">HH", 1, 0) + aec.ljust(16).encode() + aet.ljust(16).encode() + bytes(32)
        self._send(1, body + _item(0x10, APPLICATION.encode()) + context + user)
        kind, _ = self._receive()
        assert kind == 2, f"association: PDU {kind}"

    def _send(self, kind, body):
        self.socket.sendall(struct.pack(">BBI", kind, 0, len(body)) + body)

    def _read(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            assert more, "the connection was closed"
            data += more
        return data

    def _receive(self):
        kind, _, size = struct.unpack(">BBI", self._read(6))
        return kind, self._read(size)

    def _data(self, data, command, last):
        self._send(4, struct.pack(">IBB", len(data) + 2, 1, (1 if command else 0) | (2 if last else 0)) + data)

    def store(self, sop_instance, data):
        """The status and the error comment."""
        self._data(_command(((0x00000002, self.sop_class), (0x00000100, 1), (0x00000110, 1), (0x00000700, 0),
                             (0x00000800, 1), (0x00001000, sop_instance))), True, True)
        for at in range(0, len(data), PIECE):
            self._data(data[at:at + PIECE], False, at + PIECE >= len(data))
        kind, body = self._receive()
        assert kind == 4, f"response: PDU {kind}"
        found = _elements(body[6:])
        return struct.unpack("<H", found[0x00000900])[0], found.get(0x00000902, b"").decode().rstrip(" \0")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self._send(5, bytes(4))
            assert self._receive()[0] == 6
        self.socket.close()
