"""Samples of every real image against those that DCMTK, GDCM and pydicom decode, bit by bit."""
import collections
import json
import os
import pathlib
import subprocess

import numpy
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixel_data_handlers import numpy_handler, rle_handler
from testenv import Corpus
from testenv.narthex import ROOT

# In this process only what cannot take it down.
pydicom.config.pixel_data_handlers = [numpy_handler, rle_handler]
BUILD = pathlib.Path(os.environ.get("NX_BUILD") or ROOT / "build/check")

NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PEERS = {  # beside GDCM and pydicom
    **dict.fromkeys(NATIVE, ("dcmconv", "+te")),
    **{f"1.2.840.10008.1.2.4.{end}": ("dcmdjpeg", "+cn") for end in ("50", "51", "57", "70")},
    **{f"1.2.840.10008.1.2.4.{end}": ("dcmdjpls",) for end in ("80", "81")},
    "1.2.840.10008.1.2.5": ("dcmdrle",),
}
# What differs, by file and peer, and which of both is right.
DIFFERENT = {
    ("SC_rgb_rle_16bit.dcm", "gdcm"): "GDCM 3.0.21 mixes up planes of more than 8 bits; DCMTK agrees with us",
    ("SC_rgb_rle_32bit.dcm", "gdcm"): "the same",
    ("rtdose_expb.dcm", "dcmtk"): "DCMTK 3.6.7 swaps samples of 32 bits as two words; pydicom agrees with us",
    ("rtdose_expb_1frame.dcm", "dcmtk"): "the same",
    ("SC_rgb_small_odd_big_endian.dcm", "pydicom"): "pydicom 2.3 leaves bytes of OW as they are; DCMTK agrees with us",
    ("jpeg2000-multiframe-multifragments.dcm", "gdcm"): "GDCM does not keep to the depth; where it does it agrees",
}
# What is refused though a peer gives something for it.
REFUSED = {
    "multiframe.dcm": "one frame is a JPEG image of another size than the others",
    "bits_stored_gt_allocated.dcm": "12 bits stored in 8",
    "encaps_fragments_gt_frames.dcm": "nothing tells which fragments of RLE belong together",
    "encaps_frames_gt_fragments.dcm": "frames without a fragment",
    "ow_odd.dcm": "pixel data end early", "pixel_too_short.dcm": "pixel data end early",
    "rle_short_output.dcm": "pixel data end early",
    "rows_65535_cols_65535_frames_9999999.dcm": "ten million frames", "samples_0.dcm": "no samples",
    "2026-05-26-oob-monochrome-46341.dcm": "a frame of 2 GiB",
    "rle_no_seq_delim.dcm": "the data set is cut off", "trailing_garbage.dcm": "the data set is not one",
    "FreezePattern.dcm": "the data set is not one",
    "CTImage.dcm_JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55.dcm": "progressive of 12 bits was retired",
}

# In this process only what cannot take it down.
pydicom.config.pixel_data_handlers = [numpy_handler, rle_handler]
BUILD = pathlib.Path(os.environ.get("NX_BUILD") or ROOT / "build/check")

NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}
JPEG = {"1.2.840.10008.1.2.4." + end for end in ("50", "51", "57", "70")}
JPEG_LS = {"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"}
JPEG_2000 = {"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"}
RLE = {"1.2.840.10008.1.2.5"}


