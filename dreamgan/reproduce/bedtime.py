"""The dreams of *bedtime*: guided by two unlike pictures, of the most and least active maps, of hand-picked maps.

Source: Pap, Horváth, Gyöngyössy, *Bedtime Story: Manipulating and Replicating Deep Dreams* (InceptionV3 ``mixed3``,
``5``, ``6``, ``7``; VGG16; MobileNetV2), with what it left open: spatial and per-octave guide weights.
Differs: the paper shows pictures and measures nothing; the table is ours. Its settings are open; they are those of the
recipe ``guided``. Its claim on fine-tuning is not tried here.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from dreamgan.backbones.features import Extractor, load_extractor, normalise
from dreamgan.dream import DreamRecipe, Objective, get_recipe
from dreamgan.dream.objectives import guided, guided_match, maps, select_max, select_min
from dreamgan.dream.octaves import enlarge_to
from dreamgan.dream.scoring import choose_maps
from dreamgan.errors import UserError
from dreamgan.images import to_picture
from dreamgan.reproduce.report import (
    Experiment,
    Part,
    dream_one,
    facts_of,
    load_photos,
    part,
    sample_photos,
    write_figure,
    write_table,
)

GUIDED_COLUMNS = (
    "photo",
    "layer",
    "form",
    "dream_guide",
    "maps_of_guide",
    "which_maps",
    "map_count",
    "activation_before",
    "activation_after",
    "gain",
    "relative_gain",
    "gain_of_other_maps",
    "relative_gain_of_other_maps",
)
CHOSEN_COLUMNS = ("photo", "layer", "objective", "maps", *GUIDED_COLUMNS[6:], "skipped_steps")
GUIDES = ("flower", "rocket")
# Share of a layer's maps that count as the guide's.
SHARE = 0.1
COUNT = 5
FORMS: Mapping[str, Callable[[str], Objective]] = {
    "plain": lambda layer: guided(layer, "guide"),
    "spatial": lambda layer: guided(layer, "guide", spatial=True),
    "per_octave": lambda layer: guided(layer, "guide", per_octave=True),
    "match": lambda layer: guided_match(layer, "guide"),
}
# Layers dreamed with plain guides, besides the recipe's, which has all forms; the paper names those of InceptionV3.
# MobileNetV2's block_10 is there for contrast: the same maps lead in it for any guide. Others: those of `tutorial`.
_LAYERS = {
    "inception_v3": ("mixed3", "mixed5", "mixed6", "mixed7"),
    "vgg16": ("relu4_3", "relu5_1"),
    "vgg19": ("relu4_3", "relu5_1"),
    "mobilenet_v2": ("block_10_expand_relu", "block_12_expand_relu"),
}
# Maps that somebody has looked at; of other layers, the first three.
_HAND_PICKED = {
    ("inception_v3", "mixed5"): (13, 60, 100),
    ("vgg16", "relu4_3"): (5, 77, 240),
    ("mobilenet_v2", "block_12_expand_relu"): (220, 360, 465),
    ("squeezenet1_1", "features.9"): (60, 77, 190),
    ("googlenet_bvlc", "inception_4c"): (13, 41, 150),
}


def run(job: Experiment) -> None:
    """Dream each photo with each guide in all forms, and of chosen maps; write two tables and two figures.

    ``bedtime.csv`` says for each dream, and for the maps of both guides, how much their mean activation grew, and that
    of all other maps. ``which_maps``: ``heaviest`` are the tenth of the maps with the largest guide weight;
    ``distinct`` the tenth whose weight most exceeds the other guide's. ``bedtime_maps.csv`` says the same of the maps
    that ``select_max``, ``select_min`` (five each) and ``maps`` (hand-picked) dream. Activations are those of the whole
    picture, unshifted. ``bedtime.png`` and ``bedtime_maps.png`` show the dreams. Steps are skipped where the gradient
    is zero: the least active maps may answer to nothing in a photo.

    Args:
        job: Two guides, or none for a flower and a rocket.

    Raises:
        UserError: If there are not two guides, or weights, photos or guides cannot be had.
    """
    backbone = job.backbone or "mobilenet_v2"
    (layer,) = get_recipe("guided", backbone).layer_names
    layers = (*(_LAYERS.get(backbone) or get_recipe("tutorial", backbone).layer_names), layer)
    guides = _guides(job)
    photos = load_photos(job.photos, job.max_side)
    extractors = {
        name: load_extractor(backbone, [name], weights=job.weights, device=job.device) for name in dict.fromkeys(layers)
    }
    _dream_guided(job, photos, guides, extractors, layer)
    _dream_maps(job, photos, extractors[layer])


def _dream_guided(
    job: Experiment,
    photos: Mapping[str, Tensor],
    guides: Mapping[str, Tensor],
    extractors: Mapping[str, Extractor],
    layer: str,
) -> None:
    """Plain guides on all layers, the other forms on one."""
    settings = [(name, "plain") for name in extractors] + [(layer, form) for form in FORMS if form != "plain"]
    table: list[dict[str, Any]] = []
    grid: dict[str, list[Image.Image]] = {}
    dropped = 0
    for name, photo in photos.items():
        for guide, picture in guides.items():
            row = [to_picture(picture), to_picture(photo)]
            for dreamed, form in settings:
                done = _guided(job, name, photo, guide, guides, extractors[dreamed], form)
                table += done.values["rows"]
                dropped = max(dropped, done.values["dropped_octaves"])
                row.append(done.pictures["dream"])
            grid[f"{name}\nas {guide}"] = row
    backbone = extractors[layer].backbone
    if dropped:
        print(
            f"bedtime: the {dropped} coarsest octaves were left out, too small for {backbone}; raise --max_side",
            file=sys.stderr,
        )
    write_table(job.out / "bedtime.csv", GUIDED_COLUMNS, table)
    said = verdict(table)
    columns = [dreamed if form == "plain" else form for dreamed, form in settings]
    caption = "\n".join([f"{backbone}; {', '.join(columns[-3:])}: {layer}", *said])
    write_figure(job.out / "bedtime.png", ["guide", "photo", *columns], grid, caption)
    print("\n".join(said))


def _dream_maps(job: Experiment, photos: Mapping[str, Tensor], extractor: Extractor) -> None:
    """The most active, the least active and hand-picked maps of one layer."""
    (layer,) = extractor.layers
    objectives = _choices(extractor.backbone, layer)
    table: list[dict[str, Any]] = []
    grid: dict[str, list[Image.Image]] = {}
    for name, photo in photos.items():
        row = [to_picture(photo)]
        for objective in objectives:
            done = _of_maps(job, name, photo, objective, extractor)
            table.append(dict(done.values))
            row.append(done.pictures["dream"])
        grid[name] = row
    write_table(job.out / "bedtime_maps.csv", CHOSEN_COLUMNS, table)
    write_figure(job.out / "bedtime_maps.png", ["photo", *map(str, objectives)], grid, extractor.backbone)


def _guides(job: Experiment) -> dict[str, Tensor]:
    """Name to picture, (3, h, w) in [0, 1], of the two guides."""
    if job.guides and len(job.guides) != 2:
        raise UserError(f"bedtime takes two guides, not {len(job.guides)}; give --guides one.jpg,other.jpg or none")
    return load_photos(job.guides or sample_photos(*GUIDES), job.max_side)


def _recipe(job: Experiment, backbone: str, objective: Objective) -> DreamRecipe:
    return get_recipe("guided", backbone, objective=objective, steps=job.steps)


def _guided(
    job: Experiment,
    name: str,
    photo: Tensor,
    guide: str,
    guides: Mapping[str, Tensor],
    extractor: Extractor,
    form: str,
) -> Part:
    (layer,) = extractor.layers
    recipe = _recipe(job, extractor.backbone, FORMS[form](layer))

    def make() -> Part:
        label = f"{name} {layer} {form} as {guide}"
        result = dream_one(job, label, photo, extractor, recipe, guides={"guide": guides[guide][None]})
        before, after = mean_activations(photo, extractor), mean_activations(result.images[0], extractor)
        activations = {other: mean_activations(picture, extractor) for other, picture in guides.items()}
        rows = [
            {
                "photo": name,
                "layer": layer,
                "form": form,
                "dream_guide": guide,
                "maps_of_guide": owner,
                "which_maps": which,
                **gains(before, after, indices),
            }
            for (owner, which), indices in maps_of_guides(activations).items()
        ]
        return Part({"rows": rows, "dropped_octaves": result.dropped_octaves}, {"dream": to_picture(result.images[0])})

    # The other guide decides no dream, but the maps that are measured.
    facts = facts_of(job, extractor, recipe, photo, *guides.values(), share=SHARE, guides=list(guides))
    return part(job, f"bedtime_{name}_{layer}_{form}_{guide}", facts, make)


def mean_activations(image: Tensor, extractor: Extractor) -> Tensor:
    """Mean activation of each map of an extractor's only layer.

    Args:
        image: (3, H, W) in [0, 1].
        extractor: Loaded with one layer.

    Returns:
        (C,), float64, on the CPU.
    """
    like = next(extractor.parameters())
    with torch.no_grad():
        images = enlarge_to(normalise(image[None].to(like)), extractor.min_size_px)
        activation: Tensor = extractor(images)[extractor.layers[0]]
    return activation[0].double().mean(dim=(1, 2)).cpu()


def maps_of_guides(activations: Mapping[str, Tensor]) -> dict[tuple[str, str], list[int]]:
    """Which maps are a guide's: those with the largest weights, and those that set it apart from the other guide.

    Args:
        activations: Guide to the mean activation of each map, (C,); two guides.

    Returns:
        (guide, ``heaviest`` or ``distinct``) to map indices, a tenth of all, heaviest first.
    """
    weights = {guide: means / means.abs().sum().clamp_min(1e-30) for guide, means in activations.items()}
    chosen = {}
    for guide, other in itertools.permutations(weights):
        count = max(1, round(SHARE * len(weights[guide])))
        chosen[guide, "heaviest"] = weights[guide].topk(count).indices.tolist()
        chosen[guide, "distinct"] = (weights[guide] - weights[other]).topk(count).indices.tolist()
    return chosen


def gains(before: Tensor, after: Tensor, indices: Sequence[int]) -> dict[str, Any]:
    """How much the mean activation of some maps grew, and that of all others.

    Args:
        before: Mean activation of each map on the photo, (C,).
        after: The same on the dream.
        indices: The maps in question; not all there are.

    Returns:
        Columns of the table; relative gains are None where there was nothing before.
    """
    theirs = torch.zeros(len(before), dtype=torch.bool)
    theirs[list(indices)] = True
    growth = after - before
    return {
        "map_count": len(indices),
        "activation_before": float(before[theirs].mean()),
        "activation_after": float(after[theirs].mean()),
        "gain": float(growth[theirs].mean()),
        "relative_gain": _relative(growth[theirs], before[theirs]),
        "gain_of_other_maps": float(growth[~theirs].mean()),
        "relative_gain_of_other_maps": _relative(growth[~theirs], before[~theirs]),
    }


def _relative(growth: Tensor, before: Tensor) -> float | None:
    start = float(before.mean())
    return float(growth.mean()) / start if start > 0 else None


def diagonal(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a guide's maps gain in its own dream, beside what they gain in the other guide's and what other maps gain.

    Args:
        table: Rows with the columns of ``bedtime.csv``.

    Returns:
        For each photo, layer, form, choice of maps and guide the gains ``own``, ``other_dream`` and ``other_maps``,
        with the columns that name the case.
    """
    guides = {row["dream_guide"] for row in table}
    gain = {(*_case(row).values(), row["dream_guide"]): row["gain"] for row in table}
    cases = []
    for row in table:
        if row["dream_guide"] == row["maps_of_guide"]:
            (other,) = guides - {row["dream_guide"]}
            crossed = gain[*_case(row).values(), other]
            gained = {"own": row["gain"], "other_dream": crossed, "other_maps": row["gain_of_other_maps"]}
            cases.append({**_case(row), **gained})
    return cases


