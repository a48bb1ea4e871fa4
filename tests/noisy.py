"""A generator that dreams from noise, of random weights that let noise, style and category be seen."""

from typing import Any

import torch
from torch import nn

from dreamgan.networks.noise import NoiseConfig, NoiseGenerator, NoiseKind

EYES = {"recipe": "eyes", "backbone": "vgg16", "layers": ["relu4_3", "relu5_1"], "seed": 3, "strengths": [1.0]}
STYLES: dict[str, dict[str, Any]] = {"eyes": EYES, "fur": {"recipe": "fur", "seed": 0}}
CLASSES = ["cat", "dog", "fruit"]


def noise_generator(kind: NoiseKind = "residual", *, styles: int = 2, classes: int = 3) -> NoiseGenerator:
    """Of 64 px and 16 numbers of noise, in eval mode; a new one each time, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = NoiseConfig(kind=kind, size_px=64, latent=16, width=4, styles=styles, classes=classes)
        network = NoiseGenerator(config)
        for module in network.modules():
            # Fresh weights are so small that all pictures would be grey.
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
    network.eval().requires_grad_(False)
    # The last convolution decides the contrast; without this everything would be black or white.
    last = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)][-1]
    given = torch.randn(8, config.latent + config.conditions, generator=torch.Generator().manual_seed(0))
    last.weight.mul_(0.5 / network.layers(given).std())
    return network
