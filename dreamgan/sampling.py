"""Exported generators: saved, loaded and run. No trainer is needed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dreamgan import __version__
from dreamgan.errors import UserError
from dreamgan.files import whole_file, write_text
from dreamgan.images import MIN_SIDE_PX, check_images
from dreamgan.networks.translator import Translator, TranslatorConfig

FORMAT = "dreamgan-translator-1"
WEIGHTS_NAME, CONFIG_NAME, CARD_NAME = "model.safetensors", "config.json", "README.md"


@dataclass(frozen=True)
class Generator:
    """A loaded generator.

    Attributes:
        network: In eval mode, frozen.
        dream: What it learnt: recipe, backbone, layers and so on, as the training wrote it.
        folder: Where it came from.
    """

    network: Translator
    dream: Mapping[str, Any]
    folder: Path


def save_generator(folder: Path, network: Translator, dream: Mapping[str, Any], card: str) -> None:
    """Export a generator: safetensors, a JSON config and a model card.

    Args:
        folder: Made if missing; each file is replaced whole.
        network: The network (its EMA, if there is one).
        dream: What it learnt, JSON values only.
        card: Model card, Markdown.
    """
    config = {
        "format": FORMAT,
        "dreamgan": __version__,
        "network": dataclasses.asdict(network.config),
        "dream": dict(dream),
    }
    # Before anything is written: a value that JSON does not know must not leave half an export behind.
    config_text = json.dumps(config, indent=2) + "\n"
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with whole_file(folder / WEIGHTS_NAME) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    write_text(folder / CARD_NAME, card)
    write_text(folder / CONFIG_NAME, config_text)  # last: with it the export is complete


def load_generator(folder: str | Path, device: str | torch.device = "cpu") -> Generator:
    """Load what ``save_generator`` wrote.

    Args:
        folder: With ``config.json`` and ``model.safetensors``.
        device: Where the network shall live.

    Raises:
        UserError: If the folder does not hold a generator; the message says what is wrong.
    """
    folder = Path(folder)
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no {name}; give the folder that training exported (…/generator)")
    try:
        config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        found = config.get("format") if isinstance(config, dict) else None
        if found != FORMAT:
            raise UserError(f"{folder / CONFIG_NAME} is of format {found!r}; this version reads {FORMAT!r}")
        shape = dict(config["network"])
        shape["widths"] = tuple(int(width) for width in shape["widths"])
        shape["residual_range"] = float(shape["residual_range"])
        dream = dict(config["dream"])
        network = Translator(TranslatorConfig(**shape))
        network.load_state_dict(load_file(folder / WEIGHTS_NAME))
    except UserError:
        raise
    except (ValueError, LookupError, TypeError, OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder} holds no generator that dreamgan can read: {reason}") from None
    network.eval().requires_grad_(False).to(device)
    network.to(memory_format=torch.channels_last)
    return Generator(network, dream, folder)


def sample(generator: Generator, photos: Tensor) -> Tensor:
    """Dream photos in one pass.

    Args:
        generator: From ``load_generator``.
        photos: (B, 3, H, W), floating, in [0, 1], at least 32 px a side.

    Returns:
        (B, 3, H, W), float32, in [0, 1], on the generator's device.

    Raises:
        ValueError: If the photos are not as described.
    """
    check_images(photos)
    if min(photos.shape[-2:]) < MIN_SIDE_PX:
        raise ValueError(f"photos must be at least {MIN_SIDE_PX} px a side, got {tuple(photos.shape)}")
    with torch.inference_mode():
        dreams: Tensor = generator.network(photos.to(generator.network.head.weight))
    return dreams.float()
