"""A picture of all that a generator can do: photos down, styles and strengths across."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor

from dreamgan.data.pictures import PairPictures
from dreamgan.evaluation.choosing import Chosen
from dreamgan.evaluation.grid import MOST_SIDE_PX
from dreamgan.evaluation.groups import evenly
from dreamgan.images import sheet, shrink_to, to_picture

STRENGTHS = (0.5, 1.0, 1.5)
PHOTOS = 6


def gallery(
    chosen: Sequence[Chosen], styles: Sequence[str], dream: Callable[[Tensor, str, float], Tensor], device: torch.device
) -> Image.Image:
    """One-pass dreams of some photos of the first split that is measured, evenly spread over it.

    Args:
        chosen: What is measured, at least one group.
        styles: Names of the styles.
        dream: Dreams photos, (1, 3, H, W) in [0, 1], in a style and a strength.
        device: Where the photos shall live.

    Raises:
        UserError: If a photo cannot be read.
    """
    table = chosen[0].table
    places = sorted({place for each in chosen if each.table is table for place in each.group.places})
    photos = PairPictures(table.select(evenly(places, PHOTOS)), ("photo",), cache_mib=0)
    ways = [(style, strength) for style in styles for strength in STRENGTHS]
    rows = []
    for number in range(len(photos)):
        photo = photos[number]["photo"][None].to(device)
        shown = [photo, *(dream(photo, *way) for way in ways)]
        rows.append([shrink_to(to_picture(image[0]), MOST_SIDE_PX) for image in shown])
    return sheet(rows, ["photo", *(f"{style} {strength:g}" for style, strength in ways)])
