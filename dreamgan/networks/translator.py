"""The image-to-image generator: a photo goes in, its dream comes out, in one pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamgan.backbones.features import load_extractor, normalise
from dreamgan.errors import UserError
from dreamgan.networks.modulation import Modulation

EncoderName = Literal["mobilenet_v2", "squeezenet1_1"]

# Where each encoder is tapped: the last layers at strides 2, 4, 8 and 16, and their channels.
_TAPS: dict[str, tuple[tuple[str, int], ...]] = {
    "mobilenet_v2": (("features.1", 16), ("features.3", 24), ("features.6", 32), ("features.13", 96)),
    "squeezenet1_1": (("features.1", 64), ("features.4", 128), ("features.7", 256), ("features.12", 512)),
}
# What each tap is divided by, so that the decoder gets values of about 1: SqueezeNet, having no batch norm, answers
# with values in the tens, which would drive the tanh into saturation from the first step on.
_SCALES: dict[str, tuple[float, ...]] = {
    "mobilenet_v2": (1.0, 1.0, 1.0, 1.0),
    "squeezenet1_1": (22.0, 42.0, 40.0, 15.0),
}
STRIDE_PX = 16
LEAK = 0.2
# Far beyond any use; a number that somebody mistyped is refused before it asks for all memory.
MOST_CHANNELS = MOST_STYLES = 1024


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig:
    """Everything that decides the shape of a ``Translator``.

    Attributes:
        encoder: Backbone that reads the photo, pretrained at the start of training and trained along.
        widths: Channels of the decoder at strides 1, 2, 4, 8 and 16.
        residual_range: The network adds at most this much to a pixel in [0, 1].
        styles: How many kinds of dream it knows.

    Raises:
        UserError: If a value is none of those.
    """

    encoder: EncoderName = "squeezenet1_1"
    widths: tuple[int, int, int, int, int] = (16, 24, 40, 80, 160)
    residual_range: float = 0.8
    styles: int = 1

    def __post_init__(self) -> None:
        """Check what a file or a flag may hold."""
        if self.encoder not in _TAPS:
            raise UserError(f"encoder {self.encoder!r} is not known; use {' or '.join(_TAPS)}")
        if len(self.widths) != 5 or not all(_is_count(width, MOST_CHANNELS) for width in self.widths):
            raise UserError(f"widths are {self.widths}; they must be five whole numbers from 1 to {MOST_CHANNELS}")
        if not _is_count(self.styles, MOST_STYLES):
            raise UserError(f"styles is {self.styles!r}; it must be a whole number from 1 to {MOST_STYLES}")
        if not (math.isfinite(self.residual_range) and self.residual_range > 0):
            raise UserError(f"residual_range is {self.residual_range}; it must be a number above 0")


class _Conv(nn.Module):
    """3 x 3 convolution, modulation, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, styles: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")
        nn.init.kaiming_normal_(self.conv.weight, a=LEAK)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self.modulation = Modulation(styles, outputs)

    def forward(self, x: Tensor, styles: Tensor, strength: Tensor) -> Tensor:
        return F.leaky_relu(self.modulation(self.conv(x), styles, strength), LEAK)


class _Residual(nn.Module):
    """x + two convolutions, the second starting small so that the block starts near identity."""

    def __init__(self, width: int, styles: int) -> None:
        super().__init__()
        self.first = _Conv(width, width, styles)
        self.last = nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect")
        _start_small(self.last, 0.01)

    def forward(self, x: Tensor, styles: Tensor, strength: Tensor) -> Tensor:
        out: Tensor = x + self.last(self.first(x, styles, strength))
        return out


