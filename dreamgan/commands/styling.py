"""The half of `dreamgan style` that paints, once the flags are in order."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from dreamgan import __version__
from dreamgan.backbones.features import Extractor, load_extractor
from dreamgan.backbones.registry import get_spec
from dreamgan.backbones.weights import DownloadError
from dreamgan.commands.pictures import Job, check_target, loaded_batches, plan, printable, tell, write_rejects
from dreamgan.devices import halving
from dreamgan.errors import UserError
from dreamgan.files import write_csv
from dreamgan.images import MIN_SIDE_PX, LoadedImage, load_image, save_png, sheet, shrink_to, to_picture, to_unit
from dreamgan.style.arbitrary import load_stylist, stylise
from dreamgan.style.plot import loss_plot
from dreamgan.style.recipe import StyleRecipe, get_style_recipe, parse_style_layers
from dreamgan.style.transfer import Pass, StyleResult, transfer_style

LARGEST_SCALE = 4.0
CSV_HEAD = ("picture", "level", "height", "width", "pass", "content", "style", "tv", "total")
# Gatys' figure 1 reconstructs the content from the second convolution of each block.
_CONTENT_LAYERS = ",".join(f"relu{block}_2" for block in range(1, 6))


class Task(StrEnum):
    """What is painted."""

    TRANSFER = "transfer"
    CONTENT = "content"
    STYLE = "style"


@dataclass(frozen=True)
class Order:
    """What is asked for, as the flags say it.

    Attributes:
        task: What is painted.
        method: ``gatys`` or ``magenta``.
        backbone: Name of a network.
        weights: File with its weights, or ``random``; None: torchvision's own.
        flags: Fields of the recipe that were given, layers as text.
        style_scale: Longer side of the style picture over ``max_side``, or over its own where that is 0.
        folder: For the pictures.
        max_side: Photos with a longer side are shrunk to it, in pixels; 0 keeps their size.
        seed: Of the noise.
        device: Where to paint.
    """

    task: Task
    method: str
    backbone: str
    weights: str | None
    flags: Mapping[str, Any]
    style_scale: float
    folder: Path
    max_side: int
    seed: int
    device: torch.device


@dataclass(frozen=True)
class Painting:
    """One of the pictures that every photo gets.

    Attributes:
        name: What the sheet and the table call it; "" where it is the only one.
        recipe: How it is made.
    """

    name: str
    recipe: StyleRecipe

    def of(self, job: Job) -> Path:
        """Its file."""
        stem = "-".join(filter(None, (job.target.stem, self.name.replace(" ", "_").replace("/", "_"))))
        return job.target.with_name(f"{stem}.png")


def paint(order: Order, photos: str, style: str | None) -> None:
    """Paint a photo, or every photo of a folder.

    Args:
        order: What to do.
        photos: A picture or a folder of pictures.
        style: File of the style picture; None where the task needs none.

    Raises:
        UserError: If something given is wrong.
    """
    jobs = plan(photos, order.folder)
    picture = None if style is None else _style_picture(style, order)
    facts = {"version": __version__, "method": order.method, "task": order.task.value}
    if style is not None:
        facts["style"] = printable(Path(style).name)
    rejects: list[tuple[str, str]] = []
    if order.method == "magenta" and picture is not None:
        _in_one_pass(order, jobs, picture, facts, rejects)
    else:
        _by_optimising(order, jobs, picture, facts, rejects)
    write_rejects(rejects, order.folder)
    print(f"{len(jobs) - len(rejects)} pictures in {order.folder}")


def paintings(order: Order) -> list[Painting]:
    """The pictures that every photo gets.

    Raises:
        UserError: If a value of the recipe is out of its range, or a layer is not named right.
    """
    backbone = get_spec(order.backbone).name
    given = dict(order.flags)
    if order.task is Task.CONTENT and backbone in ("vgg16", "vgg19"):
        given.setdefault("content_layers", _CONTENT_LAYERS)
    for name in ("content_layers", "style_layers"):
        if name in given:
            given[name] = parse_style_layers(given[name])
    if order.task is Task.TRANSFER:
        return [Painting("", get_style_recipe(backbone, **given))]
    given |= {"start": "noise", "levels": given.get("levels", 1)}
    off = "style_weight" if order.task is Task.CONTENT else "content_weight"
    # The layers of the other half are not used, but a network without layers of our own would ask for them.
    unused = "style_layers" if order.task is Task.CONTENT else "content_layers"
    whole = get_style_recipe(backbone, **{unused: (("head", 1.0),), **given, off: 0.0, off.replace(*_swap(off)): 1.0})
    if order.task is Task.CONTENT:
        return [Painting(layer, _only(whole, content_layers=((layer, 1.0),))) for layer, _ in whole.content_layers]
    layers = whole.style_layers
    found = []
    for count in range(1, len(layers) + 1):
        name = layers[0][0] if count == 1 else f"{layers[0][0]} to {layers[count - 1][0]}"
        found.append(Painting(name, _only(whole, style_layers=layers[:count])))
    return found


def _swap(off: str) -> tuple[str, str]:
    return ("style", "content") if off.startswith("style") else ("content", "style")


def _only(recipe: StyleRecipe, **layers: Any) -> StyleRecipe:
    return dataclasses.replace(recipe, **layers)


def _style_picture(file: str, order: Order) -> Image.Image:
    path = Path(file).expanduser()
    if path.is_dir():
        raise UserError(f"--style {printable(file)!r} is a folder; give one picture")
    whole = load_image(path, name=f"the style picture '{printable(file)}'").picture
    picture = shrink_to(whole, max(1, round((order.max_side or max(whole.size)) * order.style_scale)))
    if min(picture.size) < MIN_SIDE_PX:
        raise UserError(
            f"the style picture would be shrunk to {picture.width}x{picture.height} px, too narrow; raise --max_side "
            "or --style_scale"
        )
    return picture


def _in_one_pass(
    order: Order,
    jobs: Sequence[Job],
    style: Image.Image,
    facts: Mapping[str, str],
    rejects: list[tuple[str, str]],
) -> None:
    stylist = load_stylist()
    for job, loaded in tqdm(_photos(jobs, order.max_side, rejects), total=len(jobs), unit="picture", disable=None):
        painted = stylise(stylist, loaded.picture, style)
        save_png(painted, job.target, metadata=_said(job, facts), icc_profile=loaded.icc_profile)


def _by_optimising(
    order: Order,
    jobs: Sequence[Job],
    style: Image.Image | None,
    facts: dict[str, str],
    rejects: list[tuple[str, str]],
) -> None:
    wanted = paintings(order)
    for job, painting in itertools.product(jobs, wanted):
        for target in {job.target, painting.of(job), _plot(job)}:
            check_target(target)
        _check_table(_table(job))
    network = functools.cache(functools.partial(_load, order))
    network(wanted[0].recipe.layer_names)  # what is wrong with weights and layers is said before the photos are read
    per_photo = sum(painting.recipe.passes * painting.recipe.levels for painting in wanted)
    with tqdm(total=len(jobs) * per_photo, unit="pass", desc=order.backbone, disable=None) as bar:
        for done, (job, loaded) in enumerate(_photos(jobs, order.max_side, rejects), start=1):
            photo = to_unit(loaded.picture)[None].to(order.device)
            look = photo if order.task is Task.STYLE else None if style is None else to_unit(style)[None]
            pictures, runs = {}, {}
            for painting in wanted:
                extractor = network(painting.recipe.layer_names)
                begun = time.perf_counter()
                result = _transferred(photo, look, extractor, painting.recipe, order.seed, bar)
                told = {**facts, **_facts(extractor, painting.recipe, order.seed)}
                pictures[painting.name], runs[painting.name] = to_picture(result.image[0]), result.passes
                name = " ".join(filter(None, (printable(job.name), painting.name)))
                bar.write(_line(name, result.passes, time.perf_counter() - begun))
                icc = loaded.icc_profile
                save_png(pictures[painting.name], painting.of(job), metadata=_said(job, told), icc_profile=icc)
            if len(wanted) > 1 or order.task is not Task.TRANSFER:
                whole = sheet([[loaded.picture, *pictures.values()]], ["photo", *pictures])
                save_png(whole, job.target, metadata=_said(job, facts))
            _write_losses(job, runs)
            # Levels that were left out and photos that could not be read count as done.
            bar.update((done + len(rejects)) * per_photo - bar.n)


def _photos(jobs: Sequence[Job], max_side: int, rejects: list[tuple[str, str]]) -> Iterator[tuple[Job, LoadedImage]]:
    for group in loaded_batches(jobs, batch=1, max_side=max_side, rejects=rejects):
        yield from group


def _load(order: Order, layers: tuple[str, ...]) -> Extractor:
    try:
        return load_extractor(order.backbone, layers, weights=order.weights, device=order.device)
    except DownloadError as error:
        tell(f"{error}; going on with random weights, which know of colours and textures only: pictures will be rough")
        return load_extractor(order.backbone, layers, weights="random", device=order.device)


def _transferred(
    photo: Tensor, style: Tensor | None, extractor: Extractor, recipe: StyleRecipe, seed: int, bar: Any
) -> StyleResult:
    def advance(at: Pass) -> None:
        if at.number:
            bar.update()
            bar.set_postfix_str(f"loss {at.total:.3g}", refresh=False)

    # Of one picture there is nothing to halve; what is wanted is the word on memory that runs out.
    (result,) = halving(lambda _: transfer_style(photo, style, extractor, recipe, seed=seed, callback=advance), 1)
    return result


def _facts(extractor: Extractor, recipe: StyleRecipe, seed: int) -> dict[str, str]:
    return {
        "backbone": extractor.backbone,
        "layers": ",".join(recipe.layer_names),
        "weights": f"{extractor.weights_name} sha256:{extractor.weights_sha256}",
        "seed": str(seed),
        "recipe_json": recipe.to_json(),
    }


def _said(job: Job, facts: Mapping[str, str]) -> dict[str, str]:
    return {**facts, "photo": printable(job.source.name)}


def _line(name: str, passes: Sequence[Pass], seconds: float) -> str:
    """How it went: the loss at the photo's own size, before and after, and whether it ever rose."""
    last = [at for at in passes if at.level == passes[-1].level]
    rises = sum(after.total > before.total for before, after in _steps(passes))
    return (
        f"{name}: {last[-1].size[1]}x{last[-1].size[0]} px, loss {last[0].total:.4g} -> {last[-1].total:.4g} "
        f"(content {last[-1].content:.3g}, style {last[-1].style:.3g}), rose in {rises} of {len(_steps(passes))} "
        f"passes, {seconds:.0f} s"
    )


