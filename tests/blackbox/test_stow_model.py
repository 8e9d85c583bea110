"""STOW-RS of metadata and bulk data (PS3.18 10.5): JSON by pydicom, XML by DCMTK, and our own metadata sent back."""
import base64
import io
import json
import subprocess
import uuid

import pydicom
import pytest
from pydicom.encaps import generate_pixel_data_frame
from pydicom.uid import generate_uid
from test_dicom_json import differences
from test_dicomweb import DATA, JSON, Server, instance_path, parts, slice_file, values

REAL = ["CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "rtdose.dcm", "test-SR.dcm", "reportsi.dcm", "waveform_ecg.dcm",
        "liver_1frame.dcm", "SC_rgb_small_odd.dcm"]
FRAMES = [("SC_rgb_rle_16bit_2frame.dcm", "image/dicom-rle", 2), ("rtdose_rle.dcm", "image/dicom-rle", 15),
          ("MR_small_jp2klossless.dcm", "image/jp2", 1), ("MR_small_jpeg_ls_lossless.dcm", "image/jls", 1),
          ("SC_rgb_small_odd_jpeg.dcm", "image/jpeg", 1),
          ("JPEG-lossy.dcm", "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.51", 1)]

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    one = Server(tmp_path_factory.mktemp("stow"))
    yield one
    assert one.stop() == 0


class Request:
    """Parts of one multipart/related body."""

    def __init__(self, kind="application/dicom+json"):
        self.kind, self.boundary, self.body = kind, uuid.uuid4().hex, io.BytesIO()

    def part(self, content_type, data, location=None):
        where = f"Content-Location: {location}\r\n" if location else ""
        self.body.write(f"--{self.boundary}\r\nContent-Type: {content_type}\r\n{where}\r\n".encode() + data + b"\r\n")
        return self

    def send(self, server, path="/studies"):
        return server.http.post(
            server.url(path), data=self.body.getvalue() + f"--{self.boundary}--\r\n".encode(), timeout=60,
            headers={"Content-Type": f'multipart/related; type="{self.kind}"; boundary={self.boundary}'})


def renamed(ds):
    """The file's own UIDs are those of other tests too."""
    ds.SOPInstanceUID, ds.StudyInstanceUID = generate_uid(), generate_uid()
    if "SeriesInstanceUID" not in ds:
        ds.SeriesInstanceUID = generate_uid()
    if hasattr(ds, "file_meta"):
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def as_json(ds, bulk, threshold=256):
    """pydicom's model; values of `threshold` bytes and more go to `bulk` by their URI."""
    def keep(element):
        uri = f"bulk/{ds.SOPInstanceUID}/{len(bulk)}"
        bulk[uri] = element.value
        return uri
    return ds.to_json_dict(bulk_data_threshold=threshold, bulk_data_element_handler=keep)


def stored(server, ds, mount=""):
    answer = server.get(mount + instance_path(ds), headers={"Accept": "application/dicom"})
    assert answer.status_code == 200, answer.text
    return pydicom.dcmread(io.BytesIO(answer.content))


def same(got, want):
    left = [d for d in differences(got.to_json_dict(), want.to_json_dict())]
    assert left == []


def fragments_of(value):
    stream = pydicom.filebase.DicomBytesIO(value)
    stream.is_little_endian = True
    assert pydicom.encaps.get_frame_offsets(stream) == (False, [0])
    return list(pydicom.encaps.generate_pixel_data_fragment(stream))


def test_many_instances_in_one_request_and_bulk_values_in_any_order(server):
    sets = [renamed(pydicom.dcmread(DATA / name)) for name in REAL]
    bulk = {}
    models = [as_json(ds, bulk) for ds in sets]
    request = Request().part("application/dicom+json", json.dumps(models).encode())
    for uri in sorted(bulk, reverse=True):
        request.part("application/octet-stream", bulk[uri], uri)
    answer = request.send(server)
    assert answer.status_code == 200, answer.text
    assert len(values(answer.json(), "00081199")) == len(REAL)
    for ds in sets:
        got = stored(server, ds)
        assert got.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        same(got, ds)
        if "PixelData" in ds:
            assert got.PixelData == ds.PixelData


