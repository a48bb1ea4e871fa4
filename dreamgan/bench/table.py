"""The benchmark's table: Markdown that is printed line by line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]
# Key in a row, heading, width and decimals of each column; text has no decimals.
Columns = tuple[tuple[str, str, int, int | None], ...]

# Of dreams.
COLUMNS: Columns = (
    ("case", "case", 28, None),
    ("way", "way", 33, None),
    ("size", "size", 9, None),
    ("batch", "batch", 5, 0),
    ("seconds", "seconds", 8, 3),
    ("pictures_per_second", "pictures/s", 10, 3),
    ("times_the_first", "x first", 7, 2),
    ("fraction_of_floor", "of floor", 8, 2),
    ("fraction_of_convolution_peak", "of conv.", 8, 2),
    ("peak_mib", "peak MiB", 8, 0),
    ("dream_mib", "dream MiB", 9, 0),
    ("bytes_per_pixel", "bytes/px", 8, 1),
    ("matrix_gflops", "matrix GFLOP/s", 14, 0),
    ("convolution_gflops", "conv. GFLOP/s", 13, 0),
)
KEYS = tuple(key for key, *_ in COLUMNS)


def table_head(columns: Columns = COLUMNS) -> str:
    """The headings and the line below them."""
    headings = _joined(_aligned(heading, width, decimals) for _, heading, width, decimals in columns)
    rule = _joined("-" * width for _, _, width, _ in columns)
    return f"{headings}\n{rule}"


def table_line(row: Row, columns: Columns = COLUMNS) -> str:
    """One row.

    Args:
        row: Has the key of every column; a figure that is None leaves its place empty.
        columns: Of the table.
    """
    return _joined(_aligned(_text(row[key], decimals), width, decimals) for key, _, width, decimals in columns)


def _text(value: Any, decimals: int | None) -> str:
    if value is None:
        return ""
    return str(value) if decimals is None else f"{value:.{decimals}f}"


def _aligned(text: str, width: int, decimals: int | None) -> str:
    return text.ljust(width) if decimals is None else text.rjust(width)


def _joined(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
