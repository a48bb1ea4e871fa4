"""Objectives that follow a guide picture, in plain loops. One picture, one layer: activations are (C, h, w).

`guided` is *bedtime*'s (the normalised sum of activation of each map is its weight), `guided_by_location` the spatial
weights that it left open, `guided_match` google/deepdream's `objective_guide`. Open in REFERENCE: at what size the
network sees the guide of `guided` and `guided_match` (the caller says), how a guide of another shape meets the photo's
locations (here: stretched to the photo's size), and a layer in which all of a guide's maps have the mean 0 (there is no
weight then: 0 / 0). Negative means, before a ReLU, keep their sign.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.plain import IMAGENET_MEAN, IMAGENET_STD, resize


def guide_activations(
    guide: Tensor, network: Callable[[Tensor], Sequence[Tensor]], height: int, width: int
) -> list[Tensor]:
    """What the layers answer to the guide, stretched to a size whatever its own shape.

    Args:
        guide: (3, H, W) float64 in [0, 1].
        network: (1, 3, h, w), RGB minus ImageNet mean over std, to the activations of the layers.
        height: Of the picture that is dreamed, at this octave.
        width: Likewise.

    Returns:
        For each layer (C, h, w), without a gradient.
    """
    normalised = (resize(guide, height, width) - IMAGENET_MEAN) / IMAGENET_STD
    return [a.detach()[0] for a in network(normalised[None])]


def map_weights(guide_activation: Tensor) -> list[float]:
    """For each map of the guide its mean, over the sum of all maps' absolute means."""
    means = [float(guide_map.mean()) for guide_map in guide_activation]
    total = sum(abs(mean) for mean in means)
    return [mean / total for mean in means]


def guided(activation: Tensor, weights: Sequence[float]) -> Tensor:
    """The weighted sum of the maps' means."""
    terms = [weight * own_map.mean() for own_map, weight in zip(activation, weights, strict=True)]
    return torch.stack(terms).sum()


def location_weights(guide_activation: Tensor) -> list[Tensor]:
    """For each map of the guide its values (h, w), over the sum of all maps' absolute means.

    Averaged over the locations, they are `map_weights` of the same activation.
    """
    total = sum(abs(float(guide_map.mean())) for guide_map in guide_activation)
    return [guide_map / total for guide_map in guide_activation]


def guided_by_location(activation: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Every value is weighted by its own map and location: the sum over maps of the mean over locations."""
    terms = [(weight * own_map).mean() for own_map, weight in zip(activation, weights, strict=True)]
    return torch.stack(terms).sum()


def guided_match(activation: Tensor, guide_activation: Tensor) -> Tensor:
    """Every location goes along the guide's feature vector with which it has the largest dot product.

    The notebook hands those vectors down as the gradient; here the dot products are averaged over all values of the
    activation, which gives that gradient over their number.

    Args:
        activation: (C, h, w).
        guide_activation: (C, h', w'), of any size.
    """
    _, height, width = activation.shape
    vectors = [column for row in guide_activation.detach().permute(1, 2, 0) for column in row]
    total = torch.zeros((), dtype=activation.dtype)
    for y in range(height):
        for x in range(width):
            own = activation[:, y, x]
            matches = [float(own.detach() @ vector) for vector in vectors]
            best = vectors[matches.index(max(matches))]
            total = total + (own * best).sum()
    return total / activation.numel()
