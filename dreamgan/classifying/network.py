"""A backbone in two parts: one that stays as it is, whose answers can be kept, and one that training changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from dreamgan.backbones.features import (
    Extractor,
    cut,
    init_random,
    load_extractor,
    load_network,
    normalise,
)
from dreamgan.backbones.pooled import BIAS_KEY, WEIGHT_KEY, part_after, pool
from dreamgan.backbones.registry import BackboneSpec, build_network, get_spec, resolve_layer
from dreamgan.backbones.weights import WeightsFile, load_state, save_backbone
from dreamgan.errors import UserError

# What a new head sees: the end of the features; of inception_v3 the block up to which weights are at hand everywhere.
POOLED_LAYERS: Mapping[str, tuple[str, ...]] = {
    "vgg16": ("relu5_3",),
    "vgg19": ("relu5_4",),
    "resnet50": ("layer4",),
    "inception_v3": ("mixed8",),
    "googlenet": ("inception_5b",),
    "googlenet_bvlc": ("inception_5b",),
    "mobilenet_v2": ("features.18",),
    "squeezenet1_1": ("fire9/concat",),
}


@dataclass(frozen=True, eq=False)
class Parts:
    """A backbone up to its pooled layers, cut where training begins.

    Attributes:
        spec: the backbone.
        found: its weights.
        full: the whole network with weights as far as there are any; it shares its modules with `tail`.
        layers: pooled layers, as asked.
        nodes: layer → graph node.
        frozen: the extractor of the part that stays; it answers for `frozen_layers`.
        frozen_layers: the pooled layers, or the one layer where training begins.
        tail: activation of that layer → pooled layers; None: only the head is trained.
        stages: names of the tail's parameters that each step of unfreezing adds.
        bf16: that the frozen part runs in mixed bfloat16.
    """

    spec: BackboneSpec
    found: WeightsFile
    full: nn.Module
    layers: tuple[str, ...]
    nodes: Mapping[str, str]
    frozen: Extractor
    frozen_layers: tuple[str, ...]
    tail: fx.GraphModule | None
    stages: tuple[frozenset[str], ...]
    bf16: bool = False

    @property
    def facts(self) -> dict[str, object]:
        """What decides the answers of `answer`, for the key of a cache."""
        facts: dict[str, object] = {
            "backbone": self.spec.name,
            "weights_sha256": self.found.sha256,
            "nodes": list(self.frozen.nodes),
            "pooled": self.tail is None,
        }
        return facts | {"precision": "bf16"} if self.bf16 else facts

    def answer(self, images_unit: Tensor) -> Tensor:
        """What the frozen part says of pictures (B, 3, H, W) in [0, 1]: (B, D), or (B, C, h, w) where a tail follows.

        Raises:
            UserError: the pictures are too small for the network.
        """
        if min(images_unit.shape[-2:]) < self.frozen.min_size_px:
            raise UserError(
                f"pictures of {min(images_unit.shape[-2:])} px are too small for {self.spec.name}; give a size_px of "
                f"at least {self.frozen.min_size_px}"
            )
        device = next(self.frozen.parameters()).device
        images = normalise(images_unit.to(device)).to(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            found: dict[str, Tensor] = self.frozen(images)
        if self.tail is not None:
            (answer,) = found.values()
            return answer
        return pool([found[layer].float() for layer in self.layers])

    def pooled(self, answers: Tensor) -> Tensor:
        """From what `answer` gave to the input of the head, (B, D) float32; gradients reach the tail."""
        if self.tail is None:
            return answers.float()
        found = self.tail(answers.float())
        return pool([found[layer] for layer in self.layers])

    def multiply_adds(self, size_px: int) -> int:
        """Of one picture, up to the pooled layers, as torch counts them: convolutions and matrix products."""
        return multiply_adds(cut(build_network(self.spec), self.nodes), size_px)

    def parameters(self) -> int:
        """Number of parameters up to the pooled layers, with those of batch norms."""
        return sum(parameter.numel() for parameter in cut(build_network(self.spec), self.nodes).parameters())

    def save(self, path: Path, weight: Tensor, bias: Tensor, class_names: Sequence[str]) -> None:
        """Write backbone and head as one file that `--weights` takes.

        Args:
            path: a `.safetensors` file.
            weight: of the head, (classes, D).
            bias: (classes,).
            class_names: in order.

        Raises:
            OSError: it cannot be written.
        """
        state = {
            key: value
            for key, value in self.full.state_dict().items()
            if not value.is_meta and not key.startswith((f"{self.spec.head}.", "pooled_head."))
        }
        state |= {WEIGHT_KEY: weight, BIAS_KEY: bias}
        published = self.spec.published_transforms_input and self.found.torchvision_published
        pooled = [self.nodes[layer] for layer in self.layers]
        save_backbone(path, state, pooled=pooled, class_names=class_names, published_input=published)


def load_parts(
    backbone: str,
    *,
    weights: str | Path | None = None,
    layers: Sequence[str] = (),
    unfreeze: Sequence[str] = (),
    device: str | torch.device = "cpu",
    bf16: bool = False,
) -> Parts:
    """Load a backbone for fine-tuning.

    Args:
        backbone: see `get_spec`.
        weights: see `load_state`.
        layers: pooled layers, the input of a linear head; none: those of `POOLED_LAYERS`.
        unfreeze: layers after which everything is trained, the deepest first; none: only a head is trained.
        device: where the frozen part shall live.
        bf16: that it shall run in mixed bfloat16.

    Returns:
        The parts; the parameters of the tail are on the CPU and take gradients.

    Raises:
        UserError: unknown names, unusable weights, a layer that the weights do not reach or that is the old head, or
            layers to unfreeze in another order or that a way leads around.
    """
    spec = get_spec(backbone)
    asked = tuple(layers) or POOLED_LAYERS[spec.name]
    nodes = {layer: resolve_layer(spec, layer) for layer in asked}
    for layer, node in nodes.items():
        if node == spec.head:
            raise UserError(f"layer {layer!r} is the head of {spec.name}, which a new one replaces; name one before it")
    begin = (unfreeze[-1],) if unfreeze else asked
    frozen = load_extractor(spec.name, begin, weights=weights, device=device)
    frozen.to(memory_format=torch.channels_last)
    found = load_state(spec, weights)
    if unfreeze:
        load_extractor(spec.name, asked, weights=weights)  # for its errors: a layer that the weights do not reach
    full = load_network(spec, found)
    if found.state is None:
        init_random(cut(full, nodes))
    tails = [part_after(cut(full, nodes), resolve_layer(spec, layer), full, nodes) for layer in unfreeze]
    stages: list[frozenset[str]] = []
    for layer, tail in zip(unfreeze, tails, strict=True):
        names = frozenset(name for name, _ in tail.named_parameters())
        known = frozenset[str]().union(*stages)
        if not names > known:
            raise UserError(
                f"unfreeze {', '.join(unfreeze)}: nothing is between {layer!r} and the one before it; "
                "name layers from the deepest to the first"
            )
        stages.append(names - known)
    return Parts(spec, found, full, asked, nodes, frozen, begin, tails[-1] if tails else None, tuple(stages), bf16)


def multiply_adds(network: nn.Module, size_px: int) -> int:
    """Multiply-adds of convolutions and matrix products for one square picture.

    Args:
        network: on the meta device.
        size_px: side of the picture.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, size_px, size_px, device="meta"))
    return int(counter.get_total_flops()) // 2
