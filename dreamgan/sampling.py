"""Exported generators: saved, loaded and run. No trainer is needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from dreamgan import __version__
from dreamgan.errors import UserError
from dreamgan.exports import (
    CONFIG_NAME as CONFIG_NAME,  # others know it from here
)
from dreamgan.exports import (
    NOISE_FORMAT,
    WEIGHTS_NAME,
    blend_weights,
    check_finite,
    network_shape,
    reading_export,
    write_export,
)
from dreamgan.images import MIN_SIDE_PX, check_images
from dreamgan.networks.tiles import TILE_PX, dream_in_tiles
from dreamgan.networks.translator import Translator, TranslatorConfig

FORMAT = "dreamgan-translator-2"
OLD_FORMAT = "dreamgan-translator-1"  # of one style at one strength
MOST_STRENGTH = 1.5


@dataclass(frozen=True)
class Generator:
    """A loaded generator.

    Attributes:
        network: In eval mode, frozen.
        styles: What it learnt, by name of the style, in the order of the network: recipe, backbone, layers and so on,
            as the training wrote it.
        folder: Where it came from.
    """

    network: Translator
    styles: Mapping[str, Mapping[str, Any]]
    folder: Path

    def weights(self, style: str | Mapping[str, float] | None = None) -> Tensor:
        """Weights of the styles as the network takes them.

        Args:
            style: Name of one; names and weights of a blend, at least 0, of which only the proportions count; None:
                the first.

        Returns:
            (1, S), float32, with the sum 1, on the generator's device.

        Raises:
            UserError: If there is no such style, or the weights are not as described.
        """
        known = list(self.styles)
        return blend_weights(known, known[0] if style is None else style, "style").to(self.device)

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        return self.network.head.weight.device


def save_generator(
    folder: Path, network: Translator, styles: Mapping[str, Mapping[str, Any]], card: str, *, half: bool = False
) -> None:
    """Export a generator: safetensors, a JSON config and a model card.

    Args:
        folder: Made if missing; each file is replaced whole.
        network: The network (its EMA, if there is one).
        styles: What it learnt, by name of the style, in the order of the network; JSON values only.
        card: Model card, Markdown.
        half: Write the weights as float16, half the bytes; they are read back as float32.

    Raises:
        ValueError: If there are not as many styles as the network has.
        UserError: If a weight is not finite, or not in the range of float16 where that is asked for.
    """
    if len(styles) != network.config.styles:
        raise ValueError(f"the network has {network.config.styles} styles, {len(styles)} were described")
    config = {
        "format": FORMAT,
        "dreamgan": __version__,
        "network": dataclasses.asdict(network.config),
        "styles": {name: dict(facts) for name, facts in styles.items()},
    }
    write_export(folder, config, network, card, half=half)


def load_generator(folder: str | Path, device: str | torch.device = "cpu") -> Generator:
    """Load what ``save_generator`` wrote.

    Args:
        folder: With ``config.json`` and ``model.safetensors``.
        device: Where the network shall live.

    Raises:
        UserError: If the folder does not hold a generator; the message says what is wrong.
    """
    folder = Path(folder)
    with reading_export(folder) as config:
        _check_format(config)
        shape = network_shape(config, TranslatorConfig)
        shape["widths"] = tuple(shape["widths"])
        shape["residual_range"] = float(shape["residual_range"])
        styles = {str(name): dict(facts) for name, facts in {**config["styles"]}.items()}
        if shape["styles"] != len(styles):
            raise UserError(f"its network has {shape['styles']} styles, {len(styles)} are described")
        network = Translator(TranslatorConfig(**shape))
        network.load_state_dict(load_file(folder / WEIGHTS_NAME))
        check_finite(network.state_dict(), "train it again")
    network.eval().requires_grad_(False).to(device)
    network.to(memory_format=torch.channels_last)
    return Generator(network, styles, folder)


def _check_format(config: Any) -> None:
    found = config.get("format") if isinstance(config, dict) else None
    if found == OLD_FORMAT:
        raise UserError(f"it is of the old format {found!r}, of a single style; train it again")
    if found == NOISE_FORMAT:
        raise UserError("it dreams from noise and takes no photos; use it with `dreamgan sample --generator`")
    if found != FORMAT:
        raise UserError(f"it is of format {found!r}; this version reads {FORMAT!r}")


def sample(
    generator: Generator,
    photos: Tensor,
    style: str | Mapping[str, float] | None = None,
    strength: float = 1.0,
    tile_px: int = TILE_PX,
) -> Tensor:
    """Dream photos in one pass.

    A dream depends on its photo alone, not on the others of the batch.

    Args:
        generator: From ``load_generator``.
        photos: (B, 3, H, W), floating, in [0, 1], at least 32 px a side.
        style: Name of a style, or names and weights of a blend; None: the generator's first.
        strength: 0 gives the photo, 1 the whole dream; up to 1.5 it is a bolder one than any that was trained.
        tile_px: Photos of more than so many pixels squared are dreamed in tiles of this side, one at a time, which
            bounds the memory and leaves no seam; smaller ones go together while they are no more than that. 0: all at
            once.

    Returns:
        (B, 3, H, W), float32, in [0, 1], on the generator's device.

    Raises:
        ValueError: If photos or tile are not as described.
        UserError: If there is no such style, or a weight or the strength is not in its range.
    """
    check_images(photos)
    if min(photos.shape[-2:]) < MIN_SIDE_PX:
        raise ValueError(f"photos must be at least {MIN_SIDE_PX} px a side, got {tuple(photos.shape)}")
    check_strength(strength)
    photos = photos.to(generator.network.head.weight)
    with torch.inference_mode():
        weights = generator.weights(style).to(photos).expand(len(photos), -1)
        strengths = photos.new_full((len(photos),), strength)
        return dream_in_tiles(generator.network, photos, weights, strengths, tile_px).float()


def check_strength(strength: float) -> None:
    """Refuse a strength that no generator takes.

    Raises:
        UserError: If it is not a number from 0 to 1.5.
    """
    if not 0 <= strength <= MOST_STRENGTH:
        raise UserError(f"the strength is {strength:g}; it must be from 0 (the photo) to {MOST_STRENGTH}")
