"""Animated GIFs, for people to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from dreamgan.files import whole_file

FRAME_MS = 60  # GIF counts in hundredths of a second


def save_there_and_back(pictures: Sequence[Image.Image], path: Path, metadata: Mapping[str, str]) -> None:
    """Write an endless animation that runs to the last picture and back to the first, whole or not at all.

    Each frame has its own 256 colours, mixed by dots: one palette for all would show bands in every frame.

    Args:
        pictures: At least one, mode RGB, of one size.
        path: Where to write; missing folders are made, an existing file is replaced.
        metadata: Goes into the comment, a line ``dreamgan:<key>=<value>`` each.

    Raises:
        OSError: As the system gives it.
    """
    # The ends are shown once: twice, they would seem to halt.
    frames = [picture.quantize(256) for picture in [*pictures, *pictures[-2:0:-1]]]
    comment = "\n".join(f"dreamgan:{key}={value}" for key, value in metadata.items())
    with whole_file(path) as temporary, temporary.open("xb") as stream:
        frames[0].save(
            stream,
            "GIF",
            save_all=True,
            append_images=frames[1:],
            duration=FRAME_MS,
            loop=0,
            comment=comment.encode("utf-8"),
        )
