"""One piece of work for the benchmark: dreams of one recipe, made one way or another."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dreamgan.backbones.features import Extractor, cut, load_extractor
from dreamgan.backbones.registry import build_network, get_spec, resolve_layer
from dreamgan.bench.measure import dream_flops
from dreamgan.bench.plain import SHIFT_PX, plain_gordic, plain_network
from dreamgan.devices import Precision, precision_context
from dreamgan.dream import DreamRecipe, dream, get_recipe
from dreamgan.dream.octaves import octave_sizes
from dreamgan.errors import UserError

Way = Literal["engine", "batch norm unfolded", "plain loop", "plain loop, trainable"]
Size = tuple[int, int]

# Where the plain loop's hook sits: the module that computes the recipe's layer.
MODULES = {"vgg16": "features.22", "resnet50": "layer3"}
# VGG16's five poolings leave nothing of less.
SMALLEST_PLAIN_PX = 32
_IN_WORDS = {"32": "", "bf16": ", bf16", "": "", "default": ", compiled", "reduce-overhead": ", CUDA graphs"}


@dataclass(frozen=True)
class Work:
    """Dreams of the recipe ``gordic``, and how they are to be made.

    Attributes:
        way: By the engine as it is, with batch norm left unfolded, or by the plain loop over the whole network, its
            parameters frozen or trainable.
        backbone: Of ``BACKBONES``, with random weights: the time does not depend on them.
        size: Height and width of the pictures, in pixels.
        batch: Pictures at a time.
        overrides: Fields of the recipe that differ from its defaults.
        precision: Of the network's arithmetic.
        compiled: Mode of ``torch.compile``, ``default`` or ``reduce-overhead`` (which replays CUDA graphs); empty: not
            compiled.
    """

    way: Way
    backbone: str
    size: Size
    batch: int = 1
    overrides: Mapping[str, Any] = field(default_factory=dict)
    precision: Precision = "32"
    compiled: str = ""

    @property
    def recipe(self) -> DreamRecipe:
        """The recipe with its overrides."""
        return get_recipe("gordic", self.backbone, **self.overrides)

    @property
    def pixels(self) -> int:
        """Of one picture."""
        return self.size[0] * self.size[1]

    @property
    def size_text(self) -> str:
        """As the user gives it: HEIGHTxWIDTH."""
        return "x".join(map(str, self.size))

    @property
    def label(self) -> str:
        """What tells it from the other works of its case."""
        return self.way + _IN_WORDS[self.precision] + _IN_WORDS[self.compiled]


def photos(work: Work, device: torch.device) -> Tensor:
    """The pictures to dream, (B, 3, H, W) in [0, 1]: noise, always the same."""
    stream = torch.Generator().manual_seed(0)
    return torch.rand(work.batch, 3, *work.size, generator=stream).to(device)


def dreamer(work: Work, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Load what a work needs.

    Returns:
        From photos, (B, 3, H, W) in [0, 1], to their dreams, the same.

    Raises:
        UserError: If pictures are too small for the plain loop.
    """
    recipe = work.recipe
    if work.way.startswith("plain"):
        network = plain_network(work.backbone, trainable=work.way == "plain loop, trainable").to(device)
        octaves = list(zip(octave_sizes(*work.size, recipe), recipe.steps_per_octave, strict=True))
        if min(octaves[0][0]) < SMALLEST_PLAIN_PX:
            coarsest = "x".join(map(str, octaves[0][0]))
            raise UserError(
                f"--sizes: the coarsest octave of {work.size_text} is {coarsest}, and the plain loop over the whole "
                f"network needs {SMALLEST_PLAIN_PX} px; name a larger picture first, such as 224x224"
            )
        stream = random.Random(0)
        steps = sum(recipe.steps_per_octave)
        rolls = [(stream.randint(-SHIFT_PX, SHIFT_PX), stream.randint(-SHIFT_PX, SHIFT_PX)) for _ in range(steps)]
        return lambda images: plain_gordic(images, network, MODULES[work.backbone], octaves, rolls)
    extractor = _extractor(work, device)
    if work.compiled:
        # All extractors share their code, and torch compiles a piece of code a few times only.
        torch.compiler.reset()
        extractor.compile(mode=work.compiled, dynamic=False)

    def by_engine(images: Tensor) -> Tensor:
        with precision_context(device, work.precision):
            return dream(images, extractor, recipe).images

    return by_engine


def _extractor(work: Work, device: torch.device) -> Extractor:
    if work.way == "batch norm unfolded":
        (layer,) = work.recipe.layer_names
        return unfolded_extractor(plain_network(work.backbone, trainable=False), work.backbone, layer).to(device)
    return load_extractor(work.backbone, work.recipe.layer_names, weights="random", device=device)


def unfolded_extractor(network: nn.Module, backbone: str, layer: str) -> Extractor:
    """An extractor as ``load_extractor`` makes it, but with batch norm as it stands in the network.

    Args:
        network: torchvision's, whole; the extractor gets its weights and its dtype.
        backbone: Its name.
        layer: The only layer, by any of its names.
    """
    nodes = {layer: resolve_layer(get_spec(backbone), layer)}
    full = build_network(get_spec(backbone))
    full.load_state_dict(network.state_dict(), assign=True)
    part = cut(full, nodes).requires_grad_(False).to(memory_format=torch.channels_last)
    return Extractor(part, backbone=backbone, nodes=nodes, weights_name="random", weights_sha256="")


def needed_flops(work: Work) -> int:
    """Operations that each picture of a work cannot do without, whichever way: those of the octaves dreamed."""
    extractor = load_extractor(work.backbone, work.recipe.layer_names, weights="random")
    # Stopped at its first step, a dream still says which octaves it leaves out.
    stopped = dream(torch.zeros(1, 3, *work.size), extractor, work.recipe, callback=lambda _: False)
    return dream_flops(extractor, work.recipe, *work.size, dropped_octaves=stopped.dropped_octaves)
