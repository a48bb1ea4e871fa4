"""The sweeps of *juit*: dreams over layers, pyramid sizes and iterations.

Source: Prakhar, Singh, *Deep Dream & Neural Style Transfer using Python*, figures 4.2 to 4.6, made with
gordicaleksa/pytorch-deepdream: VGG16, pyramid ratio 1.8.
Differs: what the report does not sweep stands at the peer's defaults (``relu4_3``, 4 levels, 10 iterations), and photos
are 224 px wide unless ``--max_side`` says otherwise, there 600.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from dreamgan.backbones.features import Extractor, load_extractor
from dreamgan.dream import get_recipe
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

COLUMNS = (
    "layer",
    "pyramid_size",
    "iterations",
    "photo",
    "score_before",
    "score_after",
    "seconds",
    "mean_abs_change",
)
RATIO = 1.8
PYRAMID_SIZE, PYRAMID_SIZES = 4, (1, 3, 4, 5)
ITERATIONS, ITERATIONS_SWEPT = 10, (2, 5, 10, 20)
# Layers swept, and which of them stands while the rest is swept; other backbones have those of `tutorial`.
_LAYERS = {
    "vgg16": ("relu3_3", "relu4_3", "relu5_1"),
    "vgg19": ("relu3_3", "relu4_3", "relu5_1"),
    "resnet50": ("layer3",),
}
_LAYER = {"vgg16": "relu4_3", "vgg19": "relu4_3"}


@dataclass(frozen=True)
class Setting:
    """One dream of the sweeps.

    Attributes:
        layer: Its layer.
        pyramid_size: Its octaves.
        iterations: Steps of each octave.
    """

    layer: str
    pyramid_size: int
    iterations: int


def run(job: Experiment) -> None:
    """Dream all settings on all photos; write ``juit.csv`` and five grids, ``figure_4_2_...png`` to ``4_6``.

    With ``--backbone resnet50`` it is the report's single dream of ``layer3``, meant for Places365 weights:
    ``juit_resnet50.csv`` and ``figure_resnet50_layer3.png``.

    The table: ``score_before`` and ``score_after`` are mean(a²) of the layer on the whole picture, unshifted;
    ``mean_abs_change`` is the mean of |dream - photo|, pixels in [0, 1]; ``seconds`` are those of the dream alone.

    Args:
        job: ``steps`` caps the iterations.

    Raises:
        UserError: If weights or photos cannot be had.
    """
    backbone = job.backbone or "vgg16"
    layers = _LAYERS.get(backbone) or get_recipe("tutorial", backbone).layer_names
    figures = _figures(backbone, layers, most=job.steps or max(ITERATIONS_SWEPT))
    settings = sorted(
        {one for rows in figures.values() for _, row in rows for one in row},
        key=lambda one: (layers.index(one.layer), one.pyramid_size, one.iterations),
    )
    extractors = {name: load_extractor(backbone, [name], weights=job.weights, device=job.device) for name in layers}
    photos = load_photos(job.photos, job.max_side)
    table: list[dict[str, Any]] = []
    dreams: dict[tuple[str, Setting], Image.Image] = {}
    short: dict[int, int] = {}  # pyramid size -> levels that were too small for the network
    for name, photo in photos.items():
        for setting in settings:
            done = _dream(job, name, photo, extractors[setting.layer], setting)
            row = {**vars(setting), "photo": name, **done.values}
            dropped = row.pop("dropped_octaves")
            short[setting.pyramid_size] = max(dropped, short.get(setting.pyramid_size, 0))
            table.append(row)
            dreams[name, setting] = done.pictures["dream"]
    for size, dropped in sorted(short.items()):
        if dropped:
            print(f"juit: {_too_small(size, dropped)}; raise --max_side", file=sys.stderr)
    write_table(job.out / ("juit_resnet50.csv" if backbone == "resnet50" else "juit.csv"), COLUMNS, table)
    for figure, rows in figures.items():
        grid = {
            f"{name} {label}".strip(): [to_picture(photo), *(dreams[name, setting] for setting in row)]
            for name, photo in photos.items()
            for label, row in rows
        }
        shown = [setting for _, row in rows for setting in row]
        columns, same = _labels(rows[0][1], shown)
        sizes = dict.fromkeys(setting.pyramid_size for setting in shown)
        lacking = [_too_small(size, short[size]) for size in sizes if short[size]]
        caption = "\n".join([f"{backbone}, {same}, ratio {RATIO}", *lacking])
        write_figure(job.out / f"{figure}.png", ["photo", *columns], grid, caption)


def _figures(backbone: str, layers: Sequence[str], most: int) -> dict[str, list[tuple[str, list[Setting]]]]:
    """Name of each figure to its rows: label and settings; of no dream more than ``most`` iterations."""
    usual = min(ITERATIONS, most)
    if backbone == "resnet50":
        return {"figure_resnet50_layer3": [("", [Setting(layers[0], PYRAMID_SIZE, usual)])]}
    layer = _LAYER.get(backbone, layers[0])
    iterations = tuple(dict.fromkeys(min(count, most) for count in ITERATIONS_SWEPT))
    by_pyramid = {name: [Setting(name, size, usual) for size in PYRAMID_SIZES] for name in layers}
    by_iterations = {name: [Setting(name, PYRAMID_SIZE, count) for count in iterations] for name in layers}
    return {
        "figure_4_2_layers": [("", [Setting(name, PYRAMID_SIZE, usual) for name in layers])],
        "figure_4_3_pyramid_sizes": [("", by_pyramid[layer])],
        "figure_4_4_iterations": [("", by_iterations[layer])],
        "figure_4_5_layers_by_pyramid_size": list(by_pyramid.items()),
        "figure_4_6_layers_by_iterations": list(by_iterations.items()),
    }


def _too_small(pyramid_size: int, dropped: int) -> str:
    return f"pyramid size {pyramid_size}: the finest {pyramid_size - dropped} only, since the others are too small"


def _labels(row: Sequence[Setting], shown: Sequence[Setting]) -> tuple[list[str], str]:
    """Labels of the columns: what differs along a row; and a caption: what is the same in the whole figure."""
    texts = {"layer": "{}", "pyramid_size": "pyramid size {}", "iterations": "{} iterations"}
    along = [field for field in texts if len({getattr(setting, field) for setting in row}) > 1]
    same = [field for field in texts if len({getattr(setting, field) for setting in shown}) == 1]
    columns = [", ".join(texts[field].format(getattr(setting, field)) for field in along) or "dream" for setting in row]
    return columns, ", ".join(texts[field].format(getattr(row[0], field)) for field in same)


def _dream(job: Experiment, name: str, photo: Tensor, extractor: Extractor, setting: Setting) -> Part:
    recipe = get_recipe(
        "gordic",
        extractor.backbone,
        layers=((setting.layer, 1.0),),
        octaves=setting.pyramid_size,
        octave_scale=RATIO,
        steps=setting.iterations,
    )

    def make() -> Part:
        start = time.perf_counter()
        result = dream_one(job, name, photo, extractor, recipe)
        seconds = time.perf_counter() - start
        dreamed = result.images[0]
        values = {
            "score_before": score_one(photo, extractor, recipe),
            "score_after": score_one(dreamed, extractor, recipe),
            "seconds": seconds,
            "mean_abs_change": float((dreamed - photo).abs().mean()),
            "dropped_octaves": result.dropped_octaves,
        }
        return Part(values, {"dream": to_picture(dreamed)})

    place = f"juit_{name}_{setting.layer}_pyramid{setting.pyramid_size}_iterations{setting.iterations}"
    return part(job, place, facts_of(job, extractor, recipe, photo), make)
