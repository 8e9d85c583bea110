"""A device that fails when a test says so, under a server that does not know it is in a test."""
import errno
import os
import pathlib
import struct

from .narthex import ROOT

CONTROL_LEN = 256


def library():
    folder = pathlib.Path(os.environ.get("NX_BUILD") or ROOT / "build/check")
    return (folder if folder.is_absolute() else ROOT / folder) / "tests/tools/nx_faults.so"


class Faults:
    """`env` is for the server.  `fail` begins, `heal` ends; both are seen by its next call."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder) / "faults"
        self.path.write_bytes(bytes(CONTROL_LEN))

    @property
    def env(self):
        return {"LD_PRELOAD": str(library()), "NX_FAULTS": str(self.path),
                "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:abort_on_error=0:handle_segv=2:verify_asan_link_order=0"}

    def fail(self, errnum, word):
        """Writes, syncs and new files of paths with `word` in them."""
        self._put(word.encode().ljust(CONTROL_LEN - 4, b"\0"), 4)
        self._put(struct.pack("<i", errnum), 0)

    def heal(self):
        self._put(struct.pack("<i", 0), 0)

    def _put(self, data, at):
        with open(self.path, "r+b") as file:
            file.seek(at)
            file.write(data)


NAMES = {errno.ENOSPC: "no space", errno.EIO: "I/O error", errno.EROFS: "read-only"}
