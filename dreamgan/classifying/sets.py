"""Photos with classes, split into training and validation, each opened once before anything is computed."""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dreamgan.data.folders import is_picture_name
from dreamgan.data.photos import FileCrop, Photo, PhotoSet
from dreamgan.data.scan import scan, tell_bar
from dreamgan.data.sources import find_photos
from dreamgan.data.split import same_pixels, split_of
from dreamgan.errors import UserError, check_least

VAL_FOLDERS = ("val", "test", "validation")


@dataclass(frozen=True)
class Labelled:
    """Photos that can be opened, and what they show.

    Attributes:
        photo_set: opens them.
        photos: in a fixed order.
        targets: the class of each, its place among the names of the classes.
    """

    photo_set: PhotoSet
    photos: tuple[Photo, ...]
    targets: tuple[int, ...]

    def __len__(self) -> int:
        """Count the photos."""
        return len(self.photos)


@dataclass(frozen=True)
class LabelledSets:
    """What a classifier is trained and measured on.

    Attributes:
        classes: names, sorted; a target is a place in it.
        train: to learn from.
        val: to measure on.
        copies: how many photos of `val` have the pixels of one of `train`.
    """

    classes: tuple[str, ...]
    train: Labelled
    val: Labelled
    copies: int

    def sha256(self) -> str:
        """What tells these photos, their classes and their split from others; see `PhotoSet.list_sha256`."""
        lists = (each.photo_set.list_sha256(each.photos) for each in (self.train, self.val))
        return hashlib.sha256(" ".join(lists).encode()).hexdigest()


def find_labelled(
    photos: str,
    *,
    val: str | None = None,
    val_last: int = 0,
    val_fraction: float = 0.2,
    hub_config: str | None = None,
    hub_split: str | None = None,
    val_split: str | None = None,
    seed: int = 0,
    folder: Path,
    tell: Callable[[str], None] = tell_bar,
) -> LabelledSets:
    """Find a set of photos with classes and split it.

    The first of these that is given decides what is for validation: `val`; `val_split`; sub-folders `train` and `val`
    (or `test`, `validation`) of the folder; `val_last`; `val_fraction`.

    Args:
        photos: a source with a class for each photo, see `find_photos`: a folder with one sub-folder per class, or with
            such folders in `train` and `val`; a table; a Hugging Face dataset.
        val: another source, to validate on.
        val_last: validate on this many photos of each class, the last by name.
        val_fraction: share of each class to validate on, whole photographs with their copies.
        hub_config: configuration of a Hugging Face dataset.
        hub_split: its split to train on.
        val_split: its split to validate on.
        seed: of the choice by `val_fraction`.
        folder: keeps what was found of each photo, so that it is opened once only.
        tell: gets a line for each photo that is left out.

    Returns:
        The sets.

    Raises:
        UserError: no photo, fewer than two classes, a photo without a class, a class without photos or with too few to
            split, or classes that differ between training and validation.
    """
    if not 0 < val_fraction < 1:
        raise UserError(f"val_fraction is {val_fraction}; it must be above 0 and below 1")
    check_least(("val_last", val_last, 0))
    train_source, val_source = photos, val
    within = _split_folders(photos) if val is None and val_split is None else None
    if within is not None:
        train_source, val_source = within
    if val_split is not None:
        val_source = val_source or photos
    whole = find_photos(train_source, size_px=1, hub_config=hub_config, hub_split=hub_split)
    if val_source is not None:
        # A configuration is that of the first source; a second one of another name has none.
        config = hub_config if val_source == photos else None
        other = find_photos(val_source, size_px=1, hub_config=config, hub_split=val_split)
        train, held = _usable(train_source, whole, folder, tell), _usable(val_source, other, folder, tell)
    else:
        everything = _usable(train_source, whole, folder, tell)
        train, held = _split(everything, val_last, val_fraction, seed)
    return _joined(train, held, photos)


def first_of_each(labelled: Labelled, count: int) -> Labelled:
    """The first photos of each class by name, in the order that they had.

    Args:
        labelled: photos.
        count: of each class.

    Raises:
        UserError: a class has fewer.
    """
    kept: set[str] = set()
    for target in set(labelled.targets):
        own = [p.photo_id for p, t in zip(labelled.photos, labelled.targets, strict=True) if t == target]
        if len(own) < count:
            raise UserError(f"a class of {labelled.photo_set.name!r} has {_photos(len(own))}; {count} are needed")
        kept.update(sorted(own)[:count])
    pairs = [(p, t) for p, t in zip(labelled.photos, labelled.targets, strict=True) if p.photo_id in kept]
    return Labelled(labelled.photo_set, tuple(p for p, _ in pairs), tuple(t for _, t in pairs))


@dataclass(frozen=True)
class _Found:
    photo_set: PhotoSet
    photos: tuple[Photo, ...]
    pixels: tuple[str, ...]
    same: dict[str, str]

    def part(self, keep: Callable[[Photo], bool]) -> _Found:
        pairs = [(photo, sha) for photo, sha in zip(self.photos, self.pixels, strict=True) if keep(photo)]
        return _Found(self.photo_set, tuple(p for p, _ in pairs), tuple(sha for _, sha in pairs), self.same)

    def told(self, label: str) -> str:
        """A class as the user is told of it: with its folder where that lies in another class's."""
        folder = next((photo.file.rpartition("/")[0] for photo in self.photos if photo.label == label), "")
        return f"{label!r} (folder {folder!r})" if "/" in folder else repr(label)

    @property
    def labels(self) -> list[str]:
        return sorted({photo.label for photo in self.photos})


