"""How far a picture is from a photo in content and from a style picture in style, in one network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dreamgan.backbones.features import Extractor, normalise
from dreamgan.style.losses import content_loss, gram, style_loss, total_variation
from dreamgan.style.recipe import StyleRecipe


class Comparison(nn.Module):
    """The three terms of the loss, as the recipe weighs them.

    Source: Gatys et al. 2016.
    Differs: a layer's features are divided by the mean of their sizes, in the content on the photo, in the style on the
    style picture, so that a ratio α / β means the same in every network and layer. Gatys rescaled the network's weights
    to that end (every map has the mean 1), and published them for VGG19 only. The content loss is divided by N M, the
    number of a layer's features, so that the ratio does not depend on the size of the picture either.

    Args:
        extractor: Must answer for the recipe's layers.
        recipe: What to compare, and by which weights.
        style: The style picture, (1, 3, h, w) in [0, 1]; None where the recipe's ``style_weight`` is 0.
    """

    def __init__(self, extractor: Extractor, recipe: StyleRecipe, style: Tensor | None) -> None:
        super().__init__()
        if style is None and recipe.style_weight > 0:
            raise ValueError("the recipe has a style_weight, and no style picture was given")
        self.extractor, self.recipe = extractor, recipe
        self._style_layers = [pair for pair in recipe.style_layers if pair[1] > 0 and recipe.style_weight > 0]
        self._content_layers = [pair for pair in recipe.content_layers if pair[1] > 0 and recipe.content_weight > 0]
        self.places: dict[str, int] = {}
        if self._style_layers and style is not None:
            with torch.no_grad():
                features = extractor(normalise(style))
                # As buffers they follow the network to its device.
                for number, (layer, _) in enumerate(self._style_layers):
                    size = _size(features[layer])
                    self.register_buffer(f"size{number}", size, persistent=False)
                    self.register_buffer(f"gram{number}", gram(features[layer] / size), persistent=False)
                    self.places[layer] = features[layer].shape[2] * features[layer].shape[3]

    def content_of(self, photos: Tensor) -> dict[str, Tensor]:
        """Features of the content layers of photos, (B, 3, H, W) in [0, 1], to be given to ``forward``."""
        with torch.no_grad():
            features = self.extractor(normalise(photos)) if self._content_layers else {}
        return {layer: features[layer] for layer, _ in self._content_layers}

    def forward(self, images: Tensor, content: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weigh pictures.

        Args:
            images: (B, 3, H, W), nominally in [0, 1].
            content: From ``content_of``, of photos of the same size.

        Returns:
            ``content``, ``style`` and ``tv``, each (B,) and with its weight; their sum is the loss.
        """
        recipe = self.recipe
        features = self.extractor(normalise(images))
        none = images.new_zeros(len(images))
        of_content, of_style = none, none
        for layer, weight in self._content_layers:
            size, found = _size(content[layer]), features[layer]
            count = found[0].numel()
            of_content = of_content + weight / count * content_loss(found / size, content[layer] / size)
        for number, (layer, weight) in enumerate(self._style_layers):
            found = features[layer] / getattr(self, f"size{number}")
            of_style = of_style + weight * style_loss(found, getattr(self, f"gram{number}"), self.places[layer])
        return {
            "content": recipe.content_weight * of_content,
            "style": recipe.style_weight * of_style,
            "tv": recipe.tv_weight * total_variation(images) if recipe.tv_weight else none,
        }


def _size(features: Tensor) -> Tensor:
    """Mean of |a| of each picture's features, (B, 1, 1, 1), never 0."""
    return features.abs().mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
