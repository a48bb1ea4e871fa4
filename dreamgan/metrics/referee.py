"""The referee: a backbone that was used neither for dreaming nor for training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dreamgan.backbones.features import Extractor, load_extractor
from dreamgan.backbones.registry import get_spec
from dreamgan.errors import UserError
from dreamgan.metrics.features import feature_map

DOWNLOAD = "download"


@dataclass(frozen=True)
class Referee:
    """A network and the layer in which it compares pictures."""

    extractor: Extractor
    layer: str

    @property
    def label(self) -> str:
        """Network, layer and weights, for people."""
        return f"{self.extractor.backbone} {self.layer}, {self.extractor.weights_name}"

    def vectors(self, images: Tensor) -> Tensor:
        """Features after a ReLU, flattened: (B, 3, H, W) in [0, 1] to (B, D), float32."""
        return feature_map(images, self.extractor, self.layer).flatten(1)


def referee_for(backbone: str) -> tuple[str, str]:
    """Backbone and layer of the referee for dreams of a backbone."""
    return ("inception_v3", "mixed5") if backbone.startswith("vgg") else ("vgg16", "relu4_3")


def load_referee(
    backbone: str, weights: str | Path | None = None, device: str | torch.device = "cpu"
) -> tuple[Referee | None, str]:
    """Load the referee for dreams of a backbone.

    Args:
        backbone: That dreamed.
        weights: A file of the referee's; None: torchvision's own if it is in the hub cache; ``download``: fetch that.
        device: Where it shall live.

    Returns:
        The referee, or None with the reason and the way out, as the end of a sentence.

    Raises:
        UserError: If a file is given that is none of that network.
    """
    name, layer = referee_for(backbone)
    if weights in (None, DOWNLOAD):
        published = get_spec(name).published
        file = Path(torch.hub.get_dir()) / "checkpoints" / Path(published.url).name
        if weights is None and not file.is_file():
            size = f"{published.meta['_file_size']:.0f} MB"
            return None, (
                f"the weights of {name} are not at hand; give --referee_weights {name}=FILE, or put {file.name} "
                f"({size}) into {file.parent}, or give --referee_weights {name}={DOWNLOAD}"
            )
        try:
            return Referee(load_extractor(name, [layer], device=device), layer), ""
        except UserError as error:
            return None, str(error)
    return Referee(load_extractor(name, [layer], weights=weights, device=device), layer), ""
