"""Storage commitment over the web (PS3.18 13): asked in JSON and XML, kept over a kill, and not over an erasure."""
import json
import time
from xml.etree import ElementTree

import pytest
from pydicom.uid import generate_uid
from testenv import Narthex, phantom
from test_changes import SHARED, uids

PLAN = phantom.Plan(instances=6, slices=3, series=1, rows=8, columns=8)
CT = "1.2.840.10008.5.1.4.1.1.2"
JSON = {"Content-Type": "application/dicom+json"}
SPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


@pytest.fixture(scope="module")
def made():
    return list(phantom.instances(PLAN))


@pytest.fixture(scope="module")
def site(tmp_path_factory, made):
    with Narthex(tmp_path_factory.mktemp("commitment") / "nx") as one:
        body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + i.data + b"\r\n" for i in made) + b"--b--\r\n"
        assert one.session().post(one.url("/dicom-web/studies"), data=body, headers=SHARED, timeout=60).ok
        yield one


def request(refs):
    return {"00081199": {"vr": "SQ", "Value": [
        {"00081150": {"vr": "UI", "Value": [sop_class]}, "00081155": {"vr": "UI", "Value": [uid]}}
        for sop_class, uid in refs]}}


def ask(site, transaction, refs, **headers):
    return site.session().post(site.url(f"/dicom-web/commitment-requests/{transaction}"), timeout=120,
                               data=json.dumps(request(refs)), headers={**JSON, **headers})


def check(site, transaction, **headers):
    return site.session().get(site.url(f"/dicom-web/commitment-requests/{transaction}"), timeout=60, headers=headers)


def told(answer):
    assert answer.status_code == 200, answer.text
    result = answer.json()
    items = lambda tag: result.get(tag, {}).get("Value", [])
    held = [one["00081155"]["Value"][0] for one in items("00081199")]
    failed = {one["00081155"].get("Value", [""])[0]: one["00081197"]["Value"][0] for one in items("00081198")}
    return held, failed


def test_the_result_comes_with_the_answer_and_is_kept(site, made):
    here = [uids(one.data)[2] for one in made]
    missing, transaction = generate_uid(), generate_uid()
    refs = [(CT, uid) for uid in here[:3]] + [(CT, missing), ("1.2.840.10008.5.1.4.1.1.4", here[3]), (CT, here[0])]
    answer = ask(site, transaction, refs)
    assert told(answer) == (here[:3] + [here[0]], {missing: 0x0112, here[3]: 0x0119})
    assert answer.json()["00081195"]["Value"] == [transaction]
    assert check(site, transaction).json() == answer.json()
    site.kill()
    site.start()
    assert check(site, transaction).json() == answer.json()
    assert ask(site, transaction, refs).status_code == 409
    assert check(site, generate_uid()).status_code == 404
    found = json.loads(site.cli("ledger", "search", "--action", "commitment", "--json", "--site", site.site))
    assert found["entries"]


def test_in_xml(site, made):
    uid, transaction = uids(made[0].data)[2], generate_uid()
    attribute = "<DicomAttribute tag='0008{}' vr='UI'><Value number='1'>{}</Value></DicomAttribute>"
    body = ("<NativeDicomModel><DicomAttribute tag='00081199' vr='SQ'><Item number='1'>"
            + attribute.format("1150", CT) + attribute.format("1155", uid)
            + "</Item></DicomAttribute></NativeDicomModel>")
    answer = site.session().post(
        site.url(f"/dicom-web/commitment-requests/{transaction}"), data=body, timeout=60,
        headers={"Content-Type": "application/dicom+xml", "Accept": "application/dicom+xml"})
    assert answer.status_code == 200, answer.text
    root = ElementTree.fromstring(answer.content)
    assert {one.get("tag") for one in root} == {"00081195", "00081199"}
    assert [one.text for one in root.iter(SPACE + "Value")] == [transaction, CT, uid]
    assert told(check(site, transaction)) == ([uid], {})


@pytest.mark.parametrize("path,body,status", [
    ("no-uid", "{}", 400), ("1.2.3", "{}", 400), ("1.2.3", "[]", 400), ("1.2.3", "[{},{}]", 400), ("1.2.3", "nonsense", 400),
    ("1.2.3", json.dumps(request([("", "1.2")])), 400), ("1.2.3", json.dumps(request([("1.2", "x")])), 400)])
def test_what_is_no_request(site, path, body, status):
    url = site.url(f"/dicom-web/commitment-requests/{path}")
    assert site.session().post(url, data=body, headers=JSON, timeout=60).status_code == status
    assert site.session().post(url, data=body, headers={"Content-Type": "text/plain"},
                               timeout=60).status_code == (400 if path == "no-uid" else 415)
    assert check(site, path).status_code == (400 if path == "no-uid" else 404)


def test_who_may_not_store_may_not_ask(site):
    token = json.loads(site.cli("token", "create", "reading", "reader", "--json", "--site", site.site))["token"]
    session = site.session(token)
    url = site.url(f"/dicom-web/commitment-requests/{generate_uid()}")
    assert session.post(url, data="{}", headers=JSON, timeout=60).status_code == 403
    assert session.get(url, timeout=60).status_code == 403


def test_many_that_are_missing_are_answered_at_once(site, made):
    here = uids(made[0].data)[2]
    missing = [generate_uid() for _ in range(5000)]
    started = time.monotonic()
    held, failed = told(ask(site, generate_uid(), [(CT, uid) for uid in missing] + [(CT, here)]))
    assert held == [here] and failed == dict.fromkeys(missing, 0x0112)
    assert time.monotonic() - started < 60


def test_an_erasure_takes_the_uids_out_of_a_result(site, made):
    theirs = [uids(one.data)[2] for one in made if one.patient_id == made[0].patient_id]
    transaction = generate_uid()
    assert told(ask(site, transaction, [(CT, uid) for uid in theirs])) == (theirs, {})
    site.cli("erase", "--patient", made[0].patient_id, "--collection", "clinical", "--reason", "asked", "--yes",
             "--site", site.site)
    assert told(check(site, transaction)) == ([], {"": 0x0112})
