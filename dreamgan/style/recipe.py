"""Everything that decides a style transfer, in one place."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dreamgan.errors import UserError

Layers = tuple[tuple[str, float], ...]
OptimizerName = Literal["lbfgs", "adam"]
Start = Literal["photo", "noise"]
Colour = Literal["style", "luminance", "histogram"]
Pooling = Literal["max", "average"]

MOST_PASSES, MOST_LEVELS = 100_000, 8
# Gatys' choice for VGG: content at conv4_2, style at the first convolution of each block. What the other networks have
# at these depths is ours.
_VGG: tuple[Layers, Layers] = (
    (("relu4_2", 1.0),),
    tuple((f"relu{block}_1", 0.2) for block in range(1, 6)),
)
DEFAULT_LAYERS: Mapping[str, tuple[Layers, Layers]] = {
    "vgg16": _VGG,
    "vgg19": _VGG,
    "squeezenet1_1": (
        (("features.7", 1.0),),
        tuple((f"features.{place}", 0.2) for place in (1, 3, 6, 9, 12)),
    ),
    "mobilenet_v2": (
        (("block_6_expand_relu", 1.0),),
        tuple((f"block_{block}_expand_relu", 0.25) for block in (1, 3, 6, 10)),
    ),
}


@dataclass(frozen=True, kw_only=True)
class StyleRecipe:
    """What a style transfer does.

    Attributes:
        content_layers: Layers and weights of the content loss.
        style_layers: Layers and weights of the style loss.
        content_weight: α of the papers; 0: style alone.
        style_weight: β of the papers; 0: content alone.
        tv_weight: Of the total variation.
        optimizer: ``lbfgs``, whose loss falls at every pass, or ``adam``.
        step_size: Of Adam, pixels being in [0, 1]; L-BFGS finds its own.
        passes: Steps of the optimiser at each level.
        levels: Sizes that the picture goes through, each half of the next one; coarse ones make large brush strokes.
        start: What the coarsest level begins with.
        colour: Whose colours the picture gets: the ``style`` picture's, or the photo's by ``luminance`` or
            ``histogram`` (see ``dreamgan.style.colour``).
        pooling: ``average`` in place of the network's own maxima, as Gatys recommends.

    Raises:
        UserError: If a value is out of its range.
    """

    content_layers: Layers = _VGG[0]
    style_layers: Layers = _VGG[1]
    content_weight: float = 0.03
    style_weight: float = 1.0
    tv_weight: float = 0.0
    optimizer: OptimizerName = "lbfgs"
    step_size: float = 0.02
    passes: int = 100
    levels: int = 2
    start: Start = "photo"
    colour: Colour = "style"
    pooling: Pooling = "max"

    def __post_init__(self) -> None:
        """Check what a flag or a file may hold."""
        for name in ("content_weight", "style_weight", "tv_weight"):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "at least 0")
        _check("step_size", self.step_size, self.step_size > 0, "above 0")
        _check("passes", self.passes, 1 <= self.passes <= MOST_PASSES, f"from 1 to {MOST_PASSES}")
        _check("levels", self.levels, 1 <= self.levels <= MOST_LEVELS, f"from 1 to {MOST_LEVELS}")
        for kind, weight in (("content", self.content_weight), ("style", self.style_weight)):
            layers = getattr(self, f"{kind}_layers")
            for layer, share in layers:
                _check(f"the weight of {kind} layer {layer!r}", share, share >= 0, "at least 0")
            if weight > 0 and not sum(share for _, share in layers) > 0:
                raise UserError(
                    f"{kind}_weight is {weight:g}, and no layer of the {kind} has a weight above 0; name one"
                )
        if not self.content_weight + self.style_weight > 0:
            raise UserError("content_weight and style_weight are both 0; one of them must be above 0")

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The layers that an extractor must answer for, each once."""
        used = (self.content_layers if self.content_weight else ()) + (self.style_layers if self.style_weight else ())
        return tuple(dict.fromkeys(layer for layer, share in used if share))

    def to_json(self) -> str:
        """The recipe in one line."""
        return json.dumps(dataclasses.asdict(self))


def get_style_recipe(backbone: str, **changes: Any) -> StyleRecipe:
    """The recipe for a backbone, with its own layers.

    Args:
        backbone: Name in the registry.
        **changes: Fields to set otherwise; None stands for the default.

    Raises:
        UserError: If a value is out of its range, or the backbone has no default layers and none are given.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    content, style = DEFAULT_LAYERS.get(backbone, ((), ()))
    for name, layers in (("content_layers", content), ("style_layers", style)):
        given.setdefault(name, layers)
        if not given[name]:
            raise UserError(
                f"dreamgan has no {name} of its own for {backbone}; name them, or use {', '.join(DEFAULT_LAYERS)}"
            )
    return StyleRecipe(**given)


def parse_style_layers(text: str) -> Layers:
    """Read ``relu4_2`` or ``relu1_1:0.5,relu2_1:0.5``; layers without a weight share 1 equally.

    Raises:
        UserError: If a name is empty or comes twice, or a weight is no number.
    """
    parts = [part.strip().rpartition(":") if ":" in part else (part.strip(), "", "") for part in text.split(",")]
    names = [name.strip() for name, _, _ in parts]
    for name in names:
        if not name:
            raise UserError(f"there is an empty name among the layers {text!r}; give LAYER or LAYER:WEIGHT")
        if names.count(name) > 1:
            raise UserError(f"layer {name!r} is named twice in {text!r}; give it once")
    layers = []
    for name, _, weight in parts:
        try:
            layers.append((name.strip(), float(weight) if weight else 1 / len(parts)))
        except ValueError:
            raise UserError(f"the weight {weight!r} of layer {name!r} is not a number") from None
    return tuple(layers)


def _check(name: str, value: float, ok: bool, range_: str) -> None:
    if not (ok and math.isfinite(value)):
        raise UserError(f"{name} is {value}; it must be {range_}")
