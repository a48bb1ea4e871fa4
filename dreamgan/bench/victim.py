"""The small dataset that is made to be killed, and what a run was in the middle of."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from dreamgan.bench.attempt import Operation

SIZE_PX, DREAM_PX, PHOTO_PX = 32, 40, 640  # photos so large that reading them takes a while
UNIT_PHOTOS = 4

STARTING, CLAIMING, READING, DREAMING = "starting", "claiming the folder", "reading photos", "dreaming"
JOINING, CARD, MOVING, SWEEPING = "joining units", "lists, pictures, card", "moving into place", "removing .work"
ENDING = "ending"
PHASES = (STARTING, CLAIMING, READING, DREAMING, JOINING, CARD, MOVING, SWEEPING, ENDING)


def import_all() -> None:
    """Import what making a dataset imports along the way, but run nothing."""
    for name in (
        "datasets",
        "docstring_parser",
        "filelock",
        "pytorch_lightning",
        "torchvision.models",
        "dreamgan.commands.dataset",
        "dreamgan.data.sources",
        "dreamgan.making.make",
        "dreamgan.making.publish",
        "dreamgan.making.run",
    ):
        importlib.import_module(name)


def write_photos(folder: Path, count: int, seed: int) -> None:
    """Write crops of the sample photographs, class by class, and some files that are no pictures.

    Args:
        folder: Is made.
        count: Least number of sound photos.
        seed: Of the crops.

    Raises:
        UserError: If the packages that carry the photographs are not installed.
    """
    from dreamgan.data.samples import SAMPLE_PHOTOS, sample_crops

    found = sample_crops(DREAM_PX, -(-count // len(SAMPLE_PHOTOS)), seed)
    for photo in found.photos:
        path = folder / photo.label / f"{photo.photo_id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        found.open(photo).picture.resize((PHOTO_PX, PHOTO_PX)).save(path)
    whole = path.read_bytes()
    for name, content in {"empty.jpg": b"", "half.jpg": whole[: len(whole) // 2], "text.png": b"no picture"}.items():
        (path.parent / name).write_bytes(content)


def make(photos: Path, out: Path) -> None:
    """Make the dataset: two recipes on two networks, several strengths, second dreams, a held-out class.

    Args:
        photos: From ``write_photos``.
        out: The dataset's folder.
    """
    from dreamgan.commands.dataset import make_dataset
    from dreamgan.making.mix import DreamEntry

    soft = DreamEntry("distillable", "mobilenet_v2", "block_2_add", weights="random", name="soft", share=2)
    bold = DreamEntry("gordic", "squeezenet1_1", "features.4", weights="random", name="bold", strengths=[0.5, 1.0])
    make_dataset(
        str(photos),
        dreams=[soft, bold],
        size=SIZE_PX,
        dream_size=DREAM_PX,
        crop="random",
        hold_out_categories="coffee",
        second_dreams=0.5,
        batch=UNIT_PHOTOS,
        threads=1,
        device="cpu",
        out=str(out),
    )


def phase(operations: Sequence[Operation]) -> str:
    """What a run was doing, by its last operation on a file."""
    if not operations:
        return STARTING
    if any(each.target == "README.md" for each in operations):
        return ENDING if operations[-1].name == "rmdir" and operations[-1].path == ".work" else SWEEPING
    last = operations[-1]
    path = last.target or last.path
    if last.name in ("remove", "rmdir") and path.startswith((".work/units", ".work/scan")) and path[-4:] != ".tmp":
        return SWEEPING  # what an end that was cut off has left
    if path.startswith(".work/final/data"):
        return JOINING
    if path.startswith(".work/final"):
        return CARD
    if path.startswith(".work/units") or (path.startswith(".work/writing-") and path.endswith(".tmp")):
        return DREAMING
    if path.startswith((".work/scan", ".work/writing-", ".work/gone-")) or path in (".work/lock", "config.json"):
        return READING
    put_together = any(each.path.startswith(".work/final/") for each in operations)
    return MOVING if put_together and not path.startswith(".work") else CLAIMING
