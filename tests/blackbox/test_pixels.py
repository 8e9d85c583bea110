"""Samples of every real image against those that DCMTK, GDCM and pydicom decode, bit by bit."""
import collections
import json
import os
import pathlib
import subprocess

import numpy
import pydicom
from pydicom.pixel_data_handlers import numpy_handler, rle_handler
from testenv import Corpus
from testenv.narthex import ROOT

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
    commands = {"gdcm": ("gdcmconv", "--raw")}
    if syntax in JPEG:
        commands["dcmtk"] = ("dcmdjpeg", "+cn")
    if syntax in JPEG_LS:
        commands["dcmtk"] = ("dcmdjpls",)
    if syntax in RLE:
        commands["dcmtk"] = ("dcmdrle",)
    if syntax in NATIVE:
        commands = {"dcmtk": ("dcmconv", "+te")}
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


def test_samples_are_those_of_others(tmp_path):
    for path, syntax in images():
        ours = Ours(path, tmp_path)
        for name, theirs in peers(path, syntax, tmp_path):
            if ours.values is None:
                print("REFUSED", path.name, path.parent.name, syntax, name, ours.reason.strip())
            elif not same(ours.values, theirs):
                d = numpy.abs(ours.values[:theirs.size].astype("i8") - theirs[:ours.values.size].astype("i8"))
                print("DIFF", path.name, path.parent.name, syntax, name, ours.values.size, theirs.size, d.max(), (d > 0).sum())
            else:
                print("OK", path.name, syntax, name)