def run(*argv):
    done = subprocess.run(list(map(str, argv)), stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    return done.returncode == 0, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def values(data, allocated, stored, signed):
    """Samples as numbers: bits above those stored do not count (PS3.5 8.1.1)."""
    if allocated == 1:
        return numpy.unpackbits(numpy.frombuffer(data, "u1"), bitorder="little")
    got = numpy.frombuffer(data, f"<i{allocated // 8}")
    up = numpy.array(allocated - stored, got.dtype)
    return (got << up) >> up if signed else (got << up).view(f"<u{allocated // 8}") >> up.view(f"<u{allocated // 8}")


class Ours:
    def __init__(self, path, tmp_path, *options):
        out = tmp_path / "ours.raw"
        ok, stdout, self.reason = run(BUILD / "tests/tools/pixel_dump", *options, path, out)
        assert "Sanitizer" not in self.reason and "runtime error" not in self.reason, self.reason
        self.values = None
        if ok:
            self.desc = json.loads(stdout)
            d = self.desc
            frame = d["rows"] * d["columns"] * d["samples"]
            self.values = values(out.read_bytes(), d["allocated"], d["stored"], d["signed"])
            if d["allocated"] == 1:  # every frame begins with a byte
                self.values = self.values.reshape(d["frames"], -1)[:, :frame].ravel()


def from_dataset(ds):
    """Values of native pixel data, color by pixel."""
    bits = ds.BitsAllocated
    samples, frames = ds.get("SamplesPerPixel", 1), int(ds.get("NumberOfFrames", None) or 1)
    if ds.PhotometricInterpretation == "YBR_FULL_422":  # Y1 Y2 Cb Cr (PS3.5 8.2.1)
        pairs = numpy.frombuffer(ds.PixelData, "u1")[:frames * ds.Rows * ds.Columns * 2].reshape(-1, 4)
        return pairs[:, [0, 2, 3, 1, 2, 3]].ravel()
    pixels = ds.Rows * ds.Columns
    got = values(ds.PixelData[:(frames * pixels * samples * bits + 7) // 8], bits, ds.BitsStored,
                 ds.PixelRepresentation == 1)[:frames * pixels * samples]
    if samples > 1 and ds.get("PlanarConfiguration", 0) == 1:
        got = got.reshape(frames, samples, pixels).swapaxes(1, 2).ravel()
    return got


def by_command(path, tmp_path, *argv):
    out = tmp_path / "peer.dcm"
    out.unlink(missing_ok=True)
    if not run(*argv, path, out)[0] or not out.exists():
        return None
    ds = pydicom.dcmread(out)
    return from_dataset(ds) if str(ds.file_meta.TransferSyntaxUID) in NATIVE else None


def by_pydicom(path):
    ds = pydicom.dcmread(path, force=True)
    if ds.PhotometricInterpretation == "YBR_FULL_422":
        return None
    bits = ds.BitsStored
    got = ds.pixel_array.ravel()
    up = numpy.array(8 * got.dtype.itemsize - bits, got.dtype)
    return got if bits == 1 else (got << up) >> up


def peers(path, syntax, tmp_path):
    """(name, values) of each that decodes the file."""
    commands = {"dcmtk": PEERS[syntax]} if syntax in PEERS else {}
    if syntax not in NATIVE:
        commands["gdcm"] = ("gdcmconv", "--raw")
    for name, argv in commands.items():
        try:
            got = by_command(path, tmp_path, *argv)
        except Exception:  # what a peer wrote that pydicom cannot read
            got = None
        if got is not None:
            yield name, got
    try:
        got = by_pydicom(path)
    except Exception:  # pydicom raises whatever the file made it raise
        got = None
    if got is not None:
        yield "pydicom", got


def images():
    for path in Corpus().files():
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            syntax = str(ds.file_meta.TransferSyntaxUID)
            if ds.get("Rows"):
                yield path, syntax
        except Exception:  # not an image for pydicom
            continue


def same(ours, theirs):
    return ours.size >= theirs.size and numpy.array_equal(ours[:theirs.size].astype("i8"), theirs.astype("i8"))


@pytest.mark.filterwarnings("ignore")  # pydicom's, about what is wrong with the files
def test_samples_are_those_of_others(tmp_path):
    counts, bad = collections.Counter(), []
    for path, syntax in images():
        ours = Ours(path, tmp_path)
        for name, theirs in peers(path, syntax, tmp_path):
            if ours.values is None and path.name not in REFUSED:
                bad.append(f"{path} ({syntax}): {name} decodes it, but {ours.reason}")
            elif ours.values is not None and not same(ours.values, theirs) and (path.name, name) not in DIFFERENT:
                bad.append(f"{path} ({syntax}): other samples than {name}")
            elif ours.values is not None and (path.name, name) not in DIFFERENT:
                counts[syntax, name] += 1
    for (syntax, name), n in sorted(counts.items()):
        print(f"{syntax}: {n} files as {name}")
    assert not bad, "\n".join(bad)
    assert sum(counts.values()) > 100


def transcode(path, syntax, tmp_path):
    """A file with our codestreams, written by pydicom."""
    out, to = tmp_path / "encoded.bin", tmp_path / "encoded.dcm"
    ok, stdout, reason = run(BUILD / "tests/tools/pixel_dump", "--encode", syntax, path, out)
    assert ok, reason
    data, frames = out.read_bytes(), []
    while data:
        length = int.from_bytes(data[:4], "little")
        frames.append(data[4:4 + length])
        data = data[4 + length:]
    ds = pydicom.dcmread(path)
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].is_undefined_length = True
    ds.PhotometricInterpretation = json.loads(stdout)["photometric"]
    if ds.SamplesPerPixel > 1:
        ds.PlanarConfiguration = 0
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(to, write_like_original=False)
    return to


@pytest.mark.parametrize("syntax, command", [
    ("1.2.840.10008.1.2.5", ("dcmdrle",)), ("1.2.840.10008.1.2.5", ("gdcmconv", "--raw")),
    ("1.2.840.10008.1.2.4.80", ("dcmdjpls",)), ("1.2.840.10008.1.2.4.80", ("gdcmconv", "--raw")),
    ("1.2.840.10008.1.2.4.90", ("gdcmconv", "--raw"))])
@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "SC_rgb_rle_2frame.dcm", "SC_rgb_small_odd.dcm"])
def test_others_read_what_is_encoded(corpus, tmp_path, name, syntax, command):
    path = corpus.pydicom_file(name)
    before = Ours(path, tmp_path).values
    assert same(before, by_command(transcode(path, syntax, tmp_path), tmp_path, *command))


