"""The dream engine: gradient ascent on pictures, batched, each picture independent of its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dreamgan.backbones.features import Extractor
from dreamgan.backbones.registry import IMAGENET_MEAN, IMAGENET_STD
from dreamgan.dream.octaves import octave_sizes, resize
from dreamgan.dream.precondition import decorrelate_colour, scale_spectrum
from dreamgan.dream.recipe import DreamRecipe
from dreamgan.dream.scoring import Scorer, See
from dreamgan.dream.shifts import grid_sequence, jitter_sequence, roll_each, slide, stratified_sequence
from dreamgan.dream.smoothing import smooth, smoothing_kernel
from dreamgan.dream.tiles import Tile, add_back, crop, tile_grid
from dreamgan.images import check_images

# A slide of 16 px by reflection needs 17 px; nothing is to be seen in smaller octaves anyway.
SMALLEST_OCTAVE_PX = 17

_SPACES = {
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "signed": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
}

Shift = tuple[int, int]
Score = Callable[[Tensor, See], Tensor]


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
    """The affine change between pixels in [0, 1] and the recipe's space."""

    def __init__(self, recipe: DreamRecipe, like: Tensor) -> None:
        self.mean, self.std = (like.new_tensor(values).view(1, 3, 1, 1) for values in _SPACES[recipe.space])
        self.low = (-self.mean / self.std).flatten().tolist()
        self.high = ((1 - self.mean) / self.std).flatten().tolist()

    def to_unit(self, pixels: Tensor) -> Tensor:
        return pixels * self.std + self.mean

    def clamp_(self, pixels: Tensor) -> Tensor:
        for colour, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            pixels[:, colour].clamp_(low, high)
        return pixels


