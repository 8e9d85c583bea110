"""STOW-RS of PNG and GIF files as bulk data (PS3.18 10.5.2, Table 10.5.2-1): transformed to native pixel data."""
import io
import json
import struct
import zlib

import numpy
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from test_dicomweb import Server, instance_path, values
from test_rendered import shown
from test_stow_model import Request, stored

SINGLE, MULTI = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.4"  # secondary capture, of one frame and several
PNG, GIF = "image/png", "image/gif"
RNG = numpy.random.default_rng(11)
GRAY = RNG.integers(0, 256, (20, 31), dtype=numpy.uint8)
DEEP = RNG.integers(0, 65536, (20, 31), dtype=numpy.uint16)
COLOR = RNG.integers(0, 256, (20, 31, 3), dtype=numpy.uint8)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    one = Server(tmp_path_factory.mktemp("stow"))
    yield one
    assert one.stop() == 0


def described(sop_class=SINGLE, **more):
    """Without a word of what the pixels are."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientID, ds.PatientName, ds.Modality = "P1", "Muster^Eva", "OT"
    for name, value in more.items():
        setattr(ds, name, value)
    return ds


def send(server, ds, *files, media=PNG):
    model = ds.to_json_dict()
    model["7FE00010"] = {"vr": "OW", "BulkDataURI": "pixels"}
    request = Request().part("application/dicom+json", json.dumps([model]).encode())
    for data in files:
        request.part(media, data, "pixels")
    return request.send(server)


def taken(server, ds, *files, media=PNG):
    answer = send(server, ds, *files, media=media)
    assert answer.status_code == 200, answer.text
    return stored(server, ds)


def refused(server, ds, *files, media=PNG):
    answer = send(server, ds, *files, media=media)
    assert answer.status_code == 409, answer.text
    failed = values(answer.json(), "00081198")[0]
    assert values(failed, "00081155") == [ds.SOPInstanceUID]
    assert server.get(instance_path(ds)).status_code == 404
    return values(failed, "00081197")[0]


def png(pixels, **how):
    out = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(out, "PNG", **how)
    return out.getvalue()


def gif(frames, **how):
    out = io.BytesIO()
    frames = [one if isinstance(one, Image.Image) else Image.fromarray(one) for one in frames]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], **how)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def interlaced(pixels):
    """Adam7, which Pillow does not write."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in passes for row in pixels[y::dy, x::dx]
                    if row.size)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 0, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name,data,want", [
    ("gray", png(GRAY), GRAY), ("16 bits", png(DEEP), DEEP), ("color", png(COLOR), COLOR),
    ("palette", png(Image.fromarray(GRAY).convert("RGB").quantize(16)),
     numpy.array(Image.fromarray(GRAY).convert("RGB").quantize(16).convert("RGB"))),
    ("one bit", png(Image.fromarray(GRAY).convert("1")), numpy.array(Image.fromarray(GRAY).convert("1").convert("L"))),
    ("opaque", png(Image.fromarray(COLOR).convert("RGBA")), COLOR), ("interlaced", interlaced(GRAY), GRAY)])
def test_png_files_become_native_pixel_data(server, name, data, want):
    ds = described()
    got = taken(server, ds, data)
    assert got.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert (got.pixel_array == want).all() and got.pixel_array.shape == want.shape
    assert got.PhotometricInterpretation == ("RGB" if want.ndim == 3 else "MONOCHROME2")
    assert got.BitsStored == got.BitsAllocated == got.HighBit + 1 == 8 * want.itemsize and "NumberOfFrames" not in got
    assert got.get("PlanarConfiguration", None) == (0 if want.ndim == 3 else None)
    if want.dtype == numpy.uint8:
        assert (shown(server, instance_path(ds) + "/rendered", window="127.5,255,linear-exact") == want).all()


def test_what_metadata_say_of_the_image_must_be_true(server):
    said = dict(Rows=20, Columns=31, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME1", BitsAllocated=16,
                BitsStored=12, HighBit=11, PixelRepresentation=0)
    got = taken(server, described(**said), png(DEEP & 0xfff))
    assert (got.pixel_array == DEEP & 0xfff).all() and got.BitsStored == 12
    assert got.PhotometricInterpretation == "MONOCHROME1"
    for name, value in dict(Rows=21, Columns=30, SamplesPerPixel=3, PhotometricInterpretation="RGB", BitsAllocated=8,
                            BitsStored=17, HighBit=15, PixelRepresentation=1, NumberOfFrames=2).items():
        refused(server, described(**{**said, name: value}), png(DEEP & 0xfff))


