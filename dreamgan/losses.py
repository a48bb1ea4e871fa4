"""Losses of the image-to-image GAN, one function per term; every one is a mean over the batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def l1(generated: Tensor, dreams: Tensor) -> Tensor:
    """Mean absolute error of the pixels; (B, 3, H, W) in [0, 1] both."""
    return F.l1_loss(generated, dreams)


def low_pass_l1(generated: Tensor, dreams: Tensor, cell_px: int = 4) -> Tensor:
    """L1 between the means of cells of ``cell_px`` pixels: colour and large shapes, whatever the fine phase."""
    return F.l1_loss(F.avg_pool2d(generated, cell_px), F.avg_pool2d(dreams, cell_px))


def relative_feature_l1(generated: Mapping[str, Tensor], dreams: Mapping[str, Tensor], layer: str) -> Tensor:
    """Feature matching: mean |f(generated) - f(dream)| over mean |f(dream)|, per picture.

    Relative, so that layers of any width and scale can be added up.
    """
    target = dreams[layer].detach()
    difference = (generated[layer] - target).abs().mean(dim=(1, 2, 3))
    return (difference / target.abs().mean(dim=(1, 2, 3)).clamp_min(1e-8)).mean()


def log_objective_gap(generated: Tensor, dreams: Tensor, cap: float = 2.0) -> Tensor:
    """|log objective(generated) - log objective(dream)|, two-sided and capped.

    Two-sided, since a generator that overshoots the objective paints a dot screen; capped, so that a picture far
    off does not drown the others.

    Args:
        generated: Objective of each generated picture, (B,), or of each location, (B, h, w); not negative.
        dreams: The same of the direct dreams.
        cap: Largest gap that counts.
    """
    floor = 1e-3 * dreams.detach().mean().clamp_min(1e-12)
    gap = (generated.clamp_min(0) + floor).log() - (dreams.detach().clamp_min(0) + floor).log()
    return gap.abs().clamp_max(cap).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator (Lim and Ye 2017); logits of any shape."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def hinge_generator(fake: Tensor) -> Tensor:
    """Hinge loss of the generator: raise the logits of what it makes."""
    return -fake.mean()


def local_objective(activation: Tensor, objective: str) -> Tensor:
    """The objective at every location, (B, C, h, w) to (B, h, w): mean over the maps of a² (``l2``) or a."""
    values = activation.square() if objective == "l2" else activation
    out: Tensor = torch.mean(values, dim=1)
    return out
