"""A flipped bit in any file of a site, and logs cut short: never other bytes, and somebody says what is wrong."""
import json
import os
import pathlib
import random
import shutil

import pytest
from testenv import Narthex, ProcessError, find_release, phantom

SEED = int(os.environ.get("NX_DAMAGE_SEED", "1"))
OBJECT = "/api/v1/collections/curated/objects/"
# A kind of file, and how many flips it gets.
KINDS = {
    "catalog": "catalog.db", "catalog's log": "catalog.db-wal", "catalog's index": "catalog.db-shm",
    "packs": "pool/*/*.nxp",
    "ledger tiles": "ledger/**/[0-9]*", "ledger": "ledger/*", "keys, first place": "keys1/*",
    "keys, second place": "keys2/*",
}
# What a start or a command that refuses must say: the part that is damaged, in words of an operator.
WORDS = ("pack", "catalog", "ledger", "key", "checkpoint", "tile", "record")


class Pristine:
    """A site with something in it, as a killed server left it; copies of it are damaged."""

    def __init__(self, folder):
        self.folder = folder
        self.site = Narthex(folder, binary=[find_release()], init_args=["--allow-ae", "TESTENV=clinical"])
        self.expected = {}
        self.site.__enter__()
        self._fill()
        self.site.kill()
        self.copy = folder / "pristine"
        shutil.copytree(self.site.site, self.copy, symlinks=True, ignore=ignore_sockets)

    def _fill(self):
        plan = phantom.Plan(kind="small", instances=12, slices=3, series=2, rows=128, columns=300)
        for one in phantom.instances(plan):
            path = f"/dicom-web/studies/{one.study_uid}/series/{one.series_uid}/instances/{one.sop_uid}"
            self.expected[("data", path)] = one.data
            with self.site.session() as session:
                session.post(self.site.url("/api/v1/collections/clinical/instances", "management"), data=one.data,
                             headers={"Content-Type": "application/dicom"}, timeout=60).raise_for_status()
        dice = random.Random(SEED)
        for n, size in enumerate((10, 5_000, 70_000, 400_000, 1_500_000)):
            data = dice.randbytes(size)
            self.expected[("management", OBJECT + str(n))] = data
            with self.site.session() as session:
                session.put(self.site.url(OBJECT + str(n), "management"), data=data, timeout=60).raise_for_status()
        with self.site.session() as session:  # who asks for rows brings them into the catalog, that is, into its log
            session.get(self.site.url("/dicom-web/studies"), headers={"Accept": "application/dicom+json"},
                        timeout=60).raise_for_status()

    def restore(self):
        shutil.rmtree(self.site.site)
        shutil.copytree(self.copy, self.site.site, symlinks=True)

    def files(self, pattern):
        return sorted(path for path in self.site.site.glob(pattern) if path.is_file() and path.stat().st_size)

    def start(self):
        """None, or what the server said when it refused to start."""
        try:
            self.site.log.unlink(missing_ok=True)
            self.site.start()
            return None
        except ProcessError:
            self.site.process.wait_exit(60)
            self.site.process.check_log()
            self.site.process = None
            return self.site.log.read_text()

    def read_all(self):
        """(exact, refused); other bytes than those that were stored end the test."""
        exact = refused = 0
        with self.site.session() as session:
            for (listener, path), data in self.expected.items():
                try:
                    got = session.get(self.site.url(path, listener), headers={"Accept": "application/dicom, */*"},
                                      timeout=60)
                except OSError:  # the answer was broken off, so nobody takes a part for the whole
                    refused += 1
                    continue
                if got.status_code == 200:
                    assert got.content == data, "other bytes were served"
                    exact += 1
                else:
                    assert got.status_code >= 404, got.status_code
                    refused += 1
        return exact, refused

    def fsck(self, *words):
        return self.site.cli("fsck", "--json", *words, "--site", self.site.site, "--passphrase-file",
                             self.site.passphrase_file, check=False)


