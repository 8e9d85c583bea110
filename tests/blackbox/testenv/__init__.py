"""Real processes for black-box tests and benchmarks: one class per peer."""
from . import phantom
from .corpus import Corpus
from .dcmtk import Dcmtk
from .loader import Loader
from .narthex import Narthex, find_binary, find_release
from .process import Deadline, Process, ProcessError

__all__ = ["Corpus", "Dcmtk", "Deadline", "Loader", "Narthex", "Process", "ProcessError", "find_binary",
           "find_release", "phantom"]
