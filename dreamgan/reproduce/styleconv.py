"""*styleconv*: one map of one layer against all maps of several, and several scales against one.

Source: Wang, Dong, *Image Style Conversion using Deep CNN*: a single map gives repeating texture, and multi-scale
refinement cures noise, low resolution and repeating texture.
Differs: the paper shows pictures and measures nothing; the measures are ours. It names neither maps nor steps: they
are those of the recipes ``styleconv_single`` and ``styleconv_multi``, and for the table also of some further maps,
spread evenly over the layer so that nobody picked them.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dreamgan.backbones.features import Extractor, load_extractor, normalise
from dreamgan.dream import DreamRecipe, get_recipe
from dreamgan.dream.noise import noise_images
from dreamgan.dream.objectives import channel
from dreamgan.dream.octaves import enlarge_to, octave_sizes, resize
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
    "start",
    "objective",
    "layers",
    "map",
    "scales",
    "steps",
    "skipped_steps",
    "score_before",
    "score_after",
    "total_variation_before",
    "total_variation",
    "high_frequency_share",
    "repetition",
    "sameness_before",
    "sameness",
)
NOISE = "(noise)"
FURTHER_MAPS = 3
# One small scale is enlarged at the end: the low resolution that the paper sets out from.
SCALES = ("one small", "one", "several")
# Half of the finest frequency that pixels can hold, in cycles per pixel.
HIGH_FREQUENCY = 0.25
# Columns in which two rows agree that are of one dream but for its scales, or of one setting but for the objective.
DREAM = ("start", "objective", "map")
SETTING = ("start", "scales")


@dataclass(frozen=True)
class Variant:
    """One column of the figure, and one row of the table for each picture to start from.

    Attributes:
        objective: ``single`` or ``multi``.
        index: The map of ``single``; None for ``multi``.
        scales: One of ``SCALES``.
    """

    objective: str
    index: int | None
    scales: str


def run(job: Experiment) -> None:
    """Dream every photo and a picture of noise in all variants; write ``styleconv.csv`` and ``styleconv.png``.

    The table, of what a dream shows beyond its start: ``high_frequency_share`` is the share of energy above 0.25
    cycles per pixel (noise; where it is next to nothing, low resolution), ``repetition`` the highest off-centre peak of
    the autocorrelation. Of the whole picture: ``total_variation``, and ``sameness``, how alike its parts are to the
    backbone (see ``sameness``). ``score_...`` are the variant's own objective, whole and unshifted. All variants of a
    kind make the same number of steps in total. Steps are skipped where the gradient is zero: a map that does not
    answer to noise cannot be dreamed from it.

    Args:
        job: Noise has the size of the first photo.

    Raises:
        UserError: If weights or photos cannot be had.
    """
    backbone = job.backbone or "inception_v3"
    recipes = {kind: get_recipe(f"styleconv_{kind}", backbone, steps=job.steps) for kind in ("single", "multi")}
    extractors = {
        kind: load_extractor(backbone, recipe.layer_names, weights=job.weights, device=job.device)
        for kind, recipe in recipes.items()
    }
    # Its last layer lies below all that are dreamed of here, and takes no side.
    below = get_recipe("layers_high", backbone).layer_names[-1]
    judge = load_extractor(backbone, [below], weights=job.weights, device=job.device)
    (term,) = recipes["single"].objective
    width = extractors["single"].widths[term.layer]
    own = term.maps[0]
    shown = [
        *(Variant("single", own, scales) for scales in SCALES),
        *(Variant("multi", None, scales) for scales in SCALES),
    ]
    further = [Variant("single", index, scales) for index in _further_maps(own, width) for scales in ("one", "several")]
    starts = load_photos(job.photos, job.max_side)
    height, wide = next(iter(starts.values())).shape[-2:]
    starts[NOISE] = noise_images(height, wide, seed=job.seed, names=["noise"])[0]
    table: list[dict[str, Any]] = []
    grid: dict[str, list[Image.Image]] = {}
    dropped: dict[str, int] = {}
    for name, start in starts.items():
        grid[name] = [to_picture(start)]
        for variant in (*shown, *further):
            recipe, extractor = recipes[variant.objective], extractors[variant.objective]
            done = _dream(job, name, start, extractor, judge, recipe, variant)
            row = dict(done.values)
            dropped[name] = max(dropped.get(name, 0), row.pop("dropped_octaves"))
            table.append(row)
            if variant in shown:
                grid[name].append(done.pictures["dream"])
    for name, count in dropped.items():
        if count:
            print(
                f"styleconv: {name}: the {count} coarsest of its scales were left out, too small for {backbone}, so "
                "several scales make fewer steps than one; raise --max_side",
                file=sys.stderr,
            )
    write_table(job.out / "styleconv.csv", COLUMNS, table)
    said = verdict(table)
    titles = {"single": f"map {own}", "multi": "layers"}
    columns = [f"{titles[one.objective]}, {one.scales} scale{'s' * (one.scales == 'several')}" for one in shown]
    layers = ", ".join(recipes["multi"].layer_names)
    what = f"{backbone}: map {own} of {term.layer}; layers {layers}; several scales are {recipes['single'].octaves}"
    write_figure(job.out / "styleconv.png", ["start", *columns], grid, "\n".join([what, *said]))
    print("\n".join(said))


def _further_maps(own: int, width: int) -> list[int]:
    """Maps of the same layer at even distances, counted on from the recipe's own."""
    steps = range(1, FURTHER_MAPS + 1)
    return [index for step in steps if (index := (own + step * width // (FURTHER_MAPS + 1)) % width) != own]


def _dream(
    job: Experiment,
    name: str,
    start: Tensor,
    extractor: Extractor,
    judge: Extractor,
    usual: DreamRecipe,
    variant: Variant,
) -> Part:
    recipe = _recipe(usual, variant)
    layers = ",".join(recipe.layer_names)
    size = (start.shape[-2], start.shape[-1])
    sizes = [(height, width) for height, width in octave_sizes(*size, usual)]

    def make() -> Part:
        small = resize(start[None], sizes[0])[0] if variant.scales == "one small" else start
        label = f"{name} {variant.objective} {variant.scales}"
        result = dream_one(job, label, small, extractor, recipe)
        dreamed = resize(result.images, size)[0]
        passed = {"one": [], "one small": sizes[:1], "several": sizes[result.dropped_octaves :]}[variant.scales]
        added = dreamed - (0.5 if name == NOISE else _resized(start, [*passed, size]))
        values = {
            "start": name,
            "objective": variant.objective,
            "layers": layers,
            "map": "" if variant.index is None else variant.index,
            "scales": variant.scales,
            "steps": sum(recipe.steps_per_octave[result.dropped_octaves :]),
            "skipped_steps": int(result.skipped_steps),
            "score_before": score_one(start, extractor, recipe),
            "score_after": score_one(dreamed, extractor, recipe),
            "total_variation_before": total_variation(start),
            "total_variation": total_variation(dreamed),
            "high_frequency_share": high_frequency_share(added),
            "repetition": repetition(added),
            "sameness_before": sameness(start, judge),
            "sameness": sameness(dreamed, judge),
            "dropped_octaves": result.dropped_octaves,
        }
        return Part(values, {"dream": to_picture(dreamed)})

    which = variant.objective if variant.index is None else f"map{variant.index}"
    facts = facts_of(job, extractor, recipe, start, scales=variant.scales, judge=judge.layers)
    return part(job, f"styleconv_{name}_{which}_{variant.scales}", facts, make)


def _recipe(usual: DreamRecipe, variant: Variant) -> DreamRecipe:
    """The recipe of a variant: with one scale, as many steps as otherwise in all."""
    if variant.index is not None:
        usual = dataclasses.replace(usual, objective=channel(usual.layer_names[0], variant.index))
    if variant.scales == "several":
        return usual
    return dataclasses.replace(usual, octaves=1, steps=(sum(usual.steps_per_octave),))


def _resized(image: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """The picture after all the resizing of a dream, without its steps: what is lost there is not the dream's doing."""
    images = image[None]
    for size in sizes:
        images = resize(images, size)
    return images[0]


def total_variation(image: Tensor) -> float:
    """Mean |difference| to the right plus to the lower neighbour, of (3, H, W)."""
    across = (image[..., 1:] - image[..., :-1]).abs().mean()
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().mean()
    return float(across + down)


def high_frequency_share(added: Tensor) -> float:
    """Share of the energy of (3, H, W), without its mean, above 0.25 cycles per pixel; 0 where there is no energy.

    Under a Hann window: the jump from one border to the other would else count as high frequency.
    """
    height, width = added.shape[-2:]
    window = torch.hann_window(height, periodic=False)[:, None] * torch.hann_window(width, periodic=False)
    energy = torch.fft.fft2(_centred(added) * window.double()).abs().square().sum(dim=0)
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width))
    return _ratio(float(energy[frequency > HIGH_FREQUENCY].sum()), float(energy.sum()))


def repetition(added: Tensor) -> float:
    """Height of the highest off-centre peak of the autocorrelation of (3, H, W), without its mean.

    1 is a pattern that repeats exactly, 0 one that never does. Not circular: at each lag the part of the picture that
    the shifted one covers is compared with it, by its own energy. Lags count from where the autocorrelation, averaged
    over directions, first rises again, up to half of the shorter side.
    """
    height, width = added.shape[-2:]
    values = _centred(added)
    size = (2 * height, 2 * width)  # zeros all round: no pair wraps around
    spectrum = torch.fft.rfft2(values, s=size)
    covered = torch.fft.rfft2(torch.ones_like(values), s=size)
    products = torch.fft.irfft2((spectrum * spectrum.conj()).sum(dim=0), s=size)
    energy = torch.fft.irfft2((torch.fft.rfft2(values.square(), s=size) * covered.conj()).sum(dim=0), s=size)
    energy_shifted = energy.flip(0, 1).roll((1, 1), dims=(0, 1))  # that of the opposite lag
    likeness = products / (energy * energy_shifted).clamp_min(1e-20).sqrt()
    rows, columns = (torch.fft.fftfreq(side, 1 / side, dtype=torch.float64) for side in size)
    lag = torch.hypot(rows[:, None], columns)
    longest = min(height, width) // 2
    rings = [float(likeness[lag.round() == radius].mean()) for radius in range(longest + 1)]
    centre = next((radius for radius in range(longest) if rings[radius + 1] >= rings[radius]), longest)
    off_centre = likeness[(lag > centre) & (lag <= longest)]
    return float(off_centre.max()) if off_centre.numel() and float(values.abs().max()) > 0 else 0.0


def _centred(image: Tensor) -> Tensor:
    wide = image.double()
    return wide - wide.mean(dim=(1, 2), keepdim=True)


def _ratio(part_of: float, whole: float) -> float:
    return part_of / whole if whole > 0 else 0.0


def sameness(image: Tensor, judge: Extractor, parts: int = 4) -> float:
    """How alike the parts of a picture are to a network: the mean cosine between its mean activations in them.

    Args:
        image: (3, H, W) in [0, 1]; cut into ``parts`` x ``parts``.
        judge: Its only layer is asked.
        parts: Along each side.

    Returns:
        1 where all parts show the same; activations after a ReLU have cosines far above 0 in any case, so that only
        differences tell.
    """
    like = next(judge.parameters())
    with torch.no_grad():
        images = enlarge_to(normalise(image[None].to(like)), judge.min_size_px)
        activation: Tensor = judge(images)[judge.layers[0]]
        vectors = F.normalize(F.adaptive_avg_pool2d(activation, parts)[0].flatten(1).T, dim=1)
        cosines = vectors @ vectors.T
    others = ~torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    return float(cosines[others].mean())


def verdict(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the paper claims against what a table holds, one line each: means, and in how many pairs it is so.

    Dreams without a single step do not count.

    Args:
        table: Rows with the columns of ``styleconv.csv``.
    """
    dreamed = [row for row in table if row["skipped_steps"] < row["steps"]]
    one, several, small = (_where(dreamed, "scales", scales) for scales in ("one", "several", "one small"))
    single, multi = (_where([*one, *several], "objective", objective) for objective in ("single", "multi"))

    def scales(claim: str, measure: str) -> str:
        return _said(f"{claim} ({measure}): one scale {{}}, several {{}}", measure, one, several, DREAM)

    def objectives(claim: str, measure: str) -> str:
        return _said(f"{claim} ({measure}): one map {{}}, several layers {{}}", measure, single, multi, SETTING)

    resolution = "resolution (high_frequency_share): several scales {}, one small one {}"
    return [
        scales("noise", "high_frequency_share"),
        _said(resolution, "high_frequency_share", several, small, DREAM),
        scales("texture repeats", "repetition"),
        scales("texture repeats", "sameness"),
        objectives("texture repeats", "repetition"),
        objectives("texture repeats", "sameness"),
    ]


def _where(table: Sequence[Mapping[str, Any]], column: str, value: str) -> list[Mapping[str, Any]]:
    return [row for row in table if row[column] == value]


def _said(
    text: str,
    measure: str,
    first: Sequence[Mapping[str, Any]],
    second: Sequence[Mapping[str, Any]],
    alike: Sequence[str],
) -> str:
    """Compare a measure over the pairs of rows, one of each side, that agree in the columns ``alike``."""
    seconds = {tuple(row[column] for column in alike): row[measure] for row in second}
    keys = [(tuple(row[column] for column in alike), row[measure]) for row in first]
    pairs = [(value, seconds[key]) for key, value in keys if key in seconds]
    if not pairs:
        return f"{text.format('-', '-')}; nothing to compare"
    means = [f"{sum(values) / len(pairs):.3f}" for values in zip(*pairs, strict=True)]
    higher = sum(one > other for one, other in pairs)
    return f"{text.format(*means)}; the first is higher in {higher} of {len(pairs)}"
