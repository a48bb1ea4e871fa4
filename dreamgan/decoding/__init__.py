"""From a file of unknown origin to an upright RGB picture, at a bounded cost."""

from dreamgan.decoding.limits import MAX_PIXELS, MIN_SIDE_PX
from dreamgan.decoding.rgb import LoadedImage, decode

__all__ = ["MAX_PIXELS", "MIN_SIDE_PX", "LoadedImage", "decode"]
