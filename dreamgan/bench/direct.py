"""The direct side of a generator's benchmark: the recipe of a style, as it was dreamed for the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from dreamgan.backbones.features import Extractor, load_extractor
from dreamgan.backbones.files import Files
from dreamgan.bench.measure import dream_flops
from dreamgan.dream import DreamRecipe, dream, get_recipe
from dreamgan.errors import UserError
from dreamgan.images import shrink_to, to_unit


@dataclass(frozen=True)
class Direct:
    """A recipe on its network.

    Attributes:
        recipe: With its name.
        extractor: On the device.
        guides: Those of the recipe, by name, (1, 3, h, w) in [0, 1].
    """

    recipe: DreamRecipe
    extractor: Extractor
    guides: Mapping[str, Tensor]

    def __call__(self, photos: Tensor) -> Tensor:
        """Dream photos, (B, 3, H, W) in [0, 1], to the same."""
        return dream(photos, self.extractor, self.recipe, guides=self.guides).images

    def macs(self, height: int, width: int) -> int:
        """Multiply-adds of one dream: forward pass and gradient of every view of every step, and nothing else."""
        like = next(self.extractor.parameters())
        # Stopped at its first step, a dream still says which octaves it leaves out.
        photo = like.new_zeros(1, 3, height, width)
        stopped = dream(photo, self.extractor, self.recipe, guides=self.guides, callback=lambda _: False)
        flops = dream_flops(self.extractor, self.recipe, height, width, dropped_octaves=stopped.dropped_octaves)
        return self.recipe.shifts_per_step * flops // 2


def load_anchor(weights: Files, device: torch.device) -> Direct:
    """VGG16 relu4_3 by the recipe ``gordic``: what everybody's dreams were made with, 4 octaves of 10 steps."""
    recipe = get_recipe("gordic", "vgg16", octaves=4, steps=(10,))
    extractor = load_extractor("vgg16", recipe.layer_names, weights=weights("vgg16") or "random", device=device)
    return Direct(recipe, extractor, {})


def load_direct(
    facts: Mapping[str, Any], weights: Files, guide: Image.Image | None, device: torch.device
) -> Direct | None:
    """Load what a style was dreamed with.

    Args:
        facts: Of the style, from the generator.
        weights: Files of networks; without one its weights are random, on which the time does not depend.
        guide: What a guided recipe dreams of; shrunk as for the dataset.
        device: Where to dream.

    Returns:
        None if the recipe dreams of a guide and there is none.

    Raises:
        UserError: If the facts name no recipe, or a file is another than that of the training.
    """
    try:
        recipe, backbone = DreamRecipe.from_json(facts["recipe_json"]), str(facts["backbone"])
    except KeyError as error:
        raise UserError(f"the generator does not say {error} of one of its styles; train it again") from None
    names = recipe.objective.guides
    if names and guide is None:
        return None
    file = weights(backbone)
    batch_norms = recipe.objective.needs_batch_norms
    extractor = load_extractor(
        backbone, recipe.layer_names, weights=file or "random", device=device, batch_norms=batch_norms
    )
    if file and extractor.weights_sha256 != facts.get("weights_sha256"):
        raise UserError(
            f"--weights: {recipe.name!r} was dreamed with {backbone} weights of sha256 "
            f"{str(facts.get('weights_sha256'))[:12]}…, '{file}' is {extractor.weights_sha256[:12]}…; give that "
            "file, or none"
        )
    guides = {}
    if guide is not None:
        pixels = to_unit(shrink_to(guide, 2 * int(facts.get("size_px", 128))))[None].to(device)
        guides = dict.fromkeys(names, pixels)
    return Direct(recipe, extractor, guides)
