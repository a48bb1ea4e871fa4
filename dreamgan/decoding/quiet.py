"""Keeps the readers of files from talking: what is wrong with a file, they also raise."""

import contextlib
import ctypes
import logging
import threading
import warnings
from pathlib import Path

from PIL import Image


class NoWarnings:
    """Ignores warnings as long as any thread is inside.

    Pillow warns of odd metadata in sound pictures, and of sizes that our own check allows. Were each thread to save and
    restore the filters, which belong to the whole process, the last to leave could restore what another had set.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._saved.__exit__(None, None, None)


NO_WARNINGS = NoWarnings()


def _silence_readers() -> None:
    """Keep Pillow's readers from writing to the error stream what they also raise."""
    # Python prints what a logger without any handler says.
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    # libtiff writes there itself, past Python. Pillow stops its warnings, but not its errors. Where Pillow brings no
    # libtiff of its own, they go on, and do no harm.
    packages = Path(Image.__file__).parents[1]
    for library in [*packages.glob("pillow.libs/libtiff*"), *packages.glob("PIL/.dylibs/libtiff*")]:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(str(library)).TIFFSetErrorHandler(None)


_silence_readers()
