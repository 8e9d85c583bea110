"""A disk that is full, read-only or failing under a running server: refused as each protocol says it, nothing that was
acknowledged is lost, and work goes on when the disk does."""
import contextlib
import errno
import itertools
import json
import os
import subprocess

import pytest
from testenv import Deadline, Narthex, ProcessError, peer, phantom
from testenv.faults import Faults

A700 = 0xA700
OBJECTS = "/api/v1/collections/curated/objects/"
REFUSALS = {errno.ENOSPC: {507}, errno.EIO: {503}, errno.EROFS: {503}}


class Sender:
    """Sends by every door, and remembers what was acknowledged and under which name it is found."""

    def __init__(self, site):
        self.site = site
        plan = phantom.Plan(kind="small", instances=4000, slices=2, series=1, rows=96, columns=96)
        self.instances = phantom.instances(plan)
        self.numbers = itertools.count()
        self.kept = {}  # (listener, path) -> what it must give; of C-STORE the end of it

    @staticmethod
    def place(one):
        return "data", f"/dicom-web/studies/{one.study_uid}/series/{one.series_uid}/instances/{one.sop_uid}"

    def c_store(self):
        """The status of C-STORE."""
        one = next(self.instances)
        at = one.data.index(phantom.element(0x00080005, "CS", "ISO_IR 100"))
        with peer.Association(self.site.ports["dimse"], [(phantom.SC_STORAGE, [phantom.EXPLICIT_LE])]) as association:
            response = association.store(phantom.SC_STORAGE, one.sop_uid, phantom.EXPLICIT_LE, [one.data[at:]])
        if response.status == 0:
            self.kept[self.place(one)] = one.data[at:]
        return response.status

    def stow(self):
        one = next(self.instances)
        body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + one.data + b"\r\n--b--\r\n"
        answer = self._send("POST", ("data", "/dicom-web/studies"), body,
                            'multipart/related; type="application/dicom"; boundary=b')
        if answer == 200:
            self.kept[self.place(one)] = one.data
        return answer

    def put(self, size=200_000):
        data = os.urandom(size)
        place = "management", f"{OBJECTS}{next(self.numbers)}"
        status = self._send("PUT", place, data, "application/octet-stream")
        if status == 201:
            self.kept[place] = data
        return status

    def import_(self):
        one = next(self.instances)
        status = self._send("POST", ("management", "/api/v1/collections/clinical/instances"), one.data,
                            "application/dicom")
        if status == 201:
            self.kept[self.place(one)] = one.data
        return status

    def _send(self, method, place, data, kind):
        listener, path = place
        with self.site.session() as session:
            return session.request(method, self.site.url(path, listener), data=data, headers={"Content-Type": kind},
                                   timeout=60).status_code

    def all_good(self):
        assert [self.c_store(), self.stow(), self.put(), self.import_()] == [0, 200, 201, 201]

    def all_refused(self, statuses):
        assert self.c_store() == A700
        for door in (self.stow, self.put, self.import_):
            assert door() in statuses, door.__name__

    def check(self):
        """Everything acknowledged is there and exact."""
        with self.site.session() as session:
            for (listener, path), data in self.kept.items():
                got = session.get(self.site.url(path, listener), headers={"Accept": "application/dicom, */*"}, timeout=60)
                assert got.status_code == 200 and got.content.endswith(data), (path, got.status_code)
        assert self.api("/scrub", "POST")["bad"] == 0
        self.api("/ledger/verify")

    def api(self, path, method="GET"):
        with self.site.session() as session:
            answer = session.request(method, self.site.url("/api/v1" + path, "management"), timeout=120)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def works_again(self, seconds=30):
        deadline = Deadline(seconds, step=0.2)
        while self.c_store() != 0:
            deadline.wait("C-STORE works again")
        self.all_good()


@contextlib.contextmanager
def site_with(folder, faults, *init_args, **config):
    with Narthex(folder, config=config, env=faults.env if faults else {},
                 init_args=["--allow-ae", "TESTENV=clinical", *init_args]) as site:
        yield site, Sender(site)


def readiness(site):
    with site.session() as session:
        answer = session.get(site.url("/readyz", "management"), timeout=60)
    return answer.status_code, answer.text


def log_is_clean(site):
    text = site.log.read_text()
    assert "PHANTOM" not in text and "TEST^" not in text and "2.25." not in text


@pytest.mark.parametrize("errnum", [pytest.param(errno.ENOSPC, id="ENOSPC"), pytest.param(errno.EIO, id="EIO"),
                                    pytest.param(errno.EROFS, id="EROFS", marks=pytest.mark.long)])
def test_the_pool_fails_and_comes_back(tmp_path, errnum):
    faults = Faults(tmp_path)
    with site_with(tmp_path / "nx", faults) as (site, sender):
        sender.all_good()
        for _ in range(2):
            faults.fail(errnum, "/pool/")
            for _ in range(3):
                sender.all_refused(REFUSALS[errnum])
            faults.heal()
            sender.works_again()
            sender.check()
        site.restart()
        sender.check()
        sender.all_good()
        log_is_clean(site)


@pytest.mark.parametrize("where, heals", [
    ("/catalog.db", True), pytest.param("/ledger/", True, marks=pytest.mark.long), ("/keys1/", False),
    pytest.param("/keys2/", False, marks=pytest.mark.long)])
