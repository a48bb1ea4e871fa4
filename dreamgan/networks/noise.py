"""What dreams from noise: the plain generator of the DCGAN, and a residual one of ours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamgan.errors import UserError

NoiseKind = Literal["dcgan", "residual"]

# Far beyond any use; a number that somebody mistyped is refused before it asks for all memory.
MOST_LATENT = MOST_STYLES = MOST_CLASSES = 1024
MOST_WIDTH = 256
LEAK = 0.2
FIRST_PX = 4
# Channels of the residual networks, in widths: little is spent where there are many places.
_WIDTHS = {4: 4.0, 8: 4.0, 16: 4.0, 32: 2.0, 64: 1.0, 128: 0.5}


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """Everything that decides the shape of a ``NoiseGenerator`` and of its discriminator.

    Attributes:
        kind: "dcgan", the plain network of Radford et al., or "residual".
        size_px: Side of the pictures.
        latent: Numbers of noise that a picture is made of.
        width: Channels at the last stride of "dcgan", at 64 px of "residual"; the others follow.
        styles: How many kinds of dream it can tell apart.
        classes: How many classes of pictures it can tell apart; 0: it knows nothing of classes.

    Raises:
        UserError: If a value is none of those.
    """

    kind: NoiseKind = "residual"
    size_px: Literal[64, 128] = 64
    latent: int = 128
    width: int = 64
    styles: int = 1
    classes: int = 0

    def __post_init__(self) -> None:
        """Check what a file or a flag may hold."""
        if self.kind not in ("dcgan", "residual"):
            raise UserError(f"kind is {self.kind!r}; use dcgan or residual")
        if isinstance(self.size_px, bool) or self.size_px not in (64, 128):
            raise UserError(f"size_px is {self.size_px!r}; use 64 or 128")
        for name, least, most in (
            ("latent", 1, MOST_LATENT),
            ("width", 1, MOST_WIDTH),
            ("styles", 1, MOST_STYLES),
            ("classes", 0, MOST_CLASSES),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise UserError(f"{name} is {value!r}; it must be a whole number from {least} to {most}")

    @property
    def conditions(self) -> int:
        """Numbers that say what is wanted besides the noise; a single style goes without saying."""
        return (self.styles if self.styles > 1 else 0) + self.classes


class NoiseGenerator(nn.Module):
    """Turns noise into pictures.

    Source: "dcgan" is the generator of Radford et al. 2016: transposed convolutions 4x4/2, batch norm, ReLU, tanh,
    weights from N(0, 0.02). "residual" is after Miyato et al. 2018 (SNGAN), modulated by a mapped latent as in Karras
    et al. 2019.
    Differs: "dcgan" takes conditions beside its latent (Mirza and Osindero 2014), and pictures are in [0, 1].
    "residual" has no normalisation, so that a picture depends on no other one, and blocks that start near identity.

    Args:
        config: Shape of the network.
    """

    def __init__(self, config: NoiseConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NoiseConfig()
        self.layers: nn.Module = _PlainGenerator(config) if config.kind == "dcgan" else _ResidualGenerator(config)

    def forward(self, latents: Tensor, styles: Tensor | None = None, classes: Tensor | None = None) -> Tensor:
        """Make pictures.

        Args:
            latents: (B, latent), from N(0, 1); shortened ones give more usual pictures.
            styles: Weights of the styles, (B, S), usually with the sum 1; None: the first style alone.
            classes: Weights of the classes, (B, C), likewise; None: the first class alone, where there are any.

        Returns:
            (B, 3, size_px, size_px) in [0, 1].
        """
        given = conditions_of(self.config, latents, styles, classes)
        pictures: Tensor = self.layers(torch.cat([latents, given], dim=1))
        return 0.5 + 0.5 * torch.tanh(pictures)


def conditions_of(config: NoiseConfig, like: Tensor, styles: Tensor | None, classes: Tensor | None) -> Tensor:
    """What is wanted besides the noise, in one row per picture.

    Args:
        config: Says what can be told apart.
        like: (B, ...), whose batch, type and place are taken.
        styles: Weights, (B, S); None: the first alone.
        classes: Weights, (B, C); None: the first alone.

    Returns:
        (B, config.conditions); (B, 0) where nothing can be told apart.
    """
    parts = [like.new_zeros(len(like), 0)]
    for given, count in ((styles, config.styles if config.styles > 1 else 0), (classes, config.classes)):
        if count:
            first = like.new_zeros(len(like), dtype=torch.long)
            parts.append((F.one_hot(first, count) if given is None else given).to(like))
    return torch.cat(parts, dim=1)


def plain_channels(config: NoiseConfig) -> list[int]:
    """Channels of the plain networks at 4 px, 8 px, ..., half the size."""
    doublings = int(math.log2(config.size_px // FIRST_PX)) - 1
    return [config.width * 2**power for power in reversed(range(doublings + 1))]


class _PlainGenerator(nn.Sequential):
    """(B, latent + conditions) to (B, 3, size_px, size_px), before the tanh."""

    def __init__(self, config: NoiseConfig) -> None:
        channels = plain_channels(config)
        # A bias before a batch norm would be subtracted again.
        first = nn.ConvTranspose2d(config.latent + config.conditions, channels[0], FIRST_PX, bias=False)
        layers: list[nn.Module] = [nn.Unflatten(1, (-1, 1, 1)), first]
        for inputs, outputs in zip(channels, [*channels[1:], 3], strict=True):
            layers += [nn.BatchNorm2d(inputs), nn.ReLU()]
            layers.append(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=outputs == 3))
        super().__init__(*layers)
        self.apply(start_as_radford)


def start_as_radford(module: nn.Module) -> None:
    """Give a layer the weights that Radford et al. begin with; for ``nn.Module.apply``."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def residual_channels(config: NoiseConfig) -> list[tuple[int, int]]:
    """Channels before and after each doubling of the residual generator, from 4 px to the size of the pictures."""
    channels = [max(1, int(config.width * share)) for px, share in _WIDTHS.items() if px <= config.size_px]
    return list(zip(channels[:-1], channels[1:], strict=True))


