"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: Path, *, aside: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, which takes its place when the block ends well and is removed when not.

    Args:
        path: Where to write; missing folders are made, an existing file is replaced.
        aside: Folder for the temporary file, on the same disk, if not beside ``path``; this one and that of ``path``
            must exist.

    Raises:
        OSError: As the system gives it, with the file's name.
    """
    if aside is None:
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = (aside or path.parent) / f".{secrets.token_hex(8)}.tmp"
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)  # a full disk does not say of what
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file in UTF-8, whole or not at all; bytes of file names that are no text are written as escapes."""
    with (
        whole_file(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        csv.writer(file).writerows(rows)
