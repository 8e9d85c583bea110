"""Other people's senders against the door: DCMTK's echoscu and storescu.  Exit 77 (skipped) without them."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

DATA = pathlib.Path("/usr/lib/python3/dist-packages/pydicom/data/test_files")
FILES = ["CT_small.dcm", "MR_small.dcm"]


def start(sink):
    proc = subprocess.Popen([sink, "0", "hash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return proc, re.fullmatch(r"port (\d+)\n", proc.stdout.readline()).group(1)


def send(*args):
    subprocess.run(args, check=True, timeout=60)


def main(sink):
    files = [str(DATA / name) for name in FILES if (DATA / name).exists()]
    if not shutil.which("storescu") or not shutil.which("echoscu") or not files:
        return 77
    proc, port = start(sink)
    send("echoscu", "127.0.0.1", port)
    send("echoscu", "--propose-pc", "64", "127.0.0.1", port)
    send("storescu", "127.0.0.1", port, *files)
    send("storescu", "--max-pdu", "4096", "--max-send-pdu", "4096", "127.0.0.1", port, *files)
    with tempfile.TemporaryDirectory() as many:
        for i in range(20):
            shutil.copy(files[0], f"{many}/{i}.dcm")
        peers = [subprocess.Popen(["storescu", "+sd", "127.0.0.1", port, many]) for _ in range(4)]
        assert [peer.wait(60) for peer in peers] == [0, 0, 0, 0]
    out, _ = proc.communicate("", timeout=60)
    stored = 2 * len(files) + 80
    assert proc.returncode == 0, "the sink ends badly"
    assert re.match(rf"stored {stored} bytes \d+ hash [0-9a-f]+ live 0$", out), out
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
