"""Parts of a site put back as they were before: noticed, or harmless.  Never is served what was erased, and never is
something lost without a word."""
import itertools
import shutil

import pytest
import test_patients as patients
from testenv import Narthex, phantom

PARTS = {"keys": ["keys1", "keys2"], "one place": ["keys1"], "catalog": ["catalog.db", "catalog.db-wal", "catalog.db-shm"],
         "ledger": ["ledger"], "pool": ["pool"]}


@pytest.fixture
def site(tmp_path):
    nx = Narthex(tmp_path / "nx").init().start()
    yield nx
    if nx.process:
        nx.stop()


@pytest.fixture(scope="module")
def files():
    """Of patients PA, PB and PC, with a piece that has an extent of its own."""
    plan = phantom.Plan(instances=3, slices=3, series=1, rows=256, columns=256)
    return [patients.of_patient(one.data, "P" + letter, f"2.25.{ord(letter)}")
            for one, letter in zip(phantom.instances(plan), "ABC")]


def put_back(site, old, parts):
    for name in itertools.chain(*(PARTS[part] for part in parts)):
        now, before = site.site / name, old / name
        if now.is_dir():
            shutil.rmtree(now)
        now.unlink(missing_ok=True)
        if before.is_dir():
            shutil.copytree(before, now)
        elif before.exists():
            shutil.copy2(before, now)


def aged(site, tmp_path, files, later=True):
    """The site of a time before PA was erased and, `later`, PC came."""
    patients.stow(site, files[0])
    patients.stow(site, files[1])
    site.stop()
    shutil.copytree(site.site, tmp_path / "old")
    site.start()
    patients.erase(site, "PA")
    if later:
        patients.stow(site, files[2])
    site.stop()
    return tmp_path / "old"


def refusal(site):
    done = site.cli("serve", "--site", site.site, "--passphrase-file", site.passphrase_file, check=False, seconds=60)
    assert done.returncode in (4, 5), done.stderr
    return done.stderr


@pytest.mark.parametrize("parts", [["one place"], ["ledger"], ["catalog", "ledger"]], ids="+".join)
def test_what_packs_and_keys_can_make_again_is_made_again(site, tmp_path, files, parts):
    put_back(site, aged(site, tmp_path, files), parts)
    site.start()
    assert [patients.got(site, file) for file in files] == [404, 200, 200]
    site.cli("ledger", "verify", "--site", site.site)
    site.cli("scrub", "--site", site.site)


@pytest.mark.parametrize("parts, words", [
    (["keys"], "key places are older"), (["pool"], "packs are older"), (["pool", "catalog"], "packs are older"),
    (["keys", "catalog", "ledger"], "has no key"),
], ids=lambda value: "+".join(value) if isinstance(value, list) else "")
def test_what_would_lose_something_stops_the_start(site, tmp_path, files, parts, words):
    old = aged(site, tmp_path, files)
    shutil.copytree(site.site, tmp_path / "new")
    put_back(site, old, parts)
    assert words in refusal(site)
    put_back(site, tmp_path / "new", parts)  # nothing was made worse
    site.start()
    assert [patients.got(site, file) for file in files] == [404, 200, 200]
    site.cli("ledger", "verify", "--site", site.site)


def test_an_erased_patient_that_comes_back_with_old_keys_is_erased_again(site, tmp_path, files):
    put_back(site, aged(site, tmp_path, files, later=False), ["keys"])
    site.start()
    assert "it is erased again" in site.log.read_text()
    site.restart()
    assert site.log.read_text().count("it is erased again") == 1
    assert [patients.got(site, file) for file in files] == [404, 200, 404]
    site.stop()
    site.cli("fsck", "--rebuild", "--site", site.site, "--passphrase-file", site.passphrase_file)
    site.start()
    assert [patients.got(site, file) for file in files] == [404, 200, 404]


def test_packs_that_changed_places_serve_no_wrong_byte(site, files):
    for file in files:
        patients.stow(site, file)
    site.stop()
    packs = sorted((site.site / "pool").rglob("*.nxp"))
    kept = [path.read_bytes() for path in packs]
    for path, data in zip(packs, kept[1:] + kept[:1]):
        path.write_bytes(data)
    done = site.cli("fsck", "--site", site.site, "--passphrase-file", site.passphrase_file, check=False)
    assert done.returncode == 5, done.stderr
    for path, data in zip(packs, kept):
        path.write_bytes(data)
    site.start()
    assert [patients.got(site, file) for file in files] == [200] * 3


@pytest.mark.parametrize("changes, words", [
    ({"pool": {"uri": "dir:{}/pool"}}, "pool dir: another process has this folder"),
    ({"keys": {"places": "{0}/keys1:{0}/keys2"}}, "key place 1: another process has this folder"),
], ids=["pool", "keys"])
def test_a_copy_that_shares_a_folder_is_not_served_beside_the_site(site, tmp_path, files, changes, words):
    """Both would number groups alike: a catalog made again would have the copy's in place of what was acknowledged."""
    patients.stow(site, files[0])
    copy = Narthex(tmp_path / "copy")
    shutil.copytree(site.site, copy.site, ignore=shutil.ignore_patterns("run"))
    copy.configure({section: {key: value.format(site.site) for key, value in keys.items()}
                    for section, keys in changes.items()})
    done = copy.cli("serve", "--site", copy.site, "--passphrase-file", site.passphrase_file, check=False, seconds=60)
    assert done.returncode == 8 and words in done.stderr
    patients.stow(site, files[1])
    site.stop()
    site.cli("fsck", "--rebuild", "--site", site.site, "--passphrase-file", site.passphrase_file)
    site.start()
    assert [patients.got(site, file) for file in files] == [200, 200, 404]
