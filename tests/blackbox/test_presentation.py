"""Grayscale Softcopy Presentation States (PS3.3 A.33.1) rendered as PS3.4 N.2 says, against DCMTK and against formulas.

DCMTK's dcmp2pgm applies the three look-up tables; the rest of a state is held against what PS3.3 says of each pixel.
"""
import io
import subprocess

import numpy
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid
from test_dicomweb import DATA, Server, instance_path, parts, slice_file
from test_rendered import GIF, JPEG, MULTI, PNG, described, differs, image, lut, show, shown

GSPS = "1.2.840.10008.5.1.4.1.1.11.1"
ROWS, COLUMNS = 64, 80


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    one = Server(tmp_path_factory.mktemp("site"))
    yield one
    assert one.stop() == 0


def written(ds):
    out = io.BytesIO()
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.save_as(out, write_like_original=False)
    return out.getvalue()


def reference(ds, frames=None):
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    if frames:
        item.ReferencedFrameNumber = frames
    return item


def state(images, **more):
    """Of these images; `more` are its attributes, those of its displayed area in `area`."""
    ds, _ = slice_file(images[0].StudyInstanceUID, generate_uid(), 1)
    for name in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel",
                 "PhotometricInterpretation", "PixelRepresentation", "ImagePositionPatient"):
        delattr(ds, name)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = GSPS
    ds.Modality, ds.PresentationLUTShape = "PR", "IDENTITY"
    ds.ContentLabel, ds.ContentDescription, ds.ContentCreatorName = "TEST", "", ""
    ds.PresentationCreationDate, ds.PresentationCreationTime, ds.InstanceNumber = "20240131", "101500", 1
    if "ModalityLUTSequence" not in more:
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    series = {}
    for one in images:
        series.setdefault(one.SeriesInstanceUID, []).append(reference(one))
    ds.ReferencedSeriesSequence = Sequence()
    for uid, refs in series.items():
        item = Dataset()
        item.SeriesInstanceUID, item.ReferencedImageSequence = uid, Sequence(refs)
        ds.ReferencedSeriesSequence.append(item)
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [images[0].Columns, images[0].Rows]
    area.PresentationSizeMode, area.PresentationPixelAspectRatio = "SCALE TO FIT", [1, 1]
    for name, value in more.pop("area", {}).items():
        setattr(area, name, value)
    ds.DisplayedAreaSelectionSequence = Sequence([area])
    for name, value in more.items():
        setattr(ds, name, value)
    return ds


def window(center, width, *refs):
    item = Dataset()
    item.WindowCenter, item.WindowWidth = center, width
    if refs:
        item.ReferencedImageSequence = Sequence(refs)
    return item


WHOLE = Sequence([window(128, 256)])  # an 8-bit value is its gray


def picture(pixels=None, **more):
    """An image of 8 bits, with gradients both ways."""
    if pixels is None:
        pixels = (numpy.arange(ROWS)[:, None] * 2 + numpy.arange(COLUMNS)[None, :]).astype("u1")
    shape = pixels.shape[-2:]
    frames = {"NumberOfFrames": len(pixels)} if pixels.ndim == 3 else {}
    ds, _ = slice_file(generate_uid(), generate_uid(), 1, rows=shape[0], columns=shape[1], PixelData=pixels.tobytes(),
                       BitsAllocated=8, BitsStored=8, HighBit=7, **frames, **more)
    return ds, pixels


def presented(server, images, accept=PNG, status=200, params=None, **more):
    ds = state(images, **more)
    assert server.store([written(one) for one in [*images, ds]]).status_code == 200
    return show(server, instance_path(ds) + "/rendered", accept=accept, status=status, **(params or {}))


def drawn(server, images, **more):
    return image(presented(server, images, SoftcopyVOILUTSequence=WHOLE, **more).content)


# ---- gray, against DCMTK ----