def list_key(photo_set: PhotoSet, photos: Sequence[Photo]) -> str:
    """What tells one list of photos from another: as `PhotoSet.list_sha256`, and when each file was written.

    Pictures without compression, or put in place of others, may have the same sizes.
    """
    files = dict.fromkeys(photo.where.path for photo in photos if isinstance(photo.where, FileCrop))
    digest = hashlib.sha256(photo_set.list_sha256(photos).encode())
    for file in files:
        with contextlib.suppress(OSError):  # gone by now: whoever opens it says so
            digest.update(f" {file.stat().st_mtime_ns}".encode())
    return digest.hexdigest()


def _split_folders(photos: str) -> tuple[str, str] | None:
    root = Path(photos).expanduser()
    others = [name for name in VAL_FOLDERS if (root / name).is_dir()]
    return (str(root / "train"), str(root / others[0])) if (root / "train").is_dir() and others else None


def _usable(source: str, whole: PhotoSet, folder: Path, tell: Callable[[str], None]) -> _Found:
    """Open all photos once and leave out those that cannot be used."""
    for reject in whole.rejects:
        tell(f"left out: {reject.name}: {reject.reason}")
    for folder_name in _hidden(source):
        tell(f"left out: folder {folder_name!r} of {source!r}: its name begins with a dot")
    homeless = [photo.file for photo in whole.photos if not photo.label]
    if homeless:
        more = f" and {len(homeless) - 1} more" if len(homeless) > 1 else ""
        raise UserError(
            f"{homeless[0]!r}{more} of {source!r} has no class; put the photos of each class into a folder of its name"
        )
    scanned = scan(whole, folder / list_key(whole, whole.photos)[:16], tell=lambda _: None)
    kept, pixels = [], []
    for photo, each in zip(whole.photos, scanned, strict=True):
        if each.reason:
            tell(f"left out: {each.reason}")
        else:
            kept.append(photo)
            pixels.append(each.sha256)
    has = {photo.label for photo in kept} | {part for photo in kept for part in photo.file.split("/")[:-1]}
    in_folders = all(isinstance(photo.where, FileCrop) for photo in whole.photos)
    for label in (*whole.labels, *(_folders(source) if in_folders else ())):
        if label not in has:
            raise UserError(f"class {label!r} of {source!r} has no picture that can be used; remove its folder")
    return _Found(whole, tuple(kept), tuple(pixels), same_pixels(whole.photos, scanned))


def _folders(source: str) -> list[str]:
    """Names of the folders right in a source, which stand for classes."""
    root = Path(source).expanduser()
    if not root.is_dir():
        return []
    return sorted(child.name for child in root.iterdir() if child.is_dir() and not child.name.startswith("."))


def _hidden(source: str) -> list[str]:
    """Names of the folders right in a source that would be classes, but for the dot that their names begin with."""
    found = []
    for child in Path(source).expanduser().glob(".*/"):
        with contextlib.suppress(OSError):  # one that may not be read is no class
            if any(is_picture_name(file.name) for file in child.iterdir()):
                found.append(child.name)
    return sorted(found)


def _split(found: _Found, last: int, fraction: float, seed: int) -> tuple[_Found, _Found]:
    if not last:
        sources, labels = [p.source_id for p in found.photos], [p.label for p in found.photos]
        sides = split_of(sources, test_fraction=fraction, seed=seed, labels=labels, same=found.same)
        parts = (
            found.part(lambda photo: sides[photo.source_id] == "train"),
            found.part(lambda photo: sides[photo.source_id] == "test"),
        )
        if any(part.labels != found.labels for part in parts):
            raise UserError(_too_few(found, fraction))
        return parts
    by_label: dict[str, list[str]] = defaultdict(list)
    for photo in found.photos:
        by_label[photo.label].append(photo.photo_id)
    for label, members in by_label.items():
        if len(members) <= last:
            raise UserError(
                f"class {found.told(label)} has {_photos(len(members))}, so val_last {last} leaves none to learn from; "
                "lower --val_last (of train: --data.val_last)"
            )
    held = {photo_id for members in by_label.values() for photo_id in sorted(members)[-last:]}
    return found.part(lambda photo: photo.photo_id not in held), found.part(lambda photo: photo.photo_id in held)


def _too_few(found: _Found, fraction: float) -> str:
    """Say of the smallest class, for which the others could not be split either, what it lacks."""
    distinct = {
        label: len({found.same.get(photo.source_id, photo.source_id) for photo in found.photos if photo.label == label})
        for label in found.labels
    }
    label = min(found.labels, key=lambda label: distinct[label])
    has = f"class {found.told(label)} has {_photos(distinct[label])}"
    if distinct[label] < sum(photo.label == label for photo in found.photos):
        has += " without its copies"
    if distinct[label] < 2:
        return f"{has}; at least 2 are needed"
    return f"{has}, too few to hold out a share of {fraction:g}; give more, or raise --data.val_fraction"


def _photos(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"


def _joined(train: _Found, held: _Found, name: str) -> LabelledSets:
    classes = train.labels
    if len(classes) < 2:
        raise UserError(f"{name!r} has the one class {classes[0]!r}; a classifier needs two or more")
    if held.labels != classes:
        unlike = sorted({*classes} ^ {*held.labels})
        side, where = ("training", train) if unlike[0] in classes else ("validation", held)
        raise UserError(
            f"the classes of training and validation differ: {where.told(unlike[0])} is in {side} only; "
            "give both the same folders"
        )
    return LabelledSets(
        tuple(classes),
        _labelled(train, classes),
        _labelled(held, classes),
        copies=len([sha for sha in held.pixels if sha in set(train.pixels)]),
    )


def _labelled(found: _Found, classes: Sequence[str]) -> Labelled:
    place = {label: number for number, label in enumerate(classes)}
    return Labelled(found.photo_set, found.photos, tuple(place[photo.label] for photo in found.photos))
