"""Putting a trained generator into the package, where `dreamgan sample` finds it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamgan.errors import UserError
from dreamgan.generators import SHIPPED, SHIPPED_NOISE
from dreamgan.generators.card import model_card
from dreamgan.generators.noise_card import noise_model_card

MOST_BYTES = 6_000_000
MOST_NOISE_BYTES = 8_000_000
_FACTS = (
    *("recipe_json", "backbone", "layers", "weights", "weights_sha256", "guides"),
    *("strengths", "labels", "size_px"),
)
_ROW = ("split", "recipe", "strength", "n", "agreement")
_NOISE_ROW = ("style", "n", "dream_share", "networks", "categories_trained")


def ship_generator(generator: str, figures: str | None = None, out: str | None = None) -> None:
    """Copy a trained generator, of photos or from noise, into the package, as float16 and with a model card.

    Example: scripts/ship_generator.py runs/shipped/generator --figures runs/shipped/evaluation.json

    Args:
        generator: Folder that training exported (model.safetensors and config.json).
        figures: What `dreamgan evaluate GENERATOR DATASET --json FILE` wrote, with rows of every style; needed.
        out: Where to put it. Default: the place in the package.

    Raises:
        UserError: If one of them cannot be read, the figures are not the generator's, or it is larger than 6 MB (8 MB
            if it dreams from noise).
    """
    from dreamgan.noise_sampling import is_noise_generator, load_noise_generator, save_noise_generator
    from dreamgan.sampling import load_generator, save_generator

    if figures is None:
        raise UserError("--figures is missing; give what `dreamgan evaluate --json FILE` wrote")
    given, measured = Path(generator).expanduser(), Path(figures).expanduser()
    if is_noise_generator(given):
        dreams = load_noise_generator(given)
        _check_facts(generator, dreams.styles)
        noise_card = noise_model_card(dreams.styles, _rows(measured, _NOISE_ROW), dreams.network, dreams.classes)

        def save_noise(folder: Path) -> None:
            save_noise_generator(folder, dreams.network, dreams.styles, dreams.classes, noise_card, half=True)

        size = _put(save_noise, SHIPPED_NOISE if out is None else Path(out).expanduser(), generator, MOST_NOISE_BYTES)
        print(f"{', '.join(dreams.styles)}, from noise: {size / 1e6:.2f} MB")
        return
    loaded = load_generator(given)
    _check_facts(generator, loaded.styles)
    parameters = sum(parameter.numel() for parameter in loaded.network.parameters())
    card = model_card(loaded.styles, _rows(measured, _ROW), loaded.network.config.encoder, parameters)

    def save(folder: Path) -> None:
        save_generator(folder, loaded.network, loaded.styles, card, half=True)

    target = SHIPPED if out is None else Path(out).expanduser()
    size = _put(save, target, generator, MOST_BYTES)
    print(f"{', '.join(loaded.styles)}: {size / 1e6:.2f} MB in {target}")


def _check_facts(generator: str, styles: Mapping[str, Mapping[str, Any]]) -> None:
    for name, facts in styles.items():
        lacking = [key for key in _FACTS if key not in facts]
        if lacking:
            raise UserError(f"style {name!r} of {generator} does not say its {lacking[0]}; train it again")


def _put(save: Callable[[Path], None], target: Path, generator: str, most: int) -> int:
    """Save an export in its place, and say how large it is."""
    with tempfile.TemporaryDirectory() as name:
        # First aside: what is too large shall not take the place of what is shipped.
        folder = Path(name) / "generator"
        save(folder)
        size = sum(file.stat().st_size for file in folder.iterdir())
        if size > most:
            raise UserError(f"{generator} is {size / 1e6:.1f} MB as float16, more than {most / 1e6:g}; train narrower")
        shutil.copytree(folder, target, dirs_exist_ok=True)
    return size


def _rows(file: Path, needed: Sequence[str]) -> list[dict[str, Any]]:
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"the figures '{file}' cannot be read: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and set(needed) <= row.keys() for row in rows):
        raise UserError(f"'{file}' holds no figures; give what `dreamgan evaluate --json FILE` wrote")
    return rows
