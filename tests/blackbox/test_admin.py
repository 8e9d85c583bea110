"""What an administrator does: commands and their help, passphrases, service manager, set-up, objects of patients."""
import json
import os
import pathlib
import pty
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
import requests
from testenv import Deadline, Dcmtk, Narthex
from testenv.narthex import PASSPHRASE, find_binary
from testenv.process import SANITIZER_ENV

API = "/api/v1"


@pytest.fixture
def site(tmp_path):
    with Narthex(tmp_path / "nx", init_args=["--allow-ae", "TESTENV=clinical"]) as server:
        yield server


@pytest.fixture
def cold(tmp_path):
    """Made, not served."""
    return Narthex(tmp_path / "nx").init()


def run(*args, env=None, **kwargs):
    return subprocess.run([find_binary(), *map(str, args)], capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, **SANITIZER_ENV, **(env or {})}, **kwargs)


def cli(site, *args, **kwargs):
    return site.cli(*args, "--site", site.site, **kwargs)


# ---- help, usage, exit statuses ----

def commands():
    """(noun, verb) of every command, from the man page's headings."""
    page = run("help", "--man").stdout
    titles = [line[4:].replace("\\-", "-").split() for line in page.splitlines() if line.startswith(".SS ")]
    return [tuple(word for word in title[:2] if word.isalpha() and word.islower() or "-" in word and word.islower())
            for title in titles]


def test_every_command_explains_itself():
    found = commands()
    assert len(found) > 35
    for command in found:
        for words in (["help", *command], [*command, "--help"], [*command, "-h"]):
            done = run(*words)
            assert done.returncode == 0 and done.stdout.startswith("narthex " + " ".join(command)), (words, done)
            assert "Options:" in done.stdout and "--json" in done.stdout


def test_help_of_a_noun_lists_its_verbs_and_a_noun_alone_asks_for_one():
    done = run("help", "ledger")
    assert done.returncode == 0 and "ledger verify" in done.stdout and "ae allow" not in done.stdout
    assert "narthex help ledger VERB" in done.stdout
    done = run("ledger")
    assert done.returncode == 2 and "narthex help ledger" in done.stderr


@pytest.mark.parametrize("words, hint", [
    (["nonsense"], "narthex help"),
    (["ls", "--nonsense"], "narthex help ls"),
    (["ls", "-n"], "narthex help ls"),
    (["key", "rotate", "a", "b"], "narthex help key rotate"),
    (["put", "only-one"], "narthex help put"),
    (["ls", "--limit", "0", "--site", "/nowhere"], "--limit"),
    (["help", "nonsense"], "no such command"),
    (["find", "patient"], "study, series or instance"),
    (["find", "study", "--limit", "0"], "--limit"),
    (["find", "study", "PatientNaem=X"], "PatientNaem is neither"),
    (["find", "study", "PatientName"], "KEY=VALUE"),
])
def test_wrong_usage_is_status_2_and_names_the_help(words, hint):
    done = run(*words)
    assert done.returncode == 2 and hint in done.stderr and not done.stdout


def test_exit_statuses_are_in_the_man_page_and_mean_what_it_says(site, tmp_path):
    page = run("help", "--man").stdout
    for status in (0, 1, 2, 3, 4, 5, 6, 7, 8, 130):
        assert f"\n.B {status}\n" in page
    expected = {
        3: site.cli("get", "--object", "none", tmp_path / "x", "--site", site.site, check=False),
        4: run("status", "--url", site.url("", "management"), "--cacert", site.ca, env={"NARTHEX_TOKEN": "A" * 43}),
        6: run("status", "--url", "https://127.0.0.1:1", env={"NARTHEX_TOKEN": "A" * 43}),
        7: site.cli("collection", "create", "clinical", "--site", site.site, check=False),
        8: site.cli("serve", "--site", site.site, "--passphrase-file", site.passphrase_file, check=False),
    }
    for status, done in expected.items():
        assert done.returncode == status and done.stderr.startswith("narthex: "), (status, done)
    assert not (tmp_path / "x").exists() and not (tmp_path / "x.part").exists()


def test_output_that_is_not_taken_is_an_error(site):
    for words in (["status"], ["status", "--json"], ["ledger", "search"]):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([find_binary(), *words, "--site", site.site], stdout=full, stderr=subprocess.PIPE,
                                  text=True, check=False, env={**os.environ, **SANITIZER_ENV})
        assert done.returncode == 1 and "standard output" in done.stderr, words


def test_a_folder_without_a_site_is_not_a_site_that_is_down(cold, tmp_path):
    done = run("status", "--site", tmp_path / "nothing")
    assert done.returncode == 3 and "no site" in done.stderr
    done = run("status", "--site", cold.site)
    assert done.returncode == 6 and "not being served" in done.stderr


