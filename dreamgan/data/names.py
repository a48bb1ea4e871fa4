"""Names of photos: which can be kept in a dataset, how they are shown, and how they are told apart."""

from __future__ import annotations

import difflib
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

from dreamgan.images import IMAGE_SUFFIXES

MOST_COMPARED = 10_000  # names among which the nearest to a misspelt one is looked for: it takes a second


def visible(name: str) -> str:
    r"""Write a name so that every character can be seen: others come out as ``\n``, ``\xa0`` or ``\udcff``.

    Two names never come out alike, which is why a backslash is doubled.
    """
    if name.isprintable() and "\\" not in name:
        return name
    return "".join(
        character if character.isprintable() and character != "\\" else character.encode("unicode_escape").decode()
        for character in name
    )


def visible_label(label: str) -> str:
    """Give the name of a class as it is, where it can be printed; the same object for the same name."""
    return sys.intern(label if label.isprintable() else visible(label))


def name_fault(name: str) -> str:
    """Say why a name cannot be kept in a dataset, which is text in lines; "" where it can."""
    if name.isprintable():
        return ""
    categories = {unicodedata.category(character) for character in name}
    if "Cs" in categories:  # how Python shows bytes that are no text
        return "its name is not UTF-8: rename it"
    if categories & {"Cc", "Zl", "Zp"}:
        return "its name holds a line break or control character: rename it"
    return ""


def without_suffix(file: str) -> str:
    """Give a name without the suffix of a picture."""
    stem, dot, suffix = file.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else file


def short_ids(files: Sequence[str]) -> list[str]:
    """Give names without their suffixes, save where that would make two alike.

    Args:
        files: all different.
    """
    stems = [without_suffix(file) for file in files]
    count, whole = Counter(stems), set(files)
    return [
        stem if count[stem] == 1 and (stem == file or stem not in whole) else file
        for file, stem in zip(files, stems, strict=True)
    ]


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Give that of the first `MOST_COMPARED` names which is most like a misspelt one; None if there is none."""
    compared = list(islice((each for each in names if each), MOST_COMPARED))
    return next(iter(difflib.get_close_matches(name, compared, n=1, cutoff=0)), None)
