"""Real DICOM files: those that come with pydicom, and a larger corpus beside the checkout if it is there."""
import os
import pathlib

from .narthex import ROOT


class Corpus:
    """Iterates over paths.  NX_CORPUS names another larger corpus than the one beside the checkout."""

    def __init__(self):
        import pydicom
        self.pydicom = pathlib.Path(pydicom.__file__).parent / "data"
        beside = os.environ.get("NX_CORPUS") or ROOT.parent / "shared/data/dicom"
        self.large = pathlib.Path(beside) if pathlib.Path(beside).is_dir() else None

    @staticmethod
    def is_part10(path):
        """PS3.10 7.1: 128 bytes of preamble, then DICM."""
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"

    def files(self, large=True, most=None):
        """Part 10 files, in a stable order; at most `most` of them, evenly picked."""
        folders = [self.pydicom] + ([self.large] if large and self.large else [])
        found = [path for folder in folders for path in sorted(folder.rglob("*"))
                 if path.is_file() and path.stat().st_size > 132 and self.is_part10(path)]
        if most and len(found) > most:
            found = [found[i * len(found) // most] for i in range(most)]
        return found

    def everything(self):
        """Every file, DICOM or not: what a door must take or refuse."""
        folders = [self.pydicom / name for name in ("test_files", "charset_files", "palettes")]
        return [path for folder in folders + ([self.large] if self.large else [])
                for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in (".py", ".pyc")]

    def pydicom_file(self, name):
        return self.pydicom / "test_files" / name
