"""The model card of the generator that ships: what it is, how well it dreams, and under which licences."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dreamgan.errors import UserError

Styles = Mapping[str, Mapping[str, Any]]
Rows = Sequence[Mapping[str, Any]]

# Of the weights whose dreams it learnt, or with which its encoder started.
LICENCES = {
    "inception_v3": "InceptionV3: Apache-2.0, Google's release of 2015-12-05.",
    "mobilenet_v2": "MobileNetV2: BSD-3-Clause, torchvision's weights.",
    "squeezenet1_1": "SqueezeNet 1.1: MIT / BSD, by way of torchvision.",
    "vgg16": "VGG16: CC BY, the Visual Geometry Group of the University of Oxford; converted, and its upper blocks "
    "very slightly fine-tuned.",
}
# Of the guide pictures, by style.
GUIDE_LICENCES = {
    "petals": "`flower.jpg` of scikit-learn, CC BY 2.0, https://www.flickr.com/photos/vultilion/6056698931/"
}
_MOST_CLASSES = 12

_FIGURES_TEXT = """\
`dreamgan evaluate` against direct dreams; the test photos were not trained on. *Agreement*: 0 is the untouched photo, 1
a second direct dream of the same photo, by the features of the style's own network; *referee agreement*: the same in a
network that took no part; *robust gain*: share of a second dream's rise in the objective; the cosines are those of the
photo (floor), of one pass, and of a second dream (ceiling) to the direct dream; *over the wrong photo*: what one pass
is above another photo's changes, in cosine; *universal share*: how much of the changes is the same on every photo, and
in brackets that of the direct dreams. +- is the standard deviation over photos; - stands where there is nothing to
measure."""

_LIMITS = """\
- It knows these styles only. Blends of them, and strengths that were not trained, come out between or beyond them and
  were not measured unless the table says so.
- Trained at {size_px} px. Larger pictures get dreams of the same grain, that is smaller in relation to the picture.
- What a direct dream draws sharply, one pass may leave soft or pale, and where a direct dream could have put one thing
  or another, it may put something in between.
- It adds animals, eyes and textures to whatever it is given, faces too, and says nothing about what a picture shows."""


def model_card(styles: Styles, rows: Rows, encoder: str, parameters: int) -> str:
    """Write the card.

    Args:
        styles: The generator's, name to facts.
        rows: Of ``dreamgan evaluate --json``; at least one per style, none of other recipes.
        encoder: Name of the network that its encoder started as.
        parameters: How many it has.

    Returns:
        Markdown with a front matter.

    Raises:
        UserError: If a style has no figures, figures have no style, or a licence is not known here.
    """
    _check_rows(styles, rows)
    parts = [
        front_matter("image-to-image"),
        f"# One-pass dreams: {', '.join(styles)}",
        f"An image-to-image network ({parameters:,} parameters, {encoder} encoder, float16) that turns a photo of any "
        f"size from 32 px into its DeepDream in one pass, in {len(styles)} styles, their blends, and strengths from 0 "
        "(the photo) over 1 (the whole dream) to 1.5. Made with dreamgan; a student of direct dreams, which are "
        "gradient ascent on the objectives named below.",
        "## Use\n\n```sh\ndreamgan sample photo.jpg --style " + next(iter(styles)) + "\n```",
        f"## Styles\n\n{styles_table(styles)}\n\nThe whole recipes are in `config.json`.",
        f"## Data\n\n{data_text(styles)}",
        f"## Figures\n\n{_figures_table(rows)}\n\n{_FIGURES_TEXT}",
        "## Limits\n\n" + _LIMITS.format(size_px=listed(styles, "size_px")),
        f"## Licences\n\n{licences(styles, [encoder] if encoder else [])}",
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(task: str) -> str:
    """What a hub reads of a card, for a pipeline tag."""
    return f"""\
