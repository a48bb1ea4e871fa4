"""Dreams of photos too large for the network in one piece: the same dreams, by tiles, in bounded memory."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamgan.networks.translator import STRIDE_PX, EncoderName, Translator, padded

TILE_PX = 1024

# A pixel of the residual is decided by the photo around it: by at most 185 px beyond the left or upper border of a
# tile that begins at a whole stride, and 198 px beyond its right or lower one (SqueezeNet; MobileNetV2: 229 and 214),
# measured by the gradient with ReLUs and max pooling made linear. In whole strides, so that crops begin at one.
MARGIN_PX: dict[EncoderName, int] = {"squeezenet1_1": 208, "mobilenet_v2": 240}


def dream_in_tiles(
    network: Translator, photos: Tensor, styles: Tensor, strength: Tensor, tile_px: int = TILE_PX
) -> Tensor:
    """Dream photos as ``network(photos, styles, strength)`` does, with a bounded number of pixels in the network.

    At most ``tile_px`` squared pixels go through it at a time. A photo that is larger goes alone, in tiles one after
    another: each a core of at most ``tile_px`` a side and a margin around it, as wide as the network looks. The margin
    is thrown away, so the cores are those of the whole residual and no seam shows.

    Args:
        network: In eval mode.
        photos: (B, 3, H, W), floating, in [0, 1], at least 32 px a side.
        styles: Weights of the styles, (B, S).
        strength: (B,).
        tile_px: Side of a tile, rounded up to a whole stride (16 px); 0: everything in one piece.

    Returns:
        Dreams, (B, 3, H, W) in [0, 1]; no gradient flows through them.

    Raises:
        ValueError: If the tile is below 0.
    """
    if tile_px < 0:
        raise ValueError(f"a tile of {tile_px} px: it must be at least 0")
    tile_px = -(-tile_px // STRIDE_PX) * STRIDE_PX
    area = photos.shape[-2] * photos.shape[-1]
    with torch.no_grad():
        if not 0 < tile_px**2 < area:
            at_a_time = tile_px**2 // area or len(photos)
            parts = [slice(start, start + at_a_time) for start in range(0, len(photos), at_a_time)]
            return torch.cat([network(photos[part], styles[part], strength[part]) for part in parts])
        dreams = torch.empty_like(photos)
        for place in range(len(photos)):
            one = slice(place, place + 1)
            _dream_one(network, photos[one], styles[one], strength[one], tile_px, dreams[one])
        return dreams


def _dream_one(
    network: Translator, photo: Tensor, styles: Tensor, strength: Tensor, tile_px: int, dream: Tensor
) -> None:
    """Write the dream of one photo, (1, 3, H, W), into ``dream``, tile by tile."""
    height, width = photo.shape[-2:]
    wide = padded(photo)
    margin = MARGIN_PX[network.config.encoder]
    for top, bottom in _cores(wide.shape[-2], tile_px):
        for left, right in _cores(wide.shape[-1], tile_px):
            # A crop ends where the padded photo does: there the network reflects, as it does for the whole.
            first_row, first_column = max(0, top - margin), max(0, left - margin)
            crop = wide[..., first_row : bottom + margin, first_column : right + margin]
            residual = network.residual(crop, styles, strength)
            rows, columns = slice(top, min(bottom, height)), slice(left, min(right, width))
            core = residual[
                ...,
                rows.start - first_row : rows.stop - first_row,
                columns.start - first_column : columns.stop - first_column,
            ]
            dream[..., rows, columns] = (photo[..., rows, columns] + core).clamp(0, 1)


def _cores(side: int, tile_px: int) -> list[tuple[int, int]]:
    """First pixel and end of each core along a side: the fewest of at most ``tile_px``, alike to within a stride."""
    strides = side // STRIDE_PX
    count = -(-side // tile_px)
    borders = [index * strides // count * STRIDE_PX for index in range(count + 1)]
    return list(zip(borders[:-1], borders[1:], strict=True))
