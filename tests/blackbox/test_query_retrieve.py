"""C-FIND as workstations ask: DCMTK's findscu over TLS and without, and a peer that negotiates more than DCMTK."""
import json
import pathlib
import subprocess
import re

import pydicom
import pytest
from pydicom.data import get_testdata_file
from testenv import Dcmtk, Deadline, Narthex, phantom
from testenv.dcmtk import StoreScp
from testenv.peer import IMPLICIT_LE, Association
from testenv.process import free_port
from testenv.scp import BadScp
from testenv.stream import dataset_offset
from testenv.tunnel import Tunnel

PLAN = phantom.Plan(kind="small", instances=24, slices=2, series=3, patients=2, rows=16, columns=16)  # four studies
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
A, B = (phantom.patient_values(PLAN, n)[1] for n in (0, 1))
LATIN = {"PatientName": "M\u00fcller^J\u00fcrgen", "PatientID": "UMLAUT", "StudyDate": "20240301", "StudyTime": "235959",
         "StudyInstanceUID": "2.25.1", "SeriesInstanceUID": "2.25.2", "SOPInstanceUID": "2.25.3"}


def latin(folder):
    """A file of another writer, with names in Latin-1."""
    ds = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    ds.SpecificCharacterSet = "ISO_IR 100"
    for keyword, value in LATIN.items():
        setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(folder / "latin.dcm")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qr")
    allow = ["--allow-ae", "TESTENV=clinical/workstation", "--allow-ae", "MODALITY=clinical",
             "--allow-ae", "OTHER=curated/workstation"]
    with Narthex(folder / "nx", {"dimse": {"destination_seconds": 1}}, init_args=allow) as server:
        files = folder / "files"
        phantom.write(PLAN, files)
        latin(files)
        server.cli("import", files, "--collection", "clinical", "--site", server.site)  # as they are
        yield server


@pytest.fixture
def dcmtk(site):
    return Dcmtk(site.ports["dimse"])


def values(answers, keyword):
    return sorted(str(one.get(keyword)) for one in answers)


def level(word, *keys):
    return [f"QueryRetrieveLevel={word}", *keys]


def test_studies_with_what_is_counted(dcmtk):
    keys = ["PatientID", "PatientName", "StudyInstanceUID", "ModalitiesInStudy", "NumberOfStudyRelatedSeries",
            "NumberOfStudyRelatedInstances"]
    found = dcmtk.findscu(level("STUDY", *keys))
    assert len(found) == 5
    one = next(each for each in found if each.StudyInstanceUID == phantom.uid(PLAN, "study", 0))
    assert (one.NumberOfStudyRelatedSeries, one.NumberOfStudyRelatedInstances) == (3, 6)
    assert one.QueryRetrieveLevel == "STUDY" and one.RetrieveAETitle == "NARTHEX"
    assert one.InstanceAvailability == "ONLINE"
    assert "StudyDate" not in one  # it was not asked for


def test_patients_of_the_patient_root(dcmtk):
    keys = ["PatientID", "NumberOfPatientRelatedStudies", "NumberOfPatientRelatedInstances"]
    found = dcmtk.findscu(level("PATIENT", *keys), model="-P")
    assert [(one.PatientID, one.NumberOfPatientRelatedStudies, one.NumberOfPatientRelatedInstances)
            for one in sorted(found, key=lambda one: one.PatientID)] == [
                (A, 2, 12), (B, 2, 12), ("UMLAUT", 1, 1)]