@pytest.mark.parametrize("name,media,frames", FRAMES)
def test_compressed_frames_are_encapsulated(server, name, media, frames):
    ds = renamed(pydicom.dcmread(DATA / name))
    pixels = list(generate_pixel_data_frame(ds.PixelData, frames))
    assert len(pixels) == frames
    model = as_json(ds, {}, 1 << 30)
    model["7FE00010"] = {"vr": "OB", "BulkDataURI": "pixels"}
    request = Request().part("application/dicom+json", json.dumps([model]).encode())
    for frame in pixels:
        request.part(media, frame, "pixels")
    answer = request.send(server)
    assert answer.status_code == 200, answer.text
    got = stored(server, ds)
    assert got.file_meta.TransferSyntaxUID == ds.file_meta.TransferSyntaxUID
    assert [f.rstrip(b"\0") for f in generate_pixel_data_frame(got.PixelData, frames)] == [
        f.rstrip(b"\0") for f in pixels]


def test_a_frame_of_many_megabytes_has_several_fragments(server):
    ds = renamed(pydicom.dcmread(DATA / "JPEG2000.dcm"))
    frame = next(generate_pixel_data_frame(ds.PixelData, 1))
    frame = frame + bytes(9_000_001)
    model = as_json(ds, {}, 1 << 30)
    model["7FE00010"] = {"vr": "OB", "BulkDataURI": "p"}
    answer = Request().part("application/dicom+json", json.dumps(model).encode()).part(
        "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.91", frame, "p").send(server)
    assert answer.status_code == 200, answer.text
    fragments = fragments_of(stored(server, ds).PixelData)
    assert len(fragments) > 2 and b"".join(fragments)[:len(frame)] == frame


@pytest.mark.parametrize("name", ["rtplan.dcm", "test-SR.dcm", "priv_SQ.dcm", "reportsi.dcm"])
def test_dcmtk_xml_by_itself(server, name, tmp_path):
    """Files without words in bytes: DCMTK 3.6.7 turns OW round before base64, which PS3.19 A.1.5 does not say."""
    ds = renamed(pydicom.dcmread(DATA / name))
    ds.SOPClassUID = ds.get("SOPClassUID") or pydicom.uid.CTImageStorage
    ds.save_as(tmp_path / "f.dcm")
    xml = subprocess.run(["dcm2xml", "-nat", "+Xn", "+U8", "+Eb", "+M", tmp_path / "f.dcm"], capture_output=True,
                         check=True).stdout
    answer = server.http.post(server.url("/studies"), data=xml, headers={"Content-Type": "application/dicom+xml"})
    assert answer.status_code == 200, answer.text
    same(stored(server, ds), pydicom.dcmread(tmp_path / "f.dcm"))


@pytest.mark.parametrize("kind", ["application/dicom+json", "application/dicom+xml"])
def test_our_own_metadata_and_bulk_data_make_the_same_instance(server, kind):
    """Text outside of ASCII, a private creator, an item, a value elsewhere inside of an item."""
    item = pydicom.Dataset()
    item.add_new(0x00091002, "OB", bytes(range(256)) * 300)
    item.add_new(0x00090010, "LO", "NX TEST")
    item.CodeMeaning = "größe"
    ds, data = slice_file(generate_uid(), generate_uid(), 1, rows=256, columns=256, PatientName="Müller^Eva=山田^太郎",
                          SpecificCharacterSet="ISO_IR 192", ConceptCodeSequence=[item])
    assert server.store([data]).status_code == 200
    accept = JSON if kind.endswith("json") else {"Accept": f'multipart/related; type="{kind}"'}
    answer = server.get(instance_path(ds) + "/metadata", headers=accept)
    metadata = answer.content if kind.endswith("json") else parts(answer)[0][1]
    uris = [part.split(b'"')[0].decode() for part in metadata.split(
        b'BulkDataURI":"' if kind.endswith("json") else b'<BulkData uri="')[1:]]
    assert len(uris) == 2
    request = Request(kind).part(kind, metadata)
    for uri in uris:
        request.part("application/octet-stream", server.http.get(uri).content, uri)
    answer = request.send(server, "/reject/studies")
    assert answer.status_code == 200, answer.text
    got = stored(server, ds, "/reject")
    same(got, ds)
    assert got.PixelData == ds.PixelData and got.ConceptCodeSequence[0][0x00091002].value == item[0x00091002].value


