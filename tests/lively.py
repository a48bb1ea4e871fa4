"""A generator of random weights that changes pictures as much as a trained one does, each style in its own way."""

import functools

import torch
from torch import Tensor, nn

from dreamgan.networks.modulation import Modulation
from dreamgan.networks.translator import EncoderName, Translator, TranslatorConfig

ENCODERS: tuple[EncoderName, ...] = ("mobilenet_v2", "squeezenet1_1")


def pictures(*shape: int, seed: int = 0) -> Tensor:
    """Noise in [0, 1]."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@functools.cache
def lively_translator(encoder: EncoderName = "squeezenet1_1", styles: int = 2) -> Translator:
    """Treat as read-only; a deep copy may be changed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Translator(TranslatorConfig(encoder=encoder, widths=(4, 4, 8, 8, 8), styles=styles))
        for module in network.modules():
            if isinstance(module, Modulation):
                nn.init.normal_(module.table, std=0.3)
        for block in range(2):
            nn.init.kaiming_normal_(network.get_parameter(f"bottom.{block}.last.weight"))
    network.eval().requires_grad_(False)
    weights = torch.full((1, styles), 1 / styles)
    residual = network.residual(pictures(1, 3, 64, 64), weights, torch.ones(1))
    network.head.weight.mul_(0.2 / residual.std())  # as tanh is nearly straight here
    return network