@pytest.mark.parametrize("name, center, width", [("CT_small.dcm", 40, 400), ("CT_small.dcm", -600, 1600),
                                                 ("MR_small.dcm", 600, 1600), ("693_J2KI.dcm", 40, 400)])
def test_windows_are_those_of_dcm2pnm(corpus, tmp_path, name, center, width):
    """DCMTK computes with tables of its own rounding: a step of 255 may fall on the other side."""
    native, pgm, out = tmp_path / "native.dcm", tmp_path / "peer.pgm", tmp_path / "ours.raw"
    assert run("gdcmconv", "--raw", corpus.pydicom_file(name), native)[0]
    assert run("dcm2pnm", "+Ww", center, width, "--write-raw-pnm", native, pgm)[0]
    assert run(BUILD / "tests/tools/pixel_dump", "--window", center, width, native, out)[0]
    _, size, _, theirs = pgm.read_bytes().split(b"\n", 3)
    ours = numpy.frombuffer(out.read_bytes(), "u1").astype("i4")
    columns, rows = map(int, size.split())
    assert ours.size == rows * columns
    assert numpy.abs(ours - numpy.frombuffer(theirs[-rows * columns:], "u1")).max() <= 1


def test_the_page_has_the_table():
    rows = run(BUILD / "tests/tools/pixel_dump", "--table")[1].splitlines()
    page = (ROOT / "docs/TRANSFER-SYNTAXES.md").read_text().splitlines()
    assert len(rows) > 20
    assert rows == [line for line in page if line.startswith("| 1.2.840.")]


def part10(path, syntax, codestream, rows, columns, bits, samples):
    """A secondary capture with one frame; pydicom 2.3 writes the syntaxes that it knows only."""
    pydicom.uid.UID_dictionary.setdefault(syntax, ("HTJ2K", "Transfer Syntax", "", "", "HTJ2K"))
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = SECONDARY_CAPTURE, "2.25.1"
    ds.file_meta.TransferSyntaxUID = syntax
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SOPClassUID, ds.SOPInstanceUID = SECONDARY_CAPTURE, "2.25.1"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PixelRepresentation = rows, columns, samples, 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16 if bits > 8 else 8, bits, bits - 1
    ds.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "YBR_RCT"
    ds.PixelData = encapsulate([codestream])
    ds["PixelData"].is_undefined_length = True
    ds.save_as(path, write_like_original=False)
    return path


@pytest.mark.parametrize("bits, samples", [(8, 1), (10, 1), (12, 1), (16, 1), (8, 3)])
@pytest.mark.parametrize("syntax, order", [("1.2.840.10008.1.2.4.201", "LRCP"), ("1.2.840.10008.1.2.4.202", "RPCL")])
def test_htj2k_of_openjph_is_read(tmp_path, syntax, order, bits, samples):
    rows, columns = 150, 201
    random = numpy.random.default_rng(bits)
    image = numpy.cumsum(random.integers(-3, 4, rows * columns * samples)) * bits % (1 << bits)
    source, stream = tmp_path / ("x.pgm" if samples == 1 else "x.ppm"), tmp_path / "x.j2c"
    source.write_bytes(b"P%d %d %d %d\n" % (5 if samples == 1 else 6, columns, rows, (1 << bits) - 1) +
                       image.astype(">u2" if bits > 8 else "u1").tobytes())
    assert run("ojph_compress", "-i", source, "-o", stream, "-reversible", "true", "-prog_order", order)[0]
    ours = Ours(part10(tmp_path / "x.dcm", syntax, stream.read_bytes(), rows, columns, bits, samples), tmp_path)
    assert ours.values is not None, ours.reason
    assert same(ours.values, image)


@pytest.mark.parametrize("name", ["SC_rgb_small_odd.dcm", "JPGExtended.dcm"])
def test_openjph_reads_htj2k_that_is_encoded(corpus, tmp_path, name):
    path, out = corpus.pydicom_file(name), tmp_path / "encoded.bin"
    stream, image = tmp_path / "x.j2c", tmp_path / ("x.ppm" if "rgb" in name else "x.pgm")
    before = Ours(path, tmp_path)
    assert run(BUILD / "tests/tools/pixel_dump", "--encode", "1.2.840.10008.1.2.4.202", path, out)[0]
    stream.write_bytes(out.read_bytes()[4:])
    assert run("ojph_expand", "-i", stream, "-o", image)[0]
    wide = before.desc["stored"] > 8
    after = numpy.frombuffer(image.read_bytes()[-before.values.size * (2 if wide else 1):], ">u2" if wide else "u1")
    assert same(before.values, after)
