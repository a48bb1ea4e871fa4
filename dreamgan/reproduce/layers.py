"""The loss tables of *layers*: dreams of low against high layers of VGG16, 1,000 steps each.

Source: Al-Khazraji, Abbas, Jamil, *The Effect of Changing Targeted Layers of the Deep Dream Technique Using VGG-16*,
tables 2 and 3.
Differs: the paper gives no step size, nor what the network sees after the min-max step; the recipes ``layers_low`` and
``layers_high`` say what we take, and ``layers_scan`` shows why. Losses depend on the scale of the weights: shapes
compare, magnitudes do not.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image
from torch import Tensor

from dreamgan.backbones.features import Extractor, load_extractor
from dreamgan.dream import DreamRecipe, get_recipe
from dreamgan.images import to_picture
from dreamgan.reproduce.report import (
    Experiment,
    Part,
    dream_one,
    facts_of,
    load_photos,
    part,
    score_one,
    write_figure,
    write_table,
)

SETS = {"low": "layers_low", "high": "layers_high"}
COLUMNS = ("set", "photo", "step", "loss")
# What the paper's tables span: 500 / 100 and 1000 / 500.
WANTED = ((1.4, 1.7), (1.03, 1.10))


def run(job: Experiment) -> None:
    """Dream each photo with both sets; write ``layers.csv`` and ``layers.png``.

    The table has the loss after a tenth of the steps, half and all of them: 100, 500 and 1,000. The loss is the
    objective, the sum of the layers' mean activations, of the picture after that many steps, whole and unshifted.

    Args:
        job: At least two photos are wanted.

    Raises:
        UserError: If weights or photos cannot be had.
    """
    if len(job.photos) < 2:
        print("layers: one photo only; the paper's tables have two (--photos a.jpg,b.jpg)", file=sys.stderr)
    photos = load_photos(job.photos, job.max_side)
    extractors = extractors_of(job)
    table: list[dict[str, Any]] = []
    grid: dict[str, list[Image.Image]] = {}
    for name, photo in photos.items():
        for which, (recipe, extractor) in extractors.items():
            done = _dream(job, f"layers_{which}_{name}", photo, extractor, recipe)
            losses: dict[str, float] = done.values["losses"]
            table += [{"set": which, "photo": name, "step": int(step), "loss": loss} for step, loss in losses.items()]
            grid[f"{name}\n{which}"] = [to_picture(photo), *(done.pictures[step] for step in losses)]
    write_table(job.out / "layers.csv", COLUMNS, table)
    recipe, extractor = extractors["low"]
    said = verdict(table)
    how = f"photos stretched to [0, 1], gradient / {recipe.gradient_scale}, step size {recipe.step_size[0]:g}"
    caption = "\n".join([f"{extractor.backbone}, {how}, pixels clamped", *said])
    write_figure(job.out / "layers.png", ["photo", *(f"step {step}" for step in marks_of(job))], grid, caption)
    print("\n".join(said))


def marks_of(job: Experiment) -> tuple[int, ...]:
    """After how many steps the loss is taken: 100, 500 and 1,000, or as far on the way of a shorter run."""
    steps = job.steps or 1000
    return tuple(sorted({max(1, steps // 10), max(1, steps // 2), steps}))


def extractors_of(job: Experiment) -> dict[str, tuple[DreamRecipe, Extractor]]:
    """Set (``low``, ``high``) to its recipe and the backbone cut for it."""
    recipes = {which: get_recipe(name, job.backbone or "vgg16") for which, name in SETS.items()}
    return {
        which: (
            recipe,
            load_extractor(job.backbone or "vgg16", recipe.layer_names, weights=job.weights, device=job.device),
        )
        for which, recipe in recipes.items()
    }


def _dream(job: Experiment, name: str, photo: Tensor, extractor: Extractor, recipe: DreamRecipe) -> Part:
    """The dream in stretches from mark to mark, which is the same as at once: there is one octave and no schedule."""
    marks = marks_of(job)

    def make() -> Part:
        image, losses, pictures = photo, {}, {}
        for before, mark in itertools.pairwise((0, *marks)):
            stretch = dataclasses.replace(recipe, steps=(mark - before,), stretch=recipe.stretch and before == 0)
            image = dream_one(job, f"{name} {before} to {mark}", image, extractor, stretch).images[0]
            losses[str(mark)] = score_one(image, extractor, recipe)
            pictures[str(mark)] = to_picture(image)
        return Part({"losses": losses}, pictures)

    return part(job, name, facts_of(job, extractor, recipe, photo, marks=marks), make)


def verdict(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whether a table has the shape of the paper's, one line each: low above high, and how the losses grow.

    Args:
        table: Rows with the columns of ``layers.csv``; ratios are held against the paper's at its own steps only.
    """
    losses = {(row["set"], row["photo"], row["step"]): row["loss"] for row in table}
    photos = list(dict.fromkeys(row["photo"] for row in table))
    steps = sorted({row["step"] for row in table})
    above = all(losses["low", photo, step] > losses["high", photo, step] for photo in photos for step in steps)
    said = [f"low above high at every step: {'yes' if above else 'no'}"]
    for (start, end), (least, most) in zip(itertools.pairwise(steps), WANTED, strict=False):
        ratios = [losses[which, photo, end] / losses[which, photo, start] for which in SETS for photo in photos]
        line = f"loss at {end} / {start}: {min(ratios):.3f} to {max(ratios):.3f}"
        if steps == [100, 500, 1000]:
            holds = all(least <= ratio <= most for ratio in ratios)
            line += f" ({'within' if holds else 'not within'} the paper's {least} to {most})"
        said.append(line)
    return said
