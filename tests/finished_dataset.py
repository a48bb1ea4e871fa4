"""A finished dream dataset as it lies on the disk, written without the code that makes one."""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from dreamgan.dream import DreamRecipe

BACKBONE, LAYER = "squeezenet1_1", "features.3"
RANDOM_SHA256 = hashlib.sha256(b"random").hexdigest()
SIDE = 32


def recipe_of(name: str) -> DreamRecipe:
    return DreamRecipe(name=name, objective=f"l2({LAYER})", steps=(2,), step_size=(0.05,))  # type: ignore[arg-type]


def picture(seed: int, side: int = SIDE) -> Image.Image:
    """Smooth and of one colour tone per seed, so that pictures can be told apart by eye and by value."""
    y, x = np.mgrid[0:side, 0:side] / side
    tone = np.random.default_rng(seed).uniform(60, 200, 3)
    return Image.fromarray(np.rint(tone + 50 * np.stack([x, y, x * y], axis=-1)).astype(np.uint8))


def dream_of(seed: int, side: int = SIDE) -> Image.Image:
    """The same picture with rings."""
    y, x = np.mgrid[0:side, 0:side] / side
    rings = 40 * np.sin(40 * np.hypot(x - 0.4, y - 0.5))[..., None]
    return Image.fromarray(np.clip(np.asarray(picture(seed, side)) + rings, 0, 255).astype(np.uint8))


def encoded(image: Image.Image) -> dict[str, Any]:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def rows_of(
    split: str, count: int, ways: Sequence[tuple[str, float]], labels: Sequence[str], *, first: int, seconds: int
) -> Iterator[dict[str, Any]]:
    """Pairs that are dealt out over ways (recipe, strength) and labels, the last `seconds` with a second dream."""
    for k in range(count):
        number, (name, strength) = first + k, ways[k % len(ways)]
        has_second = k >= count - seconds
        yield {
            "photo": encoded(picture(number)),
            "dream": encoded(dream_of(number)),
            "second_dream": encoded(dream_of(number).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
            if has_second
            else None,
            "label": labels[k % len(labels)] if labels else "",
            "photo_id": f"photo-{number}",
            "source_id": f"source-{number // 2}",
            "photo_sha256": f"{number:064x}",
            "recipe": name,
            "strength": strength,
            "recipe_json": recipe_of(name).to_json(),
            "backbone": BACKBONE,
            "layers": LAYER,
            "weights": "random",
            "weights_sha256": RANDOM_SHA256,
            "guides": "{}",
            "seed": 7,
            "second_seed": 8 if has_second else None,
            "score_before": 0.5 + 0.25 * (k % 4),
            "score_after": (0.5 + 0.25 * (k % 4)) * (1 + 2 * strength + (k % 3)),
        }


def write_split(
    out: Path, split: str, rows: Sequence[Mapping[str, Any]], labels: Sequence[str], *, shards: int = 1, group: int = 4
) -> None:
    """Parquet files with row groups of `group` rows."""
    import datasets

    kinds: dict[str, Any] = {name: datasets.Value("string") for name in rows[0]}
    kinds |= {name: datasets.Image() for name in ("photo", "dream", "second_dream")}
    kinds |= {name: datasets.Value("int64") for name in ("seed", "second_seed")}
    kinds |= {"strength": datasets.Value("float64")}
    kinds |= {name: datasets.Value("float32") for name in ("score_before", "score_after")}
    kinds["label"] = datasets.ClassLabel(names=list(labels)) if labels else datasets.Value("string")
    schema = datasets.Features(kinds).arrow_schema
    (out / "data").mkdir(parents=True, exist_ok=True)
    number_of = {label: number for number, label in enumerate(labels)}
    for shard in range(shards):
        part = rows[shard * len(rows) // shards : (shard + 1) * len(rows) // shards]
        numbered = [{**row, "label": number_of.get(row["label"]) if labels else row["label"]} for row in part]
        table = pa.Table.from_pylist(numbered, schema=schema)
        pq.write_table(table, out / "data" / f"{split}-{shard:05d}-of-{shards:05d}.parquet", row_group_size=group)


def write_dataset(
    out: Path,
    *,
    train: int = 12,
    test: int = 6,
    ways: Sequence[tuple[str, float]] = (("bold", 0.5), ("bold", 1.0), ("calm", 1.0)),
    labels: Sequence[str] = ("cat", "dog"),
    seconds: int = 3,
    shards: int = 2,
) -> Path:
    """A dataset's `data/`: `seconds` of the test pairs have a second dream."""
    write_split(out, "train", list(rows_of("train", train, ways, labels, first=0, seconds=0)), labels, shards=shards)
    if test:
        rows = list(rows_of("test", test, ways, labels, first=train, seconds=seconds))
        write_split(out, "test", rows, labels)
    return out


def config_of(
    ways: Sequence[tuple[str, float]] = (("bold", 0.5), ("bold", 1.0), ("calm", 1.0)), **changes: Any
) -> dict[str, Any]:
    """What `config.json` of such a dataset holds."""
    strengths: dict[str, list[float]] = {}
    for name, strength in ways:
        strengths.setdefault(name, []).append(strength)
    return {
        "format": "dreamgan-dataset-2",
        "dreamgan": "0.1.0",
        "torch": "2.15.0",
        "photos": ["holiday"],
        "photo_count": 18,
        "photo_list_sha256": "cd" * 32,
        "only": None,
        "skip": None,
        "limit": None,
        "crops": None,
        "hub_config": None,
        "hub_split": None,
        "dreams": [
            {
                "name": name,
                "share": 1.0,
                "strengths": values,
                "recipe": recipe_of(name).as_dict(),
                "backbone": BACKBONE,
                "weights": "random",
                "weights_sha256": RANDOM_SHA256,
                "guides": {},
            }
            for name, values in strengths.items()
        ],
        "every_recipe": False,
        "second_dreams": 0.5,
        "size": SIDE,
        "dream_size": SIDE,
        "crop": "center",
        "seed": 7,
        "test_fraction": 0.25,
        "hold_out_categories": None,
        "batch": 4,
        "threads": 1,
        "device": "cpu",
        "precision": "32",
        **changes,
    }


COUNTS = {"photos_found": 20, "rejected": 2, "duplicates": 3, "photographs": 9}