def _case(row: Mapping[str, Any]) -> dict[str, Any]:
    return {column: row[column] for column in ("photo", "layer", "form", "which_maps", "maps_of_guide")}


def verdict(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whether the guide's maps gain the most, one line for each layer, form and choice of maps.

    Args:
        table: Rows with the columns of ``bedtime.csv``.
    """
    kinds: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for case in diagonal(table):
        kinds.setdefault((case["layer"], case["form"], case["which_maps"]), []).append(case)
    said = []
    for (layer, form, which), cases in kinds.items():
        own, dream, maps_ = (
            sum(case[gain] for case in cases) / len(cases) for gain in ("own", "other_dream", "other_maps")
        )
        over_dream = sum(case["own"] > case["other_dream"] for case in cases)
        over_maps = sum(case["own"] > case["other_maps"] for case in cases)
        said.append(
            f"{layer} {form}: a guide's {which} maps gain {own:.3g}, in the other guide's dream {dream:.3g} (less in "
            f"{over_dream} of {len(cases)}); other maps gain {maps_:.3g} (less in {over_maps} of {len(cases)})"
        )
    return said


def _choices(backbone: str, layer: str) -> list[Objective]:
    """The five most and least active maps, and hand-picked ones."""
    picked = _HAND_PICKED.get((backbone, layer), (0, 1, 2))
    return [select_max(layer, COUNT), select_min(layer, COUNT), maps(layer, *picked)]


def _of_maps(job: Experiment, name: str, photo: Tensor, objective: Objective, extractor: Extractor) -> Part:
    recipe = _recipe(job, extractor.backbone, objective)
    (term,) = objective
    # As the engine chooses them.
    indices = list(term.maps) or choose_maps(photo[None].to(job.device), extractor, term)[0].tolist()

    def make() -> Part:
        result = dream_one(job, f"{name} {objective}", photo, extractor, recipe)
        before, after = mean_activations(photo, extractor), mean_activations(result.images[0], extractor)
        values = {
            "photo": name,
            "layer": term.layer,
            "objective": term.kind,
            "maps": " ".join(map(str, indices)),
            **gains(before, after, indices),
            "skipped_steps": int(result.skipped_steps),
        }
        return Part(values, {"dream": to_picture(result.images[0])})

    return part(job, f"bedtime_{name}_{term.kind}", facts_of(job, extractor, recipe, photo), make)