def test_a_rule_that_can_never_match_is_refused(site):
    for address in ("192.0.2", "ct01.example.org", "cn:"):
        done = cli(site, "ae", "allow", "CT01", "clinical", "--address", address, check=False)
        assert done.returncode == 2 and "IP address" in done.stderr
    for address in ("192.0.2.1", "2001:db8::1", "cn:ct01"):
        cli(site, "ae", "allow", "CT01", "clinical", "--address", address)


def test_tables_have_titles_and_stay_in_their_columns(site, tmp_path):
    cli(site, "collection", "create", "a-name-of-a-collection-that-is-wider-than-its-column")
    lines = cli(site, "collection", "list").splitlines()
    at = lines[0].index("ZONE")
    assert len(lines) == 5 and all(line[at - 1] == " " and line[at] != " " for line in lines)
    assert all(line == line.rstrip() for line in lines)
    found = cli(site, "ledger", "search", "--limit", "3").splitlines()
    assert found[0].split() == ["ENTRY", "TIME", "ACTION", "OUTCOME", "BY"] and len(found) == 4
    assert "done" in found[1]
    who = cli(site, "who-saw", "--user", "installer").splitlines()
    assert who[0].split() == found[0].split() and who[-1].startswith("entries in all: ")
    assert cli(site, "who-saw", check=False).returncode == 2
    done = cli(site, "who-saw", "--patient", "nobody", check=False)
    assert done.returncode == 3 and "--subject" in done.stderr
    assert "places" in cli(site, "key", "status")


def test_what_prints_data_prints_json(site):
    for words in (["status"], ["ls"], ["find", "study"], ["collection", "list"], ["ae", "list"], ["token", "list"],
                  ["key", "status"], ["key", "rotate"], ["scrub"], ["ledger", "verify"], ["ledger", "search"],
                  ["ledger", "checkpoint"], ["release", "list"], ["release", "verifier"], ["doctor"], ["config"],
                  ["bench", "--mib", "1"], ["version"]):
        args = words if words == ["version"] else [*words, "--site", site.site]
        json.loads(site.cli(*args, "--json", check=words != ["doctor"]) if words != ["doctor"]
                   else site.cli(*args, "--json", check=False).stdout)


# ---- long work ----

def on_terminal(argv, interrupt_at=None):
    """Run with standard error on a terminal; (status, standard output, what the terminal saw)."""
    outer, inner = pty.openpty()
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=inner, stdin=subprocess.DEVNULL,
                             env={**os.environ, **SANITIZER_ENV})
    os.close(inner)
    seen = b""
    while True:
        try:
            piece = os.read(outer, 4096)
        except OSError:
            break
        if not piece:
            break
        seen += piece
        if interrupt_at and interrupt_at in seen:
            child.send_signal(signal.SIGINT)
            interrupt_at = None
    os.close(outer)
    out = child.communicate(timeout=120)[0]
    return child.returncode, out.decode(), seen.decode(errors="replace")


