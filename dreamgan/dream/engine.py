"""The dream engine: gradient ascent on pictures, batched, each picture independent of its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dreamgan.backbones.features import Extractor
from dreamgan.backbones.registry import IMAGENET_MEAN, IMAGENET_STD
from dreamgan.dream.objectives import layer_scores
from dreamgan.dream.octaves import enlarge_to, octave_sizes, resize
from dreamgan.dream.recipe import DreamRecipe
from dreamgan.dream.shifts import jitter_sequence, roll_each, slide, stratified_sequence
from dreamgan.dream.smoothing import smooth, smoothing_kernel
from dreamgan.images import check_images

# A slide of 16 px by reflection needs 17 px; nothing is to be seen in smaller octaves anyway.
SMALLEST_OCTAVE_PX = 17

_SPACES = {
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "signed": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
}


class DreamStep(NamedTuple):
    """What a callback is told before each step takes effect.

    ``octave`` and ``step`` count from 0; ``size`` is (height, width) in pixels; ``scores`` is (B,), the objective of
    each picture before the step, under the step's shift.
    """

    octave: int
    octaves: int
    step: int
    steps: int
    size: tuple[int, int]
    scores: Tensor


Callback = Callable[[DreamStep], bool | None]


@dataclass(frozen=True)
class DreamResult:
    """What ``dream`` gives back.

    Attributes:
        images: Dreams, (B, 3, H, W) in [0, 1], the size of the photos.
        completed: False when the callback stopped the dream.
        dropped_octaves: Coarse octaves left out since the picture would have been too small for the network.
        skipped_steps: Per picture, int64 (B,): steps in which its gradient was zero or not finite.
    """

    images: Tensor
    completed: bool
    dropped_octaves: int
    skipped_steps: Tensor


class _Space:
    """The affine change between pixels in [0, 1], the recipe's space and the backbone's input."""

    def __init__(self, recipe: DreamRecipe, like: Tensor) -> None:
        mean, std = _SPACES[recipe.space]
        self.mean, self.std = (like.new_tensor(values).view(1, 3, 1, 1) for values in (mean, std))
        self.low, self.high = -self.mean / self.std, (1 - self.mean) / self.std
        net_mean, net_std = (like.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        self.is_input = recipe.space == "imagenet"
        self.scale = self.std / net_std
        self.offset = (self.mean - net_mean) / net_std

    def from_unit(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std

    def to_unit(self, pixels: Tensor) -> Tensor:
        return (pixels * self.std + self.mean).clamp(0, 1)

    def to_input(self, pixels: Tensor) -> Tensor:
        return pixels if self.is_input else pixels * self.scale + self.offset

    def clamp(self, pixels: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(pixels, self.low), self.high)


def score(images: Tensor, extractor: Extractor, recipe: DreamRecipe) -> Tensor:
    """The recipe's objective of whole pictures, unshifted.

    Args:
        images: (B, 3, H, W), floating, in [0, 1].
        extractor: Must answer for the recipe's layers.
        recipe: Gives layers, weights and objective.

    Returns:
        (B,); gradients flow to ``images``.
    """
    space = _Space(recipe, images)
    return _scores(space.from_unit(images), extractor, recipe, space)


def _scores(pixels: Tensor, extractor: Extractor, recipe: DreamRecipe, space: _Space) -> Tensor:
    inputs = enlarge_to(space.to_input(pixels), extractor.min_size_px)
    return layer_scores(extractor(inputs), recipe)


def scale_gradient(gradient: Tensor, how: str) -> tuple[Tensor, Tensor]:
    """Scale each picture's gradient as ``DreamRecipe.gradient_scale`` says.

    Args:
        gradient: (B, 3, H, W).
        how: ``zscore``, ``std`` or ``mean_abs``.

    Returns:
        The scaled gradient, zero where a picture's gradient was zero or not finite, and a bool (B,) that says
        which pictures have a usable gradient.
    """
    dims = (1, 2, 3)
    if how == "mean_abs":
        size = gradient.abs().mean(dim=dims, keepdim=True)
        scaled = gradient / size
    else:
        size = gradient.std(dim=dims, correction=1 if how == "zscore" else 0, keepdim=True)
        scaled = (
            (gradient - gradient.mean(dim=dims, keepdim=True)) / size if how == "zscore" else gradient / (size + 1e-8)
        )
    usable = torch.isfinite(size) & (size > 0)
    return torch.where(usable, scaled, torch.zeros((), dtype=gradient.dtype, device=gradient.device)), usable.flatten()


def _ascend(
    pixels: Tensor, extractor: Extractor, recipe: DreamRecipe, space: _Space, slides: list[list[int]]
) -> tuple[Tensor, Tensor]:
    """Gradient and score of each picture, averaged over the slides (one empty slide: the picture as it stands)."""
    gradients: list[Tensor] = []
    scores: list[Tensor] = []
    with torch.enable_grad():  # the caller may be in evaluation
        pixels = pixels.detach().requires_grad_(True)
        for where in slides:
            view = slide(pixels, where[0], where[1], recipe.shift_px) if where else pixels
            view_scores = _scores(view, extractor, recipe, space)
            gradients += torch.autograd.grad(view_scores.sum(), pixels)
            scores.append(view_scores.detach())
    return torch.stack(gradients).mean(dim=0), torch.stack(scores).mean(dim=0)


def dream(
    images: Tensor,
    extractor: Extractor,
    recipe: DreamRecipe,
    *,
    seed: int = 0,
    photo_ids: Sequence[str] | None = None,
    callback: Callback | None = None,
) -> DreamResult:
    """Dream a batch of photos: gradient ascent on the recipe's objective, octave by octave.

    Every reduction (score, gradient statistics, clamp) and every random stream belongs to one picture, so a dream
    does not depend on its neighbours in the batch.

    Args:
        images: Photos, (B, 3, H, W), floating, in [0, 1], at least 1 px a side; pictures below what the network can
            take are enlarged on their way into it.
        extractor: From ``load_extractor`` with the recipe's layers; its device and dtype are used.
        recipe: What to do.
        seed: Seed of all random streams.
        photo_ids: One name per photo; a photo's stream is derived from (seed, its name, the recipe's name). None
            gives all photos the same stream.
        callback: Called at each step with a ``DreamStep``; returning False stops the dream, and what has been
            reached is returned at full size.

    Returns:
        The dreams and what was left out on the way.

    Raises:
        ValueError: If ``images`` are not as described, or ``photo_ids`` are not one per photo.
    """
    check_images(images)
    names = list(photo_ids) if photo_ids is not None else [""] * len(images)
    if len(names) != len(images):
        raise ValueError(f"{len(names)} photo_ids for {len(images)} images; give one per image")
    like = next(extractor.parameters())
    space = _Space(recipe, like)
    photo = space.from_unit(images.detach().to(like))
    full_size = (photo.shape[-2], photo.shape[-1])
    octaves = list(zip(octave_sizes(*full_size, recipe), recipe.steps_per_octave, strict=True))
    floor_px = max(extractor.min_size_px, SMALLEST_OCTAVE_PX)
    kept = [octave for octave in octaves if min(octave[0]) >= floor_px]
    kept = kept or [(full_size, octaves[-1][1])]
    dropped = len(octaves) - len(kept)
    skipped = torch.zeros(len(photo), dtype=torch.int64)

    pixels = resize(photo, kept[0][0])
    previous_photo = pixels
    for index, (size, steps) in enumerate(kept):
        number = index + dropped  # random streams belong to the octave, whatever was dropped before it
        if index > 0:
            if recipe.reinject_detail:
                octave_photo = resize(photo, size)
                pixels = space.clamp(octave_photo + resize(pixels - previous_photo, size))
                previous_photo = octave_photo
            else:
                pixels = resize(pixels, size)
        rolls = slides = None
        if recipe.shifts == "jitter":
            rolls = torch.stack([jitter_sequence(recipe, seed, name, number, steps) for name in names])
        elif recipe.shifts == "stratified" and min(size) > recipe.shift_px:
            slides = stratified_sequence(recipe, seed, number, steps).tolist()
        for step in range(steps):
            frame = pixels if rolls is None else roll_each(pixels, rolls[:, step])
            gradient, scores = _ascend(frame, extractor, recipe, space, slides[step] if slides else [[]])
            told = DreamStep(number, len(octaves), step, steps, size, scores)
            if callback is not None and callback(told) is False:
                return DreamResult(_finish(pixels, full_size, space), False, dropped, skipped)
            kernel = smoothing_kernel(recipe, step, steps)
            if kernel is not None:
                gradient = smooth(gradient, kernel)
            gradient, usable = scale_gradient(gradient, recipe.gradient_scale)
            skipped += (~usable).cpu().long()
            frame = space.clamp(frame + recipe.step_size * gradient)
            pixels = frame if rolls is None else roll_each(frame, -rolls[:, step])
    return DreamResult(_finish(pixels, full_size, space), True, dropped, skipped)


def _finish(pixels: Tensor, full_size: tuple[int, int], space: _Space) -> Tensor:
    return space.to_unit(resize(pixels.detach(), full_size)).contiguous()
