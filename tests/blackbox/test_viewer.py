"""OHIF in Chromium opens what narthex holds, and the screen shows it: compared pixel by pixel with what is stored."""
import io
import os
import pathlib
import shutil
import subprocess

import numpy
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from testenv import Corpus, Narthex
from testenv.browser import Browser
from testenv.narthex import ROOT
from testenv.process import free_port

OHIF = pathlib.Path(os.environ.get("NX_OHIF") or pathlib.Path(
    os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "narthex/ohif-app-3.12.10")
if not OHIF.is_dir() or not shutil.which("chromedriver"):
    pytest.skip("no viewer or no browser: tools/install-deps viewer", allow_module_level=True)


def instance(sop_class, modality, **more):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    ds.PatientID, ds.PatientName, ds.Modality, ds.StudyDate = "VIEWER", "Viewer^Test", modality, "20240131"
    ds.StudyTime, ds.SeriesNumber, ds.InstanceNumber, ds.SeriesDescription = "101500", 1, 1, modality
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    ds.is_little_endian, ds.is_implicit_VR = True, False
    return ds


def file_of(ds):
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    return out.getvalue()


def pattern(rows, columns, most):
    """Blocks of different shades, no two rows of them alike."""
    y, x = numpy.mgrid[0:rows, 0:columns]
    return ((y * 7 // rows * 3 + x * 5 // columns * 4 + (y * 7 // rows) * (x * 5 // columns)) % 11) * most // 11


def mammogram():
    pixels = pattern(512, 400, 4095).astype("<u2")
    return instance("1.2.840.10008.5.1.4.1.1.1.2", "MG", Rows=512, Columns=400, BitsAllocated=16, BitsStored=12,
                    HighBit=11, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", PixelRepresentation=0,
                    WindowCenter=2048, WindowWidth=4096, ImageLaterality="L", ViewPosition="CC",
                    PresentationIntentType="FOR PRESENTATION", ImagerPixelSpacing=[0.1, 0.1],
                    ImageType=["DERIVED", "PRIMARY"], PixelData=pixels.tobytes())


def ultrasound():
    shades = pattern(240, 320, 255).astype("u1")
    frames = [numpy.stack([shades, numpy.roll(shades, 40 * i, axis=1), shades[::-1]], axis=2) for i in range(6)]
    ds = instance("1.2.840.10008.5.1.4.1.1.3.1", "US", Rows=240, Columns=320, BitsAllocated=8, BitsStored=8, HighBit=7,
                  SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0, PixelRepresentation=0,
                  NumberOfFrames=6, FrameTime=40, PixelData=numpy.stack(frames).tobytes())
    ds.add_new("FrameIncrementPointer", "AT", 0x00181063)
    return ds


def segmentation(source, mask):
    """One segment over one image (PS3.3 A.51)."""
    def one(**fields):
        item = Dataset()
        for keyword, value in fields.items():
            setattr(item, keyword, value)
        return Sequence([item])

    code = one(CodeValue="123037004", CodingSchemeDesignator="SCT", CodeMeaning="Anatomical Structure")
    ds = instance("1.2.840.10008.5.1.4.1.1.66.4", "SEG", StudyInstanceUID=source.StudyInstanceUID,
                  FrameOfReferenceUID=source.FrameOfReferenceUID, PatientID=source.PatientID,
                  PatientName=source.PatientName, SeriesNumber=99, ImageType=["DERIVED", "PRIMARY"],
                  Rows=source.Rows, Columns=source.Columns, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2",
                  BitsAllocated=1, BitsStored=1, HighBit=0, PixelRepresentation=0, LossyImageCompression="00",
                  NumberOfFrames=1, SegmentationType="BINARY", ContentLabel="TEST", ContentDescription="a box",
                  ContentCreatorName="Test^A", InstanceNumber=1,
                  PixelData=numpy.packbits(mask.ravel(), bitorder="little").tobytes())
    ds.SegmentSequence = one(SegmentNumber=1, SegmentLabel="Box", SegmentAlgorithmType="MANUAL",
                             SegmentedPropertyCategoryCodeSequence=code, SegmentedPropertyTypeCodeSequence=code,
                             RecommendedDisplayCIELabValue=[35000, 60000, 50000])
    ds.ReferencedSeriesSequence = one(
        SeriesInstanceUID=source.SeriesInstanceUID,
        ReferencedInstanceSequence=one(ReferencedSOPClassUID=source.SOPClassUID,
                                       ReferencedSOPInstanceUID=source.SOPInstanceUID))
    ds.DimensionOrganizationSequence = one(DimensionOrganizationUID=generate_uid())
    ds.SharedFunctionalGroupsSequence = one(
        PlaneOrientationSequence=one(ImageOrientationPatient=source.ImageOrientationPatient),
        PixelMeasuresSequence=one(PixelSpacing=source.PixelSpacing, SliceThickness=source.SliceThickness,
                                  SpacingBetweenSlices=source.SliceThickness))
    ds.PerFrameFunctionalGroupsSequence = one(
        FrameContentSequence=one(DimensionIndexValues=[1, 1]),
        PlanePositionSequence=one(ImagePositionPatient=source.ImagePositionPatient),
        SegmentIdentificationSequence=one(ReferencedSegmentNumber=1),
        DerivationImageSequence=one(
            SourceImageSequence=one(ReferencedSOPClassUID=source.SOPClassUID,
                                    ReferencedSOPInstanceUID=source.SOPInstanceUID),
            DerivationCodeSequence=one(CodeValue="113076", CodingSchemeDesignator="DCM", CodeMeaning="Segmentation")))
    return ds


# Where the image is on the screen; null until the viewer has shown one.
CANVAS = """
const one = document.querySelector('.cornerstone-canvas');
if (!one || !one.width) return null;
const at = one.getBoundingClientRect();
return [at.left, at.top, at.width, at.height];
"""


class Viewer:
    def __init__(self, nx, browser, port, folder):
        self.nx, self.browser, self.port, self.folder = nx, browser, port, folder

    def open(self, study, **more):
        extra = "".join(f"&{name}={value}" for name, value in more.items())
        self.browser.forget()
        self.browser.open(f"http://127.0.0.1:{self.port}/viewer?StudyInstanceUIDs={study}{extra}&token={self.nx.token}")

    def canvas(self):
        """The pixels of the image on the screen."""
        at = self.browser.run(CANVAS)
        if not at:
            return None
        left, top, width, height = map(round, at)
        return self.browser.screenshot()[top:top + height, left:left + width]

    def shows(self, want, name):
        """Until the picture on the screen is `want`, made to fit; texts in its corners do not count."""
        best = [0]

        def check():
            got = self.canvas()
            best[0] = max(best[0], 0 if got is None else likeness(got, want))
            if got is not None:
                Image.fromarray(got).save(self.folder / f"{name}.png")
            return best[0] > 0.95
        try:
            self.browser.poll(check, 40, f"{name} on the screen")
        except Exception as error:
            Image.fromarray(self.browser.screenshot()).save(self.folder / f"{name}-page.png")
            raise AssertionError(f"{name}: the likeness is {best[0]:.2f}; {self.folder}/{name}-page.png") from error


def likeness(got, want):
    """Correlation of the middle of a canvas with an image that fills it in one direction."""
    scale = min(got.shape[0] / want.shape[0], got.shape[1] / want.shape[1])
    size = (max(1, round(want.shape[1] * scale)), max(1, round(want.shape[0] * scale)))
    fitted = numpy.array(Image.fromarray(want).resize(size, Image.BILINEAR).convert("RGB"))
    top, left = (got.shape[0] - size[1]) // 2, (got.shape[1] - size[0]) // 2
    part = got[top:top + size[1], left:left + size[0]]
    edge_y, edge_x = part.shape[0] // 5, part.shape[1] // 8
    a = part[edge_y:-edge_y, edge_x:-edge_x].astype(float).ravel()
    b = fitted[:part.shape[0], :part.shape[1]][edge_y:-edge_y, edge_x:-edge_x].astype(float).ravel()
    if a.size != b.size or not a.std() or not b.std():
        return 0
    return numpy.corrcoef(a, b)[0, 1]


@pytest.fixture(scope="module")
def viewer(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("viewer"), free_port()
    page = f"http://127.0.0.1:{port}"
    with Narthex(folder / "nx", config={"http": {"cors_origins": page}}) as nx:
        ohif = subprocess.Popen([ROOT / "tools/ohif", "--port", str(port), "--dicomweb", nx.url("/dicom-web")],
                                stdout=subprocess.PIPE, env={**os.environ, "NX_OHIF": str(OHIF)})
        try:
            assert ohif.stdout.readline().decode().startswith(page)
            with Browser(folder) as browser:
                yield Viewer(nx, browser, port, folder)
        finally:
            ohif.terminate()
            ohif.wait(30)
            ohif.stdout.close()


def put(viewer, name, data):
    path = viewer.folder / f"{name}.dcm"
    path.write_bytes(data)
    viewer.nx.cli("import", "--site", viewer.nx.site, path)
    return pydicom.dcmread(path)


def rendered(viewer, ds, frame=1):
    """What narthex itself shows of it."""
    path = (f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
            f"/frames/{frame}/rendered")
    with viewer.nx.session() as http:
        answer = http.get(viewer.nx.url(path), headers={"Accept": "image/png"}, timeout=60)
    with Image.open(io.BytesIO(answer.content)) as one:
        return numpy.array(one)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm"])
def test_ct_and_mr(viewer, name):
    ds = put(viewer, name[:2], Corpus().pydicom_file(name).read_bytes())
    viewer.open(ds.StudyInstanceUID)
    viewer.shows(rendered(viewer, ds), name[:2])


def test_a_mammogram(viewer):
    ds = put(viewer, "MG", file_of(mammogram()))
    viewer.open(ds.StudyInstanceUID)
    viewer.shows(rendered(viewer, ds), "MG")


def test_frames_of_an_ultrasound(viewer):
    ds = put(viewer, "US", file_of(ultrasound()))
    viewer.open(ds.StudyInstanceUID)
    viewer.shows(rendered(viewer, ds), "US")


def test_a_segmentation_over_its_image(viewer):
    source = pydicom.dcmread(Corpus().pydicom_file("CT_small.dcm"))
    source.StudyInstanceUID, source.SeriesInstanceUID, source.SOPInstanceUID = (generate_uid() for _ in range(3))
    source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
    mask = numpy.zeros((source.Rows, source.Columns), numpy.uint8)
    mask[40:80, 30:90] = 1
    put(viewer, "SEG-source", file_of(source))
    ds = put(viewer, "SEG", file_of(segmentation(source, mask)))
    viewer.open(ds.StudyInstanceUID, initialSeriesInstanceUID=ds.SeriesInstanceUID)

    def colored():
        got = viewer.canvas()
        if got is None:
            return False
        Image.fromarray(got).save(viewer.folder / "SEG.png")
        color = numpy.ptp(got.astype(int), axis=2) > 20
        inside = color[got.shape[0] // 2 - 5:got.shape[0] // 2 + 5, got.shape[1] // 2 - 5:got.shape[1] // 2 + 5]
        return inside.all() and color.mean() < 0.5
    viewer.browser.poll(colored, 40, "a segment in color")
