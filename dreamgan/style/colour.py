"""Keeping the photo's colours while its style changes: two ways, both of one paper.

Source: Gatys, Bethge, Hertzmann, Shechtman 2016, *Preserving Color in Neural Artistic Style Transfer*.
"""

from __future__ import annotations

import torch
from torch import Tensor

# NTSC's YIQ, in which the paper works: luminance, then two axes of colour.
_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


def match_histogram(style: Tensor, photo: Tensor) -> Tensor:
    """Give a style picture the photo's mean colour and covariance of colours, before its style is taken over.

    Source: the paper's section 4.1 in its second form, after Hertzmann's Image Analogies: x → A x + b with
    A = Σ_photo^½ Σ_style^-½.

    Args:
        style: (1, 3, h, w) in [0, 1].
        photo: (1, 3, H, W) in [0, 1].

    Returns:
        (1, 3, h, w) in [0, 1]; what the transform puts outside is clamped.
    """
    theirs, theirs_mean = _covariance(style)
    ours, ours_mean = _covariance(photo)
    transform = _power(ours, 0.5) @ _power(theirs, -0.5)
    flat = transform @ (style[0].double().flatten(1) - theirs_mean) + ours_mean
    return flat.view(style.shape).to(style).clamp(0, 1)


def grey(images: Tensor) -> Tensor:
    """Luminance in all three channels, (B, 3, H, W) in [0, 1] to the same."""
    weights = images.new_tensor(_YIQ[0]).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1).contiguous()


def match_luminance(style: Tensor, photo: Tensor) -> Tensor:
    """Give the luminance of a style picture the mean and spread of the photo's, σ / σ' (L' - μ') + μ.

    Source: the paper's equation 10.

    Args:
        style: (1, 3, h, w), from ``grey``.
        photo: (1, 3, H, W), from ``grey``.

    Returns:
        (1, 3, h, w) in [0, 1], clamped.
    """
    scale = photo.std(correction=0) / style.std(correction=0).clamp_min(1e-6)
    return (scale * (style - style.mean()) + photo.mean()).clamp(0, 1)


def with_colours_of(images: Tensor, photos: Tensor) -> Tensor:
    """The luminance of the ones with the colours (I and Q) of the others, clamped; (B, 3, H, W) in [0, 1]."""
    matrix = images.new_tensor(_YIQ, dtype=torch.float64)
    yiq, colours = (torch.einsum("ij,bjhw->bihw", matrix, each.double()) for each in (images, photos))
    mixed = torch.cat([yiq[:, :1], colours[:, 1:]], dim=1)
    return torch.einsum("ij,bjhw->bihw", torch.linalg.inv(matrix), mixed).to(images).clamp(0, 1)


def _covariance(image: Tensor) -> tuple[Tensor, Tensor]:
    """Covariance of the colours, (3, 3), widened a little, so that grey ones have an inverse; their mean, (3, 1)."""
    flat = image[0].double().flatten(1)
    mean = flat.mean(dim=1, keepdim=True)
    centred = flat - mean
    return centred @ centred.T / flat.shape[1] + 1e-5 * torch.eye(3, dtype=flat.dtype, device=flat.device), mean


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    raised: Tensor = (vectors * values.clamp_min(1e-12) ** exponent) @ vectors.T
    return raised
