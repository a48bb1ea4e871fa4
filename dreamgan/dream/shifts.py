"""Shifts: where a picture stands on the network's grid at each step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamgan.dream.recipe import DreamRecipe


def stream(seed: int, *names: object) -> torch.Generator:
    """A random stream of its own for every combination of seed and names, on the CPU."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def jitter_sequence(recipe: DreamRecipe, seed: int, photo_id: str, octave: int, steps: int) -> Tensor:
    """Random rolls (dy, dx) in [-shift_px, shift_px] of one photo, int64 (steps, 2)."""
    generator = stream(seed, photo_id, recipe.name, octave)
    return torch.randint(-recipe.shift_px, recipe.shift_px + 1, (steps, 2), generator=generator)


def stratified_sequence(recipe: DreamRecipe, seed: int, octave: int, steps: int) -> Tensor:
    """Slides (dy, dx) in [0, shift_px), the same for every photo, int64 (steps, shifts_per_step, 2).

    Four successive slides fall into the four half-stride cells, in an order drawn anew each time around, each at a
    random place within its cell.
    """
    generator = stream(seed, recipe.name, octave)
    half = recipe.shift_px // 2
    count = steps * recipe.shifts_per_step
    slides = []
    for _ in range(-(-count // 4)):
        for cell in torch.randperm(4, generator=generator).tolist():
            inside = torch.randint(0, half, (2,), generator=generator)
            slides.append(torch.tensor([cell // 2, cell % 2]) * half + inside)
    return torch.stack(slides[:count]).view(steps, recipe.shifts_per_step, 2)


def grid_sequence(recipe: DreamRecipe, seed: int, octave: int, steps: int) -> Tensor:
    """Shifts (dy, dx) in [0, tile_px) of the grid of tiles, the same for every photo, int64 (steps, 1, 2)."""
    generator = stream(seed, recipe.name, "tiles", octave)
    return torch.randint(0, recipe.tile_px, (steps, 1, 2), generator=generator)


def roll_each(images: Tensor, rolls: Sequence[tuple[int, int]]) -> Tensor:
    """Roll picture i of (B, C, H, W) by rolls[i] = (dy, dx), with wrap-around."""
    rolled = torch.empty(images.shape, dtype=images.dtype, device=images.device)
    for i, (dy, dx) in enumerate(rolls):
        rolled[i] = images[i].roll((dy, dx), dims=(1, 2))
    return rolled


def slide(images: Tensor, dy: int, dx: int, stride: int) -> Tensor:
    """Pad by ``stride`` px in all, reflected, dy above and dx to the left: (B, C, H + stride, W + stride).

    Every pixel stays in sight, and none meets the opposite border.
    """
    return F.pad(images, (dx, stride - dx, dy, stride - dy), mode="reflect")