def test_down_the_patient_root(dcmtk):
    patient = f"PatientID={A}"
    studies = values(dcmtk.findscu(level("STUDY", patient, "StudyInstanceUID"), model="-P"), "StudyInstanceUID")
    assert len(studies) == 2
    study = f"StudyInstanceUID={studies[0]}"
    series = dcmtk.findscu(level("SERIES", patient, study, "SeriesInstanceUID", "Modality", "SeriesNumber",
                                 "NumberOfSeriesRelatedInstances"), model="-P")
    assert values(series, "SeriesNumber") == ["1", "2", "3"]
    assert {one.NumberOfSeriesRelatedInstances for one in series} == {2}
    images = dcmtk.findscu(level("IMAGE", patient, study, f"SeriesInstanceUID={series[0].SeriesInstanceUID}",
                                 "SOPInstanceUID", "SOPClassUID", "InstanceNumber", "Rows"), model="-P")
    assert sorted((one.InstanceNumber, one.Rows) for one in images) == [(1, 16), (2, 16)]
    assert {one.SOPClassUID for one in images} == {phantom.SC_STORAGE}
    # The patient and study only model ends above.
    assert len(dcmtk.findscu(level("STUDY", patient, "StudyInstanceUID"), model="-O")) == 2


@pytest.mark.parametrize("key, patients", [
    ("PatientID=PHANTOM-00000?", [A] * 2 + [B] * 2),
    ("PatientName=test^ph*", [A] * 2 + [B] * 2),
    ("PatientName=muller*", ["UMLAUT"]),
    ("StudyDate=20240301-20240401", ["UMLAUT"]),
    ("StudyDate=20991231-", []),
    ("StudyTime=2359-", ["UMLAUT"]),
    ("StudyInstanceUID=2.25.1\\2.25.99", ["UMLAUT"]),
    ("ModalitiesInStudy=CT", ["UMLAUT"]),
    ("AccessionNumber=*", [A] * 2 + [B] * 2 + ["UMLAUT"]),
])
def test_matching(dcmtk, key, patients):
    found = dcmtk.findscu(level("STUDY", "PatientID", key) if "PatientID" not in key else level("STUDY", key))
    assert values(found, "PatientID") == patients


def test_names_that_are_not_ascii_come_in_utf8(dcmtk):
    found = dcmtk.findscu(level("STUDY", "PatientName", "PatientID=UMLAUT", "SpecificCharacterSet=ISO_IR 100"))
    assert found[0].SpecificCharacterSet == "ISO_IR 192" and str(found[0].PatientName) == LATIN["PatientName"]
    ascii_only = dcmtk.findscu(level("STUDY", "PatientName", f"PatientID={A}",
                                     "SpecificCharacterSet=ISO_IR 100"))
    assert {one.SpecificCharacterSet for one in ascii_only} == {"ISO_IR 100"}
    assert "SpecificCharacterSet" not in dcmtk.findscu(level("STUDY", f"PatientID={A}"))[0]


def test_keys_in_another_set_match(dcmtk):
    """findscu sends bytes as they are on its command line: these are UTF-8."""
    found = dcmtk.findscu(level("STUDY", "PatientID", f"PatientName={LATIN['PatientName']}",
                                "SpecificCharacterSet=ISO_IR 192"))
    assert values(found, "PatientID") == ["UMLAUT"]


def test_what_is_not_supported_comes_back_empty(dcmtk):
    done = dcmtk.run(["findscu", "-v", "-S", *dcmtk._peer(), "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=UMLAUT",
                      "-k", "ReferencedStudySequence", "-k", "0009,0010=ACME", "-k", "StudyComments=x", dcmtk.host,
                      dcmtk.port])
    assert "WarningUnsupportedOptionalKeys" in done.stdout and "(0008,1110) SQ" in done.stdout


@pytest.mark.parametrize("keys, status, tag", [
    (["PatientID"], "0xa900", "(0008,0052)"),
    (level("PATIENT", "PatientID"), "0xa900", "(0008,0052)"),
    (level("SERIES", "SeriesInstanceUID"), "0xa900", "(0020,000d)"),
    (level("STUDY", "StudyDate=2024"), "0xa900", None),
])
def test_refused_with_the_status_of_the_standard(dcmtk, keys, status, tag):
    args = [word for key in keys for word in ("-k", key)]
    done = dcmtk.run(["findscu", "-d", "-S", *dcmtk._peer(), *args, dcmtk.host, dcmtk.port], check=False)
    assert status in done.stdout.lower()
    if tag:
        assert f"offending element: {tag}" in done.stdout.lower().replace("  ", " ") or tag in done.stdout.lower()


