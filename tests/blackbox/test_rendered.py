"""Rendered resources and thumbnails (PS3.18 10.4.1.1.3) against what DCMTK shows, and against PS3.3's formulas."""
import io
import subprocess

import numpy
import pydicom
import pytest
from PIL import Image, ImageCms, ImageSequence
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid
from test_dicomweb import DATA, Server, instance_path, parts, slice_file
from testenv import Corpus, Narthex, find_release

PNG, JPEG, GIF = "image/png", "image/jpeg", "image/gif"
MULTI = 'multipart/related; type="{}"'
# What differs, and who is right.
DIFFERENT = {
    **dict.fromkeys(("rtdose_expb.dcm", "rtdose_expb_1frame.dcm"), "DCMTK 3.6.7 swaps samples of 32 bits as two words"),
}
# What is not shown: damaged, or described wrongly.
REFUSED = {"JPEG2000-embedded-sequence-delimiter.dcm": "its header is damaged"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    one = Server(tmp_path_factory.mktemp("site"))
    yield one
    assert one.stop() == 0


def stored(server, data):
    ds = pydicom.dcmread(io.BytesIO(data))
    assert server.store([data]).status_code == 200
    return ds, instance_path(ds)


def image(data):
    with Image.open(io.BytesIO(data)) as one:
        return numpy.array(one)


def show(server, path, accept=PNG, status=200, **params):
    answer = server.get(path, headers={"Accept": accept} if accept else {}, params=params)
    assert answer.status_code == status, answer.text
    return answer


def shown(server, path, **params):
    return image(show(server, path, **params).content)


def differs(a, b):
    assert a.shape == b.shape
    return int(numpy.abs(a.astype(int) - b.astype(int)).max())


def dcmtk(path, tmp_path, syntax, *options):
    """PNG of DCMTK; JPEG 2000, which it does not know, by way of GDCM."""
    tools = {"50": "dcmj2pnm", "51": "dcmj2pnm", "57": "dcmj2pnm", "70": "dcmj2pnm", "80": "dcml2pnm", "81": "dcml2pnm"}
    out, kind = tmp_path / "peer.png", syntax.rsplit(".", 1)[1]
    out.unlink(missing_ok=True)
    if syntax.startswith("1.2.840.10008.1.2.4.9"):
        subprocess.run(["gdcmconv", "--raw", path, tmp_path / "raw.dcm"], capture_output=True, timeout=60, check=True)
        path = tmp_path / "raw.dcm"
    tool = tools.get(kind, "dcm2pnm") if syntax.startswith("1.2.840.10008.1.2.4.") else "dcm2pnm"
    subprocess.run([tool, "+on", *options, str(path), str(out)], capture_output=True, timeout=60, check=False)
    return image(out.read_bytes()) if out.exists() else None


def window_option(ds):
    """What narthex does by itself."""
    if ds.get("SamplesPerPixel", 1) > 1 or ds.PhotometricInterpretation == "PALETTE COLOR":
        return []
    if "WindowCenter" in ds:
        return ["+Wi", "1"]
    return ["+Wl", "1"] if "VOILUTSequence" in ds else ["+Wm"]


def images():
    for path in Corpus().files(large=False):
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=False)
        except Exception:  # not every file of the corpus is one
            continue
        if "PixelData" in ds:
            yield path, ds


def test_images_are_those_that_dcmtk_shows(server, tmp_path):
    compared = set()
    for path, ds in images():
        if server.store([path.read_bytes()]).status_code != 200:
            continue
        answer = server.get(f"{instance_path(ds)}/frames/1/rendered", headers={"Accept": PNG})
        if path.name in REFUSED:
            assert answer.status_code == 406, path.name
            continue
        assert answer.status_code == 200, (path.name, answer.text)
        want = dcmtk(path, tmp_path, str(ds.file_meta.TransferSyntaxUID), "+F", "1", *window_option(ds))
        if want is not None and path.name not in DIFFERENT:
            assert differs(image(answer.content), want) <= 1, path.name
            compared.add(path.name)
    assert len(compared) > 60, sorted(compared)