def _steps(passes: Sequence[Pass]) -> list[tuple[Pass, Pass]]:
    """Each pass with the one before it, at one level."""
    return [(before, after) for before, after in itertools.pairwise(passes) if after.number]


def _table(job: Job) -> Path:
    return job.target.with_name(f"{job.target.stem}-loss.csv")


def _plot(job: Job) -> Path:
    return job.target.with_name(f"{job.target.stem}-loss.png")


def _check_table(table: Path) -> None:
    """Refuse to overwrite a table that dreamgan did not write.

    Raises:
        UserError: If there is one.
    """
    if table.exists():
        with table.open(encoding="utf-8", errors="replace") as file:
            if file.readline(200).strip() != ",".join(CSV_HEAD):
                raise UserError(f"'{printable(str(table))}' was not written by dreamgan; move it or give another --out")


def _write_losses(job: Job, runs: Mapping[str, Sequence[Pass]]) -> None:
    """The loss at every pass: the table of all pictures, and a plot."""
    rows = [
        (name, at.level, *at.size, at.number, *(f"{term:.6g}" for term in (at.content, at.style, at.tv, at.total)))
        for name, passes in runs.items()
        for at in passes
    ]
    write_csv(_table(job), [CSV_HEAD, *rows])
    ((first, passes), *others) = runs.items()
    if others or first:
        lines = {name: [at.total for at in of] for name, of in runs.items()}
    else:
        lines = {name: [getattr(at, name) for at in passes] for name in ("total", "content", "style", "tv")}
        lines = {name: values for name, values in lines.items() if any(values)}
    breaks = [number for number, at in enumerate(passes) if at.number == 0 and number]
    title = f"{printable(job.name)}: loss at every pass"
    save_png(loss_plot(title, lines, breaks), _plot(job), metadata={"version": __version__})
