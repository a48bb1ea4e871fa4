"""Pictures of an evaluation for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dreamgan.evaluation.groups import evenly
from dreamgan.evaluation.measuring import Make
from dreamgan.evaluation.pictures import GroupPictures
from dreamgan.images import shrink_to, to_picture

TIMES = 4
MOST_SIDE_PX = 256
MOST_LETTERS = 24
HEADS = (
    "",
    "photo",
    "direct dream",
    "second dream",
    "one pass",
    f"{TIMES} x (direct dream - photo)",
    f"{TIMES} x (one pass - photo)",
)


def grid_rows(title: str, pictures: GroupPictures, make: Make, count: int) -> list[list[Image.Image]]:
    """Rows of the grid for some pairs of a group, evenly spread over it.

    What was added to the photos is shown around grey: a pattern that comes back on every photo is seen there first.

    Args:
        title: What the group is called, words with commas between: a line each.
        pictures: Of the group.
        make: Makes the one-pass dreams.
        count: How many rows.

    Returns:
        Pictures in the order of ``HEADS``; the second dream is blank where there is none.
    """
    rows = []
    for place in evenly(range(len(pictures)), count):
        pair = pictures.pairs([place])
        made = make(pair)
        shown = [pair.photos, pair.dreams, pair.second_dreams, made]
        shown += [_difference(each, pair.photos) for each in (pair.dreams, made)]
        label = _text([*title.split(", "), pictures.photo_ids[place][-MOST_LETTERS:]])  # photos differ at the end
        blank = Image.new("RGB", (1, 1), "white")
        cells = [blank if each is None else shrink_to(to_picture(each[0]), MOST_SIDE_PX) for each in shown]
        rows.append([label, *cells])
    return rows


def _difference(images: Tensor, photos: Tensor) -> Tensor:
    return (0.5 + TIMES * (images - photos)).clamp(0, 1)


def _text(lines: Sequence[str]) -> Image.Image:
    """Some short lines on white."""
    font = ImageFont.load_default(size=14)
    shown = ["".join(c if c.isprintable() else "?" for c in line)[:MOST_LETTERS] for line in lines]
    picture = Image.new("RGB", (max(int(font.getlength(line)) + 2 for line in shown), 18 * len(shown)), "white")
    ImageDraw.Draw(picture).multiline_text((0, 0), "\n".join(shown), fill="black", font=font)
    return picture
