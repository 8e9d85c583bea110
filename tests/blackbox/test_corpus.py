"""Every real file by every door: accepted and given back exactly, or refused with a reason.  None is lost."""
import collections
import contextlib
import http.client
import json
import re
import ssl
import subprocess

import pydicom
import pytest
from testenv import Narthex
from testenv.peer import Association
from testenv.stream import dataset_offset

SINGLE = {"Accept": "application/dicom; transfer-syntax=*"}
CONTEXTS_MAX = 120  # of one association: ids are odd and one byte


@pytest.fixture(scope="module")
def files(corpus):
    return corpus.everything()


@pytest.fixture
def site(tmp_path):
    with Narthex(tmp_path / "nx", init_args=["--allow-ae", "TESTENV=clinical"]) as server:
        yield server


class Web:
    """One kept connection to a listener."""

    def __init__(self, site, listener="data"):
        context = ssl.create_default_context(cafile=site.ca)
        self.conn = http.client.HTTPSConnection("127.0.0.1", site.ports[listener], timeout=60, context=context)
        self.token = site.token

    def request(self, method, path, body=None, **headers):
        self.conn.request(method, path, body, {"Authorization": f"Bearer {self.token}", **headers})
        answer = self.conn.getresponse()
        return answer.status, answer.read()

    def close(self):
        self.conn.close()


def say(door, counts, files):
    print(f"{door}: {len(files)} files, " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    assert sum(counts.values()) == len(files)


def readable(path):
    """What pydicom makes of a file; None where it is not one for pydicom."""
    try:
        return pydicom.dcmread(path)
    except Exception:  # pydicom raises whatever the file made it raise
        return None


# ---- STOW-RS and WADO-RS ----


def stow(web, data):
    body = b"--part\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--part--\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=part'
    return web.request("POST", "/dicom-web/studies", body, **{"Content-Type": kind})


def stow_reason(report):
    """The failure reason (0008,1197) of the one instance, wherever the report has it."""
    for sequence in ("00081198", "0008119A"):
        for item in report.get(sequence, {}).get("Value", []):
            return item["00081197"]["Value"][0]
    return None


def stow_one(web, path, kept):
    """How it ended: stored and exact, quarantined with its warning, or refused with its reason."""
    data = path.read_bytes()
    status, body = stow(web, data)
    report = json.loads(body)
    assert status in (200, 202, 409), (path, status, body)
    if status == 409:
        assert stow_reason(report), (path, body)
        return "refused"
    (item,) = report["00081199"]["Value"]
    if "00081196" in item:
        return "quarantined"
    url = item["00081190"]["Value"][0]
    status, got = web.request("GET", re.sub(r"^https://[^/]+", "", url), **SINGLE)
    assert status == 200, (path, status)
    if got == data:
        kept[url] = data
        return "stored"
    # The same data set was there already: what came first is what is given back.
    assert kept.get(url) == got and got[dataset_offset(got):] == data[dataset_offset(data):], path
    return "there already"


def test_by_stow_and_wado(site, files):
    counts, kept = collections.Counter(), {}
    with contextlib.closing(Web(site)) as web:
        for path in files:
            counts[stow_one(web, path, kept)] += 1
    say("STOW-RS", counts, files)
    assert counts["stored"] > 50


# ---- narthex import ----


def test_by_import(site, files):
    """What failed is named with its reason.  What was stored is given back, but for what a rejection note among the
    files has rejected; a duplicate or a newer version stands for the older one of its name."""
    done = site.cli("import", "--json", "--site", site.site, "--collection", "clinical", *files, check=False,
                    seconds=300)
    result = json.loads(done.stdout)
    reasons = dict(line.split(": ", 1) for line in done.stderr.splitlines() if line.startswith("/"))
    aside = {path for path, reason in reasons.items() if reason.startswith("kept in quarantine")}
    assert len(aside) == result["quarantined"] and all(reasons.values()), done.stderr[-3000:]
    assert len(reasons) - len(aside) == result["failed"] + result["left_out"], done.stderr[-3000:]
    counts = collections.Counter({"stored": result["stored"], "there already": result["duplicates"],
                                  "new versions": result["versions"], "quarantined": result["quarantined"],
                                  "left out": result["left_out"], "refused": result["failed"]})
    say("import", counts, files)
    taken = {path.read_bytes() for path in files if str(path) not in reasons}
    given = given_back(site)
    rejected = json.loads(site.cli("rejected", "list", "--json", "--site", site.site))["rejected"]
    notes = [path for path in files if str(path) not in reasons and b"Rejected for " in path.read_bytes()]
    assert bool(rejected) == bool(notes), (rejected, notes)
    assert len(given) + len(rejected) == result["stored"] and not [row for row, data in given if data not in taken]


def given_back(site):
    """[(row, bytes)] of every instance of the collection."""
    with contextlib.closing(Web(site, "management")) as web:
        rows = json.loads(web.request("GET", "/api/v1/collections/clinical/instances?limit=10000")[1])["instances"]
        return [(row, web.request("GET", instance_url(row))[1]) for row in rows]


def instance_url(row):
    return (f"/api/v1/collections/clinical/studies/{row['StudyInstanceUID']}/series/{row['SeriesInstanceUID']}"
            f"/instances/{row['SOPInstanceUID']}")


# ---- C-STORE ----


class Sendable:
    """A Part 10 file as C-STORE has it: its UIDs from the meta group, and the data set as it lies in the file."""

    def __init__(self, path):
        self.path = path
        data = path.read_bytes()
        meta = pydicom.dcmread(path, specific_tags=[], stop_before_pixels=True, force=False).file_meta
        self.sop_class, self.sop = str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID)
        self.syntax = str(meta.TransferSyntaxUID)
        self.dataset = data[dataset_offset(data):]
        self.even = len(self.dataset) % 2 == 0  # else no PDV may carry it (PS3.8 9.3.5.1)


