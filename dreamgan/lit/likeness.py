"""How like the training pictures a batch is in the features of a frozen backbone, as a set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamgan.backbones.features import load_extractor, normalise

LEAST_PX = 128
"""Side to which smaller pictures are enlarged: a backbone answers to those at too few places."""

# One layer per stride, from the fine to the coarse.
LAYERS: Mapping[str, Sequence[str]] = {
    "squeezenet1_1": ("features.2", "features.4", "features.7", "features.12"),
    "mobilenet_v2": ("features.3", "features.6", "features.13", "features.17"),
    "inception_v3": ("Conv2d_4a_3x3", "mixed2", "mixed5"),
    "vgg16": ("relu2_2", "relu3_3", "relu4_3"),
}
_FARTHEST = 5.0
_LEAST_SIZE = 0.2  # of the usual one
_BATCH = 32


class Likeness(nn.Module):
    """Distance of a set of pictures to the training pictures: of means and variances of features over the set.

    A generator that makes one picture of every noise is far, however good that picture is.

    Source: dos Santos et al. 2019 (generative feature matching networks).
    Differs: of every map, the mean over places and the deviation over places are looked at; squares of differences of
    moments are estimated without bias, from all pairs of different pictures, in place of moving averages.

    Args:
        backbone: One of ``LAYERS``.
        weights: File with its weights; None for torchvision's own, ``random`` for random ones.

    Raises:
        UserError: If the weights cannot be loaded.
    """

    means: Tensor
    sizes: Tensor

    def __init__(self, backbone: str, weights: str | None) -> None:
        super().__init__()
        self.extractor = load_extractor(backbone, LAYERS[backbone], weights=weights)
        count = 2 * sum(self.extractor.widths.values())
        self.register_buffer("means", torch.zeros(count))
        self.register_buffer("sizes", torch.ones(count))

    @torch.no_grad()
    def learn(self, pictures: Tensor) -> None:
        """Take the training pictures, to which the others are held.

        Args:
            pictures: (N, 3, S, S) uint8.
        """
        parts = torch.split(pictures, _BATCH)
        found = torch.cat([self._values(part.to(self.means.device).float() / 255) for part in parts])
        self.means.copy_(found.mean(dim=0))
        sizes = found.std(dim=0)
        # A map that hardly ever answers would count for more than all others where it does.
        self.sizes.copy_(sizes.clamp_min(_LEAST_SIZE * float(sizes.median()) + 1e-12))

    def forward(self, pictures: Tensor) -> Tensor:
        """Measure a batch.

        Args:
            pictures: (B, 3, S, S) in [0, 1], at least two.

        Returns:
            () about 0 for a batch of training pictures, sometimes below; gradients flow to the pictures.
        """
        first = (self._values(pictures) - self.means) / self.sizes
        second = first.clamp(-_FARTHEST, _FARTHEST).square() - 1
        return _between_different(first) + _between_different(second)

    def _values(self, pictures: Tensor) -> Tensor:
        """(B, 2 x maps of all layers), float32."""
        if pictures.shape[-1] < LEAST_PX:
            pictures = F.interpolate(pictures, size=(LEAST_PX, LEAST_PX), mode="bilinear", align_corners=False)
        found = self.extractor(normalise(pictures))
        maps = [found[layer].float().flatten(2) for layer in self.extractor.layers_by_depth]
        return torch.cat([part for each in maps for part in (each.mean(dim=2), each.std(dim=2))], dim=1)


def _between_different(values: Tensor) -> Tensor:
    """Mean product of the rows of two different pictures: of the square of their mean, without bias, (B, C) to ()."""
    count = len(values)
    return (values.sum(dim=0).square() - values.square().sum(dim=0)).mean() / (count * (count - 1))
