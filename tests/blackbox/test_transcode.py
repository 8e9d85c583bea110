"""Instances and frames in other transfer syntaxes than they are stored in: bit by bit as DCMTK and GDCM decode them."""
import io
import subprocess

import numpy
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import generate_pixel_data_frame
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, generate_uid
from test_dicomweb import DATA, Server, instance_path, parts, slice_file
from test_frames import encapsulated, jpeg_like
from test_pixels import from_dataset

JPEGLS, J2K = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202")
DICOM, OCTETS = "application/dicom", "application/octet-stream"
# Who decodes what narthex encodes.
JUDGES = {RLELossless: ("dcmdrle",), JPEGLS: ("dcmdjpls",), J2K: ("gdcmconv", "--raw")}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    one = Server(tmp_path_factory.mktemp("site"))
    yield one
    assert one.stop() == 0


def stored(server, data):
    ds = pydicom.dcmread(io.BytesIO(data))
    assert server.store([data]).status_code == 200
    return ds, instance_path(ds)


def retrieved(server, path, syntax, media=DICOM, status=200):
    answer = server.get(path, headers={"Accept": f"{media}; transfer-syntax={syntax}"})
    assert answer.status_code == status, answer.text
    return answer.content


def as_file(server, path, syntax):
    ds = pydicom.dcmread(io.BytesIO(retrieved(server, path, syntax)))
    assert ds.file_meta.TransferSyntaxUID == syntax
    return ds


def decoded(tmp_path, data, *argv):
    source, out = tmp_path / "in.dcm", tmp_path / "out.dcm"
    source.write_bytes(data)
    out.unlink(missing_ok=True)
    subprocess.run([*argv, str(source), str(out)], capture_output=True, timeout=60, check=True)
    return pydicom.dcmread(out)


def others(ds):
    """All that does not tell how pixels are encoded, and has a VR without being told."""
    told = ("PixelData", "PhotometricInterpretation", "PlanarConfiguration", "LossyImageCompression")
    return [(e.tag, e.value) for e in ds if e.keyword not in told and not e.tag.is_private]


@pytest.mark.parametrize("name, argv", [
    ("JPEG-lossy.dcm", ("dcmdjpeg",)), ("JPGExtended.dcm", ("dcmdjpeg",)), ("SC_rgb_jpeg_dcmtk.dcm", ("dcmdjpeg",)),
    ("SC_rgb_dcmtk_+eb+cy+s2.dcm", ("dcmdjpeg",)), ("SC_rgb_small_odd_jpeg.dcm", ("dcmdjpeg",)),
    ("MR_small_RLE.dcm", ("dcmdrle",)), ("SC_rgb_rle_2frame.dcm", ("dcmdrle",)), ("rtdose_rle.dcm", ("dcmdrle",)),
    ("SC_rgb_rle_16bit_2frame.dcm", ("dcmdrle",)), ("MR_small_jpeg_ls_lossless.dcm", ("dcmdjpls",)),
    ("MR_small_jp2klossless.dcm", ("gdcmconv", "--raw")), ("JPEG2000.dcm", ("gdcmconv", "--raw")),
    ("image_dfl.dcm", ("dcmconv", "+te"))])