---
library_name: dreamgan
pipeline_tag: {task}
license: other
license_name: see-the-end-of-this-card
tags:
- deepdream
---"""


def _check_rows(styles: Styles, rows: Rows) -> None:
    measured = {row.get("recipe") for row in rows}
    for name in styles:
        if name not in measured:
            raise UserError(
                f"the figures have no row of style {name!r}; evaluate the generator on that style's dataset"
            )
    for recipe in measured:
        if recipe not in styles:
            raise UserError(
                f"the figures have rows of {recipe!r}, a style that the generator does not know; leave them out"
            )


def styles_table(styles: Styles) -> str:
    """What each style maximised, in which network."""
    rows = []
    for name, facts in styles.items():
        recipe = json.loads(facts["recipe_json"])
        rows.append(
            (
                f"`{name}`",
                f"`{recipe.get('objective', '')}`",
                facts["backbone"],
                ", ".join(facts["layers"]),
                ", ".join(f"{strength:g}" for strength in facts["strengths"]),
                f"{facts['weights']} ({facts['weights_sha256'][:12]}…)",
            )
        )
    heads = ("style", "objective, maximised", "network", "layers", "strengths trained", "weights (SHA-256)")
    return table(heads, rows)


def data_text(styles: Styles) -> str:
    """What the dreams were of."""
    classes = sorted({label for facts in styles.values() for label in facts["labels"] if label})
    shown = ", ".join(classes[:_MOST_CLASSES]) + (" and others" if len(classes) > _MOST_CLASSES else "")
    named = f"of {len(classes)} classes ({shown})" if classes else "without classes"
    if classes and any("" in facts["labels"] for facts in styles.values()):
        named += ", and photos of many things without a class"
    return (
        f"Photos of public research sets, {named}, scaled and cropped to {listed(styles, 'size_px')} px, each with "
        "its direct dreams. No photo is in this package. `config.json` lists the classes."
    )


def _figures_table(rows: Rows) -> str:
    lines = []
    for row in rows:
        feature, wrong = row.get("feature_cosine"), row.get("wrong_photo_cosine")
        over = None if feature is None or wrong is None else feature - wrong
        cosines = " / ".join(number(row.get(f"{name}_cosine"), 3) for name in ("floor", "feature", "ceiling"))
        lines.append(
            (
                str(row["recipe"]),
                f"{row['split']}, {row['label']}" if row.get("label") else str(row["split"]),
                number(row["strength"], 2),
                str(row["n"]),
                _spread(row, "agreement"),
                _spread(row, "referee_agreement"),
                _spread(row, "robust_gain"),
                cosines,
                number(over, 3),
                f"{number(row.get('universal_share'), 3)} ({number(row.get('dream_universal_share'), 3)})",
            )
        )
    heads = ("style", "photos", "strength", "n", "agreement", "referee agreement", "robust gain")
    return table((*heads, "cosines", "over the wrong photo", "universal share (dreams)"), lines)


def licences(styles: Styles, helpers: Iterable[str]) -> str:
    """Where weights came from, and the pictures that they learnt.

    Args:
        styles: Name to facts.
        helpers: Names of networks that were begun with, or that judged.

    Raises:
        UserError: If a licence is not known here.
    """
    networks = sorted({*helpers, *(facts["backbone"] for facts in styles.values())})
    lines = []
    for network in networks:
        if network not in LICENCES:
            raise UserError(f"the licence of {network}'s weights is not known; add it to dreamgan/generators/card.py")
        lines.append(f"- {LICENCES[network]}")
    for name, facts in styles.items():
        if json.loads(facts["guides"]):
            if name not in GUIDE_LICENCES:
                raise UserError(f"the licence of {name!r}'s guide is not known; add it to dreamgan/generators/card.py")
            lines.append(f"- The dreams of `{name}` were guided by {GUIDE_LICENCES[name]}")
    first = "The code of dreamgan is MIT. These weights were learnt from pictures made with networks of others:"
    last = (
        "The photos come from public research sets without a clear licence of their own; none of them is given on here."
    )
    return "\n\n".join([first, "\n".join(lines), last])


def listed(styles: Styles, key: str) -> str:
    """A fact of all styles, each value once."""
    return ", ".join(dict.fromkeys(str(facts[key]) for facts in styles.values()))


def number(value: float | None, decimals: int) -> str:
    """A figure, - where there is none."""
    return "-" if value is None else f"{value:.{decimals}f}"


def _spread(row: Mapping[str, Any], name: str) -> str:
    mean, std = row.get(name), row.get(f"{name}_std")
    return number(mean, 2) + ("" if mean is None or std is None else f" +- {std:.2f}")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    # A cell may hold a name that somebody gave; a bar in it would start another column.
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in (heads, *rows)]
    return "\n".join(f"| {line} |" for line in (lines[0], " | ".join("---" for _ in heads), *lines[1:]))
