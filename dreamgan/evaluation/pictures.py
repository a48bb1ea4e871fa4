"""The pictures of a group of pairs, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dreamgan.data.pictures import PairPictures
from dreamgan.evaluation.groups import Group
from dreamgan.metrics import other_photos
from dreamgan.metrics.cheats import Pairs

COLUMNS = ("photo", "dream", "second_dream")


class GroupPictures:
    """The pictures of a group, decoded when they are asked for.

    Args:
        group: Which pairs.
        rows: The split that they are in.
        device: Where the pictures shall live.

    Raises:
        UserError: If the first pair cannot be read, or its pictures differ in size.
    """

    def __init__(self, group: Group, rows: Any, device: torch.device) -> None:
        own = rows.select(group.places)
        self.photo_ids: list[str] = own["photo_id"][:]
        self.seed = int(own["seed"][0])
        self.has_second = group.has_second
        others = other_photos(own["source_id"][:])
        self.has_others = others is not None
        self._others = others or [(place + 1) % len(own) for place in range(len(own))]
        self._device = device
        self._pictures = PairPictures(own, COLUMNS, cache_mib=0)
        self._first = self._read([0])

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self.photo_ids)

    def others(self, places: Sequence[int]) -> list[int]:
        """For each photo the place of another: of another photograph where there is one."""
        return [self._others[place] for place in places]

    def in_company(self) -> list[int]:
        """All places, each followed by its other one where possible, so that most batches hold both."""
        order: dict[int, None] = {}
        for place in range(len(self)):
            while place not in order:
                order[place] = None
                place = self._others[place]
        return list(order)

    def pairs(self, places: Sequence[int]) -> Pairs:
        """The pictures of some places, each named once.

        Raises:
            UserError: If one cannot be read or has another size than the first.
        """
        others = self.others(places)
        read = list(dict.fromkeys([*places, *others]))  # pairs are often each other's other
        pictures = self._read(read)
        other = [read.index(place) for place in others]
        own = slice(len(places))
        return Pairs(
            photos=pictures["photo"][own],
            dreams=pictures["dream"][own],
            second_dreams=pictures["second_dream"][own] if self.has_second else None,
            other_photos=pictures["photo"][other],
            other_dreams=pictures["dream"][other],
            first_photo=self._first["photo"],
            first_dream=self._first["dream"],
        )

    def _read(self, places: Sequence[int]) -> dict[str, Tensor]:
        samples = [self._pictures[place] for place in places]
        return {name: torch.stack([sample[name] for sample in samples]).to(self._device) for name in COLUMNS}