def test_a_modality_may_not_ask(site):
    dcmtk = Dcmtk(site.ports["dimse"], aet="MODALITY")
    done = dcmtk.run(["findscu", "-d", "-S", *dcmtk._peer(), "-k", "QueryRetrieveLevel=STUDY", dcmtk.host, dcmtk.port],
                     check=False)
    assert "0x0124" in done.stdout.lower()


def test_another_collection_is_not_seen(site):
    assert Dcmtk(site.ports["dimse"], aet="OTHER").findscu(level("STUDY", "PatientID")) == []


def test_over_tls(site):
    tls = Dcmtk(site.ports["dimse_tls"])
    found = tls.findscu(level("STUDY", "PatientID=UMLAUT"), "+tla", "+cf", site.ca)
    assert values(found, "PatientID") == ["UMLAUT"]


def test_get_over_tls(site, tmp_path):
    """DCMTK's getscu has no TLS of its own."""
    with Tunnel(site.ports["dimse_tls"], site.ca) as tunnel:
        Dcmtk(tunnel.port).getscu(level("STUDY", study_key(0)), tmp_path)
    assert len(list(tmp_path.iterdir())) == 6


def test_cancel_after_two(dcmtk):
    done = dcmtk.run(["findscu", "-d", "-S", "--cancel", "2", *dcmtk._peer(), "-k", "QueryRetrieveLevel=STUDY", "-k",
                      "PatientID", dcmtk.host, dcmtk.port])
    assert "0xfe00" in done.stdout.lower() or "0x0000" in done.stdout.lower()


def test_every_query_is_in_the_ledger(site, dcmtk):
    dcmtk.findscu(level("STUDY", "PatientID=UMLAUT"))
    entries = json.loads(site.cli("ledger", "search", "--site", site.site, "--json"))["entries"]
    assert any(entry["action"] == "query" and entry["body"]["principal"] == "AE:TESTENV" for entry in entries)


# ---- C-GET ----


def dataset_of(path):
    """The bytes behind the meta group."""
    data = path.read_bytes()
    return data[dataset_offset(data):]


def sent_files(site):
    return {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID: path
            for path in (site.folder.parent / "files").rglob("*.dcm")}


def check_received(site, folder, n):
    """Every data set is, byte for byte, what was sent."""
    sent, got = sent_files(site), list(folder.iterdir())
    assert len(got) == n
    for path in got:
        uid = pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID
        assert dataset_of(path) == dataset_of(sent[uid])


def study_key(n):
    return f"StudyInstanceUID={phantom.uid(PLAN, 'study', n)}"


def test_get_a_study(site, dcmtk, tmp_path):
    done = dcmtk.getscu(level("STUDY", study_key(0)), tmp_path, "-d")
    check_received(site, tmp_path, 6)
    assert "Number of Completed Suboperations : 6" in " ".join(done.stdout.split()).replace(" :", " :")


def test_get_a_series_an_image_and_a_list(site, dcmtk, tmp_path):
    series = [phantom.uid(PLAN, "series", 0, n) for n in range(3)]
    images = [phantom.uid(PLAN, "sop", 0, 0, n) for n in range(2)]
    for place, n, keys in (("series", 2, level("SERIES", study_key(0), f"SeriesInstanceUID={series[0]}")),
                           ("list", 4, level("SERIES", study_key(0), f"SeriesInstanceUID={series[0]}\\{series[2]}")),
                           ("image", 1, level("IMAGE", study_key(0), f"SeriesInstanceUID={series[0]}",
                                              f"SOPInstanceUID={images[1]}")),
                           ("studies", 7, level("STUDY", study_key(0) + "\\2.25.1")),
                           ("none", 0, level("STUDY", "StudyInstanceUID=1.2.3"))):
        (tmp_path / place).mkdir()
        dcmtk.getscu(keys, tmp_path / place)
        check_received(site, tmp_path / place, n)


