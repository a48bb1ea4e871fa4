"""`dreamgan evaluate`: a generator held against the direct dreams of a dataset, in figures and in pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dreamgan.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from dreamgan.evaluation.groups import Group
    from dreamgan.metrics.cheats import Pairs

MOST_GRID_ROWS = 60


def evaluate(
    generator: str,
    dataset: str,
    split: Literal["test", "train", "all"] = "test",
    by_label: bool = False,
    by_seen: bool = False,
    limit: int | None = None,
    weights: str | None = None,
    referee_weights: str | None = None,
    equivalent_photos: int = 8,
    cheats: bool = False,
    json: str | None = None,
    out: str = "evaluation",
    rows: int = 4,
    batch: int | None = None,
    device: str = "auto",
) -> None:
    """Measure how close a generator's one-pass dreams are to the direct dreams of a dataset.

    Prints a table for every recipe and strength, with the untouched photo (floor) and a second direct dream of the same
    photo (ceiling) beside each figure, and writes a grid of pictures. docs/measures.md explains the measures.

    Example: dreamgan evaluate runs/mine/generator runs/pairs --by_seen --json runs/mine/evaluation.json

    Args:
        generator: Folder that training exported (model.safetensors and config.json).
        dataset: Folder of a dream dataset, or the name of one on the Hugging Face hub.
        split: test, train or all.
        by_label: Measure each class on its own.
        by_seen: Measure classes that are in the training split and classes that are not on their own.
        limit: Most pairs of a row of the result, evenly spread. Default: all.
        weights: File of the network that the dataset was dreamed with, or NETWORK=FILE with commas between. Default:
            torchvision's own.
        referee_weights: The same for the network that judges: vgg16, or inception_v3 for dreams of a VGG.
            NETWORK=download fetches torchvision's own. Default: torchvision's own if they are in its cache,
            else no referee.
        equivalent_photos: Photos per row on which the direct recipe is run to count equivalent steps; 0 for none.
        cheats: Also measure pictures that only pretend to be dreams, on the same photos; takes eight times as long.
        json: File for the figures, one object per split, recipe and strength. Default: none is written.
        out: Folder for grid.png.
        rows: Pairs in the grid for every row of the result; 0 for no grid.
        batch: Pictures at a time. Default: 4 on a CPU, 32 on a GPU.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    import torch
    from tqdm import tqdm

    from dreamgan import __version__
    from dreamgan.commands.flags import at_least, out_folder
    from dreamgan.commands.pictures import check_target
    from dreamgan.devices import default_batch, pick_device
    from dreamgan.evaluation.grid import HEADS, grid_rows
    from dreamgan.evaluation.measuring import GroupPictures, Make, Result, measure_group, measure_steps
    from dreamgan.evaluation.table import LEGEND, cheats_text, result_text
    from dreamgan.evaluation.yardstick import load_yardstick, named_files
    from dreamgan.files import write_text
    from dreamgan.images import save_png, sheet
    from dreamgan.metrics.cheats import CHEATS
    from dreamgan.sampling import load_generator, sample

    at_least(1, limit=limit, batch=batch)
    at_least(0, equivalent_photos=equivalent_photos, rows=rows)
    if by_label and by_seen:
        raise UserError("--by_label and --by_seen exclude each other; give one of them")
    files, referee_files = named_files(weights, "weights"), named_files(referee_weights, "referee_weights")
    where = pick_device(device)
    grid = out_folder(out) / "grid.png"
    check_target(grid)
    figures = None if json is None else _figures_file(json)
    loaded = load_generator(Path(generator).expanduser(), where)
    chosen = _chosen(generator, loaded.dream, dataset, split, by_label=by_label, by_seen=by_seen, limit=limit)
    yardsticks, referees = {}, {}  # type: dict[str, Any], dict[str, Any]
    for _, _, pair in chosen:  # all of them first: a wrong file is to be told of at once
        if pair["recipe"] not in yardsticks:
            yardsticks[pair["recipe"]] = load_yardstick(pair, dataset, files, referee_files, referees, where)

    def one_pass(pairs: Pairs) -> torch.Tensor:
        dreams = sample(loaded, pairs.photos)
        if not bool(dreams.isfinite().all()):
            raise UserError(f"the generator {generator!r} gives values that are not finite; train it again")
        return dreams

    size = batch or default_batch(where)
    results: list[Result] = []
    shown: list[Any] = []
    ways = 1 + (len(CHEATS) + 1 if cheats else 0)
    works = [len(group.places) + min(equivalent_photos, len(group.places)) for group, _, _ in chosen]
    with tqdm(total=ways * sum(works), unit="picture", disable=None) as bar:
        for (group, table, pair), work in zip(chosen, works, strict=True):
            pictures, yardstick = GroupPictures(group, table, where), yardsticks[pair["recipe"]]
            made: dict[str, Make] = {"one pass": one_pass}
            if cheats:
                made |= CHEATS
                made |= {"a second dream": _second_dreams} if group.has_second else {}
            figures_of = {}
            for name, make in made.items():
                measures = measure_group(pictures, make, yardstick, size, bar.update)
                figures_of[name] = (
                    measures,
                    measure_steps(pictures, make, yardstick, equivalent_photos, size, bar.update),
                )
            bar.update((ways - len(made)) * work)
            measures, steps = figures_of["one pass"]
            results.append(Result(group, measures, steps, min(equivalent_photos, measures.n), yardstick))
            text = result_text(results[-1])
            if cheats:
                text += f"\n\n{cheats_text([(name, *found) for name, found in figures_of.items()])}"
            tqdm.write(f"{text}\n")
            if len(shown) < MOST_GRID_ROWS:
                shown += grid_rows(group.title, pictures, one_pass, min(rows, MOST_GRID_ROWS - len(shown)))
            if figures:
                write_text(figures, f"{_json([result.as_row() for result in results])}\n")
    print(LEGEND)
    if shown:
        save_png(sheet(shown, HEADS), grid, metadata={"version": __version__, "generator": Path(generator).name})
        print(f"look at {grid}")


