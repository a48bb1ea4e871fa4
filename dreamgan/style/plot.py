"""The loss over the passes as a picture, as in figure 7.4 of Prakhar, Singh."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

WIDTH_PX, HEIGHT_PX = 560, 280
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 64, 150, 30, 36
LEAST_SHOWN = 1e-4  # of the largest value: the content loss begins at next to nothing
AXIS, GRID = (90, 90, 90), (225, 225, 225)
COLOURS = ((20, 20, 20), (200, 30, 90), (30, 110, 200), (230, 140, 0), (20, 140, 90), (130, 80, 180))


def loss_plot(title: str, lines: Mapping[str, Sequence[float]], breaks: Sequence[int] = ()) -> Image.Image:
    """Draw losses over passes, on a logarithmic axis, the name of each line at its end.

    Args:
        title: Stands above.
        lines: Name to the loss before the first pass and after each; what is not above 0 is left out.
        breaks: Numbers of the passes at which a finer level began; a dashed line stands there.

    Returns:
        RGB on white.
    """
    size = (LEFT_PX + WIDTH_PX + RIGHT_PX, TOP_PX + HEIGHT_PX + BOTTOM_PX)
    picture = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=12)
    draw.text((LEFT_PX, 8), title, fill="black", font=font)
    shown = [value for of in lines.values() for value in of if value > 0 and math.isfinite(value)]
    if not shown:
        return picture
    low, high = math.log10(max(min(shown), LEAST_SHOWN * max(shown))), math.log10(max(shown))
    low, high = (low - 0.05, high + 0.05) if high - low < 0.1 else (low, high)
    last = max(1, max(len(of) for of in lines.values()) - 1)

    def place(number: int, value: float) -> tuple[float, float]:
        down = min(1.0, (high - math.log10(value)) / (high - low))
        return LEFT_PX + number / last * WIDTH_PX, TOP_PX + down * HEIGHT_PX

    for value in _ticks(low, high):
        _, y = place(0, value)
        draw.line([(LEFT_PX, y), (LEFT_PX + WIDTH_PX, y)], fill=GRID)
        draw.text((LEFT_PX - 6, y), f"{value:.3g}", fill=AXIS, font=font, anchor="rm")
    for number in range(0, last + 1, _step(last)):
        x, _ = place(number, min(shown))
        draw.line([(x, TOP_PX + HEIGHT_PX), (x, TOP_PX + HEIGHT_PX + 4)], fill=AXIS)
        draw.text((x, TOP_PX + HEIGHT_PX + 6), str(number), fill=AXIS, font=font, anchor="ma")
    draw.text((LEFT_PX + WIDTH_PX, size[1] - 14), "passes", fill=AXIS, font=font, anchor="ra")
    for number in breaks:
        x, _ = place(number, min(shown))
        for y in range(TOP_PX, TOP_PX + HEIGHT_PX, 8):
            draw.line([(x, y), (x, y + 4)], fill=AXIS)
    draw.rectangle([LEFT_PX, TOP_PX, LEFT_PX + WIDTH_PX, TOP_PX + HEIGHT_PX], outline=AXIS)
    ends: list[float] = []
    for (name, of), colour in zip(lines.items(), _endless(COLOURS, len(lines)), strict=True):
        points = [place(number, value) for number, value in enumerate(of) if value > 0 and math.isfinite(value)]
        if not points:
            continue
        draw.line(points, fill=colour, width=2)
        # Names of lines that end together stand one below the other.
        y = points[-1][1]
        while any(abs(y - other) < 14 for other in ends):
            y += 1
        ends.append(y)
        draw.text((LEFT_PX + WIDTH_PX + 8, y), f"{name} {of[-1]:.3g}", fill=colour, font=font, anchor="lm")
    return picture


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within the range; its ends where there are fewer than two."""
    found = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in (1, 2, 5)]
    found = [value for value in found if low <= math.log10(value) <= high]
    if len(found) > 10:
        found = [value for value in found if f"{value:e}".startswith("1.0")]
    return found if len(found) > 1 else [10**low, 10**high]


def _step(last: int) -> int:
    """A round number of passes, of which the axis has at most ten."""
    step = 1
    while last / step > 10:
        step *= 5 if str(step).startswith("2") else 2  # 1, 2, 10, 20, 100 ...
    return step


def _endless(colours: Sequence[tuple[int, int, int]], count: int) -> list[tuple[int, int, int]]:
    return [colours[number % len(colours)] for number in range(count)]
