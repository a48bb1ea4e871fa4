"""The pictures that a generator of noise makes, and those that they are held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamgan.data.dreams import DreamPictures, Pictures
from dreamgan.errors import UserError
from dreamgan.images import as_saved
from dreamgan.noise_sampling import NoiseDreams, noise_samples

PICTURES = 200
"""Of each set that is compared with another one."""
GENERATED = 1000
"""Pictures from noise whose objective and category are looked at."""
_LEAST = 12


@dataclass(frozen=True)
class NoiseSets:
    """Pictures, (N, 3, S, S) float32 in [0, 1]; those to be compared are as many of each.

    Attributes:
        dreams: Two halves of the held-out dreams, of different photographs.
        photos: Held-out photos of the second half.
        trained: The training dreams, all of them.
        labels: Category of each training dream, a number.
        names: Names of the categories.
    """

    dreams: tuple[Tensor, Tensor]
    photos: Tensor
    trained: Tensor
    labels: list[int]
    names: list[str]

    @property
    def count(self) -> int:
        """Pictures of each set that is compared."""
        return len(self.dreams[0])


def gather(data: DreamPictures) -> NoiseSets:
    """Read what generated pictures are held against.

    Args:
        data: With the training pictures, and at least ``2 * PICTURES`` for validation.

    Raises:
        UserError: If the dataset lacks the dreams, or its test split has too few of them.
    """
    data.setup()
    if not data.held_out or data.train_pictures is None or len(data.held_out[0]) < 2 * _LEAST:
        raise UserError(
            f"{data.dataset!r} holds too few dreams in its test split, {2 * _LEAST} are needed; make it with a larger "
            "--test_fraction"
        )
    dreams, photos = (_unit(each) for each in data.held_out)
    count = min(len(dreams), len(photos)) // 2
    # Neighbours in the table are of one category, mostly: each half gets every other one.
    halves = (dreams[0::2][:count], dreams[1::2][:count])
    trained = data.train_pictures
    return NoiseSets(halves, photos[1::2][:count], _unit(trained), trained.labels, data.classes())


def learnt_by(generator: NoiseDreams, style: str, dataset: str) -> DreamPictures:
    """The dreams of a dataset that a style of a generator was trained on.

    Args:
        generator: From ``load_noise_generator``.
        style: Name of the one to measure.
        dataset: As the user named it.

    Raises:
        UserError: If there are none, or others under the same name.
    """
    facts = generator.styles[style]
    recipes, labels = facts.get("recipes", {style: facts}), facts.get("labels", [])
    data = DreamPictures(
        dataset,
        recipe=",".join(recipes),
        size_px=generator.network.config.size_px,
        categories=",".join(labels) if any(labels) else None,
        limit=facts.get("limit"),
        val_pictures=2 * PICTURES,
        flip=False,
    )
    for known in data.styles():
        for fact in ("backbone", "weights_sha256", "recipe_json", "guides"):
            if known.facts[fact] != recipes[known.name][fact]:
                raise UserError(
                    f"the dreams {known.name!r} in {dataset!r} are not those that the generator learnt: another "
                    f"{fact.removesuffix('_json').removesuffix('_sha256')}; give the dataset that it was trained on"
                )
    return data


def made_by(generator: NoiseDreams, style: str, batch: int, progress: Callable[[int], object]) -> Tensor:
    """``GENERATED`` pictures from the seeds 0, 1, ..., as saved; of all categories where it knows any.

    Args:
        generator: From ``load_noise_generator``.
        style: Name of the style.
        batch: Pictures made at a time.
        progress: Told how many were made.
    """
    made = []
    for first in range(0, GENERATED, batch):
        seeds = range(first, min(first + batch, GENERATED))
        made.append(as_saved(noise_samples(generator, seeds, style=style).cpu()))
        progress(len(seeds))
    return torch.cat(made)


def _unit(pictures: Pictures) -> Tensor:
    return pictures.pictures.float() / 255