def test_windows(server, tmp_path):
    data = (DATA / "CT_small.dcm").read_bytes()
    ds, path = stored(server, data)
    path += "/rendered"
    units = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    for center, width in ((40, 400), (-600, 1500.5), (0, 1)):
        want = dcmtk(DATA / "CT_small.dcm", tmp_path, "1.2.840.10008.1.2.1", "+Ww", str(center), str(width))
        assert differs(shown(server, path, window=f"{center},{width},linear"), want) <= 1
        want = 255 / (1 + numpy.exp(numpy.minimum(-4 * (units - center) / width, 700)))
        assert differs(shown(server, path, window=f"{center},{width},SIGMOID"), want.round()) <= 1
        want = numpy.clip((units - center) / width + 0.5, 0, 1) * 255
        assert differs(shown(server, path, window=f"{center},{width},linear-exact"), want.round()) <= 1
    for bad in ("40", "40,400", "40,400,cubic", "40,0,linear", "x,400,linear", "40,400,linear,1", "nan,1,sigmoid", ""):
        show(server, path, status=400, window=bad)


def described(number=1, **more):
    """A slice of 64 x 64 whose samples are 0 to 4095, and its path's end."""
    values = numpy.arange(64 * 64, dtype="<u2").reshape(64, 64)
    ds, data = slice_file(generate_uid(), generate_uid(), number, PixelData=values.tobytes(), **more)
    return ds, data, values


def lut(first, bits, values):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, bits])
    item.add_new("LUTData", "US", [int(v) for v in values])
    return Sequence([item])


def test_tables_of_modality_and_voi(server, tmp_path):
    curve = (numpy.sqrt(numpy.arange(4096)) * 64 * 65535 / 4096).astype(int)
    _, data, values = described(VOILUTSequence=lut(0, 16, curve))
    _, path = stored(server, data)
    (tmp_path / "voi.dcm").write_bytes(data)
    want = dcmtk(tmp_path / "voi.dcm", tmp_path, "1.2.840.10008.1.2.1", "+Wl", "1")
    assert differs(shown(server, path + "/rendered"), want) <= 1
    _, data, values = described(ModalityLUTSequence=lut(100, 16, curve[:1000]), WindowCenter=10000, WindowWidth=20000)
    _, path = stored(server, data)
    units = curve[:1000][numpy.clip(values.astype(int) - 100, 0, 999)]
    want = numpy.clip((units - 9999.5) / 19999 + 0.5, 0, 1) * 255
    assert differs(shown(server, path + "/rendered"), want.round()) <= 1
    # A window of the request stands before the instance's own; MONOCHROME1 is turned round.
    _, data, values = described(PhotometricInterpretation="MONOCHROME1", WindowCenter=1, WindowWidth=2)
    _, path = stored(server, data)
    want = 255 - numpy.clip((values.astype(float) - 1999.5) / 1999 + 0.5, 0, 1) * 255
    assert differs(shown(server, path + "/rendered", window="2000,2000,linear"), want.round()) <= 1
    _, data, values = described(VOILUTSequence=Sequence([Dataset()]))  # a table without entries
    _, path = stored(server, data)
    show(server, path + "/rendered", status=406)


def test_every_frame_has_a_window_of_its_own(server):
    def group(center, slope):
        voi, change, item = Dataset(), Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction = center, 1000, "LINEAR_EXACT"
        change.RescaleIntercept, change.RescaleSlope = 0, slope
        item.FrameVOILUTSequence, item.PixelValueTransformationSequence = Sequence([voi]), Sequence([change])
        return item

    values = numpy.arange(2 * 64 * 64, dtype="<u2")
    _, data = slice_file(generate_uid(), generate_uid(), 1, PixelData=values.tobytes(), NumberOfFrames=2, BitsStored=16,
                         HighBit=15, PerFrameFunctionalGroupsSequence=Sequence([group(2000, 1), group(3000, 0.5)]))
    _, path = stored(server, data)
    for i, (center, slope) in enumerate(((2000, 1), (3000, 0.5))):
        units = values[i * 4096:(i + 1) * 4096].reshape(64, 64).astype(float) * slope
        want = numpy.clip((units - center) / 1000 + 0.5, 0, 1) * 255
        assert differs(shown(server, f"{path}/frames/{i + 1}/rendered"), want.round()) <= 1


