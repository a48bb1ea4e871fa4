"""A generator with its style, or style and strength, worked into it: fewer inputs, and fewer operations."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from dreamgan.networks.modulation import Modulation
from dreamgan.networks.translator import Translator

# ONNX Runtime's fast convolutions want so many maps, or a multiple of it.
_MAPS = 4


class OneStyle(nn.Module):
    """A generator that knows one style, or one blend, and takes photos and strengths."""

    def __init__(self, network: Translator, styles: Tensor) -> None:
        """Keep the network as it is.

        Args:
            network: Is not copied.
            styles: Weights of the styles, (1, S), floating.
        """
        super().__init__()
        self.network = network
        self.register_buffer("styles", styles)

    def forward(self, photos: Tensor, strength: Tensor) -> Tensor:
        """Dream photos, (B, 3, H, W) in [0, 1], each at its strength, (B,); the same as ``Translator``."""
        # Not len(photos), which would fix the batch of the exported graph.
        styles = cast(Tensor, self.styles).expand(photos.shape[0], -1)
        return cast(Tensor, self.network(photos, styles, strength))


class _Unmodulated(nn.Module):
    """In the place of a ``Modulation`` that has moved into the convolution before it."""

    def forward(self, x: Tensor, styles: Tensor, strength: Tensor) -> Tensor:
        return x


def baked(network: Translator, styles: Tensor, strength: float) -> Translator:
    """Work one style and one strength into the convolutions.

    A scale and a shift per map after a convolution are other weights and another bias of it; the strength inside the
    last tanh is a factor of the last convolution. ONNX Runtime then keeps the maps in its own layout from one
    convolution to the next, which modulations interrupt. The last but one, at full size, gets inputs that are always 0
    where ONNX Runtime would take it for an odd one. Together this saves it about a seventh of the time.

    Args:
        network: Is left as it is.
        styles: Weights of the styles, (1, S), floating, on the network's device.
        strength: 0 gives the photo, 1 the whole dream.

    Returns:
        A network that makes of photos alone, but for the rounding, what ``network`` makes of them with these styles
        and this strength.
    """
    network = copy.deepcopy(network)
    strengths = styles.new_full((1,), strength)
    with torch.no_grad():
        for module in list(network.modules()):
            modulation = getattr(module, "modulation", None)
            if isinstance(modulation, Modulation):
                _fold(cast(nn.Conv2d, module.conv), modulation, styles, strengths)
                module.modulation = _Unmodulated()
        _scale(network.head, strengths)
        *_, before, last = (cast(nn.Conv2d, up.conv) for up in network.ups)
        _add_idle_maps(before, last, -last.in_channels % _MAPS)
    return network


def _add_idle_maps(conv: nn.Conv2d, following: nn.Conv2d, count: int) -> None:
    """Let a convolution give more maps, all 0, which the following one, whose first inputs are its maps, ignores."""
    maps = conv.out_channels
    weight, bias, after = conv.weight, cast(Tensor, conv.bias), following.weight
    conv.weight = nn.Parameter(torch.cat([weight, weight.new_zeros(count, *weight.shape[1:])]), requires_grad=False)
    conv.bias = nn.Parameter(torch.cat([bias, bias.new_zeros(count)]), requires_grad=False)
    idle = after.new_zeros(len(after), count, *after.shape[2:])
    following.weight = nn.Parameter(torch.cat([after[:, :maps], idle, after[:, maps:]], dim=1), requires_grad=False)
    conv.out_channels += count
    following.in_channels += count


def _fold(conv: nn.Conv2d, modulation: Modulation, styles: Tensor, strengths: Tensor) -> None:
    one = styles.new_ones(1, conv.out_channels, 1, 1)
    shift = modulation(torch.zeros_like(one), styles, strengths).flatten()
    scale = modulation(one, styles, strengths).flatten() - shift
    _scale(conv, scale)
    cast(Tensor, conv.bias).add_(shift)


def _scale(conv: nn.Conv2d, factors: Tensor) -> None:
    conv.weight.mul_(factors[:, None, None, None])
    cast(Tensor, conv.bias).mul_(factors)
