"""Guide and mask pictures as they are named on the command line."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from dreamgan.errors import UserError
from dreamgan.images import load_image, shrink_to


def named_pictures(text: str | None, name: str, max_side: int) -> dict[str, Image.Image]:
    """The pictures of a flag: one FILE, which gets the name ``name``, or NAME=FILE with commas between.

    Args:
        text: As the user gave it; None: no pictures.
        name: Name of a picture that was given without one.
        max_side: Pictures with a longer side are shrunk to it, in pixels; 0 keeps every size.

    Raises:
        UserError: If a file is no picture, or a name comes twice.
    """
    if text is None:
        return {}
    parts = text.split(",")
    # A file name may hold commas and equals signs itself.
    has_names = all("=" in part for part in parts) and not Path(text).expanduser().is_file()
    named = [part.partition("=") for part in parts] if has_names else [(name, "=", text)]
    keys = [key.strip() for key, _, _ in named]
    for key in keys:
        if keys.count(key) > 1:
            raise UserError(f"{key!r} is named twice in {text!r}; give each picture a name of its own")
    pictures = {key.strip(): load_image(Path(file).expanduser()).picture for key, _, file in named}
    return {key: shrink_to(picture, max_side) if max_side else picture for key, picture in pictures.items()}
