"""Photos in tables: parquet and arrow files, and what `datasets` saved."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dreamgan.data.names import visible_label
from dreamgan.data.photos import Photo, PhotoSet, Table, TableRow
from dreamgan.errors import UserError

LABEL_COLUMNS = ("label", "class", "class_name", "category", "cls")  # where no column says that it holds classes
ROW = "dreamgan_row"  # of a streamed table: the number that a row has in the whole


def from_parquet(name: str, files: Sequence[Path]) -> PhotoSet:
    """Find the photos in parquet files.

    Raises:
        UserError: they cannot be read, or hold no pictures; so below.
    """
    import datasets

    with _reading(name, "parquet"):
        rows = datasets.load_dataset("parquet", data_files={"train": [str(file) for file in files]}, split="train")
    return photo_set_of(name, rows, files, _folders_of(files))


def from_arrow(name: str, files: Sequence[Path]) -> PhotoSet:
    """Find the photos in arrow files as `datasets` keeps them in its cache."""
    import datasets

    with _reading(name, "arrow"):
        rows = datasets.concatenate_datasets([datasets.Dataset.from_file(str(file)) for file in files])
    return photo_set_of(name, rows, files, _folders_of(files))


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` of `datasets` wrote a folder."""
    # `os.path` takes what may not be read for no file; the folder's own reader says so better.
    return any(os.path.isfile(folder / name) for name in ("dataset_dict.json", "state.json"))


def from_saved(name: str, folder: Path, split: str | None) -> PhotoSet:
    """Find the photos in a folder that `save_to_disk` of `datasets` wrote.

    Args:
        name: what the user called it.
        folder: where it is.
        split: which of its splits; None: `train`, else the first.
    """
    import datasets

    with _reading(name, "a saved dataset"):
        saved = datasets.load_from_disk(str(folder))
    rows = saved
    if isinstance(saved, datasets.DatasetDict):
        if split is not None and split not in saved:
            raise UserError(f"{name!r} has no split {split!r}, only {', '.join(saved)}")
        rows = saved[split] if split is not None else first_split(saved)
    return photo_set_of(name, rows, cache_files(rows), [folder.resolve()])


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """Switch the progress bars of `datasets` off: local files take it less than a second."""
    import datasets

    # Where HF_DATASETS_DISABLE_PROGRESS_BARS is set the library keeps to that, and warns whoever tries to change it.
    ours = datasets.config.HF_DATASETS_DISABLE_PROGRESS_BARS is None and not datasets.are_progress_bars_disabled()
    if ours:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if ours:
            datasets.enable_progress_bars()


def first_line(error: BaseException) -> str:
    """Give the first line of what an error says, or its type where it says nothing."""
    # The library's own error says but that there was one.
    if type(error).__name__ == "DatasetGenerationError" and error.__cause__:
        return first_line(error.__cause__)
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def _reading(name: str, kind: str) -> Iterator[None]:
    try:
        with quiet_datasets():
            yield
    except Exception as error:  # the library lets errors of many libraries through
        raise UserError(f"cannot read {name!r} as {kind}: {first_line(error)}") from error


def first_split(splits: Any) -> Any:
    """Give the split `train` of a dataset, or the first where it has none."""
    return splits["train"] if "train" in splits else next(iter(splits.values()))


def _folders_of(files: Sequence[Path]) -> list[Path]:
    return sorted({file.resolve().parent for file in files})


def cache_files(rows: Any) -> list[Path]:
    """Give the files that a dataset of the library reads its rows from; none for one that is all in memory."""
    return [Path(file["filename"]) for file in rows.cache_files]


def photo_set_of(name: str, rows: Any, files: Sequence[Path], folders: Sequence[Path]) -> PhotoSet:
    """Make a set of the rows of a table.

    Args:
        name: what the user called it.
        rows: a `datasets.Dataset`.
        files: those that it was read from.
        folders: where files may lie that its rows name; resolved.

    Raises:
        UserError: it has no pictures, no rows, or is what we made ourselves.
    """
    import datasets

    rows = rows.with_format(None)  # whoever saved it may have asked for tensors
    column, label_column = find_columns(name, rows.features)
    if not len(rows):
        raise UserError(f"{name!r} holds no photo")
    numbers = rows[ROW][:] if ROW in rows.features else range(len(rows))
    labels = [""] * len(rows)
    if label_column:
        values = rows[label_column][:]
        texts = {value: label_text(value, rows.features[label_column]) for value in set(values)}
        labels = [texts[value] for value in values]
    pictures = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    ids = (f"row-{number:06d}" for number in numbers)
    photos = tuple(
        Photo(photo_id, photo_id, label, TableRow(0, row), photo_id)
        for row, (photo_id, label) in enumerate(zip(ids, labels, strict=True))
    )
    return PhotoSet(name, photos, (Table(pictures, column, tuple(files), tuple(folders)),))


def find_columns(name: str, features: Any) -> tuple[str, str]:
    """Find the column of the pictures and that of the classes, "" without one."""
    import datasets

    if {"photo", "dream", "recipe_json"} <= set(features):
        raise UserError(f"{name!r} is a dream dataset already; give the photos it was made from")
    pictures = [c for c, kind in features.items() if isinstance(kind, datasets.Image) or _is_raw_image(kind)]
    if not pictures:
        raise UserError(f"{name!r} has no image column, only {', '.join(features)}; give a set with pictures")
    classes = [c for c, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    classes += [c for c in LABEL_COLUMNS if c in features and _is_plain(features[c])]
    return pictures[0], classes[0] if classes else ""


def _is_raw_image(kind: Any) -> bool:
    # What an image column looks like when the parquet was written by something other than `datasets`.
    return isinstance(kind, dict) and set(kind) == {"bytes", "path"}


def _is_plain(kind: Any) -> bool:
    """Whether a column holds texts or whole numbers."""
    return "string" in str(getattr(kind, "dtype", "")) or "int" in str(getattr(kind, "dtype", ""))


def label_text(value: Any, kind: Any) -> str:
    """Name the class of a row.

    Args:
        value: what the row holds: a text, a number, or None.
        kind: the library's feature of the column.

    Returns:
        The name; "" where there is none, or the number is negative, as it is where nobody knows the class.
    """
    names = getattr(kind, "names", None)
    if value is None or (isinstance(value, int) and value < 0):
        return ""
    if names is not None:
        return visible_label(names[value]) if value < len(names) else ""
    return visible_label(str(value).strip())