def test_another_part_of_the_site_fails_and_comes_back(tmp_path, where, heals):
    """What is answered is kept: an answer may be a refusal, or good because the pack has it.  A key place whose sync
    failed is not asked again: new keys are refused, in words that say so, until the site is started anew."""
    faults = Faults(tmp_path)
    with site_with(tmp_path / "nx", faults) as (site, sender):
        sender.all_good()
        faults.fail(errno.ENOSPC, where)
        for _ in range(3):
            assert sender.c_store() in (0, A700)
            for door in (sender.stow, sender.put, sender.import_):
                assert door() in (200, 201, 503, 507), (where, door.__name__)
        faults.heal()
        if not heals:
            assert sender.c_store() == A700 and "until it is opened again" in site.log.read_text()
            assert readiness(site) == (503, "not ready: a key place failed: start the site again\n")
            assert "a key place failed" in site.cli("status", "--site", site.site)
            site.restart()
        assert readiness(site) == (200, "ok\n")
        sender.works_again()
        sender.check()
        site.kill()
        site.start()
        sender.check()
        log_is_clean(site)


def test_what_the_catalog_has_not_got_yet_is_not_said_to_be_missing(tmp_path):
    """A pack has what was acknowledged; an answer out of the catalog alone would be that there is no such thing."""
    def status(place):
        with site.session() as session:
            return session.get(site.url(place[1], place[0]), timeout=60).status_code

    faults = Faults(tmp_path)
    with site_with(tmp_path / "nx", faults) as (site, sender):
        sender.all_good()
        faults.fail(errno.ENOSPC, "/catalog.db")
        seen = 200
        while seen == 200:  # until its log would have to grow
            sender.c_store()
            seen = status(list(sender.kept)[-1])
        assert seen == 503
        nothing = Sender.place(next(sender.instances))
        for place in (nothing, ("data", "/dicom-web/studies"), ("management", OBJECTS[:-1])):
            assert status(place) == 503, place
        faults.heal()
        sender.works_again()
        assert status(nothing) == 404
        sender.check()
        log_is_clean(site)


def test_an_erasure_that_a_disk_cuts_short_is_finished_by_its_subject(tmp_path):
    """The patient id leads nowhere any more; what was said has the number that the certificate is asked for with."""
    def erase(**who):
        with site.session() as session:
            return session.post(site.url("/api/v1/erasures", "management"), json={"reason": "request", **who}, timeout=60)

    faults = Faults(tmp_path)
    with site_with(tmp_path / "nx", faults) as (site, sender):
        sender.all_good()
        patient = {"collection": "clinical", "patient_id": "PHANTOM-000001"}
        faults.fail(errno.ENOSPC, "/catalog.db")
        while sender.c_store() == 0:
            pass
        unknown = erase(collection="clinical", patient_id="PHANTOM-NOBODY")
        assert unknown.status_code == 503, unknown.text
        faults.fail(errno.ENOSPC, "/ledger/")
        sender.works_again()
        refused = erase(**patient)
        assert refused.status_code == 507, refused.text
        subject = refused.json()["error"]["message"].split(":")[0].removeprefix("subject ")
        faults.heal()
        done = erase(subject=subject)
        assert done.status_code == 201 and done.json()["statement"]["subject"] == subject, done.text


@contextlib.contextmanager
def mounted(folder, size):
    """A file system of its own, where this user may mount one."""
    folder.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "narthex-test", folder],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_small_disk_runs_full_and_is_made_room_on(tmp_path):
    """The real thing: a file system of 48 MiB, filled first by the pool and then by something else."""
    with mounted(tmp_path / "disk", "48m") as disk:
        with site_with(tmp_path / "nx", None, "--pool", f"{disk}/pool") as (site, sender):
            sender.all_good()
            filler = disk / "filler"
            filler.write_bytes(bytes(4 << 20))
            statuses = [sender.put(3 << 20) for _ in range(20)]
            assert set(statuses) == {201, 507} and statuses[-1] == 507
            while sender.c_store() == 0:
                pass
            for _ in range(3):
                sender.all_refused({507})
            filler.unlink()
            sender.works_again()
            sender.check()
            site.restart()
            sender.check()
        log_is_clean(site)


def test_a_pool_is_named_by_an_absolute_path(tmp_path):
    site = Narthex(tmp_path / "nx", init_args=["--pool", "pool"])
    with pytest.raises(ProcessError, match="absolute path"):
        site.init()
    assert not (site.site / "narthex.yaml").exists()


def test_a_pool_that_is_read_only_at_the_start_is_said(tmp_path):
    with mounted(tmp_path / "disk", "48m") as disk:
        with site_with(tmp_path / "nx", None, "--pool", f"{disk}/pool") as (site, sender):
            sender.all_good()
            site.stop()
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            done = site.cli("serve", "--site", site.site, "--passphrase-file", site.passphrase_file, "--ready-file",
                            site.ready_file, check=False, seconds=60)
            assert done.returncode != 0 and "read-only" in done.stderr.lower(), done.stderr
            subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
            site.start()
            sender.check()
            sender.all_good()


def test_a_full_disk_is_in_the_answer(tmp_path):
    """Whoever reads it knows what to do: no path, no patient, but what is full."""
    faults = Faults(tmp_path)
    with site_with(tmp_path / "nx", faults) as (site, sender):
        sender.all_good()
        faults.fail(errno.ENOSPC, "/pool/")
        with site.session() as session:
            answer = session.put(site.url(OBJECTS + "x", "management"), data=b"x" * 100_000, timeout=60)
        assert answer.status_code == 507 and answer.json()["error"]["code"] == "no-space"
        assert "No space left" in answer.json()["error"]["message"]
        done = site.cli("import", "--site", site.site, tmp_path / "faults", check=False)
        assert done.returncode != 0
        faults.heal()
        assert json.loads(site.cli("status", "--json", "--site", site.site))["ready"]
