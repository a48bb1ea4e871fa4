"""Fourier and decorrelated-colour parameterisation, as the metric of the step.

A picture that depends linearly on its parameters, x = A p, moves by A Aᵀ g when plain gradient ascent moves p, g being
the gradient on the pixels. So the parameterisation is a matrix that multiplies the gradient, and nothing else of the
dream (octaves, shifts, clamps) has to know of it. The two matrices below commute.

Source: Olah, Mordvintsev, Schubert, "Feature Visualization", Distill 2017, section "Preconditioning and
Parameterization", and its code, Lucid (``optvis/param/color.py``, ``spatial.py``).
Differs: Lucid keeps the spectrum as its parameters, moves it with Adam and squashes the picture with a sigmoid; here it
is the metric of a plain step, and the pixels are clamped.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Square root of the covariance of ImageNet's colours, RGB by decorrelated colours; Lucid, optvis/param/color.py.
COLOUR_COVARIANCE_SQRT = (
    (0.26, 0.09, 0.02),
    (0.27, 0.00, -0.05),
    (0.27, -0.09, 0.03),
)


def decorrelate_colour(gradient: Tensor) -> Tensor:
    """Gradient on the pixels to the step that ascent in decorrelated colours would take: C Cᵀ over the channels.

    C is the square root of the covariance of ImageNet's colours, over the largest norm of its columns, as in Lucid.
    Changes of brightness grow against changes of hue, as in photographs.

    Args:
        gradient: (B, 3, H, W), floating, channels RGB.

    Returns:
        The same shape, dtype and device.
    """
    root = torch.tensor(COLOUR_COVARIANCE_SQRT, dtype=torch.float64)
    root = root / root.norm(dim=0).max()
    scaled = torch.zeros_like(gradient)
    # Sums, not a matrix product: that would run in bfloat16 under autocast.
    for channel, factors in enumerate((root @ root.T).tolist()):
        for source, factor in enumerate(factors):
            scaled[:, channel].add_(gradient[:, source], alpha=factor)
    return scaled


def scale_spectrum(gradient: Tensor, power: float) -> Tensor:
    """Gradient on the pixels to the step that ascent on a weighted spectrum would take: f^(-2 power) in Fourier space.

    f is the frequency in cycles per pixel, at least 1 / max(H, W), so that the mean is not infinitely favoured. With
    A = f^-power, as in Lucid's ``fft_image`` (there ``decay_power`` 1), A Aᵀ is f^(-2 power): what is large in the
    picture grows against the finest grain. The result is as much larger; scale it afterwards.
    Differs: Lucid's half spectrum holds each pair of opposite frequencies once, which gives the columns without a pair
    (horizontal frequency 0 and, at even widths, 1/2) half of the weight; here the transform is unitary.

    Args:
        gradient: (B, C, H, W), floating; the transform is done in float32 at least.
        power: 0 gives the gradient back unchanged.

    Returns:
        The same shape, dtype and device.
    """
    if power == 0:
        return gradient
    height, width = gradient.shape[-2:]
    dtype = torch.promote_types(gradient.dtype, torch.float32)
    down = torch.fft.fftfreq(height, dtype=dtype, device=gradient.device)
    across = torch.fft.rfftfreq(width, dtype=dtype, device=gradient.device)
    frequency = torch.hypot(down[:, None], across[None, :]).clamp_(min=1 / max(height, width))
    scale = frequency.pow_(-2 * power)
    scaled = torch.empty_like(gradient)
    # One channel at a time: of a picture of 12 megapixels the spectra alone are large.
    for channel in range(gradient.shape[1]):
        spectrum = torch.fft.rfft2(gradient[:, channel].to(dtype)).mul_(scale)
        scaled[:, channel] = torch.fft.irfft2(spectrum, s=(height, width))
    return scaled
