"""What pictures look like to a backbone: features of one of its layers, and how they agree."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from dreamgan.backbones.features import Extractor, normalise
from dreamgan.dream.octaves import enlarge_to
from dreamgan.dream.recipe import DreamRecipe


def feature_map(images: Tensor, extractor: Extractor, layer: str) -> Tensor:
    """Features of a layer, after a ReLU; it changes nothing where the layer ends in one.

    Args:
        images: (B, 3, H, W) in [0, 1]; those too small for the network are enlarged.
        extractor: Must answer for the layer.
        layer: Its name.

    Returns:
        (B, C, h, w), or (B, C) of a layer of the head; float32.
    """
    return F.relu(extractor(enlarge_to(normalise(images), extractor.min_size_px))[layer]).float()


def feature_vectors(images: Tensor, extractor: Extractor, recipe: DreamRecipe) -> Tensor:
    """Features of the recipe's deepest target layer, after a ReLU, flattened.

    Args:
        images: (B, 3, H, W) in [0, 1].
        extractor: Must answer for the recipe's layers.
        recipe: Names the layers.

    Returns:
        (B, C*h*w), float32.
    """
    return feature_map(images, extractor, extractor.deepest(recipe.layer_names)).flatten(1)


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of each pair of rows, (N, D) and (N, D) to (N,)."""
    return F.cosine_similarity(a, b, dim=1)
