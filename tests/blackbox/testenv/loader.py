"""libnarthex through its Python package, in a process of its own: a sanitized library needs its runtime first."""
import json
import os
import re
import subprocess
import sys

from .narthex import ROOT
from .process import ProcessError

# Reads the release once into a folder; then, when told to, says of every position what it gives under the same lease.
SCRIPT = """
import json, pathlib, sys
import narthex
release, out, options = sys.argv[1], pathlib.Path(sys.argv[2]), json.loads(sys.argv[3])
with narthex.open(release, **options) as dataset:
    keys = []
    for batch in dataset:
        for key, data in batch:
            (out / f"{len(keys)}.dcm").write_bytes(data)
            keys.append(key)
    print(json.dumps({"release": dataset.release, "samples": len(dataset), "keys": keys}), flush=True)
    for line in sys.stdin:
        found = []
        for position in range(len(dataset)):
            try:
                key, data = dataset[position]
                found.append({"key": key, "size": len(data)})
            except narthex.Erased as gone:
                found.append({"key": gone.args[0], "erased": True})
        print(json.dumps({"positions": found, "batched": [key for batch in dataset for key, _ in batch]}), flush=True)
"""


class Loader:
    """`with Loader(build, release, out, **options) as loader:` holds one lease until its end."""

    def __init__(self, build, release, out, **options):
        out.mkdir(parents=True, exist_ok=True)
        library = build / "src/loader/libnarthex.so.0"
        env = {**os.environ, "NARTHEX_LIBRARY": str(library), "PYTHONPATH": str(ROOT / "python"),
               "ASAN_OPTIONS": "detect_leaks=0:exitcode=99"}
        linked = subprocess.run(["ldd", library], capture_output=True, text=True, check=True).stdout
        runtimes = re.findall(r"=> (\S*lib(?:asan|ubsan|tsan)\S*)", linked)
        if runtimes:
            env["LD_PRELOAD"] = " ".join(runtimes)
        self.child = subprocess.Popen([sys.executable, "-c", SCRIPT, release, out, json.dumps(options)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                      env=env)
        try:
            self.about = self._line()
        except BaseException:
            self.child.kill()
            self.child.wait()
            raise

    def _line(self):
        line = self.child.stdout.readline()
        if not line:
            raise ProcessError(f"loader: {self.child.stderr.read()[-4000:]}")
        return json.loads(line)

    def look_again(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return self._line()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        _, errors = self.child.communicate(timeout=60)
        if self.child.returncode:
            raise ProcessError(f"loader: status {self.child.returncode}\n{errors[-4000:]}")
