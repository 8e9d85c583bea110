"""The clients that drive a server: the same program with the same arguments for every contestant."""
import dataclasses
import os
import pathlib
import re
import subprocess
import time
import uuid

from harness import RECORD, CannotMeasure, tool
from testenv import Dcmtk
from testenv.dcmtk import TUNED

LIMIT_S = 1800


def run_all(commands, env=None, limit=LIMIT_S):
    """Start all at once; the seconds until the last has ended well."""
    for argv in commands:
        RECORD.command("client", argv)
    start = time.monotonic()
    running = [subprocess.Popen([str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}) for argv in commands]
    try:
        outputs = [child.communicate(timeout=max(1, start + limit - time.monotonic()))[0] for child in running]
    finally:
        for child in running:
            if child.poll() is None:
                child.kill()
                child.wait()
    took = time.monotonic() - start
    RECORD.seconds += took
    for child, output, argv in zip(running, outputs, commands):
        if child.returncode:
            raise CannotMeasure(f"{argv[0]}: status {child.returncode}: {output.decode(errors='replace')[-800:]}")
    return took, [output.decode(errors="replace") for output in outputs]


def check_count(peer, expected):
    """A fast server that lost instances is not fast."""
    got = peer.count()
    if got is not None and got != expected:
        raise CannotMeasure(f"{type(peer).__name__} holds {got} of {expected} instances")
    RECORD.verified.append("keeps nothing: nothing to verify" if got is None else
                           f"holds {got} of {expected} instances: verified")


def c_store(peer, data, associations, env=None):
    """Instances per second over so many associations, each a storescu of its own."""
    client = Dcmtk(peer.dimse_port, aec=peer.aet)
    took, _ = run_all([client.storescu_argv(share) for share in data.shares(associations)],
                      TUNED if env is None else env)
    check_count(peer, len(data.files))
    return len(data.files) / took


def multipart_body(path, boundary, files):
    """PS3.18 8.6.1: whole instances in one body."""
    with open(path, "wb") as body:
        for file in files:
            body.write(f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode())
            body.write(file.read_bytes() + b"\r\n")
        body.write(f"--{boundary}--\r\n".encode())


def multipart_bodies(data, folder, per_request):
    """Bodies of `per_request` instances, written before the clock starts."""
    boundary = uuid.uuid5(uuid.NAMESPACE_OID, data.digest).hex
    paths = []
    for at in range(0, len(data.files), per_request):
        paths.append(pathlib.Path(folder) / f"{at:07d}.body")
        multipart_body(paths[-1], boundary, data.files[at:at + per_request])
    return boundary, paths


def durable_writes(build, folder, size, writers, count):
    """Writes per second that the disk makes durable: appended past the page cache, synced one by one."""
    _, outputs = run_all([[tool(build, "durable_writes"), folder, size, writers, count]])
    return float(re.search(r"rate (\S+)", outputs[0])[1])


def stow(peer, data, bodies, connections):
    """Instances per second by STOW-RS over so many connections of one curl."""
    boundary, paths = bodies
    config = peer.folder / "curl.config"
    config.write_text("".join(f'url = "{peer.dicomweb}/studies"\nupload-file = "{path}"\noutput = "/dev/null"\n'
                              for path in paths))
    argv = ["curl", "-sS", "--no-progress-meter", "-k", "--http1.1", "-X", "POST", "-Z", "--parallel-max", connections,
            "-H", "Expect:", "-H", "Accept: application/dicom+json", *peer.header_args(),
            "-H", f'Content-Type: multipart/related; type="application/dicom"; boundary={boundary}',
            "-w", "%{http_code}\\n", "-K", config]
    took, outputs = run_all([argv])
    codes = outputs[0].split()
    if codes != ["200"] * len(paths):
        raise CannotMeasure(f"STOW-RS: {len(codes)} answers, of them not 200: {sorted(set(codes) - {'200'})}")
    check_count(peer, len(data.files))
    return len(data.files) / took


def fetch(peer, url, accept, want_bytes, times=1):
    """MB/s of `url`, fetched `times` times over one connection; short answers are no answer."""
    argv = ["curl", "-sS", "-k", "--http1.1", "-f", "-H", f"Accept: {accept}", *peer.header_args(),
            "-w", "%{size_download}\\n"]
    for _ in range(times):
        argv += ["-o", "/dev/null", url]
    took, outputs = run_all([argv])
    sizes = [int(size) for size in outputs[0].split()]
    if len(sizes) != times or min(sizes) < want_bytes:
        raise CannotMeasure(f"{url}: {sizes} bytes where at least {want_bytes} are there")
    return sum(sizes) / took / 1e6


@dataclasses.dataclass
class Wrk:
    """What wrk found."""
    rate: float  # requests per second
    mb_s: float
    p50_ms: float  # of an answer, where each was timed
    p99_ms: float


