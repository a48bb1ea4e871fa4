"""Losses of the GANs, one function per term; every one is a mean over the batch.

All are computed in float32 at least, whatever precision the networks ran in, and picture by picture, so that a batch
that is shared out over processes gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

_Pair = Callable[[Tensor, Tensor], Tensor]


def l1(generated: Tensor, dreams: Tensor) -> Tensor:
    """Mean absolute error of the pixels.

    Source: Isola et al. 2017 (pix2pix).

    Args:
        generated: (B, 3, H, W) in [0, 1].
        dreams: The same.

    Returns:
        (), in [0, 1].
    """
    return F.l1_loss(_wide(generated), _wide(dreams))


def low_pass_l1(generated: Tensor, dreams: Tensor, cell_px: int = 4) -> Tensor:
    """L1 between the means of cells of ``cell_px`` pixels: colour and large shapes, whatever the fine phase.

    Source: ours.

    Args:
        generated: (B, 3, H, W) in [0, 1].
        dreams: The same.
        cell_px: Side of a cell, in pixels; a rest at the right and lower border is left out.

    Returns:
        (), in [0, 1].
    """
    return F.l1_loss(F.avg_pool2d(_wide(generated), cell_px), F.avg_pool2d(_wide(dreams), cell_px))


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
        (), at least 0; 1 where all features are missing.
    """
    target = _wide(dreams[layer].detach())
    difference = (_wide(generated[layer]) - target).abs().mean(dim=(1, 2, 3))
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
        (), in [0, cap].
    """
    generated, dreams = _wide(generated), _wide(dreams.detach())
    floor = 1e-3 * dreams.reshape(len(dreams), -1).mean(dim=1).clamp_min(1e-12).reshape(-1, *[1] * (dreams.ndim - 1))
    gap = (generated.clamp_min(0) + floor).log() - (dreams.clamp_min(0) + floor).log()
    return gap.abs().clamp_max(cap).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator: real logits above 1, fake ones below -1.

    Source: Lim and Ye 2017 (geometric GAN).

    Args:
        real: Logits of the direct dreams, any shape.
        fake: Logits of the generated pictures, any shape.

    Returns:
        (), at least 0.
    """
    return 0.5 * (F.relu(1 - _wide(real)).mean() + F.relu(1 + _wide(fake)).mean())


def hinge_generator(fake: Tensor) -> Tensor:
    """Hinge loss of the generator: raise the logits of what it makes.

    Source: Lim and Ye 2017 (geometric GAN).

    Args:
        fake: Logits of the generated pictures, any shape.

    Returns:
        ().
    """
    return -_wide(fake).mean()


def logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Logistic loss of the discriminator: cross-entropy of "real" and "fake".

    Source: Goodfellow et al. 2014.

    Args:
        real: Logits of the real pictures, any shape.
        fake: Logits of the generated pictures, any shape.

    Returns:
        (), at least 0.
    """
    return F.softplus(-_wide(real)).mean() + F.softplus(_wide(fake)).mean()


def logistic_generator(fake: Tensor) -> Tensor:
    """Non-saturating logistic loss of the generator: cross-entropy of "real" for what it makes.

    Source: Goodfellow et al. 2014, the heuristic loss.

    Args:
        fake: Logits of the generated pictures, any shape.

    Returns:
        (), at least 0.
    """
    return F.softplus(-_wide(fake)).mean()


def relativistic(better: Tensor, worse: Tensor) -> Tensor:
    """Relativistic pairing loss: each picture shall be judged better than its partner.

    It is the discriminator's loss of (real, fake) and the generator's of (fake, real).

    Source: Jolicoeur-Martineau 2019; as in Huang et al. 2024 (R3GAN).

    Args:
        better: Logits, (B,) or any shape.
        worse: The same of the partners.

    Returns:
        (), at least 0.
    """
    return F.softplus(_wide(worse) - _wide(better)).mean()


def penalised(judge: Callable[[Tensor], Tensor], pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of pictures, and the penalty of their gradient: R1 of real pictures, R2 of generated ones.

    Float32 at least and without autocast: the square of a gradient soon leaves the range of the short types.

    Source: Mescheder et al. 2018.

    Args:
        judge: The discriminator; (B, 3, H, W) to (B,).
        pictures: (B, 3, H, W); no gradient goes back to where they came from.

    Returns:
        Logits, (B,), and |gradient|² / 2 in the mean over the pictures, (), through which the judge can be trained.
    """
    with torch.autocast(pictures.device.type, enabled=False):
        pictures = _wide(pictures.detach()).requires_grad_(True)
        logits = judge(pictures)
        (gradient,) = torch.autograd.grad(logits.sum(), pictures, create_graph=True)
    return logits, gradient.square().flatten(1).sum(dim=1).mean() / 2


# Losses of the discriminator and of the generator, each of the logits of real and of generated pictures.
ADVERSARIAL: Mapping[str, tuple[_Pair, _Pair]] = {
    "logistic": (logistic_discriminator, lambda real, fake: logistic_generator(fake)),
    "hinge": (hinge_discriminator, lambda real, fake: hinge_generator(fake)),
    "relativistic": (relativistic, lambda real, fake: relativistic(fake, real)),
}


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
