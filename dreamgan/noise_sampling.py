"""Exported generators that dream from noise: saved, loaded and run. No trainer is needed, and no photo."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from dreamgan import __version__
from dreamgan.errors import UserError
from dreamgan.exports import (
    NOISE_FORMAT,
    WEIGHTS_NAME,
    blend_weights,
    check_finite,
    network_shape,
    reading_export,
    write_export,
)
from dreamgan.latents import Noise, between, drawn
from dreamgan.networks.noise import NoiseConfig, NoiseGenerator

Wish = str | Mapping[str, float] | None


@dataclass(frozen=True)
class NoiseDreams:
    """A loaded generator.

    Attributes:
        network: In eval mode, frozen.
        styles: What it learnt, by name of the style, in the order of the network, as the training wrote it.
        classes: Names of the categories, in the order of the network; none where it was trained on all as one.
        folder: Where it came from.
        device: Where the network lives.
    """

    network: NoiseGenerator
    styles: Mapping[str, Mapping[str, Any]]
    classes: Sequence[str]
    folder: Path
    device: torch.device

    def weights(self, style: Wish = None) -> Tensor:
        """Weights of the styles, (1, S), on the CPU, as ``blend_weights`` gives and checks them; None: the first."""
        known = list(self.styles)
        return blend_weights(known, known[0] if style is None else style, "style")


def is_noise_generator(folder: str | Path) -> bool:
    """Whether a folder holds a generator that dreams from noise, of this or another version.

    Raises:
        UserError: If it holds no generator at all.
    """
    with reading_export(Path(folder)) as config:
        found = config.get("format") if isinstance(config, dict) else None
        if not isinstance(found, str):
            raise ValueError("its config.json names no format")
    return found.startswith(NOISE_FORMAT.rstrip("0123456789"))


def save_noise_generator(
    folder: Path,
    network: NoiseGenerator,
    styles: Mapping[str, Mapping[str, Any]],
    classes: Sequence[str],
    card: str,
    *,
    half: bool = False,
) -> None:
    """Export a generator: safetensors, a JSON config and a model card.

    Args:
        folder: Made if missing; each file is replaced whole.
        network: The network (its EMA, if there is one).
        styles: What it learnt, by name of the style, in the order of the network; JSON values only.
        classes: Names of the categories, in the order of the network.
        card: Model card, Markdown.
        half: Write the weights as float16, half the bytes; they are read back as float32.

    Raises:
        ValueError: If styles or classes are not as many as the network has.
        UserError: If a weight is not finite, or not in the range of float16 where that is asked for.
    """
    _check_counts(network.config, styles, classes)
    config = {
        "format": NOISE_FORMAT,
        "dreamgan": __version__,
        "network": dataclasses.asdict(network.config),
        "styles": {name: dict(facts) for name, facts in styles.items()},
        "classes": list(classes),
    }
    write_export(folder, config, network, card, half=half)


def load_noise_generator(folder: str | Path, device: str | torch.device = "cpu") -> NoiseDreams:
    """Load what ``save_noise_generator`` wrote.

    Args:
        folder: With ``config.json`` and ``model.safetensors``.
        device: Where the network shall live.

    Raises:
        UserError: If the folder does not hold a generator; the message says what is wrong.
    """
    folder = Path(folder)
    with reading_export(folder) as config:
        found = config.get("format") if isinstance(config, dict) else None
        if found != NOISE_FORMAT:
            raise UserError(f"it is of format {found!r}; this version dreams from noise with {NOISE_FORMAT!r}")
        styles = {str(name): dict(facts) for name, facts in {**config["styles"]}.items()}
        classes = config["classes"]
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise UserError("its classes are no list of names")
        shape = NoiseConfig(**network_shape(config, NoiseConfig))
        _check_counts(shape, styles, classes)
        # Without memory or random numbers of its own: the file alone decides how much is taken.
        with torch.device("meta"):
            network = NoiseGenerator(shape)
        network.load_state_dict(_read_weights(folder / WEIGHTS_NAME, network), assign=True)
        check_finite(network.state_dict(), "train it again")
    network.eval().requires_grad_(False).to(device)
    return NoiseDreams(network, styles, tuple(classes), folder, torch.device(device))


def _check_counts(config: NoiseConfig, styles: Mapping[str, Any], classes: Sequence[str]) -> None:
    for what, names, count in (("styles", styles, config.styles), ("classes", classes, config.classes)):
        if len(names) != count:
            raise ValueError(f"its network has {count} {what}, {len(names)} are described")
    if len(set(classes)) != len(classes):
        raise ValueError("two of its classes have one name")


def _read_weights(file: Path, network: NoiseGenerator) -> dict[str, Tensor]:
    """Weights out of a file, in the types of the network; half precision only saves bytes on disk."""
    state, expected = load_file(file), network.state_dict()
    for name, tensor in state.items():
        if name in expected and tensor.is_floating_point() != expected[name].is_floating_point():
            raise UserError(f"its weights {name!r} are of type {tensor.dtype}")
    return {name: tensor.to(expected[name].dtype) if name in expected else tensor for name, tensor in state.items()}


def noise_of(generator: NoiseDreams, seeds: Sequence[int], category: Wish = None) -> Noise:
    """Draw what pictures are made of; every row depends on its own seed alone.

    Args:
        generator: From ``load_noise_generator``.
        seeds: One for each picture, at least one, each from 0 to 2^32 - 1.
        category: Name of one, or names and weights of a blend; None: each seed draws its own, where there are any.

    Raises:
        ValueError: If there are no seeds.
        UserError: If a seed is out of its range, or there is no such category.
    """
    config = generator.network.config
    noise = drawn(seeds, config.latent, config.classes)
    if category is None:
        return noise
    if not config.classes:
        raise UserError("the generator knows no categories, it was trained on all as one; leave the category out")
    return Noise(noise.latents, blend_weights(generator.classes, category, "category").repeat(len(seeds), 1))


def dream_noise(generator: NoiseDreams, noise: Noise, truncation: float = 1.0, style: Wish = None) -> Tensor:
    """Turn noise into dreams in one pass.

    Args:
        generator: From ``load_noise_generator``.
        noise: Of B rows.
        truncation: 1 takes the noise as it is; less draws it nearer to 0, where pictures are more alike and more usual
            (the truncation of Brock et al. 2019 draws again instead what is too large); at 0 all are one.
        style: Name of one, or names and weights of a blend; None: the generator's first.

    Returns:
        (B, 3, size, size), float32, in [0, 1], on the generator's device.

    Raises:
        UserError: If there is no such style, or the truncation is not from 0 to 1.
    """
    check_truncation(truncation)
    latents = noise.latents.to(generator.device) * truncation
    with torch.inference_mode():
        styles = generator.weights(style).to(latents).expand(len(latents), -1)
        pictures: Tensor = generator.network(latents, styles, noise.classes.to(latents))
        return pictures.float()


def check_truncation(truncation: float) -> None:
    """Refuse a truncation that makes no sense.

    Raises:
        UserError: If it is not a number from 0 to 1.
    """
    if not 0 <= truncation <= 1:
        raise UserError(f"the truncation is {truncation:g}; it must be from 0 (all pictures alike) to 1")


def noise_samples(
    generator: NoiseDreams,
    seeds: Sequence[int],
    truncation: float = 1.0,
    style: Wish = None,
    category: Wish = None,
) -> Tensor:
    """Dreams from noise, one for each seed; a dream depends on its seed alone, not on the others.

    Args:
        generator: From ``load_noise_generator``.
        seeds: As for ``noise_of``, N of them; all go through the network together.
        truncation: As for ``dream_noise``.
        style: Likewise.
        category: As for ``noise_of``.

    Returns:
        (N, 3, size, size), as ``dream_noise``, and raises what both raise.
    """
    return dream_noise(generator, noise_of(generator, seeds, category), truncation, style)


def interpolate(
    generator: NoiseDreams,
    first_seed: int,
    second_seed: int,
    frames: int,
    truncation: float = 1.0,
    style: Wish = None,
    category: Wish = None,
) -> Tensor:
    """Dreams on the way from one seed's to another's.

    Args:
        generator: From ``load_noise_generator``.
        first_seed: Of the first frame.
        second_seed: Of the last one.
        frames: At least 2; all go through the network together.
        truncation: As for ``dream_noise``.
        style: Likewise.
        category: As for ``noise_of``; None: it fades from the one seed's own to the other's.

    Returns:
        (frames, 3, size, size), as ``dream_noise``, and raises what that, ``noise_of`` and ``between`` raise.
    """
    noise = between(noise_of(generator, [first_seed, second_seed], category), frames)
    return dream_noise(generator, noise, truncation, style)