def test_palettes(server, tmp_path):
    rng = numpy.random.default_rng(5)
    table = rng.integers(0, 65536, (3, 256))
    colors = dict(zip(("Red", "Green", "Blue"), table))
    pixels = rng.integers(0, 256, (64, 64), dtype=numpy.uint8)
    common = dict(PhotometricInterpretation="PALETTE COLOR", BitsAllocated=8, BitsStored=8, HighBit=7,
                  PixelData=pixels.tobytes())
    ds, _ = slice_file(generate_uid(), generate_uid(), 1, **common)
    for name, values in colors.items():
        ds.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
        ds.add_new(f"{name}PaletteColorLookupTableData", "OW", values.astype("<u2").tobytes())
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    _, path = stored(server, out.getvalue())
    got = shown(server, path + "/rendered")
    assert differs(got, (table.T[pixels] >> 8)) == 0
    (tmp_path / "palette.dcm").write_bytes(out.getvalue())
    assert differs(got, dcmtk(tmp_path / "palette.dcm", tmp_path, "1.2.840.10008.1.2.1")) == 0
    # A segmented one (C.7.9.2): a value, a ramp, and the first of both again.
    segments = numpy.array([0, 1, 1000, 1, 200, 61000, 0, 55, *range(0, 55 * 256, 256)], "<u2").tobytes()
    ramp = [1000] + [round(1000 + 60000 * i / 200) for i in range(1, 201)] + list(range(0, 55 * 256, 256))
    for name in colors:
        del ds[f"{name}PaletteColorLookupTableData"]
        ds.add_new(f"Segmented{name}PaletteColorLookupTableData", "OW", segments)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    _, path = stored(server, out.getvalue())
    want = numpy.array(ramp)[pixels] >> 8
    assert differs(shown(server, path + "/rendered"), numpy.stack([want] * 3, axis=2)) <= 1


def test_overlays_are_drawn(server, tmp_path):
    bits = numpy.zeros((20, 30), numpy.uint8)
    bits[5:9, 3:25] = 1
    ds, _, values = described(WindowCenter=2048, WindowWidth=8192)
    for group, origin in ((0x6000, [10, 20]), (0x6002, [-3, 50])):  # the second one sticks out
        for element, vr, value in ((0x10, "US", 20), (0x11, "US", 30), (0x40, "CS", "G"), (0x50, "SS", origin),
                                   (0x100, "US", 1), (0x102, "US", 0),
                                   (0x3000, "OW", numpy.packbits(bits, bitorder="little").tobytes() + b"\0")):
            ds.add_new((group, element), vr, value)
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    _, path = stored(server, out.getvalue())
    (tmp_path / "overlay.dcm").write_bytes(out.getvalue())
    want = dcmtk(tmp_path / "overlay.dcm", tmp_path, "1.2.840.10008.1.2.1", "+Wi", "1")
    got = shown(server, path + "/rendered")
    assert differs(got, want) <= 1 and (got[14:18, 22:44] == 255).all() and got[13, 22] < 255