def test_uncompressed_as_peers_make_it(server, tmp_path, name, argv):
    ds, path = stored(server, (DATA / name).read_bytes())
    want = decoded(tmp_path, (DATA / name).read_bytes(), *argv)
    got = as_file(server, path, ExplicitVRLittleEndian)
    assert numpy.array_equal(from_dataset(got), from_dataset(want))
    assert got.PhotometricInterpretation == want.PhotometricInterpretation or argv[0] == "gdcmconv"
    assert others(got) == others(ds)
    assert ("PlanarConfiguration" in got) == (got.SamplesPerPixel > 1)
    lossy = ds.file_meta.TransferSyntaxUID in ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51",
                                               "1.2.840.10008.1.2.4.91")
    assert got.get("LossyImageCompression") == ds.get("LossyImageCompression", "01" if lossy else None)
    implicit = as_file(server, path, ImplicitVRLittleEndian)
    assert implicit.PixelData == got.PixelData and others(implicit) == others(got)
    size = len(got.PixelData) // int(ds.get("NumberOfFrames", 1))
    frame = server.get(f"{path}/frames/1", headers={"Accept": OCTETS})
    assert frame.headers["Content-Type"] == f"{OCTETS}; transfer-syntax={ExplicitVRLittleEndian}"
    assert frame.content == got.PixelData[:len(frame.content)] and len(frame.content) in (size, size - 1)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_bigendian.dcm", "SC_rgb_small_odd.dcm", "liver_1frame.dcm",
                                  "SC_rgb_rle_2frame.dcm", "MR_small_implicit.dcm", "MR_small_padded.dcm", "JPGExtended.dcm"])
def test_peers_decode_what_is_encoded(server, tmp_path, name):
    ds, path = stored(server, (DATA / name).read_bytes())
    native = as_file(server, path, ExplicitVRLittleEndian)
    for syntax, argv in JUDGES.items():
        accept = {"Accept": f"{DICOM}; transfer-syntax={syntax}"}
        answer = server.get(path, headers=accept)
        if ds.BitsAllocated == 1 and syntax != RLELossless:
            assert answer.status_code == 406
            continue
        assert answer.status_code == 200, (syntax, answer.text)
        assert answer.headers["Content-Type"] == f"{DICOM}; transfer-syntax={syntax}"
        if ds.BitsAllocated == 1:
            continue  # no peer decodes it
        made = pydicom.dcmread(io.BytesIO(answer.content))
        if syntax == J2K and ds.get("SamplesPerPixel", 1) == 3:
            assert made.PhotometricInterpretation == "YBR_RCT"
        got = decoded(tmp_path, answer.content, *argv)
        assert numpy.array_equal(from_dataset(got), from_dataset(native)), syntax
        assert others(made) == others(native)
        frames = list(generate_pixel_data_frame(made.PixelData, int(made.get("NumberOfFrames", 1))))
        media = {RLELossless: "image/dicom-rle", JPEGLS: "image/jls", J2K: "image/jp2"}[syntax]
        if made.file_meta.TransferSyntaxUID != ds.file_meta.TransferSyntaxUID:
            one = server.get(f"{path}/frames/{len(frames)}", headers={"Accept": media})
            assert one.content.ljust(len(frames[-1]), b"\0") == frames[-1]


def test_htj2k_comes_back_by_another_decoder(server, tmp_path):
    ds, path = stored(server, (DATA / "CT_small.dcm").read_bytes())
    for syntax in HTJ2K:
        stream = server.get(f"{path}/frames/1", headers={"Accept": f"image/jphc; transfer-syntax={syntax}"})
        assert stream.status_code == 200
        (tmp_path / "frame.j2c").write_bytes(stream.content)
        subprocess.run(["ojph_expand", "-i", tmp_path / "frame.j2c", "-o", tmp_path / "frame.yuv"], check=True,
                       capture_output=True, timeout=60)
        got = numpy.fromfile(tmp_path / "frame.yuv", "<i2").reshape(ds.Rows, ds.Columns)
        assert numpy.array_equal(got, ds.pixel_array)
        made = as_file(server, path, syntax)
        assert list(generate_pixel_data_frame(made.PixelData))[0].startswith(stream.content)