def test_a_bar_is_drawn_on_a_terminal_only_and_ctrl_c_leaves_nothing(site, tmp_path):
    big = tmp_path / "big"
    with open(big, "wb") as file:
        file.truncate(3 << 30)
    argv = [*site.binary, "put", str(big), "big", "--site", str(site.site)]
    status, out, seen = on_terminal(argv, interrupt_at=b"%")
    assert status == 130 and "interrupted" in seen and "put" in seen and not out
    assert json.loads(cli(site, "ls", "--json"))["objects"] == []
    small = tmp_path / "small"
    small.write_bytes(b"x" * 1000)
    done = cli(site, "put", small, "small", check=False)
    assert done.returncode == 0 and not done.stderr
    cli(site, "get", "--object", "small", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == small.read_bytes()


def test_an_interrupted_get_leaves_no_file(site, tmp_path):
    big = tmp_path / "big"
    with open(big, "wb") as file:
        file.truncate(1 << 30)
    cli(site, "put", big, "big")
    argv = [*site.binary, "get", "--object", "big", str(tmp_path / "back"), "--site", str(site.site)]
    status, _, _ = on_terminal(argv, interrupt_at=b"%")
    assert status == 130
    assert not (tmp_path / "back").exists() and not (tmp_path / "back.part").exists()


def test_import_names_what_is_not_there(site, tmp_path):
    done = cli(site, "import", tmp_path / "nowhere", check=False)
    assert done.returncode == 1 and "nowhere: No such file" in done.stderr


def test_import_leaves_the_directory_of_a_medium_out(site, corpus):
    done = cli(site, "import", corpus.pydicom_file("dicomdirtests/DICOMDIR"), "--json", check=False)
    assert done.returncode == 0 and "left out" in done.stderr, done
    assert json.loads(done.stdout)["left_out"] == 1
    assert json.loads(cli(site, "status", "--json"))["holds"]["quarantined"] == 0


@pytest.mark.parametrize("keep", [None, 1000])
def test_no_door_takes_the_directory_of_a_medium(site, corpus, keep):
    """It is of many patients: kept aside it would be of none, and no erasure would reach it."""
    data = pathlib.Path(corpus.pydicom_file("dicomdirtests/DICOMDIR")).read_bytes()[:keep]
    answer = site.session().post(site.url(f"{API}/collections/clinical/instances", "management"), data=data, timeout=60)
    assert answer.status_code == 415 and "DICOMDIR" in answer.json()["error"]["message"]
    answer = site.session().post(site.url("/dicom-web/studies"), timeout=60,
                                 data=b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--b--\r\n",
                                 headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'})
    failure, = answer.json()["0008119A"]["Value"]
    assert answer.status_code == 409 and failure["00081197"]["Value"] == [0x0122]
    assert json.loads(cli(site, "status", "--json"))["holds"]["quarantined"] == 0


def test_import_into_a_collection_that_is_not_there_stops_at_once(site, tmp_path):
    for i in range(50):
        (tmp_path / f"{i}.dcm").write_bytes(b"x" * 200)
    done = cli(site, "import", tmp_path, "--collection", "nowhere", "--jobs", "1", check=False)
    assert done.returncode == 3 and done.stderr.count("\n") <= 3


# ---- what a new user met ----

def test_a_number_that_is_none_is_wrong_usage(site):
    for words in (["quarantine", "show", "abc"], ["quarantine", "get", "0", "x"], ["conflict", "show", "x1"]):
        done = cli(site, *words, check=False)
        assert done.returncode == 2 and "whole number from 1" in done.stderr, done
    assert cli(site, "quarantine", "show", "7", check=False).returncode == 3


def test_a_large_file_is_no_certificate(site, tmp_path):
    (tmp_path / "large").write_bytes(b"{" * 3_000_000)
    done = cli(site, "certificate", "check", tmp_path / "large", check=False)
    assert done.returncode == 5 and "no certificate of erasure" in done.stderr


def test_a_backup_does_not_mix_with_what_is_there(site, tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "photos").mkdir()
    done = cli(site, "backup", folder, check=False)
    assert done.returncode == 7 and "something else" in done.stderr and [p.name for p in folder.iterdir()] == ["photos"]
    (folder / "photos").rmdir()
    cli(site, "backup", folder)
    (folder / "notes.txt").write_text("kept")  # beside a backup that is this site's
    cli(site, "backup", folder)
    (folder / "backup.json").unlink()  # as after a first backup that was cut short
    (folder / "notes.txt").unlink()
    cli(site, "backup", folder)


def test_the_newest_entries_come_first_when_asked_for(site):
    cli(site, "status")
    cli(site, "quarantine", "show", "7", check=False)
    found = json.loads(cli(site, "ledger", "search", "--last", "5", "--json"))["entries"]
    indexes = [entry["index"] for entry in found]
    assert len(found) == 5 and indexes == sorted(indexes, reverse=True)
    whole = json.loads(cli(site, "ledger", "search", "--json"))["entries"]
    assert found[0]["index"] + 2 >= whole[-1]["index"] and whole[0]["index"] == 0
    kind = whole[1]["action"]
    found = json.loads(cli(site, "ledger", "search", "--last", "1", "--action", kind, "--json"))["entries"]
    assert [entry["action"] for entry in found] == [kind]
    assert found[0]["index"] == max(entry["index"] for entry in whole if entry["action"] == kind)
    first = whole[0]["time"]
    assert not json.loads(cli(site, "ledger", "search", "--last", "9", "--to", first[:19] + "Z", "--json"))["entries"]
    for words in (["--last", "0"], ["--last", "x"], ["--last", "1", "--after", "1"]):
        assert cli(site, "ledger", "search", *words, check=False).returncode == 2


def test_a_refusal_is_logged_with_route_peer_and_principal(site):
    uid = "1.2.3.4.5.6.7.8.9"
    reader = json.loads(cli(site, "token", "create", "desk", "reader", "--json"))["token"]
    session = site.session(reader)
    assert session.get(site.url(f"/dicom-web/studies/{uid}"), timeout=60).status_code == 404
    assert session.get(site.url(f"{API}/tokens", "management"), timeout=60).status_code == 403
    assert site.session("A" * 43).get(site.url(f"{API}/tokens", "management"), timeout=60).status_code == 401
    lines = [json.loads(line) for line in site.log.read_text().splitlines() if "request-refused" in line]
    seen = {(line["code"], line.get("route"), line["peer"], line.get("principal")) for line in lines}
    assert ("not-found", "GET /dicom-web/studies/{study}", "127.0.0.1", "desk") in seen, seen
    assert ("denied", f"GET {API}/tokens", "127.0.0.1", "desk") in seen, seen
    assert ("unauthenticated", f"GET {API}/tokens", "127.0.0.1", None) in seen, seen
    assert uid not in site.log.read_text()


def test_threads_have_names(site):
    """So that `top -H` says what is busy."""
    with socket.create_connection(("127.0.0.1", site.ports["dimse"])), site.session() as session:
        session.get(site.url("/dicom-web/studies"), timeout=60)
        wanted = {"accept", "dimse", "http", "http-reaper", "committer", "keeper", "checkpoint", "zeros"}
        deadline = Deadline(30)
        while wanted - {path.read_text().strip() for path in
                        pathlib.Path(f"/proc/{site.process.child.pid}/task").glob("*/comm")}:
            deadline.wait("every thread is there")


# ---- objects: listing, patients ----

def put_many(site, n):
    """Through a few connections; keys sort as numbers do."""
    def some(first):
        session = site.session()
        for i in range(first, n, 4):
            session.put(site.url(f"{API}/collections/curated/objects/many/{i:06d}", "management"), data=b"x",
                        timeout=60).raise_for_status()
    threads = [threading.Thread(target=some, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_long_listing_comes_in_pages(site):
    put_many(site, 2300)
    url = site.url(f"{API}/collections/curated/objects", "management")
    page = site.session().get(url, params={"prefix": "many/"}, timeout=60).json()
    assert len(page["objects"]) == 1000 and page["next"] == "many/000999"
    listed = json.loads(cli(site, "ls", "many/", "--json"))
    assert [one["key"] for one in listed["objects"]] == [f"many/{i:06d}" for i in range(2300)]
    assert listed["next"] is None
    part = json.loads(cli(site, "ls", "many/", "--after", "many/001500", "--limit", "3", "--json"))
    assert [one["key"][-4:] for one in part["objects"]] == ["1501", "1502", "1503"] and part["next"] == "many/001503"
    assert len(cli(site, "ls", "many/").splitlines()) == 2301


def test_an_object_of_a_patient_is_accounted_for_and_erased(site, tmp_path):
    file = tmp_path / "report.pdf"
    file.write_bytes(b"%PDF-1.7 not really")
    assert cli(site, "put", file, "report", "--patient", "P 1", check=False).returncode == 2
    done = json.loads(cli(site, "put", file, "report", "--patient", "P 1", "--issuer", "H", "--collection", "clinical",
                          "--json"))
    assert len(done["subject"]) == 16
    cli(site, "get", "--object", "report", tmp_path / "back", "--collection", "clinical")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    who = ["--patient", "P 1", "--issuer", "H", "--collection", "clinical"]
    seen = json.loads(cli(site, "who-saw", *who, "--json"))
    assert seen["subject"] == done["subject"]
    assert {entry["action"] for entry in seen["entries"]} >= {"object.put", "read"}
    other = cli(site, "put", file, "report", "--patient", "P 2", "--collection", "clinical", check=False)
    assert other.returncode == 7
    certificate = tmp_path / "certificate.json"
    cli(site, "erase", *who, "--reason", "order 1", "--yes", "--certificate", certificate)
    assert json.loads(certificate.read_text())["statement"]["items"] == 1
    assert cli(site, "get", "--object", "report", tmp_path / "gone", "--collection", "clinical",
               check=False).returncode == 3
    assert json.loads(cli(site, "ls", "--collection", "clinical", "--json"))["objects"] == []
    assert "signed it" in cli(site, "certificate", "check", certificate)
    certificate.write_text(certificate.read_text().replace("order 1", "order 2"))
    assert cli(site, "certificate", "check", certificate, check=False).returncode == 5


def test_the_api_takes_a_patient_with_an_object(site):
    url = site.url(f"{API}/collections/clinical/objects/note", "management")
    first = site.session().put(url, data=b"1", params={"patient": "Ä/1", "issuer": "H"}, timeout=60)
    assert first.status_code == 201 and first.json()["subject"]
    again = site.session().put(url, data=b"2", timeout=60)
    assert again.json()["subject"] == first.json()["subject"]
    assert site.session().put(url, data=b"3", params={"patient": "Ä/2"}, timeout=60).status_code == 409
    assert site.session().put(url, data=b"3", params={"issuer": "H"}, timeout=60).status_code == 400


# ---- keys ----

def test_a_further_key_place_serves_when_the_others_are_lost(site, tmp_path):
    cli(site, "key", "place", tmp_path / "third")
    assert json.loads(cli(site, "key", "status", "--json"))["places"] == 3
    site.stop()
    site.configure({"keys": {"places": f"keys1:keys2:{tmp_path / 'third'}"}})
    site.start()
    site.stop()
    for name in ("keys1", "keys2"):
        shutil.rmtree(site.site / name)
    site.configure({"keys": {"places": str(tmp_path / "third")}})
    site.start()
    assert json.loads(cli(site, "status", "--json"))["ready"]


def test_a_key_place_that_is_gone_is_named_by_its_number(cold):
    shutil.rmtree(cold.site / "keys2")
    done = run("fsck", "--site", cold.site, env={"NARTHEX_PASSPHRASE": PASSPHRASE})
    assert done.returncode == 3 and "key place 2" in done.stderr, done.stderr


def test_one_folder_is_not_two_key_places(cold):
    (cold.site / "same").symlink_to("keys1")
    for places in ("keys1:keys1", "keys1:same"):
        cold.configure({"keys": {"places": places}})
        done = run("fsck", "--site", cold.site, env={"NARTHEX_PASSPHRASE": PASSPHRASE})
        assert done.returncode == 1 and "same folder as key place 1" in done.stderr, done.stderr


def test_a_token_has_no_role_of_a_peer(site):
    done = cli(site, "token", "create", "ct", "modality", check=False)
    assert done.returncode == 2 and "DICOM peers" in done.stderr


# ---- passphrase ----

def check_config(cold, *args, env=None, **kwargs):
    return run("fsck", "--site", cold.site, *args, env=env, **kwargs)


def test_no_core_file_is_made_of_the_server(site):
    (line,) = [one for one in pathlib.Path(f"/proc/{site.process.pid}/limits").read_text().splitlines()
               if one.startswith("Max core file size")]
    assert line.split()[4:6] == ["1", "1"]  # 1: not even by a program that core_pattern names


def test_the_passphrase_comes_from_a_descriptor(cold):
    ours, theirs = os.pipe()
    os.write(theirs, PASSPHRASE.encode() + b"\n")
    os.close(theirs)
    done = check_config(cold, "--passphrase-fd", ours, pass_fds=[ours])
    os.close(ours)
    assert done.returncode == 0, done.stderr


def test_the_passphrase_comes_from_the_environment(cold):
    assert check_config(cold, env={"NARTHEX_PASSPHRASE": PASSPHRASE}, stdin=subprocess.DEVNULL).returncode == 0
    assert check_config(cold, env={"NARTHEX_PASSPHRASE": "wrong"}, stdin=subprocess.DEVNULL).returncode == 4


def test_the_passphrase_comes_from_a_systemd_credential(cold, tmp_path):
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/passphrase").write_text(PASSPHRASE)
    assert check_config(cold, env={"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}).returncode == 0


def at_prompt(argv, answers):
    """On a terminal of its own; answers each prompt.  None: Ctrl-C.  (status, what was shown, echo is on)."""
    pid, tty = pty.fork()
    if pid == 0:
        os.execve(argv[0], argv, {**os.environ, **SANITIZER_ENV})
    shown = b""
    for prompt, answer in answers:
        while prompt not in shown:
            shown += os.read(tty, 4096)
        os.write(tty, b"\x03" if answer is None else answer.encode() + b"\n")
    try:
        while True:
            piece = os.read(tty, 4096)
            if not piece:
                break
            shown += piece
    except OSError:
        pass
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(tty)
    return status, shown.decode()


def test_the_passphrase_is_asked_for_and_not_shown(cold, tmp_path):
    binary = str(find_binary())
    status, shown = at_prompt([binary, "fsck", "--site", str(cold.site)], [(b"Passphrase: ", PASSPHRASE)])
    assert status == 0 and PASSPHRASE not in shown and "sound" in shown
    new = [binary, "init", "--site", str(tmp_path / "new")]
    status, shown = at_prompt(new, [(b"Passphrase: ", "one passphrase"), (b"Again: ", "another one")])
    assert status == 2 and "not the same" in shown and not (tmp_path / "new").exists()


def test_a_new_passphrase_is_not_a_short_one(cold, tmp_path):
    done = run("init", "--site", tmp_path / "new", env={"NARTHEX_PASSPHRASE": "1234567"})
    assert done.returncode == 2 and "at least" in done.stderr and not (tmp_path / "new").exists()


def test_a_passphrase_file_for_everybody_is_warned_of(cold):
    assert "open to everybody" not in check_config(cold, "--passphrase-file", cold.passphrase_file).stderr
    cold.passphrase_file.chmod(0o644)
    done = check_config(cold, "--passphrase-file", cold.passphrase_file)
    assert done.returncode == 0 and "open to everybody" in done.stderr


def test_ctrl_c_at_the_prompt_ends_in_order(cold):
    status, shown = at_prompt([str(find_binary()), "fsck", "--site", str(cold.site)], [(b"Passphrase: ", None)])
    assert status == 130, shown


def test_without_any_passphrase_it_says_how_to_give_one(cold):
    done = check_config(cold, stdin=subprocess.DEVNULL, start_new_session=True)
    assert done.returncode == 2 and "--passphrase-file" in done.stderr


# ---- configuration ----

def test_the_environment_goes_over_the_file(cold):
    done = run("config", "--json", "--site", cold.site, env={"NARTHEX_HTTP_IDLE_SECONDS": "77"})
    assert json.loads(done.stdout)["http.idle_seconds"] == "77"
    done = run("serve", "--check-config", "--site", cold.site, env={"NARTHEX_HTTP_IDLE_SECONDS": "soon"})
    assert done.returncode == 1 and "http.idle_seconds" in done.stderr and "environment" in done.stderr


def test_the_reference_has_every_key(cold):
    reference = run("config", "--reference").stdout
    config = json.loads(run("config", "--json", "--site", cold.site).stdout)
    assert len(config) > 20
    for name in config:
        section, key = name.split(".")
        assert f"## {section}\n" in reference
        assert f"| `{key}` |" in reference, name


@pytest.mark.parametrize("changes, said", [
    ({"listen": {"data": "pacs.example.org:8443"}}, "listen.data: not an IP address"),
    ({"keys": {"places": "keys1:elsewhere"}}, "keys.places: "),
    ({"tls": {"certificate": "tls/none.pem"}}, "none.pem"),
    ({"tls": {"client_ca": "tls/none.pem"}}, "none.pem"),
])
def test_check_config_sees_what_would_keep_the_site_from_starting(cold, changes, said):
    assert run("serve", "--check-config", "--site", cold.site).returncode == 0
    cold.configure(changes)
    done = run("serve", "--check-config", "--site", cold.site)
    assert done.returncode == 1 and said in done.stderr and "narthex.yaml" in done.stderr, done.stderr


def test_a_mistake_in_the_file_has_a_line(cold):
    (cold.site / "narthex.yaml").write_text('site:\n  name: "x"\nlisten:\n  data: "off"\n\tdimse: "off"\n')
    done = run("serve", "--check-config", "--site", cold.site)
    assert done.returncode == 1 and "near line 4" in done.stderr, done.stderr


def test_a_misspelt_variable_is_not_ignored(cold):
    done = run("config", "--site", cold.site, env={"NARTHEX_HTTP_IDLE": "77"})
    assert done.returncode == 1 and "NARTHEX_HTTP_IDLE is no key" in done.stderr and "77" not in done.stderr


# ---- making a site ----

@pytest.mark.parametrize("wrong, said", [
    (["--allow-ae", "CT01"], "CALLING[:CALLED[:ADDRESS]]"),
    (["--allow-ae", "CT01=nowhere"], "nowhere"),
    (["--allow-ae", "CT01:NARTHEX:192.0.2=clinical"], "IP address"),
    (["--allow-ae", "A TITLE THAT IS TOO LONG=clinical"], "AE title"),
    (["--environment", "live"], "dev test prod"),
    (["--domain", "x"] * 40, "too many"),
])
def test_init_makes_nothing_where_something_is_wrong(tmp_path, wrong, said):
    done = run("init", "--site", tmp_path / "new", *wrong, env={"NARTHEX_PASSPHRASE": PASSPHRASE})
    assert done.returncode in (1, 2) and said in done.stderr and not (tmp_path / "new").exists(), done


def test_an_init_that_fails_leaves_nothing_to_serve(tmp_path):
    (tmp_path / "pool").write_text("in the way")
    done = run("init", "--site", tmp_path, env={"NARTHEX_PASSPHRASE": PASSPHRASE})
    assert done.returncode and not (tmp_path / "narthex.yaml").exists()


def test_the_hint_to_serve_is_whole(tmp_path):
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    done = run("init", "--site", tmp_path / "new", "--passphrase-file", tmp_path / "passphrase")
    hint = done.stdout.splitlines()[-1].removeprefix("Serve it:  narthex ").split()
    assert run(*hint, "--check-config").returncode == 0 and "--passphrase-file" in hint


# ---- doctor, bench ----

def doctor(cold, **kwargs):
    done = run("doctor", "--json", "--site", cold.site, **kwargs)
    found = json.loads(done.stdout)
    assert all((one["verdict"] == "good") == (one["advice"] is None) for one in found)
    assert (done.returncode == 1) == any(one["verdict"] == "bad" for one in found)
    return {one["check"]: one["verdict"] for one in found}


def self_signed(folder, name, days):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=x", "-addext", f"subjectAltName=DNS:{name}", "-days", str(days),
                    "-keyout", folder / "server-key.pem", "-out", folder / "server.pem"],
                   check=True, capture_output=True, timeout=60)


def break_permissions(cold):
    (cold.site / "keys2/keys.nxk").chmod(0o644)


def break_place(cold):
    shutil.rmtree(cold.site / "keys2")


def break_catalog(cold):
    (cold.site / "catalog.db").unlink()


def break_pool_mount(cold):
    cold.configure({"pool": {"uri": f"dir:{cold.folder / 'empty'}"}})
    (cold.folder / "empty").mkdir()


def break_certificate_end(cold):
    self_signed(cold.site / "tls", "localhost", 5)


def break_certificate_key(cold):
    pem = (cold.site / "tls/server.pem").read_bytes()
    self_signed(cold.site / "tls", "localhost", 400)
    (cold.site / "tls/server.pem").write_bytes(pem)


def break_host(cold):
    self_signed(cold.site / "tls", "pacs.example.org", 400)


def break_plain(cold):
    cold.configure({"listen": {"dimse": "0.0.0.0:11112"}, "dimse": {"allow_plain": "yes"}})


def break_time(cold):
    os.utime(cold.site / "catalog.db", (time.time() + 90000, time.time() + 90000))


@pytest.mark.parametrize("breaks, check, verdict", [
    (break_permissions, "permissions", "bad"),
    (break_place, "key places", "bad"),
    (break_catalog, "catalog", "bad"),
    (break_pool_mount, "catalog", "bad"),
    (break_certificate_end, "certificate", "warn"),
    (break_certificate_key, "certificate", "bad"),
    (break_host, "host name", "warn"),
    (break_plain, "plain DICOM", "warn"),
    (break_time, "time", "bad"),
])
def test_doctor_sees(cold, breaks, check, verdict):
    assert doctor(cold)[check] == "good" or check == "key places"
    breaks(cold)
    assert doctor(cold)[check] == verdict


def test_doctor_sees_places_on_one_device(cold):
    assert doctor(cold)["key places"] == "warn"


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no tmpfs at hand")
def test_doctor_sees_a_pool_in_memory(cold, request):
    pool = pathlib.Path("/dev/shm") / f"narthex-test-{os.getpid()}"
    shutil.copytree(cold.site / "pool", pool)
    request.addfinalizer(lambda: shutil.rmtree(pool))
    cold.configure({"pool": {"uri": f"dir:{pool}"}})
    assert doctor(cold)["pool"] == "bad"


def test_doctor_sees_low_limits(cold):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
    found = doctor(cold, preexec_fn=limit)
    assert found["open files"] == "bad" and found["locked memory"] == "warn"


@pytest.mark.skipif(os.getuid() != 0, reason="files of another user take root")
def test_doctor_sees_files_of_another_user(cold):
    os.chown(cold.site / "ledger", 1, 1)
    assert doctor(cold)["owner"] == "bad"


def test_bench_measures_and_leaves_nothing(cold):
    before = sorted(path for path in cold.site.rglob("*"))
    rows = json.loads(run("bench", "--mib", "8", "--json", "--site", cold.site).stdout)
    assert {row["name"] for row in rows} == {"hash", "seal", "open", "write", "read", "commit"}
    assert all(row["value"] > 0 for row in rows)
    assert sorted(path for path in cold.site.rglob("*")) == before


# ---- the service manager ----

@pytest.fixture
def manager(tmp_path):
    """A notify socket, and everything that was said on it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(0.1)
        yield sock


def heard(sock, word, seconds=60):
    deadline = Deadline(seconds)
    while True:
        try:
            text = sock.recv(4096).decode()
        except TimeoutError:
            deadline.wait(word)
            continue
        if word in text.split("\n"):
            return text


def test_the_service_manager_hears_of_everything(tmp_path, manager):
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    with Narthex(tmp_path / "nx", env=env) as site:
        heard(manager, "STATUS=opening the site")
        assert "STATUS=serving" in heard(manager, "READY=1")
        heard(manager, "WATCHDOG=1")
        heard(manager, "WATCHDOG=1")
        site.process.child.send_signal(signal.SIGHUP)
        heard(manager, "RELOADING=1")
        heard(manager, "READY=1")
        site.stop()
        heard(manager, "STOPPING=1")


def slow_put(site, seconds):
    """A put whose body takes its time, from another thread, and has begun; the list gets the status."""
    result, begun = [], threading.Event()
    session, url = site.session(), site.url(f"{API}/collections/curated/objects/slow", "management")

    def body():
        for i in range(int(seconds * 10)):
            time.sleep(0.1)
            if i == 5:  # the handshake is made, and pieces were taken
                begun.set()
            yield b"x" * 10000

    def send():
        try:
            result.append(session.put(url, data=body(), timeout=60).status_code)
        except requests.RequestException as error:
            result.append(error)
    thread = threading.Thread(target=send)
    thread.start()
    assert begun.wait(60), result
    return thread, result


def refused(port):
    with socket.socket() as sock:
        sock.settimeout(5)
        return sock.connect_ex(("127.0.0.1", port)) != 0


def test_a_stop_finishes_what_is_in_flight_and_refuses_what_is_new(site):
    thread, result = slow_put(site, 6)
    site.process.child.send_signal(signal.SIGTERM)
    deadline = Deadline(30)
    while not all(refused(site.ports[name]) for name in ("dimse", "dimse_tls", "data", "management")):
        deadline.wait("new connections are refused")
    assert thread.is_alive()
    thread.join()
    assert result == [201]
    assert site.process.wait_exit(30) == 0
    site.process = None
    site.start()
    assert len(json.loads(cli(site, "ls", "--json"))["objects"]) == 1


def test_a_stop_does_not_wait_longer_than_it_may(tmp_path):
    with Narthex(tmp_path / "nx", config={"server": {"stop_seconds": "1"}}) as site:
        thread, result = slow_put(site, 20)
        start = time.monotonic()
        site.stop(seconds=15)
        assert time.monotonic() - start < 10
        thread.join()
        assert result != [201]


def test_sighup_drops_no_connection_and_serves_the_new_certificate(site):
    session = site.session()
    assert session.get(site.url("/livez", "management"), timeout=60).status_code == 200
    thread, result = slow_put(site, 5)
    self_signed(site.site / "tls", "localhost", 400)
    site.process.child.send_signal(signal.SIGHUP)
    deadline = Deadline(30)
    while "were read again" not in site.log.read_text():
        deadline.wait("reload")
    for listener in ("management", "data"):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{site.ports[listener]}"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
        assert "subject=CN = x" in done.stdout
    thread.join()
    assert result == [201]


def test_sighup_waits_for_who_has_come_and_not_asked_yet(site):
    context = ssl.create_default_context(cafile=site.ca)
    plain = socket.create_connection(("127.0.0.1", site.ports["management"]), timeout=60)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as sock:
        site.process.child.send_signal(signal.SIGHUP)
        deadline = Deadline(30)
        while "were read again" not in site.log.read_text():
            deadline.wait("reload")
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")


def test_the_heartbeat_goes_on_while_a_reload_waits_for_the_one_before(tmp_path, manager):
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
    with Narthex(tmp_path / "nx", env=env) as site:
        heard(manager, "READY=1")
        thread, result = slow_put(site, 8)
        site.process.child.send_signal(signal.SIGHUP)
        heard(manager, "RELOADING=1")
        heard(manager, "READY=1")
        for _ in range(3):
            site.process.child.send_signal(signal.SIGHUP)
        heard(manager, "WATCHDOG=1", seconds=2)
        heard(manager, "WATCHDOG=1", seconds=2)
        heard(manager, "WATCHDOG=1", seconds=2)
        assert thread.is_alive()
        heard(manager, "RELOADING=1")
        heard(manager, "READY=1")
        thread.join()
        assert result == [201]


def test_a_certificate_that_does_not_load_is_not_taken(site):
    (site.site / "tls/server.pem").write_text("no certificate\n")
    site.process.child.send_signal(signal.SIGHUP)
    deadline = Deadline(30)
    while '"reload"' not in site.log.read_text():
        deadline.wait("reload")
    assert site.session().get(site.url("/livez", "management"), timeout=60).status_code == 200
    assert Dcmtk(site.ports["dimse"]).echoscu().returncode == 0


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_the_unit_is_sound_and_locked_down(tmp_path):
    source = pathlib.Path(__file__).resolve().parents[2] / "packaging/narthex.service.in"
    unit = tmp_path / "narthex.service"
    unit.write_text(source.read_text().replace("@bindir@/narthex", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60,
                          check=False)
    assert "narthex.service" not in done.stdout + done.stderr, done.stderr
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