def test_animations_are_multi_frame_images(server):
    frames = [numpy.roll(COLOR // 64 * 64, i, axis=1) for i in range(4)]
    got = taken(server, described(MULTI), gif(frames, duration=70, disposal=2), media=GIF)
    assert got.NumberOfFrames == 4 and (got.pixel_array == frames).all()
    assert got.FrameTime == 70 and got.FrameIncrementPointer == 0x00181063
    gray = [numpy.full((20, 31), 40 * i, "u1") for i in range(3)]
    got = taken(server, described(MULTI), gif(gray, duration=[50, 100, 20]), media=GIF)
    assert (got.pixel_array == gray).all() and got.SamplesPerPixel == 1
    assert list(got.FrameTimeVector) == [0, 50, 100] and got.FrameIncrementPointer == 0x00181065
    got = taken(server, described(MULTI, SamplesPerPixel=3), gif(gray), media=GIF)  # gray as colors
    assert (got.pixel_array == numpy.stack(gray)[..., None]).all() and got.pixel_array.shape == (3, 20, 31, 3)
    # What only changes in part is stored whole: later frames show what the ones before left.
    first = Image.fromarray(gray[1])
    second = first.copy()
    second.paste(200, (5, 5, 15, 15))
    got = taken(server, described(MULTI), gif([first, second], duration=100), media=GIF)
    assert (got.pixel_array == [numpy.array(first), numpy.array(second)]).all()
    one = taken(server, described(), gif([gray[2]]), media=GIF)
    assert "NumberOfFrames" not in one and (one.pixel_array == gray[2]).all()
    # Of a SOP class with one frame the others would be lost.
    assert refused(server, described(), gif(gray), media=GIF)
    refused(server, described(MULTI, NumberOfFrames=2), gif(gray), media=GIF)


def test_frames_may_be_a_part_each(server):
    frames = [GRAY, GRAY.T.reshape(GRAY.shape), 255 - GRAY]
    got = taken(server, described(MULTI), *[png(one) for one in frames])
    assert got.NumberOfFrames == 3 and (got.pixel_array == frames).all() and "FrameIncrementPointer" not in got
    refused(server, described(MULTI), png(GRAY), png(GRAY[:10]))
    refused(server, described(MULTI), png(GRAY), png(COLOR))


def test_what_would_be_lost_is_refused(server):
    seen_through = Image.fromarray(COLOR).convert("RGBA")
    seen_through.putpixel((3, 3), (1, 2, 3, 254))
    refused(server, described(), png(seen_through))
    refused(server, described(), png(Image.fromarray(GRAY).convert("P"), transparency=int(GRAY[2, 2])))
    hole = Image.fromarray(GRAY // 64).convert("P")
    refused(server, described(), gif([hole], transparency=1), media=GIF)
    animated = png(GRAY)
    animated = animated[:33] + chunk(b"acTL", struct.pack(">II", 2, 0)) + animated[33:]
    refused(server, described(MULTI), animated)
    for media in ("image/apng", "image/webp", "image/tiff", "video/x-matroska"):
        refused(server, described(MULTI), animated, media=media)
    ds = described()  # a kind of file in the middle of another value
    model = ds.to_json_dict()
    model["7FE00010"] = {"vr": "OW", "BulkDataURI": "pixels"}
    for kinds in ((PNG, GIF), (PNG, "image/jpeg"), ("application/octet-stream", PNG), ("image/jls", PNG)):
        request = Request().part("application/dicom+json", json.dumps([model]).encode())
        for kind in kinds:
            request.part(kind, png(GRAY), "pixels")
        assert request.send(server).status_code == 409, kinds
    model = described(IconImageSequence=[Dataset()]).to_json_dict()
    model["00880200"]["Value"] = [{"7FE00010": {"vr": "OW", "BulkDataURI": "pixels"}}]
    request = Request().part("application/dicom+json", json.dumps([model]).encode()).part(PNG, png(GRAY), "pixels")
    assert request.send(server).status_code == 409


def test_damaged_and_huge_files_are_refused(server):
    good = {PNG: png(COLOR), GIF: gif([GRAY, 255 - GRAY])}
    for media, data in good.items():
        for wrong in (b"", data[:8], data[:40], data[:-20], data[:len(data) // 2], b"x" + data):
            refused(server, described(MULTI), wrong, media=media)
    head = struct.pack(">IIBBBBB", 65535, 65535, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1 << 16))) + chunk(b"IEND", b"")
    refused(server, described(), bomb)
    large = bytearray(good[GIF])
    large[6:10] = b"\xff\xff\xff\xff"
    refused(server, described(MULTI), bytes(large), media=GIF)
    assert (taken(server, described(), good[PNG]).pixel_array == COLOR).all()  # the worker that comes next
