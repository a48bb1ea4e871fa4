"""Speed against fidelity as inline SVG: one point per way, log time across, agreement up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from dreamgan.compare.measuring import Row

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 360, 56, 44, 16, 16
COLOURS = {
    "photo": "#777777",
    "direct dream": "#1e6ec8",
    "one pass": "#c81e5a",
    "from noise": "#828282",
    "style": "#14805a",
}


def speed_plot(rows: Sequence[Row]) -> str:
    """Draw the ways that have an agreement; the steps of one line of direct dreams are joined.

    Args:
        rows: Of all ways.

    Returns:
        An ``<svg>`` element whose text is escaped; "" where fewer than two ways have an agreement.
    """
    shown = [row for row in rows if math.isfinite(row.agreement) and row.seconds > 0 and row.kind != "photo"]
    if len(shown) < 2:
        return ""
    low, high = (f(math.log10(row.seconds) for row in shown) for f in (min, max))
    low, high = math.floor(low), max(math.ceil(high), math.floor(low) + 1)
    least = min(0.0, *(row.agreement for row in shown))
    most = max(1.0, *(row.agreement for row in shown))

    def place(seconds: float, agreement: float) -> tuple[float, float]:
        across = (math.log10(seconds) - low) / (high - low)
        up = (agreement - least) / (most - least)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="plot-title">',
        '<title id="plot-title">Seconds per picture against agreement with the direct dream, one point per way</title>',
    ]
    for power in range(low, high + 1):
        x, bottom = place(10.0**power, least)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom:.1f}" class="grid"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 26}" text-anchor="middle">{10.0**power:g} s</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        _, y = place(10.0**low, share)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share:g}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">seconds per picture</text>')
    stopped = sorted((row for row in shown if row.kind == "direct dream"), key=lambda row: row.steps)
    if len(stopped) > 1:
        points = " ".join("{:.1f},{:.1f}".format(*place(row.seconds, row.agreement)) for row in stopped)
        parts.append(f'<polyline points="{points}" class="direct"/>')
    for row in shown:
        x, y = place(row.seconds, row.agreement)
        label = escape(f"{row.label}: {row.seconds:.3g} s, agreement {row.agreement:.2f}")
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{COLOURS[row.kind]}"><title>{label}</title></circle>'
        )
        anchor, shift = ("end", -9) if x > WIDTH * 0.6 else ("start", 9)
        parts.append(f'<text x="{x + shift:.1f}" y="{y - 6:.1f}" text-anchor="{anchor}">{escape(row.label)}</text>')
    return "\n".join([*parts, "</svg>"])
