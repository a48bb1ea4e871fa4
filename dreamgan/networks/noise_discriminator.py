"""What judges the pictures of a ``NoiseGenerator``: the plain discriminator of the DCGAN, a residual one of ours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dreamgan.networks.noise import (
    FIRST_PX,
    LEAK,
    NoiseConfig,
    conditions_of,
    plain_channels,
    residual_channels,
    start_as_radford,
)


class NoiseDiscriminator(nn.Module):
    """Says of every picture whether it is a real dream: higher is more real.

    Source: "dcgan" is the discriminator of Radford et al. 2016: convolutions 4x4/2, batch norm, leaky ReLU. "residual"
    is after Miyato et al. 2018 (spectral norm) and Miyato and Koyama 2018 (projection of the condition).
    Differs: "dcgan" sees its conditions as further maps of the picture.

    Args:
        config: Shape of the network, as the generator's.
    """

    def __init__(self, config: NoiseConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NoiseConfig()
        plain = config.kind == "dcgan"
        self.layers: nn.Module = _PlainDiscriminator(config) if plain else _ResidualDiscriminator(config)

    def forward(self, pictures: Tensor, styles: Tensor | None = None, classes: Tensor | None = None) -> Tensor:
        """Judge pictures.

        Args:
            pictures: (B, 3, size_px, size_px) in [0, 1].
            styles: As in ``NoiseGenerator.forward``.
            classes: Likewise.

        Returns:
            Logits, (B,).
        """
        logits: Tensor = self.layers(pictures * 2 - 1, conditions_of(self.config, pictures, styles, classes))
        return logits


class _PlainDiscriminator(nn.Module):
    """Pictures in [-1, 1] and conditions to (B,)."""

    def __init__(self, config: NoiseConfig) -> None:
        super().__init__()
        channels = plain_channels(config)[::-1]
        layers: list[nn.Module] = [nn.Conv2d(3 + config.conditions, channels[0], 4, 2, 1), nn.LeakyReLU(LEAK)]
        for inputs, outputs in zip(channels[:-1], channels[1:], strict=True):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(LEAK)]
        self.body = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, FIRST_PX), nn.Flatten(0))
        self.apply(start_as_radford)

    def forward(self, pictures: Tensor, conditions: Tensor) -> Tensor:
        maps = conditions[:, :, None, None].expand(-1, -1, *pictures.shape[-2:])
        logits: Tensor = self.body(torch.cat([pictures, maps], dim=1))
        return logits


class _ResidualDiscriminator(nn.Module):
    """Pictures in [-1, 1] and conditions to (B,)."""

    def __init__(self, config: NoiseConfig) -> None:
        super().__init__()
        sizes = [(outputs, inputs) for inputs, outputs in reversed(residual_channels(config))]
        self.first = spectral_norm(nn.Conv2d(3, sizes[0][0], 3, padding=1))
        self.downs = nn.ModuleList(_Down(inputs, outputs) for inputs, outputs in sizes)
        self.last = spectral_norm(nn.Conv2d(sizes[-1][1], sizes[-1][1], 3, padding=1))
        self.head = spectral_norm(nn.Linear(sizes[-1][1], 1))
        self.wanted = spectral_norm(nn.Linear(config.conditions, sizes[-1][1])) if config.conditions else None

    def forward(self, pictures: Tensor, conditions: Tensor) -> Tensor:
        x = self.first(pictures)
        for down in self.downs:
            x = down(x)
        features = F.leaky_relu(self.last(F.leaky_relu(x, LEAK)), LEAK).sum(dim=(2, 3))
        logits: Tensor = self.head(features)[:, 0]
        return logits if self.wanted is None else logits + (features * self.wanted(conditions)).sum(dim=1)


class _Down(nn.Module):
    """Halves the side: means of 2 x 2 places, plus two convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.skip = nn.Identity() if inputs == outputs else spectral_norm(nn.Conv2d(inputs, outputs, 1, bias=False))
        self.first = spectral_norm(nn.Conv2d(inputs, inputs, 3, padding=1))
        self.last = spectral_norm(nn.Conv2d(inputs, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(F.leaky_relu(x, LEAK))
        # The last convolution goes after the halving, where it costs a quarter.
        out: Tensor = self.skip(F.avg_pool2d(x, 2)) + self.last(F.avg_pool2d(F.leaky_relu(h, LEAK), 2))
        return out
