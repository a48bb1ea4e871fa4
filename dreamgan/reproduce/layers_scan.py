"""The scan behind ``layers_low`` and ``layers_high``: what gives the loss the shape of the paper's tables.

The paper (see ``layers.py``) gives neither a step size nor what is done to gradients and pixels.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from dreamgan.backbones.features import Extractor
from dreamgan.dream import DreamRecipe, DreamStep, score
from dreamgan.dream.recipe import GradientScale
from dreamgan.reproduce.layers import WANTED, extractors_of, marks_of
from dreamgan.reproduce.report import (
    Experiment,
    Part,
    dream_one,
    facts_of,
    load_photos,
    part,
    write_figure,
    write_table,
)


@dataclass(frozen=True)
class Setting:
    """What the paper leaves open: one choice of it.

    Attributes:
        scaling: ``minmax``: photos are stretched over [0, 1], as in the paper; ``none``: they are taken as they are.
        gradient_scale: ``std``, ``mean_abs`` or ``none``, as in ``DreamRecipe``.
        clamp: Whether pixels are kept in [0, 1] at every step.
        step_size: Pixels in [0, 1] per unit of the scaled gradient; for ``none`` per deviation of the photo's first
            gradient, so that the first step is as long as with ``std``.
    """

    scaling: str
    gradient_scale: GradientScale
    clamp: bool
    step_size: float


# The step sizes with what the recipes have, and what becomes of it when one of the other choices is another.
SETTINGS = (
    *(Setting("minmax", "std", True, size) for size in (0.002, 0.003, 0.004, 0.006, 0.01)),
    *(Setting("minmax", "mean_abs", True, size) for size in (0.003, 0.006)),
    *(Setting("minmax", "none", True, size) for size in (0.003, 0.006)),
    Setting("minmax", "std", False, 0.004),
    Setting("minmax", "none", False, 0.004),
    Setting("none", "std", True, 0.004),
)


def run(job: Experiment) -> None:
    """Dream with all that the paper leaves open; write ``layers_scan.csv`` and the loss curves, ``layers_scan.png``.

    In the figure each panel has one way to scale gradients and pixels and one line per step size: full for the low
    set, dashed for the high set, the mean over the photos. Settings in which every photo has the paper's shape (low
    above high at every mark, both ratios within its range for both sets) are green.

    Args:
        job: Small photos do (``--max_side 96``): at 224 px the ratios are a little larger.

    Raises:
        UserError: If weights or photos cannot be had.
    """
    photos = load_photos(job.photos, job.max_side)
    extractors = extractors_of(job)
    marks = marks_of(job)
    table: list[dict[str, Any]] = []
    curves: dict[Setting, dict[str, Tensor]] = {}
    good: set[Setting] = set()
    pairs = list(itertools.pairwise(marks))
    for setting in SETTINGS:
        rows: list[dict[str, Any]] = []
        for which, (recipe, extractor) in extractors.items():
            found = {
                name: _curve(job, which, name, photo, extractor, recipe, setting) for name, photo in photos.items()
            }
            curves.setdefault(setting, {})[which] = torch.tensor(list(found.values())).mean(dim=0)
            rows += [
                {
                    **vars(setting),
                    "set": which,
                    "photo": name,
                    **{f"loss{mark}": curve[mark] for mark in marks},
                    **{f"ratio_{end}_{start}": curve[end] / curve[start] for start, end in pairs},
                }
                for name, curve in found.items()
            ]
        if _has_shape(rows, marks):
            good.add(setting)
        table += rows
        write_table(job.out / "layers_scan.csv", list(table[0]), table)
    write_figure(job.out / "layers_scan.png", *_panels(curves, good))
    print(f"{len(good)} of {len(SETTINGS)} settings give every photo the shape of the paper's tables:")
    for setting in SETTINGS:
        if setting in good:
            print(f"  {setting}")


def _has_shape(rows: Sequence[Mapping[str, Any]], marks: Sequence[int]) -> bool:
    """Whether low is above high for every photo at every mark, and all ratios are within the paper's range."""
    loss = {(row["set"], row["photo"], mark): row[f"loss{mark}"] for row in rows for mark in marks}
    above = all(loss["low", photo, mark] > value for (which, photo, mark), value in loss.items() if which == "high")
    return above and all(
        least <= row[f"ratio_{end}_{start}"] <= most
        for (start, end), (least, most) in zip(itertools.pairwise(marks), WANTED, strict=False)
        for row in rows
    )


