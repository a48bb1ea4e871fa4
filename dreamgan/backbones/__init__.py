"""Classification networks as feature extractors: names, weights, truncation."""

from dreamgan.backbones.features import Extractor, load_extractor
from dreamgan.backbones.registry import (
    BACKBONES,
    IMAGENET_MEAN,
    IMAGENET_STD,
    BackboneSpec,
    get_spec,
    resolve_layer,
)

__all__ = [
    "BACKBONES",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "BackboneSpec",
    "Extractor",
    "get_spec",
    "load_extractor",
    "resolve_layer",
]
