"""Objectives as a small algebra: terms that add up, take weights and turn round, in Python and as text.

In Python ``l2("mixed3") + 1.5 * channel("mixed4", 17) - 0.2 * tv()``; in a flag, in YAML and in a recipe's JSON
``l2(mixed3) + 1.5*channel(mixed4, 17) - 0.2*tv()``. ``str`` writes the text and ``parse_objective`` reads it.
Everything is maximised: what is to be small gets a minus. ``scoring.py`` says what each term is worth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

from dreamgan.errors import UserError

# Kind of term -> the fields that are written without a name, in this order; a tuple takes all that remain.
KINDS: dict[str, tuple[str, ...]] = {
    "mean": ("layer",),
    "l2": ("layer",),
    "channel": ("layer", "maps"),
    "maps": ("layer", "maps"),
    "neuron": ("layer", "maps", "position"),
    "class": ("label",),
    "guided": ("layer", "guide"),
    "guided_match": ("layer", "guide"),
    "select_max": ("layer", "count"),
    "select_min": ("layer", "count"),
    "tv": (),
    "norm": (),
    "batch_norm": (),
}
_ON_PIXELS = ("tv", "norm", "batch_norm")  # regularisers: they have no layer of their own
_GUIDED = ("guided", "guided_match")
_SELECTING = ("select_max", "select_min")


@dataclass(frozen=True)
class Term:
    """One term of an objective; the functions below make them.

    Attributes:
        kind: Key of ``KINDS``.
        layer: Layer of the backbone; empty for terms on pixels; ``head`` for ``class``.
        maps: Map indices: one for ``channel`` and ``neuron``, any number for ``maps``.
        position: ``neuron``: (y, x) in the map; empty stands for its centre.
        label: ``class``: ImageNet name or index.
        guide: ``guided``, ``guided_match``: name of a guide picture, which ``dream`` is given.
        count: ``select_max``, ``select_min``: how many maps.
        spatial: ``guided``: a weight of its own for every location, from the guide stretched over the photo.
        per_octave: ``guided``: weights anew at each octave, from the guide shrunk like the photo.
        inset: ``mean``, ``l2``: locations left out along each border.
        octaves: Factors of the weight, one per octave, coarse to fine; empty: 1 everywhere.
        mask: Name of a mask, which ``dream`` is given: only activations under its white count.
        weight: Factor of the term; negative turns it round.
    """

    kind: str
    layer: str = ""
    maps: tuple[int, ...] = ()
    position: tuple[int, ...] = ()
    label: str = ""
    guide: str = ""
    count: int = 0
    spatial: bool = False
    per_octave: bool = False
    inset: int = 0
    octaves: tuple[float, ...] = ()
    mask: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        kind = self.kind
        if kind not in KINDS:
            near = get_close_matches(kind, KINDS, n=1, cutoff=0.0)[0]
            raise UserError(f"there is no objective {kind!r}; nearest: {near!r} (known: {', '.join(KINDS)})")
        rules = {
            "it needs a layer, such as l2(relu4_3)": bool(self.layer) != (kind in _ON_PIXELS),
            "it takes one map, such as channel(relu4_3, 17)": len(self.maps) == 1 or kind not in ("channel", "neuron"),
            "maps belong to channel, maps and neuron, such as maps(relu4_3, 17, 42)": bool(self.maps)
            == (kind in ("channel", "maps", "neuron")),
            "maps count from 0": all(index >= 0 for index in self.maps),
            "its position is y, x in the map, such as neuron(relu4_3, 17, 5, 5), or left out": not self.position
            or (kind == "neuron" and len(self.position) == 2 and min(self.position) >= 0),
            "it needs an ImageNet class, such as class(tabby) or class(281)": bool(self.label) == (kind == "class"),
            "it needs the name of a guide, such as guided(mixed5, guide)": bool(self.guide) == (kind in _GUIDED),
            "it needs a number of maps, such as select_max(relu4_3, 5)": (self.count > 0) == (kind in _SELECTING),
            "spatial and per_octave are for guided": kind == "guided" or not (self.spatial or self.per_octave),
            "inset is for mean and l2, and not below 0": self.inset == 0 or (kind in ("mean", "l2") and self.inset > 0),
            "it takes no mask, since it has no locations": not self.mask
            or kind not in (*_ON_PIXELS, "class", "neuron"),
            "names may not hold line breaks or both kinds of quotes": all(
                name.isprintable() and ("'" not in name or '"' not in name)
                for name in (self.layer, self.label, self.guide, self.mask)
            ),
            "weights must be finite": all(map(math.isfinite, (self.weight, *self.octaves))),
        }
        for rule, holds in rules.items():
            if not holds:
                raise UserError(f"objective {kind}: {rule}")

    @property
    def call(self) -> str:
        """The term as text, without its weight."""
        named = [field for field in fields(self) if field.name not in ("kind", "weight", *KINDS[self.kind])]
        given = [_text(getattr(self, name)) for name in KINDS[self.kind] if getattr(self, name) != ()]
        given += [
            f"{field.name}={_text(getattr(self, field.name), joint='/')}"
            for field in named
            if getattr(self, field.name) != field.default and not (self.kind == "class" and field.name == "layer")
        ]
        return f"{self.kind}({', '.join(given)})"


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms; ``+``, ``-`` and ``*`` with a number make new ones.

    Attributes:
        terms: At least one.
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        """Refuse an empty sum; a weight of 0 is allowed, as one end of a series of weights."""
        if not self.terms:
            raise UserError("an objective needs at least one term, such as l2(relu4_3)")

    def __add__(self, other: Objective) -> Objective:
        return Objective(self.terms + other.terms)

    def __sub__(self, other: Objective) -> Objective:
        return self + -other

    def __neg__(self) -> Objective:
        return -1.0 * self

    def __mul__(self, factor: float) -> Objective:
        return Objective(tuple(replace(term, weight=term.weight * factor) for term in self.terms))

    __rmul__ = __mul__

    def __str__(self) -> str:
        text = ""
        for term in self.terms:
            sign = "-" if term.weight < 0 else "+"
            size = "" if abs(term.weight) == 1 else f"{abs(term.weight)!r}*"
            text += f" {sign} {size}{term.call}" if text else f"{'-' if sign == '-' else ''}{size}{term.call}"
        return text

    def __iter__(self) -> Iterator[Term]:
        return iter(self.terms)

    def masked(self, mask: str) -> Objective:
        """The same, under a mask: only activations where it is white count."""
        return Objective(tuple(replace(term, mask=mask) for term in self.terms))

    def in_training(self, octave: int) -> Objective:
        """What can be said of features alone: the terms on layers, weighted as in one octave.

        Args:
            octave: Counts from 0; -1 is the finest.
        """
        weighted = (
            replace(term, weight=term.weight * (term.octaves[octave] if term.octaves else 1.0), octaves=())
            for term in self.terms
            if term.layer
        )
        return Objective(tuple(term for term in weighted if term.weight))

    def on_layers(self, layers: Sequence[tuple[str, float]]) -> Objective:
        """The same kind of term on other layers.

        Args:
            layers: Pairs (layer, weight).

        Raises:
            UserError: If the terms differ in more than layer and weight, so that it is not clear what to do on the
                new layers, or if they have no layer to change.
        """
        alike = {replace(term, layer="layer", weight=1.0) for term in self.terms if term.layer}
        if len(alike) != 1 or any(term.kind == "class" for term in self.terms):
            raise UserError(f"layers cannot be put into the objective {self}; give the whole objective instead")
        (term,) = alike
        rest = tuple(term for term in self.terms if not term.layer)
        return Objective((*(replace(term, layer=layer, weight=weight) for layer, weight in layers), *rest))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that an extractor must answer for, each once."""
        return tuple(dict.fromkeys(term.layer for term in self.terms if term.layer))

    @property
    def guides(self) -> tuple[str, ...]:
        """Names of the guide pictures that it needs."""
        return tuple(dict.fromkeys(term.guide for term in self.terms if term.guide))

    @property
    def masks(self) -> tuple[str, ...]:
        """Names of the masks that it needs."""
        return tuple(dict.fromkeys(term.mask for term in self.terms if term.mask))

    @property
    def needs_batch_norms(self) -> bool:
        """Whether the extractor must be loaded with ``batch_norms=True``."""
        return any(term.kind == "batch_norm" for term in self.terms)

    @property
    def selects(self) -> bool:
        """Whether maps are chosen by what is seen of the photo itself."""
        return any(term.kind in _SELECTING for term in self.terms)

    @property
    def stands_alone(self) -> bool:
        """Whether a picture and a backbone are enough to score it: no guides, no masks, no choice made on a photo."""
        return not self.guides and not self.masks and not self.selects


