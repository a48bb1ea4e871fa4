"""How like the training pictures a batch is in the features of a frozen backbone, as a set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
_WIDTHS = (0.2, 0.5, 1.0, 2.0, 5.0)
_MOST_HELD = 4096  # training pictures that a batch is held to
_LEAST_SIZE = 0.2  # of the usual one
_BATCH = 32


class Likeness(nn.Module):
    """Kernel distance of a set of pictures to the training pictures, in features of frozen backbones.

    A generator that makes one picture of every noise is far, however good that picture is, and so is one that leaves a
    kind of training picture out.

    Source: Li et al. 2015 (generative moment matching networks), Binkowski et al. 2018 (rational quadratic kernels).
    Differs: features are those of frozen networks, of every map the mean over places and the deviation over places.

    Args:
        backbones: Some of ``LAYERS``.
        weights: Backbone to file with its weights; None for torchvision's own, ``random`` for random ones.

    Raises:
        UserError: If the weights cannot be loaded.
    """

    def __init__(self, backbones: Sequence[str], weights: Callable[[str], str | None]) -> None:
        super().__init__()
        self.each = nn.ModuleList(_Held(backbone, weights(backbone)) for backbone in backbones)

    @torch.no_grad()
    def learn(self, pictures: Tensor) -> None:
        """Take the training pictures, to which the others are held.

        Args:
            pictures: (N, 3, S, S) uint8; of more than 4,096, as many, evenly chosen.
        """
        count = min(len(pictures), _MOST_HELD)
        chosen = pictures[torch.arange(count) * len(pictures) // count]
        for each in self.each:
            each.learn(chosen)  # type: ignore[operator]

    def forward(self, pictures: Tensor) -> Tensor:
        """Measure a batch.

        Args:
            pictures: (B, 3, S, S) in [0, 1], at least two.

        Returns:
            () mean over the backbones of the squared kernel distance: about 0 for training pictures, sometimes below,
            at most 2; gradients flow to the pictures.
        """
        return torch.stack([each(pictures) for each in self.each]).mean()


class _Held(nn.Module):
    """The training pictures as one backbone sees them."""

    means: Tensor
    sizes: Tensor
    held: Tensor
    between: Tensor

    def __init__(self, backbone: str, weights: str | None) -> None:
        super().__init__()
        self.extractor = load_extractor(backbone, LAYERS[backbone], weights=weights)
        count = 2 * sum(self.extractor.widths.values())
        self.register_buffer("means", torch.zeros(count))
        self.register_buffer("sizes", torch.ones(count))
        self.register_buffer("held", torch.zeros(1, count))
        self.register_buffer("between", torch.tensor(0.0))

    def learn(self, pictures: Tensor) -> None:
        parts = torch.split(pictures, _BATCH)
        found = torch.cat([self._values(part.to(self.means.device).float() / 255) for part in parts])
        self.means.copy_(found.mean(dim=0))
        sizes = found.std(dim=0)
        # A map that hardly ever answers would count for more than all others where it does.
        self.sizes.copy_(sizes.clamp_min(_LEAST_SIZE * float(sizes.median()) + 1e-12))
        self.held = (found - self.means) / self.sizes
        self.between.copy_(_between_different(self.held))

    def forward(self, pictures: Tensor) -> Tensor:
        made = (self._values(pictures) - self.means) / self.sizes
        # The difference of two distances is too small for bfloat16.
        with torch.autocast(made.device.type, enabled=False):
            return _between_different(made) - 2 * _kernel(made, self.held).mean() + self.between

    def _values(self, pictures: Tensor) -> Tensor:
        """(B, 2 x maps of all layers), float32."""
        if pictures.shape[-1] < LEAST_PX:
            pictures = F.interpolate(pictures, size=(LEAST_PX, LEAST_PX), mode="bilinear", align_corners=False)
        found = self.extractor(normalise(pictures))
        maps = [found[layer].float().flatten(2) for layer in self.extractor.layers_by_depth]
        return torch.cat([part for each in maps for part in (each.mean(dim=2), each.std(dim=2))], dim=1)


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    """Mean of rational quadratic kernels of all pairs of rows, (A, D) and (B, D) to (A, B), in (0, 1]."""
    squares = first.square().sum(dim=1)[:, None] + second.square().sum(dim=1) - 2 * first @ second.T
    apart = squares.clamp_min(0) / first.shape[1]
    return torch.stack([(1 + apart / (2 * width)).pow(-width) for width in _WIDTHS]).mean(dim=0)


def _between_different(rows: Tensor) -> Tensor:
    """Mean kernel of two different rows, without bias, (B, D) to ()."""
    found, count = _kernel(rows, rows), len(rows)
    return (found.sum() - found.diagonal().sum()) / max(1, count * (count - 1))