WRK_SCRIPT = """local paths = {%s}
local at = 0
function begin() end
function request()
  at = at %% #paths + 1
  begin()
  return wrk.format('GET', paths[at])
end
function show(summary, p50, p99, bad)
  io.write(string.format('found rate %%f mb %%f p50 %%f p99 %%f bad %%d\\n', summary.requests * 1e6 / summary.duration,
    summary.bytes / summary.duration, p50, p99, bad))
end
function done(summary)
  show(summary, 0, 0, 0)
end
"""
# Looks at every answer and times it, for one connection.  wrk's own percentiles will not do: it adds made-up samples
# for the requests that a late answer kept from being sent.
WRK_TIMED = """local ffi = require('ffi')
ffi.cdef('typedef struct { long s, ns; } bench_time; int clock_gettime(int clock, bench_time *now);')
local time = ffi.new('bench_time')
local threads = {}
local from
bad = 0
samples = {}
local function now_ms()
  ffi.C.clock_gettime(1, time)
  return tonumber(time.s) * 1e3 + tonumber(time.ns) / 1e6
end
function setup(thread)
  table.insert(threads, thread)
end
function begin()
  from = now_ms()
end
function response(status, headers, body)
  table.insert(samples, now_ms() - from)
  if status ~= 200 or #body < %d then
    bad = bad + 1
  end
end
function done(summary)
  local all = threads[1]:get('samples')
  table.sort(all)
  show(summary, all[math.ceil(#all * 0.5)], all[math.ceil(#all * 0.99)], threads[1]:get('bad'))
end
"""


def wrk_argv(peer, urls, accept, connections, seconds, least_body, pause_ms=0, name="wrk"):
    """Its command line, with a script of its own."""
    assert connections == 1 or not least_body
    paths = ",".join(f'"{re.sub(r"^https?://[^/]+", "", url)}"' for url in urls)
    script = peer.folder / f"{name}.lua"
    script.write_text(WRK_SCRIPT % paths + (WRK_TIMED % least_body if least_body else "")
                      + (f"function delay()\n  return {pause_ms}\nend\n" if pause_ms else ""))
    return ["wrk", "-t", min(connections, os.cpu_count()), "-c", connections, "-d", f"{seconds}s", "--timeout", "60s",
            "-s", script, "-H", f"Accept: {accept}", *peer.header_args(), urls[0]]


def wrk_found(output):
    found = re.search(r"found rate (\S+) mb (\S+) p50 (\S+) p99 (\S+) bad (\d+)", output)
    if "Non-2xx" in output or "Socket errors" in output or not found or found[5] != "0":
        raise CannotMeasure("wrk: " + output[-400:])
    return Wrk(*(float(found[i]) for i in range(1, 5)))


def wrk(peer, urls, accept, connections=16, seconds=8, least_body=0):
    """The URLs in turn; any error is a failure to measure.  With a least length of answers, which is for one
    connection, each is looked at and timed."""
    _, outputs = run_all([wrk_argv(peer, urls, accept, connections, seconds, least_body)])
    return wrk_found(outputs[0])


def page(peer, lists, accept, seconds, least_body, pause_ms):
    """A viewer for each list of URLs, with a connection of its own and a pause between its requests."""
    _, outputs = run_all([wrk_argv(peer, urls, accept, 1, seconds, least_body, pause_ms, f"viewer{i}")
                          for i, urls in enumerate(lists)])
    return [wrk_found(output) for output in outputs]


class Feed:
    """The sender of tests/tools: `with` keeps sending; run() sends so many and waits."""

    def __init__(self, peer, build, associations=4, window=64, pixels=1024, seed=1):
        self.peer = peer
        self.argv = [tool(build, "dimse_source"), "--port", peer.dimse_port, "--called", peer.aet, "--associations",
                     associations, "--window", window, "--pixels", pixels, "--seed", seed]
        self.child = None

    def run(self, instances, report=0):
        """(seconds, instances stored) after every `report` answers, and at the end."""
        _, outputs = run_all([[*self.argv, "--instances", instances, "--report", report]])
        stored, seconds = re.search(r"^stored (\d+) refused 0 bytes \d+ seconds (\S+)", outputs[0], re.M).groups()
        points = [(int(us) / 1e6, int(n)) for n, us in re.findall(r"^(\d+) (\d+)$", outputs[0], re.M)]
        return sorted(points) + [(float(seconds), int(stored))]

    def __enter__(self):
        argv = [*self.argv, "--instances", 10**12]
        RECORD.command("feed", argv)
        self.child = subprocess.Popen([str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      text=True)
        return self

    def __exit__(self, kind, *_):
        alive = self.child.poll() is None
        self.child.terminate()
        output, _ = self.child.communicate(timeout=120)
        if kind is None and (not alive or self.child.returncode):
            raise CannotMeasure(f"the sender ended by itself, or with errors: {output[-400:]}")
        found = re.search(r"rate (\S+)", output)
        self.rate = float(found[1]) if found else 0.0