def _curve(
    job: Experiment,
    which: str,
    name: str,
    photo: Tensor,
    extractor: Extractor,
    recipe: DreamRecipe,
    setting: Setting,
) -> list[float]:
    """The loss after 0, 1, 2 ... steps, one more number than steps."""
    steps = marks_of(job)[-1]
    # The loss is told before each step, so the last one takes a further step, which is not made.
    changed = dataclasses.replace(
        recipe,
        stretch=setting.scaling == "minmax",
        gradient_scale=setting.gradient_scale,
        clamp=setting.clamp,
        step_size=(setting.step_size,),
        steps=(steps + 1,),
    )

    def make() -> Part:
        losses: list[float] = []

        def keep(at: DreamStep) -> bool:
            losses.append(float(at.scores))
            return at.step < steps

        used = changed
        if setting.gradient_scale == "none":
            unit = _first_deviation(photo, extractor, recipe)
            used = dataclasses.replace(changed, step_size=(setting.step_size / unit,))
        dream_one(job, f"{which} {name} {setting.gradient_scale}", photo, extractor, used, callback=keep)
        return Part({"losses": losses})

    place = "_".join(["scan", which, name, *(str(value) for value in vars(setting).values())])
    losses: list[float] = part(job, place, facts_of(job, extractor, changed, photo), make).values["losses"]
    return losses


def _first_deviation(photo: Tensor, extractor: Extractor, recipe: DreamRecipe) -> float:
    """Deviation of the gradient at the stretched photo, per pixel in [0, 1]."""
    stretched = (photo - photo.min()) / (photo.max() - photo.min()).clamp_min(1e-8)
    pixels = stretched[None].to(next(extractor.parameters())).requires_grad_(True)
    (gradient,) = torch.autograd.grad(score(pixels, extractor, recipe).sum(), pixels)
    return float(gradient.std(correction=0).clamp_min(1e-12))


def _panels(
    curves: Mapping[Setting, Mapping[str, Tensor]], good: Container[Setting]
) -> tuple[list[str], dict[str, list[Image.Image]]]:
    """Columns and rows of the figure: clamped and not, over the ways to scale photo and gradient."""
    columns = {True: "clamped to [0, 1]", False: "not clamped"}
    ways = dict.fromkeys((setting.scaling, setting.gradient_scale) for setting in curves)
    rows = {
        f"photo: {scaling}\ngradient / {how}": [
            _panel(
                {s: of for s, of in curves.items() if (s.scaling, s.gradient_scale, s.clamp) == (scaling, how, clamp)},
                good,
            )
            for clamp in columns
        ]
        for scaling, how in ways
    }
    return list(columns.values()), rows


def _panel(curves: Mapping[Setting, Mapping[str, Tensor]], good: Container[Setting]) -> Image.Image:
    """Curves of one panel, 0 at the bottom left; its step sizes stand at the ends of the low set's lines."""
    width, height, margin = 420, 240, 56
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    finite = [curve[curve.isfinite()] for of in curves.values() for curve in of.values()]
    top = max((float(curve.max()) for curve in finite if len(curve)), default=1.0) * 1.05
    draw.rectangle((0, 0, width - margin, height - 1), outline="grey")
    if curves:
        draw.text((4, 2), f"loss up to {top:.4g}", fill="grey")
    for setting, of in curves.items():
        colour = "green" if setting in good else "black"
        for which, curve in of.items():
            # Some 200 points a line; of a dashed one every other piece.
            places = torch.linspace(0, len(curve) - 1, min(len(curve), 201)).long().tolist()
            points = [
                (place / max(1, len(curve) - 1) * (width - margin), (1 - float(curve[place]) / top) * (height - 1))
                for place in places
                if bool(curve[place].isfinite())
            ]
            for number, (start, end) in enumerate(itertools.pairwise(points)):
                if which == "low" or number // 3 % 2 == 0:
                    draw.line((start, end), fill=colour)
            if which == "low" and points:
                draw.text((width - margin + 4, min(points[-1][1], height - 14)), f"{setting.step_size:g}", fill=colour)
    return picture
