"""Dreams of the photos of an experiment, kept in files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from dreamgan.backbones.features import Extractor
from dreamgan.dream import DreamRecipe, dream
from dreamgan.files import whole_file

PART = 16


def kept_dreams(
    photos: Tensor, names: list[str], extractor: Extractor, recipe: DreamRecipe, seed: int, folder: Path
) -> Tensor:
    """Dream photos, `PART` at a time, each time into a file; those that are there are read.

    Args:
        photos: (N, 3, H, W) in [0, 1].
        names: of the photos.
        extractor: of the recipe's layers.
        recipe: what is dreamed.
        seed: of the shifts.
        folder: of the files; those of other photos and networks lie in other folders beneath it.

    Returns:
        (N, 3, H, W) in [0, 1], in the 256 levels of a file.
    """
    device = next(extractor.parameters()).device
    pixels = hashlib.sha256(photos.cpu().contiguous().numpy().tobytes()).hexdigest()
    key = [names, list(photos.shape), pixels, extractor.weights_sha256, recipe.to_json(), seed]
    home = folder / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    found = []
    with tqdm(total=len(photos), desc=folder.name, unit="dream", disable=None, leave=False) as bar:
        for start in range(0, len(photos), PART):
            path, part = home / f"{start // PART:04d}.safetensors", slice(start, start + PART)
            levels = _read(path, photos[part].shape)
            if levels is None:
                images = [
                    dream(few.to(device), extractor, recipe, seed=seed, photo_ids=some).images.cpu()
                    for few, some in zip(torch.split(photos[part], 4), _fours(names[part]), strict=True)
                ]
                levels = (torch.cat(images) * 255).round().byte()
                with whole_file(path) as temporary:
                    save_file({"levels": levels}, temporary)
            found.append(levels.float() / 255)
            bar.update(len(found[-1]))
    return torch.cat(found)


def _read(path: Path, shape: torch.Size) -> Tensor | None:
    """What a file holds; None where it is not there, or damaged."""
    try:
        levels = load_file(path)["levels"]
    except (OSError, SafetensorError, KeyError):
        return None
    return levels if levels.shape == shape else None


def dream_multiply_adds(photo: Tensor, extractor: Extractor, recipe: DreamRecipe) -> int:
    """Multiply-adds of dreaming one photo, (1, 3, H, W) in [0, 1], forward and backward, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        dream(photo.to(next(extractor.parameters()).device), extractor, recipe)
    return int(counter.get_total_flops()) // 2


def _fours(names: list[str]) -> list[list[str]]:
    return [names[start : start + 4] for start in range(0, len(names), 4)]
