"""Speed against fidelity as SVG, in a page or alone: one point per way and step count, log time across."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from dreamgan.compare.measuring import Row

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 380, 56, 48, 24, 20
RADIUS = 9
LINE = 18  # of the list of ways in a picture of its own
# In a picture of its own; the page has a style for its plot, which follows light and dark.
STYLE = """<style>
text { font: 12px sans-serif; fill: #222; } text.number { fill: #fff; font-weight: bold; font-size: 11px; }
.grid { stroke: #ddd; } .bound { stroke: #222; stroke-width: 1.5; }
.direct { fill: none; stroke: #1e6ec8; stroke-width: 2; stroke-dasharray: 5 4; }
</style>"""
# What is further below the photo than this stands at the edge, so that the rest is not pressed together.
LEAST = -0.5
COLOURS = {
    "photo": "#777777",
    "direct dream": "#1e6ec8",
    "one pass": "#c81e5a",
    "from noise": "#707070",
    "style": "#14805a",
}


@dataclass(frozen=True)
class _Entry:
    """A numbered point of the plot, in words; the text is escaped."""

    label: str
    colour: str


def speed_plot(rows: Sequence[Row]) -> str:
    """Draw the ways that have an agreement; those of one series, which differ in their steps only, are joined.

    Args:
        rows: Of all ways.

    Returns:
        An ``<svg>`` element with numbered points and an ``<ol>`` that names them, their text escaped; "" where fewer
        than two ways have an agreement.
    """
    parts, entries = _drawn(rows)
    if not entries:
        return ""
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="plot-title">'
    names = [f'<li style="--kind: {entry.colour}">{entry.label}</li>' for entry in entries]
    return "\n".join([head, *parts, "</svg>", '<ol class="legend">', *names, "</ol>"])


def speed_picture(rows: Sequence[Row]) -> str:
    """The same as a picture of its own.

    Args:
        rows: Of all ways.

    Returns:
        An SVG file on white, the list of ways below the plot; "" where fewer than two ways have an agreement.
    """
    parts, entries = _drawn(rows)
    if not entries:
        return ""
    height = HEIGHT + LINE * (len(entries) + 1)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-labelledby="plot-title">'
    )
    names = [
        f'<text x="{LEFT}" y="{HEIGHT + LINE * number}" style="fill: {entry.colour}">{number}. {entry.label}</text>'
        for number, entry in enumerate(entries, start=1)
    ]
    return "\n".join([head, STYLE, '<rect width="100%" height="100%" fill="#fff"/>', *parts, *names, "</svg>", ""])


def _drawn(rows: Sequence[Row]) -> tuple[list[str], list[_Entry]]:
    """What stands in the ``<svg>`` element, and what its points are; nothing where there is nothing to compare."""
    shown = [row for row in rows if math.isfinite(row.agreement) and row.seconds > 0 and row.kind != "photo"]
    if len(shown) < 2:
        return [], []
    low, high = (f(math.log10(row.seconds) for row in shown) for f in (min, max))
    low, high = math.floor(low), max(math.ceil(high), math.floor(low) + 1)
    least = max(LEAST, min(0.0, *(row.agreement for row in shown)))
    most = max(1.0, *(row.agreement for row in shown))

    def place(seconds: float, agreement: float) -> tuple[float, float]:
        across = (math.log10(seconds) - low) / (high - low)
        up = (max(agreement, least) - least) / (most - least)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [
        '<title id="plot-title">Seconds per picture against agreement with the direct dream, one point per way; the '
        "list below has the figures</title>",
    ]
    for power in range(low, high + 1):
        x, bottom = place(10.0**power, least)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom:.1f}" class="grid"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 28}" text-anchor="middle">{10.0**power:g} s</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        _, y = place(10.0**low, share)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share:g}</text>')
    for share, name in ((0.0, "the photo: floor"), (1.0, "a second dream: ceiling")):
        _, y = place(10.0**low, share)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="bound"/>')
        parts.append(f'<text x="{LEFT + 4}" y="{y - 5:.1f}">{name}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">seconds per picture</text>')
    middle = (HEIGHT - BOTTOM + TOP) / 2
    parts.append(
        f'<text x="14" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 14 {middle:.1f})">agreement</text>'
    )
    for series in dict.fromkeys(row.series for row in shown if row.series):
        steps = sorted((row for row in shown if row.series == series), key=lambda row: row.steps)
        if len(steps) > 1:
            points = " ".join("{:.1f},{:.1f}".format(*place(row.seconds, row.agreement)) for row in steps)
            parts.append(f'<polyline points="{points}" class="direct"/>')
    entries = []
    for number, row in enumerate(shown, start=1):
        x, y = place(row.seconds, row.agreement)
        label = escape(f"{row.label}: {row.seconds:.3g} s, agreement {row.agreement:.2f}")
        below = ", below the plot" if row.agreement < least else ""
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" fill="{COLOURS[row.kind]}"><title>{label}</title></circle>'
        )
        parts.append(f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" class="number">{number}</text>')
        entries.append(_Entry(label + below, COLOURS[row.kind]))
    return parts, entries
