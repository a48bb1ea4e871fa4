"""Views of a photo for training a classifier: so few that the features of each can be computed once and kept."""

from __future__ import annotations

import hashlib
import random

from PIL import Image, ImageEnhance, ImageOps

from dreamgan.images import square_crop

LEAST_AREA = 0.6
MOST_STRETCH = 4 / 3
LIGHT = 0.2


def view_of(picture: Image.Image, size_px: int, view: int, stream: str) -> Image.Image:
    """One view of a photo.

    0 is its centred square, 1 the same mirrored; every further one a part of at least `LEAST_AREA` of the photo,
    stretched by at most `MOST_STRETCH`, mirrored by chance, and lighter or darker by up to `LIGHT`.

    Source: the crops are those of Szegedy et al. 2014.
    Differs: no less than 0.6 of the area, so that the thing to be recognised stays in it.

    Args:
        picture: RGB.
        size_px: side of the view, in pixels.
        view: its number.
        stream: what the chance hangs on: the same text, the same view.

    Returns:
        RGB, `size_px` x `size_px`.
    """
    if view < 2:
        square = square_crop(picture, size_px)
        return ImageOps.mirror(square) if view else square
    draw = random.Random(hashlib.sha256(f"{stream}:{view}".encode()).digest())
    area, stretch = draw.uniform(LEAST_AREA, 1), draw.uniform(1 / MOST_STRETCH, MOST_STRETCH) ** 0.5
    short = min(picture.size) * area**0.5
    width, height = min(short * stretch, picture.width), min(short / stretch, picture.height)
    left, top = draw.uniform(0, picture.width - width), draw.uniform(0, picture.height - height)
    box = (left, top, left + width, top + height)
    seen = picture.resize((size_px, size_px), Image.Resampling.LANCZOS, box=box)
    if draw.random() < 0.5:
        seen = ImageOps.mirror(seen)
    return ImageEnhance.Brightness(seen).enhance(draw.uniform(1 - LIGHT, 1 + LIGHT))
