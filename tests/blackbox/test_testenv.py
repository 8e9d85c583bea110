"""The test environment itself: a check that cannot fail proves nothing."""
import sys
import textwrap
import time

import pydicom
import pytest
from testenv import Deadline, Dcmtk, Narthex, ProcessError, phantom
from testenv.dcmtk import StoreScp
from testenv.narthex import merge
from testenv.process import Process

# As much of the server's command line as the class Narthex uses.
STAND_IN = """
    import json, os, pathlib, signal, sys, time
    args = dict(zip(sys.argv[2::2], sys.argv[3::2])) if sys.argv[1] == "serve" else {}
    if sys.argv[1] == "init":
        site = pathlib.Path(sys.argv[sys.argv.index("--site") + 1])
        site.mkdir()
        (site / "narthex.yaml").write_text("log: info\\nlisten: {dimse: '0.0.0.0:104'}\\n")
        print(json.dumps({"site": str(site), "admin_token": "t0ken"}))
        sys.exit(0)
    AT_START
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(AT_STOP))
    ready = pathlib.Path(args["--ready-file"])
    ready.with_suffix(".tmp").write_text(json.dumps({"pid": os.getpid(), "ports": {"dimse": 1}, "ca": "ca.pem"}))
    ready.with_suffix(".tmp").rename(ready)
    while True:
        time.sleep(1)
"""


def stand_in(tmp_path, at_start="pass", at_stop="0"):
    script = tmp_path / "stand_in.py"
    script.write_text(textwrap.dedent(STAND_IN).replace("AT_START", at_start).replace("AT_STOP", at_stop))
    return [sys.executable, script]


def test_a_server_is_made_started_and_stopped(tmp_path):
    with Narthex(tmp_path / "nx", binary=stand_in(tmp_path), config={"log": "debug"}) as server:
        assert server.token == "t0ken"
        assert server.ports == {"dimse": 1}
        config = (server.site / "narthex.yaml").read_text()
        assert "log: debug" in config and "127.0.0.1:0" in config and "104" not in config
        process = server.process
    assert not process.alive


def test_an_unclean_end_fails(tmp_path):
    with pytest.raises(ProcessError, match="status 3"):
        with Narthex(tmp_path / "nx", binary=stand_in(tmp_path, at_stop="3")):
            pass


@pytest.mark.parametrize("line", ["==1==ERROR: AddressSanitizer: heap-use-after-free",
                                  "==1==ERROR: LeakSanitizer: detected memory leaks",
                                  "x.c:1:2: runtime error: signed integer overflow"])
def test_a_sanitizer_report_fails_even_with_status_0(tmp_path, line):
    with pytest.raises(ProcessError, match="sanitizer report"):
        with Narthex(tmp_path / "nx", binary=stand_in(tmp_path, at_start=f"print({line!r}, file=sys.stderr)")):
            pass


def test_a_server_that_ends_before_it_is_ready_fails_at_once(tmp_path):
    start = time.monotonic()
    with pytest.raises(ProcessError, match="before it was ready"):
        with Narthex(tmp_path / "nx", binary=stand_in(tmp_path, at_start="sys.exit(1)")):
            pass
    assert time.monotonic() - start < 20


def test_a_killed_server_starts_again(tmp_path):
    with Narthex(tmp_path / "nx", binary=stand_in(tmp_path)) as server:
        first = server.process.pid
        server.kill()
        server.start()
        assert server.process.pid != first


def test_a_process_that_ignores_sigterm_fails(tmp_path):
    process = Process([sys.executable, "-c", "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                       "print('ready', flush=True)\ntime.sleep(60)"], tmp_path / "log")
    process.wait_ready(lambda: "ready" in process.text())
    with pytest.raises(ProcessError, match="did not end within"):
        process.stop(seconds=0.2)


def test_a_deadline_ends_the_wait():
    deadline = Deadline(0.05, step=0.01)
    with pytest.raises(ProcessError, match="never: not within"):
        while deadline.wait("never"):
            pass


def test_configuration_changes_go_deep():
    assert merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": None}) == {"a": {"b": 9, "c": 2}}


@pytest.mark.parametrize("kind, vr", [("ct", "OW"), ("small", "OB")])
def test_phantoms_are_valid_and_all_different(tmp_path, kind, vr):
    plan = phantom.Plan(kind=kind, instances=12, slices=3, series=2, rows=32, columns=48)
    written = phantom.write(plan, tmp_path)
    assert len({digest for _, digest in written}) == 12
    sets = [pydicom.dcmread(path) for path, _ in written]
    assert len({ds.SOPInstanceUID for ds in sets}) == 12
    assert len({ds.SeriesInstanceUID for ds in sets}) == 4
    assert len({ds.StudyInstanceUID for ds in sets}) == 2
    assert {str(ds.PatientName) for ds in sets} == {"TEST^PHANTOM^0001", "TEST^PHANTOM^0002"}
    for ds in sets:
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert ds.pixel_array.shape == (32, 48)
        assert ds["PixelData"].VR == vr
        assert [e.tag for e in ds] == sorted(e.tag for e in ds)
    for path, _ in written[:2]:
        Dcmtk.dcmdump(path)


def test_phantoms_are_the_same_for_the_same_plan(tmp_path):
    plan = phantom.Plan(kind="small", instances=3, rows=16, columns=16)
    assert [d for _, d in phantom.write(plan, tmp_path / "a")] == [d for _, d in phantom.write(plan, tmp_path / "b")]


def test_dcmtk_sends_to_dcmtk(tmp_path, small_files):
    folder = tmp_path / "received"
    folder.mkdir()
    with StoreScp(tmp_path / "scp.log", folder) as peer:
        client = Dcmtk(peer.port)
        client.echoscu()
        client.storescu([path for path, _ in small_files[:5]])
        got = {pydicom.dcmread(path).SOPInstanceUID for path in folder.iterdir()}
    assert got == {pydicom.dcmread(path).SOPInstanceUID for path, _ in small_files[:5]}


def test_a_refused_connection_is_an_error(tmp_path):
    with StoreScp(tmp_path / "scp.log") as peer:
        port = peer.port
    with pytest.raises(ProcessError, match="echoscu"):
        Dcmtk(port).echoscu()


def test_the_corpus_has_real_files(corpus):
    files = corpus.files(most=20)
    assert len(files) == 20
    assert corpus.pydicom_file("CT_small.dcm").exists()