def dcmtk(tmp_path, ds, one):
    (tmp_path / "state.dcm").write_bytes(ds)
    (tmp_path / "image.dcm").write_bytes(one)
    subprocess.run(["dcmp2pgm", "-p", tmp_path / "state.dcm", tmp_path / "image.dcm", tmp_path / "out.pgm"],
                   check=True, capture_output=True, timeout=60)
    return image((tmp_path / "out.pgm").read_bytes())


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "rtdose_1frame.dcm",
                                  "dicomdirtests/98892001/CT5N/2062"])
def test_states_that_dcmtk_makes_are_rendered_as_it_renders_them(server, tmp_path, name):
    one = (DATA / name).read_bytes()
    subprocess.run(["dcmpsmk", "-o", DATA / name, tmp_path / "made.dcm"], check=True, capture_output=True, timeout=60)
    made = (tmp_path / "made.dcm").read_bytes()
    ds = pydicom.dcmread(io.BytesIO(made))
    assert server.store([one, made]).status_code == 200
    assert differs(shown(server, instance_path(ds) + "/rendered"), dcmtk(tmp_path, made, one)) <= 1
    show(server, instance_path(ds) + "/frames/1/rendered", status=404)  # a state has none


def test_tables_are_those_that_dcmtk_applies(server, tmp_path):
    curve = (numpy.sqrt(numpy.arange(4096)) * 64 * 65535 / 4096).astype(int)
    steps = numpy.repeat(numpy.arange(0, 4096, 16), 2)[:256]
    for name, more in {
            "window": dict(SoftcopyVOILUTSequence=Sequence([window(1000, 1500)])),
            "inverse": dict(SoftcopyVOILUTSequence=Sequence([window(1000, 1500)]), PresentationLUTShape="INVERSE"),
            "nothing": {},
            "rescaled": dict(RescaleSlope=2, RescaleIntercept=-1024, SoftcopyVOILUTSequence=Sequence([window(50, 900)])),
            "modality": dict(ModalityLUTSequence=lut(0, 16, curve), SoftcopyVOILUTSequence=Sequence([window(30000, 40000)])),
            "voi": dict(SoftcopyVOILUTSequence=Sequence([Dataset()])),
            "presentation": dict(PresentationLUTSequence=lut(0, 12, steps), PresentationLUTShape=None),
            "all": dict(ModalityLUTSequence=lut(0, 16, curve), SoftcopyVOILUTSequence=Sequence([window(30000, 60000)]),
                        PresentationLUTSequence=lut(0, 12, steps), PresentationLUTShape=None)}.items():
        for photometric in ("MONOCHROME2", "MONOCHROME1"):
            one, _, _ = described(PhotometricInterpretation=photometric, WindowCenter=1, WindowWidth=2)
            if name == "voi":
                more["SoftcopyVOILUTSequence"][0].VOILUTSequence = lut(0, 16, curve)
            ds = state([one], **more)
            if "PresentationLUTSequence" in more:
                del ds.PresentationLUTShape
            assert server.store([written(one), written(ds)]).status_code == 200
            got = shown(server, instance_path(ds) + "/rendered")
            # DCMTK cuts an entry's number off between two tables, where it should be rounded.
            assert differs(got, dcmtk(tmp_path, written(ds), written(one))) <= (2 if name == "all" else 1), name


# ---- the displayed area ----