class _ResidualGenerator(nn.Module):
    """(B, latent + conditions) to (B, 3, size_px, size_px), before the tanh."""

    def __init__(self, config: NoiseConfig) -> None:
        super().__init__()
        sizes = residual_channels(config)
        self.mapping = nn.Sequential(
            nn.Linear(config.latent + config.conditions, config.latent),
            nn.LeakyReLU(LEAK),
            nn.Linear(config.latent, config.latent),
            nn.LeakyReLU(LEAK),
        )
        self.first = nn.Linear(config.latent, sizes[0][0] * FIRST_PX**2)
        self.ups = nn.ModuleList(_Up(inputs, outputs, config.latent) for inputs, outputs in sizes)
        self.head = nn.Conv2d(sizes[-1][1], 3, 3, padding=1)
        for module in self.mapping:
            if isinstance(module, nn.Linear):
                _start_even(module)
        _start_even(self.first)

    def forward(self, given: Tensor) -> Tensor:
        mapped = self.mapping(given)
        x = self.first(mapped).unflatten(1, (-1, FIRST_PX, FIRST_PX))
        for up in self.ups:
            x = up(x, mapped)
        pictures: Tensor = self.head(F.leaky_relu(x, LEAK))
        return pictures


class _Up(nn.Module):
    """Doubles the side: a way that carries everything, plus two modulated convolutions.

    The first convolution goes before the enlargement, where it costs a quarter.
    """

    def __init__(self, inputs: int, outputs: int, latent: int) -> None:
        super().__init__()
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)
        self.first, self.last = (nn.Conv2d(channels, outputs, 3, padding=1) for channels in (inputs, outputs))
        self.modulations = nn.ModuleList(nn.Linear(latent, 2 * channels) for channels in (inputs, outputs))
        _start_even(self.first)
        _start_small(self.last)
        for modulation in self.modulations:
            _start_small(modulation)

    def forward(self, x: Tensor, mapped: Tensor) -> Tensor:
        before, after = (modulation(mapped)[:, :, None, None].chunk(2, dim=1) for modulation in self.modulations)
        h = self.first(F.leaky_relu(x * (1 + before[0]) + before[1], LEAK))
        both = torch.cat([self.skip(x), h], dim=1)
        carried, h = F.interpolate(both, scale_factor=2.0, mode="bilinear", align_corners=False).chunk(2, dim=1)
        out: Tensor = carried + self.last(F.leaky_relu(h * (1 + after[0]) + after[1], LEAK))
        return out


def _start_even(layer: nn.Conv2d | nn.Linear) -> None:
    """Let what goes through keep its size."""
    nn.init.kaiming_normal_(layer.weight, a=LEAK)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def _start_small(layer: nn.Module) -> None:
    """Let a branch add little at first."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