def test_get_a_patient(site, dcmtk, tmp_path):
    dcmtk.run(["getscu", "-P", "+B", *dcmtk._peer(), "-k", "QueryRetrieveLevel=PATIENT", "-k", f"PatientID={A}", "-od",
               tmp_path, dcmtk.host, dcmtk.port])
    check_received(site, tmp_path, 12)


def check_encoded(site, folder, n, syntax):
    """The same data sets in another encoding, as pydicom reads them."""
    sent = sent_files(site)
    assert len(list(folder.iterdir())) == n
    for path in folder.iterdir():
        got = pydicom.dcmread(path)
        want = pydicom.dcmread(sent[got.SOPInstanceUID])
        assert got.file_meta.TransferSyntaxUID == syntax
        assert (got.pixel_array == want.pixel_array).all()
        del got.PixelData, want.PixelData
        assert [one.tag for one in got] == [one.tag for one in want]
        assert all(one.value == want[one.tag].value for one in got if not one.tag.is_private)


def test_get_in_big_endian(site, dcmtk, tmp_path):
    dcmtk.getscu(level("STUDY", study_key(1) + "\\2.25.1"), tmp_path, "+xb")
    check_encoded(site, tmp_path, 7, pydicom.uid.ExplicitVRBigEndian)


# ---- C-MOVE ----


class Receiver:
    """storescp that keeps every data set as it comes, known to the site as a destination."""

    def __init__(self, site, folder, ae="RECEIVER", extra=()):
        self.site, self.folder, self.ae = site, folder / "received", ae
        self.folder.mkdir()
        self.scp = StoreScp(folder / "storescp.log", self.folder, extra=["-aet", ae, *extra])

    def __enter__(self):
        self.scp.__enter__()
        destination(self.site, self.ae, self.scp.port, "--plain")
        return self

    def __exit__(self, *what):
        self.site.cli("destination", "remove", self.ae, "--site", self.site.site)
        self.scp.__exit__(*what)


def destination(site, ae, port, *extra):
    site.cli("destination", "set", ae, "127.0.0.1", port, *extra, "--site", site.site)


@pytest.fixture
def receiver(site, tmp_path):
    with Receiver(site, tmp_path) as receiver:
        yield receiver


def counts(done):
    """The numbers of the final C-MOVE-RSP or C-GET-RSP, as DCMTK prints them with -d."""
    last = done.stdout[done.stdout.rindex("DIMSE Status"):] if "DIMSE Status" in done.stdout else done.stdout
    head = done.stdout[:done.stdout.rindex("DIMSE Status")]
    found = {word: int(number) for word, number in re.findall(r"(Completed|Failed|Warning) Suboperations\s*: (\d+)", head)}
    return found, re.search(r": 0x([0-9a-f]{4})", last)[1]


def test_move_a_study(site, dcmtk, receiver):
    done = dcmtk.movescu(level("STUDY", study_key(0)), "RECEIVER", "-d")
    check_received(site, receiver.folder, 6)
    assert counts(done) == ({"Completed": 6, "Failed": 0, "Warning": 0}, "0000")


def test_move_is_in_the_ledger_with_who_got_it(site, dcmtk, receiver):
    dcmtk.movescu(level("STUDY", study_key(3)), "RECEIVER")
    entries = json.loads(site.cli("ledger", "search", "--site", site.site, "--json"))["entries"]
    assert any(entry["action"] == "read" and entry["body"]["detail"].get("to") == "RECEIVER" for entry in entries)