def test_every_vr(server):
    ds, _ = slice_file(generate_uid(), generate_uid(), 1)
    model = as_json(ds, {}, 1 << 30)
    exact = {
        "00080001": ("UL", [4294967295]), "00189461": ("FL", [1.5]), "00187041": ("LT", ["a\\b\r\nc"]),
        "00289001": ("UL", [0]), "00186020": ("SL", [-2147483648]), "00189219": ("SS", [-32768]),
        "00640003": ("UL", [7, 8]), "00081155": ("UI", ["1.2.3"]), "00400310": ("ST", ["text"]),
        "00280009": ("AT", ["00181063", "7FE00010"]), "00189073": ("FD", [1e-300]),
        "0008010C": ("UI", ["1.2"]), "00081190": ("UR", ["http://x/y?z=1"]), "00080119": ("UC", ["one", "two"]),
        "7FE00001": ("OV", None), "00720082": ("SV", [-9007199254740991]), "00720083": ("UV", ["18446744073709551615"]),
        "00101010": ("AS", ["045Y"]), "00080054": ("AE", ["ONE", "TWO"]), "0040A123": ("PN", [
            {"Alphabetic": "A^B", "Phonetic": "P"}, None, {"Ideographic": "山^田"}]),
        "00181310": ("US", [0, 65535, 0, 1]), "00080106": ("UI", []), "00280030": ("DS", [0.123456789012345678, None]),
        "00720078": ("UL", []), "00720072": ("DS", ["1.5"]), "00720064": ("IS", [1, -2])}
    for tag, (vr, value) in exact.items():
        model[tag] = {"vr": vr, "Value": value} if value is not None else {
            "vr": vr, "InlineBinary": base64.b64encode(bytes(16)).decode()}
    answer = server.http.post(server.url("/studies"), data=json.dumps(model, sort_keys=True),
                              headers={"Content-Type": "application/dicom+json"})
    assert answer.status_code == 200, answer.text
    (got,) = server.get(instance_path(ds) + "/metadata", headers=JSON).json()
    for tag, (vr, value) in exact.items():
        assert got[tag]["vr"] == vr
        if tag == "00280030":
            assert abs(got[tag]["Value"][0] - 0.12345678901234568) < 1e-14 and got[tag]["Value"][1] is None
        elif tag == "7FE00001":
            assert got[tag]["InlineBinary"] == model[tag]["InlineBinary"]
        else:
            want = [1.5] if tag == "00720072" else value
            want = [{k: v for k, v in w.items()} if isinstance(w, dict) else w for w in want]
            assert got[tag].get("Value", []) == want, tag


def small(**more):
    ds, _ = slice_file(generate_uid(), generate_uid(), 1, rows=8, columns=8)
    model = as_json(ds, {}, 1 << 30)
    model.update(more)
    return ds, model


def failures(answer):
    report = answer.json()
    return [values(one, "00081155")[0] for one in values(report, "00081198")] if "00081198" in report else []


