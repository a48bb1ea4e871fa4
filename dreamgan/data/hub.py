"""Photos in the datasets of the Hugging Face hub, downloaded whole or only as far as they are wanted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from dreamgan.data.names import nearest
from dreamgan.data.photos import PhotoSet
from dreamgan.data.tables import ROW, cache_files, find_columns, first_line, first_split, label_text, photo_set_of
from dreamgan.errors import UserError

HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


def from_hub(
    name: str,
    config: str | None,
    split: str | None,
    *,
    stream: bool,
    limit: int | None,
    only: Sequence[str],
    skip: Sequence[str],
) -> PhotoSet:
    """Find the photos of a dataset of the Hugging Face hub.

    Args:
        name: of the dataset.
        config: its configuration, where it has several.
        split: its split; None: `train`, else the first.
        stream: download its first `limit` rows only, of those whose class `only` and `skip` let through.
        limit: see `stream`.
        only: patterns of class names; none: all.
        skip: patterns of class names.
    """
    import datasets

    try:
        ask_hub(name)
        if stream:
            rows = _streamed(name, config, split, limit, tuple(only), tuple(skip))
        else:
            loaded = datasets.load_dataset(name, config, split=split)
            rows = first_split(loaded) if split is None else loaded
    except UserError:
        raise
    except Exception as error:  # network, hub and format errors share no base class
        raise UserError(
            f"{name!r} is no file or folder here, and as a Hugging Face dataset it cannot be loaded "
            f"({first_line(error)}); give the path of a folder of photos instead"
        ) from error
    return photo_set_of(name, rows, cache_files(rows), _caches())


def ask_hub(name: str) -> None:
    """Ask the hub once whether it has a dataset: loading a misspelt folder's name would retry for half a minute.

    Raises:
        Exception: Of many kinds, where the hub says no or cannot be reached.
    """
    from huggingface_hub import HfApi, constants

    if not constants.HF_HUB_OFFLINE:
        HfApi().dataset_info(name, timeout=10)


def _caches() -> list[Path]:
    """Where the library keeps what it has downloaded."""
    import datasets
    from huggingface_hub import constants

    config = datasets.config
    caches = (config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE)
    return [Path(cache).resolve() for cache in caches]


def _streamed(
    name: str, config: str | None, split: str | None, limit: int | None, only: tuple[str, ...], skip: tuple[str, ...]
) -> Any:
    """Download the first rows that are wanted into the library's cache."""
    import datasets

    stream, _, label_column = _open_stream(name, config, split)
    names = getattr(stream.features[label_column], "names", None) if label_column else []
    for pattern in (*only, *skip):
        if names is not None and not any(fnmatchcase(each, pattern) for each in names):
            raise UserError(
                f"{pattern!r} matches no class of {name!r}, and streaming knows nothing but classes; "
                f"nearest: {nearest(pattern, names)!r}"
            )
    kinds = datasets.Features(
        {"image": datasets.Image(), "label": datasets.Value("string"), ROW: datasets.Value("int64")}
    )
    wanted = {"name": name, "config": config, "split": split, "limit": limit, "only": only, "skip": skip}
    return datasets.Dataset.from_generator(_wanted_rows, features=kinds, gen_kwargs=wanted)


def _open_stream(name: str, config: str | None, split: str | None) -> tuple[Any, str, str]:
    import datasets

    loaded = datasets.load_dataset(name, config, split=split, streaming=True)
    stream = first_split(loaded) if split is None else loaded
    if stream.features is None:
        stream = stream._resolve_features()  # from its first rows; the library has no other name for it
    column, label_column = find_columns(name, stream.features)
    columns = [column, label_column] if label_column else [column]
    return stream.select_columns(columns).cast_column(column, datasets.Image(decode=False)), column, label_column


def _wanted_rows(
    name: str, config: str | None, split: str | None, limit: int, only: tuple[str, ...], skip: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    stream, column, label_column = _open_stream(name, config, split)
    kind = stream.features[label_column] if label_column else None
    left = limit
    for number, row in enumerate(stream):
        label = label_text(row[label_column], kind) if label_column else ""
        if only and not any(fnmatchcase(label, pattern) for pattern in only):
            continue
        if any(fnmatchcase(label, pattern) for pattern in skip):
            continue
        yield {"image": _with_bytes(row[column], name), "label": label, ROW: number}
        left -= 1
        if not left:
            return


def _with_bytes(cell: Any, name: str) -> Any:
    """Download the picture of a row that but names it, if it is one of the dataset's own files."""
    from datasets.utils.file_utils import xopen

    if not cell or cell["bytes"] is not None:
        return cell
    home = (cell["path"] or "").rpartition("::")[2]  # of a file in an archive: the archive
    if not home.startswith((f"hf://datasets/{name}/", f"hf://datasets/{name}@")):
        return cell
    with xopen(cell["path"], "rb") as stream:
        return {"bytes": stream.read(), "path": None}
