"""What is in a finished dream dataset, counted without reading its pictures, in memory that does not grow with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dreamgan.data.pairs import SPLITS

BATCH_ROWS = 65_536  # rows of narrow columns in memory at a time


@dataclass(frozen=True)
class PairGroup:
    """The pairs of one split that were dreamed in one way.

    Attributes:
        split: "train" or "test".
        recipe: the name in the column `recipe`.
        strength: the share of the recipe's steps that were run, in (0, 1].
        layers: the target layers, with commas.
        pairs: how many.
        second_dreams: how many of them have a second dream.
        mean_before: the recipe's objective, on average over the photos.
        mean_after: the same over the dreams.
    """

    split: str
    recipe: str
    strength: float
    layers: str
    pairs: int
    second_dreams: int
    mean_before: float
    mean_after: float


def shards(out: Path) -> list[tuple[str, Path]]:
    """The parquet files of a dataset, each with its split, in the order of their rows."""
    return [(split, path) for split in SPLITS for path in sorted((out / "data").glob(f"{split}-*.parquet"))]


def pair_groups(out: Path) -> list[PairGroup]:
    """Count the pairs of a dataset, by recipe, strength and split; memory does not grow with their number.

    Args:
        out: the dataset's folder.

    Returns:
        By the names of the recipes, then by strength; training before test.
    """
    totals: dict[tuple[str, str, float, str], list[float]] = defaultdict(lambda: [0.0] * 4)
    keys = ["recipe", "strength", "layers"]
    for split, batch in _batches(out, [*keys, "second_seed", "score_before", "score_after"]):
        # One thread: the order of a sum is part of its last digits.
        found = batch.group_by(keys, use_threads=False).aggregate(
            [("recipe", "count"), ("second_seed", "count"), ("score_before", "sum"), ("score_after", "sum")]
        )
        for row in found.select([*keys, *found.column_names[-4:]]).to_pylist():
            recipe, strength, layers, *sums = row.values()
            total = totals[split, recipe, strength, layers]
            total[:] = [had + more for had, more in zip(total, sums, strict=True)]
    groups = [
        PairGroup(*key, pairs=int(pairs), second_dreams=int(seconds), mean_before=b / pairs, mean_after=a / pairs)
        for key, (pairs, seconds, b, a) in totals.items()
    ]
    return sorted(groups, key=lambda group: (group.recipe, group.strength, SPLITS.index(group.split)))


def class_names(out: Path) -> list[str]:
    """The names that the numbers in the column `label` stand for; empty where that column holds plain text."""
    import datasets

    for _, shard in shards(out):
        label = datasets.Features.from_arrow_schema(pq.read_schema(shard))["label"]
        return list(getattr(label, "names", None) or [])
    return []


def _batches(out: Path, columns: list[str]) -> Iterator[tuple[str, pa.Table]]:
    for split, shard in shards(out):
        with pq.ParquetFile(shard) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                yield split, pa.Table.from_batches([batch])


def class_counts(out: Path) -> dict[str, Counter[str]]:
    """Class, "" for pairs without one, to pairs per split."""
    names = class_names(out)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for split, batch in _batches(out, ["label"]):
        for row in batch["label"].value_counts().to_pylist():
            label = row["values"]
            counts[names[label] if isinstance(label, int) else label or ""][split] += row["counts"]
    return counts


def ratio_text(before: float, after: float) -> str:
    """How many times a score has grown; a dash where that means nothing."""
    return f"{after / before:.3g}" if before > 0 else "–"
