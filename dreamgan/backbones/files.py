"""Files of weights, named network by network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dreamgan.errors import UserError

Files = Callable[[str], str | None]
"""From the name of a network to the file of its weights; None: none was given."""


def named_files(text: str | None, flag: str) -> Files:
    """Read FILE, or NETWORK=FILE with commas between.

    Args:
        text: As the user gave it; None: no file.
        flag: What it is called.

    Raises:
        UserError: If one part of several has no name or no file.
    """
    if text is None or "=" not in text or Path(text).expanduser().is_file():
        return lambda network: text
    files = {}
    for part in text.split(","):
        name, _, file = (piece.strip() for piece in part.partition("="))
        if not name or not file:
            raise UserError(f"--{flag}: {part.strip()!r} is not NETWORK=FILE, like vgg16=vgg16.safetensors")
        files[name] = file
    return files.get