def test_a_study_of_several_syntaxes(server):
    study, series = generate_uid(), generate_uid()
    files = []
    for i, name in enumerate(("CT_small.dcm", "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm")):
        ds = pydicom.dcmread(DATA / name)
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.InstanceNumber, ds.PatientID = study, series, i + 1, "same"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        out = io.BytesIO()
        ds.save_as(out, write_like_original=False)
        files.append(out.getvalue())
    report, _ = slice_file(study, series, 9, PatientID="same", Modality="SR")  # no pixels, in a syntax for them
    del report.PixelData
    report.file_meta.TransferSyntaxUID = JPEGLS
    out = io.BytesIO()
    report.save_as(out, write_like_original=False)
    assert server.store(files + [out.getvalue()]).status_code == 200
    accept = f'multipart/related; type="{DICOM}"; transfer-syntax={RLELossless}'
    got = parts(server.get(f"/studies/{study}", headers={"Accept": accept}))
    assert [head["Content-Type"] for head, _ in got] == [f"{DICOM}; transfer-syntax={RLELossless}"] * 4
    assert got[1][1] == files[1]
    assert [pydicom.dcmread(io.BytesIO(body)).InstanceNumber for _, body in got] == [1, 2, 3, 9]
    mixed = f'multipart/related; type="{DICOM}"; transfer-syntax=*'
    assert [body for _, body in parts(server.get(f"/studies/{study}", headers={"Accept": mixed}))][:3] == files


def test_what_is_not_made(server):
    _, path = stored(server, (DATA / "CT_small.dcm").read_bytes())
    for syntax in ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91",
                   "1.2.840.10008.1.2.4.203", "1.2.840.10008.1.2.4.102", "1.2.3", "1.2.840.10008.1.2.1.99"):
        retrieved(server, path, syntax, status=406)
    assert server.get(path + "/frames/1", headers={"Accept": "image/jpeg"}).status_code == 406
    damaged = encapsulated("1.2.840.10008.1.2.4.50", jpeg_like(3, 400))
    ds, path = stored(server, damaged)
    retrieved(server, path, ExplicitVRLittleEndian, status=406)
    assert server.get(path + "/frames/2", headers={"Accept": OCTETS}).status_code == 406
    assert retrieved(server, path, "*") == damaged


def test_wado_uri_gives_images_and_other_syntaxes(server):
    ds, _ = stored(server, (DATA / "CT_small.dcm").read_bytes())
    named = {"requestType": "WADO", "studyUID": ds.StudyInstanceUID, "seriesUID": ds.SeriesInstanceUID,
             "objectUID": ds.SOPInstanceUID}

    def get(status=200, **params):
        answer = server.get("/wado", params={**named, **params})
        assert answer.status_code == status, answer.text
        return answer

    def size(**params):
        with Image.open(io.BytesIO(get(contentType="image/png", **params).content)) as one:
            return one.size

    assert get().headers["Content-Type"] == "image/jpeg"
    whole = server.get(instance_path(ds) + "/rendered", headers={"Accept": "image/png"}).content
    assert get(contentType="image/png").content == whole and size(rows=64) == (64, 64) and size(columns=32) == (32, 32)
    assert size(rows=64, columns=32) == (32, 32) and size(region="0.25,0.5,0.75,1") == (64, 64)
    assert get(contentType="image/png", windowCenter=40, windowWidth=400).content == server.get(
        instance_path(ds) + "/rendered", params={"window": "40,400,linear"}, headers={"Accept": "image/png"}).content
    assert len(get(imageQuality=5).content) < len(get(imageQuality=95).content)
    get(404, frameNumber=2)
    for bad in ({"frameNumber": "0"}, {"rows": "0"}, {"region": "0,0,2,1"}, {"region": "1,0,0,1"}, {"windowCenter": "1"},
                {"imageQuality": "200"}):
        get(400, **bad)
    made = get(contentType=DICOM, transferSyntax=RLELossless)
    assert pydicom.dcmread(io.BytesIO(made.content)).file_meta.TransferSyntaxUID == RLELossless
    several, _ = stored(server, (DATA / "SC_rgb_rle_2frame.dcm").read_bytes())
    named.update(studyUID=several.StudyInstanceUID, seriesUID=several.SeriesInstanceUID,
                 objectUID=several.SOPInstanceUID)
    assert get().headers["Content-Type"].startswith(DICOM)
    assert get(frameNumber=2).headers["Content-Type"] == "image/jpeg"
    assert get(contentType="image/gif").headers["Content-Type"] == "image/gif"
