"""The noise that pictures are made of: drawn from seeds, and the way from one seed's to another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamgan.errors import UserError

MOST_SEED = 2**32 - 1  # torch's generator of a CPU looks at no more bits


@dataclass(frozen=True)
class Noise:
    """What pictures are made of; on the CPU, whatever the generator's device, so that seeds mean the same everywhere.

    Attributes:
        latents: (B, L), float32, from N(0, 1).
        classes: Weights of the categories, (B, C), float32, with the sum 1; C is 0 for a generator without them.
    """

    latents: Tensor
    classes: Tensor

    def __getitem__(self, part: slice) -> Noise:
        return Noise(self.latents[part], self.classes[part])


def drawn(seeds: Sequence[int], latent: int, classes: int) -> Noise:
    """Draw a latent and, where there are classes, one of them for each seed; a row depends on its own seed alone.

    Args:
        seeds: At least one, each from 0 to 2^32 - 1.
        latent: Numbers of a latent.
        classes: How many there are.

    Raises:
        ValueError: If there are no seeds.
        UserError: If a seed is out of its range.
    """
    if not seeds:
        raise ValueError("no seeds were given")
    noise = Noise(torch.empty(len(seeds), latent), torch.zeros(len(seeds), classes))
    for row, seed in enumerate(seeds):
        if not 0 <= seed <= MOST_SEED:
            raise UserError(f"the seed is {seed}; it must be from 0 to {MOST_SEED}")
        stream = torch.Generator().manual_seed(seed)
        noise.latents[row] = torch.randn(latent, generator=stream)
        if classes:  # after the latent, which is the same whatever classes there are
            noise.classes[row, int(torch.randint(classes, (), generator=stream))] = 1
    return noise


def between(ends: Noise, frames: int) -> Noise:
    """The way from one to the other in equal steps; its ends are those given, bit for bit.

    Source: White 2016, "Sampling Generative Networks": between two latents of many numbers a straight line passes
    through ones that are shorter than any the generator saw, an arc does not.
    Differs: the length goes from the one's to the other's in a straight line, and so do the weights of classes.

    Args:
        ends: Of two rows.
        frames: At least 2.

    Returns:
        Of ``frames`` rows.

    Raises:
        ValueError: If there are fewer than 2 frames.
    """
    if frames < 2:
        raise ValueError(f"frames is {frames}; it must be at least 2")
    share = torch.linspace(0, 1, frames, dtype=torch.float64)[:, None]
    first, second = ends.latents.double()
    angle = torch.dot(first / first.norm(), second / second.norm()).clamp(-1, 1).acos()
    if angle.sin() < 1e-6:  # no arc leads from a direction to itself, and no single one to its opposite
        latents = torch.lerp(first, second, share)
    else:
        arc = ((1 - share) * angle).sin() * first / first.norm() + (share * angle).sin() * second / second.norm()
        latents = arc / angle.sin() * torch.lerp(first.norm(), second.norm(), share)
    latents[0], latents[-1] = first, second
    first, second = ends.classes.double()
    return Noise(latents.float(), torch.lerp(first, second, share).float())