def mean(layer: str, *, inset: int = 0) -> Objective:
    """Average over the activations of a layer."""
    return Objective((Term("mean", layer, inset=inset),))


def l2(layer: str, *, inset: int = 0) -> Objective:
    """Mean squared activation, mean(a²); with ``inset``, locations near the border count as 0."""
    return Objective((Term("l2", layer, inset=inset),))


def channel(layer: str, index: int) -> Objective:
    """Mean of one map, mean(a[:, index])."""
    return Objective((Term("channel", layer, (index,)),))


def maps(layer: str, *indices: int) -> Objective:
    """Mean over a hand-picked list of maps."""
    return Objective((Term("maps", layer, indices),))


def neuron(layer: str, index: int, y: int | None = None, x: int | None = None) -> Objective:
    """One activation, a[:, index, y, x]; without a position the one in the middle."""
    position = tuple(place for place in (y, x) if place is not None)
    return Objective((Term("neuron", layer, (index,), position),))


def class_logit(name: str | int) -> Objective:
    """The pre-softmax logit of a class, by ImageNet name or index; ``class(...)`` as text."""
    return Objective((Term("class", "head", label=str(name)),))


def guided(layer: str, guide: str, *, spatial: bool = False, per_octave: bool = False) -> Objective:
    """Sum over maps of w_c mean(a[:, c]); w_c is the guide's mean activation over the sum of all |w_c| of the layer."""
    return Objective((Term("guided", layer, guide=guide, spatial=spatial, per_octave=per_octave),))


