"""What a frozen network answers to photos, computed once and kept in files; a run that was killed goes on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from dreamgan.classifying.sets import Labelled, list_key
from dreamgan.classifying.views import view_of
from dreamgan.files import whole_file, write_text
from dreamgan.images import to_unit

PART_PHOTOS = 64
_VERSION = 2  # of the views and of the files; another one makes all that was kept of no use

Frozen = Callable[[Tensor], Tensor]


def cached_features(
    frozen: Frozen,
    facts: Mapping[str, object],
    labelled: Labelled,
    *,
    size_px: int,
    view: int,
    seed: int,
    folder: Path,
    batch: int = 8,
) -> tuple[Tensor, float]:
    """Answers of a frozen network to one view of every photo, from files as far as they are there.

    The files of one network, set and size lie in a folder named by the hash of all these; the set counts by the names,
    classes, sizes and times of its files. Each holds `PART_PHOTOS` photos and is written whole.

    Args:
        frozen: (B, 3, `size_px`, `size_px`) in [0, 1] → (B, D) or (B, C, h, w).
        facts: what decides the answers: network, sha256 of its weights, layers, pooling.
        labelled: the photos.
        size_px: side of a view, in pixels.
        view: number of the view, see `view_of`.
        seed: of the views' chance.
        folder: where to keep them.
        batch: pictures at a time.

    Returns:
        (N, …), on the CPU: float32, or float16 where the answers have places, since those are large; and the seconds
        that it took to compute them, now or when the files were written.

    Raises:
        UserError: a photo can no longer be read.
        OSError: the folder cannot be written to.
    """
    key = {
        **facts,
        "photos": list_key(labelled.photo_set, labelled.photos),
        "size_px": size_px,
        "seed": seed if view > 1 else None,
        "version": _VERSION,
    }
    text = json.dumps(key, sort_keys=True, indent=1)
    home = folder / hashlib.sha256(text.encode()).hexdigest()[:20]
    if not (home / "key.json").exists():
        write_text(home / "key.json", text + "\n")
    parts, seconds = [], 0.0
    with tqdm(total=len(labelled), desc=f"features, view {view}", unit="photo", disable=None, leave=False) as bar:
        for start in range(0, len(labelled), PART_PHOTOS):
            path = home / f"view{view}-{start // PART_PHOTOS:05d}.safetensors"
            count = min(PART_PHOTOS, len(labelled) - start)
            found = _read(path, count)
            if found is None:
                began = time.perf_counter()
                part = _compute(frozen, labelled, range(start, start + count), size_px, view, seed, batch)
                found = part, time.perf_counter() - began
                with whole_file(path) as temporary:
                    save_file({"features": part}, temporary, metadata={"seconds": repr(found[1])})
            parts.append(found[0])
            seconds += found[1]
            bar.update(count)
    return torch.cat(parts), seconds


def views(labelled: Labelled, places: range, size_px: int, view: int, seed: int) -> Tensor:
    """Open photos and take a view of each, (N, 3, `size_px`, `size_px`) in [0, 1]."""
    found = []
    for place in places:
        photo = labelled.photos[place]
        picture = labelled.photo_set.open(photo).picture
        found.append(to_unit(view_of(picture, size_px, view, f"{seed}:{photo.photo_id}")))
    return torch.stack(found)


def _compute(
    frozen: Frozen, labelled: Labelled, places: range, size_px: int, view: int, seed: int, batch: int
) -> Tensor:
    answers = []
    for start in range(places.start, places.stop, batch):
        pictures = views(labelled, range(start, min(start + batch, places.stop)), size_px, view, seed)
        with torch.no_grad():
            answer = frozen(pictures).float().cpu()
        answers.append(answer.half() if answer.dim() == 4 else answer)
    return torch.cat(answers).contiguous()


def _read(path: Path, count: int) -> tuple[Tensor, float] | None:
    try:
        with safe_open(path, "pt") as file:
            features, seconds = file.get_tensor("features"), float((file.metadata() or {}).get("seconds", 0))
    except (OSError, SafetensorError):  # not there yet, or damaged
        return None
    return (features, seconds) if len(features) == count else None