def test_what_is_wrong_with_one_instance_is_told_of_that_one(server):
    good, good_model = small(**{"7FE00010": {"vr": "OW", "BulkDataURI": "good"}})
    missing, missing_model = small(**{"7FE00010": {"vr": "OW", "BulkDataURI": "never"}})
    twice, twice_model = small(**{"7FE00010": {"vr": "OW", "BulkDataURI": "good"}})
    number, number_model = small(**{"00280010": {"vr": "US", "Value": [70000]}})
    vr, vr_model = small(**{"00280010": {"vr": "XX", "Value": [7]}})
    both, both_model = small(**{"00080060": {"vr": "CS", "Value": ["CT"], "InlineBinary": "AA=="}})
    frames, frames_model = small(**{"7FE00010": {"vr": "OB", "BulkDataURI": "mixed"}})
    models = [good_model, missing_model, twice_model, number_model, vr_model, both_model, frames_model]
    answer = Request().part("application/dicom+json", json.dumps(models).encode()).part(
        "application/octet-stream", good.PixelData, "good").part("image/jp2", b"one", "mixed").part(
        "image/jls", b"two", "mixed").part("image/jls", b"three", "mixed").send(server)
    assert answer.status_code == 202, answer.text
    assert [values(one, "00081155")[0] for one in values(answer.json(), "00081199")] == [good.SOPInstanceUID]
    assert sorted(failures(answer)) == sorted(ds.SOPInstanceUID for ds in (missing, twice, number, vr, both, frames))
    assert "0008119A" not in answer.json()
    assert stored(server, good).PixelData == good.PixelData
    assert server.get(instance_path(missing)).status_code == 404


def test_a_part_that_nobody_named_is_a_failure_of_its_own(server):
    ds, model = small()
    answer = Request().part("application/dicom+json", json.dumps([model]).encode()).part(
        "application/octet-stream", b"abc", "stray").part("application/octet-stream", b"abc").send(server)
    assert answer.status_code == 202 and len(values(answer.json(), "0008119A")) == 2


@pytest.mark.parametrize("body,status", [
    (b"", 400), (b"[", 400), (b"[]", 400), (b"{}", 409), (b'[{"00080060": 1}]', 400), (b'[{"0008006": {}}]', 400),
    (b'[{"00080060": {"vr": "CS", "Value": ["a" "b"]}}]', 400), (b'[{"00080060":{"vr":"CS","Value":["\\ud800"]}}]', 400),
    (b"[" * 100000, 400), (b'{"00081140":{"vr":"SQ","Value":[' * 300, 413)], ids=range(10))
def test_what_is_no_model_is_refused_as_a_whole(server, body, status):
    answer = server.http.post(server.url("/studies"), data=body, headers={"Content-Type": "application/dicom+json"})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("body", [
    b"<NativeDicomModel>", b"<Other/>", b"", b"<NativeDicomModel><X/></NativeDicomModel>",
    b'<!DOCTYPE x [<!ENTITY a "aaaa">]><NativeDicomModel/>',
    b'<NativeDicomModel><DicomAttribute tag="0008" vr="CS"/></NativeDicomModel>'])
def test_what_is_no_xml_model_is_refused_as_a_whole(server, body):
    answer = server.http.post(server.url("/studies"), data=body, headers={"Content-Type": "application/dicom+xml"})
    assert answer.status_code == 400, answer.text


def test_another_study_than_the_path_and_no_permission(server):
    ds, model = small()
    body, head = json.dumps(model), {"Content-Type": "application/dicom+json"}
    assert server.http.post(server.url(f"/studies/{generate_uid()}"), data=body, headers=head).status_code == 409
    assert server.http.post(server.url("/studies"), data=body,
                            headers={**head, "X-Test-Role": "nobody"}).status_code == 403
    assert server.http.post(server.url("/nowhere/studies"), data=body, headers=head).status_code == 404
    assert server.http.post(server.url(f"/studies/{ds.StudyInstanceUID}"), data=body, headers=head).status_code == 200