def sendable(path):
    try:
        one = Sendable(path)
        return one if one.sop_class and one.sop and one.syntax and one.even else None
    except Exception:  # no meta group that says what C-STORE must say
        return None


def batches(ones):
    """Runs whose presentation contexts fit one association."""
    batch, pairs = [], set()
    for one in ones:
        pair = (one.sop_class, one.syntax)
        if pair not in pairs and len(pairs) == CONTEXTS_MAX:
            yield batch
            batch, pairs = [], set()
        batch.append(one)
        pairs.add(pair)
    if batch:
        yield batch


def c_store(site, batch, counts):
    """Yields what was accepted; a refusal has a status and says why."""
    pairs = sorted({(one.sop_class, one.syntax) for one in batch})
    with Association(site.ports["dimse"], [(abstract, [syntax]) for abstract, syntax in pairs]) as peer:
        for one in batch:
            if (one.sop_class, one.syntax) not in peer.accepted:
                counts["context refused"] += 1
                continue
            response = peer.store(one.sop_class, one.sop, one.syntax, [one.dataset])
            if response.status >> 12 == 0xB:
                counts["quarantined"] += 1
            elif response.status:
                assert response.comment or response.offending, one.path
                counts["refused"] += 1
            else:
                counts["accepted"] += 1
                yield one


def test_by_c_store(site, files, tmp_path):
    ones = [sendable(path) for path in files]
    counts = collections.Counter({"not for C-STORE": ones.count(None)})
    accepted = [one for batch in batches([one for one in ones if one]) for one in c_store(site, batch, counts)]
    say("C-STORE", counts, files)
    assert counts["accepted"] > 50
    assert site.process.alive
    folder = tmp_path / "back"
    folder.mkdir()
    back = fetch_all(site, accepted, folder)
    others_read(back, folder)


def fetch_all(site, accepted, folder):
    """[(original, returned)]; of those that share a UID the last one is what the site gives."""
    given = collections.defaultdict(list)
    for row, data in given_back(site):
        given[row["SOPInstanceUID"]].append(data)
    back = []
    for sop, one in {one.sop: one for one in accepted}.items():
        exact = [data for data in given[sop] if data[dataset_offset(data):] == one.dataset]
        assert exact, one.path
        to = folder / f"{len(back):05d}.dcm"
        to.write_bytes(exact[0])
        back.append((one.path, to))
    return back


def dcmdump_fails(paths):
    """Those of the files that dcmdump cannot read."""
    done = subprocess.run(["dcmdump", "-q", *map(str, paths)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          timeout=120, check=False)
    if done.returncode == 0:
        return set()
    if len(paths) == 1:
        return set(paths)
    return dcmdump_fails(paths[:len(paths) // 2]) | dcmdump_fails(paths[len(paths) // 2:])


def others_read(back, folder):
    """DCMTK and pydicom read what comes back wherever they could read what was sent."""
    bad = dcmdump_fails([to for _, to in back])
    before = dcmdump_fails([path for path, to in back if to in bad]) if bad else set()
    assert not [path for path, to in back if to in bad and path not in before]
    print(f"dcmdump reads {len(back) - len(bad)} of {len(back)} that came back, as before")
    unread = [path for path, to in back if readable(path) is not None and readable(to) is None]
    assert not unread