def score(
    images: Tensor,
    extractor: Extractor,
    recipe: DreamRecipe,
    *,
    guides: Mapping[str, Tensor] | None = None,
    masks: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """The recipe's objective of whole pictures, unshifted, with the weights of its last octave.

    Args:
        images: (B, 3, H, W), floating, in [0, 1].
        extractor: Must answer for the recipe's layers.
        recipe: Gives the objective.
        guides: As for ``dream``.
        masks: As for ``dream``.

    Returns:
        (B,); gradients flow to ``images``.
    """
    scorer = Scorer(recipe.objective, extractor, images, guides=guides, masks=masks)
    return scorer.octave(recipe.octaves - 1, (images.shape[-2], images.shape[-1]), 1.0)(images, _as_it_is)


def _as_it_is(images: Tensor) -> Tensor:
    return images


def scale_gradient(gradient: Tensor, how: str, floor: float = 0.0) -> tuple[Tensor, Tensor]:
    """Scale each picture's gradient, in place, as ``DreamRecipe.gradient_scale`` says.

    Args:
        gradient: (B, 3, H, W); changed.
        how: ``none``, ``zscore``, ``std`` or ``mean_abs``.
        floor: Least divisor.

    Returns:
        The scaled gradient, zero where a picture's gradient was zero or not finite, and a bool (B,) that says
        which pictures have a usable gradient.
    """
    dims = (1, 2, 3)
    if how in ("none", "mean_abs"):
        # By way of the norm: the mean of |g| would first write |g| down.
        size = torch.linalg.vector_norm(gradient, ord=1, dim=dims, keepdim=True) / gradient[0].numel()
    else:
        size = gradient.std(dim=dims, correction=1 if how == "zscore" else 0, keepdim=True)
    usable = torch.isfinite(size) & (size > 0)
    if how == "zscore":
        gradient.sub_(gradient.mean(dim=dims, keepdim=True))
    if how != "none":
        gradient.div_((size + 1e-8 if how == "std" else size).clamp_min(floor))
    # Not by a product with 0: NaN times 0 is NaN.
    for picture in (~usable).flatten().nonzero().flatten().tolist():
        gradient[picture].zero_()
    return gradient, usable.flatten()


def _whole_gradient(
    frame: Tensor, see: See, views: Sequence[See], score: Score, space: _Space
) -> tuple[Tensor, Tensor]:
    """Gradient and score of each picture, averaged over views of the whole (slides, or the picture as it stands).

    ``see`` is how the frame was shifted before: guides and masks have to follow it.
    """
    gradients: list[Tensor] = []
    scores: list[Tensor] = []
    with torch.enable_grad():  # the caller may be in evaluation
        frame = frame.detach().requires_grad_(True)
        for view in views:
            seen = score(space.to_unit(view(frame)), lambda images, view=view: view(see(images)))  # type: ignore[misc]
            gradients += torch.autograd.grad(seen.sum(), frame)
            scores.append(seen.detach())
    if len(views) == 1:
        return gradients[0], scores[0]
    return torch.stack(gradients).mean(dim=0), torch.stack(scores).mean(dim=0)


def _tiled_gradient(
    pixels: Tensor, tiles: Sequence[Tile], shifts: Sequence[Sequence[Shift]], score: Score, space: _Space
) -> tuple[Tensor, Tensor]:
    """The same by tiles, of which one at a time is in the network; averaged over shifts of their grid.

    A shift has one (dy, dx) per picture.
    """
    total = torch.zeros_like(pixels)
    scores = torch.zeros(len(pixels), device=pixels.device, dtype=pixels.dtype)
    area = sum(tile.height * tile.width for tile in tiles)
    for offsets in shifts:
        for tile in tiles:
            with torch.enable_grad():
                part = crop(pixels, tile, offsets).requires_grad_(True)
                seen = score(space.to_unit(part), lambda images, t=tile, o=offsets: _crop_any(images, t, o))  # type: ignore[misc]
                (gradient,) = torch.autograd.grad(seen.sum(), part)
            # A tile's mean is over fewer pixels than the picture's: its gradient counts by its area.
            share = tile.height * tile.width / (pixels.shape[-2] * pixels.shape[-1])
            add_back(total, gradient, tile, offsets, share / len(shifts))
            scores += seen.detach() * (tile.height * tile.width / area / len(shifts))
    return total, scores


def _crop_any(images: Tensor, tile: Tile, offsets: Sequence[Shift]) -> Tensor:
    """Guides and masks may be one for all pictures."""
    return crop(images.expand(len(offsets), -1, -1, -1), tile, offsets)


def dream(
    images: Tensor,
    extractor: Extractor,
    recipe: DreamRecipe,
    *,
    seed: int = 0,
    photo_ids: Sequence[str] | None = None,
    guides: Mapping[str, Tensor] | None = None,
    masks: Mapping[str, Tensor] | None = None,
    only_here: Tensor | None = None,
    strength: float = 1.0,
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
        guides: Guide pictures that the objective names, each (1, 3, h, w) in [0, 1].
        masks: Masks that the objective names, each (1 or B, 1, h, w) in [0, 1], stretched over the photos.
        only_here: (1 or B, 1, h, w) in [0, 1], stretched over the photos: the share of the dream in each pixel, the
            rest is the photo; where it is 0 nothing is dreamed.
        strength: Share of the recipe's steps that are run, in (0, 1]: every octave stops early, at the place that
            the whole dream passes through (``DreamRecipe.steps_at``).
        callback: Called at each step with a ``DreamStep``; returning False stops the dream, and what has been
            reached is returned at full size.

    Returns:
        The dreams and what was left out on the way.

    Raises:
        ValueError: If ``images`` are not as described, or ``photo_ids`` are not one per photo.
        UserError: If the objective does not fit the network, a guide or mask that it names is missing, or the
            strength leaves no step.
    """
    check_images(images)
    names = list(photo_ids) if photo_ids is not None else [""] * len(images)
    if len(names) != len(images):
        raise ValueError(f"{len(names)} photo_ids for {len(images)} images; give one per image")
    like = next(extractor.parameters())
    space = _Space(recipe, like)
    photos = images.detach().to(like)
    guides = {name: guide.detach().to(like) for name, guide in (guides or {}).items()}
    masks = {name: mask.detach().to(like) for name, mask in (masks or {}).items()}
    here = None if only_here is None else only_here.detach().to(like)
    if recipe.stretch:
        photos = _stretched(photos)
    scorer = Scorer(recipe.objective, extractor, photos, guides=guides, masks=masks)
    full_size = (photos.shape[-2], photos.shape[-1])
    octaves, dropped = _fitting_octaves(full_size, recipe, recipe.steps_at(strength), extractor)
    skipped = torch.zeros(len(photos), dtype=torch.int64, device=photos.device)

    def photo_at(size: tuple[int, int]) -> Tensor:
        return resize(photos, size).sub(space.mean).div_(space.std)

    def finish(pixels: Tensor) -> Tensor:
        dreamed = resize(pixels, full_size)
        dreamed = dreamed.mul_(space.std).add_(space.mean).clamp_(0, 1)
        if here is not None:
            # The photo as it came: a recipe may have stretched its values.
            dreamed = torch.lerp(images.detach().to(like), dreamed, resize(here, full_size))
        return dreamed.contiguous()

    pixels = photo_at(octaves[0][0])
    previous_photo: Tensor | None = None
    for index, (size, steps) in enumerate(octaves):
        number = index + dropped  # random streams belong to the octave, whatever was dropped before it
        is_last = index + 1 == len(octaves)
        if recipe.reinject_detail == "before":
            if previous_photo is not None:
                pixels.sub_(previous_photo)
                previous_photo = None  # before the next one is made: a large picture leaves no room for both
                pixels = resize(pixels, size).add_(photo_at(size))
                pixels = space.clamp_(pixels) if recipe.clamp else pixels
            # The finest octave has no successor: its photo need not stay in memory.
            previous_photo = None if is_last else photo_at(size)
        if tuple(pixels.shape[-2:]) != size:
            pixels = resize(pixels, size)
        octave_score = scorer.octave(number, size, size[0] / full_size[0])
        # Whole steps wherever the mask is not black; `finish` mixes. Scaled steps would end in a rim: where hardly
        # anything is dreamed, an octave's picture is still the photo of a coarser one, blurred.
        octave_here = None if here is None else (resize(here, size) > 0).to(like)
        tiles = tile_grid(*size, recipe.tile_px, recipe.tile_overlap_px) if 0 < recipe.tile_px < max(size) else None
        # Schedules and random streams are those of the whole recipe, however early the octave stops.
        all_steps = recipe.steps_per_octave[number]
        shifts = _shifts(recipe, seed, names, number, all_steps, tiled=tiles is not None, room=min(size))
        running = torch.ones(len(photos), dtype=torch.bool, device=photos.device)
        for step in range(steps):
            rolls = shifts[step][0] if recipe.shifts == "jitter" and tiles is None else None
            frame = pixels if rolls is None else roll_each(pixels, rolls)
            if tiles is not None:
                gradient, scores = _tiled_gradient(pixels, tiles, shifts[step], octave_score, space)
            else:
                see = _as_it_is if rolls is None else _roller(rolls)
                views = [_slider(*offsets[0], recipe.shift_px) for offsets in shifts[step]] if rolls is None else []
                gradient, scores = _whole_gradient(frame, see, views or [_as_it_is], octave_score, space)
            told = DreamStep(number, recipe.octaves, step, steps, size, scores)
            if callback is not None and callback(told) is False:
                return DreamResult(finish(pixels), False, dropped, skipped.cpu())
            gradient = _conditioned(gradient, recipe, step, all_steps)
            gradient, usable = scale_gradient(gradient, recipe.gradient_scale, recipe.gradient_floor)
            skipped += ~usable & running
            gradient.mul_(running.view(-1, 1, 1, 1))
            if octave_here is not None:
                gradient.mul_(octave_here if rolls is None else _roller(rolls)(octave_here))
            frame.add_(gradient, alpha=recipe.step_length(number, step))
            if recipe.clamp:
                space.clamp_(frame)
            pixels = frame if rolls is None else roll_each(frame, [(-dy, -dx) for dy, dx in rolls])
            if recipe.stop_at is not None:
                running &= ~(scores > recipe.stop_at)
                if not bool(running.any()):
                    break
        # The next octave is larger, and a large picture leaves no room for them.
        frame = gradient = None  # type: ignore[assignment]
        if recipe.reinject_detail == "after":
            octave_photo = photo_at(size)
            if previous_photo is not None:
                pixels.sub_(resize(previous_photo, size)).add_(octave_photo)
            previous_photo = octave_photo
    return DreamResult(finish(pixels), True, dropped, skipped.cpu())


def _stretched(photos: Tensor) -> Tensor:
    """Each photo's values from its least to its greatest spread over [0, 1]; a photo of one value stays."""
    low, high = photos.amin(dim=(1, 2, 3), keepdim=True), photos.amax(dim=(1, 2, 3), keepdim=True)
    span = torch.where(high > low, high - low, torch.ones_like(low))
    return torch.where(high > low, (photos - low) / span, photos)


def _fitting_octaves(
    full_size: tuple[int, int], recipe: DreamRecipe, steps: Sequence[int], extractor: Extractor
) -> tuple[list[tuple[tuple[int, int], int]], int]:
    """Size and steps of the octaves that are large enough, at least the finest, and how many were left out."""
    octaves = list(zip(octave_sizes(*full_size, recipe), steps, strict=True))
    floor_px = max(extractor.min_size_px, SMALLEST_OCTAVE_PX)
    kept = [octave for octave in octaves if min(octave[0]) >= floor_px] or [(full_size, octaves[-1][1])]
    return kept, len(octaves) - len(kept)


def _conditioned(gradient: Tensor, recipe: DreamRecipe, step: int, steps: int) -> Tensor:
    """The gradient after the recipe's smoothing and in its metric."""
    kernel = smoothing_kernel(recipe, step, steps)
    if kernel is not None:
        gradient = smooth(gradient, kernel)
    if recipe.spectrum_power:
        gradient = scale_spectrum(gradient, recipe.spectrum_power)
    if recipe.colour_decorrelation:
        gradient = decorrelate_colour(gradient)
    return gradient


def _shifts(
    recipe: DreamRecipe, seed: int, names: Sequence[str], octave: int, steps: int, *, tiled: bool, room: int
) -> list[list[list[Shift]]]:
    """Where the pictures stand at each step of an octave: for each step, for each shift, (dy, dx) of each picture.

    A step without shifts has none. Tiles always move, lest their borders show; then pictures without shifts of their
    own share one sequence.
    """
    if recipe.shifts == "jitter":
        rolls = torch.stack([jitter_sequence(recipe, seed, name, octave, steps) for name in names])
        return [[[(dy, dx) for dy, dx in rolls[:, step].tolist()]] for step in range(steps)]
    if recipe.shifts == "stratified" and (tiled or room > recipe.shift_px):
        sequence = stratified_sequence(recipe, seed, octave, steps)
    elif tiled:
        sequence = grid_sequence(recipe, seed, octave, steps)
    else:
        return [[] for _ in range(steps)]
    return [[[(dy, dx)] * len(names) for dy, dx in shifts] for shifts in sequence.tolist()]


def _roller(rolls: Sequence[Shift]) -> See:
    return lambda images: roll_each(images.expand(len(rolls), -1, -1, -1), rolls)


def _slider(dy: int, dx: int, stride: int) -> See:
    return lambda images: slide(images, dy, dx, stride)
