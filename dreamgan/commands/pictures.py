"""From a photo or a folder to pictures of the same names: what `dream` and `sample` have in common."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor
from tqdm import tqdm

from dreamgan.errors import UserError
from dreamgan.files import write_csv
from dreamgan.images import (
    MAX_PIXELS,
    MIN_SIDE_PX,
    LoadedImage,
    list_images,
    load_image,
    save_png,
    shrink_to,
    to_picture,
)

# Photos wait for others of their size until so many pixels wait (three bytes each).
MOST_WAITING_PIXELS = 64_000_000
VERSION_KEY = "dreamgan:version"  # tells a picture of ours from others
REJECTS, REJECTS_HEAD = "rejects.csv", ("photo", "reason")


@dataclass(frozen=True)
class Job:
    """One photo on its way.

    Attributes:
        name: The photo's path below the folder given, for messages and as the photo's id.
        source: Where the photo is.
        target: Where its picture goes.
    """

    name: str
    source: Path
    target: Path


def printable(name: str) -> str:
    """A file name without what would break a line, move the cursor or not encode: such characters become ``?``."""
    return "".join(character if character.isprintable() else "?" for character in name)


def plan(photos: str, out: Path) -> list[Job]:
    """Pair every photo with its target ``<stem>.png``; sub-folders are kept.

    Photos of one stem keep their suffixes (``a.jpg.png``). Pictures under ``out`` are no photos: an earlier call
    may have written them.

    Args:
        photos: A picture or a folder.
        out: Folder of the targets, not yet made.

    Raises:
        UserError: If there is no photo, or a target or the list of rejects would overwrite what dreamgan did not
            write.
    """
    if not photos:
        raise UserError("the photo or folder is an empty name; give a picture or a folder of pictures")
    path = Path(photos).expanduser()
    sources = list_images(path)
    root = path.parent
    if path.is_dir():
        root = path
        if out.resolve() == path.resolve():
            raise UserError(f"--out {printable(str(out))!r} is the folder of the photos; give another --out")
        sources = [source for source in sources if not source.resolve().is_relative_to(out.resolve())]
        if not sources:
            raise UserError(f"all pictures in {printable(photos)!r} lie under --out {str(out)!r}; give another --out")
    names = [str(source.relative_to(root)) for source in sources]
    # Case is ignored since some file systems do.
    taken = Counter(name.casefold() for name in names)
    taken.update(_stem(name) for name in names)
    targets = [out / (f"{name}.png" if taken[_stem(name)] > 1 else Path(name).with_suffix(".png")) for name in names]
    for target in targets:
        check_target(target)
    rejects = out / REJECTS
    if rejects.exists() and not _is_our_list(rejects):
        raise UserError(f"'{printable(str(rejects))}' was not written by dreamgan; move it or give another --out")
    return [Job(_utf8(name), source, target) for name, source, target in zip(names, sources, targets, strict=True)]


def check_target(target: Path) -> None:
    """Refuse to overwrite what dreamgan did not write.

    Raises:
        UserError: If the target is a file of somebody else's.
    """
    if target.exists() and not _is_ours(target):
        raise UserError(f"'{printable(str(target))}' was not written by dreamgan; move it or give another --out")


def noise_size(photos: str) -> tuple[int, int] | None:
    """(height, width) in pixels of ``noise:WIDTHxHEIGHT``; None where a file or folder is named.

    Raises:
        UserError: If the size is not one.
    """
    if not photos.startswith("noise:"):
        return None
    match = re.fullmatch(r"noise:(\d{1,9})x(\d{1,9})", photos)
    if not match or min(map(int, match.groups())) < MIN_SIDE_PX or int(match[1]) * int(match[2]) > MAX_PIXELS:
        raise UserError(
            f"{photos!r} is not noise:WIDTHxHEIGHT, like noise:320x240, of at least {MIN_SIDE_PX} px a side and at "
            f"most {MAX_PIXELS} pixels"
        )
    return int(match[2]), int(match[1])


def is_utf8(name: str) -> bool:
    """Whether a file name can be stored as text; on Linux it may be any bytes."""
    return _utf8(name) == name


def _utf8(name: str) -> str:
    """File names may hold bytes that are no UTF-8; they become U+FFFD."""
    return os.fsencode(name).decode("utf-8", "replace")


def _stem(name: str) -> str:
    return str(Path(name).with_suffix("")).casefold()


def _is_our_list(rejects: Path) -> bool:
    try:
        with rejects.open(encoding="utf-8", errors="replace") as file:
            return file.readline(100).strip() == ",".join(REJECTS_HEAD)
    except OSError:
        return False


def _is_ours(target: Path) -> bool:
    try:
        with Image.open(target, formats=("PNG", "GIF")) as picture:
            return VERSION_KEY in picture.info or VERSION_KEY.encode() in picture.info.get("comment", b"")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def loaded_batches(
    jobs: Sequence[Job], *, batch: int, max_side: int, rejects: list[tuple[str, str]]
) -> Iterator[list[tuple[Job, LoadedImage]]]:
    """Load photos and group those of equal size, at most ``batch`` at a time.

    A photo that cannot be read is told of, added to ``rejects`` and left out; a single photo that cannot be read is
    an error.

    Args:
        jobs: From ``plan``.
        batch: Most pictures at a time.
        max_side: Photos with a longer side are shrunk to it, in pixels; 0 keeps every size.
        rejects: Gets (name, reason).

    Raises:
        UserError: If none of the photos can be read.
    """
    waiting: dict[tuple[int, int], list[tuple[Job, LoadedImage]]] = {}
    for job in jobs:
        try:
            loaded = _load(job, max_side)
        except UserError as error:
            if len(jobs) == 1:
                raise
            rejects.append((job.name, str(error)))
            tell(f"skipped: {error}")
            continue
        size = loaded.picture.size
        waiting.setdefault(size, []).append((job, loaded))
        if len(waiting[size]) == batch:
            yield waiting.pop(size)
        while sum(width * height * len(group) for (width, height), group in waiting.items()) > MOST_WAITING_PIXELS:
            yield waiting.pop(next(iter(waiting)))
    if len(rejects) == len(jobs):
        raise UserError(f"none of the {len(jobs)} pictures could be used; first: {rejects[0][1]}")
    yield from waiting.values()


def _load(job: Job, max_side: int) -> LoadedImage:
    loaded = load_image(job.source)
    picture = shrink_to(loaded.picture, max_side) if max_side else loaded.picture
    if picture.size != loaded.picture.size:
        was, now = (f"{size[0]}x{size[1]}" for size in (loaded.picture.size, picture.size))
        if min(picture.size) < MIN_SIDE_PX:
            raise UserError(f"'{job.source}' would be shrunk from {was} to {now} px, too narrow; raise --max_side")
        tell(f"{job.name}: shrunk from {was} to {now} px (a larger --max_side keeps more)")
    for note in loaded.notes:
        tell(f"{job.name}: {note}")
    return LoadedImage(picture, loaded.icc_profile, loaded.notes)


def tell(text: str) -> None:
    """Write one line on stderr; by way of tqdm, so that a bar is not torn apart."""
    tqdm.write(printable(text), file=sys.stderr)


def save_dreams(
    group: Sequence[tuple[Job, LoadedImage]], images: Tensor, metadata: Callable[[Job], Mapping[str, str]]
) -> None:
    """Write the pictures of a group, each whole or not at all.

    Args:
        group: Jobs and their photos.
        images: (B, 3, H, W) in [0, 1].
        metadata: What the PNG of a job shall say of itself.
    """
    for (job, loaded), image in zip(group, images, strict=True):
        save_png(to_picture(image), job.target, metadata=metadata(job), icc_profile=loaded.icc_profile)


def write_rejects(rejects: Sequence[tuple[str, str]], out: Path) -> None:
    """Write ``rejects.csv`` (photo, reason) into ``out`` and count them on stderr; without any, remove an old one."""
    target = out / REJECTS
    if not rejects:
        target.unlink(missing_ok=True)
        return
    write_csv(target, [REJECTS_HEAD, *rejects])
    print(f"{len(rejects)} pictures could not be used; they are listed in {target}", file=sys.stderr)
