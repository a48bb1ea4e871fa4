"""`dreamgan evaluate`: a generator held against the direct dreams of a dataset, in figures and in pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dreamgan.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from dreamgan.evaluation.measuring import Make
    from dreamgan.metrics.cheats import Pairs
    from dreamgan.sampling import Generator

MOST_GRID_ROWS = 60


def evaluate(
    generator: str,
    dataset: str,
    split: Literal["test", "train", "all"] = "test",
    by_label: bool = False,
    by_seen: bool = False,
    labels: str | None = None,
    limit: int | None = None,
    weights: str | None = None,
    referee_weights: str | None = None,
    equivalent_photos: int = 8,
    cheats: bool = False,
    json: str | None = None,
    out: str = "evaluation",
    rows: int = 4,
    gallery: str | None = None,
    batch: int | None = None,
    device: str = "auto",
) -> None:
    """Measure how close a generator's one-pass dreams are to the direct dreams of a dataset.

    Prints a table for every recipe and strength, with the untouched photo (floor) and a second direct dream of the same
    photo (ceiling) beside each figure, the mean over styles where there are several, and writes a grid of pictures.
    Pairs are held against the style of the generator that dreams the same, whatever its name. docs/measures.md explains
    the measures.

    A generator that dreams from noise is held as a set against the dreams and photos of the test split, and against the
    dreams that it learnt (docs/dcgan.md); flags about pairs are not for it.

    Example: dreamgan evaluate runs/mine/generator runs/pairs --by_seen --json runs/mine/evaluation.json

    Args:
        generator: Folder that training exported (model.safetensors and config.json).
        dataset: Folder of a dream dataset, or the name of one on the Hugging Face hub; several with commas between.
        split: test, train or all.
        by_label: Measure each class on its own.
        by_seen: Measure classes that the generator was trained on and classes that it was not on their own.
        labels: Measure only these classes, with commas between, like cat,person,dog. Default: all.
        limit: Most pairs of a row of the result, evenly spread. Default: all.
        weights: File of the network that the dataset was dreamed with, or NETWORK=FILE with commas between. Default:
            torchvision's own.
        referee_weights: The same for the network that judges: vgg16, or inception_v3 for dreams of a VGG.
            NETWORK=download fetches torchvision's own. Default: torchvision's own if they are in its cache,
            else no referee.
        equivalent_photos: Photos per row on which the direct recipe is run to count equivalent steps; 0 for none.
        cheats: Also measure pictures that only pretend to be dreams, on the same photos; takes three times as long.
        json: File for the figures, one object per split, recipe and strength. Default: none is written.
        out: Folder for grid.png.
        rows: Pairs in the grid for every row of the result, fewer where there are many; 0 for no grid.
        gallery: PNG file for some photos in every style and at the strengths 0.5, 1 and 1.5. Default: none is written.
        batch: Pictures at a time. Default: 4 on a CPU, 32 on a GPU.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    from tqdm import tqdm

    from dreamgan import __version__
    from dreamgan.backbones.files import named_files
    from dreamgan.commands.evaluate_noise import NoiseWish, evaluate_noise
    from dreamgan.commands.flags import at_least, out_folder
    from dreamgan.commands.pictures import check_target, tell
    from dreamgan.devices import default_batch, pick_device
    from dreamgan.evaluation.choosing import Wish, choose, datasets_in, names_in
    from dreamgan.evaluation.gallery import gallery as gallery_of
    from dreamgan.evaluation.grid import HEADS, grid_rows
    from dreamgan.evaluation.matching import check_styles
    from dreamgan.evaluation.measuring import Result, measure_group, measure_steps
    from dreamgan.evaluation.pictures import GroupPictures
    from dreamgan.evaluation.summary import summary_text
    from dreamgan.evaluation.table import LEGEND, cheats_text, result_text
    from dreamgan.evaluation.yardstick import load_yardstick
    from dreamgan.files import write_text
    from dreamgan.images import save_png, sheet
    from dreamgan.metrics.cheats import CHEATS
    from dreamgan.noise_sampling import is_noise_generator
    from dreamgan.sampling import load_generator

    at_least(1, limit=limit, batch=batch)
    at_least(0, equivalent_photos=equivalent_photos, rows=rows)
    if by_label and by_seen:
        raise UserError("--by_label and --by_seen exclude each other; give one of them")
    only = None if labels is None else tuple(names_in(labels, "--labels"))
    files, referee_files = named_files(weights, "weights"), named_files(referee_weights, "referee_weights")
    where = pick_device(device)
    grid = out_folder(out) / "grid.png"
    figures, overview = _file(json, "json"), _file(gallery, "gallery")
    for target in [grid] if overview is None else [grid, overview]:
        check_target(target)
    if is_noise_generator(Path(generator).expanduser()):
        of_pairs = {"by_label": by_label, "by_seen": by_seen, "labels": labels, "limit": limit, "cheats": cheats}
        of_pairs |= {"gallery": gallery, "split": split if split != "test" else None}
        for flag, given in of_pairs.items():
            if given:
                raise UserError(f"--{flag} is for pairs, and {generator!r} dreams from noise; leave it out")
        evaluate_noise(
            NoiseWish(
                generator=Path(generator).expanduser(),
                dataset=dataset,
                weights=files,
                referee_weights=referee_files,
                figures=figures,
                grid=grid,
                rows=rows,
                batch=batch or default_batch(where),
                device=where,
            )
        )
        return
    loaded = load_generator(Path(generator).expanduser(), where)
    check_styles(generator, loaded.styles)
    wish = Wish(split=split, by_label=by_label, by_seen=by_seen, labels=only, limit=limit)
    chosen, left_out = choose(loaded.styles, datasets_in(dataset), wish)
    for sentence in left_out:
        tell(f"left out: {sentence}")
    yardsticks, referees = {}, {}  # type: dict[str, Any], dict[str, Any]
    for each in chosen:  # all of them first: a wrong file is to be told of at once
        if each.group.style not in yardsticks:
            yardsticks[each.group.style] = load_yardstick(
                each.pair, each.dataset, files, referee_files, referees, where
            )

    size = batch or default_batch(where)
    results: list[Result] = []
    shown: list[Any] = []
    rows_each = min(rows, max(1, MOST_GRID_ROWS // len(chosen)))
    works = [len(each.group.places) + min(equivalent_photos, len(each.group.places)) for each in chosen]
    with tqdm(total=sum(works), unit="picture", disable=None) as bar:
        for each in chosen:
            group, yardstick = each.group, yardsticks[each.group.style]
            pictures = GroupPictures(group, each.table, where)
            one_pass = _one_pass(loaded, generator, group.style, group.strength)
            makes: dict[str, Make] = {"one pass": one_pass}
            if cheats:
                makes |= CHEATS
                makes |= {"a second dream": _second_dreams} if group.has_second else {}
            measures = measure_group(pictures, makes, yardstick, size, bar.update)
            steps = measure_steps(pictures, makes, yardstick, equivalent_photos, size, bar.update)
            steps_photos = min(equivalent_photos, len(pictures))
            results.append(Result(group, measures["one pass"], steps["one pass"], steps_photos, yardstick))
            text = result_text(results[-1])
            if cheats:
                text += f"\n\n{cheats_text([(name, measures[name], steps[name]) for name in makes])}"
            tqdm.write(f"{text}\n")
            if len(shown) < MOST_GRID_ROWS:
                shown += grid_rows(group.title, pictures, one_pass, rows_each)
            if figures:
                write_text(figures, f"{_json([result.as_row() for result in results])}\n")
    summary = summary_text(results)
    if summary:
        print(f"{summary}\n")
    print(LEGEND)
    metadata = {"version": __version__, "generator": Path(generator).name}
    if rows and len(chosen) > MOST_GRID_ROWS:
        tell(f"the grid shows the first {MOST_GRID_ROWS} of {len(chosen)} kinds of pairs")
    if shown:
        save_png(sheet(shown, HEADS), grid, metadata=metadata)
        print(f"look at {grid}")
    if overview:
        styles = list(loaded.styles)
        picture = gallery_of(chosen, styles, lambda photos, *way: _dreams(loaded, generator, photos, *way), where)
        save_png(picture, overview, metadata=metadata)
        print(f"look at {overview}")


def _one_pass(loaded: Generator, name: str, style: str, strength: float) -> Make:
    return lambda pairs: _dreams(loaded, name, pairs.photos, style, strength)


def _dreams(loaded: Generator, name: str, photos: Tensor, style: str, strength: float) -> Tensor:
    """One-pass dreams.

    Raises:
        UserError: If they are not finite.
    """
    from dreamgan.sampling import sample

    dreams = sample(loaded, photos, style, strength)
    if not bool(dreams.isfinite().all()):
        raise UserError(f"the generator {name!r} gives values that are not finite; train it again")
    return dreams


def _second_dreams(pairs: Pairs) -> Tensor:
    if pairs.second_dreams is None:
        raise ValueError("there are no second dreams")
    return pairs.second_dreams


def _file(name: str | None, flag: str) -> Path | None:
    """A file to be written, checked before the work begins; None where none is wanted.

    Raises:
        UserError: If a folder is in the way or the place may not be written to.
    """
    if name is None:
        return None
    path = Path(name).expanduser()
    existing = next(place for place in (path, *path.parents) if place.exists())
    if path.is_dir() or not (existing.is_dir() or existing == path) or not os.access(existing, os.W_OK):
        raise UserError(f"--{flag} {name!r} cannot be written; give another file")
    return path


def _json(rows: list[dict[str, Any]]) -> str:
    import json

    return json.dumps(rows, indent=2, allow_nan=False)
