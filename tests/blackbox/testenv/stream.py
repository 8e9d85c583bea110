"""Bytes without end from a seed, hashed where they are made and where they arrive; nothing is kept."""
import hashlib
import struct

from . import phantom

PIECE = 1 << 20
ENCAPSULATED = "1.2.840.10008.1.2.1.98"  # uncompressed values in fragments (PS3.5 A.4.11)
FRAGMENT_MAX = 0xFFFFFFFE  # PS3.5 7.5: an even number below the mark of undefined length


class Stream:
    """`size` bytes in pieces of at most PIECE.  No two pieces are equal, so none can stand for another."""

    def __init__(self, seed, size):
        self.size = size
        self.base = hashlib.shake_256(f"stream {seed}".encode()).digest(PIECE)

    def __len__(self):
        return self.size

    def piece(self, n):
        data = bytearray(self.base)
        struct.pack_into("<QQ", data, 0, n, ~n & 0xFFFFFFFFFFFFFFFF)
        return memoryview(data)[:min(PIECE, self.size - n * PIECE)]

    def __iter__(self):
        return self.last(-(-self.size // PIECE))

    def last(self, count):
        """The last `count` pieces."""
        total = -(-self.size // PIECE)
        return (self.piece(n) for n in range(total - count, total))


class Hashed:
    """Passes pieces on; `digest` and `size` are of what has passed, after the first `skip` bytes."""

    def __init__(self, pieces=(), skip=0):
        self.pieces, self.skip = pieces, skip
        self.sha, self.size = hashlib.sha256(), 0

    def add(self, piece):
        rest = memoryview(piece)[min(self.skip, len(piece)):]
        self.skip -= len(piece) - len(rest)
        self.sha.update(rest)
        self.size += len(rest)

    def __iter__(self):
        for piece in self.pieces:
            self.add(piece)
            yield piece

    @property
    def digest(self):
        return self.sha.hexdigest()


class LargeInstance:
    """A Part 10 file around `size` bytes of pixels in as few fragments as PS3.5 allows, at least three."""

    def __init__(self, seed, size):
        plan = phantom.Plan(instances=1, slices=1, series=1, seed=seed)
        self.sop_class, self.syntax = phantom.SC_STORAGE, ENCAPSULATED
        self.study, self.series, self.sop = (phantom.uid(plan, name, seed, size) for name in ("study", "series", "sop"))
        self.pixels = Stream(seed, size)
        self.fragment = min(FRAGMENT_MAX, size // 3 & ~1)

    def meta(self):
        body = b"".join(phantom.element(*e) for e in (
            (0x00020001, "OB", b"\0\1"), (0x00020002, "UI", self.sop_class), (0x00020003, "UI", self.sop),
            (0x00020010, "UI", self.syntax), (0x00020012, "UI", "2.25.1")))
        return b"\0" * 128 + b"DICM" + phantom.element(0x00020000, "UL", len(body)) + body

    def header(self):
        return b"".join(phantom.element(*e) for e in (
            (0x00080016, "UI", self.sop_class), (0x00080018, "UI", self.sop), (0x00080060, "CS", "OT"),
            (0x00100010, "PN", "TEST^LARGE"), (0x00100020, "LO", "LARGE-000001"), (0x0020000D, "UI", self.study),
            (0x0020000E, "UI", self.series), (0x00200013, "IS", "1")))

    def dataset(self):
        yield self.header() + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
        yield struct.pack("<HHI", 0xFFFE, 0xE000, 0)  # no offset table
        left, room = len(self.pixels), 0
        for piece in self.pixels:
            while piece:
                if not room:
                    room = min(self.fragment, left)
                    yield struct.pack("<HHI", 0xFFFE, 0xE000, room + (room & 1))
                part, piece = piece[:room], piece[room:]
                room, left = room - len(part), left - len(part)
                yield part
        if len(self.pixels) & 1:
            yield b"\0"
        yield struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)

    def part10(self):
        yield self.meta()
        yield from self.dataset()


def dataset_offset(head):
    """Where the data set of a Part 10 file begins: after the group whose length its first element says."""
    assert head[128:132] == b"DICM" and head[132:140] == b"\x02\0\0\0UL\x04\0"
    return 144 + struct.unpack_from("<I", head, 140)[0]
