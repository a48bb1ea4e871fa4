"""The conditional PatchGAN discriminator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dreamgan.networks.modulation import Modulation


class PatchDiscriminator(nn.Module):
    """Says of every patch whether the dream belongs to the photo, the style and the strength: higher is more real.

    Source: Isola et al. 2017 (pix2pix), the 34-pixel PatchGAN.
    Differs: spectral norm (Miyato et al. 2018) instead of batch norm, reflect padding; it is modulated by style and
    strength as the generator is.

    Args:
        width: Channels of the first layer.
        styles: How many kinds of dream there are.
    """

    def __init__(self, width: int = 48, styles: int = 1) -> None:
        super().__init__()
        channels, strides = (6, width, 2 * width, 4 * width), (2, 2, 1)

        def conv(inputs: int, outputs: int, stride: int) -> nn.Module:
            return spectral_norm(nn.Conv2d(inputs, outputs, 4, stride, padding=1, padding_mode="reflect"))

        self.convs = nn.ModuleList(conv(channels[i], channels[i + 1], strides[i]) for i in range(3))
        self.modulations = nn.ModuleList(Modulation(styles, channels[i + 1]) for i in range(3))
        self.head = conv(4 * width, 1, 1)

    def forward(self, photos: Tensor, dreams: Tensor, styles: Tensor, strength: Tensor) -> Tensor:
        """Judge dreams.

        Args:
            photos: (B, 3, H, W) in [0, 1].
            dreams: (B, 3, H, W) in [0, 1], real or generated.
            styles: Weights of the styles, (B, S).
            strength: (B,).

        Returns:
            One logit per patch, (B, 1, H/4 - 2, W/4 - 2).
        """
        x = torch.cat([photos, dreams], dim=1) * 2 - 1
        for conv, modulation in zip(self.convs, self.modulations, strict=True):
            x = F.leaky_relu(modulation(conv(x), styles, strength), 0.2)  # H/2, H/4, H/4 - 1
        logits: Tensor = self.head(x)
        return logits