class Translator(nn.Module):
    """U-Net over a classifier's encoder: photo + bounded residual, modulated by style and strength.

    Reflect padding everywhere, bilinear up-sampling by exactly 2, no transposed convolution, no batch norm (the
    encoder's is folded into its convolutions), so that neither place nor neighbours in the batch leak into the dream.

    Source: the shape follows Ronneberger et al. 2015 (U-Net) with a classifier as encoder.
    Differs: predicts a residual x + range * tanh(strength * r), as style-transfer networks after Johnson et al. 2016
    do; at strength 0 the photo comes back as it is. The encoder is the same for all styles.

    Args:
        config: Shape of the network.
        encoder_weights: Where the encoder's pretrained weights come from, as in ``load_extractor``; ``random`` when
            a trained generator is about to be loaded anyway.
    """

    def __init__(self, config: TranslatorConfig | None = None, *, encoder_weights: str | None = "random") -> None:
        super().__init__()
        self.config = config = config or TranslatorConfig()
        taps = _TAPS[config.encoder]
        self.encoder = load_extractor(config.encoder, [layer for layer, _ in taps], weights=encoder_weights)
        self.encoder.requires_grad_(True)
        for module in self.encoder.modules():
            if isinstance(module, nn.Conv2d):
                _keep_places(module)
        widths, styles = config.widths, config.styles
        self.skips = nn.ModuleList(
            nn.Conv2d(channels, width, 1) for (_, channels), width in zip(taps, widths[1:], strict=True)
        )  # strides 2, 4, 8, 16
        self.bottom = nn.ModuleList(_Residual(widths[4], styles) for _ in range(2))
        own = (3, *widths[1:4])
        self.ups = nn.ModuleList(_Conv(widths[i + 1] + own[i], widths[i], styles) for i in reversed(range(4)))
        self.head = nn.Conv2d(widths[0], 3, 3, padding=1, padding_mode="reflect")
        _start_small(self.head, 0.001)

    def forward(self, photos: Tensor, styles: Tensor | None = None, strength: Tensor | None = None) -> Tensor:
        """Dream photos of any size from 32 px.

        Args:
            photos: (B, 3, H, W), floating, in [0, 1].
            styles: Weights of the styles, (B, S), usually with the sum 1; None: the first style alone.
            strength: (B,): 0 gives the photo, 1 the whole dream, more a bolder one; None: 1.

        Returns:
            Dreams, (B, 3, H, W) in [0, 1].
        """
        # Not len(photos), which would fix the batch of an exported graph.
        if styles is None:
            styles = F.one_hot(photos.new_zeros(photos.shape[0], dtype=torch.long), self.config.styles).to(photos)
        if strength is None:
            strength = photos.new_ones(photos.shape[0])
        height, width = photos.shape[-2:]
        residual = self.residual(padded(photos), styles, strength)[..., :height, :width]
        return (photos + residual).clamp(0, 1)

    def residual(self, photos: Tensor, styles: Tensor, strength: Tensor) -> Tensor:
        """What is added to photos whose sides are multiples of 16 px, (B, 3, H, W) to the same."""
        normalised = normalise(photos).contiguous(memory_format=torch.channels_last)
        taps = zip(self.encoder(normalised).values(), _SCALES[self.config.encoder], self.skips, strict=True)
        skips = [normalised, *(skip(activation / scale) for activation, scale, skip in taps)]
        x = skips.pop()
        for block in self.bottom:
            x = block(x, styles, strength)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = up(torch.cat([x, skip], dim=1), styles, strength)
        return self.config.residual_range * torch.tanh(strength[:, None, None, None] * self.head(x))


def padded(photos: Tensor) -> Tensor:
    """Reflect at the right and lower border, up to whole strides: (B, 3, H, W) to sides that are multiples of 16 px."""
    # Not the shorter -(-side // STRIDE_PX): in an exported graph the quotient of a negative number is rounded to zero.
    below, right = ((side + STRIDE_PX - 1) // STRIDE_PX * STRIDE_PX - side for side in photos.shape[-2:])
    return F.pad(photos, (0, right, 0, below), mode="reflect")


def _is_count(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _start_small(conv: nn.Conv2d, std: float) -> None:
    nn.init.normal_(conv.weight, std=std)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def _keep_places(conv: nn.Conv2d) -> None:
    """Turn a pretrained convolution's zero padding into reflection, and pad where it did not.

    SqueezeNet's first convolution has no padding: its maps would be a little smaller than half of the photo, and what
    the decoder enlarges would drift against the photo from left to right.
    """
    conv.padding = tuple(side // 2 for side in conv.kernel_size)
    conv.padding_mode = "reflect"
    # Conv2d works this out in its constructor only, and only for other paddings than zeros.
    vertical, horizontal = conv.padding
    conv._reversed_padding_repeated_twice = [horizontal, horizontal, vertical, vertical]
