#!/usr/bin/python3
"""Decode: megabytes of samples a second and core, against the tool of DCMTK or GDCM that does the same."""
import dataclasses
import os
import subprocess
import sys

import harness
import numpy
import pydicom
from harness import phantom

SIZES = {"frames": (30, "512x512 frames of the image")}
# Name: what encodes the image, what decodes it, and whether samples have 8, 12 or 16 bits.
CODECS = {
    "rle": (("dcmcrle",), ("dcmdrle",), 16),
    "jpeg_baseline": (("dcmcjpeg", "+eb"), ("dcmdjpeg",), 8),
    "jpeg_color": (("dcmcjpeg", "+eb"), ("dcmdjpeg", "+cn"), 24),
    "jpeg_extended": (("dcmcjpeg", "+ee", "+bt"), ("dcmdjpeg",), 12),
    "jpeg_lossless": (("dcmcjpeg", "+e1"), ("dcmdjpeg",), 16),
    "jpeg_ls": (("dcmcjpls",), ("dcmdjpls",), 16),
    "jpeg_2000": (("gdcmconv", "--j2k"), ("gdcmconv", "--raw"), 16),
}
MEASURES = tuple(f"{name}_vs_{'gdcm' if name == 'jpeg_2000' else 'dcmtk'}" for name in CODECS)


def samples(plan, bits):
    """Slices of the phantom, scaled down to what the codec takes."""
    for instance in phantom.instances(plan):
        ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(instance.data))
        slice_ = ds.pixel_array.astype("i4")
        slice_ -= slice_.min()
        if bits == 16:
            yield slice_.astype("<u2").tobytes()
        elif bits == 12:
            yield (slice_ & 0xFFF).astype("<u2").tobytes()
        else:
            gray = (slice_ * 255 // max(1, slice_.max())).astype("u1")
            yield (gray if bits == 8 else numpy.stack([gray, gray.T, 255 - gray], axis=-1)).tobytes()


def image(folder, plan, bits):
    """One multi-frame image, native."""
    first = next(iter(phantom.instances(plan)))
    ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(first.data))
    color = bits == 24
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.NumberOfFrames = plan.instances
    ds.SamplesPerPixel, ds.PhotometricInterpretation = (3, "RGB") if color else (1, "MONOCHROME2")
    if color:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = 16 if bits in (12, 16) else 8
    ds.BitsStored = 8 if color else bits
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = 0
    ds.PixelData = b"".join(samples(plan, bits))
    ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 else "OW"
    path = folder / f"native{bits}.dcm"
    ds.save_as(path, write_like_original=False)
    return path, len(ds.PixelData)


def cpu_seconds(argv):
    """Of one program, user and system."""
    harness.RECORD.command("run", argv)
    process = subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise harness.CannotMeasure(f"{argv[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def run(bench, args, name):
    encode, decode, bits = CODECS[name.split("_vs_")[0]]
    plan = dataclasses.replace(phantom.CT, instances=args.frames)
    dump = harness.tool(args.build, "pixel_dump")
    folder = harness.new_folder("decode")
    try:
        native, size = image(folder, plan, bits)
        encoded = folder / "encoded.dcm"
        subprocess.run([*encode, native, encoded], check=True, stdin=subprocess.DEVNULL, capture_output=True)
        print(f"{name}: {plan.instances} frames, {size / 1e6:.0f} MB, encoded {encoded.stat().st_size / 1e6:.1f} MB")

        def measure(*argv):
            out = folder / "out"
            out.unlink(missing_ok=True)
            rate = size / 1e6 / cpu_seconds([*argv, encoded, out])
            if out.stat().st_size < size:
                raise harness.CannotMeasure(f"{argv[0]} left {out.stat().st_size} bytes of {size}")
            return rate

        bench.compare(name, lambda: measure(dump), lambda: measure(*decode), "MB/s")
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


if __name__ == "__main__":
    sys.exit(harness.main(__doc__, MEASURES, run, SIZES, rounds=3))
