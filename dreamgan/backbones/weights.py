"""Where a backbone's weights come from: a file of the user, torchvision's own loader, or a seed.

Whatever its source, a file is held against the keys and shapes of the network it is meant for. A non-strict
load into the wrong network would load nothing and say nothing, so what may be missing is named per backbone
(`BackboneSpec.may_be_missing`) and everything else fails.

Input range: all weights are taken to expect RGB minus the ImageNet mean over the ImageNet std. The one
exception are torchvision's own inception_v3 and googlenet, which expect [-1, 1] and are recognised by the
sha256 that torchvision publishes in the file's name, or by what `save_backbone` wrote into the file that came of
them. So any other copy of those two in another format (float16, safetensors) is taken to expect ImageNet-normalised
input: fold the preprocessing into its first convolution when converting it.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from dreamgan.backbones.pooled import BIAS_KEY, WEIGHT_KEY
from dreamgan.backbones.registry import BACKBONES, BackboneSpec, build_network, layer_table
from dreamgan.errors import UserError
from dreamgan.files import whole_file, write_text


class DownloadError(UserError):
    """Weights that were neither on this machine nor to be had."""


@dataclass(frozen=True)
class WeightsFile:
    """Weights that fit a backbone, and where they came from.

    Attributes:
        state: key of the network → tensor, floats as float32, on the CPU; None: initialise at random.
        name: file name, or `random`.
        sha256: of the file's bytes (of the word itself for `random`), 64 hexadecimal digits.
        torchvision_published: the file is, byte for byte, the one that torchvision publishes, or was fine-tuned from
            it: its input is what that file expects.
        classes: number of classes of the network's own head, 1000 where the file has none.
        pooled: graph nodes whose means are the input of the file's own linear head; empty: the network's head.
        class_names: of the classes, in order; empty where the file brings none.
    """

    state: dict[str, Tensor] | None
    name: str
    sha256: str
    torchvision_published: bool = False
    classes: int = 1000
    pooled: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()


def load_state(spec: BackboneSpec, weights: str | Path | None) -> WeightsFile:
    """Read and check the weights of a backbone.

    Args:
        spec: the backbone.
        weights: path of a `.safetensors` file or of one that `torch.load` reads (a state dict, also under
            the key "state_dict" or "model", also with the prefix "module."; float32, float16 or bfloat16;
            the whole network or without what `spec.may_be_missing` names), or what `save_backbone` wrote; None:
            torchvision's file from the torch hub cache, else downloaded into it (googlenet_bvlc has none);
            "random": no file. The names of its classes are read from the file, or from the JSON list
            `<stem>.classes.json` beside it.

    Returns:
        The weights; their keys and shapes fit the network.

    Raises:
        DownloadError: a download failed.
        UserError: no such file, not a checkpoint, a checkpoint of another network, or None for a backbone without
            published weights.
    """
    if weights == "random":
        return WeightsFile(None, "random", hashlib.sha256(b"random").hexdigest())
    if weights is None:
        if spec.published is None:
            raise UserError(f"{spec.name} has no published weights to download; give your file by --weights FILE")
        path = _hub_file(spec)
    else:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise UserError(f"weights file '{path}' does not exist; give a .pth or .safetensors file")
    sha256 = _sha256(path)
    published = spec.published is not None and sha256.startswith(_published_hash(spec))
    if weights is None and not published:
        raise UserError(f"'{path}' is damaged (its sha256 begins {sha256[:8]}); delete it and start again")
    state, notes = _read(path), _notes(path)
    _check_fit(spec, state, path)
    pooled = tuple(notes.get("pooled", ()))
    count = len(state[BIAS_KEY]) if BIAS_KEY in state else _classes(spec, state)
    names = _class_names(path, notes, count)
    _check_pooled(spec, state, pooled, path)
    published = published or notes.get("input") == _PUBLISHED_INPUT
    return WeightsFile(state, path.name, sha256, published, _classes(spec, state), pooled, names)


def save_backbone(
    path: Path,
    state: Mapping[str, Tensor],
    *,
    pooled: Sequence[str],
    class_names: Sequence[str],
    published_input: bool = False,
) -> None:
    """Write a network with a pooled head of its own as a file that `load_state` reads.

    Args:
        path: a `.safetensors` file; the list of classes is also written beside it, as `<stem>.classes.json`.
        state: key of the network → tensor, with those of the pooled head (`dreamgan.backbones.pooled`).
        pooled: graph nodes that the head sees.
        class_names: of the classes, in order.
        published_input: it expects its input as torchvision's own file of this network does.

    Raises:
        OSError: the file cannot be written.
    """
    notes: dict[str, object] = {"pooled": list(pooled), "classes": list(class_names)}
    if published_input:
        notes["input"] = _PUBLISHED_INPUT
    tensors = {key: tensor.detach().contiguous().cpu() for key, tensor in state.items()}
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata={_NOTES_KEY: json.dumps(notes)})
    write_text(path.with_suffix(".classes.json"), json.dumps(list(class_names), ensure_ascii=False) + "\n")


_NOTES_KEY, _PUBLISHED_INPUT = "dreamgan", "as published by torchvision"


def _notes(path: Path) -> dict[str, Any]:
    """What `save_backbone` wrote of a file into it; nothing for files of others."""
    if path.suffix.lower() != ".safetensors":
        return {}
    try:
        with safe_open(path, "pt") as file:
            notes = json.loads((file.metadata() or {}).get(_NOTES_KEY, "{}"))
    except ValueError:
        notes = None
    texts = isinstance(notes, dict) and all(
        isinstance(notes.get(key, []), list) and all(isinstance(each, str) for each in notes.get(key, []))
        for key in ("pooled", "classes")
    )
    if not texts:
        raise UserError(f"'{path}' holds notes that cannot be read; export it again")
    return dict(notes)


def _class_names(path: Path, notes: Mapping[str, Any], classes: int) -> tuple[str, ...]:
    beside = path.with_suffix(".classes.json")
    names: Any = notes.get("classes")
    if names is None and beside.is_file():
        try:
            names = json.loads(beside.read_text(encoding="utf-8"))
        except ValueError:
            names = beside
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"'{beside}' is not a JSON list of the names of the classes")
    if names and len(names) != classes:
        raise UserError(f"'{path}' has {classes} classes, and {len(names)} names are given for them")
    return tuple(names or ())


def _check_pooled(spec: BackboneSpec, state: Mapping[str, Tensor], pooled: Sequence[str], path: Path) -> None:
    has = {key for key in (WEIGHT_KEY, BIAS_KEY) if key in state}
    nodes = set(layer_table(spec.name).values())
    if bool(has) != bool(pooled) or len(has) == 1 or not nodes.issuperset(pooled):
        raise UserError(f"'{path}' does not say which layers of {spec.name} its head sees; export it again")


def _published_hash(spec: BackboneSpec) -> str:
    return Path(spec.published.url).stem.rpartition("-")[2]


def _hub_file(spec: BackboneSpec) -> Path:
    """Path of torchvision's file in the hub cache, downloaded by torchvision where it is not there yet."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(spec.published.url).name
    if not path.exists():
        try:
            spec.published.get_state_dict(progress=True, check_hash=True, weights_only=True)
        except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: not the published hash
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DownloadError(
                f"cannot download the weights of {spec.name} ({reason}): "
                f"put {path.name} into {path.parent} or pass --weights FILE"
            ) from error
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> dict[str, Tensor]:
    try:
        content: Any
        if path.suffix.lower() == ".safetensors":
            content = load_file(path)
        else:
            # Files in the format before torch 1.6 (no zip) cannot be memory-mapped.
            mmap = zipfile.is_zipfile(path)
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # unpickling bytes that are no checkpoint raises nearly anything
        raise UserError(f"'{path}' is not a readable checkpoint; give a .pth or .safetensors file") from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    named = isinstance(content, Mapping) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    )
    if not content or not named:
        raise UserError(f"'{path}' holds no weights by name; give a state dict (.pth) or a .safetensors file")
    if all(key.startswith("module.") for key in content):  # saved from DataParallel
        content = {key.removeprefix("module."): value for key, value in content.items()}
    return {key: value.float() if value.is_floating_point() else value for key, value in content.items()}


