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
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from dreamgan.data.sources import HUB_NAME, Reject, ask_hub, first_line, quiet_datasets
from dreamgan.errors import UserError
from dreamgan.files import whole_file, write_text
from dreamgan.images import save_png

SPLITS = ("train", "test")
SHARD_BYTES = 256 * 1024**2
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
        ("recipe", pa.string()),
        ("recipe_json", pa.string()),
        ("backbone", pa.string()),
        ("layers", pa.string()),
        ("weights_sha256", pa.string()),
        ("seed", pa.int64()),
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
        recipe: the recipe's name.
        recipe_json: the whole recipe as JSON.
        backbone: the name of the network it was dreamed with.
        layers: the target layers as the user named them (stored as one string with commas).
        weights_sha256: of the backbone's weights.
        seed: of the dream.
        score_before: the recipe's objective on the photo.
        score_after: the same on the dream.
    """

    photo: Image.Image
    dream: Image.Image
    second_dream: Image.Image | None
    label: str
    photo_id: str
    source_id: str
    recipe: str
    recipe_json: str
    backbone: str
    layers: tuple[str, ...]
    weights_sha256: str
    seed: int
    score_before: float
    score_after: float


def write_unit(path: Path, pairs: Sequence[Pair], split: str, *, rejects: Sequence[Reject] = ()) -> None:
    """Write one finished work unit, all of it or nothing.

    The same arguments give the same bytes (with the same pyarrow and Pillow).

    Args:
        path: where; its folder is made.
        pairs: those of the unit, in order; may be empty where every photo was rejected.
        split: "train" or "test".
        rejects: the unit's photos that could not be used, kept here so that a resumed run still knows them.

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
        }
        for pair in pairs
    ]
    facts = {_SPLIT_KEY: split, _REJECTS_KEY: json.dumps([[r.name, r.reason] for r in rejects])}
    with whole_file(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=_UNIT.with_metadata(facts)), temporary)


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
    out: Path,
    *,
    labels: Sequence[str],
    shard_bytes: int = SHARD_BYTES,
) -> dict[str, int]:
    """Join finished units into `out/data/<split>-00000-of-0000N.parquet`, replacing what `out/data` held.

    One row group is in memory at a time. The units are left for the caller to remove.

    Args:
        units: finished ones, in the order in which their rows shall stand.
        out: the dataset's folder.
        labels: all class names, in order, for a ClassLabel column, in which a pair without a label gets null; empty
            for plain strings.
        shard_bytes: a shard is closed before it outgrows this.

    Returns:
        Rows per written split; one without rows gets no file.

    Raises:
        ValueError: a unit of a split that is not in `SPLITS`, or with a label that is not in `labels`.
        OSError: a unit is missing, or the disk is full; what `out/data` held is kept.
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

    # Hidden, so that `load_dataset` on the folder never sees a half-written shard.
    partial, data = out / ".data.partial", out / "data"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        schema = _features(labels).arrow_schema
        for split, members in shards.items():
            for number, shard in enumerate(members):
                _write_shard(partial / f"{split}-{number:05d}-of-{len(members):05d}.parquet", shard, schema, labels)
        if data.exists():
            shutil.rmtree(data)
        os.replace(partial, data)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return {split: rows[split] for split in SPLITS if split in rows}


def write_card(out: Path, *, facts: Mapping[str, object], picture: Image.Image) -> None:
    """Write the dataset card `README.md` and its picture `sheet.png` beside `out/data`.

    Args:
        out: the dataset's folder, after `compact`.
        facts: what else the table shall say (recipe, backbone, weights, seed ...), in this order. Pairs,
            photographs and mean scores per split are read from the dataset.
        picture: rows of photo and dream.

    Raises:
        UserError: the picture cannot be written.
        OSError: the card cannot be.
    """
    table, files, total = dict(facts), [], 0
    for split in SPLITS:
        shards = _shards(out, split)
        if not shards:
            continue
        names = ["source_id", "score_before", "score_after"]
        columns = pa.concat_tables([pq.read_table(shard, columns=names) for shard in shards]).to_pydict()
        count = len(columns["source_id"])
        before, after = (sum(columns[name]) / count for name in names[1:])
        table[f"{split}: pairs"] = f"{count}, from {len(set(columns['source_id']))} photographs"
        table[f"{split}: mean score, photo → dream"] = f"{before:.4g} → {after:.4g}"
        files.append(f"  - split: {split}\n    path: data/{split}-*.parquet")
        total += count
    lines = "\n".join(f"| {_cell(name)} | {_cell(value)} |" for name, value in table.items())
    save_png(picture, out / "sheet.png")
    text = _CARD.format(
        name=out.name,
        title=json.dumps(out.name),
        size=_size_category(total),
        files="\n".join(files),
        table=lines,
    )
    write_text(out / "README.md", text)


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
    # Pixels only: a profile or text chunk of the photo would make the bytes depend on more than the picture.
    picture.convert("RGB").save(buffer, "PNG", icc_profile=None)
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
    with pq.ParquetWriter(path, schema) as writer:
        for number, unit in enumerate(units, start=1):
            table = pq.read_table(unit)
            if labels:
                table = table.set_column(table.column_names.index("label"), "label", _numbers(unit, table, labels))
            waiting.append(table.cast(schema))
            if number == len(units) or sum(len(table) for table in waiting) >= ROW_GROUP_ROWS:
                writer.write_table(pa.concat_tables(waiting), row_group_size=ROW_GROUP_ROWS)
                waiting = []


def _numbers(unit: Path, table: pa.Table, labels: Sequence[str]) -> pa.Array:
    number_of: dict[str, int | None] = {label: number for number, label in enumerate(labels)}
    number_of.setdefault("", None)  # a photo without a label among others that have one
    names = table["label"].to_pylist()
    unknown = sorted(set(names) - set(number_of))
    if unknown:
        raise ValueError(f"{unit} has the label {unknown[0]!r}, not one of {', '.join(labels)}")
    return pa.array([number_of[name] for name in names], pa.int64())


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


def _size_category(rows: int) -> str:
    for name, limit in (("n<1K", 1_000), ("1K<n<10K", 10_000), ("10K<n<100K", 100_000)):
        if rows < limit:
            return name
    return "100K<n<1M"


_CARD = """\
---
pretty_name: {title}
license: other
license_name: that-of-the-photos
size_categories:
- {size}
task_categories:
- image-to-image
tags:
- deepdream
- image
configs:
- config_name: default
  data_files:
{files}
---

# {name}

Photos and their dreams (DeepDream), made with dreamgan.

![rows of a photo and its dream](sheet.png)

| | |
|---|---|
{table}

## Load it

```python
from datasets import load_dataset
pairs = load_dataset("path/to/{name}", split="train")
pairs[0]["photo"], pairs[0]["dream"]
```

Columns: `photo`, `dream`, `second_dream` (another dream of the same photo, where there is one), `label`,
`photo_id`, `source_id` (all crops of one photograph share it and are on one side of the split), `recipe`,
`recipe_json`, `backbone`, `layers`, `weights_sha256`, `seed`, `score_before`, `score_after`.

## Provenance and licence

Every row holds a photo and pictures derived from it: the photo's own licence applies to all of them, and so
may the terms of the backbone's weights. Check both before you pass the dataset on.
"""
