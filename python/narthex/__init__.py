"""Read released datasets of a narthex site.

    import narthex
    for batch in narthex.open("lung-ct@v1", site="unix:/run/narthex/api.sock", batch=8, purpose="training"):
        for key, data in batch:
            ...

A key is (pseudonym, series, instance); data is a DICOM Part 10 file as bytes, checked against the release's signed
manifest.  arrays() gives numpy arrays instead, where pydicom is installed.  The lease ends with the dataset.
"""
import ctypes
import io
import os

__all__ = ["Dataset", "Error", "Erased", "open"]

_OK, _END, _ERASED, _FAILED = range(4)


class Error(RuntimeError):
    """The site refused, or what came is not what the manifest says."""


class Erased(Error):
    """The subject of the sample was erased; args[0] is the sample's key."""


class _Options(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("site", ctypes.c_char_p), ("token", ctypes.c_char_p),
                ("ca_file", ctypes.c_char_p), ("release", ctypes.c_char_p), ("purpose", ctypes.c_char_p),
                ("seconds", ctypes.c_uint), ("verifier", ctypes.c_char_p)]


class _Sample(ctypes.Structure):
    _fields_ = [("position", ctypes.c_uint64), ("pseudonym", ctypes.c_char_p), ("series", ctypes.c_char_p),
                ("instance", ctypes.c_char_p), ("data", ctypes.c_void_p), ("size", ctypes.c_size_t)]

    def key(self):
        return self.pseudonym.decode(), self.series.decode(), self.instance.decode()

    def bytes(self):
        return ctypes.string_at(self.data, self.size)


def _load():
    lib = ctypes.CDLL(os.environ.get("NARTHEX_LIBRARY", "libnarthex.so.0"))
    handle = ctypes.c_void_p
    for name, result, arguments in (
            ("nxl_open", handle, [ctypes.POINTER(_Options), ctypes.c_char_p, ctypes.c_size_t]),
            ("nxl_close", None, [handle]),
            ("nxl_count", ctypes.c_uint64, [handle]),
            ("nxl_release", ctypes.c_char_p, [handle]),
            ("nxl_root", ctypes.c_char_p, [handle]),
            ("nxl_error", ctypes.c_char_p, [handle]),
            ("nxl_seek", None, [handle, ctypes.c_uint64]),
            ("nxl_read", ctypes.c_int, [handle, ctypes.c_uint64, ctypes.POINTER(_Sample)]),
            ("nxl_batch", ctypes.c_int,
             [handle, ctypes.c_size_t, ctypes.POINTER(_Sample), ctypes.POINTER(ctypes.c_size_t)])):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


_lib = None


def _encode(text):
    return None if text is None else os.fsencode(text)


class Dataset:
    """One release under one lease.  Iterating gives batches, from the first sample on, and skips erased ones."""

    def __init__(self, release, *, site=None, token=None, purpose, batch=1, seconds=0, ca_file=None, verifier=None):
        global _lib
        _lib = _lib or _load()
        self._handle = None
        self.batch = batch
        site = _uri(site or os.environ.get("NARTHEX_SITE"))
        token = token or os.environ.get("NARTHEX_TOKEN")
        options = _Options(ctypes.sizeof(_Options), *map(_encode, (site, token, ca_file, release, purpose)), seconds,
                           _encode(verifier))
        why = ctypes.create_string_buffer(512)
        self._handle = _lib.nxl_open(options, why, len(why))
        if not self._handle:
            raise Error(why.value.decode())

    def close(self):
        if self._handle:
            _lib.nxl_close(self._handle)
            self._handle = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if _lib:
            self.close()

    def _open(self):
        if not self._handle:
            raise Error("the dataset is closed")
        return self._handle

    def __len__(self):
        """Samples in the manifest, erased ones included."""
        return _lib.nxl_count(self._open())

    @property
    def release(self):
        return _lib.nxl_release(self._open()).decode()

    @property
    def root(self):
        """Root of the manifest: what to write beside a trained model."""
        return _lib.nxl_root(self._open()).decode()

    def _error(self):
        return Error(_lib.nxl_error(self._open()).decode())

    def __getitem__(self, position):
        sample = _Sample()
        if position < 0 or position >= len(self):
            raise IndexError(position)
        status = _lib.nxl_read(self._open(), position, sample)
        if status == _ERASED:
            raise Erased(sample.key())
        if status != _OK:
            raise self._error()
        return sample.key(), sample.bytes()

    def __iter__(self):
        samples, count = (_Sample * self.batch)(), ctypes.c_size_t()
        _lib.nxl_seek(self._open(), 0)
        while True:
            status = _lib.nxl_batch(self._open(), self.batch, samples, count)
            if status == _END:
                return
            if status != _OK:
                raise self._error()
            yield [(sample.key(), sample.bytes()) for sample in samples[:count.value]]

    def arrays(self):
        """Batches of (key, numpy array of the pixels)."""
        import pydicom

        for batch in self:
            yield [(key, pydicom.dcmread(io.BytesIO(data)).pixel_array) for key, data in batch]


def _uri(site):
    """A folder, as the command line takes it, is the site served there: its Unix socket."""
    if site and "://" not in site and not site.startswith("unix:"):
        return "unix:" + os.path.join(os.path.abspath(site), "run/narthex.sock")
    return site


def open(release, *, purpose="training", **options):  # the module's one verb, as in gzip.open
    """A Dataset; site and token default to NARTHEX_SITE and NARTHEX_TOKEN."""
    return Dataset(release, purpose=purpose, **options)
