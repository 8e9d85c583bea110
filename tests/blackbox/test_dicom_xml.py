"""The Native DICOM Model (PS3.19 A.1) of metadata and query results; DCMTK's dcm2xml is the judge."""
import subprocess
from xml.etree import ElementTree

import pydicom
import pytest
from test_dicomweb import DATA, instance_path, parts, series_files, server  # noqa: F401

XML = 'multipart/related; type="application/dicom+xml"'
SPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def model(text):
    root = ElementTree.fromstring(text)
    assert root.tag == SPACE + "NativeDicomModel"
    return flat(root)


def number(text):
    try:
        return float(f"{float(text):.6g}")
    except (TypeError, ValueError):
        return (text or "").strip()


def flat(element):
    """{(tag, creator): (vr, values)}; bytes by where they are, not what."""
    out = {}
    for attribute in element:
        vr, values = attribute.get("vr"), {}
        for one in attribute:
            kind = one.tag.removeprefix(SPACE)
            if kind == "Item":
                values[int(one.get("number"))] = flat(one)
            elif kind == "PersonName":
                values[int(one.get("number"))] = {(group.tag, part.tag): part.text for group in one for part in group
                                                  if part.text}
            elif kind == "Value":
                values[int(one.get("number"))] = number(one.text)
            else:
                values["bytes"] = True
        values = {key: value for key, value in values.items() if value not in ("", {})}
        out[attribute.get("tag"), attribute.get("privateCreator")] = vr, values
    return out


def compared(values):
    """Without the meta group, which is in no metadata, the character set, which is UTF-8, the transfer syntax that it
    can be had in, which the archive says, padding at the end, and what is private without a creator: DCMTK takes its
    block away all the same."""
    return {(tag, creator): value for (tag, creator), value in values.items()
            if tag[:4] not in ("0002", "FFFC") and tag not in ("00080005", "00083002")
            and (creator or int(tag[3], 16) % 2 == 0)}


def dcmtk(path):
    return model(subprocess.run(["dcm2xml", "-nat", "+Xn", "+U8", path], capture_output=True, check=True).stdout)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "test-SR.dcm", "waveform_ecg.dcm",
                                  "JPEG2000.dcm", "priv_SQ.dcm", "liver_1frame.dcm", "reportsi.dcm"])
def test_metadata_is_what_dcmtk_makes_of_the_file(server, name):  # noqa: F811
    ds = pydicom.dcmread(DATA / name)
    if "SOPInstanceUID" not in ds or "StudyInstanceUID" not in ds:
        pytest.skip("no instance")
    assert server.store([(DATA / name).read_bytes()]).status_code == 200
    answer = server.get(instance_path(ds) + "/metadata", headers={"Accept": XML})
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith(XML)
    ((head, body),) = parts(answer)
    assert head == {"Content-Type": "application/dicom+xml"}
    got, want = compared(model(body)), compared(dcmtk(DATA / name))
    assert set(got) == set(want)
    for key, value in want.items():
        assert got[key] == value, key


def test_a_part_for_each_instance_and_result(server):  # noqa: F811
    made = series_files(30)
    server.store([data for _, data in made])
    ds = made[0][0]
    study = f"/studies/{ds.StudyInstanceUID}"
    answer = server.get(study + "/metadata", headers={"Accept": XML, "Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    got = [model(body) for _, body in parts(answer)]
    uid = ("00080018", None)
    assert [one[uid][1][1] for one in got] == [ds.SOPInstanceUID for ds, _ in made]
    pixels = got[0]["7FE00010", None]
    assert pixels == ("OW", {"bytes": True})
    json = server.get(study + "/metadata")
    assert json.headers["ETag"] != answer.headers["ETag"]
    assert server.get(study + "/metadata", headers={"Accept": XML, "Accept-Encoding": "gzip", "If-None-Match":
                                                    answer.headers["ETag"]}).status_code == 304
    found = [model(body) for _, body in parts(server.get(study + "/instances", headers={"Accept": XML}))]
    assert len(found) == 30 and {one[uid][1][1] for one in found} == {ds.SOPInstanceUID for ds, _ in made}
    (one,) = [model(body) for _, body in parts(server.get("/studies", headers={"Accept": XML}))]
    assert one["00100010", None][1][1] == {
        (SPACE + "Alphabetic", SPACE + "FamilyName"): "Muster", (SPACE + "Alphabetic", SPACE + "GivenName"): "Eva"}
    none = server.get("/studies", params={"PatientID": "nobody"}, headers={"Accept": XML})
    assert none.status_code == 204 and not none.content
    assert server.get("/studies", headers={"Accept": XML + ";q=0.1, application/json"}).json()
    head = server.http.head(server.url(study + "/metadata"), headers={"Accept": XML})
    assert head.status_code == 200 and head.headers["Content-Type"].startswith(XML)
