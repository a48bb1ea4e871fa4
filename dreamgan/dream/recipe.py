"""Recipes: everything that decides what a dream looks like, frozen, typed and named."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args

from dreamgan.errors import UserError

Objective = Literal["mean", "l2"]
Space = Literal["unit", "signed", "imagenet"]
GradientScale = Literal["zscore", "std", "mean_abs"]
Smoothing = Literal["none", "gaussian", "cascade"]
Shifts = Literal["none", "jitter", "stratified"]

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "objective": get_args(Objective),
    "space": get_args(Space),
    "gradient_scale": get_args(GradientScale),
    "smoothing": get_args(Smoothing),
    "shifts": get_args(Shifts),
}


@dataclass(frozen=True, kw_only=True)
class DreamRecipe:
    """How a photo becomes a dream.

    Attributes:
        name: Name of the recipe; part of every picture's random stream.
        layers: Pairs (layer, weight); the score is the weighted sum over them.
        average_layers: Divide that sum by the number of layers.
        objective: ``mean`` is mean(a), ``l2`` is mean(a²), per picture.
        space: Where the pixels live while they are changed: ``unit`` is [0, 1], ``signed`` is [-1, 1],
            ``imagenet`` is (rgb - mean) / std. Step sizes are in the units of this space.
        octaves: Number of scales, coarse to fine.
        octave_scale: Ratio of the sides of neighbouring octaves.
        octaves_above: How many of the octaves are larger than the photo; the dream is shrunk at the end.
        steps: Gradient steps of each octave, coarse to fine; one number stands for all octaves.
        step_size: Length of a step in units of the scaled gradient.
        gradient_scale: ``zscore`` subtracts the mean and divides by the unbiased std, ``std`` divides by the
            population std + 1e-8, ``mean_abs`` divides by mean |g|; per picture.
        smoothing: ``gaussian`` blurs the gradient with sigma ``smoothing_sigma``, out to ceil(3 sigma) pixels;
            ``cascade`` averages three 9x9 Gaussians of sigma {0.5, 1, 2} x ((step + 1) / steps x
            ``smoothing_sigma`` + 0.5). Kernels sum to one; reflect padding.
        smoothing_sigma: In pixels of the octave.
        shifts: ``jitter`` rolls each picture by its own random integers in [-shift_px, shift_px];
            ``stratified`` slides every picture by the same fixed sequence that cycles over the four
            half-stride cells of a stride of ``shift_px`` (reflect padding, no wrap-around).
        shift_px: In pixels of the octave.
        shifts_per_step: ``stratified`` only: gradients averaged per step.
        reinject_detail: Give back, at each octave, the detail of the photo that shrinking took away.

    Raises:
        UserError: If a value makes no sense; the message names it.
    """

    name: str
    layers: tuple[tuple[str, float], ...]
    average_layers: bool = False
    objective: Objective = "l2"
    space: Space = "unit"
    octaves: int = 1
    octave_scale: float = 1.4
    octaves_above: int = 0
    steps: tuple[int, ...] = (10,)
    step_size: float = 0.01
    gradient_scale: GradientScale = "mean_abs"
    smoothing: Smoothing = "none"
    smoothing_sigma: float = 0.0
    shifts: Shifts = "none"
    shift_px: int = 0
    shifts_per_step: int = 1
    reinject_detail: bool = False

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise UserError(f"recipe {field} is {getattr(self, field)!r}; it must be one of {', '.join(choices)}")
        rules = {
            "layers must name at least one layer": len(self.layers) > 0,
            "the weights of the layers must be finite and not all zero": all(math.isfinite(w) for _, w in self.layers)
            and any(w for _, w in self.layers),
            "layers must not repeat": len({layer for layer, _ in self.layers}) == len(self.layers),
            "octaves must be 1 to 30": 1 <= self.octaves <= 30,
            "octave_scale must be above 1 and at most 10": 1 < self.octave_scale <= 10,
            "octaves_above must be 0 or more and less than octaves": 0 <= self.octaves_above < self.octaves,
            f"steps must be one number or {self.octaves} (one per octave)": len(self.steps) in (1, self.octaves),
            "steps must be 1 or more": all(steps >= 1 for steps in self.steps),
            "step_size must be a finite number other than 0": math.isfinite(self.step_size) and self.step_size != 0,
            "smoothing needs a smoothing_sigma above 0": self.smoothing == "none" or 0 < self.smoothing_sigma <= 100,
            "shifts need a shift_px of 1 or more": self.shifts == "none" or self.shift_px >= 1,
            "stratified shifts need an even shift_px": self.shifts != "stratified" or self.shift_px % 2 == 0,
            "shifts_per_step must be 1 or more, and 1 unless shifts are stratified": self.shifts_per_step == 1
            or (self.shifts == "stratified" and self.shifts_per_step > 1),
        }
        for rule, holds in rules.items():
            if not holds:
                raise UserError(f"recipe {self.name!r}: {rule}")

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The layers without their weights, as an extractor wants them."""
        return tuple(layer for layer, _ in self.layers)

    @property
    def steps_per_octave(self) -> tuple[int, ...]:
        """Steps of every octave, coarse to fine."""
        return self.steps * self.octaves if len(self.steps) == 1 else self.steps

    def to_json(self) -> str:
        """The recipe as one line of JSON; ``DreamRecipe.from_json`` reads it back."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> DreamRecipe:
        """Read what ``to_json`` wrote.

        Raises:
            UserError: If the text is not a recipe.
        """
        try:
            fields = json.loads(text)
            fields["layers"] = tuple((str(layer), float(weight)) for layer, weight in fields["layers"])
            fields["steps"] = tuple(int(steps) for steps in fields["steps"])
            return cls(**fields)
        except (ValueError, TypeError, KeyError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"this is not a recipe that dreamgan wrote: {error}") from None


def parse_layers(text: str) -> tuple[tuple[str, float], ...]:
    """Read ``relu4_3`` or ``mixed3,mixed5:1.5`` (layer:weight, the weight being 1 when left out).

    Raises:
        UserError: If a weight is not a number or a name is empty.
    """
    layers = []
    for item in text.split(","):
        name, _, weight = item.strip().partition(":")
        try:
            layers.append((name.strip(), float(weight) if weight else 1.0))
        except ValueError:
            raise UserError(f"layer weight {weight!r} in {item.strip()!r} is not a number; write layer:1.5") from None
        if not name.strip():
            raise UserError(f"there is an empty layer name in {text!r}; write relu4_3 or mixed3,mixed5:1.5")
    return tuple(layers)


_ONE_LAYER = {
    "vgg16": "relu4_3",
    "vgg19": "relu4_3",
    "resnet50": "layer3",
    "inception_v3": "mixed5",
    "googlenet": "inception_4c",
    "mobilenet_v2": "block_10_expand_relu",
    "squeezenet1_1": "features.9",
}
_TWO_LAYERS = {
    "vgg16": ("relu4_3", "relu5_1"),
    "vgg19": ("relu4_3", "relu5_1"),
    "resnet50": ("layer3.3", "layer3"),
    "inception_v3": ("mixed3", "mixed5"),
    "googlenet": ("inception_4b", "inception_4d"),
    "mobilenet_v2": ("block_8_expand_relu", "block_12_expand_relu"),
    "squeezenet1_1": ("features.8", "features.10"),
}


def gordic(backbone: str) -> DreamRecipe:
    """The recipe of gordicaleksa/pytorch-deepdream: four coarse octaves, cascade smoothing, jitter 32.

    Source: https://github.com/gordicaleksa/pytorch-deepdream, defaults of its command line (VGG16 ``relu4_3``).

    Differs: every picture draws its own jitter; octaves too small for the network are left out; a picture whose
    gradient is zero or not finite keeps still where the peer makes NaN. Layers for other backbones than VGG16 are
    ours, except ResNet50 (``layer3``: its last block, as in *juit*).
    """
    return DreamRecipe(
        name="gordic",
        layers=((_ONE_LAYER[backbone], 1.0),),
        average_layers=True,
        objective="l2",
        space="imagenet",
        octaves=4,
        octave_scale=1.8,
        steps=(10,),
        step_size=0.09,
        gradient_scale="zscore",
        smoothing="cascade",
        smoothing_sigma=2.0,
        shifts="jitter",
        shift_px=32,
    )


def tutorial(backbone: str) -> DreamRecipe:
    """The TensorFlow tutorial's octave dream: mixed3 + mixed5, scales 1.3^-2 ... 1.3^2, 50 steps each.

    Source: the DeepDream tutorial of the TensorFlow documentation, section "Taking it up an octave".

    Differs: the last octave is larger than the photo, as there, and the dream is then resized back to the photo's
    size; octave sizes are rounded, the tutorial cuts them off. Layers for other backbones than InceptionV3 are ours.
    """
    return DreamRecipe(
        name="tutorial",
        layers=tuple((layer, 1.0) for layer in _TWO_LAYERS[backbone]),
        objective="mean",
        space="signed",
        octaves=5,
        octave_scale=1.3,
        octaves_above=2,
        steps=(50,),
        step_size=0.01,
        gradient_scale="std",
    )


def distillable(backbone: str) -> DreamRecipe:
    """A dream that a network can learn: few, large, reproducible steps.

    One shift per step, cycled over the half-stride cells of a stride of 16 px, the same sequence for every photo;
    reflect padding; gradient smoothing of 1.5 px; detail re-injection; 3 octaves x 1.4 of 4, 4 and 6 steps.

    Source: our own; it makes two dreams of one photo alike, so that there is something to learn.
    Defined here: the step of 0.015 is in ``unit`` pixels ([0, 1]). MobileNetV2 dreams of an earlier layer than with
    the other recipes: its spots and rings are bolder at 14 steps, and sooner learnt.
    """
    return DreamRecipe(
        name="distillable",
        layers=(("block_6_expand_relu" if backbone == "mobilenet_v2" else _ONE_LAYER[backbone], 1.0),),
        objective="l2",
        space="unit",
        octaves=3,
        octave_scale=1.4,
        steps=(4, 4, 6),
        step_size=0.015,
        gradient_scale="mean_abs",
        smoothing="gaussian",
        smoothing_sigma=1.5,
        shifts="stratified",
        shift_px=16,
        reinject_detail=True,
    )


RECIPES: Mapping[str, Callable[[str], DreamRecipe]] = {
    "gordic": gordic,
    "tutorial": tutorial,
    "distillable": distillable,
}


def get_recipe(name: str, backbone: str, **overrides: Any) -> DreamRecipe:
    """A named recipe with its defaults for a backbone, some fields replaced.

    Args:
        name: One of ``RECIPES``.
        backbone: Registry name of the backbone, for instance ``vgg16``.
        **overrides: Fields of ``DreamRecipe``; None leaves the default.

    Returns:
        The recipe.

    Raises:
        UserError: If the name or a field is unknown, or a value makes no sense.
    """
    if name not in RECIPES:
        near = get_close_matches(name, RECIPES, n=1, cutoff=0.0)[0]
        raise UserError(f"there is no recipe {name!r}; nearest: {near!r} (known: {', '.join(RECIPES)})")
    if backbone not in _ONE_LAYER:
        raise UserError(f"recipe {name!r} has no defaults for backbone {backbone!r}; known: {', '.join(_ONE_LAYER)}")
    recipe = RECIPES[name](backbone)
    changes = {field: value for field, value in overrides.items() if value is not None}
    unknown = sorted(changes.keys() - {field.name for field in dataclasses.fields(DreamRecipe)})
    if unknown:
        raise UserError(f"a recipe has no field {unknown[0]!r}")
    if "octaves" in changes and "steps" not in changes and len(set(recipe.steps)) > 1:
        # A schedule written for another number of octaves: keep the total length of the finest ones.
        changes["steps"] = tuple(
            recipe.steps[max(0, i)] for i in range(len(recipe.steps) - changes["octaves"], len(recipe.steps))
        )
    if "octaves" in changes and "octaves_above" not in changes:
        # Fewer octaves than the recipe has above the photo: the coarsest is then the photo's own size.
        changes["octaves_above"] = min(recipe.octaves_above, max(0, changes["octaves"] - 1))
    return dataclasses.replace(recipe, **changes)
