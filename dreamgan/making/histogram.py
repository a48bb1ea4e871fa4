"""How the scores of a finished dataset are distributed, as a picture."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont

from dreamgan.data.counting import shards

BINS = 36
PANEL_PX, MARGIN_PX, LINE_PX = (360, 120), 14, 18
PANEL_OF = {"ratio": "ratio", "before": "scores", "after": "scores"}
GREY, RED, AXIS = (170, 170, 170), (200, 30, 90), (90, 90, 90)

_Numbers = np.ndarray[Any, Any]


def score_histogram(out: Path) -> Image.Image:
    """Per recipe how the scores are distributed: after dreaming over before, and the two side by side.

    Args:
        out: A folder with a dataset's ``data``.

    Returns:
        RGB on white; one row of two panels per recipe. Pairs whose ratio means nothing (a score of 0 or less before)
        or is not finite are left out of the first panel, and it says how many.
    """
    edges, pairs = _all_edges(out)
    counts: dict[tuple[str, str], _Numbers] = defaultdict(lambda: np.zeros(BINS, np.int64))
    for recipe, values in _scores(out):
        for series, of in values.items():
            if (recipe, PANEL_OF[series]) in edges:
                counts[recipe, series] += np.histogram(of[np.isfinite(of)], edges[recipe, PANEL_OF[series]])[0]
    panels = []
    for recipe in sorted(pairs):
        left_out = pairs[recipe] - int(counts[recipe, "ratio"].sum())
        note = f" ({left_out} pairs without one)" if left_out else ""
        title = f"{recipe}, {pairs[recipe]} pairs: score after / before{note}"
        panels.append(_panel(title, edges.get((recipe, "ratio")), [(counts[recipe, "ratio"], RED)]))
        both = [(counts[recipe, "before"], GREY), (counts[recipe, "after"], RED)]
        panels.append(_panel("score of photos (grey) and of dreams (red)", edges.get((recipe, "scores")), both))
    width, height = panels[0].size
    canvas = Image.new("RGB", (2 * width, len(panels) // 2 * height), "white")
    for place, panel in enumerate(panels):
        canvas.paste(panel, (place % 2 * width, place // 2 * height))
    return canvas


def _all_edges(out: Path) -> tuple[dict[tuple[str, str], _Numbers], Counter[str]]:
    """Edges of the bins by recipe and panel, from the smallest to the largest score, and pairs by recipe."""
    ranges: dict[tuple[str, str], tuple[float, float]] = {}
    pairs: Counter[str] = Counter()
    for recipe, values in _scores(out):
        pairs[recipe] += len(values["ratio"])
        for series, of in values.items():
            finite = of[np.isfinite(of)]
            if len(finite):
                low, high = ranges.get((recipe, PANEL_OF[series]), (math.inf, -math.inf))
                ranges[recipe, PANEL_OF[series]] = (min(low, float(finite.min())), max(high, float(finite.max())))
    return {key: _edges(*found) for key, found in ranges.items()}, pairs


def _scores(out: Path) -> Iterator[tuple[str, dict[str, _Numbers]]]:
    """Before, after and their ratio, by recipe; some thousand pairs at a time."""
    for _, shard in shards(out):
        with pq.ParquetFile(shard) as file:
            for batch in file.iter_batches(columns=["recipe", "score_before", "score_after"]):
                names = np.asarray(batch["recipe"].to_pylist())
                before, after = (np.asarray(batch[name], np.float64) for name in ("score_before", "score_after"))
                ratio = np.divide(after, before, out=np.full(len(before), np.nan), where=before > 0)
                for recipe in np.unique(names):
                    own = names == recipe
                    yield str(recipe), {"before": before[own], "after": after[own], "ratio": ratio[own]}


def _edges(low: float, high: float) -> _Numbers:
    """In equal ratios where all values are above 0, as scores are spread widely, else in equal steps."""
    if low == high:
        low, high = low - 0.1 * abs(low or 1), high + 0.1 * abs(high or 1)
    edges = np.geomspace(low, high, BINS + 1) if low > 0 else np.linspace(low, high, BINS + 1)
    edges[0], edges[-1] = low, high
    return edges


def _panel(title: str, edges: _Numbers | None, series: Sequence[tuple[_Numbers, tuple[int, int, int]]]) -> Image.Image:
    """One histogram: the first series filled, others as lines; ``edges`` None: nothing to show."""
    width, height = PANEL_PX
    left, bottom = 2 * MARGIN_PX, MARGIN_PX + LINE_PX + height
    panel = Image.new("RGB", (width + 4 * MARGIN_PX, bottom + LINE_PX + MARGIN_PX), "white")
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(size=12)
    draw.text((left, MARGIN_PX), title, fill="black", font=font)
    draw.line([(left, bottom), (left + width, bottom)], fill=AXIS)
    if edges is None:
        return panel
    highest = max(int(counts.max()) for counts, _ in series)
    for place, (counts, colour) in enumerate(series):
        outline = []
        for k, count in enumerate(counts.tolist()):
            x0, x1 = left + k * width // BINS, left + (k + 1) * width // BINS
            y = bottom - round(count * (height - 4) / max(highest, 1))
            if place == 0 and y < bottom:
                draw.rectangle([x0, y, x1 - 1, bottom - 1], fill=colour)
            outline += [(x0, y), (x1, y)]
        if place:
            draw.line([(left, bottom), *outline, (left + width, bottom)], fill=colour, width=2)
    axis = "log axis" if edges[0] > 0 else ""
    draw.text((left + width, MARGIN_PX), axis, fill=AXIS, font=font, anchor="ra")
    for k in range(0, BINS + 1, BINS // 4):
        x = left + k * width // BINS
        draw.line([(x, bottom), (x, bottom + 3)], fill=AXIS)
        draw.text((x, bottom + 4), _number(edges[k]), fill=AXIS, font=font, anchor="ma")
    return panel


def _number(value: float) -> str:
    """Three digits that count, without an exponent where it can be done without."""
    short = float(f"{value:.3g}")
    return f"{short:,.0f}" if 1000 <= abs(short) < 1e7 else f"{short:g}"