def test_viewports(server):
    _, path = stored(server, (DATA / "SC_rgb_small_odd.dcm").read_bytes())
    _, path = stored(server, (DATA / "CT_small.dcm").read_bytes())
    path += "/rendered"
    whole = shown(server, path)
    for text, want in (("1000,64", (64, 64)), ("64,1000", (64, 64)), ("300,200", (200, 200)), ("1,1", (1, 1)),
                       ("64,64,0,0,128,64", (32, 64)), ("10,20,,,,", (10, 10))):
        assert shown(server, path, viewport=text).shape == want, text
    assert (shown(server, path, viewport="30,20,10,5,30,20") == whole[5:25, 10:40]).all()
    assert (shown(server, path, viewport="30,20,10,5,-30,20") == whole[5:25, 10:40][:, ::-1]).all()
    assert (shown(server, path, viewport="30,20,10,5,30,-20") == whole[5:25, 10:40][::-1]).all()
    assert (shown(server, path, viewport="28,128,100") == whole[:, 100:]).all()
    half = shown(server, path, viewport="64,64")
    assert differs(half, whole.reshape(64, 2, 64, 2).mean(axis=(1, 3)).round()) <= 1
    for bad in ("64", "64,", "0,64", "64,-1", "64,64,x", "64,64,200,0", "1e9,1e9", "99999,99999", "6.5,6", "1,2,3,4,5,6,7"):
        show(server, path, status=400, viewport=bad)


def test_qualities_and_forms(server):
    _, path = stored(server, (DATA / "CT_small.dcm").read_bytes())
    exact = shown(server, path + "/rendered")
    sizes = {}
    for quality in (5, 50, 100):
        answer = show(server, path + "/rendered", accept=JPEG, quality=quality)
        sizes[quality] = len(answer.content)
        assert answer.headers["Content-Type"] == JPEG and int(answer.headers["Content-Length"]) == sizes[quality]
    assert sizes[5] < sizes[50] < sizes[100] and differs(image(answer.content), exact) <= 3
    for accept in (None, "*/*", "image/*", "image/jpeg", "image/webp,image/*;q=0.8", "application/dicom, image/jpeg"):
        assert show(server, path + "/rendered", accept=accept).headers["Content-Type"] == JPEG, accept
    assert differs(image(show(server, path + "/rendered", accept=GIF).content), exact) == 0
    (head, body), = parts(show(server, path + "/rendered", accept=MULTI.format(PNG)))
    assert head == {"Content-Type": PNG, "Content-Location": server.url(path + "/rendered")}
    assert differs(image(body), exact) == 0
    assert server.get(path + "/rendered", params={"accept": PNG}).headers["Content-Type"] == PNG
    for accept in ("image/webp", "application/dicom", "text/html"):
        show(server, path + "/rendered", accept=accept, status=406)
    for bad in ("0", "101", "x", "-5", "5.5", ""):
        show(server, path + "/rendered", status=400, quality=bad)
    again = server.get(path + "/rendered", headers={"If-None-Match": answer.headers["ETag"]}, params={"quality": 100})
    assert again.status_code == 304 and answer.headers["Cache-Control"] == "private, no-cache"
    other = server.get(path + "/rendered", headers={"If-None-Match": answer.headers["ETag"]}, params={"quality": 99})
    assert other.status_code == 200
    assert server.get(path + "/rendered", headers={"X-Test-Role": "nobody"}).status_code == 403


def color_slice(**more):
    """Of 64 x 64 pixels that are all colors."""
    rng = numpy.random.default_rng(7)
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=numpy.uint8)
    ds, _ = slice_file(generate_uid(), generate_uid(), 1, SamplesPerPixel=3, PhotometricInterpretation="RGB",
                       BitsAllocated=8, BitsStored=8, HighBit=7, PlanarConfiguration=0, PixelData=pixels.tobytes())
    for name, value in more.items():
        if name == "ICCProfile":
            ds.add_new(name, "OB", value)
        else:
            setattr(ds, name, value)
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    return ds, out.getvalue(), pixels


def profile_of(answer):
    with Image.open(io.BytesIO(answer.content)) as one:
        return one.info.get("icc_profile")


def converted(pixels, source, target):
    """By Little CMS too, but Pillow's."""
    source, target = (ImageCms.ImageCmsProfile(io.BytesIO(one)) for one in (source, target))
    return numpy.array(ImageCms.profileToProfile(Image.fromarray(pixels), source, target, outputMode="RGB"))


