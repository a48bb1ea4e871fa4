"""Do dreams among the training photos shorten the training? All runs, and the table of them."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamgan.backbones.features import cut, load_extractor
from dreamgan.backbones.registry import build_network, resolve_layer
from dreamgan.claims.arms import ARMS, Arm, blurred, with_noise
from dreamgan.claims.dreaming import dream_multiply_adds, kept_dreams
from dreamgan.claims.statistics import t_interval
from dreamgan.claims.trainings import SCRATCH, TUNING, Pictures, fine_tuned, from_scratch, scratch_multiply_adds
from dreamgan.classifying.cache import views
from dreamgan.classifying.network import Parts, load_parts, multiply_adds
from dreamgan.classifying.sets import Labelled, find_labelled, first_of_each
from dreamgan.dream import get_recipe
from dreamgan.errors import UserError
from dreamgan.files import write_text

BACKBONE, UNFREEZE, RECIPE = "mobilenet_v2", ("features.16",), "distillable"
SIZE_PX, SCRATCH_PX = 128, 64
TRAININGS = ("from scratch", "fine-tuning")
POINTS_BELOW = 0.02


@dataclass(frozen=True)
class Plan:
    """Sizes of the experiment; those registered are the defaults.

    Attributes:
        pool: training photos of each class, the first by name.
        few: of these, drawn by the seed, for fine-tuning.
        val: validation photos of each class for fine-tuning, the first by name; from scratch all are used.
        dreamed: of these, so many are also dreamed.
        seeds: how many.
    """

    pool: int = 200
    few: int = 20
    val: int = 150
    dreamed: int = 100
    seeds: int = 6


@dataclass(frozen=True)
class Material:
    """Everything that runs draw from.

    Attributes:
        kinds: kind of picture → (N, 3, 128, 128) in [0, 1], of the training photos in one order.
        targets: (N,).
        val: all validation photos.
        val_targets: (M,).
        answers: kind → what the frozen part says of `kinds`.
        tuning_val: answers for some validation photos.
        dreamed_val: answers for dreams of some of them.
        parts: the backbone.
        costs: multiply-adds: "dream", "scratch" (a forward pass), "frozen", "tail".
    """

    kinds: dict[str, Tensor]
    targets: Tensor
    val: Tensor
    val_targets: Tensor
    answers: dict[str, Tensor]
    tuning_val: Pictures
    dreamed_val: Pictures
    parts: Parts
    costs: dict[str, float]


def run(
    photos: str,
    out: Path,
    *,
    weights: str | None = None,
    arms: Sequence[str] = (),
    plan: Plan | None = None,
    tell: Callable[[str], None] = print,
) -> str | None:
    """Run what is not there yet, and write the table when all is.

    Args:
        photos: folder with `train` and `val`, each with a folder per class.
        out: folder of dreams, runs and table.
        weights: file of the backbone.
        arms: only these, to try; none: all.
        plan: sizes; None: as registered.
        tell: gets a line for each run.

    Returns:
        The table, Markdown; None while runs are missing.

    Raises:
        UserError: too few photos, or an unknown arm.
    """
    plan = plan or Plan()
    unknown = [name for name in arms if name not in {arm.name for arm in ARMS}]
    if unknown:
        raise UserError(f"there is no arm {unknown[0]!r}; use {', '.join(arm.name for arm in ARMS)}")
    material: Material | None = None
    for training in TRAININGS:
        for arm in ARMS:
            for seed in range(plan.seeds):
                path = _path(out, training, arm, seed)
                if path.exists() or (arms and arm.name not in arms):
                    continue
                material = material or _material(photos, out, weights, plan)
                began = time.perf_counter()
                facts = _one(material, training, arm, seed, plan)
                facts["seconds"] = time.perf_counter() - began
                write_text(path, json.dumps(facts) + "\n")
                best = max(value for _, value in facts["points"])
                tell(f"{training}, {arm.name}, seed {seed}: best {best:.3f} ({facts['seconds']:.0f} s)")
    missing = [
        path
        for t in TRAININGS
        for arm in ARMS
        for s in range(plan.seeds)
        if not (path := _path(out, t, arm, s)).exists()
    ]
    if missing:
        tell(f"{len(missing)} runs are missing; the table comes when all are there")
        return None
    rows = [row for training in TRAININGS for row in table_rows(_read(out, training, plan))]
    text = markdown(rows)
    write_text(out / "table.json", json.dumps(rows, indent=1) + "\n")
    write_text(out / "table.md", text)
    return text


def table_rows(runs: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row per arm: steps to the fixed accuracy, against photos alone and against duplicates.

    Args:
        runs: name of the arm → its runs by seed, with "training", "points" (step, accuracy), "step_cost", "fixed_cost".
    """
    alone = runs["photos"]
    goal = statistics.median(max(value for _, value in run["points"]) for run in alone) - POINTS_BELOW
    steps = {arm: [_steps_to(run["points"], goal) for run in of] for arm, of in runs.items()}
    costs = {
        arm: [run["fixed_cost"] + run["step_cost"] * step for run, (step, _) in zip(of, steps[arm], strict=True)]
        for arm, of in runs.items()
    }
    rows = []
    for arm, of in runs.items():
        kind, _, percent = arm.partition("-")
        row: dict[str, Any] = {
            "training": of[0]["training"],
            "arm": arm,
            "goal": goal,
            "median_steps": statistics.median(step for step, _ in steps[arm]),
            "never": sum(not there for _, there in steps[arm]),
            "best": statistics.fmean(max(value for _, value in run["points"]) for run in of),
        }
        if "dreamed_accuracy" in of[0]:
            row["on_dreams"] = t_interval([run["dreamed_accuracy"] for run in of])
        if kind != "photos":
            row["against_photos"] = _ratio(steps[arm], steps["photos"])
            row["cost_against_photos"] = t_interval(_log2(costs[arm], costs["photos"]))
            if kind != "duplicates":
                row["against_duplicates"] = _ratio(steps[arm], steps[f"duplicates-{percent}"])
        rows.append(row)
    return rows


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table, and what it says by the rule that was registered."""
    heads: tuple[str, ...] = ("training", "arm", "goal", "median steps", "never there", "log2 of steps: against photos")
    heads += ("against duplicates", "log2 of cost: against photos", "best accuracy", "accuracy on dreams")
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in rows:
        cells = [row["training"], row["arm"], f"{row['goal']:.3f}", f"{row['median_steps']:g}", str(row["never"])]
        cells += [_shown(row.get(key)) for key in ("against_photos", "against_duplicates", "cost_against_photos")]
        cells += [f"{row['best']:.3f}", _shown(row.get("on_dreams"))]
        lines.append(f"| {' | '.join(cells)} |")
    for row in rows:
        if row["arm"] == "dreams-50":
            holds = all(row[key][2] < 0 for key in ("against_photos", "against_duplicates"))
            lines.append(f"\n{row['training']}: the claim {'holds' if holds else 'does not hold'}.")
    return "\n".join(lines) + "\n"


def _shown(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.2f} [{interval[1]:.2f}, {interval[2]:.2f}]"


def _steps_to(points: Sequence[Sequence[float]], goal: float) -> tuple[int, bool]:
    """First step measured at the goal, and whether there is one; else the last step."""
    for step, value in points:
        if value >= goal:
            return int(step), True
    return int(points[-1][0]), False


def _ratio(one: Sequence[tuple[int, bool]], other: Sequence[tuple[int, bool]]) -> tuple[float, float, float]:
    return t_interval(_log2([step for step, _ in one], [step for step, _ in other]))


def _log2(one: Sequence[float], other: Sequence[float]) -> list[float]:
    ratios = torch.tensor(one, dtype=torch.float64) / torch.tensor(other, dtype=torch.float64)
    values: list[float] = ratios.log2().tolist()
    return values


def _path(out: Path, training: str, arm: Arm, seed: int) -> Path:
    return out / "runs" / f"{training.replace(' ', '_')}-{arm.name}-{seed}.json"


def _read(out: Path, training: str, plan: Plan) -> dict[str, list[dict[str, Any]]]:
    return {
        arm.name: [json.loads(_path(out, training, arm, seed).read_text()) for seed in range(plan.seeds)]
        for arm in ARMS
    }


def _one(material: Material, training: str, arm: Arm, seed: int, plan: Plan) -> dict[str, Any]:
    """One run: points, and what it costs in multiply-adds."""
    scratch = training == TRAININGS[0]
    stream = torch.Generator().manual_seed(1000 + seed)
    classes = range(int(material.targets.max()) + 1)
    orders = [torch.nonzero(material.targets == each).flatten() for each in classes]
    drawn = [order[torch.randperm(len(order), generator=stream)] for order in orders]
    chosen = torch.cat(drawn if scratch else [order[: plan.few] for order in drawn])
    # The photos that are copied: evenly of all classes, the same in all arms.
    copied = chosen[torch.randperm(len(chosen), generator=stream)][: arm.added(len(chosen))]
    source = material.kinds if scratch else material.answers
    kind = "photos" if arm.kind == "duplicates" else arm.kind
    inputs = torch.cat([source["photos"][chosen], source[kind][copied]])
    targets = torch.cat([material.targets[chosen], material.targets[copied]])
    dreams = len(copied) * material.costs["dream"] if arm.kind == "dreams" else 0.0
    facts: dict[str, Any] = {"training": training, "arm": arm.name, "seed": seed}
    if scratch:
        train = Pictures(_shrunk(inputs), targets)
        points = from_scratch(train, Pictures(_shrunk(material.val), material.val_targets), seed)
        return {
            **facts,
            "points": points,
            "fixed_cost": dreams,
            "step_cost": 3 * SCRATCH.batch * material.costs["scratch"],
        }
    points, dreamed = fine_tuned(
        material.parts, Pictures(inputs, targets), material.tuning_val, material.dreamed_val, seed
    )
    fixed = dreams + len(inputs) * material.costs["frozen"]
    cost = {"fixed_cost": fixed, "step_cost": 3 * TUNING.batch * material.costs["tail"]}
    return {**facts, "points": points, "dreamed_accuracy": dreamed, **cost}


def _shrunk(pictures: Tensor) -> Tensor:
    return F.interpolate(pictures, size=SCRATCH_PX, mode="area")


def _material(photos: str, out: Path, weights: str | None, plan: Plan) -> Material:
    sets = find_labelled(photos, folder=out / "scans")
    pool, val = first_of_each(sets.train, plan.pool), sets.val
    some = first_of_each(val, plan.val)
    place = {photo.photo_id: number for number, photo in enumerate(val.photos)}
    places = torch.tensor([place[photo.photo_id] for photo in some.photos])
    recipe = get_recipe(RECIPE, BACKBONE)
    extractor = load_extractor(BACKBONE, recipe.layer_names, weights=weights)
    _check_same(
        out / "experiment.json",
        [
            pool.photo_set.list_sha256(pool.photos),
            val.photo_set.list_sha256(val.photos),
            extractor.weights_sha256,
            vars(plan),
        ],
    )
    train, held = (views(each, range(len(each)), SIZE_PX, 0, 0) for each in (pool, val))
    few = first_of_each(some, plan.dreamed)
    few_photos = views(few, range(len(few)), SIZE_PX, 0, 0)
    dreams = kept_dreams(train, _names(pool), extractor, recipe, 0, out / "dreams")
    dreamed = kept_dreams(few_photos, _names(few), extractor, recipe, 0, out / "dreams")
    kinds = {"photos": train, "dreams": dreams, "noise": with_noise(train, dreams, 0), "blurred": blurred(train)}
    parts = load_parts(BACKBONE, weights=weights, unfreeze=UNFREEZE)

    def answers(pictures: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([parts.answer(few) for few in torch.split(pictures, 8)])

    whole = parts.multiply_adds(SIZE_PX)
    frozen = _frozen_multiply_adds(parts, SIZE_PX)
    val_targets = torch.tensor(val.targets)
    return Material(
        kinds=kinds,
        targets=torch.tensor(pool.targets),
        val=held,
        val_targets=val_targets,
        answers={kind: answers(pictures) for kind, pictures in kinds.items()},
        tuning_val=Pictures(answers(held[places]), val_targets[places]),
        dreamed_val=Pictures(answers(dreamed), torch.tensor(few.targets)),
        parts=parts,
        costs={
            "dream": dream_multiply_adds(train[:1], extractor, recipe),
            "scratch": scratch_multiply_adds(SCRATCH_PX),
            "frozen": frozen,
            "tail": whole - frozen,
        },
    )


def _check_same(path: Path, facts: list[Any]) -> None:
    """Go on only with the photos, weights and sizes that the runs in a folder were begun with.

    Raises:
        UserError: others are there.
    """
    text = json.dumps(facts)
    if not path.exists():
        write_text(path, text)
    elif path.read_text(encoding="utf-8") != text:
        raise UserError(f"{path.parent} holds runs on other photos or weights; give another --out")


def _frozen_multiply_adds(parts: Parts, size_px: int) -> int:
    nodes = {layer: resolve_layer(parts.spec, layer) for layer in parts.frozen_layers}
    return multiply_adds(cut(build_network(parts.spec), nodes), size_px)


def _names(labelled: Labelled) -> list[str]:
    return [photo.photo_id for photo in labelled.photos]