def test_move_to_who_takes_implicit_vr_only(site, dcmtk, tmp_path):
    with Receiver(site, tmp_path, extra=["+xi"]) as receiver:
        dcmtk.movescu(level("STUDY", study_key(1) + "\\2.25.1"), "RECEIVER")
        check_encoded(site, receiver.folder, 7, pydicom.uid.ImplicitVRLittleEndian)


def test_move_what_is_compressed_goes_as_it_is(site, dcmtk, tmp_path):
    jpeg = pathlib.Path(get_testdata_file("JPEG2000.dcm"))
    site.cli("import", jpeg, "--collection", "clinical", "--site", site.site)
    key = level("STUDY", f"StudyInstanceUID={pydicom.dcmread(jpeg).StudyInstanceUID}")
    with Receiver(site, tmp_path, extra=["+xw"]) as receiver:
        dcmtk.movescu(key, "RECEIVER")
        assert [dataset_of(path) for path in receiver.folder.iterdir()] == [dataset_of(jpeg)]
    (tmp_path / "plain").mkdir()
    with Receiver(site, tmp_path / "plain") as receiver:  # takes uncompressed ones only
        dcmtk.movescu(key, "RECEIVER")
        got = pydicom.dcmread(next(receiver.folder.iterdir()))
    peer = tmp_path / "peer.dcm"
    subprocess.run(["gdcmconv", "--raw", jpeg, peer], check=True, capture_output=True, timeout=60)
    assert got.PixelData == pydicom.dcmread(peer).PixelData and got.file_meta.TransferSyntaxUID.is_little_endian
    assert not got.file_meta.TransferSyntaxUID.is_compressed and got.LossyImageCompression == "01"


def test_what_cannot_be_decoded_is_a_failed_suboperation(site, dcmtk, tmp_path):
    ds = pydicom.dcmread(get_testdata_file("JPEG2000.dcm"))
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = (pydicom.uid.generate_uid() for _ in range(3))
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.PixelData = ds.PixelData[:100] + bytes(len(ds.PixelData) - 108) + ds.PixelData[-8:]
    ds.save_as(tmp_path / "damaged.dcm")
    site.cli("import", tmp_path / "damaged.dcm", "--collection", "clinical", "--site", site.site)
    (tmp_path / "plain").mkdir()
    with Receiver(site, tmp_path / "plain") as receiver:
        done = dcmtk.movescu(level("STUDY", f"StudyInstanceUID={ds.StudyInstanceUID}"), "RECEIVER", "-d", check=False)
        assert counts(done) == ({"Completed": 0, "Failed": 1, "Warning": 0}, "b000")
        assert not list(receiver.folder.iterdir())


def test_move_to_nobody(dcmtk):
    done = dcmtk.movescu(level("STUDY", study_key(0)), "NOBODY", "-d", check=False)
    assert "0xa801" in done.stdout.lower()


def test_move_to_who_is_not_there(site, dcmtk):
    destination(site, "GONE", free_port(), "--plain")
    done = dcmtk.movescu(level("STUDY", study_key(0)), "GONE", "-d", check=False)
    assert counts(done) == ({"Completed": 0, "Failed": 6, "Warning": 0}, "a702")


@pytest.mark.parametrize("how, calls, status", [("hangs", 3, "a702"), ("full", 1, "b000"), ("lies", 3, "a702"),
                                                ("aborts", 3, "a702"), ("closes", 3, "a702")])
def test_move_to_a_bad_destination(site, dcmtk, how, calls, status):
    """All are told as failed, after as many tries as help."""
    with BadScp(how) as scp:
        destination(site, "BAD", scp.port, "--plain")
        done = dcmtk.movescu(level("STUDY", study_key(0)), "BAD", "-d", check=False)
        assert counts(done) == ({"Completed": 0, "Failed": 6, "Warning": 0}, status)
        assert scp.calls == calls


