"""Overlapping tiles: the gradient of a picture too large for the network in one piece.

Each tile is cut out, its gradient taken and added back under a window. The windows sum to one at every pixel, so one
tile fades into the next and no border shows.

Source: the tiled gradient of the TensorFlow tutorial, with tiles of 512 px edge to edge under a random roll.
Differs: here they may overlap, and the roll is only arithmetic on where to cut: no picture is rolled or copied whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)  # tensors have no plain ==
class Tile:
    """One tile of a grid, in pixels of the shifted picture, which goes on at the opposite border.

    Attributes:
        top: First row of the crop, overlap included; negative where the crop begins beyond the border.
        left: First column, likewise.
        height: Rows of the crop, at most those of the picture.
        width: Columns of the crop, likewise.
        window: Weights of the tile's gradient, float64 (height, width) in (0, 1], on the CPU. Tiles of one size
            share one tensor.
    """

    top: int
    left: int
    height: int
    width: int
    window: Tensor


def tile_grid(height: int, width: int, tile_px: int, overlap_px: int) -> list[Tile]:
    """Cut a picture into tiles whose windows sum to 1 at every pixel, around its borders too.

    Each side is shared out among the fewest cores of at most ``tile_px``, equal to within 1 px. A crop is a core
    widened by ``overlap_px`` on both sides; there the window rises in a straight line, over twice the overlap, through
    1/2 at the core's border. A side of one core is taken whole, without overlap and with weight 1.

    Args:
        height: Rows of the picture.
        width: Columns of the picture.
        tile_px: Largest side of a core; a crop is larger by twice the overlap.
        overlap_px: 0 gives tiles edge to edge; at most half of the smallest core is used.

    Returns:
        The tiles, row by row.

    Raises:
        ValueError: If a size is below 1 or the overlap below 0.
    """
    if min(height, width, tile_px) < 1 or overlap_px < 0:
        raise ValueError(
            f"tiles of {tile_px} px with an overlap of {overlap_px} px for {width}x{height} px: "
            "sizes must be at least 1, the overlap at least 0"
        )
    columns = _cut_axis(width, tile_px, overlap_px)
    windows: dict[tuple[int, int], Tensor] = {}  # at most four sizes: one window each, not one per tile
    tiles = []
    for top, down in _cut_axis(height, tile_px, overlap_px):
        for left, across in columns:
            size = (len(down), len(across))
            if size not in windows:
                windows[size] = down[:, None] * across[None, :]
            tiles.append(Tile(top, left, *size, windows[size]))
    return tiles


def _cut_axis(side: int, tile_px: int, overlap_px: int) -> list[tuple[int, Tensor]]:
    """First pixel and weights, float64, of each crop along one side."""
    count = -(-side // tile_px)
    if count == 1:
        return [(0, torch.ones(side, dtype=torch.float64))]
    # A window must have risen before it falls; this also keeps every crop within the side.
    overlap = min(overlap_px, side // count // 2)
    # Taken at pixel centres, so that the rise of one tile and the fall of the other sum to 1.
    rise = (torch.arange(2 * overlap, dtype=torch.float64) + 0.5) / max(2 * overlap, 1)
    borders = [round(index * side / count) for index in range(count + 1)]
    crops = []
    for start, end in zip(borders[:-1], borders[1:], strict=True):
        flat = torch.ones(end - start - 2 * overlap, dtype=torch.float64)
        crops.append((start - overlap, torch.cat([rise, flat, rise.flip(0)])))
    return crops


def crop(images: Tensor, tile: Tile, offsets: Sequence[tuple[int, int]]) -> Tensor:
    """Cut a tile out of each picture as if it had been rolled by its offset.

    Args:
        images: (B, C, H, W), detached, of the size that the grid was made for.
        tile: From ``tile_grid``.
        offsets: The roll (dy, dx) of each picture, in px, of any sign and size.

    Returns:
        (B, C, tile.height, tile.width), a copy.

    Raises:
        ValueError: If offsets are not one per picture.
    """
    cut = images.new_empty((*images.shape[:2], tile.height, tile.width))
    for values, picture, offset in zip(cut, images, offsets, strict=True):
        for tile_rows, tile_columns, rows, columns in _pieces(tile, offset, picture):
            values[:, tile_rows, tile_columns] = picture[:, rows, columns]
    return cut


def add_back(total: Tensor, part: Tensor, tile: Tile, offsets: Sequence[tuple[int, int]], weight: float = 1.0) -> None:
    """Add what belongs to a tile, under its window, to where ``crop`` took the tile from; in place.

    Args:
        total: (B, C, H, W), detached; changed.
        part: (B, C, tile.height, tile.width), such as the gradient of a crop.
        tile: From ``tile_grid``.
        offsets: As given to ``crop``.
        weight: Factor of the part, such as 1 / the number of shifts averaged.

    Raises:
        ValueError: If offsets or parts are not one per picture.
    """
    # First the dtype: not every device takes float64.
    window = tile.window.to(total.dtype).to(total.device)
    for picture, values, offset in zip(total, part, offsets, strict=True):
        for tile_rows, tile_columns, rows, columns in _pieces(tile, offset, picture):
            weighted = window[tile_rows, tile_columns]
            picture[:, rows, columns].addcmul_(values[:, tile_rows, tile_columns], weighted, value=weight)


def _pieces(tile: Tile, offset: tuple[int, int], picture: Tensor) -> list[tuple[slice, slice, slice, slice]]:
    """The one to four rectangles of a tile: rows and columns of each in the tile, then in the picture (C, H, W)."""
    height, width = picture.shape[-2:]
    return [
        (tile_rows, tile_columns, rows, columns)
        for tile_rows, rows in _spans(tile.top - offset[0], tile.height, height)
        for tile_columns, columns in _spans(tile.left - offset[1], tile.width, width)
    ]


def _spans(start: int, length: int, side: int) -> list[tuple[slice, slice]]:
    """One side of ``_pieces``: all in one, or what lies before the border and what comes back at the opposite one."""
    start %= side
    before = min(length, side - start)
    spans = [(slice(0, before), slice(start, start + before))]
    if before < length:
        spans.append((slice(before, length), slice(0, length - before)))
    return spans
