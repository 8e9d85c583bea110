"""The clients that drive a server: the same program with the same arguments for every contestant."""
import os
import pathlib
import re
import subprocess
import time
import uuid

from harness import CannotMeasure
from testenv import Dcmtk
from testenv.dcmtk import TUNED

LIMIT_S = 1800


def run_all(commands, env=None, limit=LIMIT_S):
    """Start all at once; the seconds until the last has ended well."""
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
    for child, output, argv in zip(running, outputs, commands):
        if child.returncode:
            raise CannotMeasure(f"{argv[0]}: status {child.returncode}: {output.decode(errors='replace')[-800:]}")
    return took, [output.decode(errors="replace") for output in outputs]


def check_count(peer, expected):
    """A fast server that lost instances is not fast."""
    got = peer.count()
    if got is not None and got != expected:
        raise CannotMeasure(f"{type(peer).__name__} holds {got} of {expected} instances")


def c_store(peer, data, associations, env=None):
    """Instances per second over so many associations, each a storescu of its own."""
    client = Dcmtk(peer.dimse_port, aec=peer.aet)
    took, _ = run_all([client.storescu_argv(share) for share in data.shares(associations)],
                      TUNED if env is None else env)
    check_count(peer, len(data.files))
    return len(data.files) / took


def multipart_bodies(data, folder, per_request):
    """PS3.18 8.6.1: bodies of `per_request` instances, written before the clock starts."""
    boundary = uuid.uuid5(uuid.NAMESPACE_OID, data.digest).hex
    paths = []
    for at in range(0, len(data.files), per_request):
        path = pathlib.Path(folder) / f"{at:07d}.body"
        with open(path, "wb") as body:
            for file in data.files[at:at + per_request]:
                body.write(f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode())
                body.write(file.read_bytes() + b"\r\n")
            body.write(f"--{boundary}--\r\n".encode())
        paths.append(path)
    return boundary, paths


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


def c_get(peer, study_uid, instances, env=None):
    """Instances per second of one study by C-GET into nothing."""
    argv = ["getscu", "-S", "--ignore", "-v", "-aet", "TESTENV", "-aec", peer.aet, "-k", "QueryRetrieveLevel=STUDY",
            "-k", f"StudyInstanceUID={study_uid}", "127.0.0.1", peer.dimse_port]
    took, outputs = run_all([argv], TUNED if env is None else env)
    got = len(re.findall(r"Received C-STORE Request", outputs[0]))
    if got != instances:
        raise CannotMeasure(f"C-GET brought {got} of {instances} instances")
    return instances / took


def wrk(peer, urls, accept, connections=16, seconds=8):
    """Requests per second over the URLs in turn; any error is a failure to measure."""
    paths = [re.sub(r"^https?://[^/]+", "", url) for url in urls]
    script = peer.folder / "wrk.lua"
    script.write_text("local paths = {" + ",".join(f'"{path}"' for path in paths) + "}\nlocal at = 0\n"
                      "function request()\n  at = at % #paths + 1\n  return wrk.format('GET', paths[at])\nend\n")
    argv = ["wrk", "-t", os.cpu_count(), "-c", connections, "-d", f"{seconds}s", "--latency", "-s", script, "-H",
            f"Accept: {accept}", *peer.header_args(), urls[0]]
    _, outputs = run_all([argv])
    if "Non-2xx" in outputs[0] or "Socket errors" in outputs[0]:
        raise CannotMeasure("wrk: " + outputs[0][-400:])
    return float(re.search(r"Requests/sec:\s+([\d.]+)", outputs[0])[1])