def test_displayed_areas_turned_and_mirrored(server):
    one, pixels = picture()
    assert (drawn(server, [one]) == pixels).all()
    part = pixels[4:20, 9:40]
    corners = dict(DisplayedAreaTopLeftHandCorner=[10, 5], DisplayedAreaBottomRightHandCorner=[40, 20])
    for degrees in (0, 90, 180, 270):
        for flip in "NY":
            want = numpy.rot90(part, -degrees // 90)
            want = want[:, ::-1] if flip == "Y" else want
            assert (drawn(server, [one], area=corners, ImageRotation=degrees, ImageHorizontalFlip=flip) == want).all()
    turned = dict(DisplayedAreaTopLeftHandCorner=[40, 20], DisplayedAreaBottomRightHandCorner=[10, 5])
    assert (drawn(server, [one], area=turned) == part).all()  # the corners of a turned area
    beyond = drawn(server, [one], area=dict(DisplayedAreaTopLeftHandCorner=[-1, -3],
                                            DisplayedAreaBottomRightHandCorner=[COLUMNS + 3, ROWS]))
    assert beyond.shape == (ROWS + 4, COLUMNS + 5)
    assert (beyond[4:, 2:-3] == pixels).all() and not beyond[:4].any() and not beyond[:, :2].any()
    assert not beyond[:, -3:].any()


def test_pixels_are_square_in_the_picture(server):
    one, pixels = picture()
    high = drawn(server, [one], area=dict(PresentationPixelAspectRatio=[2, 1]))
    assert high.shape == (2 * ROWS, COLUMNS) and (abs(high[::2].astype(int) - pixels) <= 1).all()
    wide = drawn(server, [one], area=dict(PresentationPixelSpacing=["0.25", "0.5"]))
    assert wide.shape == (ROWS, 2 * COLUMNS)
    assert drawn(server, [one], area=dict(PresentationPixelAspectRatio=[2, 1]), ImageRotation=90,
                 ImageHorizontalFlip="N").shape == (COLUMNS, 2 * ROWS)


def test_viewports_and_magnification(server):
    """PS3.18 9.5.2.3: scaled to fit, but what is to be magnified is, and then cropped."""
    one, _ = picture()
    for mode, viewport, want in (("SCALE TO FIT", "160,500", (128, 160)), ("TRUE SIZE", "40,40", (32, 40)),
                                 ("MAGNIFY", "100,500", (2 * ROWS, 100)), ("MAGNIFY", None, (2 * ROWS, 2 * COLUMNS))):
        area = dict(PresentationSizeMode=mode, PresentationPixelMagnificationRatio=2.0)
        params = {"viewport": viewport} if viewport else {}
        assert image(presented(server, [one], area=area, params=params).content).shape == want, (mode, viewport)
    for params in ({"window": "40,400,linear"}, {"viewport": "64,64,0,0,10,10"}):  # Table 8.3.5-1
        presented(server, [one], params=params, status=400)


def test_areas_and_states_that_make_no_sense_are_refused(server):
    one, _ = picture()
    corner = "DisplayedAreaBottomRightHandCorner"
    large = dict(PresentationSizeMode="MAGNIFY", PresentationPixelMagnificationRatio=1e6)
    for area, status in (({corner: [2**31 - 1, 2**31 - 1]}, 413), ({corner: [60000, 60000]}, 413), (large, 413),
                         ({corner: [1]}, 406)):
        presented(server, [one], area=area, status=status)
    bad = dict(ShutterShape="CIRCULAR", ShutterPresentationValue=0)  # what should be hidden is not shown
    presented(server, [one], status=406, **bad)
    presented(server, [one], status=406, PresentationLUTSequence=Sequence([Dataset()]))


# ---- shutters and overlays ----


def test_shutters_hide(server):
    one, pixels = picture()
    rows, columns = numpy.mgrid[1:ROWS + 1, 1:COLUMNS + 1]
    box = (rows >= 20) & (rows <= 50) & (columns >= 10) & (columns <= 70)
    disc = (rows - 30) ** 2 + (columns - 40) ** 2 <= 15 ** 2
    rectangle = dict(ShutterLeftVerticalEdge=10, ShutterRightVerticalEdge=70, ShutterUpperHorizontalEdge=20,
                     ShutterLowerHorizontalEdge=50)
    circle = dict(CenterOfCircularShutter=[30, 40], RadiusOfCircularShutter=15)
    for shape, more, seen in (("RECTANGULAR", rectangle, box), ("CIRCULAR", circle, disc),
                              (["RECTANGULAR", "CIRCULAR"], {**rectangle, **circle}, box & disc)):
        got = drawn(server, [one], ShutterShape=shape, ShutterPresentationValue=0x8000, **more)
        assert (got == numpy.where(seen, pixels, 128)).all(), shape
    # A triangle: what is well inside is seen, what is well outside is not.
    corners = [10, 10, 10, 70, 60, 40]
    got = drawn(server, [one], ShutterShape="POLYGONAL", VerticesOfThePolygonalShutter=corners,
                ShutterPresentationValue=0xffff)
    assert (got[11:20, 25:55] == pixels[11:20, 25:55]).all() and (got[:9] == 255).all() and (got[40:, :24] == 255).all()
    assert got[9, 9] == pixels[9, 9] and got[59, 39] == pixels[59, 39]  # its corners


def overlay(ds, group, bits, origin=(1, 1)):
    for element, vr, value in ((0x10, "US", bits.shape[0]), (0x11, "US", bits.shape[1]), (0x40, "CS", "G"),
                               (0x50, "SS", list(origin)), (0x100, "US", 1), (0x102, "US", 0),
                               (0x3000, "OW", numpy.packbits(bits, bitorder="little").tobytes())):
        ds.add_new((group, element), vr, value)


def layers(**values):
    out = Sequence()
    for order, (name, value) in enumerate(values.items(), 1):
        item = Dataset()
        item.GraphicLayer, item.GraphicLayerOrder = name, order
        item.GraphicLayerRecommendedDisplayGrayscaleValue = value
        out.append(item)
    return out


def test_overlays_are_drawn_where_a_layer_activates_them(server):
    one, pixels = picture()
    bits = numpy.zeros((16, 16), "u1")
    bits[4:8, 2:14] = 1
    overlay(one, 0x6000, bits, (11, 21))
    assert (drawn(server, [one]) == pixels).all()  # the image has one, the state does not want it
    ds = state([one], SoftcopyVOILUTSequence=WHOLE, GraphicLayerSequence=layers(A=0x4000, B=0xc000))
    ds.add_new((0x6000, 0x1001), "CS", "A")
    overlay(ds, 0x6002, bits.T, (1, 60))
    ds.add_new((0x6002, 0x1001), "CS", "B")
    assert server.store([written(one), written(ds)]).status_code == 200
    want = pixels.copy()
    want[14:18, 22:34] = 0x40
    want[2:14, 63:67] = 0xc0
    assert (shown(server, instance_path(ds) + "/rendered") == want).all()
    ds = state([one], SoftcopyVOILUTSequence=WHOLE, ShutterShape="BITMAP", ShutterOverlayGroup=0x6000,
               ShutterPresentationValue=0x2000)
    assert server.store([written(ds)]).status_code == 200
    want = pixels.copy()
    want[14:18, 22:34] = 0x20
    assert (shown(server, instance_path(ds) + "/rendered") == want).all()


# ---- graphics and text ----


def graphic(kind, data, units="PIXEL", filled="N"):
    item = Dataset()
    item.GraphicAnnotationUnits, item.GraphicDimensions, item.GraphicType = units, 2, kind
    item.NumberOfGraphicPoints, item.GraphicFilled = len(data) // 2, filled
    item.GraphicData = [float(v) for v in data]
    return item


def text(value, box=None, anchor=None, units="PIXEL", side="LEFT"):
    item = Dataset()
    item.UnformattedTextValue = value
    if box:
        item.BoundingBoxAnnotationUnits, item.BoundingBoxTextHorizontalJustification = units, side
        item.BoundingBoxTopLeftHandCorner, item.BoundingBoxBottomRightHandCorner = box[:2], box[2:]
    if anchor:
        item.AnchorPoint, item.AnchorPointVisibility, item.AnchorPointAnnotationUnits = anchor, "Y", units
    return item


def annotations(*objects, layer="L", **more):
    item = Dataset()
    item.GraphicLayer = layer
    for keyword, kind in (("GraphicObjectSequence", "GraphicType"), ("TextObjectSequence", "UnformattedTextValue")):
        found = [one for one in objects if kind in one]
        if found:
            setattr(item, keyword, Sequence(found))
    for name, value in more.items():
        setattr(item, name, value)
    return item


def marks(server, *items, value=0xffff, size=(ROWS, COLUMNS), **more):
    """Where something was drawn on black."""
    one, _ = picture(numpy.zeros(size, "u1"))
    return drawn(server, [one], GraphicAnnotationSequence=Sequence(items),
                 GraphicLayerSequence=layers(L=value), **more)


def test_graphics_are_drawn_where_they_are(server):
    got = marks(server, annotations(graphic("POLYLINE", [10.5, 5.5, 60.5, 5.5, 60.5, 40.5])), value=0x8000)
    want = numpy.zeros((ROWS, COLUMNS), "u1")
    want[5, 10:61] = want[5:41, 60] = 128
    assert (got == want).all()
    got = marks(server, annotations(graphic("POLYLINE", [10, 10, 30, 10, 30, 20, 10, 20, 10, 10], filled="Y")))
    assert got[10:20, 10:30].all() and not got[22:].any() and not got[:, 32:].any()
    got = marks(server, annotations(graphic("POINT", [40.5, 30.5])))
    assert got[30, 40] == 255 and not got[:28].any() and not got[33:].any()
    rows, columns = numpy.mgrid[0:ROWS, 0:COLUMNS] + 0.5
    for kind, data, a, b in (("CIRCLE", [40, 32, 60, 32], 20, 20), ("ELLIPSE", [10, 32, 70, 32, 40, 22, 40, 42], 30, 10)):
        away = numpy.hypot((columns - 40) / a, (rows - 32) / b)
        line = marks(server, annotations(graphic(kind, data))) > 0
        assert line.any() and abs(away[line] - 1).max() < 1.5 / b
        area = marks(server, annotations(graphic(kind, data, filled="Y"))) > 0
        assert area[away < 1 - 0.5 / b].all() and not area[away > 1 + 1.5 / b].any()
    curve = marks(server, annotations(graphic("INTERPOLATED", [10, 50, 40, 10, 70, 50]))) > 0
    straight = marks(server, annotations(graphic("POLYLINE", [10, 50, 40, 10, 70, 50]))) > 0
    assert all(curve[y - 1:y + 2, x - 1:x + 2].any() for x, y in ((10, 50), (40, 10), (69, 50)))
    assert (curve != straight).sum() > 20


def test_graphics_move_with_the_image_and_layers_have_an_order(server):
    line = annotations(graphic("POLYLINE", [10.5, 5.5, 10.5, 30.5]))
    plain = marks(server, line) > 0
    turned = marks(server, line, ImageRotation=90, ImageHorizontalFlip="Y") > 0
    assert (turned == numpy.rot90(plain, -1)[:, ::-1]).all()
    part = marks(server, line, area=dict(DisplayedAreaTopLeftHandCorner=[6, 1],
                                         DisplayedAreaBottomRightHandCorner=[25, 40])) > 0
    assert (part == plain[:40, 5:25]).all()
    display = marks(server, annotations(graphic("POLYLINE", [0, 0.5, 1, 0.5], units="DISPLAY")), ImageRotation=90,
                    ImageHorizontalFlip="N") > 0
    assert display[COLUMNS // 2].all() and display.sum() == ROWS
    one, _ = picture(numpy.zeros((ROWS, COLUMNS), "u1"))
    both = [annotations(graphic("POLYLINE", [0, 0, COLUMNS, 0, COLUMNS, ROWS, 0, ROWS], filled="Y"), layer=name)
            for name in ("TOP", "LOW")]
    got = drawn(server, [one], GraphicAnnotationSequence=Sequence(both),
                GraphicLayerSequence=layers(LOW=0x4000, TOP=0xc000))
    assert (got == 0xc0).all()
    other, _ = picture()
    only = annotations(graphic("POINT", [5, 5]), ReferencedImageSequence=Sequence([reference(other)]))
    assert not marks(server, only).any()  # it is for another image


def test_text_is_drawn_upright_in_its_box(server):
    size = (200, 300)
    left = marks(server, annotations(text("Befund", [20, 30, 200, 60])), size=size) > 128
    ys, xs = numpy.nonzero(left)
    assert 30 <= ys.min() and ys.max() < 50 and 20 <= xs.min() and xs.max() < 20 + 6 * 9 + 2
    right = marks(server, annotations(text("Befund", [20, 30, 200, 60], side="RIGHT")), size=size) > 128
    assert (numpy.roll(left, 180 - 6 * 9 - 2, axis=1) == right).all()
    lines = marks(server, annotations(text("Befund\r\nBefund", [20, 30, 200, 60])), size=size) > 128
    assert (lines == left | numpy.roll(left, 18, axis=0)).all()
    turned = marks(server, annotations(text("Befund", [20, 30, 200, 60])), size=size, ImageRotation=180,
                   ImageHorizontalFlip="N") > 128
    ys, xs = numpy.nonzero(turned)
    assert ys.min() >= 140 and xs.min() >= 100  # its box lies there now, and it is read as before
    assert (turned[ys.min():ys.max() + 1, xs.min():xs.max() + 1] ==
            left[numpy.nonzero(left)[0].min():, numpy.nonzero(left)[1].min():][:numpy.ptp(ys) + 1, :numpy.ptp(xs) + 1]).all()
    anchored = marks(server, annotations(text("x", [20, 30, 60, 60], anchor=[150, 150])), size=size) > 128
    assert anchored[150, 150] and anchored[60:, 60:].sum() > 80
    scripts = [marks(server, annotations(text(value, [20, 30, 200, 60])), size=size, SpecificCharacterSet="ISO_IR 192") > 128
               for value in ("Ω", "Ж", "山", "가", "𐎠", "e\u0301", "\u00e9")]
    assert all(one.any() for one in scripts) and len({one.tobytes() for one in scripts}) == len(scripts)
    long = marks(server, annotations(text("A" * 1000, [280, 190, 290, 195])), size=size)
    assert long.any()  # what sticks out is not drawn


def test_graphics_from_outside_are_bounded(server):
    big = 3e38
    for data in ([big, big, -big, -big], [float("nan")] * 4, [float("inf"), 0, 0, 0], [-1e9, 10.5, 1e9, 10.5]):
        got = marks(server, annotations(graphic("POLYLINE", data)))
        assert data[0] != -1e9 or got[10].all()
        marks(server, annotations(graphic("POLYLINE", data * 2, filled="Y"), graphic("ELLIPSE", data * 2, filled="Y"),
                                  graphic("CIRCLE", data), graphic("INTERPOLATED", data * 2)))
    one, _ = picture(numpy.zeros((ROWS, COLUMNS), "u1"))
    many = Sequence([annotations(graphic("POLYLINE", [0, 0, 79, 63] * 8000))])  # a bulk value
    assert drawn(server, [one], GraphicAnnotationSequence=many)[32, 40] == 255
    busy = Sequence([annotations(*[graphic("POLYLINE", [0, 0, 79, 63] * 5000, filled="Y")] * 12) for _ in range(12)])
    presented(server, [one], GraphicAnnotationSequence=busy, status=413)


# ---- which images, and by which door ----


def test_a_state_of_several_images_is_all_of_them(server):
    study = generate_uid()
    ones = [picture(numpy.full((ROWS, COLUMNS + 8 * i), 40 * i + 20, "u1"))[0] for i in range(3)]
    ones.append(picture(numpy.stack([numpy.full((ROWS, COLUMNS), 200 + i, "u1") for i in range(4)]))[0])
    for one in ones:
        one.StudyInstanceUID = study
    ds = state(ones, SoftcopyVOILUTSequence=WHOLE)
    del ds.DisplayedAreaSelectionSequence
    ds.ReferencedSeriesSequence[3].ReferencedImageSequence[0].ReferencedFrameNumber = [4, 2]
    assert server.store([written(one) for one in [*ones[1:], ds]]).status_code == 200
    path = instance_path(ds) + "/rendered"
    got = parts(show(server, path, accept=MULTI.format(PNG), status=206))  # one of them is not here
    assert server.store([written(ones[0])]).status_code == 200
    answer = show(server, path, accept=MULTI.format(PNG))
    assert [body for _, body in got] == [body for _, body in parts(answer)][1:]
    assert [int(image(body)[0, 0]) for _, body in parts(answer)] == [20, 60, 100, 203, 201]
    assert {head["Content-Location"] for head, _ in parts(answer)} == {server.url(path)}
    assert len(parts(show(server, path, accept=MULTI.format(GIF)))) == 5
    assert image(show(server, instance_path(ds) + "/thumbnail", accept=JPEG).content).shape[0] == ROWS
    whole = parts(show(server, f"/studies/{study}/rendered", accept=MULTI.format(PNG)))
    assert len(whole) == 3 + 4 + 5
    # What a picture is made of is what an ETag is of.
    assert "Last-Modified" not in answer.headers
    known = {"If-None-Match": answer.headers["ETag"], "Accept": MULTI.format(PNG)}
    assert server.get(path, headers=known).status_code == 304
    ones[1].PixelData = bytes(len(ones[1].PixelData))
    assert server.store([written(ones[1])]).status_code == 200
    again = server.get(path, headers=known)
    assert again.status_code == 200 and int(image(parts(again)[1][1])[0, 0]) == 0
    assert server.get(path, headers={"X-Test-Role": "nobody"}).status_code == 403


def test_animations_of_states(server):
    frames = numpy.stack([numpy.full((ROWS, COLUMNS), 50 * i, "u1") for i in range(4)])
    one, _ = picture(frames)
    dark = window(228, 256, reference(one, 3))  # of this frame alone
    answer = presented(server, [one], accept=GIF, SoftcopyVOILUTSequence=Sequence([dark, *WHOLE]))
    with Image.open(io.BytesIO(answer.content)) as gif:
        assert gif.n_frames == 4
        for i, want in enumerate((0, 50, 0, 150)):
            gif.seek(i)
            assert abs(int(numpy.array(gif.convert("L"))[0, 0]) - want) <= 1


def test_states_by_wado_uri(server):
    one, pixels = picture()
    other, _ = picture()
    other.StudyInstanceUID = one.StudyInstanceUID
    ds = state([one], SoftcopyVOILUTSequence=WHOLE, PresentationLUTShape="INVERSE", ImageRotation=180,
               ImageHorizontalFlip="N")
    assert server.store([written(one), written(other), written(ds)]).status_code == 200

    def uri(status, of, **more):
        return show(server, "/wado", accept=None, status=status, requestType="WADO", studyUID=of.StudyInstanceUID,
                    seriesUID=of.SeriesInstanceUID, objectUID=of.SOPInstanceUID, **more)

    by = dict(presentationUID=ds.SOPInstanceUID, presentationSeriesUID=ds.SeriesInstanceUID, contentType=PNG)
    assert (image(uri(200, one, **by).content) == 255 - pixels[::-1, ::-1]).all()
    assert image(uri(200, one, **by, columns=40).content).shape == (32, 40)
    assert (image(uri(200, ds, contentType=PNG).content) == 255 - pixels[::-1, ::-1]).all()
    assert uri(200, ds).headers["Content-Type"].startswith("application/dicom")
    assert uri(200, one, **by).headers["ETag"] != uri(200, one, contentType=PNG).headers["ETag"]
    for more in (dict(windowCenter=1, windowWidth=2), dict(region="0,0,1,0.5"), dict(presentationUID="x"),
                 dict(presentationUID=one.SOPInstanceUID, presentationSeriesUID=one.SeriesInstanceUID)):
        uri(400, one, **{**by, **more})
    uri(400, other, **by)  # the state is not about it
    uri(404, one, **{**by, "presentationUID": generate_uid()})
    uri(406, one, **{**by, "contentType": "application/dicom"})
    uri(400, one, contentType=PNG, presentationUID=ds.SOPInstanceUID)
