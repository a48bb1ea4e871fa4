"""Photos that a text file lists, one path per line."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from dreamgan.data.folders import photos_of
from dreamgan.data.names import visible
from dreamgan.data.photos import PhotoSet
from dreamgan.errors import UserError


def from_list(name: str, path: Path) -> PhotoSet:
    """Find the photos that a text file lists.

    Each line is a path, relative to the list's folder or absolute, and after a tab, if wanted, a class. Blank lines and
    lines that begin with # are skipped, and so is a path that came before. Where no line has a class, a photo's class
    is the name of the folder that it lies in, as far as the list names it. A photo is called by its path as written,
    without `../` at its front; absolute paths by what comes after the folder that all of them share.

    Args:
        name: what the user called the list.
        path: the list, in UTF-8; paths may hold any bytes.

    Raises:
        UserError: the list cannot be read, is empty, or gives one photo two classes.
    """
    lines = _read(name, path)
    if not lines:
        raise UserError(f"{name!r} lists no photo; give one path per line")
    files = _short([written for written, _ in lines.values()])
    labels = [label for _, label in lines.values()]
    if not any(labels):
        labels = [os.path.basename(os.path.dirname(file)) for file in files]
    return photos_of(name, files, [Path(file) for file in lines], labels)


def _read(name: str, path: Path) -> dict[str, tuple[str, str]]:
    """Give, for each file that is listed, the path as written and the class, "" without one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{name!r} cannot be read: {error.strerror}") from error
    found: dict[str, tuple[str, str]] = {}
    folder = os.path.abspath(path.parent)
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        written, _, label = (part.strip() for part in os.fsdecode(line).partition("\t"))
        if not written or written.startswith("#"):
            continue
        written = os.path.normpath(written)
        earlier = found.setdefault(os.path.normpath(os.path.join(folder, written)), (written, label))[1]
        if earlier != label:
            raise UserError(
                f"line {number} of {name!r} gives {visible(written)!r} the class {label!r}, an earlier one "
                f"{earlier!r}; keep one of the lines"
            )
    return found


def _short(written: list[str]) -> list[str]:
    absolute = [os.path.dirname(file) for file in written if os.path.isabs(file)]
    shared = os.path.commonpath(absolute) if absolute else ""
    short = [os.path.relpath(file, shared) if os.path.isabs(file) else _without_parents(file) for file in written]
    count = Counter(short)
    return [each if count[each] == 1 else file for each, file in zip(short, written, strict=True)]


def _without_parents(file: str) -> str:
    while file.startswith("../"):
        file = file[3:]
    return file
