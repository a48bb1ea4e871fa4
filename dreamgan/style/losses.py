"""The losses of style transfer, one function each; a value per picture, so that a batch changes nothing."""

from __future__ import annotations

from torch import Tensor


def gram(features: Tensor) -> Tensor:
    """Gram matrix G_ij = Σ_k F_ik F_jk of the maps, k going over places: what is where is forgotten.

    Source: Gatys, Ecker, Bethge 2016 (Image Style Transfer Using Convolutional Neural Networks), equation 3.

    Args:
        features: (B, N, h, w), floating.

    Returns:
        (B, N, N), symmetric; sums over the h w places, not means.
    """
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2)


def content_loss(generated: Tensor, photo: Tensor) -> Tensor:
    """Half the squared distance of the features, ½ Σ (F - P)².

    Source: Gatys et al. 2016, equation 1.

    Args:
        generated: (B, N, h, w), floating.
        photo: The same of the photos, also (1, N, h, w) for all.

    Returns:
        (B,), at least 0.
    """
    return 0.5 * (generated - photo).square().sum(dim=(1, 2, 3))


def style_loss(generated: Tensor, style_gram: Tensor, style_places: int) -> Tensor:
    """Squared distance of the Gram matrices, Σ (G / M - A / M')² / (4 N²), M and M' being the numbers of places.

    Source: Gatys et al. 2016, equation 4, Σ (G - A)² / (4 N² M²).
    Differs: each Gram matrix is divided by the places of its own picture, so that a style picture may have another size
    than the photo; where M = M' the two are the same.

    Args:
        generated: Features, (B, N, h, w), floating.
        style_gram: Of the style picture, from ``gram``, (1, N, N).
        style_places: Its number of places, h w of its features.

    Returns:
        (B,), at least 0.
    """
    maps, places = generated.shape[1], generated.shape[2] * generated.shape[3]
    return (gram(generated) / places - style_gram / style_places).square().sum(dim=(1, 2)) / (4 * maps**2)


def total_variation(images: Tensor) -> Tensor:
    """Mean squared step from pixel to pixel, across plus down: what noise has much of.

    Source: Mahendran and Vedaldi 2015 with β = 2, as in Johnson et al. 2016.
    Differs: means in place of sums, so that its weight does not depend on the size.

    Args:
        images: (B, 3, H, W), at least 2 px a side.

    Returns:
        (B,), at least 0.
    """
    across = (images[..., 1:] - images[..., :-1]).square().mean(dim=(1, 2, 3))
    down = (images[..., 1:, :] - images[..., :-1, :]).square().mean(dim=(1, 2, 3))
    return across + down
