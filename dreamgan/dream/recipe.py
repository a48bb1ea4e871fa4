"""A recipe: everything that decides what a dream looks like, frozen, typed and named."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import accumulate, pairwise
from typing import Any, Literal, get_args

from dreamgan.dream.objectives import Objective, parse_objective
from dreamgan.errors import UserError

Space = Literal["unit", "signed", "imagenet"]
GradientScale = Literal["none", "zscore", "std", "mean_abs"]
Smoothing = Literal["none", "gaussian", "cascade"]
Shifts = Literal["none", "jitter", "stratified"]
Reinject = Literal["none", "before", "after"]

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "space": get_args(Space),
    "gradient_scale": get_args(GradientScale),
    "smoothing": get_args(Smoothing),
    "shifts": get_args(Shifts),
    "reinject_detail": get_args(Reinject),
}


@dataclass(frozen=True, kw_only=True)
class DreamRecipe:
    """How a photo becomes a dream.

    Attributes:
        name: Name of the recipe; part of every picture's random stream.
        objective: What is maximised; a text is read by ``parse_objective``. Regularisers are terms of it:
            ``l2(mixed3) - 0.1*tv()``.
        space: Where the pixels live while they are changed: ``unit`` is [0, 1], ``signed`` is [-1, 1],
            ``imagenet`` is (rgb - mean) / std. Step sizes are in the units of this space.
        stretch: First stretch each photo so that its least value is 0 and its greatest is 1.
        octaves: Number of scales, coarse to fine.
        octave_scale: Ratio of the sides of neighbouring octaves.
        octaves_above: How many of the octaves are larger than the photo; the dream is shrunk at the end.
        steps: Gradient steps of each octave, coarse to fine; one number stands for all octaves.
        step_size: Length of a step in units of the scaled gradient; one number, or one per octave, coarse to fine.
        step_decay: The last step of an octave is this much of the first; those between fall geometrically.
        stop_at: A picture's octave ends with the step that finds its score above this; None: never.
        gradient_scale: ``none`` takes the gradient as it is, ``zscore`` subtracts the mean and divides by the
            unbiased std, ``std`` divides by the population std + 1e-8, ``mean_abs`` divides by mean |g|; per picture.
        gradient_floor: The divisor is at least this.
        colour_decorrelation: Step in decorrelated colours (Lucid's parameterisation, as the metric of the step).
        spectrum_power: Step in a Fourier basis scaled by frequency^-power (Lucid: 1), as the metric of the step.
        smoothing: ``gaussian`` blurs the gradient with sigma ``smoothing_sigma``, out to ceil(3 sigma) pixels;
            ``cascade`` averages three 9x9 Gaussians of sigma {0.5, 1, 2} x ((step + 1) / steps x
            ``smoothing_sigma`` + 0.5). Kernels sum to one; reflect padding.
        smoothing_sigma: In pixels of the octave.
        shifts: ``jitter`` rolls each picture by its own random integers in [-shift_px, shift_px];
            ``stratified`` slides every picture by the same fixed sequence that cycles over the four
            half-stride cells of a stride of ``shift_px`` (reflect padding, no wrap-around).
        shift_px: In pixels of the octave.
        shifts_per_step: ``stratified`` only: gradients averaged per step.
        reinject_detail: Give back the detail of the photo that shrinking took away: ``before`` or ``after`` the steps
            of each octave.
        clamp: Keep the pixels in range at every step; otherwise only at the end.
        tile_px: Octaves with a longer side are dreamed in tiles of at most this side, under a shift of the grid that
            is new at each step; 0: whole. Memory then depends on the tile, and only a little on the picture.
        tile_overlap_px: How far tiles reach into their neighbours, blended there.

    Raises:
        UserError: If a value makes no sense; the message names it.
    """

    name: str
    objective: Objective
    space: Space = "unit"
    stretch: bool = False
    octaves: int = 1
    octave_scale: float = 1.4
    octaves_above: int = 0
    steps: tuple[int, ...] = (10,)
    step_size: tuple[float, ...] = (0.01,)
    step_decay: float = 1.0
    stop_at: float | None = None
    gradient_scale: GradientScale = "mean_abs"
    gradient_floor: float = 0.0
    colour_decorrelation: bool = False
    spectrum_power: float = 0.0
    smoothing: Smoothing = "none"
    smoothing_sigma: float = 0.0
    shifts: Shifts = "none"
    shift_px: int = 0
    shifts_per_step: int = 1
    reinject_detail: Reinject = "none"
    clamp: bool = True
    tile_px: int = 0
    tile_overlap_px: int = 0

    def __post_init__(self) -> None:
        """Read an objective given as text, and refuse values that make no sense."""
        if isinstance(self.objective, str):
            object.__setattr__(self, "objective", parse_objective(self.objective))
        for field in ("steps", "step_size"):
            value = getattr(self, field)
            if isinstance(value, int | float):
                object.__setattr__(self, field, (value,))
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise UserError(f"recipe {field} is {getattr(self, field)!r}; it must be one of {', '.join(choices)}")
        per_octave = [term.octaves for term in self.objective if term.octaves]
        rules = {
            "the objective needs a layer: regularisers alone make no dream": bool(self.objective.layers),
            "octaves must be 1 to 30": 1 <= self.octaves <= 30,
            "octave_scale must be above 1 and at most 10": 1 < self.octave_scale <= 10,
            "octaves_above must be 0 or more and less than octaves": 0 <= self.octaves_above < self.octaves,
            f"steps must be one number or {self.octaves} (one per octave)": len(self.steps) in (1, self.octaves),
            "steps must be 1 or more": all(steps >= 1 for steps in self.steps),
            f"step_size must be one number or {self.octaves} (one per octave)": len(self.step_size)
            in (1, self.octaves),
            "step_size must be a finite number other than 0": all(math.isfinite(s) and s != 0 for s in self.step_size),
            "step_decay must be above 0 and at most 1": 0 < self.step_decay <= 1,
            "stop_at must be a number": self.stop_at is None or math.isfinite(self.stop_at),
            "gradient_floor must be 0 or more": 0 <= self.gradient_floor < math.inf,
            "spectrum_power must be 0 to 2": 0 <= self.spectrum_power <= 2,
            "smoothing needs a smoothing_sigma above 0 and at most 100": self.smoothing == "none"
            or 0 < self.smoothing_sigma <= 100,
            "shifts need a shift_px of 1 or more": self.shifts == "none" or self.shift_px >= 1,
            "stratified shifts need an even shift_px": self.shifts != "stratified" or self.shift_px % 2 == 0,
            "shifts_per_step must be 1 or more, and 1 unless shifts are stratified": self.shifts_per_step == 1
            or (self.shifts == "stratified" and self.shifts_per_step > 1),
            "tile_px must be 0 (no tiles) or 64 or more": self.tile_px == 0 or self.tile_px >= 64,
            "tile_overlap_px must be 0 to half of tile_px": 0 <= self.tile_overlap_px <= self.tile_px // 2,
            f"octaves=... of a term must be {self.octaves} numbers (one per octave)": all(
                len(weights) == self.octaves for weights in per_octave
            ),
            "each octave needs a term with a weight other than 0": all(
                any(term.weight * (term.octaves[k] if term.octaves else 1) for term in self.objective)
                for k in range(min(self.octaves, 30) if all(len(w) == self.octaves for w in per_octave) else 0)
            ),
        }
        for rule, holds in rules.items():
            if not holds:
                raise UserError(f"recipe {self.name!r}: {rule}")

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The layers of the objective, as an extractor wants them."""
        return self.objective.layers

    @property
    def steps_per_octave(self) -> tuple[int, ...]:
        """Steps of every octave, coarse to fine."""
        return self.steps * self.octaves if len(self.steps) == 1 else self.steps

    def steps_at(self, strength: float) -> tuple[int, ...]:
        """Steps of every octave, coarse to fine, when only a share of the recipe's steps is run.

        The share is taken of the steps so far at the end of each octave, rounded to the nearest, so that all octaves
        are shortened alike and the total is the share of the whole.

        Args:
            strength: In (0, 1].

        Raises:
            UserError: If the strength is out of range, or so small that no step is left.
        """
        if not 0 < strength <= 1:
            raise UserError(f"strength is {strength}; it must be above 0 and at most 1")
        ends = [math.floor(strength * total + 0.5) for total in accumulate(self.steps_per_octave, initial=0)]
        if not ends[-1]:
            raise UserError(
                f"strength {strength} of the {sum(self.steps_per_octave)} steps of recipe {self.name!r} is no step at "
                f"all; give at least {0.5 / sum(self.steps_per_octave):.3g}"
            )
        return tuple(end - start for start, end in pairwise(ends))

    def step_length(self, octave: int, step: int) -> float:
        """Length of a step by the schedules; octave and step count from 0."""
        steps = self.steps_per_octave[octave]
        start = self.step_size[octave if len(self.step_size) > 1 else 0]
        return start * (self.step_decay ** (step / (steps - 1)) if steps > 1 else 1.0)

    def as_dict(self) -> dict[str, Any]:
        """The recipe in plain values, as JSON and YAML hold them: the objective as text, tuples as lists."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["objective"] = str(self.objective)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def to_json(self) -> str:
        """The recipe as one line of JSON; ``DreamRecipe.from_json`` reads it back."""
        return json.dumps(self.as_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> DreamRecipe:
        """Read what ``to_json`` wrote.

        Raises:
            UserError: If the text is not a recipe.
        """
        try:
            fields = json.loads(text)
            if not isinstance(fields, dict):
                raise UserError("it is not a JSON object")
            return cls(**typed_fields(fields))
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"this is not a recipe that dreamgan wrote: {error}") from None


def typed_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a recipe from plain values (JSON, YAML), each in its type.

    Args:
        values: Field to value.

    Raises:
        UserError: If a field is unknown or its value of another type.
    """
    known = {field.name: str(field.type) for field in dataclasses.fields(DreamRecipe)}
    typed: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            near = get_close_matches(str(name), known, n=1, cutoff=0.0)[0]
            raise UserError(f"a recipe has no field {name!r}; nearest: {near!r}")
        typed[name] = _typed(name, known[name], value)
    return typed


def _typed(name: str, kind: str, value: Any) -> Any:
    if kind.startswith("float") and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)  # YAML takes 1e-3, without a point, for a text
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind.startswith("tuple"):
        items = list(value) if isinstance(value, list | tuple) else [value]
        return tuple(_typed(name, kind.split("[")[1].split(",")[0], item) for item in items)
    if kind.startswith("float") and number:
        return float(value)
    if kind == "int" and number and float(value).is_integer():
        return int(value)
    if value is None and kind.endswith("None"):
        return None
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind not in ("int", "bool") and not kind.startswith("float") and isinstance(value, str | Objective):
        return value
    said = {"int": "a whole number", "bool": "true or false"}.get(kind, "a number" if "float" in kind else "a text")
    raise UserError(f"recipe {name} is {value!r}; it must be {said}")


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
