"""DICOMweb (PS3.18) from outside: the whole stack in one process, requests as the client, pydicom's real files."""
import ctypes
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import select
import subprocess
import time
import uuid

import pydicom
import pytest
import requests
from test_dicom_json import differences
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SERVE = os.environ.get("NX_DICOMWEB_SERVE")
if not SERVE:
    pytest.skip("NX_DICOMWEB_SERVE does not name the server", allow_module_level=True)
DATA = pathlib.Path("/usr/lib/python3/dist-packages/pydicom/data/test_files")
JSON = {"Accept": "application/dicom+json"}


class Server:
    def __init__(self, directory):
        self.process = subprocess.Popen([SERVE, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert select.select([self.process.stdout], [], [], 60)[0]
        self.root = f"http://127.0.0.1:{int(self.process.stdout.readline())}/dicom-web"
        self.http = requests.Session()

    def url(self, path):
        return self.root + path

    def get(self, path, **kw):
        return self.http.get(self.url(path), timeout=60, **kw)

    def find(self, path, **params):
        answer = self.get(path, params=params, headers=JSON)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "application/dicom+json"
        return answer.json()

    def store(self, files, path="/studies", content_type="application/dicom", **headers):
        boundary = uuid.uuid4().hex
        body = b"".join(
            b"--%s\r\nContent-Type: %s\r\n\r\n%s\r\n" % (boundary.encode(), content_type.encode(), data)
            for data in files) + b"--%s--\r\n" % boundary.encode()
        head = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}', **headers}
        return self.http.post(self.url(path), data=body, headers=head, timeout=60)

    def stop(self):
        self.http.close()
        self.process.stdin.close()
        return self.process.wait(60)


@pytest.fixture
def server(tmp_path):
    one = Server(tmp_path)
    yield one
    assert one.stop() == 0


def parts(answer):
    """[(headers, bytes)] of a multipart/related answer."""
    kind = answer.headers["Content-Type"]
    boundary = re.search(r'boundary="?([^";]+)', kind).group(1).encode()
    assert kind.startswith("multipart/related")
    body = b"\r\n" + answer.content
    pieces = body.split(b"\r\n--" + boundary)
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n"
    out = []
    for piece in pieces[1:-1]:
        head, data = piece[2:].split(b"\r\n\r\n", 1)
        out.append((dict(line.split(": ", 1) for line in head.decode().split("\r\n")), data))
    return out


def slice_file(study, series, number, rows=64, columns=64, **more):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.InstanceNumber = study, series, number
    ds.PatientID, ds.PatientName, ds.StudyDate = "P1", "Muster^Eva", "20240131"
    ds.StudyTime, ds.AccessionNumber, ds.Modality, ds.SeriesNumber = "101500", "A-1", "CT", 3
    ds.StudyID, ds.PatientSex, ds.PatientBirthDate, ds.ReferringPhysicianName = "S1", "F", "19700101", "Doc^A"
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit = rows, columns, 16, 12, 11
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.ImagePositionPatient = [0, 0, number]
    ds.PixelData = hashlib.sha256(str(number).encode()).digest() * (rows * columns * 2 // 32)
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    ds.is_little_endian, ds.is_implicit_VR = True, False
    out = io.BytesIO()
    ds.save_as(out, write_like_original=False)
    return ds, out.getvalue()


def series_files(n, **more):
    study, series = generate_uid(), generate_uid()
    return [slice_file(study, series, i + 1, **more) for i in range(n)]


def instance_path(ds):
    return f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"


def values(answer, tag):
    return answer[tag]["Value"]


# ---- storing ----


def test_stored_files_come_back_byte_for_byte(server):
    made = series_files(5, rows=256, columns=256)
    answer = server.store([data for _, data in made])
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/dicom+json"
    report = answer.json()
    assert "00081198" not in report and "0008119A" not in report
    stored = values(report, "00081199")
    assert [values(item, "00081155")[0] for item in stored] == [ds.SOPInstanceUID for ds, _ in made]
    assert values(report, "00081190") == [server.url(f"/studies/{made[0][0].StudyInstanceUID}")]
    for item, (_, data) in zip(stored, made):
        got = requests.get(values(item, "00081190")[0], headers={"Accept": "application/dicom"}, timeout=60)
        assert got.status_code == 200 and got.content == data
    study = server.get(f"/studies/{made[0][0].StudyInstanceUID}")
    assert study.status_code == 200 and int(study.headers["Content-Length"]) == len(study.content)
    got = parts(study)
    assert [data for _, data in got] == [data for _, data in made]
    assert got[0][0]["Content-Type"] == f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
    assert got[0][0]["Content-Location"] == values(stored[0], "00081190")[0]


def test_more_instances_than_the_window(server):
    made = series_files(150)
    answer = server.store([data for _, data in made])
    assert answer.status_code == 200
    assert len(values(answer.json(), "00081199")) == 150
    ds = made[0][0]
    got = parts(server.get(f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"))
    assert [data for _, data in got] == [data for _, data in made]


def test_one_file_as_the_whole_body(server):
    ds, data = series_files(1)[0]
    answer = server.http.post(server.url("/studies"), data=data, headers={"Content-Type": "application/dicom"})
    assert answer.status_code == 200, answer.text
    assert server.get(instance_path(ds), headers={"Accept": "application/dicom"}).content == data


def test_a_body_in_chunks(server):
    ds, data = series_files(1, rows=512, columns=512)[0]
    body = b'--b\r\nContent-Type: application/dicom\r\n\r\n' + data + b'\r\n--b--'
    pieces = (body[i:i + 777] for i in range(0, len(body), 777))
    answer = server.http.post(server.url("/studies"), data=pieces, timeout=60,
                              headers={"Content-Type": "multipart/related; type=application/dicom; boundary=b"})
    assert answer.status_code == 200, answer.text
    assert server.get(instance_path(ds), headers={"Accept": "application/dicom"}).content == data


def test_partial_failure_names_each_instance(server):
    good, bad, other = series_files(1)[0], series_files(1)[0], b"this is no DICOM"
    broken = bad[1][:-100]
    answer = server.store([broken, good[1], other])
    assert answer.status_code == 202, answer.text
    report = answer.json()
    assert [values(item, "00081155")[0] for item in values(report, "00081199")] == [good[0].SOPInstanceUID]
    assert [values(item, "00081155")[0] for item in values(report, "00081198")] == [bad[0].SOPInstanceUID]
    reasons = [values(item, "00081197")[0] for tag in ("00081198", "0008119A") for item in report.get(tag, {}).get(
        "Value", [])]
    assert len(reasons) == 2 and all(reason >= 0xA700 or reason in (0x0110, 0x0122) for reason in reasons)
    assert server.get(instance_path(bad[0])).status_code == 404


def test_all_failed_is_409(server):
    answer = server.store([b"no", b"DICOM"])
    assert answer.status_code == 409
    assert "00081199" not in answer.json() and len(values(answer.json(), "0008119A")) == 2


def test_another_study_than_the_path_is_refused(server):
    one, two = series_files(1)[0], series_files(1)[0]
    answer = server.store([one[1], two[1]], path=f"/studies/{one[0].StudyInstanceUID}")
    assert answer.status_code == 202
    failed = values(answer.json(), "00081198")
    assert [values(item, "00081155")[0] for item in failed] == [two[0].SOPInstanceUID]
    assert values(failed[0], "00081197") == [0xA900]
    assert server.store([one[1]], path="/studies/no-uid").status_code == 400


def test_the_same_again_is_stored_once(server):
    ds, data = series_files(1)[0]
    assert server.store([data, data]).status_code == 200
    assert server.store([data]).status_code == 200
    assert len(server.find(f"/studies/{ds.StudyInstanceUID}/instances")) == 1


def test_other_bytes_under_the_same_uid(server):
    ds, data = series_files(1)[0]
    changed = data.replace(b"Muster^Eva", b"Muster^Ada")
    assert server.store([data], path="/reject/studies").status_code == 200
    answer = server.store([changed], path="/reject/studies")
    assert answer.status_code == 409
    assert values(values(answer.json(), "00081198")[0], "00081197") == [0x0111]
    assert server.get("/reject" + instance_path(ds), headers={"Accept": "application/dicom"}).content == data
    assert server.store([data]).status_code == 200 and server.store([changed]).status_code == 200
    assert server.get(instance_path(ds), headers={"Accept": "application/dicom"}).content == changed


def test_what_stow_refuses_as_a_whole(server):
    data = series_files(1)[0][1]
    multi = {"Content-Type": "multipart/related; type=application/dicom; boundary=b"}
    part = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data
    post = lambda body, headers: server.http.post(server.url("/studies"), data=body, headers=headers).status_code
    assert post(data, {"Content-Type": "image/jpeg"}) == 415
    assert post(data, {}) == 415
    assert post(part, multi) == 400  # the boundary never comes
    assert post(b"--b--\r\n", multi) == 400
    assert post(part + b"\r\n--b\r\nContent-Ty", multi) == 202  # the first had its end
    assert server.store([data], content_type="image/jpeg").status_code == 409
    assert server.store([data], path="/nowhere/studies").status_code == 404
    assert server.store([data], **{"X-Test-Role": "nobody"}).status_code == 403


# ---- searching ----


def test_studies_have_what_ps3_18_requires(server):
    made = series_files(3)
    server.store([data for _, data in made])
    ds = made[0][0]
    (study,) = server.find("/studies")
    assert values(study, "0020000D") == [ds.StudyInstanceUID]
    assert values(study, "00080020") == ["20240131"] and values(study, "00080030") == ["101500"]
    assert values(study, "00080061") == ["CT"] and study["00080061"]["vr"] == "CS"
    assert values(study, "00100010") == [{"Alphabetic": "Muster^Eva"}]
    assert values(study, "00080090") == [{"Alphabetic": "Doc^A"}]
    assert values(study, "00201206") == [1] and values(study, "00201208") == [3]
    assert values(study, "00080056") == ["ONLINE"]
    assert values(study, "00081190") == [server.url(f"/studies/{ds.StudyInstanceUID}")]
    for tag in ("00080050", "00100020", "00200010", "00100030", "00100040"):
        assert values(study, tag)
    (series,) = server.find(f"/studies/{ds.StudyInstanceUID}/series")
    assert values(series, "00080060") == ["CT"] and values(series, "00200011") == [3]
    assert values(series, "00201209") == [3] and values(series, "0020000E") == [ds.SeriesInstanceUID]
    assert "00100010" not in series
    instances = server.find(f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances")
    assert [values(one, "00200013") for one in instances] == [[1], [2], [3]]
    assert values(instances[0], "00280010") == [64] and values(instances[0], "00080016") == [CTImageStorage]
    assert values(instances[2], "00081190") == [server.url(instance_path(made[2][0]))]


def test_matching(server):
    study, series = generate_uid(), generate_uid()
    one = slice_file(study, series, 1)
    two = slice_file(generate_uid(), generate_uid(), 1, PatientName="Ödön^Kovács", PatientID="P2", StudyDate="20230101",
                     Modality="MR", SpecificCharacterSet="ISO_IR 192")
    assert server.store([one[1], two[1]]).status_code == 200
    uid = lambda found: sorted(values(item, "0020000D")[0] for item in found)
    all_of = sorted([study, two[0].StudyInstanceUID])
    assert uid(server.find("/studies")) == all_of
    for params in ({"PatientID": "P1"}, {"00100020": "P1"}, {"PatientName": "MUSTER*"}, {"PatientName": "muster^?va"},
                   {"StudyDate": "20240101-20241231"}, {"StudyDate": "20240131-"}, {"ModalitiesInStudy": "CT"},
                   {"StudyInstanceUID": study}, {"0020000d": study}, {"AccessionNumber": "A-1", "PatientID": "P1"},
                   {"PatientName": "eva must", "fuzzymatching": "true"}):
        assert uid(server.find("/studies", **params)) == [study], params
    for params in ({"StudyInstanceUID": ",".join(all_of)}, {"StudyInstanceUID": "\\".join(all_of)},
                   {"ModalitiesInStudy": "CT,MR"}, {"PatientID": "P?"}, {"PatientID": ""}, {"StudyDate": "2023-" and
                    "20230101-20240131"}):
        assert uid(server.find("/studies", **params)) == all_of, params
    assert uid(server.find("/studies", PatientName="odon*")) == [two[0].StudyInstanceUID]
    assert server.find("/studies", PatientID="nobody") == []
    found = server.find("/series", Modality="MR")
    assert uid(found) == [two[0].StudyInstanceUID] and values(found[0], "00100020") == ["P2"]
    found = server.find("/instances", SOPInstanceUID=one[0].SOPInstanceUID)
    assert uid(found) == [study] and values(found[0], "00080060") == ["CT"]
    found = server.find(f"/studies/{study}/series", includefield="PatientName")
    assert values(found[0], "00100010") == [{"Alphabetic": "Muster^Eva"}]
    assert "00100010" in server.find(f"/studies/{study}/instances", includefield="all")[0]


def test_paging_and_warnings(server):
    made = series_files(7)
    server.store([data for _, data in made])
    numbers = []
    for offset in (0, 3, 6):
        answer = server.get("/instances", params={"limit": 3, "offset": offset}, headers=JSON)
        numbers += [values(item, "00200013")[0] for item in answer.json()]
        assert ("Warning" in answer.headers) == (offset < 6)
        if offset < 6:
            assert answer.headers["Warning"].startswith("299 " + server.root)
    assert numbers == [1, 2, 3, 4, 5, 6, 7]
    answer = server.get("/studies", params={"RequestAttributesSequence.RequestedProcedureID": "1", "Nonsense": "x"})
    assert len(answer.json()) == 1
    assert "RequestedProcedureID, Nonsense" in answer.headers["Warning"]
    for bad in ({"limit": "x"}, {"limit": "-1"}, {"offset": "99999999999"}, {"StudyDate": "last week"},
                {"includefield": "NoSuchThing"}):
        assert server.get("/studies", params=bad).status_code == 400, bad
    assert server.get("/studies/x/series").status_code == 400
    assert server.get("/nowhere/studies").status_code == 404
    assert server.get("/studies", headers={"X-Test-Role": "nobody"}).status_code == 403
    assert server.get("/studies", headers={"Accept": "text/html"}).status_code == 406


# ---- retrieving ----


@pytest.mark.parametrize("accept, want", [
    (None, "multipart"), ("*/*", "multipart"), ("", "multipart"),
    ("multipart/related; type=application/dicom", "multipart"),
    ('multipart/related; type="application/dicom"; transfer-syntax=*', "multipart"),
    ('multipart/related;type="application/dicom";transfer-syntax="*"', "multipart"),
    (f'multipart/related; type="application/dicom"; transfer-syntax={ExplicitVRLittleEndian}', "multipart"),
    ('multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50', None),
    ('multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50, '
     'multipart/related; type="application/dicom"', "multipart"),
    ("image/jpeg, */*;q=0.1", "multipart"), ("application/dicom", "single"),
    ("application/dicom; transfer-syntax=*", "single"), ("multipart/related", "multipart"),
    ("application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50", None), ("image/jpeg", None), ("text/html", None),
    ('multipart/related; type="application/octet-stream"', None),
])
def test_accept(server, accept, want):
    ds, data = series_files(1)[0]
    server.store([data])
    answer = server.get(instance_path(ds), headers={"Accept": accept})
    assert answer.status_code == (200 if want else 406)
    if want == "single":
        assert answer.headers["Content-Type"].startswith("application/dicom") and answer.content == data
    elif want:
        assert parts(answer)[0][1] == data


def test_a_study_of_several_transfer_syntaxes(server):
    files = [DATA / "JPEG2000.dcm", DATA / "CT_small.dcm"]
    assert server.store([file.read_bytes() for file in files]).status_code == 200
    ds = pydicom.dcmread(files[0])
    path = f"/studies/{ds.StudyInstanceUID}"
    assert server.get(path, headers={"Accept": "multipart/related; type=application/dicom; transfer-syntax=1.2"}
                      ).status_code == 406
    assert parts(server.get(path))[0][0]["Content-Type"].endswith(ds.file_meta.TransferSyntaxUID)
    many = series_files(2)
    server.store([data for _, data in many])
    assert server.get(f"/studies/{many[0][0].StudyInstanceUID}", headers={"Accept": "application/dicom"}
                      ).status_code == 406


def test_ranges_and_conditions(server):
    ds, data = series_files(1, rows=256, columns=256)[0]
    server.store([data])
    path, single = instance_path(ds), {"Accept": "application/dicom"}
    whole = server.get(path, headers=single)
    etag = whole.headers["ETag"]
    assert re.fullmatch(r'"[0-9a-f]{64}"', etag) and whole.headers["Accept-Ranges"] == "bytes"
    end_of = len(data)
    for text, start, end in (("bytes=0-99", 0, 100), ("bytes=1000-", 1000, end_of), ("bytes=-7", end_of - 7, end_of)):
        got = server.get(path, headers={**single, "Range": text})
        assert got.status_code == 206 and got.content == data[start:end]
        assert got.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(data)}"
        assert server.get(path, headers={**single, "Range": text, "If-Range": etag}).status_code == 206
        assert server.get(path, headers={**single, "Range": text, "If-Range": '"other"'}).status_code == 200
    got = server.get(path, headers={**single, "Range": f"bytes={len(data)}-"})
    assert got.status_code == 416 and got.headers["Content-Range"] == f"bytes */{len(data)}"
    for known in (etag, f'"x", W/{etag}', "*"):
        got = server.get(path, headers={**single, "If-None-Match": known})
        assert got.status_code == 304 and not got.content and got.headers["ETag"] == etag
    assert server.get(path, headers={**single, "If-None-Match": '"x"'}).status_code == 200
    meta = server.get(path + "/metadata")
    assert meta.headers["ETag"] != etag
    assert server.get(path + "/metadata", headers={"If-None-Match": meta.headers["ETag"]}).status_code == 304
    head = server.http.head(server.url(path), headers=single)
    assert head.status_code == 200 and int(head.headers["Content-Length"]) == len(data) and not head.content


@pytest.mark.parametrize("name", ["image_dfl.dcm", "JPEG2000.dcm", "CT_small.dcm", "waveform_ecg.dcm", "liver_1frame.dcm"])
def test_every_bulk_data_uri_leads_to_its_value(server, name):
    ds = pydicom.dcmread(DATA / name)
    assert server.store([(DATA / name).read_bytes()]).status_code == 200
    (meta,) = server.get(instance_path(ds) + "/metadata").json()
    found = 0

    def walk(json_set, dicom_set):
        nonlocal found
        for tag, attribute in json_set.items():
            if "BulkDataURI" in attribute:
                found += 1
                want = dicom_set[int(tag, 16)].value
                got = server.http.get(attribute["BulkDataURI"])
                assert got.status_code == 200, got.text
                end = b"\xfe\xff\xdd\xe0\0\0\0\0"
                assert got.content in (want, want + end)
                assert server.http.get(attribute["BulkDataURI"], headers={"Range": "bytes=2-5"}).content == want[2:6]
                (part,) = parts(server.http.get(
                    attribute["BulkDataURI"], headers={"Accept": 'multipart/related; type="application/octet-stream"'}))
                assert part[1] == got.content and part[0]["Content-Location"] == attribute["BulkDataURI"]
                other = attribute["BulkDataURI"].rsplit("-", 1)[0] + "-99999999999"
                assert server.http.get(other).status_code == 404
            for one, item in zip(attribute.get("Value", []) if attribute["vr"] == "SQ" else [],
                                 dicom_set[int(tag, 16)].value if attribute["vr"] == "SQ" else []):
                walk(one, item)

    walk(meta, ds)
    assert found


def test_what_is_deleted_is_in_no_answer(server):
    made = series_files(5)
    server.store([data for _, data in made])
    study, series = made[0][0].StudyInstanceUID, made[0][0].SeriesInstanceUID
    other = slice_file(study, generate_uid(), 1)
    server.store([other[1]])
    delete = lambda path, **headers: server.http.delete(server.url(path), headers=headers)
    counts = lambda: [(values(one, "00201206"), values(one, "00201208")) for one in server.find("/studies")]
    assert counts() == [([2], [6])]
    path = instance_path(made[1][0])
    assert delete(path, **{"X-Test-Role": "reader"}).status_code == 403
    assert server.get(path).status_code == 200
    gone = delete(path)
    assert gone.status_code == 204 and not gone.content
    for after in ("", "/metadata", "/frames/1"):
        assert server.get(path + after).status_code == 404
    assert delete(path).status_code == 404
    assert counts() == [([2], [5])]
    assert len(server.find(f"/studies/{study}/series/{series}/instances")) == 4
    assert len(parts(server.get(f"/studies/{study}"))) == 5
    assert len(server.get(f"/studies/{study}/metadata").json()) == 5
    assert delete(f"/studies/{study}/series/{series}").status_code == 204
    assert counts() == [([1], [1])]
    assert [values(one, "0020000E") for one in server.find(f"/studies/{study}/series")] == [
        [other[0].SeriesInstanceUID]]
    assert delete(f"/studies/{study}").status_code == 204
    assert server.find("/studies") == [] and server.find("/instances") == []
    assert delete(f"/studies/{study}").status_code == 404
    assert delete("/studies/x").status_code == 400
    # What is sent again is there again, with other bytes too, in the counters as well.
    changed = made[1][1].replace(b"Muster^Eva", b"Muster^Ada")
    assert server.store([made[0][1], changed]).status_code == 200
    assert counts() == [([1], [2])]
    assert server.get(path, headers={"Accept": "application/dicom"}).content == changed
    assert server.get(instance_path(made[0][0]), headers={"Accept": "application/dicom"}).content == made[0][1]


def test_a_version_goes_with_its_instance(server):
    ds, data = series_files(1)[0]
    changed = data.replace(b"Muster^Eva", b"Muster^Ada")
    assert server.store([data]).status_code == 200 and server.store([changed]).status_code == 200
    assert server.http.delete(server.url(instance_path(ds))).status_code == 204
    assert server.get(instance_path(ds)).status_code == 404 and server.find("/instances") == []
    assert server.store([data]).status_code == 200
    assert server.get(instance_path(ds), headers={"Accept": "application/dicom"}).content == data


def test_wado_uri(server):
    ds, data = series_files(1)[0]
    server.store([data])
    named = {"requestType": "WADO", "studyUID": ds.StudyInstanceUID, "seriesUID": ds.SeriesInstanceUID,
             "objectUID": ds.SOPInstanceUID}
    get = lambda headers=None, **params: server.get("/wado", params={**named, **params}, headers=headers)
    whole = get(contentType="application/dicom")
    assert whole.status_code == 200 and whole.content == data
    assert whole.headers["Content-Type"] == f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
    assert pydicom.dcmread(io.BytesIO(whole.content)).SOPInstanceUID == ds.SOPInstanceUID
    for kind in ({}, {"contentType": "image/jpeg,application/dicom;q=0.5"}):  # by itself, an image is JPEG
        assert get(**kind).headers["Content-Type"] == "image/jpeg" and get(**kind).content[:2] == b"\xff\xd8"
    assert get(contentType="application/dicom", transferSyntax=ExplicitVRLittleEndian).content == data
    assert get(contentType="application/dicom", headers={"Range": "bytes=128-131"}).content == b"DICM"
    known = {"If-None-Match": whole.headers["ETag"]}
    assert get(contentType="application/dicom", headers=known).status_code == 304
    assert get(headers={"Accept": "text/html"}).status_code == 406
    assert get(contentType="application/dicom", rows="64").status_code == 406
    assert get(presentationUID="1.2").status_code == 400 and get(rows="x").status_code == 400
    assert get(contentType="application/dicom", transferSyntax="1.2.840.10008.1.2.4.50").status_code == 406
    assert get(anonymize="yes").status_code == 406
    assert get(requestType="MADO").status_code == 400 and get(objectUID="x").status_code == 400
    for missing in named:
        params = {key: value for key, value in named.items() if key != missing}
        assert server.get("/wado", params=params).status_code == 400, missing
    assert get(objectUID=generate_uid()).status_code == 404 and get(studyUID=generate_uid()).status_code == 404
    assert server.get("/reject/wado", params=named).status_code == 404
    assert get(headers={"X-Test-Role": "nobody"}).status_code == 403


def unzstd(data):
    """By the library itself, as a receiver would."""
    lib = ctypes.CDLL("libzstd.so.1")
    lib.ZSTD_decompress.restype = ctypes.c_size_t
    lib.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    out = ctypes.create_string_buffer(64 << 20)
    n = lib.ZSTD_decompress(out, len(out), data, len(data))
    return out.raw[:n]


def test_metadata_and_results_are_compressed_for_who_asks(server):
    made = series_files(40)
    server.store([data for _, data in made])
    ds = made[0][0]
    for path in (f"/studies/{ds.StudyInstanceUID}/metadata", f"/studies/{ds.StudyInstanceUID}/instances"):
        plain = server.get(path, headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers
        for coding, decode in (("gzip", gzip.decompress), ("zstd", unzstd)):
            coded = server.get(path, headers={"Accept-Encoding": coding}, stream=True)
            assert coded.status_code == 200 and coded.headers["Content-Encoding"] == coding
            assert "Accept-Encoding" in coded.headers["Vary"] and "Accept" in coded.headers["Vary"]
            body = coded.raw.read(decode_content=False)
            assert decode(body) == plain.content and len(body) < len(plain.content) / 3
            assert coded.headers.get("ETag", "a") != plain.headers.get("ETag", "b")
            head = server.http.head(server.url(path), headers={"Accept-Encoding": coding})
            assert head.status_code == 200 and head.headers["Content-Encoding"] == coding and not head.content
            if "ETag" in coded.headers:
                known = {"Accept-Encoding": coding, "If-None-Match": coded.headers["ETag"]}
                got = server.get(path, headers=known)
                assert got.status_code == 304 and "Content-Encoding" not in got.headers
    whole = server.get(instance_path(ds), headers={"Accept": "application/dicom", "Accept-Encoding": "gzip, zstd"})
    assert "Content-Encoding" not in whole.headers and whole.content == made[0][1]


def test_only_the_client_keeps_patient_data(server):
    ds, data = series_files(1)[0]
    server.store([data])
    for path in (instance_path(ds), instance_path(ds) + "/metadata"):
        got = server.get(path)
        assert got.headers["Cache-Control"] == "private, no-cache"
        since = {"If-Modified-Since": got.headers["Last-Modified"]}
        again = server.get(path, headers=since)
        assert again.status_code == 304 and again.headers["Cache-Control"] == "private, no-cache"
        assert server.get(path, headers={**since, "If-None-Match": '"other"'}).status_code == 200
        assert server.get(path, headers={"If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}).status_code == 200
        assert server.get(path, headers={"If-Modified-Since": "yesterday"}).status_code == 200
    for path in ("/studies", "/studies/1.2.3", "/nowhere/studies"):
        assert server.get(path).headers["Cache-Control"] == "no-store"


def test_pages_of_listed_origins_may_ask(server):
    ds, data = series_files(1)[0]
    server.store([data])
    origin = "https://viewer.example.org:8443"
    asks = {"Origin": origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    for path in ("/studies", instance_path(ds)):
        preflight = server.http.options(server.url(path), headers={**asks, "X-Test-Role": "nobody"})
        assert preflight.status_code == 204 and not preflight.content
        assert preflight.headers["Access-Control-Allow-Origin"] == origin
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        assert "DELETE" in preflight.headers["Access-Control-Allow-Methods"]
        got = server.get(path, headers={"Origin": origin})
        assert got.status_code == 200 and got.headers["Access-Control-Allow-Origin"] == origin
        assert "ETag" in got.headers["Access-Control-Expose-Headers"] and "Origin" in got.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in got.headers
        other = server.get(path, headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in other.headers and "Origin" in other.headers["Vary"]
        refused = server.get(path, headers={"Origin": origin, "X-Test-Role": "nobody"})
        assert refused.status_code == 403 and refused.headers["Access-Control-Allow-Origin"] == origin
    plain = server.http.options(server.url(instance_path(ds)), headers={**asks, "Origin": "null"})
    assert not [name for name in plain.headers if name.startswith("Access-Control")]
    assert server.http.options(server.url("/"), headers={"Origin": origin}).status_code == 200


def test_bulk_data_where_metadata_says(server):
    ds, data = series_files(1, rows=256, columns=256)[0]
    server.store([data])
    (meta,) = server.get(instance_path(ds) + "/metadata").json()
    uri = meta["7FE00010"]["BulkDataURI"]
    assert uri.startswith(server.url(instance_path(ds)) + "/bulkdata/")
    get = lambda url=uri, **headers: server.http.get(url, headers=headers)
    plain = get()
    assert plain.status_code == 200 and plain.headers["Content-Type"] == "application/octet-stream"
    assert plain.content == ds.PixelData
    part = get(Range="bytes=32-63")
    assert part.status_code == 206 and part.content == ds.PixelData[32:64]
    assert part.headers["Content-Range"] == f"bytes 32-63/{len(ds.PixelData)}"
    for accept in ('multipart/related; type="application/octet-stream"',
                   "multipart/related; type=application/octet-stream; transfer-syntax=*"):
        ((head, body),) = parts(get(Accept=accept))
        assert body == ds.PixelData and head["Content-Location"] == uri
    assert get(**{"If-None-Match": plain.headers["ETag"]}).status_code == 304
    assert get(Accept="image/jpeg").status_code == 406
    base = uri.rsplit("/", 1)[0]
    for bad in ("0-0", "0", "x-1", "1-x", f"1-{len(data)}", f"{2**64 - 1}-2", "99999999999999999999-1", "1-1-1"):
        assert get(f"{base}/{bad}").status_code == 404, bad


def test_what_is_not_there(server):
    ds, data = series_files(1)[0]
    server.store([data])
    uid = generate_uid()
    for path in (f"/studies/{uid}", f"/studies/{ds.StudyInstanceUID}/series/{uid}", f"/studies/{uid}/metadata",
                 instance_path(ds)[:-len(ds.SOPInstanceUID)] + uid, "/nowhere" + instance_path(ds)):
        assert server.get(path).status_code == 404, path
    assert server.get("/reject" + instance_path(ds)).status_code == 404  # in another collection
    assert server.get("/studies/*").status_code == 400
    assert server.get(instance_path(ds), headers={"X-Test-Role": "nobody"}).status_code == 403


def test_capabilities(server):
    for method in ("GET", "OPTIONS"):
        for path in ("", "/", "/reject", "/reject/"):
            answer = server.http.request(method, server.url(path))
            assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/vnd.sun.wadl+xml"
            assert '<resource path="studies/{study}">' in answer.text
    rows = server.get("/", headers={"Accept": "application/json"}).json()["routes"]
    assert {"method": "POST", "path": "/studies", "summary": "Store instances"} in rows


@pytest.mark.parametrize("path,allow", [
    ("/studies", "GET, HEAD, POST, OPTIONS"), ("/reject/studies", "GET, HEAD, POST, OPTIONS"),
    ("/studies/1.2", "GET, HEAD, POST, DELETE, OPTIONS"), ("/studies/1.2/metadata", "GET, HEAD, OPTIONS")])
def test_options_of_a_resource(server, path, allow):
    """Without a page of another origin it is a plain question (RFC 9110 9.3.7); "studies" is no collection."""
    answer = server.http.options(server.url(path), timeout=60)
    assert answer.status_code == 204 and answer.headers["Allow"] == allow and answer.content == b""
    assert server.http.options(server.url(path + "/nothing/there/is"), timeout=60).status_code == 404


def test_a_bad_host_is_in_no_url(server):
    assert server.get("/studies", headers={"Host": 'a"b'}).status_code == 400


# ---- real files ----


def real_files():
    return sorted(path for path in DATA.rglob("*.dcm"))


def test_real_files(server):
    """Every file is taken and given back, or refused with a reason; metadata says what pydicom says."""
    taken = 0
    for path in real_files():
        data = path.read_bytes()
        answer = server.store([data])
        assert answer.status_code in (200, 409), (path, answer.text)
        if answer.status_code == 409:
            assert answer.json().keys() <= {"00081198", "0008119A"}
            continue
        taken += 1
        url = values(values(answer.json(), "00081199")[0], "00081190")[0]
        got = server.http.get(url, headers={"Accept": "application/dicom"})
        assert got.status_code == 200 and got.content == data, path
        (meta,) = server.http.get(url + "/metadata", headers=JSON).json()
        assert meta["00080018"]["Value"] == [url.rsplit("/", 1)[1]]
        theirs = {key: value for key, value in pydicom.dcmread(path, force=True).to_json_dict(
            suppress_invalid_tags=True).items()}
        (syntax,) = meta.pop("00083002")["Value"]
        assert got.headers["Content-Type"] == f"application/dicom; transfer-syntax={syntax}", path
        assert list(differences(meta, theirs)) == [], path
    assert taken > 50


def test_metadata_of_a_large_series(server):
    made = series_files(600, rows=8, columns=8)
    assert server.store([data for _, data in made]).status_code == 200
    ds = made[0][0]
    path = f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/metadata"
    times = []
    for _ in range(5):
        start = time.perf_counter()
        answer = server.get(path)
        times.append(time.perf_counter() - start)
    assert [one["00080018"]["Value"][0] for one in answer.json()] == [one.SOPInstanceUID for one, _ in made]
    print(f"metadata of 600 slices: best {min(times) * 1000:.1f} ms, {len(answer.content)} bytes")
    print(json.dumps({"metric": "metadata_600_ms", "value": round(min(times) * 1000, 1)}))
