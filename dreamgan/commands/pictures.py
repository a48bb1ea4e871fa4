"""From a photo or a folder to pictures of the same names: what `dream` and `sample` have in common."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dreamgan.errors import UserError
from dreamgan.images import LoadedImage, list_images, load_image, save_png, shrink_to, to_picture


@dataclass(frozen=True)
class Job:
    """One photo on its way.

    Attributes:
        name: The photo's path below the folder given, for messages.
        source: Where the photo is.
        target: Where its picture goes.
    """

    name: str
    source: Path
    target: Path


def plan(photos: str, out: str) -> list[Job]:
    """Pair every photo with its target ``<stem>.png``; sub-folders are kept.

    Two photos of one stem keep their suffixes (``a.jpg.png``).

    Raises:
        UserError: If there is no photo, or a target would overwrite a photo.
    """
    path = Path(photos).expanduser()
    sources = list_images(path)
    root = path if path.is_dir() else path.parent
    targets: list[Path] = []
    stems = [source.relative_to(root).with_suffix("") for source in sources]
    for source, stem in zip(sources, stems, strict=True):
        relative = source.relative_to(root)
        suffixed = stems.count(stem) > 1
        targets.append(Path(out) / relative.parent / f"{source.name if suffixed else source.stem}.png")
    photos_resolved = {source.resolve() for source in sources}
    for target in targets:
        if target.resolve() in photos_resolved:
            raise UserError(f"{target} is one of the photos and would be overwritten; give another --out")
    names = [str(source.relative_to(root)) for source in sources]
    return [Job(*item) for item in zip(names, sources, targets, strict=True)]


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
            loaded = load_image(job.source)
        except UserError as error:
            if len(jobs) == 1:
                raise
            rejects.append((job.name, str(error)))
            print(f"skipped: {error}", file=sys.stderr, flush=True)
            continue
        picture = loaded.picture
        if max_side and max(picture.size) > max_side:
            picture = shrink_to(picture, max_side)
            was, now = "x".join(map(str, loaded.picture.size)), "x".join(map(str, picture.size))
            print(f"{job.name}: shrunk from {was} to {now} px (--max_side 0 keeps the size)", file=sys.stderr)
        for note in loaded.notes:
            print(f"{job.name}: {note}", file=sys.stderr)
        group = waiting.setdefault(picture.size, [])
        group.append((job, LoadedImage(picture, loaded.icc_profile, loaded.notes)))
        if len(group) == batch:
            yield waiting.pop(picture.size)
    if len(rejects) == len(jobs):
        raise UserError(f"none of the {len(jobs)} pictures could be read; first: {rejects[0][1]}")
    yield from waiting.values()


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
        job.target.parent.mkdir(parents=True, exist_ok=True)
        save_png(to_picture(image), job.target, metadata=metadata(job), icc_profile=loaded.icc_profile)


def write_rejects(rejects: Sequence[tuple[str, str]], out: str) -> None:
    """Write ``rejects.csv`` (photo, reason) into ``out`` when there are any, and count them on stderr."""
    if not rejects:
        return
    target = Path(out) / "rejects.csv"
    with target.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(("photo", "reason"))
        writer.writerows(rejects)
    print(f"{len(rejects)} pictures could not be read; they are listed in {target}", file=sys.stderr)
