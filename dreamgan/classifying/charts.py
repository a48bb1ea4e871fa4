"""Charts of a training: curves over epochs and a confusion matrix, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

_COLOURS = ("#1f5fa8", "#c8501e", "#3a7d3a", "#7a3f98", "#777777")
_CAPTION = "rows: true class; columns: guess"
_MOST_NAME_PX = 200
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 36, 16, 40


def curves(
    series: Mapping[str, Sequence[tuple[float, float]]], title: str, size: tuple[int, int] = (520, 340)
) -> Image.Image:
    """Draw curves over epochs into one chart.

    Args:
        series: name of a curve → points (epoch, value); at least one point in all, all finite.
        title: stands above.
        size: width and height, in pixels.

    Returns:
        RGB picture.

    Raises:
        ValueError: there is no point.
    """
    points = [point for each in series.values() for point in each]
    if not points:
        raise ValueError("there is nothing to draw")
    picture = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=13)
    x_low, x_high = (end(x for x, _ in points) for end in (min, max))
    ticks = _ticks(min(y for _, y in points), max(y for _, y in points))
    y_low, y_high = ticks[0], ticks[-1]
    wide, high = size[0] - _LEFT - _RIGHT, size[1] - _TOP - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        return _LEFT + wide * across, _TOP + high * (1 - (y - y_low) / (y_high - y_low))

    draw.text((_LEFT, 10), title, fill="black", font=font)
    for tick in ticks:
        draw.line(
            (at(x_low, tick)[0] if x_high > x_low else _LEFT, at(x_low, tick)[1], _LEFT + wide, at(0, tick)[1]),
            fill="#dddddd",
        )
        draw.text((_LEFT - 6, at(x_low, tick)[1]), f"{tick:.4g}", fill="black", font=font, anchor="rm")
    for x in dict.fromkeys((x_low, x_high)):
        draw.text((at(x, y_low)[0], _TOP + high + 6), f"{x:g}", fill="black", font=font, anchor="mt")
    draw.text((_LEFT + wide / 2, _TOP + high + 20), "epoch", fill="black", font=font, anchor="mt")
    left = size[0] - _RIGHT
    for number, (name, each) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [at(x, y) for x, y in each]
        if len(places) > 1:
            draw.line(places, fill=colour, width=2)
        for x, y in places:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
        left -= round(font.getlength(name)) + 12
        draw.text((left, 10), name, fill=colour, font=font)
    return picture


def side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    """Put pictures into one row, on white."""
    whole = Image.new("RGB", (sum(p.width for p in pictures), max(p.height for p in pictures)), "white")
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width
    return whole


def confusion_chart(counts: Sequence[Sequence[int]], names: Sequence[str], cell_px: int = 52) -> Image.Image:
    """Draw a confusion matrix: a row per true class, a column per guess, darker for a larger share of the row.

    Args:
        counts: rows of whole numbers.
        names: of the classes, in order.
        cell_px: side of a cell, in pixels.

    Returns:
        RGB picture.
    """
    font = ImageFont.load_default(size=13)
    shown = [_shortened(name, font) for name in names]
    longest = max(math.ceil(font.getlength(name)) for name in shown)
    head, side = longest + 16, cell_px * len(names)
    upright = longest > cell_px - 4  # names of columns that would run into each other
    width = head + max(side, math.ceil(font.getlength(_CAPTION))) + 16
    picture = Image.new("RGB", (width, 28 + side + 4 + (longest if upright else 20) + 8), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((head, 8), _CAPTION, fill="black", font=font)
    for number, name in enumerate(shown):
        middle = number * cell_px + cell_px / 2
        draw.text((head - 8, 28 + middle), name, fill="black", font=font, anchor="rm")
        if upright:
            strip = Image.new("RGB", (longest, 20), "white")
            ImageDraw.Draw(strip).text((longest, 10), name, fill="black", font=font, anchor="rm")
            picture.paste(strip.transpose(Image.Transpose.ROTATE_90), (round(head + middle) - 10, 28 + side + 4))
        else:
            draw.text((head + middle, 28 + side + 4), name, fill="black", font=font, anchor="ma")
    for down, row in enumerate(counts):
        for across, count in enumerate(row):
            share = count / max(1, sum(row))
            left, top = head + across * cell_px, 28 + down * cell_px
            grey = round(255 * (1 - 0.8 * math.sqrt(share)))
            draw.rectangle((left, top, left + cell_px - 1, top + cell_px - 1), fill=(grey, grey, 255))
            ink = "white" if share > 0.4 else "black"
            centre = (left + cell_px / 2, top + cell_px / 2)
            draw.text(centre, str(count) if count else "·", fill=ink, font=font, anchor="mm")
    return picture


def _shortened(name: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """A name as it is, or its beginning and "…" where it is longer than `_MOST_NAME_PX`."""
    if font.getlength(name) <= _MOST_NAME_PX:
        return name
    while font.getlength(f"{name}…") > _MOST_NAME_PX:
        name = name[:-1]
    return f"{name}…"


def _ticks(low: float, high: float) -> list[float]:
    """Round values that enclose a range, about five of them."""
    span = max(high - low, abs(high) * 1e-3, 1e-6)
    rough = span / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * number for number in range(first, max(last, first + 1) + 1)]
