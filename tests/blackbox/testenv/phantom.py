"""Synthetic studies of obvious test patients (TEST^PHANTOM^0001), the same for the same plan.

An instance is a patched template: one header per study, written here element by element, with the
few values that differ overwritten in place.  A CT slice costs little more than its own pixels.
"""
import dataclasses
import hashlib
import pathlib
import struct

import numpy as np

EXPLICIT_LE = "1.2.840.10008.1.2.1"
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
SC_STORAGE = "1.2.840.10008.5.1.4.1.1.7"
LONG_VR = {"OB", "OW", "UN", "UT", "SQ"}
PARTS = ("CHEST", "ABDOMEN", "HEAD", "PELVIS")
NOISE_PLANES = 4


@dataclasses.dataclass(frozen=True)
class Plan:
    kind: str = "ct"  # "ct": 16 bits, 12 used; "small": 8 bits, secondary capture
    instances: int = 200
    slices: int = 50  # instances of a series
    series: int = 4  # of a study
    patients: int = 0  # 0: one per study
    rows: int = 512
    columns: int = 512
    seed: int = 1
    private: int = 0  # elements of the maker's own, as a scanner adds; at most 240

    @property
    def per_study(self):
        return self.slices * self.series

    @property
    def studies(self):
        return -(-self.instances // self.per_study)


CT = Plan()
SMALL = Plan(kind="small", instances=1000, slices=25, rows=64, columns=64)


@dataclasses.dataclass
class Instance:
    study: int
    series: int
    number: int
    patient_id: str
    study_uid: str
    series_uid: str
    sop_uid: str
    data: bytes

    @property
    def path(self):
        return pathlib.PurePath(f"study{self.study:05d}", f"series{self.series}", f"{self.number:04d}.dcm")


def uid(plan, *what):
    """2.25 and a number (PS3.5 B.2) of 35 digits: 40 characters, so that templates can be patched."""
    digest = hashlib.sha256(repr((plan.seed, plan.kind, *what)).encode()).digest()
    return f"2.25.{10**34 + int.from_bytes(digest[:14], 'big') % (8 * 10**34):035d}"


def element(tag, vr, value):
    """Explicit VR little endian, PS3.5 7.1.2; odd values padded as PS3.5 6.2 says."""
    if isinstance(value, int):
        value = struct.pack("<H" if vr == "US" else "<I", value)
    elif isinstance(value, str):
        value = value.encode("ascii")
        value += (b"\0" if vr == "UI" else b" ") * (len(value) & 1)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    size = struct.pack("<HI", 0, len(value)) if vr in LONG_VR else struct.pack("<H", len(value))
    return head + size + value


def patient_values(plan, study):
    number = study % (plan.patients or plan.studies) + 1
    return f"TEST^PHANTOM^{number:04d}", f"PHANTOM-{number:06d}", f"{1940 + number % 60}{1 + number % 12:02d}15"


def private_elements(plan):
    """PS3.5 7.8.1: a creator, and elements of its block."""
    values = (("DS", "12.5\\-3.25\\0.0078125"), ("LO", "ROUTINE PROTOCOL"), ("IS", "4096"), ("SH", "FILTER-2"),
              ("UI", "2.25.1234567890"), ("CS", "STANDARD"))
    if plan.private:
        yield 0x00110010, "LO", "PHANTOM WORKS"
    for n in range(plan.private):
        yield 0x00111000 + n, *values[n % len(values)]


def study_elements(plan, study, marks):
    """(tag, VR, value) in ascending order; `marks` stand where instances differ."""
    name, patient_id, birth = patient_values(plan, study)
    ct = plan.kind == "ct"
    part = PARTS[study % 4]
    date = f"{2020 + study % 5}{1 + study % 12:02d}{1 + study % 28:02d}"
    time = f"{8 + study % 10:02d}{study % 60:02d}00"
    yield 0x00080005, "CS", "ISO_IR 100"
    yield 0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL" if ct else "DERIVED\\SECONDARY"
    yield 0x00080016, "UI", CT_STORAGE if ct else SC_STORAGE
    yield 0x00080018, "UI", marks["sop"]
    for tag in (0x00080020, 0x00080021, 0x00080022, 0x00080023):
        yield tag, "DA", date
    for tag in (0x00080030, 0x00080031, 0x00080032, 0x00080033):
        yield tag, "TM", time
    yield 0x00080050, "SH", f"PH{study:08d}"
    yield 0x00080060, "CS", "CT" if ct else "OT"
    if not ct:
        yield 0x00080064, "CS", "WSD"
    yield 0x00080070, "LO", "PHANTOM WORKS"
    yield 0x00080080, "LO", "TEST HOSPITAL"
    yield 0x00080090, "PN", "TEST^REFERRER"
    yield 0x00081030, "LO", f"PHANTOM {part}"
    yield 0x0008103E, "LO", f"{part} AXIAL"
    yield 0x00081090, "LO", "PHANTOM-1"
    yield 0x00100010, "PN", name
    yield 0x00100020, "LO", patient_id
    yield 0x00100030, "DA", birth
    yield 0x00100040, "CS", "OFM"[study % 3]
    yield from private_elements(plan)
    yield 0x00180015, "CS", part
    if ct:
        yield from ((0x00180050, "DS", "2.5"), (0x00180060, "DS", "120"), (0x00180090, "DS", "500"),
                    (0x00181030, "LO", "PHANTOM ROUTINE"), (0x00181100, "DS", "360"), (0x00181120, "DS", "0"),
                    (0x00181151, "IS", "210"), (0x00181210, "SH", "SOFT"), (0x00185100, "CS", "HFS"))
    yield 0x0020000D, "UI", uid(plan, "study", study)
    yield 0x0020000E, "UI", marks["series"]
    yield 0x00200010, "SH", f"{study + 1}"
    yield 0x00200011, "IS", marks["series_number"]
    yield 0x00200013, "IS", marks["number"]
    if ct:
        yield from ((0x00200032, "DS", "-180\\-180\\" + marks["position"]), (0x00200037, "DS", "1\\0\\0\\0\\1\\0"),
                    (0x00200052, "UI", uid(plan, "frame", study)), (0x00201041, "DS", marks["location"]))
    yield from ((0x00280002, "US", 1), (0x00280004, "CS", "MONOCHROME2"), (0x00280010, "US", plan.rows),
                (0x00280011, "US", plan.columns))
    if ct:
        yield 0x00280030, "DS", "0.703125\\0.703125"
    bits = (16, 12, 11) if ct else (8, 8, 7)
    yield from ((0x00280100, "US", bits[0]), (0x00280101, "US", bits[1]), (0x00280102, "US", bits[2]),
                (0x00280103, "US", 0), (0x00281050, "DS", "40" if ct else "128"),
                (0x00281051, "DS", "400" if ct else "256"))
    if ct:
        yield from ((0x00281052, "DS", "-1024"), (0x00281053, "DS", "1"), (0x00281054, "LO", "HU"))


class Template:
    """The bytes before the pixels of any instance of one study."""

    # Unmistakable values of the final widths, looked for once.
    MARKS = {"sop": "!" * 40, "series": "$" * 40, "series_number": "#" * 4, "number": "%" * 6, "position": "&" * 8,
             "location": "*" * 8}

    def __init__(self, plan, study, pixel_len):
        sop_class = CT_STORAGE if plan.kind == "ct" else SC_STORAGE
        meta = b"".join(element(*e) for e in (
            (0x00020001, "OB", b"\0\1"), (0x00020002, "UI", sop_class), (0x00020003, "UI", self.MARKS["sop"]),
            (0x00020010, "UI", EXPLICIT_LE), (0x00020012, "UI", "2.25.1"), (0x00020013, "SH", "PHANTOM")))
        body = b"".join(element(*e) for e in study_elements(plan, study, self.MARKS))
        pixels = struct.pack("<HH", 0x7FE0, 0x0010) + (b"OW" if plan.kind == "ct" else b"OB") + struct.pack(
            "<HI", 0, pixel_len)
        self.bytes = b"\0" * 128 + b"DICM" + element(0x00020000, "UL", len(meta)) + meta + body + pixels
        self.places = []
        for name, mark in self.MARKS.items():
            at = self.bytes.find(mark.encode())
            while at >= 0:
                self.places.append((name, at, len(mark)))
                at = self.bytes.find(mark.encode(), at + len(mark))

    def header(self, values):
        data = bytearray(self.bytes)
        for name, at, width in self.places:
            data[at:at + width] = values[name].encode().ljust(width)
        return bytes(data)


class Pixels:
    """A body in a table with noise of its own for every slice."""

    def __init__(self, plan):
        self.plan = plan
        rng = np.random.default_rng(plan.seed)
        ct = plan.kind == "ct"
        self.type = np.dtype("<u2") if ct else np.dtype("u1")
        self.top = 4095 if ct else 255
        shape = (NOISE_PLANES, plan.rows * 2, plan.columns * 2)
        self.noise = rng.normal(0, 18 if ct else 9, shape).astype(np.int16)
        y, x = np.mgrid[-1:1:plan.rows * 1j, -1:1:plan.columns * 1j]
        inside = x**2 / 0.6 + y**2 / 0.4 < 1
        lungs = ((abs(x) - 0.33) / 0.22)**2 + (y / 0.35)**2 < 1
        bone = (x / 0.09)**2 + ((y - 0.42) / 0.09)**2 < 1
        body = np.select([bone, lungs, inside], [1750, 210, 1070], 24)
        self.body = (body if ct else body * 255 // 1800).astype(np.int16)

    def slice(self, study, index):
        """The offsets into the noise differ for every instance of a study and its neighbours."""
        step = study * self.plan.per_study + index
        dy, dx = step * 37 % self.plan.rows, step * 101 % self.plan.columns
        noise = self.noise[step % NOISE_PLANES, dy:dy + self.plan.rows, dx:dx + self.plan.columns]
        pixels = np.clip(self.body + noise, 0, self.top).astype(self.type)
        words = np.frombuffer(struct.pack("<I", step), dtype=np.uint8).astype(self.type)
        pixels[0, :4] = words  # no two slices of a plan are equal
        return pixels.tobytes()


def instances(plan):
    """Every instance of the plan, one at a time."""
    pixels = Pixels(plan)
    pixel_len = plan.rows * plan.columns * pixels.type.itemsize
    template, at = None, -1
    for n in range(plan.instances):
        study, rest = divmod(n, plan.per_study)
        series, number = divmod(rest, plan.slices)
        if study != at:
            template, at = Template(plan, study, pixel_len), study
        z = f"{2.5 * number - 100:.1f}"
        values = {"sop": uid(plan, "sop", study, series, number), "series": uid(plan, "series", study, series),
                  "series_number": str(series + 1), "number": str(number + 1), "position": z, "location": z}
        yield Instance(study, series, number, patient_values(plan, study)[1], uid(plan, "study", study),
                       values["series"], values["sop"], template.header(values) + pixels.slice(study, rest))


def write(plan, folder):
    """One file per instance under `folder`; returns (path, SHA-256) pairs."""
    written = []
    for instance in instances(plan):
        path = pathlib.Path(folder) / instance.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(instance.data)
        written.append((path, hashlib.sha256(instance.data).hexdigest()))
    return written