def test_move_tells_the_destination_who_asked(site, dcmtk):
    with BadScp("good") as scp:
        destination(site, "BAD", scp.port, "--plain")
        dcmtk.movescu(level("STUDY", study_key(0)), "BAD")
        assert scp.stored == 6 and scp.originators == {("TESTENV", b"\1\0")}


def test_move_is_cancelled_while_the_destination_hangs(site, dcmtk):
    """The requester need not wait for the destination's time to run out."""
    with BadScp("hangs") as scp:
        destination(site, "BAD", scp.port, "--plain")
        with Association(site.ports["dimse"], [(MOVE, [IMPLICIT_LE])]) as association:
            association.move(MOVE, "BAD", {0x00080052: "STUDY", 0x0020000D: phantom.uid(PLAN, "study", 0)})
            deadline = Deadline(20)
            while not scp.originators:
                deadline.wait("the destination has something")
            association.cancel(MOVE)
            assert association.response().status == 0xFE00


def test_move_over_tls(site, dcmtk, tmp_path):
    """To the site itself, into another collection: as TLS client it trusts its own authority here."""
    site.cli("ae", "allow", "NARTHEX", "curated", "--called", "SELF", "--site", site.site)
    destination(site, "SELF", site.ports["dimse_tls"])
    done = dcmtk.movescu(level("STUDY", study_key(0)), "SELF", "-d")
    assert counts(done) == ({"Completed": 6, "Failed": 0, "Warning": 0}, "0000")
    assert len(Dcmtk(site.ports["dimse"], aet="OTHER").findscu(level("STUDY", study_key(0)))) == 1


def test_destinations_are_listed_and_removed(site):
    destination(site, "SOME", 104, "--calling", "ME")
    row = {"ae": "SOME", "host": "127.0.0.1", "port": 104, "tls": True, "calling": "ME"}
    found = json.loads(site.cli("destination", "list", "--json", "--site", site.site))["destinations"]
    assert any(row.items() <= one.items() for one in found)
    some = next(line for line in site.cli("destination", "list", "--site", site.site).splitlines() if "SOME" in line)
    assert some.split() == ["SOME", "127.0.0.1", "104", "yes", "ME"]
    site.cli("destination", "remove", "SOME", "--site", site.site)
    found = json.loads(site.cli("destination", "list", "--json", "--site", site.site))["destinations"]
    assert not any(one["ae"] == "SOME" for one in found)
    for bad in (["SOME", "host", "0"], ["A TITLE THAT IS TOO LONG", "host", "104"], ["SOME", "no host", "104"]):
        assert site.cli("destination", "set", *bad, "--site", site.site, check=False).returncode != 0


def test_echo_a_destination(site, receiver):
    answer = json.loads(site.cli("echo", "RECEIVER", "--json", "--site", site.site))
    assert answer["ae"] == "RECEIVER" and answer["status"] == 0
    assert "answers 0000" in site.cli("echo", "RECEIVER", "--site", site.site)
    destination(site, "SELF", site.ports["dimse_tls"])
    site.cli("ae", "allow", "NARTHEX", "curated", "--called", "SELF", "--site", site.site)
    site.cli("echo", "SELF", "--site", site.site)
    destination(site, "GONE", free_port(), "--plain")
    for ae in ("GONE", "NOBODY"):
        assert site.cli("echo", ae, "--site", site.site, check=False).returncode != 0


def test_doctor_asks_the_destinations(site, receiver):
    def verdict():
        done = site.cli("doctor", "--json", "--site", site.site, check=False)
        return next(one for one in json.loads(done.stdout) if one["check"] == "destinations")
    for row in json.loads(site.cli("destination", "list", "--json", "--site", site.site))["destinations"]:
        if row["ae"] != "RECEIVER":
            site.cli("destination", "remove", row["ae"], "--site", site.site)
    assert verdict()["verdict"] == "good" and verdict()["text"] == "1, and all answer"
    destination(site, "GONE", free_port(), "--plain")
    assert verdict()["verdict"] == "warn" and "GONE" in verdict()["text"]
