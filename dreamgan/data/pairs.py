"""The dream dataset on disk: the contract between the dream stage and training.

Finished work units are small parquet files. `compact` joins them into the shards of a Hugging Face dataset,
which `datasets.load_dataset(folder)` reads with no code of ours.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from dreamgan.data.hub import HUB_NAME, ask_hub
from dreamgan.data.photos import Reject
from dreamgan.data.tables import first_line, quiet_datasets
from dreamgan.errors import UserError
from dreamgan.files import whole_file

SPLITS = ("train", "test")
SHARD_BYTES = 256 * 1024**2
MOST_SIDE_PX = 16_383  # of a picture in WebP
ROW_GROUP_ROWS = 100  # what the Hub's viewer asks of datasets with pictures

_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_UNIT = pa.schema(
    [
        ("photo", _PICTURE),
        ("dream", _PICTURE),
        ("second_dream", _PICTURE),
        ("label", pa.string()),
        ("photo_id", pa.string()),
        ("source_id", pa.string()),
        ("photo_sha256", pa.string()),
        ("recipe", pa.string()),
        ("strength", pa.float64()),
        ("recipe_json", pa.string()),
        ("backbone", pa.string()),
        ("layers", pa.string()),
        ("weights", pa.string()),
        ("weights_sha256", pa.string()),
        ("guides", pa.string()),
        ("seed", pa.int64()),
        ("second_seed", pa.int64()),
        ("score_before", pa.float32()),
        ("score_after", pa.float32()),
    ]
)
COLUMNS = tuple(_UNIT.names)
_SPLIT_KEY, _REJECTS_KEY = b"dreamgan:split", b"dreamgan:rejects"


@dataclass(frozen=True)
class Pair:
    """A photo and its dream.

    Attributes:
        photo: RGB, 8 bit.
        dream: RGB, 8 bit, of the photo's size.
        second_dream: a dream of the same photo with another shift sequence, or None (test split only).
        label: the photo's class, "" without one.
        photo_id: unique in the dataset.
        source_id: the photograph it was cut from.
        photo_sha256: of the pixels of the photo as it was found, before it was scaled and cut.
        recipe: the recipe's name, one of its own for each kind of dream in the dataset.
        strength: the share of the recipe's steps that were run, in (0, 1].
        recipe_json: the whole recipe as JSON.
        backbone: the name of the network it was dreamed with.
        layers: the target layers as the user named them (stored as one string with commas).
        weights: what the backbone's weights are called.
        weights_sha256: of the backbone's weights.
        guides: name of a guide picture to the SHA-256 of its pixels (stored as JSON).
        seed: of the dream.
        second_seed: of the second dream, None without one.
        score_before: the recipe's objective on the photo.
        score_after: the same on the dream.
    """

    photo: Image.Image
    dream: Image.Image
    second_dream: Image.Image | None
    label: str
    photo_id: str
    source_id: str
    photo_sha256: str
    recipe: str
    strength: float
    recipe_json: str
    backbone: str
    layers: tuple[str, ...]
    weights: str
    weights_sha256: str
    guides: Mapping[str, str]
    seed: int
    second_seed: int | None
    score_before: float
    score_after: float


def write_unit(
    path: Path, pairs: Sequence[Pair], split: str, *, rejects: Sequence[Reject] = (), aside: Path | None = None
) -> None:
    """Write one finished work unit, all of it or nothing.

    The same arguments give the same bytes (with the same pyarrow and Pillow).

    Args:
        path: where; its folder is made if the unit is written in it.
        pairs: those of the unit, in order; may be empty where every photo was rejected.
        split: "train" or "test".
        rejects: the unit's photos that could not be used, kept here so that a resumed run still knows them.
        aside: existing folder to write it in before it takes its place, if not its own.

    Raises:
        OSError: the disk is full or may not be written.
    """
    rows = [
        {
            **{name: getattr(pair, name) for name in COLUMNS},
            "photo": _encode(pair.photo),
            "dream": _encode(pair.dream),
            "second_dream": None if pair.second_dream is None else _encode(pair.second_dream),
            "layers": ",".join(pair.layers),
            "guides": json.dumps(dict(pair.guides), sort_keys=True),
        }
        for pair in pairs
    ]
    facts = {_SPLIT_KEY: split, _REJECTS_KEY: json.dumps([[r.name, r.reason] for r in rejects])}
    # By way of Python's own files: their errors say what the system said.
    with whole_file(path, aside=aside) as temporary, temporary.open("xb") as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=_UNIT.with_metadata(facts)), file)
        _flush(file)


def is_unit(path: Path) -> bool:
    """Say whether a finished work unit lies at `path`."""
    try:
        return _SPLIT_KEY in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowInvalid):
        return False


def unit_rejects(path: Path) -> list[Reject]:
    """Read the photos that could not be used from a finished unit.

    Args:
        path: a unit that `is_unit` says yes to.

    Raises:
        OSError: there is none.
    """
    return [Reject(name, reason) for name, reason in json.loads(pq.read_schema(path).metadata[_REJECTS_KEY])]


def compact(
    units: Sequence[Path],
    data: Path,
    *,
    labels: Sequence[str],
    shard_bytes: int = SHARD_BYTES,
) -> dict[str, int]:
    """Join finished units into shards, `data/<split>-00000-of-0000N.parquet`.

    One row group is in memory at a time. The units are left for the caller to remove.

    Args:
        units: finished ones, in the order in which their rows shall stand.
        data: the folder to fill; what it held is removed first.
        labels: all class names, in order, for a ClassLabel column, in which a pair without a label gets null; empty
            for plain strings.
        shard_bytes: a shard is closed before it outgrows this.

    Returns:
        Rows per written split; one without rows gets no file.

    Raises:
        ValueError: a unit of a split that is not in `SPLITS`, or with a label that is not in `labels`.
        OSError: a unit is missing, or the disk is full.
    """
    rows: dict[str, int] = {}
    shards: dict[str, list[list[Path]]] = defaultdict(list)
    room: dict[str, int] = {}
    for unit in units:
        metadata = pq.read_metadata(unit)
        split = metadata.metadata[_SPLIT_KEY].decode()
        if split not in SPLITS:
            raise ValueError(f"{unit} is of the split {split!r}, not one of {', '.join(SPLITS)}")
        if not metadata.num_rows:
            continue
        size = unit.stat().st_size
        if not shards[split] or room[split] < size:
            shards[split].append([])
            room[split] = shard_bytes
        shards[split][-1].append(unit)
        room[split] -= size
        rows[split] = rows.get(split, 0) + metadata.num_rows
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    schema = _features(labels).arrow_schema
    for split, members in shards.items():
        for number, shard in enumerate(members):
            _write_shard(data / f"{split}-{number:05d}-of-{len(members):05d}.parquet", shard, schema, labels)
    return {split: rows[split] for split in SPLITS if split in rows}


def load_pairs(dataset: str | Path, split: str) -> Any:
    """Open one split of a dream dataset.

    The library copies the rows of a local dataset, too, into its cache (Arrow files under HF_DATASETS_CACHE, about as
    large as the dataset; they stay until somebody deletes them) and maps them into memory from there. A copy is looked
    up by the time of the dataset's last change, so that a rebuilt dataset is never mistaken for the old; nothing is
    written into its folder.

    Args:
        dataset: a folder that `compact` wrote, or the name of such a dataset on the Hugging Face hub.
        split: "train" or "test".

    Returns:
        A `datasets.Dataset` with the columns of `COLUMNS`; pictures decode to PIL.

    Raises:
        UserError: it is not there, cannot be read, is no dream dataset or has no such split.
    """
    import datasets

    path = Path(dataset).expanduser()
    name = str(dataset)
    if path.exists():
        shards = _shards(path, split)
        if not shards:
            other = next((s for s in SPLITS if _shards(path, s)), None)
            if other is None:
                raise UserError(
                    f"{name!r} is no dream dataset: it holds no data/train-*.parquet; "
                    "make one with make_dream_dataset.py"
                )
            raise UserError(
                f"{name!r} has no {split!r} split, only {other!r}; make it again with another test fraction"
            )
        try:
            columns = pq.read_schema(shards[0]).names
            _check_columns(name, columns)
            files = {split: [escape(str(shard.resolve())) for shard in shards]}
            with quiet_datasets():
                return datasets.load_dataset("parquet", data_files=files, split=split)
        except UserError:
            raise
        except Exception as error:  # pyarrow's and the library's errors share no base class
            raise UserError(f"cannot read the dream dataset {name!r}: {first_line(error)}; make it again") from error
    _check_hub_name(name)
    try:
        ask_hub(name)
        rows = datasets.load_dataset(name, split=split)
    except Exception as error:  # network, hub and format errors share no base class
        raise _unreachable(name, f"its split {split!r} cannot be loaded", error) from error
    _check_columns(name, rows.column_names)
    return rows


def has_split(dataset: str | Path, split: str) -> bool:
    """Say whether a dream dataset has a split; for one that is not local the Hub is asked.

    Args:
        dataset: as for `load_pairs`.
        split: "train" or "test".

    Raises:
        UserError: it is neither a folder nor a Hugging Face dataset that can be reached.
    """
    path, name = Path(dataset).expanduser(), str(dataset)
    if path.exists():
        return bool(_shards(path, split))
    import datasets

    _check_hub_name(name)
    try:
        ask_hub(name)
        return split in datasets.get_dataset_split_names(name)
    except Exception as error:  # network, hub and format errors share no base class
        raise _unreachable(name, "its splits cannot be listed", error) from error


def _check_hub_name(name: str) -> None:
    if not HUB_NAME.fullmatch(name):
        raise UserError(f"there is no dream dataset {name!r}; give the folder that make_dream_dataset.py wrote")


def _unreachable(name: str, what: str, error: Exception) -> UserError:
    return UserError(
        f"{name!r} is no folder here, and as a Hugging Face dataset {what} ({first_line(error)}); "
        "give the folder that make_dream_dataset.py wrote"
    )


def _check_columns(name: str, columns: Sequence[str]) -> None:
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise UserError(
            f"{name!r} is no dream dataset: it lacks {', '.join(missing)}; make one with make_dream_dataset.py"
        )


def _shards(folder: Path, split: str) -> list[Path]:
    return sorted((folder / "data").glob(f"{split}-*.parquet"))


def _encode(picture: Image.Image) -> dict[str, object]:
    buffer = io.BytesIO()
    # Without loss, since scores and cosines are of these very pixels: 18 % smaller than PNG, and quicker to write and
    # to read (BENCHMARKS.md). Pixels only: a profile would make the bytes depend on more than the picture.
    picture.convert("RGB").save(buffer, "WEBP", lossless=True, quality=0, method=1, icc_profile=None, exif=b"", xmp=b"")
    return {"bytes": buffer.getvalue(), "path": None}


def _features(labels: Sequence[str]) -> Any:
    import datasets

    kinds: dict[str, object] = {
        field.name: datasets.Image() if field.type == _PICTURE else datasets.Value(_value_name(field.type))
        for field in _UNIT
    }
    if labels:
        kinds["label"] = datasets.ClassLabel(names=list(labels))
    return datasets.Features(kinds)


def _value_name(kind: pa.DataType) -> str:
    return "float32" if kind == pa.float32() else str(kind)  # arrow calls it "float"


def _write_shard(path: Path, units: Sequence[Path], schema: pa.Schema, labels: Sequence[str]) -> None:
    waiting: list[pa.Table] = []
    with whole_file(path) as temporary, temporary.open("xb") as file:
        with pq.ParquetWriter(file, schema) as writer:
            for number, unit in enumerate(units, start=1):
                # One thread: units are small, and each of Arrow's threads would keep memory of its own.
                with pq.ParquetFile(unit) as finished:
                    table = finished.read(use_threads=False)
                if labels:
                    table = table.set_column(table.column_names.index("label"), "label", _numbers(unit, table, labels))
                waiting.append(table.cast(schema))
                if number == len(units) or sum(len(table) for table in waiting) >= ROW_GROUP_ROWS:
                    writer.write_table(pa.concat_tables(waiting), row_group_size=ROW_GROUP_ROWS)
                    waiting = []
        _flush(file)


def _flush(file: IO[bytes]) -> None:
    """Have the system write a file to the disk, so that not even a power cut leaves an empty one under a name."""
    file.flush()
    os.fsync(file.fileno())


def _numbers(unit: Path, table: pa.Table, labels: Sequence[str]) -> pa.Array:
    number_of: dict[str, int | None] = {label: number for number, label in enumerate(labels)}
    number_of.setdefault("", None)  # a photo without a label among others that have one
    names = table["label"].to_pylist()
    unknown = sorted(set(names) - set(number_of))
    if unknown:
        raise ValueError(f"{unit} has the label {unknown[0]!r}, not one of {', '.join(labels)}")
    return pa.array([number_of[name] for name in names], pa.int64())


def classes(rows: Any) -> list[str]:
    """The class of each pair as text, "" without one."""
    names = getattr(rows.features["label"], "names", None)
    return [names[label] if names and isinstance(label, int) else label or "" for label in rows["label"][:]]
