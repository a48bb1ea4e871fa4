"""Does fine-tuning a network change what it dreams? Dreams of both, seen by a referee, and a test over photos."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamgan.backbones.features import Extractor, load_extractor
from dreamgan.claims.dreaming import kept_dreams
from dreamgan.claims.statistics import bootstrap_interval, sign_flip_p
from dreamgan.classifying.cache import views
from dreamgan.classifying.sets import find_labelled, first_of_each
from dreamgan.dream import get_recipe
from dreamgan.errors import UserError
from dreamgan.files import write_text
from dreamgan.images import save_png, sheet, to_picture
from dreamgan.metrics.features import cosines
from dreamgan.metrics.referee import Referee

SIZE_PX, RECIPE = 128, "distillable"
SHOWN = 6
_SEED, _SECOND = 0, 1


def compare(
    photos: Tensor,
    names: list[str],
    backbone: str,
    tuned: str,
    referee: Referee,
    out: Path,
    *,
    weights: str | None = None,
) -> dict[str, Any]:
    """Dream photos with a network and with what fine-tuning made of it, and let a referee look.

    With one shift sequence the original dreams d; with another it dreams d' and the fine-tuned network t.

    Args:
        photos: (N, 3, H, W) in [0, 1].
        names: of the photos.
        backbone: the network.
        tuned: file of the fine-tuned weights.
        referee: judges.
        out: folder of dreams, `<backbone>.json` and `<backbone>.png`.
        weights: file of the original; None: torchvision's own.

    Returns:
        What the file holds: cosines, "delta" with interval and p, "agreement" and how much the weights changed.

    Raises:
        UserError: the two files hold the same weights in all that is dreamed from, or some that are not finite.
    """
    recipe = get_recipe(RECIPE, backbone)
    original, other = (load_extractor(backbone, recipe.layer_names, weights=file) for file in (weights, tuned))
    change = weight_change(original, other)
    if not math.isfinite(change):
        raise UserError(f"'{tuned}' or the original holds weights that are not finite; give another file")
    if change == 0:
        raise UserError(
            f"'{tuned}' has the weights of the original up to {', '.join(recipe.layer_names)}; train layers before that"
        )
    dreams = {
        name: kept_dreams(photos, names, extractor, recipe, seed, out / "dreams")
        for name, extractor, seed in (("d", original, _SEED), ("second", original, _SECOND), ("tuned", other, _SECOND))
    }
    facts = {"backbone": backbone, "recipe": RECIPE, "layers": list(recipe.layer_names), "weight_change": change}
    facts |= judged(photos, dreams, referee)
    write_text(out / f"{backbone}.json", json.dumps(facts, indent=1) + "\n")
    places = range(0, len(photos), max(1, len(photos) // SHOWN))[:SHOWN]
    rows = [[to_picture(each[place]) for each in (photos, *dreams.values())] for place in places]
    save_png(sheet(rows, ("photo", "original", "original, again", "fine-tuned")), out / f"{backbone}.png")
    return facts


def judged(photos: Tensor, dreams: Mapping[str, Tensor], referee: Referee, batch: int = 4) -> dict[str, Any]:
    """What a referee says of dreams "d", "second" and "tuned" of photos.

    Returns:
        "floor", "ceiling", "tuned": mean cosines to d; "delta": mean of ceiling minus tuned, "delta_95" and "p" by
        sign flips; "agreement": (tuned - floor) / (ceiling - floor); "n".
    """
    seen: dict[str, list[Tensor]] = {"floor": [], "ceiling": [], "tuned": []}
    for start in range(0, len(photos), batch):
        part = slice(start, start + batch)
        with torch.no_grad():
            target = referee.vectors(dreams["d"][part])
            for name, pictures in (("floor", photos), ("ceiling", dreams["second"]), ("tuned", dreams["tuned"])):
                seen[name].append(cosines(referee.vectors(pictures[part]), target))
    floor, ceiling, tuned = (torch.cat(each).double().cpu() for each in seen.values())
    delta = ceiling - tuned
    return {
        "n": len(photos),
        "floor": float(floor.mean()),
        "ceiling": float(ceiling.mean()),
        "tuned": float(tuned.mean()),
        "delta": float(delta.mean()),
        "delta_95": list(bootstrap_interval(delta)),
        "p": sign_flip_p(delta),
        "agreement": float((tuned.mean() - floor.mean()) / (ceiling.mean() - floor.mean())),
    }


def weight_change(one: Extractor, other: Extractor) -> float:
    """Norm of the difference of all weights up to the dreamed layers, over the norm of the first's."""
    pairs = list(zip(one.parameters(), other.parameters(), strict=True))
    difference = sum(float((a - b).square().sum()) for a, b in pairs)
    size = sum(float(a.square().sum()) for a, _ in pairs)
    return math.sqrt(difference / size)


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table, a row per network."""
    heads: tuple[str, ...] = (
        "backbone",
        "change of weights",
        "photo (floor)",
        "second dream (ceiling)",
        "fine-tuned",
        "delta",
    )
    heads += ("95 %", "p", "agreement", "photos")
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in rows:
        low, high = row["delta_95"]
        cells = (
            row["backbone"],
            f"{row['weight_change']:.2%}",
            *(f"{row[key]:.4f}" for key in ("floor", "ceiling", "tuned", "delta")),
            f"{low:.4f} to {high:.4f}",
            f"{row['p']:.2g}",
            f"{row['agreement']:.3f}",
            row["n"],
        )
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def first_photos(photos: str, per_class: int, out: Path) -> tuple[Tensor, list[str]]:
    """Squares of the first validation photos of each class by name, (N, 3, `SIZE_PX`, `SIZE_PX`), and their names."""
    chosen = first_of_each(find_labelled(photos, folder=out / "scans").val, per_class)
    return views(chosen, range(len(chosen)), SIZE_PX, 0, 0), [photo.photo_id for photo in chosen.photos]
