"""Pictures that pretend to be dreams: what the measures say of them shows what the measures are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from dreamgan.metrics.residuals import with_residual_of
from dreamgan.views import blurred


class Pairs(NamedTuple):
    """Photos, their dreams, and as many other photos with theirs; all (B, 3, H, W) in [0, 1].

    ``second_dreams`` is None where there are none; ``first_photo`` and ``first_dream``, (1, 3, H, W), are the same for
    every batch of a set.
    """

    photos: Tensor
    dreams: Tensor
    second_dreams: Tensor | None
    other_photos: Tensor
    other_dreams: Tensor
    first_photo: Tensor
    first_dream: Tensor


CONTRAST, DOTS_PX, BLUR_PX = 1.6, 8, 1.5


def photo(pairs: Pairs) -> Tensor:
    """The photo itself."""
    return pairs.photos


def contrast(pairs: Pairs) -> Tensor:
    """The photo with ``CONTRAST`` times its contrast."""
    mean = pairs.photos.mean(dim=(1, 2, 3), keepdim=True)
    return (mean + CONTRAST * (pairs.photos - mean)).clamp(0, 1)


def dot_screen(pairs: Pairs) -> Tensor:
    """A raster of dots, one each ``DOTS_PX`` px, as strong as what the first dream added to its photo."""
    height, width = pairs.photos.shape[-2:]
    y, x = (torch.arange(side).to(pairs.photos) * 2 * torch.pi / DOTS_PX for side in (height, width))
    dots = torch.cos(y)[:, None] * torch.cos(x)
    size = (pairs.first_dream - pairs.first_photo).square().mean().sqrt()
    return (pairs.photos + size * dots / dots.square().mean().sqrt()).clamp(0, 1)


def pasted_pattern(pairs: Pairs) -> Tensor:
    """What the first dream added to its photo, on every photo."""
    return with_residual_of(pairs.photos, pairs.first_photo, pairs.first_dream)


def other_residual(pairs: Pairs) -> Tensor:
    """What another photo's dream added to that photo."""
    return with_residual_of(pairs.photos, pairs.other_photos, pairs.other_dreams)


def blurred_dream(pairs: Pairs) -> Tensor:
    """A dream blurred by ``BLUR_PX``, as a network gives it that was trained on pixel differences alone.

    The second dream where there is one: no generator knows the very dream that it is held against.
    """
    return blurred(pairs.dreams if pairs.second_dreams is None else pairs.second_dreams, BLUR_PX)


CHEATS: Mapping[str, Callable[[Pairs], Tensor]] = MappingProxyType(
    {
        "the photo itself": photo,
        "contrast x 1.6": contrast,
        "dot screen": dot_screen,
        "pasted pattern": pasted_pattern,
        "another photo's residual": other_residual,
        "blurred dream": blurred_dream,
    }
)
