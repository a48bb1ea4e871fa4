"""The model card of the generator that ships and dreams from noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dreamgan.errors import UserError
from dreamgan.generators.card import Rows, Styles, data_text, front_matter, licences, number, styles_table, table
from dreamgan.networks.noise import NoiseGenerator

_FIGURES_TEXT = """\
`dreamgan evaluate`, {n} pictures of each set that is compared; held-out dreams and photos were not trained on. *KID*:
kernel distance, features averaged over places and divided by their root mean square over dreams; +- is the standard
deviation over 20 subsets of half the pictures. *Nearest*: mean distance to the nearest training dream over that to
the nearest held-out one, 1 where nothing was copied. *Density* and *coverage* after Naeem et al. 2020. *Objective*:
where its mean lies on the way from held-out photos, 0, to held-out dreams, 1. docs/dcgan.md says more."""

_LIMITS = """\
- Pictures of this size only, after the categories that it learnt.
- It was made to be like dreams as a set: seen one by one, many pictures show nothing in particular."""


def noise_model_card(styles: Styles, rows: Rows, network: NoiseGenerator, classes: Sequence[str]) -> str:
    """Write the card.

    Args:
        styles: The generator's, name to facts.
        rows: Of ``dreamgan evaluate --json``, one per style.
        network: The generator.
        classes: Names of those that it can be asked for.

    Returns:
        Markdown with a front matter.

    Raises:
        UserError: If styles and figures are not of each other, or a licence is not known.
    """
    if sorted(str(row["style"]) for row in rows) != sorted(styles):
        raise UserError(
            f"the figures are of {', '.join(str(row['style']) for row in rows)}, the generator knows "
            f"{', '.join(styles)}; evaluate it again"
        )
    config = network.config
    parameters = sum(parameter.numel() for parameter in network.parameters())
    judges = next(iter(styles.values())).get("likeness") or []
    learnt = f" To be like the dreams as a set, it was judged in features of {' and '.join(judges)}." if judges else ""
    asked = f" It can be asked for: {', '.join(classes)}." if classes else ""
    parts = [
        front_matter("unconditional-image-generation"),
        f"# Dreams from noise: {', '.join(styles)}",
        f"A {config.kind} generator ({parameters:,} parameters, float16) that makes pictures of {config.size_px} px "
        f"like DeepDreams out of {config.latent} random numbers. Made with dreamgan.{asked}",
        "## Use\n\n```sh\ndreamgan sample --generator noise --n 64 --seed 0\n```",
        f"## Styles\n\n{styles_table(styles)}\n\nThe whole recipes are in `config.json`.",
        f"## Data\n\n{data_text(styles)} The dreams were scaled down to {config.size_px} px.{learnt}",
        f"## Figures\n\n{_figures(rows)}\n\n{_FIGURES_TEXT.format(n=_counts(rows))}",
        f"## Limits\n\n{_LIMITS}",
        f"## Licences\n\n{licences(styles, judges)}",
    ]
    return "\n\n".join(parts) + "\n"


def _counts(rows: Rows) -> str:
    return ", ".join(dict.fromkeys(str(row["n"]) for row in rows))


def _figures(rows: Rows) -> str:
    heads = ("style", "in", "KID to dreams", "other dreams", "photos", "KID to photos", "nearest", "density")
    lines = []
    for row in rows:
        for each in row["networks"]:
            names = ("kid_dreams", "kid_halves", "kid_between", "kid_photos", "nearest")
            cells = [_spread(each, name) for name in names]
            shares = [
                f"{number(each[name], 2)} ({number(each[f'{name}_halves'], 2)})" for name in ("density", "coverage")
            ]
            lines.append((str(row["style"]), str(each["network"]), *cells, *shares, number(row["dream_share"], 2)))
    return table((*heads, "coverage (other dreams)", "objective"), lines)


def _spread(row: Mapping[str, Any], name: str) -> str:
    mean, std = row.get(name), row.get(f"{name}_std")
    return "-" if mean is None else f"{mean:.3g}" + ("" if std is None else f" +- {std:.2g}")
