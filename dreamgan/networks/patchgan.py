"""The conditional PatchGAN discriminator."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Says of every patch whether the dream belongs to the photo: higher is more real.

    Source: Isola et al. 2017 (pix2pix), the 34-pixel PatchGAN.
    Differs: spectral norm (Miyato et al. 2018) instead of batch norm, reflect padding.

    Args:
        width: Channels of the first layer.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()

        def conv(inputs: int, outputs: int, stride: int) -> nn.Module:
            return spectral_norm(nn.Conv2d(inputs, outputs, 4, stride, padding=1, padding_mode="reflect"))

        self.body = nn.Sequential(
            conv(6, width, 2),  # (B, 48, H/2, W/2)
            nn.LeakyReLU(0.2),
            conv(width, 2 * width, 2),  # (B, 96, H/4, W/4)
            nn.LeakyReLU(0.2),
            conv(2 * width, 4 * width, 1),  # (B, 192, H/4 - 1, W/4 - 1)
            nn.LeakyReLU(0.2),
            conv(4 * width, 1, 1),  # (B, 1, H/4 - 2, W/4 - 2)
        )

    def forward(self, photos: Tensor, dreams: Tensor) -> Tensor:
        """Judge dreams.

        Args:
            photos: (B, 3, H, W) in [0, 1].
            dreams: (B, 3, H, W) in [0, 1], real or generated.

        Returns:
            One logit per patch, (B, 1, H/4 - 2, W/4 - 2).
        """
        pair = torch.cat([photos, dreams], dim=1) * 2 - 1
        logits: Tensor = self.body(pair)
        return logits
