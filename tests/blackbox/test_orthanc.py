"""Another archive beside us: Orthanc asks by C-FIND, fetches by C-MOVE, stores, and is called."""
import json
import shutil

import pytest
import requests
from testenv import Deadline, Narthex, phantom
from testenv.process import Process, free_port

PLAN = phantom.Plan(kind="small", instances=12, slices=3, series=2, rows=16, columns=16)  # two studies

pytestmark = pytest.mark.skipif(not shutil.which("Orthanc"), reason="Orthanc is not installed")


class Orthanc:
    def __init__(self, folder, narthex_port):
        self.dicom, self.http = free_port(), free_port()
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({
            "Name": "peer", "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
            "DicomAet": "ORTHANC", "DicomPort": self.dicom, "HttpPort": self.http, "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "DicomAlwaysAllowStore": True, "DicomCheckCalledAet": False,
            "DicomModalities": {"narthex": {"AET": "NARTHEX", "Host": "127.0.0.1", "Port": narthex_port,
                                            "AllowStorageCommitment": True}}}))
        self.process = Process(["Orthanc", folder / "config.json"], folder / "log")
        self.process.wait_listening(self.http)
        self.process.wait_listening(self.dicom)

    def post(self, path, body):
        answer = requests.post(f"http://127.0.0.1:{self.http}{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def get(self, path):
        return requests.get(f"http://127.0.0.1:{self.http}{path}", timeout=60).json()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nx")
    with Narthex(folder / "nx", init_args=["--allow-ae", "ORTHANC=clinical/workstation"]) as server:
        phantom.write(PLAN, folder / "files")
        server.cli("import", folder / "files", "--collection", "clinical", "--site", server.site)
        yield server


@pytest.fixture
def orthanc(site, tmp_path):
    peer = Orthanc(tmp_path / "orthanc", site.ports["dimse"])
    site.cli("destination", "set", "ORTHANC", "127.0.0.1", peer.dicom, "--plain", "--site", site.site)
    yield peer
    peer.process.stop()


def test_orthanc_asks_fetches_and_stores(site, orthanc):
    orthanc.post("/modalities/narthex/echo", {})
    site.cli("echo", "ORTHANC", "--site", site.site)
    study = phantom.uid(PLAN, "study", 0)
    query = orthanc.post("/modalities/narthex/query", {"Level": "Study", "Query": {"StudyInstanceUID": study}})["ID"]
    found = orthanc.get(f"/queries/{query}/answers?expand&simplify")
    assert [one["StudyInstanceUID"] for one in found] == [study]
    orthanc.post(f"/queries/{query}/answers/0/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
    assert orthanc.get("/statistics")["CountInstances"] == 6
    got = {orthanc.get(f"/instances/{one}/simplified-tags")["SOPInstanceUID"] for one in orthanc.get("/instances")}
    assert got == {phantom.uid(PLAN, "sop", 0, series, n) for series in range(2) for n in range(3)}
    # Back again: the site knows them, and says so.
    orthanc.post("/modalities/narthex/store", {"Resources": orthanc.get("/studies"), "Synchronous": True})
    series = orthanc.post("/modalities/narthex/query",
                          {"Level": "Series", "Query": {"StudyInstanceUID": study, "Modality": "*"}})["ID"]
    assert len(orthanc.get(f"/queries/{series}/answers")) == 2


def test_orthanc_is_sent_to_and_vouches(site, orthanc):
    """It answers the N-ACTION on an association of its own, as a caller on the allow-list."""
    study = phantom.uid(PLAN, "study", 1)
    site.cli("forward", "send", study, "ORTHANC", "--commitment", "--site", site.site)
    deadline = Deadline(60)
    while json.loads(site.cli("forward", "queue", "--json", "--site", site.site))["deliveries"]:
        deadline.wait("it has everything, and said so")
    assert orthanc.get("/statistics")["CountInstances"] == 6
    entries = json.loads(site.cli("ledger", "search", "--study", study, "--json", "--site", site.site))["entries"]
    held = [entry["body"]["detail"]["held"] for entry in entries if entry["action"] == "forward.commit"]
    assert {uid for one in held for uid in one} == \
        {phantom.uid(PLAN, "sop", 1, series, n) for series in range(2) for n in range(3)}
