"""What people look at when a dataset is finished: a contact sheet and a table of scores."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont

from dreamgan.data.counting import class_names, pair_groups, ratio_text, shards
from dreamgan.images import load_image, sheet, shrink_to

MOST_SIDE_PX = 192  # of a picture on the sheet
MOST_MEASURED = 100  # row groups of a split whose pictures are read to know their size

_Kind = tuple[str, float, bool, str]  # recipe, strength, whether there is a second dream, split


@dataclass(frozen=True)
class Sample:
    """One pair of a dataset, with its pictures decoded.

    Attributes:
        split: "train" or "test".
        recipe: The name of its recipe.
        strength: The share of the recipe's steps that were run.
        label: Its class, "" without one.
        photo_id: Names the photo.
        photo: RGB.
        dream: RGB.
        second_dream: RGB, or None.
        score_before: The recipe's objective on the photo.
        score_after: The same on the dream.
    """

    split: str
    recipe: str
    strength: float
    label: str
    photo_id: str
    photo: Image.Image
    dream: Image.Image
    second_dream: Image.Image | None
    score_before: float
    score_after: float


def contact_sheet(out: Path, rows: int = 4) -> Image.Image:
    """Pairs of every recipe and strength: photo, dream and, where there is one, second dream.

    Args:
        out: A folder with a dataset's ``data``.
        rows: Per recipe, but at least one for each of its strengths.

    Returns:
        RGB on white.
    """
    samples = sample_pairs(out, rows)
    columns = ["", "photo", "dream"]
    if any(sample.second_dream for sample in samples):
        columns.append("second dream")
    labels = _text_pictures(
        [f"{s.recipe}\nstrength {s.strength:g}\n{_drawable(s.label)}\n({s.split})" for s in samples]
    )
    blank = Image.new("RGB", (1, 1), "white")
    table = []
    for sample, label in zip(samples, labels, strict=True):
        pictures = (sample.photo, sample.dream, sample.second_dream or blank)
        table.append([label, *(shrink_to(picture, MOST_SIDE_PX) for picture in pictures)][: len(columns)])
    return sheet(table, columns)


def sample_pairs(out: Path, rows: int) -> list[Sample]:
    """Some pairs of every recipe and strength, spread over the dataset; only the row groups that hold them are read.

    Args:
        out: A folder with a dataset's ``data``.
        rows: Per recipe, but at least one for each of its strengths.

    Returns:
        By recipe, strength, split and place in the dataset.
    """
    count = Counter(kind for _, _, _, kind in _kinds(out))
    chosen = _choose(count, rows)
    places: dict[tuple[Path, int], list[tuple[int, _Kind]]] = defaultdict(list)
    seen: Counter[_Kind] = Counter()
    for shard, group, index, kind in _kinds(out):
        if seen[kind] in chosen[kind]:
            places[shard, group].append((index, kind))
        seen[kind] += 1
    names = class_names(out)
    samples = [sample for (shard, group), wanted in places.items() for sample in _read(shard, group, wanted, names)]
    return sorted(samples, key=lambda sample: (sample.recipe, sample.strength, sample.split))


def _kinds(out: Path) -> Iterator[tuple[Path, int, int, _Kind]]:
    """Shard, row group and index of every pair with what it is, from narrow columns."""
    for split, shard in shards(out):
        with pq.ParquetFile(shard) as file:
            for group in range(file.num_row_groups):
                columns = file.read_row_group(group, ["recipe", "strength", "second_seed"]).to_pydict()
                for index, (recipe, strength, seed) in enumerate(zip(*columns.values(), strict=True)):
                    yield shard, group, index, (recipe, strength, seed is not None, split)


def _choose(count: Counter[_Kind], rows: int) -> dict[_Kind, set[int]]:
    """Of every kind the places, counted among its own, that are evenly spread over it."""
    strengths: dict[str, set[float]] = defaultdict(set)
    for recipe, strength, _, _ in count:
        strengths[recipe].add(strength)
    chosen: dict[_Kind, set[int]] = {}
    for recipe, of_recipe in strengths.items():
        for strength in of_recipe:
            # Those with a second dream first, then training before the rest of the test.
            kinds = sorted((k for k in count if k[:2] == (recipe, strength)), key=lambda k: (k[2], k[3]), reverse=True)
            wanted = min(max(1, rows // len(of_recipe)), sum(count[kind] for kind in kinds))
            share: Counter[_Kind] = Counter()
            for kind in cycle(kinds):
                if share.total() == wanted:
                    break
                share[kind] += share[kind] < count[kind]
            for kind in kinds:
                chosen[kind] = {(2 * k + 1) * count[kind] // (2 * share[kind]) for k in range(share[kind])}
    return chosen


def _read(shard: Path, group: int, wanted: Sequence[tuple[int, _Kind]], names: Sequence[str]) -> Iterator[Sample]:
    columns = ["photo", "dream", "second_dream", "label", "photo_id", "score_before", "score_after"]
    with pq.ParquetFile(shard) as file:
        table = file.read_row_group(group, columns)
    for index, (recipe, strength, _, split) in wanted:
        (row,) = table.slice(index, 1).to_pylist()
        yield Sample(
            split=split,
            recipe=recipe,
            strength=strength,
            label=names[row["label"]] if isinstance(row["label"], int) else row["label"] or "",
            photo_id=row["photo_id"],
            photo=_decoded(row["photo"]),
            dream=_decoded(row["dream"]),
            second_dream=None if row["second_dream"] is None else _decoded(row["second_dream"]),
            score_before=row["score_before"],
            score_after=row["score_after"],
        )


def _decoded(cell: dict[str, Any]) -> Image.Image:
    return load_image(cell["bytes"]).picture


def score_table(out: Path) -> str:
    """Pairs, mean scores and sizes by recipe, strength and split, as text in columns.

    Args:
        out: A folder with a dataset's ``data``.

    Returns:
        Lines without a last line break. Sizes are bytes per picture; of large datasets they are means over
        `MOST_MEASURED` row groups of each split, and a dash stands where these hold no such pair.
    """
    sizes = _picture_sizes(out)
    heads = ("recipe", "strength", "split", "pairs", "score before", "after", "ratio", "photo bytes", "dream bytes")
    lines: list[tuple[str, ...]] = [heads]
    for group in pair_groups(out):
        photos, dreams, measured = sizes[group.recipe, group.strength, group.split]
        lines.append(
            (
                group.recipe,
                f"{group.strength:g}",
                group.split,
                str(group.pairs),
                f"{group.mean_before:.4g}",
                f"{group.mean_after:.4g}",
                ratio_text(group.mean_before, group.mean_after),
                *(f"{size / measured:.0f}" if measured else "–" for size in (photos, dreams)),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
    return "  ".join([line[0].ljust(widths[0]), *cells[1:]])


def _picture_sizes(out: Path) -> dict[tuple[str, float, str], tuple[int, int, int]]:
    """Bytes of photos and of dreams, and the number of pairs that they were counted over."""
    groups: dict[str, list[tuple[Path, int]]] = defaultdict(list)
    for split, shard in shards(out):
        groups[split] += [(shard, group) for group in range(pq.read_metadata(shard).num_row_groups)]
    found: dict[tuple[str, float, str], tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    for split, every in groups.items():
        read = min(len(every), MOST_MEASURED)
        for shard, group in (every[k * len(every) // read] for k in range(read)):
            with pq.ParquetFile(shard) as file:
                table = file.read_row_group(group, ["recipe", "strength", "photo.bytes", "dream.bytes"])
            sizes = (_lengths(table["photo"]), _lengths(table["dream"]))
            keys = zip(table["recipe"].to_pylist(), table["strength"].to_pylist(), *sizes, strict=True)
            for recipe, strength, photo, dream in keys:
                had = found[recipe, strength, split]
                found[recipe, strength, split] = (had[0] + photo, had[1] + dream, had[2] + 1)
    return found


def _lengths(pictures: pa.ChunkedArray) -> list[int]:
    return list(pc.binary_length(pc.struct_field(pictures, "bytes")).to_pylist())


def _drawable(text: str, most: int = 24) -> str:
    """One line of limited length."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _text_pictures(texts: Sequence[str]) -> list[Image.Image]:
    """Each text on a picture of its own, all of one size."""
    font = ImageFont.load_default(size=14)
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    boxes = [ruler.multiline_textbbox((0, 0), text, font=font) for text in texts]
    size = (math.ceil(max(box[2] for box in boxes)) + 1, math.ceil(max(box[3] for box in boxes)) + 1)
    pictures = []
    for text in texts:
        picture = Image.new("RGB", size, "white")
        ImageDraw.Draw(picture).multiline_text((0, 0), text, fill="black", font=font)
        pictures.append(picture)
    return pictures
