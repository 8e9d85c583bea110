"""The benchmarks' sender: everything it sends is answered, and the same seed makes the same bytes."""
import re
import subprocess
import sys


def hash_of(source, sink, *args):
    proc = subprocess.Popen([sink, "0", "hash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port = re.fullmatch(r"port (\d+)\n", proc.stdout.readline()).group(1)
    sent = subprocess.run([source, "--port", port, *args], check=True, timeout=60, capture_output=True, text=True)
    out, _ = proc.communicate(timeout=60)
    stored = re.search(r"stored (\d+) bytes (\d+) hash (\w+)", out)
    summary = re.search(r"stored (\d+) refused 0 bytes (\d+) ", sent.stdout)
    assert summary.groups() == stored.groups()[:2], (sent.stdout, out)
    return stored.groups()


def main(source, sink):
    args = ("--instances", "1001", "--associations", "3")
    first = hash_of(source, sink, *args)
    assert first[0] == "1001"
    assert hash_of(source, sink, *args) == first
    assert hash_of(source, sink, *args, "--seed", "2")[2] != first[2]
    return 0


sys.exit(main(*sys.argv[1:]))
