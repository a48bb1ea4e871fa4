"""The ways of the comparison, one function each."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dreamgan.backbones.features import load_extractor
from dreamgan.compare.way import Make, Way, sha256_of
from dreamgan.dream import DreamRecipe, dream
from dreamgan.errors import UserError
from dreamgan.exports import CONFIG_NAME, WEIGHTS_NAME
from dreamgan.images import to_picture, to_unit
from dreamgan.metrics import cosines, feature_map
from dreamgan.metrics.kid import pooled
from dreamgan.noise_sampling import load_noise_generator, noise_samples
from dreamgan.sampling import load_generator, sample
from dreamgan.style import StyleRecipe, transfer_style
from dreamgan.style.arbitrary import load_stylist, stylise


def photo() -> Way:
    """The untouched photo, the floor of every measure."""
    return Way("photo", "photo", "photo", "The photo as it is: the floor.", lambda: lambda image, name: image)


def direct_dream(
    recipe: DreamRecipe,
    backbone: str,
    weights: str | None,
    device: torch.device,
    *,
    seed: int = 0,
    strength: float = 1.0,
    guide: Tensor | None = None,
) -> Way:
    """Gradient ascent on the pixels, whole or stopped early.

    Args:
        recipe: What to do.
        backbone: Network that dreams.
        weights: File with its weights; None: torchvision's own.
        device: Where to dream.
        seed: Of the shifts.
        strength: Share of the steps that are run.
        guide: Picture that the objective names ``guide``, (1, 3, h, w) in [0, 1]; None: it names none.
    """

    def load() -> Make:
        norms = recipe.objective.needs_batch_norms
        extractor = load_extractor(backbone, recipe.layer_names, weights=weights, device=device, batch_norms=norms)
        guides = {} if guide is None else {"guide": guide.to(device)}

        def make(image: Tensor, name: str) -> Tensor:
            names = [name]
            return dream(
                image.to(device), extractor, recipe, seed=seed, strength=strength, photo_ids=names, guides=guides
            ).images

        return make

    steps = max(1, round(strength * sum(recipe.steps_per_octave)))
    part = "" if strength == 1 else f", stopped at {100 * strength:g} %"
    again = "" if seed == 0 else f", seed {seed}"
    facts: dict[str, Any] = {"recipe": recipe.to_json(), "backbone": backbone, "weights": _file(weights)}
    facts |= {"seed": seed, "strength": strength, "guide": None if guide is None else sha256_of(guide)}
    return Way(
        _name(f"direct-{recipe.name}-{strength:g}" + (f"-seed{seed}" if seed else "")),
        f"direct dream, {recipe.name}{part}{again}",
        "direct dream",
        f"Gradient ascent on {backbone}, recipe {recipe.name}, {steps} steps{part} (Mordvintsev et al. 2015).",
        load,
        facts,
        steps,
        f"{recipe.name}, seed {seed}",
    )


def one_pass(folder: Path, device: torch.device, style: str | None = None, strength: float = 1.0) -> Way:
    """One pass of an exported generator, which dreams or paints.

    Args:
        folder: Of the generator.
        device: Where to run it.
        style: Name of its style; None: its first.
        strength: From 0 to 1.5.
    """

    def load() -> Make:
        generator = load_generator(folder, device)
        generator.weights(style)  # says what is wrong with the style
        return lambda image, name: sample(generator, image, style, strength)

    asked = style or "its first style"
    return Way(
        _name(f"one-pass-{folder.resolve().name}-{style or 'first'}-{strength:g}"),
        f"one pass, {asked}" + ("" if strength == 1 else f", strength {strength:g}"),
        "one pass",
        f"A single pass of the trained network {folder.resolve().name!r} ({asked}, strength {strength:g}).",
        load,
        {"generator": _export(folder), "style": style, "strength": strength},
    )


def feed_forward(folder: Path, device: torch.device) -> Way:
    """One pass of a generator that was trained to paint in one style.

    Raises:
        UserError: If there is no such generator, or it dreams.
    """
    style, facts = next(iter(load_generator(folder).styles.items()))
    if facts.get("recipe") != "gatys":
        raise UserError(f"--style_generator: '{folder}' dreams; give one that was trained by feedforward_style.yaml")
    way = one_pass(folder, device, style)
    return replace(
        way,
        name=_name(f"feed-forward-{style}"),
        label=f"feed-forward style, {style}",
        note=f"A single pass of a network that was trained to paint in the style of {style!r} (Johnson et al. 2016).",
    )


def nearest_sample(
    folder: Path, backbone: str, layer: str, weights: str | None, device: torch.device, *, count: int = 256
) -> Way:
    """Of many pictures that a DCGAN makes from noise, the one whose features are nearest to the photo's.

    Args:
        folder: Of a generator that dreams from noise.
        backbone: Network whose features are compared.
        layer: Its layer, averaged over places.
        weights: File with its weights; None: torchvision's own.
        device: Where to run both.
        count: How many pictures, seeds 0, 1, ...
    """

    def load() -> Make:
        generator = load_noise_generator(folder, device)
        extractor = load_extractor(backbone, [layer], weights=weights, device=device)
        seeds = range(count)
        batches = [noise_samples(generator, seeds[at : at + 16]) for at in range(0, count, 16)]
        samples = torch.cat(batches).to(device)

        def features(images: Tensor) -> Tensor:
            with torch.no_grad():
                return torch.cat([pooled(feature_map(part, extractor, layer)) for part in torch.split(images, 16)])

        known = features(samples)

        def make(image: Tensor, name: str) -> Tensor:
            small = F.interpolate(image.to(device), size=samples.shape[-2:], mode="area")
            near = cosines(features(small).expand_as(known), known).argmax()
            return samples[near][None]

        return make

    return Way(
        _name(f"dcgan-{folder.resolve().name}"),
        "DCGAN, nearest sample",
        "from noise",
        f"Of {count} pictures from noise the one with the nearest features: it never sees the photo (Radford et al. "
        "2016).",
        load,
        {
            "generator": _export(folder),
            "backbone": backbone,
            "weights": _file(weights),
            "layer": layer,
            "count": count,
        },
    )


def gatys(
    recipe: StyleRecipe, backbone: str, weights: str | None, device: torch.device, style: Tensor, *, seed: int = 0
) -> Way:
    """Style transfer by optimising the pixels.

    Args:
        recipe: What to do.
        backbone: Network that compares.
        weights: File with its weights; None: torchvision's own.
        device: Where to paint.
        style: The style picture, (1, 3, h, w) in [0, 1].
        seed: Of the noise.
    """

    def load() -> Make:
        extractor = load_extractor(backbone, recipe.layer_names, weights=weights, device=device)
        return lambda image, name: transfer_style(image.to(device), style, extractor, recipe, seed=seed).image

    facts = {"recipe": recipe.to_json(), "backbone": backbone, "weights": _file(weights), "style": sha256_of(style)}
    return Way(
        f"gatys-{recipe.optimizer}",
        f"Gatys, {recipe.optimizer}",
        "style",
        f"The pixels are optimised in {backbone}, {recipe.passes} passes at each of {recipe.levels} sizes (Gatys et "
        "al. 2016).",
        load,
        {**facts, "seed": seed},
        recipe.passes * recipe.levels,
    )


def magenta(style: Image.Image) -> Way:
    """Magenta's arbitrary stylisation, in one pass.

    Args:
        style: The style picture, RGB.
    """

    def load() -> Make:
        stylist = load_stylist()
        return lambda image, name: to_unit(stylise(stylist, to_picture(image[0].cpu()), style))[None]

    facts = {"style": hashlib.sha256(style.tobytes()).hexdigest()}
    note = "Two ready networks, one pass, any style picture (Ghiasi et al. 2017)."
    return Way("magenta", "Magenta, arbitrary style", "style", note, load, facts)


def missing(name: str, label: str, what: str) -> Way:
    """A way that cannot be run; its column says why.

    Args:
        name: Of its files.
        label: What people call it.
        what: What to give or to install.
    """

    def load() -> Make:
        raise UserError(what)

    return Way(name, label, "style" if "style" in label else "from noise", "Not run.", load)


def check_names(ways: Sequence[Way]) -> None:
    """Refuse two ways of one name, whose pictures would overwrite each other.

    Raises:
        UserError: Naming the first of them.
    """
    names = [way.name for way in ways]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two ways are called {name!r}; ask for one of them only")


def _file(weights: str | None) -> str | None:
    """What tells one file of weights from another of its name."""
    file = Path(weights or "").expanduser()
    return _sha256(file, file.stat().st_mtime_ns) if weights and file.is_file() else weights


@functools.cache
def _sha256(file: Path, written: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _export(folder: Path) -> str:
    """What tells one export from another that came into its folder; "" where there is none."""
    return " ".join(
        _file(str(folder / name)) or "" for name in (CONFIG_NAME, WEIGHTS_NAME) if (folder / name).is_file()
    )


def _name(text: str) -> str:
    return re.sub(r"[^\w.-]", "_", text)