def test_colors_are_converted_to_the_profile_asked_for(server):
    _, data, pixels = color_slice()
    _, path = stored(server, data)
    path += "/rendered"
    spaces = {name: profile_of(show(server, path, iccprofile=name)) for name in ("srgb", "adobergb", "rommrgb")}
    assert len(set(spaces.values())) == 3
    assert profile_of(show(server, path)) is None and profile_of(show(server, path, iccprofile="no")) is None
    assert profile_of(show(server, path, iccprofile="yes")) == spaces["srgb"]  # what nothing else says
    assert (shown(server, path, iccprofile="srgb") == pixels).all()
    for name in ("adobergb", "rommrgb"):
        want = converted(pixels, spaces["srgb"], spaces[name])
        assert differs(shown(server, path, iccprofile=name), want) <= 1
        assert differs(want, pixels) > 20
        answer = show(server, path, accept=JPEG, iccprofile=name)
        assert profile_of(answer) == spaces[name]
        _, own, _ = color_slice(ICCProfile=spaces[name])  # and back, from a profile of its own
        _, other = stored(server, own)
        want = converted(pixels, spaces[name], spaces["srgb"])
        assert differs(shown(server, other + "/rendered", iccprofile="srgb"), want) <= 1
        assert profile_of(show(server, other + "/rendered", iccprofile="yes")).rstrip(b"\0") == spaces[name].rstrip(b"\0")
    # (0028,2002) says what colors are where there is no profile.
    _, named, _ = color_slice(ColorSpace="ADOBERGB")
    _, other = stored(server, named)
    want = converted(pixels, spaces["adobergb"], spaces["srgb"])
    assert differs(shown(server, other + "/rendered", iccprofile="srgb"), want) <= 1
    assert (shown(server, other + "/rendered", iccprofile="adobergb") == pixels).all()
    gray = shown(server, stored(server, (DATA / "CT_small.dcm").read_bytes())[1] + "/rendered", iccprofile="adobergb")
    assert gray.ndim == 2
    damaged = bytearray(spaces["adobergb"])
    damaged[128:] = bytes(len(damaged) - 128)
    for wrong in (b"no profile", bytes(damaged), spaces["srgb"][:200]):
        _, data, _ = color_slice(ICCProfile=wrong)
        _, other = stored(server, data)
        show(server, other + "/rendered", status=406, iccprofile="srgb")
    assert (shown(server, path, iccprofile="srgb") == pixels).all()  # the worker that comes next is a fresh one


def test_annotations_are_burned_in(server):
    values = numpy.zeros((256, 512), "<u2")
    ds, _ = slice_file(generate_uid(), generate_uid(), 1, rows=256, columns=512, PixelData=values.tobytes(),
                       WindowCenter=2048, WindowWidth=4096, KVP="120", SeriesDescription="Thorax")
    data = io.BytesIO()
    ds.save_as(data, write_like_original=False)
    ds, path = stored(server, data.getvalue())
    path += "/rendered"
    plain = show(server, path)
    assert not image(plain.content).any() and plain.headers["Cache-Control"] == "private, no-cache"
    told = show(server, path, annotation="patient")
    top = image(told.content)
    assert top[:100].max() == 255 and not top[100:].any()
    assert told.headers["Cache-Control"] == "private, no-store" and "Warning" not in told.headers
    bottom = shown(server, path, annotation="technique")
    assert bottom[170:].max() == 255 and not bottom[:150].any()
    both = shown(server, path, annotation="patient,technique")
    assert (both == numpy.maximum(top, bottom)).all()
    # It is the patient: another name is another picture, and the same text is the same picture.
    ds.PatientName, ds.SOPInstanceUID = "Muster^Ada", generate_uid()
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    data = io.BytesIO()
    ds.save_as(data, write_like_original=False)
    _, other = stored(server, data.getvalue())
    assert (shown(server, other + "/rendered", annotation="patient") != top).any()
    assert (shown(server, other + "/rendered", annotation="technique") == bottom).all()
    # After everything else: as legible in a small picture of it.
    small = shown(server, path, annotation="patient", viewport="300,300")
    assert (small[:90, :150] == top[:90, :150]).all()
    again = server.get(path, headers={"If-None-Match": told.headers["ETag"], "Accept": PNG})
    assert again.status_code == 200
    odd = show(server, path, annotation="patient,shoe-size").headers["Warning"]
    assert odd.startswith("299 ") and "not supported" in odd and "shoe" not in odd
    named = dict(requestType="WADO", studyUID=ds.StudyInstanceUID, seriesUID=ds.SeriesInstanceUID, contentType=PNG,
                 objectUID=path.split("/")[-2])
    for key in ("annotation", "imageAnnotation"):
        assert (shown(server, "/wado", **named, **{key: "patient"}) == top).all()
    assert not image(show(server, path.replace("/rendered", "/thumbnail"), annotation="patient").content).any()
    # Colors, other scripts, and values longer than a line.
    color, _, _ = color_slice(PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう", SpecificCharacterSet="ISO_IR 192",
                              PatientID="x" * 64, AccessionNumber="", PatientBirthDate="not a date")
    color.PixelData = bytes(len(color.PixelData))
    data = io.BytesIO()
    color.save_as(data, write_like_original=False)
    _, path = stored(server, data.getvalue())
    got = shown(server, path + "/rendered", annotation="patient,technique")
    assert got.shape == (64, 64, 3) and (got[:, :, 0] == got[:, :, 2]).all() and got.any()


