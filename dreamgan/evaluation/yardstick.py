"""What the pairs of a recipe are measured with: the network that dreamed them, and one that did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dreamgan.backbones.features import Extractor, load_extractor
from dreamgan.backbones.files import Files
from dreamgan.data.guides import read_guides
from dreamgan.dream import DreamRecipe
from dreamgan.errors import UserError
from dreamgan.metrics.referee import Referee, load_referee, referee_for


@dataclass(frozen=True)
class Yardstick:
    """What the pairs of a recipe are measured with.

    Attributes:
        recipe: Theirs.
        extractor: The network that they were dreamed with.
        guides: Those of the recipe, each (1, 3, h, w) in [0, 1].
        referee: Another network; None: there is none.
        no_referee: Why there is none.
    """

    recipe: DreamRecipe
    extractor: Extractor
    guides: Mapping[str, Tensor]
    referee: Referee | None
    no_referee: str

    @property
    def layer(self) -> str:
        """The layer in which cosines and KID are taken."""
        return self.extractor.deepest(self.recipe.layer_names)


def load_yardstick(
    pair: Mapping[str, Any],
    dataset: str,
    weights: Files,
    referee_weights: Files,
    referees: dict[str, tuple[Referee | None, str]],
    device: torch.device,
) -> Yardstick:
    """Load what the pairs of a recipe are measured with.

    Args:
        pair: One of them, with the columns of a dream dataset.
        dataset: Its folder.
        weights: Of networks that dreamed.
        referee_weights: Of referees.
        referees: Those loaded for other recipes, by the name of their network; gets the one that is loaded now.
        device: Where the networks shall live.

    Raises:
        UserError: If the weights are not those of the dataset, or a guide is missing or another.
    """
    recipe, backbone = DreamRecipe.from_json(pair["recipe_json"]), pair["backbone"]
    file = weights(backbone) or ("random" if pair["weights"] == "random" else None)
    extractor = load_extractor(
        backbone, recipe.layer_names, weights=file, device=device, batch_norms=recipe.objective.needs_batch_norms
    )
    if extractor.weights_sha256 != pair["weights_sha256"]:
        raise UserError(
            f"{pair['recipe']!r} was dreamed with {backbone} weights of sha256 {pair['weights_sha256'][:12]}… "
            f"({pair['weights']}), these are {extractor.weights_sha256[:12]}…; give --weights {backbone}=FILE"
        )
    judge, _ = referee_for(backbone)
    if judge not in referees:
        referees[judge] = load_referee(backbone, referee_weights(judge), device)
    guides = read_guides(dataset, pair["recipe"], pair["guides"])
    guides = {name: guide.to(device) for name, guide in guides.items()}
    return Yardstick(recipe, extractor, guides, *referees[judge])
