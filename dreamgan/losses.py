"""Losses of the image-to-image GAN, one function per term; every one is a mean over the batch.

All are computed in float32, whatever precision the networks ran in.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor


def l1(generated: Tensor, dreams: Tensor) -> Tensor:
    """Mean absolute error of the pixels.

    Source: Isola et al. 2017 (pix2pix).

    Args:
        generated: (B, 3, H, W) in [0, 1].
        dreams: The same.

    Returns:
        (), float32, in [0, 1].
    """
    return F.l1_loss(generated.float(), dreams.float())


def low_pass_l1(generated: Tensor, dreams: Tensor, cell_px: int = 4) -> Tensor:
    """L1 between the means of cells of ``cell_px`` pixels: colour and large shapes, whatever the fine phase.

    Source: ours.

    Args:
        generated: (B, 3, H, W) in [0, 1].
        dreams: The same.
        cell_px: Side of a cell, in pixels; a rest at the right and lower border is left out.

    Returns:
        (), float32, in [0, 1].
    """
    return F.l1_loss(F.avg_pool2d(generated.float(), cell_px), F.avg_pool2d(dreams.float(), cell_px))


def relative_feature_l1(generated: Mapping[str, Tensor], dreams: Mapping[str, Tensor], layer: str) -> Tensor:
    """Feature matching: mean |f(generated) - f(dream)| over mean |f(dream)|, per picture.

    Relative, so that layers of any width and scale can be added up.

    Source: Wang et al. 2018 (pix2pixHD, feature matching) and Johnson et al. 2016 (perceptual losses).
    Differs: relative to the dream's own features; in the backbone that dreamed.

    Args:
        generated: Layer to feature maps of the generated pictures, (B, C, h, w), floating.
        dreams: The same of the direct dreams; no gradient goes there.
        layer: Which of the layers.

    Returns:
        (), float32, at least 0; 1 where all features are missing.
    """
    target = dreams[layer].detach().float()
    difference = (generated[layer].float() - target).abs().mean(dim=(1, 2, 3))
    return (difference / target.abs().mean(dim=(1, 2, 3)).clamp_min(1e-8)).mean()


def log_objective_gap(generated: Tensor, dreams: Tensor, cap: float = 2.0) -> Tensor:
    """|log objective(generated) - log objective(dream)|, two-sided and capped.

    Two-sided, since a generator that overshoots the objective paints a dot screen; capped, so that a picture far
    off does not drown the others.

    Source: ours.

    Args:
        generated: Objective of each generated picture, (B,), or of each location, (B, h, w); what is below 0 counts
            as 0.
        dreams: The same of the direct dreams; no gradient goes there.
        cap: Largest gap that counts.

    Returns:
        (), float32, in [0, cap].
    """
    generated, dreams = generated.float(), dreams.detach().float()
    floor = 1e-3 * dreams.mean().clamp_min(1e-12)
    gap = (generated.clamp_min(0) + floor).log() - (dreams.clamp_min(0) + floor).log()
    return gap.abs().clamp_max(cap).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator: real logits above 1, fake ones below -1.

    Source: Lim and Ye 2017 (geometric GAN).

    Args:
        real: Logits of the direct dreams, any shape.
        fake: Logits of the generated pictures, any shape.

    Returns:
        (), float32, at least 0.
    """
    return 0.5 * (F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean())


def hinge_generator(fake: Tensor) -> Tensor:
    """Hinge loss of the generator: raise the logits of what it makes.

    Source: Lim and Ye 2017 (geometric GAN).

    Args:
        fake: Logits of the generated pictures, any shape.

    Returns:
        (), float32.
    """
    return -fake.float().mean()


def local_objective(activation: Tensor, objective: str) -> Tensor:
    """The recipe's objective at every location: its mean over the feature maps alone.

    Args:
        activation: Feature maps, (B, C, h, w), floating.
        objective: ``mean`` of a, or ``l2``, the mean of a².

    Returns:
        (B, h, w), float32.

    Raises:
        ValueError: If there is no such objective.
    """
    activation = activation.float()
    if objective == "l2":
        activation = activation.square()
    elif objective != "mean":
        raise ValueError(f"objective {objective!r} is not known at every location; use 'mean' or 'l2'")
    return activation.mean(dim=1)
