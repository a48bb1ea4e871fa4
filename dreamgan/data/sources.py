"""Photos in: folders, tables, tar files, lists, Hugging Face datasets or samples, all as one `PhotoSet`."""

from __future__ import annotations

import fnmatch
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dreamgan.data.folders import from_file, from_folder
from dreamgan.data.hub import HUB_NAME, from_hub
from dreamgan.data.lists import from_list
from dreamgan.data.names import nearest, visible, without_suffix
from dreamgan.data.photos import Photo, PhotoSet, Reject, TableRow
from dreamgan.data.samples import sample_crops
from dreamgan.data.tables import from_arrow, from_parquet, from_saved, is_saved
from dreamgan.data.tars import PACKED_SUFFIXES, from_tars, is_packed
from dreamgan.errors import UserError
from dreamgan.images import IMAGE_SUFFIXES

MOST_CROPS = 100_000  # of a photograph; far more than there are that differ


def find_photos(
    photos: str | Sequence[str],
    *,
    size_px: int,
    crops: int = 24,
    seed: int = 0,
    limit: int | None = None,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    hub_config: str | None = None,
    hub_split: str | None = None,
    stream: bool = False,
) -> PhotoSet:
    """Find the photos that the user means, without opening them.

    Args:
        photos: a source, several with commas between, or a list of them. A source is `samples` (the colour
            photographs that scikit-image and scikit-learn carry, cut into crops); a photo; a folder of photos; a
            .parquet, .arrow or .tar file or a folder of them; a folder that `datasets` saved; a .txt file with one
            path per line; or the name of a Hugging Face dataset. In a folder, a photo's label is the name of the
            sub-folder that it lies in, at whatever depth (`cats/x.jpg` and `train/cats/x.jpg` are both `cats`);
            photos beside the sub-folders have none. Where there are several sources, the ids of their photos begin
            with the source's name; the labels do not.
        size_px: side of the pictures to come; no crop of a sample is smaller where the photograph allows it.
        crops: crops per sample photograph; there are fewer where it does not hold so many different ones.
        seed: of the crops' places.
        limit: keep at most this many photos, taken evenly from all classes and from the whole of each class.
        only: keep only what one of these patterns matches: the class, the photo's id, or the name of its file, each
            without suffix; `*` and `?` stand for any text and any character.
        skip: leave out what one of these patterns matches.
        hub_config: configuration of a Hugging Face dataset, where it has several.
        hub_split: its split, or that of a folder that `datasets` saved; None: `train`, else the first.
        stream: download no more of a Hugging Face dataset than its first `limit` photos; `only` and `skip` are then
            for its classes.

    Returns:
        The set, in the same order for the same arguments.

    Raises:
        UserError: nothing is there, there is no picture in it, a pattern matches nothing, two sources have the same
            name, or a package or the network is missing.
    """
    for name, value in (("size_px", size_px), ("crops", crops), ("limit", 1 if limit is None else limit)):
        if value < 1:
            raise UserError(f"{name} is {value}; it must be at least 1")
    if crops > MOST_CROPS:
        raise UserError(f"crops is {crops}; it must be at most {MOST_CROPS}")
    names = _source_names(photos)
    _check_hub_flags(names, hub_config, hub_split, stream=stream, limit=limit)
    found = []
    for name in names:
        if name == "samples":
            found.append(sample_crops(size_px, crops, seed))
        elif _exists(name):
            found.append(_local(name, hub_split))
        elif HUB_NAME.fullmatch(name):
            found.append(from_hub(name, hub_config, hub_split, stream=stream, limit=limit, only=only, skip=skip))
        else:
            raise UserError(f"there is no {name!r}; give a folder of photos, a parquet file or 'samples'")
    whole = replace(found[0], sources=(_shown(names[0]),)) if len(found) == 1 else _joined(names, found)
    chosen = _chosen(whole, only, skip, part=stream)
    return replace(whole, photos=tuple(chosen) if limit is None else _evenly(chosen, limit))


def _source_names(photos: str | Sequence[str]) -> list[str]:
    if not isinstance(photos, str):
        names = list(photos)
    elif photos == "samples" or _exists(photos):
        names = [photos]
    else:
        names = [name.strip() for name in photos.split(",")]
    if not all(names) or not names:
        raise UserError(f"{photos!r} names no source of photos; give a folder of photos, a parquet file or 'samples'")
    return names


def _check_hub_flags(
    names: Sequence[str], config: str | None, split: str | None, *, stream: bool, limit: int | None
) -> None:
    hub = any(name != "samples" and not _exists(name) for name in names)
    saved = any(_exists(name) and is_saved(Path(name).expanduser()) for name in names)
    for flag, given, has_use in (
        ("stream", stream, hub),
        ("hub_config", config is not None, hub),
        ("hub_split", split is not None, hub or saved),
    ):
        if given and not has_use:
            raise UserError(f"{flag} is for Hugging Face datasets, and {', '.join(names)!r} names none; leave it out")
    if stream and limit is None:
        raise UserError("stream needs a limit: the number of photos to download")