def guided_match(layer: str, guide: str) -> Objective:
    """Each location grows along the guide's feature vector with which its dot product is largest."""
    return Objective((Term("guided_match", layer, guide=guide),))


def select_max(layer: str, count: int) -> Objective:
    """Mean over the ``count`` maps that are most active on the photo."""
    return Objective((Term("select_max", layer, count=count),))


def select_min(layer: str, count: int) -> Objective:
    """Mean over the ``count`` maps that are least active on the photo."""
    return Objective((Term("select_min", layer, count=count),))


def tv() -> Objective:
    """Total variation of the picture in [0, 1]: mean |difference| to the right plus to the lower neighbour."""
    return Objective((Term("tv"),))


def norm() -> Objective:
    """Squared distance of the picture from mid-grey, mean((x - 0.5)²)."""
    return Objective((Term("norm"),))


def batch_norm() -> Objective:
    """Distance of a picture's own feature statistics from those of the network's batch norms (DeepInversion)."""
    return Objective((Term("batch_norm"),))


def _text(value: Any, joint: str = ", ") -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return joint.join(_text(item) for item in value)
    text = str(value)
    if not isinstance(value, str) or re.fullmatch(r"[\w./\[\]:-]+", text):
        return text
    return f'"{text}"' if "'" in text else f"'{text}'"


def parse_objective(text: str) -> Objective:
    """Read an objective: terms such as ``l2(relu4_3)`` with ``+``, ``-``, ``number*`` and parentheses.

    Options are named: ``guided(mixed5, bees, spatial=true)``, ``l2(mixed3, mask=sky, octaves=1/0.5/0)``. Names with
    spaces, commas or parentheses go in quotes.

    Raises:
        UserError: If the text is not an objective; the message shows where.
    """
    reader = _Reader(text)
    try:
        objective = reader.sum()
    except RecursionError:
        raise UserError("the objective has too many signs or parentheses inside each other") from None
    if reader.rest:
        raise reader.error("+, - or the end")
    return objective


