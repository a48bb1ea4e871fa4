"""What every experiment needs: its order, its photos, dreams that are made once, a table and a figure.

An experiment is ``run(job)``. It goes through its dreams by ``part``, which keeps each finished one in ``DIR/parts``:
the same command, given again after it was killed, makes only what is missing. At the end it writes ``NAME.csv`` by
``write_table`` and ``NAME.png`` by ``write_figure``.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from tqdm import tqdm

from dreamgan.backbones.features import Extractor
from dreamgan.data.samples import photo_file
from dreamgan.dream import DreamRecipe, DreamResult, DreamStep, dream, score
from dreamgan.errors import UserError
from dreamgan.files import whole_file, write_text
from dreamgan.images import MIN_SIDE_PX, load_image, save_png, sheet, shrink_to, to_unit


@dataclass(frozen=True)
class Experiment:
    """An order: what an experiment is run on.

    Attributes:
        photos: Files of the photos, at least one.
        weights: File of the backbone's weights, or ``random``; None: torchvision's own.
        backbone: Registry name of a backbone; None: the experiment's own.
        out: Folder to write to.
        steps: Steps (of each octave) in place of the paper's, for shorter runs; None: the paper's.
        max_side: Photos with a longer side are shrunk to it, in pixels.
        seed: Of all random streams.
        device: Where to dream.
        guides: Files of guide pictures; empty: the experiment's own, where it has any.
    """

    photos: tuple[Path, ...]
    weights: str | None
    backbone: str | None
    out: Path
    steps: int | None
    max_side: int
    seed: int
    device: torch.device
    guides: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Part:
    """A finished piece of an experiment: one dream, most often.

    Attributes:
        values: What goes into the table; anything that JSON holds.
        pictures: What goes into the figure, RGB, by name.
    """

    values: Mapping[str, Any]
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)


def sample_photos(*names: str) -> tuple[Path, ...]:
    """Files of photographs that scikit-image and scikit-learn carry, by name (``chelsea``, ``coffee``, ...).

    Raises:
        UserError: If a package that carries them is missing.
        KeyError: If there is no photograph of that name.
    """
    return tuple(photo_file(name) for name in names)


def load_photos(files: Sequence[Path], max_side: int) -> dict[str, Tensor]:
    """Read photos, shrunk so that no side is longer than ``max_side`` px.

    Args:
        files: At least one.
        max_side: In pixels.

    Returns:
        Name (the file's stem; with its place in the list where two are alike) to photo, (3, H, W), float32, in [0, 1].

    Raises:
        UserError: If a file is no picture, or one becomes too narrow.
    """
    stems = [file.stem for file in files]
    names = [stem if stems.count(stem) == 1 else f"{stem}-{place}" for place, stem in enumerate(stems, start=1)]
    photos = {}
    for name, file in zip(names, files, strict=True):
        picture = shrink_to(load_image(file).picture, max_side)
        if min(picture.size) < MIN_SIDE_PX:
            width, height = picture.size
            raise UserError(f"'{file}' would be shrunk to {width}x{height} px, too narrow; raise --max_side")
        photos[name] = to_unit(picture)
    return photos


def dream_one(
    job: Experiment,
    name: str,
    photo: Tensor,
    extractor: Extractor,
    recipe: DreamRecipe,
    *,
    guides: Mapping[str, Tensor] | None = None,
    callback: Callable[[DreamStep], bool | None] | None = None,
) -> DreamResult:
    """Dream one photo, with a bar on a terminal and without a word elsewhere.

    Args:
        job: Gives seed and device.
        name: What the bar calls it.
        photo: (3, H, W) in [0, 1].
        extractor: Must answer for the recipe's layers.
        recipe: What to do.
        guides: Name to guide picture, (1, 3, h, w) in [0, 1].
        callback: As for ``dream``.

    Returns:
        As ``dream`` gives it, for a batch of one; its images are on the CPU. The random stream depends on the seed and
        the recipe's name only.
    """
    with tqdm(total=sum(recipe.steps_per_octave), unit="step", desc=name, disable=None, leave=False) as bar:

        def advance(at: DreamStep) -> bool | None:
            bar.update()
            return None if callback is None else callback(at)

        result = dream(photo[None].to(job.device), extractor, recipe, seed=job.seed, guides=guides, callback=advance)
    return DreamResult(result.images.cpu(), result.completed, result.dropped_octaves, result.skipped_steps)


def score_one(
    photo: Tensor, extractor: Extractor, recipe: DreamRecipe, guides: Mapping[str, Tensor] | None = None
) -> float:
    """The recipe's objective of one picture, (3, H, W) in [0, 1], whole and unshifted."""
    like = next(extractor.parameters())
    guides = {name: guide.to(like) for name, guide in (guides or {}).items()}
    with torch.no_grad():
        return float(score(photo[None].to(like), extractor, recipe, guides=guides))


def facts_of(
    job: Experiment, extractor: Extractor, recipe: DreamRecipe, *pictures: Tensor, **more: Any
) -> dict[str, Any]:
    """All that decides a dream, as JSON holds it: for ``part``, which makes anew what was made of other facts.

    Args:
        job: Gives the seed.
        extractor: Gives backbone and weights.
        recipe: What was done.
        *pictures: The photo, guides: any tensors.
        **more: Whatever else decides the result.
    """
    return {
        "recipe": recipe.as_dict(),
        "backbone": extractor.backbone,
        "weights_sha256": extractor.weights_sha256,
        "seed": job.seed,
        "pictures": [hashlib.sha256(picture.cpu().numpy().tobytes()).hexdigest() for picture in pictures],
        **more,
    }


def part(job: Experiment, name: str, facts: Mapping[str, Any], make: Callable[[], Part]) -> Part:
    """A piece of an experiment: from ``DIR/parts`` where an earlier call has finished it, else made and kept there.

    Args:
        job: Gives the folder.
        name: Names the files; the same for the same piece, and for no other.
        facts: All that decides the result, as JSON holds it (see ``facts_of``); a piece of other facts is made anew.
        make: Makes it.

    Raises:
        UserError: If the files cannot be written.
    """
    folder = job.out / "parts"
    stem = _file_name(name)
    # The table comes last: where it is, the pictures are whole.
    table = folder / f"{stem}.json"
    wanted = json.loads(json.dumps(facts))
    known = _kept(table)
    if known is not None and known["facts"] == wanted:
        pictures = {label: folder / file for label, file in known["pictures"].items()}
        if all(file.is_file() for file in pictures.values()):
            opened = {label: _open(file) for label, file in pictures.items()}
            return Part(known["values"], opened)
    table.unlink(missing_ok=True)
    made = make()
    files = {label: f"{stem}__{_file_name(label)}.png" for label in made.pictures}
    for label, picture in made.pictures.items():
        save_png(picture, folder / files[label])
    content = {"facts": wanted, "values": dict(made.values), "pictures": files}
    write_text(table, json.dumps(content, indent=1) + "\n")
    return made


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _kept(table: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(table.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(content, dict) and {"facts", "values", "pictures"} <= set(content)
    return content if whole else None


def _open(file: Path) -> Image.Image:
    # Not load_image: a label of our own may be narrower than any photo.
    with Image.open(file, formats=("PNG",)) as picture:
        return picture.convert("RGB")


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV, whole or not at all; numbers with six digits that count.

    Args:
        path: Where to; missing folders are made.
        columns: Its columns, in their order.
        rows: One value for each column, and no other.

    Raises:
        ValueError: If a row has other columns.
    """
    for row in rows:
        if set(row) != set(columns):
            raise ValueError(f"a row has the columns {', '.join(row)}; expected {', '.join(columns)}")
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_cell(row[column]) for column in columns] for row in rows)


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def write_figure(
    path: Path, columns: Sequence[str], rows: Mapping[str, Sequence[Image.Image]], caption: str = ""
) -> None:
    """Write a grid of pictures with a label over each column and one beside each row.

    Args:
        path: Where to; missing folders are made.
        columns: The labels above.
        rows: Label to pictures, RGB, one for each column.
        caption: What the figure shows, below it, in one line of small print or, with line breaks, several.

    Raises:
        ValueError: If there is no row, or a row has another length than ``columns``.
        UserError: If the file cannot be written.
    """
    labels = [_text_picture(label) for label in rows]
    if any(rows):
        laid = sheet(
            [[label, *pictures] for label, pictures in zip(labels, rows.values(), strict=True)], ["", *columns]
        )
    else:
        laid = sheet([list(pictures) for pictures in rows.values()], columns)
    if caption:
        below = _text_picture(caption, size=12)
        whole = Image.new("RGB", (max(laid.width, below.width + 16), laid.height + below.height + 8), "white")
        whole.paste(laid, (0, 0))
        whole.paste(below, (8, laid.height))
        laid = whole
    save_png(laid, path)


def _text_picture(text: str, size: int = 14) -> Image.Image:
    font = ImageFont.load_default(size=size)
    left, top, right, bottom = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), text, font=font)
    picture = Image.new("RGB", (max(1, round(right - left) + 2), max(1, round(bottom - top) + 6)), "white")
    ImageDraw.Draw(picture).multiline_text((1 - left, 1 - top), text, fill="black", font=font)
    return picture