def _exists(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except OSError as error:  # a folder above may not be entered, or the name is too long
        raise UserError(f"{visible(name)!r} cannot be read: {error.strerror}") from error
    except RuntimeError:  # ~nobody
        return False


def _local(name: str, split: str | None) -> PhotoSet:
    path = Path(name).expanduser()
    if not path.is_dir():
        return _local_file(name, path)
    if is_saved(path):
        return from_saved(name, path, split)
    for suffix, from_files in ((".parquet", from_parquet), (".arrow", from_arrow)):
        files = _with_suffix(path, suffix) or _with_suffix(path / "data", suffix)
        if files:
            return from_files(name, files)
    found = from_folder(name, path)
    if found.photos:
        return found
    if found.rejects:
        first = found.rejects[0]
        raise UserError(f"no picture in folder {name!r} can be used; first: {first.name!r} {first.reason}")
    tars = _with_suffix(path, ".tar") or _with_suffix(path, *PACKED_SUFFIXES)
    if tars:
        return from_tars(name, tars, shards=True)
    suffixes = " ".join(sorted(IMAGE_SUFFIXES))
    raise UserError(f"no picture in folder {name!r}: it needs files with one of the suffixes {suffixes}")


def _local_file(name: str, path: Path) -> PhotoSet:
    suffix = path.suffix.lower()
    # What is no regular file may have no end.
    if path.is_file():
        if suffix == ".parquet":
            return from_parquet(name, [path])
        if suffix == ".arrow":
            return from_arrow(name, [path])
        if suffix == ".tar" or is_packed(path):
            return from_tars(name, [path], shards=False)
        if suffix == ".txt":
            return from_list(name, path)
    return from_file(name, path)


def _with_suffix(folder: Path, *suffixes: str) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:  # there is none, or whoever reads it in earnest says why it cannot be read
        return []
    return [folder / name for name in names if name.lower().endswith(suffixes) and not name.startswith(".")]


def _shown(name: str) -> str:
    """Name a source without the folder that it lies in: that is nobody's business when a dataset is passed on."""
    if name == "samples" or not _exists(name):
        return name
    return visible(Path(name).expanduser().resolve().name) or "root"


def _joined(names: Sequence[str], found: Sequence[PhotoSet]) -> PhotoSet:
    shown = [_shown(name) for name in names]
    prefixes: list[str] = []
    for name, source in zip(names, shown, strict=True):
        is_file = name != "samples" and Path(name).expanduser().is_file()
        prefix = Path(source).stem if is_file else source.rpartition("/")[2]
        if prefix in prefixes:
            other = names[prefixes.index(prefix)]
            raise UserError(
                f"the sources {other!r} and {name!r} are both called {prefix!r}, and so would be their photos; rename "
                "one, or give a folder that holds both"
            )
        prefixes.append(prefix)
    photos: list[Photo] = []
    rejects: list[Reject] = []
    tables = 0
    for prefix, one in zip(prefixes, found, strict=True):
        for photo in one.photos:
            where = photo.where
            photos.append(
                Photo(
                    f"{prefix}/{photo.photo_id}",
                    f"{prefix}/{photo.source_id}",
                    photo.label,
                    TableRow(where.table + tables, where.row) if isinstance(where, TableRow) else where,
                    f"{prefix}/{photo.file}",
                )
            )
        rejects += [Reject(f"{prefix}/{reject.name}", reject.reason) for reject in one.rejects]
        tables += len(one.tables)
    all_tables = tuple(table for one in found for table in one.tables)
    return PhotoSet(", ".join(names), tuple(photos), all_tables, tuple(rejects), tuple(shown))


def _chosen(whole: PhotoSet, only: Sequence[str], skip: Sequence[str], *, part: bool) -> list[Photo]:
    """Keep the photos that the user asked for.

    Args:
        whole: the set.
        only: patterns.
        skip: patterns.
        part: the set is but a part of what there is, so that a pattern need not match any of it.
    """
    if not only and not skip:
        return list(whole.photos)
    matches = {pattern: re.compile(fnmatch.translate(pattern)).match for pattern in (*only, *skip)}
    used: set[str] = set()
    chosen = []
    for photo in whole.photos:
        stem = without_suffix(photo.file.rpartition("/")[2])
        names = (photo.label, photo.photo_id, without_suffix(photo.photo_id), stem)
        hits = {pattern for pattern, match in matches.items() if any(match(name) for name in names if name)}
        used |= hits
        if (not only or not hits.isdisjoint(only)) and hits.isdisjoint(skip):
            chosen.append(photo)
    for pattern in matches:
        if pattern not in used and not part:
            near = nearest(pattern, (*whole.labels, *(photo.photo_id for photo in whole.photos)))
            raise UserError(f"{pattern!r} matches no class and no photo of {whole.name!r}; nearest: {near!r}")
    if not chosen:
        raise UserError(f"only {', '.join(only) or '*'} without {', '.join(skip)} leaves no photo of {whole.name!r}")
    return chosen


def _evenly(photos: Sequence[Photo], limit: int) -> tuple[Photo, ...]:
    classes: dict[str, list[int]] = defaultdict(list)
    for index, photo in enumerate(photos):
        classes[photo.label].append(index)
    kept: list[int] = []
    # Smallest classes first: what they cannot give is shared by the larger ones.
    for done, label in enumerate(sorted(classes, key=lambda label: (len(classes[label]), label))):
        members = classes[label]
        quota = min(len(members), (limit - len(kept)) // (len(classes) - done))
        kept += [members[place * len(members) // quota] for place in range(quota)]
    return tuple(photos[index] for index in sorted(kept))