def test_profiles_go_into_files(server):
    ds, _ = slice_file(generate_uid(), generate_uid(), 1, SamplesPerPixel=3, PhotometricInterpretation="RGB",
                       BitsAllocated=8, BitsStored=8, HighBit=7, PlanarConfiguration=0, PixelData=bytes(range(256)) * 48)
    ds.add_new("ICCProfile", "OB", b"a profile, as it is in the data set")
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    _, path = stored(server, out.getvalue())
    path += "/rendered"
    for accept in (PNG, JPEG):
        plain = show(server, path, accept=accept)
        assert plain.content == show(server, path, accept=accept, iccprofile="no").content
        with Image.open(io.BytesIO(show(server, path, accept=accept, iccprofile="yes").content)) as one:
            assert one.info["icc_profile"].rstrip(b"\0") == b"a profile, as it is in the data set"
    show(server, path, status=400, iccprofile="cmyk")


def test_several_frames(server, tmp_path):
    frames = numpy.stack([numpy.full((64, 64), 40 * i, "u1") for i in range(5)])
    ds, _ = slice_file(generate_uid(), generate_uid(), 1, NumberOfFrames=5, PixelData=frames.tobytes(), BitsAllocated=8,
                       BitsStored=8, HighBit=7, WindowCenter=128, WindowWidth=256, FrameTime=70)
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    _, path = stored(server, out.getvalue())
    answer = show(server, path + "/rendered", accept="*/*")
    assert answer.headers["Content-Type"] == GIF
    with Image.open(io.BytesIO(answer.content)) as gif:
        got = [(numpy.array(one.convert("L")), one.info["duration"]) for one in ImageSequence.Iterator(gif)]
    assert [ms for _, ms in got] == [70] * 5
    assert all(differs(one, frames[i]) <= 1 for i, (one, _) in enumerate(got))
    got = parts(show(server, path + "/rendered", accept=MULTI.format(PNG)))
    assert [head["Content-Location"] for head, _ in got] == [server.url(f"{path}/frames/{i + 1}/rendered")
                                                             for i in range(5)]
    assert all(differs(image(body), frames[i]) <= 1 for i, (_, body) in enumerate(got))
    assert differs(shown(server, path + "/rendered"), frames[2]) <= 1  # the one in the middle
    got = parts(show(server, path + "/frames/5,1,1/rendered", accept=MULTI.format(JPEG)))
    assert [image(body)[0, 0] // 10 for _, body in got] == [16, 0, 0]
    show(server, path + "/frames/5,1/rendered", accept=JPEG, status=406)
    assert differs(shown(server, path + "/frames/4/rendered"), frames[3]) <= 1
    show(server, path + "/frames/6/rendered", status=404)
    show(server, path + "/frames/0/rendered", status=400)


def test_studies_series_and_thumbnails(server):
    study, series = generate_uid(), [generate_uid(), generate_uid()]
    slices = [slice_file(study, series[i // 3], i + 1, WindowCenter=50 * i, WindowWidth=400) for i in range(6)]
    report, _ = slice_file(study, series[1], 9, Modality="SR")
    del report.PixelData
    out = io.BytesIO()
    report.save_as(out, write_like_original=False)
    assert server.store([data for _, data in slices] + [out.getvalue()]).status_code == 200
    base = f"/studies/{study}"
    got = show(server, f"{base}/rendered", accept=MULTI.format(PNG), status=206)  # the report cannot be shown
    assert [head["Content-Location"] for head, _ in parts(got)] == [
        server.url(instance_path(ds) + "/rendered") for ds, _ in slices]
    got = parts(show(server, f"{base}/series/{series[0]}/rendered", accept=MULTI.format(PNG)))
    assert [body for _, body in got] == [show(server, instance_path(ds) + "/rendered").content for ds, _ in slices[:3]]
    show(server, f"{base}/rendered", accept=PNG, status=406)
    show(server, instance_path(report) + "/rendered", status=404)
    middle = instance_path(slices[1][0])
    thumb = show(server, f"{base}/thumbnail", accept=None)
    assert thumb.headers["Content-Type"] == JPEG and image(thumb.content).shape == (64, 64)
    for path in (f"{base}/series/{series[0]}", middle, middle + "/frames/1"):
        assert show(server, path + "/thumbnail", accept=JPEG).content == thumb.content
    for path in (base, f"{base}/series/{series[1]}", middle, middle + "/frames/1"):
        assert shown(server, path + "/thumbnail", viewport="20,30").shape == (20, 20)
    show(server, instance_path(report) + "/thumbnail", status=404)
    show(server, middle + "/frames/2/thumbnail", status=404)
    show(server, f"{base}/thumbnail", accept=MULTI.format(JPEG), status=406)


def test_what_cannot_be_shown(server):
    data = bytearray((DATA / "JPEG-lossy.dcm").read_bytes())
    at = data.rindex(b"\xff\xda")
    data[at:at + 64] = b"\xff\xc0" * 32
    ds = pydicom.dcmread(io.BytesIO(bytes(data)))
    assert server.store([bytes(data)]).status_code in (200, 202)
    assert show(server, instance_path(ds) + "/rendered", accept=JPEG, status=406).json()["error"]["code"] == "not-acceptable"
    ds, _, _ = described()
    ds.FloatPixelData, ds.BitsAllocated = b"\0\0\0\0" * 64 * 64, 32
    del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    _, path = stored(server, out.getvalue())
    show(server, path + "/rendered", status=406)
    _, path = stored(server, (DATA / "CT_small.dcm").read_bytes())
    shown(server, path + "/rendered")  # the worker that comes next is a fresh one


def test_workers_decode_and_reads_are_recorded(tmp_path):
    # Of the release build: there a worker that asks the system for anything else is ended at once.
    with Narthex(tmp_path / "nx", binary=[find_release()]) as nx:
        color, data, _ = color_slice()
        (tmp_path / "color.dcm").write_bytes(data)
        nx.cli("import", "--site", nx.site, DATA / "JPEG2000.dcm", tmp_path / "color.dcm")
        path = instance_path(pydicom.dcmread(DATA / "JPEG2000.dcm"))
        with nx.session() as http:
            before = http.get(nx.url(f"/dicom-web{path}/rendered"), headers={"Accept": PNG}, timeout=60)
            assert before.status_code == 200 and image(before.content).ndim == 2
            metrics = http.get(nx.url("/metrics", "management"), timeout=60).text
            url = nx.url(f"/dicom-web{instance_path(color)}/rendered")
            for name in ("srgb", "adobergb", "rommrgb"):
                assert http.get(url, params={"iccprofile": name}, timeout=60).status_code == 200
        assert "narthex_pixel_frames_total 1" in metrics and "narthex_pixel_workers_died_total 0" in metrics
