"""What the data modules of the trainings have in common: which dreams are to be learnt, and the loader of an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from dreamgan.data.draws import Part, StyleSampler
from dreamgan.data.styles import Style, find_styles


class DreamData(LightningDataModule):
    """Dream datasets, and which of their recipes to learn; a base class."""

    def __init__(self, dataset: str, recipe: str | None) -> None:
        """Name them; nothing is read before `styles`.

        Args:
            dataset: folders or names of dream datasets, with commas.
            recipe: names of recipes, with commas; None: all.
        """
        super().__init__()
        self.dataset, self.recipe = dataset, recipe
        self._styles: list[Style] = []

    def styles(self) -> list[Style]:
        """The kinds of dream to learn, in the order of their numbers.

        Raises:
            UserError: no dream dataset is there, or it lacks the recipe.
        """
        if not self._styles:
            self._styles = find_styles(names_of(self.dataset), names_of(self.recipe))
        return self._styles


def names_of(text: str | None) -> list[str]:
    """Names that are written with commas between; none for None."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


def training_loader(
    module: Any, pictures: Dataset[dict[str, Any]], styles: Sequence[Sequence[Part]], workers: int = 0
) -> DataLoader[dict[str, Any]]:
    """Load this process's part of each epoch, drawn anew.

    Args:
        module: A data module with a batch_size, flip and seed.
        pictures: Takes a `Draw`.
        styles: As `StyleSampler` takes them.
        workers: Processes that read.
    """
    trainer = module.trainer
    sampler = StyleSampler(
        styles,
        module.batch_size,
        flip=module.flip,
        seed=module.seed,
        processes=trainer.world_size if trainer else 1,
        rank=trainer.global_rank if trainer else 0,
    )
    return DataLoader(pictures, module.batch_size, sampler=sampler, num_workers=workers, persistent_workers=workers > 0)