class _Reader:
    """Recursive descent over the text; ``rest`` is what has not been read yet."""

    def __init__(self, text: str) -> None:
        self.text, self.rest = text, text.strip()

    def take(self, pattern: str) -> re.Match[str] | None:
        match = re.match(pattern, self.rest)
        if match:
            self.rest = self.rest[match.end() :].lstrip()
        return match

    def error(self, expected: str) -> UserError:
        at = f"at {self.rest!r}" if self.rest else "at the end"
        return UserError(f"objective {self.text.strip()!r}: expected {expected} {at}; write l2(mixed3) + 0.5*tv()")

    def sum(self) -> Objective:
        total = self.product()
        while sign := self.take(r"[+-]"):
            term = self.product()
            total = total + term if sign[0] == "+" else total - term
        return total

    def product(self) -> Objective:
        if self.take(r"-"):
            return -self.product()
        if number := self.take(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"):
            if not self.take(r"\*"):
                raise self.error("* after the weight")
            return float(number[0]) * self.product()
        if self.take(r"\("):
            inner = self.sum()
            if not self.take(r"\)"):
                raise self.error("')'")
            return inner
        kind = self.take(r"(\w+)\s*\(")
        if not kind:
            raise self.error("a term such as l2(mixed3)")
        arguments: list[str] = []
        # A quoted text, or anything without a comma or parenthesis, with an optional name before it. `++` and `*+`
        # never give back what they took, so that no text takes long.
        while argument := self.take(r"((?:\w++\s*+=\s*+)?(?:'[^']*+'|\"[^\"]*+\"|[^,()'\"]++))\s*+(,|(?=\)))"):
            arguments.append(argument[1].strip())
        if not self.take(r"\)"):
            raise self.error(f"')' after {kind[1]}(")
        return Objective((_term(kind[1], arguments),))


def _term(kind: str, arguments: Sequence[str]) -> Term:
    if kind not in KINDS:
        return Term(kind)  # raises, naming the nearest
    values: dict[str, Any] = {"layer": "head"} if kind == "class" else {}
    waiting = list(KINDS[kind])
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals and not argument.startswith(("'", '"')):
            name = name.strip()
            options = (*KINDS[kind], *_OPTIONS)
            if name not in options:
                near = get_close_matches(name, options, n=1, cutoff=0.0)[0]
                raise UserError(f"objective {kind}: there is no option {name!r}; nearest: {near!r}")
            if name in values:
                raise UserError(f"objective {kind}: {name} is given twice")
            values[name] = _value(kind, name, value.strip(), _OPTIONS.get(name, _usage(kind)))
            waiting = [field for field in waiting if field != name]
        elif not waiting:
            raise UserError(f"objective {kind}: {argument!r} is too much; write {_usage(kind)}")
        elif waiting[0] == "maps" and kind == "maps":
            values["maps"] = (*values.get("maps", ()), *_value(kind, "maps", argument, _usage(kind)))
        elif waiting[0] == "position":
            values["position"] = (*values.get("position", ()), *_value(kind, "position", argument, _usage(kind)))
        else:
            values[waiting[0]] = _value(kind, waiting[0], argument, _usage(kind))
            waiting.pop(0)
    return Term(kind, **values)


_EXAMPLES: dict[str, Any] = {field.name: field.default for field in fields(Term)}
# What is always written with its name, and how.
_OPTIONS = {
    "mask": "mask=NAME",
    "octaves": "octaves=1/0.5/0",
    "inset": "inset=2",
    "spatial": "spatial=true",
    "per_octave": "per_octave=true",
}


def _value(kind: str, name: str, text: str, usage: str) -> Any:
    """The text of an argument in the type of its field."""
    example = _EXAMPLES[name]
    if text[:1] in ("'", '"'):
        text = text[1:-1]
    try:
        if isinstance(example, bool):
            return {"true": True, "false": False, "yes": True, "no": False}[text.lower()]
        if isinstance(example, int):
            return int(text)
        if isinstance(example, tuple):
            return tuple((float if name == "octaves" else int)(item) for item in text.split("/"))
    except (ValueError, KeyError):
        raise UserError(f"objective {kind}: {name} is {text!r}; write {usage}") from None
    if not text:
        raise UserError(f"objective {kind}: {name} is empty; write {usage}")
    return text


def _usage(kind: str) -> str:
    examples = {
        "layer": "LAYER",
        "maps": "MAP",
        "position": "Y, X",
        "label": "CLASS",
        "guide": "GUIDE",
        "count": "COUNT",
    }
    return f"{kind}({', '.join(examples[name] for name in KINDS[kind])})"
