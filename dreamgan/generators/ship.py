"""Putting a trained generator into the package, as the one that `dreamgan sample` takes when none is named."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from dreamgan.errors import UserError
from dreamgan.generators import SHIPPED
from dreamgan.generators.card import model_card

MOST_BYTES = 6_000_000
_FACTS = (
    *("recipe_json", "backbone", "layers", "weights", "weights_sha256", "guides"),
    *("strengths", "labels", "size_px"),
)
_ROW = ("split", "recipe", "strength", "n", "agreement")


def ship_generator(generator: str, figures: str | None = None, out: str | None = None) -> None:
    """Copy a trained generator into the package, as float16 and with a model card.

    Example: scripts/ship_generator.py runs/shipped/generator --figures runs/shipped/evaluation.json

    Args:
        generator: Folder that training exported (model.safetensors and config.json).
        figures: What `dreamgan evaluate GENERATOR DATASET --json FILE` wrote, with rows of every style; needed.
        out: Where to put it. Default: the place in the package.

    Raises:
        UserError: If one of them cannot be read, the figures are not the generator's, or it is larger than 6 MB.
    """
    from dreamgan.sampling import load_generator, save_generator

    if figures is None:
        raise UserError("--figures is missing; give what `dreamgan evaluate --json FILE` wrote")
    loaded = load_generator(Path(generator).expanduser())
    for name, facts in loaded.styles.items():
        lacking = [key for key in _FACTS if key not in facts]
        if lacking:
            raise UserError(f"style {name!r} of {generator} does not say its {lacking[0]}; train it again")
    parameters = sum(parameter.numel() for parameter in loaded.network.parameters())
    card = model_card(loaded.styles, _rows(Path(figures).expanduser()), loaded.network.config.encoder, parameters)
    target = SHIPPED if out is None else Path(out).expanduser()
    with tempfile.TemporaryDirectory() as name:
        # First aside: what is too large shall not take the place of what is shipped.
        folder = Path(name) / "generator"
        save_generator(folder, loaded.network, loaded.styles, card, half=True)
        size = sum(file.stat().st_size for file in folder.iterdir())
        if size > MOST_BYTES:
            raise UserError(
                f"{generator} is {size / 1e6:.1f} MB as float16, more than {MOST_BYTES / 1e6:g}; train narrower"
            )
        shutil.copytree(folder, target, dirs_exist_ok=True)
    print(f"{', '.join(loaded.styles)}: {size / 1e6:.2f} MB in {target}")


def _rows(file: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"the figures '{file}' cannot be read: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and set(_ROW) <= row.keys() for row in rows):
        raise UserError(f"'{file}' holds no figures; give what `dreamgan evaluate --json FILE` wrote")
    return rows