def ignore_sockets(folder, names):
    return [name for name in names if (pathlib.Path(folder) / name).is_socket()]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return Pristine(tmp_path_factory.mktemp("damage") / "nx")


def flip(path, dice):
    """Every other flip is near the beginning of a block, where headers are."""
    size = path.stat().st_size
    at = dice.randrange(size)
    if dice.random() < 0.5:
        at = min(at // 4096 * 4096 + dice.randrange(64), size - 1)
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << dice.randrange(8)]))
    return at


def judge(pristine):
    """One damaged site: "refused" at the start, "reported" by a check, or "harmless".  Anything else fails."""
    said = pristine.start()
    if said is not None:
        assert any(word in said for word in WORDS), said
        return "refused"
    exact, refused = pristine.read_all()
    with pristine.site.session() as session:
        scrub = session.post(pristine.site.url("/api/v1/scrub", "management"), timeout=60)
        verify = session.get(pristine.site.url("/api/v1/ledger/verify", "management"), timeout=60)
    pristine.site.stop(clean=(0,))
    sound = scrub.status_code == 200 and scrub.json()["bad"] == 0 and verify.status_code == 200
    checked = pristine.fsck()
    assert not refused or not sound or checked.returncode, "something is not given back, and nobody says so"
    if sound and not checked.returncode:
        assert exact == len(pristine.expected)
        return "harmless"
    return "reported"


def damage(pristine, kind, rounds):
    counts = {}
    dice = random.Random(f"{SEED} {kind}")
    for _ in range(rounds):
        pristine.restore()
        files = pristine.files(KINDS[kind])
        if not files:
            pytest.skip(f"no file of the kind {kind}")
        path = dice.choice(files)
        at = flip(path, dice)
        try:
            verdict = judge(pristine)
        except AssertionError as error:
            raise AssertionError(f"{path.relative_to(pristine.site.site)} at {at}: {error}") from error
        counts[verdict] = counts.get(verdict, 0) + 1
    print(f"{kind}: " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())))


@pytest.mark.parametrize("kind", ["catalog's log", "packs", "ledger tiles", "keys, first place"])
def test_a_flipped_bit(pristine, kind):
    damage(pristine, kind, 1)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_many_flipped_bits(pristine, kind):
    damage(pristine, kind, int(os.environ.get("NX_DAMAGE_ROUNDS", "100")))


@pytest.mark.parametrize("part", [0.0, 0.31, 0.999])
def test_a_catalog_log_that_is_cut_short_is_made_good(pristine, part):
    """The catalog lags behind, and the group records of the packs say what is missing."""
    pristine.restore()
    log = pristine.site.site / "catalog.db-wal"
    assert log.stat().st_size
    os.truncate(log, int(log.stat().st_size * part))
    assert pristine.start() is None
    assert pristine.read_all() == (len(pristine.expected), 0)
    pristine.site.stop()


def test_what_a_refusal_advises_helps(pristine):
    """A catalog that is no more: the start names what to do, and doing it brings everything back."""
    pristine.restore()
    for name in ("catalog.db", "catalog.db-wal", "catalog.db-shm"):
        path = pristine.site.site / name
        if path.exists() and path.stat().st_size:
            path.write_bytes(bytes(path.stat().st_size))
    said = pristine.start()
    assert said is not None and "fsck --rebuild" in said, said
    done = pristine.fsck("--rebuild")
    assert done.returncode == 0 and json.loads(done.stdout)["scrub"]["bad"] == 0, done.stderr
    assert pristine.start() is None
    assert pristine.read_all() == (len(pristine.expected), 0)
    pristine.site.stop()


def test_one_place_of_the_key_store_is_enough(pristine):
    """What one folder lost, the other has; a site whose every folder lost it says so."""
    pristine.restore()
    shutil.rmtree(pristine.site.site / "keys1")
    (pristine.site.site / "keys1").mkdir(mode=0o700)
    said = pristine.start()
    if said is None:
        assert pristine.read_all() == (len(pristine.expected), 0)
        pristine.site.stop()
    else:
        assert "key" in said
