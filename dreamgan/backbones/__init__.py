"""Classification networks as feature extractors: names, weights, truncation, classes."""

from dreamgan.backbones.classes import class_index, class_name
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
    "class_index",
    "class_name",
    "get_spec",
    "load_extractor",
    "resolve_layer",
]
