"""What exported generators of every kind have in common: their files, and how what they know is asked for."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn

from dreamgan.errors import UserError
from dreamgan.files import whole_file, write_text

WEIGHTS_NAME, CONFIG_NAME, CARD_NAME = "model.safetensors", "config.json", "README.md"
NOISE_FORMAT = "dreamgan-noise-1"


def write_export(folder: Path, config: Mapping[str, Any], network: nn.Module, card: str, *, half: bool) -> None:
    """Write the three files of an export.

    Args:
        folder: Made if missing; each file is replaced whole.
        config: JSON values only.
        network: Its weights and buffers are written.
        card: Model card, Markdown.
        half: Write the weights as float16.

    Raises:
        UserError: If a weight is not finite, or not in the range of float16 where that is asked for.
    """
    # Before anything is written: a value that JSON does not know must not leave half an export behind.
    config_text = json.dumps(config, indent=2) + "\n"
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    check_finite(state, "the generator cannot be exported")
    with whole_file(folder / WEIGHTS_NAME) as temporary:
        # Not save_file, which lets nobody but the writer read the file.
        temporary.write_bytes(save(state, metadata={"format": "pt"}))
    write_text(folder / CARD_NAME, card)
    write_text(folder / CONFIG_NAME, config_text)  # last: with it the export is complete


@contextlib.contextmanager
def reading_export(folder: Path) -> Iterator[Any]:
    """Yield what ``config.json`` holds; whatever its reader raises in the block becomes one line.

    Args:
        folder: Of an export.

    Raises:
        UserError: If a file of the export is missing, or it cannot be read.
    """
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no {name}; give the folder that training exported (…/generator)")
    try:
        config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        # JSON can name half of a character, which no file name and no chunk of a PNG could hold.
        json.dumps(config, ensure_ascii=False).encode("utf-8")
        yield config
    except (ValueError, LookupError, TypeError, ArithmeticError, OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder} holds no generator that dreamgan can read: {reason}") from None


def network_shape(config: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Fields of a network's configuration out of ``config.json``, all of them.

    Args:
        config: From ``reading_export``.
        kind: Dataclass whose fields they are.

    Raises:
        UserError: If one is missing: a default of today need not be what the generator was trained with.
    """
    shape = {**config["network"]}
    lacking = [field.name for field in dataclasses.fields(kind) if field.name not in shape]
    if lacking:
        raise UserError(f"its network does not say its {lacking[0]}")
    return shape


def check_finite(state: Mapping[str, Tensor], way_out: str) -> None:
    """Refuse weights that are infinite or no numbers.

    Args:
        state: By name.
        way_out: What to do about it.

    Raises:
        UserError: Naming the first of them.
    """
    for name, tensor in state.items():
        if not bool(tensor.isfinite().all()):
            raise UserError(f"its weights {name!r} are not finite; {way_out}")


def blend_weights(known: Sequence[str], wish: str | Mapping[str, float], kind: str) -> Tensor:
    """Weights of what a generator knows, as its network takes them.

    Args:
        known: Names of the styles, or of whatever it is, in the order of the network.
        wish: One name; or names and weights of a blend, at least 0, of which only the proportions count.
        kind: What messages call one of them.

    Returns:
        (1, len(known)), float32, with the sum 1.

    Raises:
        UserError: If a name is not known, or the weights are not as described.
    """
    blend = {wish: 1.0} if isinstance(wish, str) else wish
    for name, weight in blend.items():
        if name not in known:
            raise UserError(f"the generator knows no {kind} {name!r}; {_nearest(name, known)}")
        if not (math.isfinite(weight) and weight >= 0):
            raise UserError(f"the weight of {kind} {name!r} is {weight}; it must be a number of at least 0")
    total = sum(blend.values())
    if not 0 < total < math.inf:
        raise UserError(f"the weights of the {kind}s add up to {total:g}; give at least one above 0, none enormous")
    return torch.tensor([[blend.get(name, 0.0) / total for name in known]])


def _nearest(name: str, known: Sequence[str]) -> str:
    plain = {each.lower(): each for each in known}
    nearest = plain[get_close_matches(str(name).lower(), plain, n=1, cutoff=0.0)[0]]
    return f"nearest: {nearest!r} (known: {', '.join(known)})"
