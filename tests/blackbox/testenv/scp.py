"""A storage SCP on bare sockets that is as bad as it is told to be."""
import io
import socket
import struct
import threading

import pydicom

from .peer import (ABORT, APPLICATION, ASSOCIATE_AC, N_ACTION_RQ, N_EVENT_REPORT_RQ, NO_DATASET, P_DATA, RELEASE_RP,
                   RELEASE_RQ, element, elements, encode, event_request, event_response, item, pdu, pdv)

C_STORE_RSP, N_ACTION_RSP = 0x8001, 0x8130


def _items(data):
    at = 0
    while at + 4 <= len(data):
        kind, size = data[at], struct.unpack_from(">H", data, at + 2)[0]
        yield kind, data[at + 4:at + 4 + size]
        at += 4 + size


class BadScp:
    """`how`: "good", "hangs" after the command, "full" (A700), "lies" (another Message ID), "aborts" on the first
    instance, "closes" instead of an association, "forgets": says on the same association that it has not what it is
    asked of."""

    def __init__(self, how, port=0):
        self.how, self.calls, self.stored, self.originators = how, 0, 0, set()
        self.events, self.roles, self.asked = [], [], []
        self.sock = socket.create_server(("127.0.0.1", port))
        self.port = self.sock.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.open = []

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.sock.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self.sock.close()
        for sock in self.open:
            sock.close()
        self.thread.join(10)

    def _serve(self):
        while True:
            try:
                peer, _ = self.sock.accept()
            except OSError:
                return
            self.calls += 1
            self.open.append(peer)
            peer.settimeout(30)
            try:
                self._talk(peer)
            except (OSError, struct.error):
                pass

    @staticmethod
    def _receive(peer):
        def exactly(n):
            data = b""
            while len(data) < n:
                more = peer.recv(n - len(data))
                if not more:
                    raise OSError("gone")
                data += more
            return data
        kind, _, size = struct.unpack(">BBI", exactly(6))
        return kind, exactly(size)

    def _accept(self, peer, body):
        answer = body[:68] + item(0x10, APPLICATION.encode())
        for kind, value in _items(body[68:]):
            if kind == 0x20:
                syntax = next(sub for name, sub in _items(value[4:]) if name == 0x40)
                answer += item(0x21, bytes((value[0], 0, 0, 0)) + item(0x40, syntax))
        asked = next(value for kind, value in _items(body[68:]) if kind == 0x50)
        roles = [value for kind, value in _items(asked) if kind == 0x54]
        self.roles += [(value[-2], value[-1]) for value in roles]
        user = b"".join(item(0x54, value) for value in roles) + item(0x51, struct.pack(">I", 65536)) + item(0x52, b"2.25.1")
        peer.sendall(pdu(ASSOCIATE_AC, answer + item(0x50, user)))

    def _talk(self, peer):
        _, body = self._receive(peer)
        if self.how == "closes":
            peer.close()
            return
        self._accept(peer, body)
        command = dataset = b""
        while True:
            kind, body = self._receive(peer)
            if kind == RELEASE_RQ:
                peer.sendall(pdu(RELEASE_RP, bytes(4)))
                return
            if kind != P_DATA:
                return
            at = 0
            while at < len(body):
                size, context, flags = struct.unpack_from(">IBB", body, at)
                if flags & 1:
                    command += body[at + 6:at + 4 + size]
                    if flags & 2 and elements(command)[0x00000800] == struct.pack("<H", NO_DATASET):
                        command = b""  # a response to us
                elif not flags & 2:
                    dataset += body[at + 6:at + 4 + size]
                else:
                    self._answer(peer, context, command, dataset + body[at + 6:at + 4 + size])
                    command = dataset = b""
                at += 4 + size

    def _commit(self, peer, context, values, dataset):
        """N-ACTION-RSP, and where it forgets the result."""
        body = (element(0x00000002, values[0x00000003].decode().rstrip("\0")) + element(0x00000100, N_ACTION_RSP) +
                element(0x00000120, struct.unpack("<H", values[0x00000110])[0]) + element(0x00000800, NO_DATASET) +
                element(0x00000900, 0))
        peer.sendall(pdv(context, 3, element(0x00000000, struct.pack("<I", len(body))) + body))
        ds = pydicom.dcmread(io.BytesIO(dataset), force=True)
        self.asked.append(ds)
        if self.how != "forgets":
            return
        result = pydicom.Dataset()
        result.TransactionUID, result.FailedSOPSequence = ds.TransactionUID, ds.ReferencedSOPSequence
        for one in result.FailedSOPSequence:
            one.FailureReason = 0x0112
        peer.sendall(pdv(context, 3, event_request("1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1", 2)))
        peer.sendall(pdv(context, 2, encode(result)))

    def _answer(self, peer, context, command, dataset):
        values = elements(command)
        if struct.unpack("<H", values[0x00000100])[0] == N_EVENT_REPORT_RQ:
            self.events.append((struct.unpack("<H", values[0x00001002])[0], dataset))
            peer.sendall(pdv(context, 3, event_response(values)))
            return
        if struct.unpack("<H", values[0x00000100])[0] == N_ACTION_RQ:
            self._commit(peer, context, values, dataset)
            return
        self.originators.add((values.get(0x00001030, b"").decode().strip(), values.get(0x00001031)))
        if self.how == "hangs":
            return
        if self.how == "aborts":
            peer.sendall(pdu(ABORT, bytes(4)))
            return
        number = struct.unpack("<H", values[0x00000110])[0] + (1000 if self.how == "lies" else 0)
        self.stored += self.how in ("good", "forgets")
        body = (element(0x00000002, values[0x00000002].decode().rstrip("\0")) + element(0x00000100, C_STORE_RSP) +
                element(0x00000120, number) + element(0x00000800, 0x0101) +
                element(0x00000900, 0xA700 if self.how == "full" else 0) +
                element(0x00001000, values[0x00001000].decode().rstrip("\0")))
        peer.sendall(pdv(context, 3, element(0x00000000, struct.pack("<I", len(body))) + body))