Chosen = list[tuple["Group", Any, dict[str, Any]]]


def _chosen(
    generator: str,
    learnt: Mapping[str, Any],
    dataset: str,
    split: str,
    *,
    by_label: bool,
    by_seen: bool,
    limit: int | None,
) -> Chosen:
    """The groups that the generator can be held against, each with its split and the facts of one of its pairs.

    Groups that are left out are told of on stderr.

    Raises:
        UserError: If there is none.
    """
    from dreamgan.commands.pictures import tell
    from dreamgan.data.pairs import SPLITS, has_split, load_pairs
    from dreamgan.dream import DreamRecipe
    from dreamgan.evaluation.groups import classes, groups_of, misfit, seen_or_not
    from dreamgan.evaluation.measuring import COLUMNS

    missing = [key for key in ("recipe", "recipe_json", "backbone", "weights_sha256") if key not in learnt]
    if missing:
        raise UserError(f"the generator {generator!r} does not say what it learnt ({missing[0]}); train it again")
    try:
        DreamRecipe.from_json(learnt["recipe_json"])
    except UserError as error:
        raise UserError(f"the generator {generator!r} is of another version: {error}; train it again") from None
    names = [name for name in reversed(SPLITS) if has_split(dataset, name)] if split == "all" else []
    chosen: Chosen = []
    left_out: dict[str, str] = {}
    trained = set(classes(load_pairs(dataset, "train"))) if by_seen else set()
    for name in names or ["train" if split == "all" else split]:
        table = load_pairs(dataset, name)
        labels: list[Any] = classes(table) if by_label or by_seen else [None] * len(table)
        facts = table.remove_columns(list(COLUMNS))
        for group in groups_of(table, name, seen_or_not(labels, trained) if by_seen else labels, limit):
            pair = facts[group.places[0]]
            reason = misfit(learnt, pair)
            if len(group.places) < 2:
                reason = reason or "has a single pair, and a spread takes two"
            if reason:
                left_out[group.title] = reason
            else:
                chosen.append((group, table, pair))
    if not chosen:
        reasons = "; ".join(f"{title} {reason}" for title, reason in list(left_out.items())[:3]) or "no pair"
        raise UserError(
            f"the generator learnt {learnt['recipe']} of {learnt['backbone']}, and {dataset!r} has no such pairs "
            f"({reasons}); give the dataset that it was trained on, or one of the same recipe"
        )
    for title, reason in left_out.items():
        tell(f"left out: {title} {reason}")
    return chosen


def _second_dreams(pairs: Pairs) -> Tensor:
    if pairs.second_dreams is None:
        raise ValueError("there are no second dreams")
    return pairs.second_dreams


def _figures_file(name: str) -> Path:
    """The file for the figures, checked before the work begins.

    Raises:
        UserError: If a folder is in the way or the place may not be written to.
    """
    path = Path(name).expanduser()
    existing = next(place for place in (path, *path.parents) if place.exists())
    if path.is_dir() or not (existing.is_dir() or existing == path) or not os.access(existing, os.W_OK):
        raise UserError(f"--json {name!r} cannot be written; give another file")
    return path


def _json(rows: list[dict[str, Any]]) -> str:
    import json

    return json.dumps(rows, indent=2, allow_nan=False)
