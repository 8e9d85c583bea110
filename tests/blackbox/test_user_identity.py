"""User identity negotiation (PS3.7 D.3.3.7): who a user is, what it may at a peer, and what proves nothing."""
import json
import subprocess

import pytest
from pydicom.data import get_testdata_file
from testenv import Dcmtk, Narthex
from testenv.peer import IMPLICIT_LE, Association, PeerError, user_identity

VERIFICATION = "1.2.840.10008.1.1"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
CONTEXTS = [(VERIFICATION, [IMPLICIT_LE]), (FIND, [IMPLICIT_LE])]
USERNAME, PASSCODE, KERBEROS, SAML, JWT = 1, 2, 3, 4, 5
NO_REASON = "010101"  # result, source, reason


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    allow = ["--allow-ae", "TESTENV=clinical/workstation", "--allow-ae", "MODALITY=clinical"]
    with Narthex(tmp_path_factory.mktemp("user") / "nx", init_args=allow) as server:
        yield server


@pytest.fixture(scope="module")
def token(site):
    made = {}
    for name, role in (("reader1", "reader"), ("monitor1", "monitor")):
        made[name] = token_new(site, name, role)
    return made


def token_new(site, name, role):
    made = site.cli("token", "create", name, role, "--json", "--site", site.site)
    return json.loads(made)["token"].encode()


def association(site, identity, aet="TESTENV"):
    return Association(site.ports["dimse"], CONTEXTS, aet=aet, more=identity)


def test_who_proves_it_is_answered(site, token):
    with association(site, user_identity(PASSCODE, b"reader1", token["reader1"])) as peer:
        assert peer.user_known and peer.echo().status == 0
    with association(site, user_identity(JWT, token["reader1"])) as peer:
        assert peer.user_known and peer.echo().status == 0
    with association(site, user_identity(PASSCODE, b"reader1", token["reader1"], respond=False)) as peer:
        assert not peer.user_known and peer.echo().status == 0


@pytest.mark.parametrize("kind", [USERNAME, KERBEROS, SAML, 9])
def test_what_proves_nothing_is_not_answered(site, kind):
    with association(site, user_identity(kind, b"reader1")) as peer:
        assert not peer.user_known and peer.echo().status == 0


@pytest.mark.parametrize("name, secret", [(b"reader1", b""), (b"reader1", b"x" * 43), (b"reader1", b"\xff" * 65000),
                                          (b"monitor1", None), (b"", None)])
def test_who_does_not_prove_it_stays_outside(site, token, name, secret):
    with pytest.raises(PeerError, match=NO_REASON):
        association(site, user_identity(PASSCODE, name, token["reader1"] if secret is None else secret))


def test_storescu_as_a_user(site, token, tmp_path):
    """DCMTK's own negotiation, which insists on the answer."""
    argv = ["storescu", "-aet", "TESTENV", "-aec", "NARTHEX", "-rsp", "-usr", "reader1", "-pwd"]
    end = ["127.0.0.1", str(site.ports["dimse"]), get_testdata_file("CT_small.dcm")]
    refused = subprocess.run([*argv, "nothing", *end], capture_output=True, text=True, timeout=60)
    assert refused.returncode and "Rejected" in refused.stderr
    mine = subprocess.run([*argv, token["reader1"].decode(), "-d", *end], capture_output=True, text=True, timeout=60)
    assert "User Identity" in mine.stderr + mine.stdout
    # A reader stores nothing, although this peer may.
    assert mine.returncode and "0x0124" in mine.stderr + mine.stdout


def test_a_user_may_what_both_may(site, token):
    assert Dcmtk(site.ports["dimse"]).storescu([get_testdata_file("CT_small.dcm")]).returncode == 0
    keys = {0x00080052: "STUDY ", 0x0020000d: "1.2.3.4"}  # which nobody has
    for name, aet, status in (("reader1", "TESTENV", 0x0000), ("monitor1", "TESTENV", 0x0124),
                              ("reader1", "MODALITY", 0x0124)):
        with association(site, user_identity(PASSCODE, name.encode(), token[name]), aet) as peer:
            assert peer.find(FIND, keys).status == status, (name, aet)


def test_a_token_counts_at_every_operation(site):
    """Also of an association that is open already."""
    with association(site, user_identity(JWT, token_new(site, "brief", "reader"))) as peer:
        assert peer.echo().status == 0
        site.cli("token", "revoke", "brief", "--site", site.site)
        assert peer.echo().status == 0x0124


def test_the_ledger_names_the_user(site, token):
    site.cli("ledger", "verify", "--site", site.site)
    found = json.loads(site.cli("ledger", "search", "--principal", "reader1", "--json", "--site", site.site))
    assert "query" in {entry["action"] for entry in found["entries"]}, found


def test_users_can_be_required(tmp_path, token):
    config = {"dimse": {"require_user": True}}
    with Narthex(tmp_path / "nx", config, init_args=["--allow-ae", "TESTENV=clinical/workstation"]) as server:
        mine = token_new(server, "reader1", "reader")
        for identity in (b"", user_identity(USERNAME, b"reader1"), user_identity(PASSCODE, b"reader1", token["reader1"])):
            with pytest.raises(PeerError, match=NO_REASON):
                association(server, identity)
        with association(server, user_identity(PASSCODE, b"reader1", mine)) as peer:
            assert peer.user_known and peer.echo().status == 0
