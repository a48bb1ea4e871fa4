"""Dreams in one pass against direct dreams: what is timed together, and the rows that come of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from dreamgan.bench.direct import Direct
from dreamgan.bench.measure import alternate
from dreamgan.bench.one_pass import CALLS, Dreamer, best_batch, one_pass_macs, several
from dreamgan.bench.table import Columns, Row
from dreamgan.sampling import Generator

COLUMNS: Columns = (
    ("recipe", "recipe", 14, None),
    ("backbone", "backbone", 13, None),
    ("size", "size", 5, 0),
    ("batch", "batch", 5, 0),
    ("runtime", "runtime", 11, None),
    ("seconds_direct", "direct s", 9, 3),
    ("seconds_one_pass", "one pass s", 10, 4),
    ("speedup", "speed-up", 8, 1),
    ("mac_ratio", "of MACs", 8, 1),
    ("speedup_of_mac_ratio", "quotient", 8, 2),
)
LEAST_QUOTIENT, LEAST_ANCHOR_SPEEDUP = 0.8, 200
_DIRECT = "direct"


@dataclass(frozen=True)
class Contest:
    """A direct dream and its rivals.

    Attributes:
        recipe: Name of what is dreamed directly.
        backbone: Its network.
        direct: Dreams directly; None: one pass is timed alone.
        ways: Those of one pass, by runtime.
        size: Side of the photos in pixels.
        batches: Photos at a time; 1 is timed, and the best of these for one pass.
    """

    recipe: str
    backbone: str
    direct: Direct | None
    ways: Mapping[str, Dreamer]
    size: int
    batches: Sequence[int]


def compete(contest: Contest, generator: Generator, repeats: int) -> Iterator[Row]:
    """Time a contest in turns.

    Args:
        contest: What to time.
        generator: Of the one pass: its device, its multiply-adds.
        repeats: Timed turns, at least 1.

    Yields:
        A row for each batch and runtime; what the direct dream is needed for is None where there is none.
    """
    size = contest.size
    stream = torch.Generator().manual_seed(0)
    photos = {
        batch: torch.rand(batch, 3, size, size, generator=stream).to(generator.device)
        for batch in sorted({1, *contest.batches})
    }
    macs_direct = contest.direct.macs(size, size) if contest.direct else None
    macs_one_pass = one_pass_macs(generator, size, size)
    best = best_batch(contest.ways, photos) if len(photos) > 1 else 1
    for batch in sorted({1, best}):
        runs: dict[str, Callable[[], object]] = {
            runtime: several(way, photos[batch]) for runtime, way in contest.ways.items()
        }
        if contest.direct is not None:
            runs[_DIRECT] = lambda direct=contest.direct, given=photos[batch]: direct(given)  # type: ignore[misc]
        medians = {name: statistics.median(seconds) for name, seconds in alternate(runs, repeats).items()}
        for runtime in contest.ways:
            direct, one_pass = medians.get(_DIRECT), medians[runtime] / CALLS
            speedup = direct and direct / one_pass
            ratio = macs_direct and macs_direct / macs_one_pass
            yield {
                "recipe": contest.recipe,
                "backbone": contest.backbone,
                "size": size,
                "batch": batch,
                "runtime": runtime,
                "seconds_direct": direct,
                "seconds_one_pass": one_pass,
                "speedup": speedup,
                "macs_direct": macs_direct,
                "macs_one_pass": macs_one_pass,
                "mac_ratio": ratio,
                "speedup_of_mac_ratio": speedup / ratio if speedup and ratio else None,
            }


def verdict(rows: Sequence[Row], anchor: str) -> list[str]:
    """What the figures come to, the faster runtime counting for each recipe, size and batch; a line each.

    Args:
        rows: From ``compete``.
        anchor: Name of the recipe that is nobody's own.
    """
    fastest: dict[tuple[str, int, int], Row] = {}
    for row in rows:
        key = (row["recipe"], row["size"], row["batch"])
        if row["speedup"] and (key not in fastest or row["speedup"] > fastest[key]["speedup"]):
            fastest[key] = row
    lines = []
    for row in fastest.values():
        if row["recipe"] == anchor:
            lines.append(f"against {_named(row)}: {row['speedup']:.0f} x (wanted: at least {LEAST_ANCHOR_SPEEDUP})")
    own = [row for row in fastest.values() if row["recipe"] != anchor]
    if own:
        least = min(own, key=lambda row: row["speedup_of_mac_ratio"])
        lines.append(
            f"against its own recipes: quotient {least['speedup_of_mac_ratio']:.2f} or more (wanted: at least "
            f"{LEAST_QUOTIENT}); the least is {_named(least)}"
        )
    return lines


def _named(row: Row) -> str:
    return f"{row['recipe']} on {row['backbone']}, {row['size']} px, batch {row['batch']}, {row['runtime']}"
