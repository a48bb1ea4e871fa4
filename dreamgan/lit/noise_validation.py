"""What a validation of pictures from noise compares: features of three sets, in the network that dreamed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dreamgan.backbones.features import load_extractor
from dreamgan.dream import DreamRecipe
from dreamgan.images import as_saved
from dreamgan.metrics.features import feature_map
from dreamgan.metrics.from_noise import NoiseMeasures, measure_noise
from dreamgan.metrics.kid import SUBSET, pooled

NOISE_LOGGED = ("kid_dreams", "kid_photos", "kid_halves", "kid_between", "diversity")
_SETS = ("generated", "dreams", "photos")


class NoiseValidation(nn.Module):
    """Takes pictures in batches and keeps their features; frozen.

    Args:
        facts: Of the style whose backbone and deepest layer are taken, as in ``Style.facts``.
        weights: File with the backbone's weights; None for torchvision's own, ``random`` for random ones.

    Raises:
        UserError: If the weights cannot be loaded.
    """

    def __init__(self, facts: Mapping[str, Any], weights: str | None) -> None:
        super().__init__()
        layers = DreamRecipe.from_json(facts["recipe_json"]).layer_names
        self.extractor = load_extractor(facts["backbone"], layers, weights=weights)
        self.layer = self.extractor.deepest(layers)
        self._kept: dict[str, list[Tensor]] = {}

    @property
    def features(self) -> str:
        """What the features are called: backbone and layer."""
        return f"{self.extractor.backbone} {self.layer}"

    def kept(self, name: str) -> int:
        """How many pictures of a set were taken."""
        return sum(map(len, self._kept.get(name, [])))

    def keep(self, name: str, pictures: Tensor) -> None:
        """Take pictures.

        Args:
            name: "generated", "dreams" or "photos".
            pictures: (B, 3, H, W) in [0, 1].
        """
        with torch.no_grad(), torch.autocast(pictures.device.type, enabled=False):
            features = pooled(feature_map(as_saved(pictures).to(pictures), self.extractor, self.layer))
        self._kept.setdefault(name, []).append(features.float().cpu())

    def measures(self) -> NoiseMeasures | None:
        """Measure what was kept, and forget it; None where a set is missing."""
        kept, self._kept = self._kept, {}
        if kept.keys() != set(_SETS):
            return None
        return measure_noise(*(torch.cat(kept[name]) for name in _SETS))

    def said(self, found: NoiseMeasures) -> list[str]:
        """The measures in lines, and whether the generator may have collapsed."""
        halves = f", half of them to the others {found.kid_halves:.4f}" if math.isfinite(found.kid_halves) else ""
        line = f"{found.n} pictures from noise, diversity {found.diversity:.2f}"
        if math.isfinite(found.kid_dreams):
            line += (
                f", KID in {self.features} to held-out dreams {found.kid_dreams:.4f} (photos to them "
                f"{found.kid_between:.4f}{halves}), to held-out photos {found.kid_photos:.4f}"
            )
        else:
            line += f"; fewer than {SUBSET} held-out pictures: no KID"
        if not found.collapsed:
            return [line]
        return [
            line,
            f"COLLAPSE? two pictures differ by {found.diversity:.2f} of what two dreams do: much the same is made of "
            "every noise; look at the grid",
        ]