def _check_fit(spec: BackboneSpec, state: Mapping[str, Tensor], path: Path) -> None:
    misfits = _misfits(spec, state)
    if misfits:
        fitting = [other.name for other in BACKBONES.values() if not _misfits(other, state)]
        hint = f"; it fits {' and '.join(fitting)}" if fitting else ""
        more = f" and {len(misfits) - 3} more" if len(misfits) > 3 else ""
        raise UserError(f"'{path}' does not fit {spec.name}{hint}: {', '.join(misfits[:3])}{more}")


def _misfits(spec: BackboneSpec, state: Mapping[str, Tensor]) -> list[str]:
    """What is wrong with the keys and shapes, one phrase each; empty if they fit."""
    expected = build_network(spec, classes=_classes(spec, state)).state_dict()
    known = {*expected, WEIGHT_KEY, BIAS_KEY}
    misfits = [f"unexpected {key}" for key in state if key not in known]
    for key, tensor in expected.items():
        if key in state:
            if state[key].shape != tensor.shape:
                shapes = f"{tuple(state[key].shape)} instead of {tuple(tensor.shape)}"
                misfits.append(f"{key} has shape {shapes}")
        # A counter that only training reads; files older than it lack it.
        elif not key.startswith(spec.may_be_missing) and not key.endswith(".num_batches_tracked"):
            misfits.append(f"missing {key}")
    return misfits


def _classes(spec: BackboneSpec, state: Mapping[str, Tensor]) -> int:
    """Number of classes of the file's head, so that networks trained on other data (Places365) load too."""
    head = state.get(f"{spec.head}.weight")
    return head.shape[0] if head is not None and head.dim() else 1000
