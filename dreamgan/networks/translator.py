"""The image-to-image generator: a photo goes in, its dream comes out, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamgan.backbones.features import load_extractor, normalise

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
SMALLEST_PX = 64


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig:
    """Everything that decides the shape of a ``Translator``.

    Attributes:
        encoder: Backbone that reads the photo, pretrained at the start of training and trained along.
        widths: Channels of the decoder at strides 1, 2, 4, 8 and 16.
        residual_range: The network adds at most this much to a pixel in [0, 1].
    """

    encoder: EncoderName = "mobilenet_v2"
    widths: tuple[int, int, int, int, int] = (16, 32, 64, 96, 128)
    residual_range: float = 0.8


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")
    nn.init.kaiming_normal_(conv.weight, a=0.2)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return nn.Sequential(conv, nn.LeakyReLU(0.2))


def _start_small(conv: nn.Conv2d, std: float) -> None:
    nn.init.normal_(conv.weight, std=std)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def _reflect(conv: nn.Conv2d) -> None:
    """Turn a pretrained convolution's zero padding into reflection."""
    conv.padding_mode = "reflect"
    # Conv2d works this out in its constructor only, and only for other paddings than zeros.
    vertical, horizontal = (int(pixels) for pixels in conv.padding)
    conv._reversed_padding_repeated_twice = [horizontal, horizontal, vertical, vertical]


class _Residual(nn.Module):
    """x + two convolutions, the second starting small so that the block starts near identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect")
        _start_small(last, 0.01)
        self.body = nn.Sequential(_conv(width, width), last)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class Translator(nn.Module):
    """U-Net over a classifier's encoder: photo + bounded residual.

    Reflect padding everywhere, bilinear up-sampling, no transposed convolution, no batch norm (the encoder's is
    folded into its convolutions), so that neither position nor neighbours in the batch leak into the dream.

    Source: the shape follows Ronneberger et al. 2015 (U-Net) with a classifier as encoder.
    Differs: predicts a residual x + range * tanh(r), as style-transfer networks after Johnson et al. 2016 do.

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
                _reflect(module)
        skips = [3, *(channels for _, channels in taps)]  # strides 1, 2, 4, 8, 16
        widths = config.widths
        self.bottom = nn.Sequential(_conv(skips[4], widths[4]), _Residual(widths[4]), _Residual(widths[4]))
        self.ups = nn.ModuleList(_conv(widths[i + 1] + skips[i], widths[i]) for i in reversed(range(4)))
        self.head = nn.Conv2d(widths[0], 3, 3, padding=1, padding_mode="reflect")
        _start_small(self.head, 0.001)

    def forward(self, photos: Tensor) -> Tensor:
        """Dream photos of any size from 32 px.

        Args:
            photos: (B, 3, H, W), floating, in [0, 1].

        Returns:
            Dreams, (B, 3, H, W) in [0, 1].
        """
        height, width = photos.shape[-2:]
        padding = _padding(height, width)
        padded = F.pad(photos, padding, mode="reflect").contiguous(memory_format=torch.channels_last)
        residual = self.config.residual_range * torch.tanh(self._residual(padded))
        left, _, top, _ = padding
        residual = residual[..., top : top + height, left : left + width]
        return (photos + residual).clamp(0, 1)

    def _residual(self, photos: Tensor) -> Tensor:
        normalised = normalise(photos)
        taps = zip(self.encoder(normalised).values(), _SCALES[self.config.encoder], strict=True)
        skips = [normalised, *(activation / scale for activation, scale in taps)]
        x: Tensor = self.bottom(skips[4])
        for up, skip in zip(self.ups, reversed(skips[:4]), strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = up(torch.cat([x, skip], dim=1))
        out: Tensor = self.head(x)
        return out


def _padding(height: int, width: int) -> tuple[int, int, int, int]:
    """Left, right, top, bottom: up to whole strides, and to a size at which every stage can reflect."""
    sides: list[int] = []
    for size in (width, height):
        missing = max(SMALLEST_PX, -(-size // STRIDE_PX) * STRIDE_PX) - size
        sides += [missing // 2, missing - missing // 2]
    return sides[0], sides[1], sides[2], sides[3]
