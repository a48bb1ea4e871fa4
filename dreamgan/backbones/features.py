"""A backbone cut at the deepest layer asked for: frozen, in evaluation mode, with nothing done in place."""

from __future__ import annotations

import bisect
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dreamgan.backbones.pooled import POOLED_HEAD, PooledHead
from dreamgan.backbones.registry import (
    BACKBONES,
    IMAGENET_MEAN,
    IMAGENET_STD,
    BackboneSpec,
    build_network,
    get_spec,
    layer_table,
    resolve_layer,
)
from dreamgan.backbones.weights import WeightsFile, load_state
from dreamgan.errors import UserError

_NORM_KEY = "bn:"
"""Before the path of a batch norm: key of its input among the activations."""


class Extractor(nn.Module):
    """Activations of chosen layers. Always in evaluation mode; its parameters take no gradient.

    Attributes:
        backbone: name in `BACKBONES`.
        layers: layer names as asked for.
        nodes: the graph node of each layer.
        layers_by_depth: the same names as `layers`, in the order in which the network computes them.
        weights_name: file name of the weights, or `random`.
        weights_sha256: sha256 of the weights file, hexadecimal.
        min_size_px: the smallest square input, in pixels, to which all layers answer.
        widths: layer as asked → its number of maps, or of values where the layer has no places, as in `head`.
        class_names: of the classes of `head`, in order, where the weights bring names of their own.
    """

    def __init__(
        self,
        network: fx.GraphModule,
        *,
        backbone: str,
        nodes: Mapping[str, str],
        weights_name: str,
        weights_sha256: str,
        class_names: Sequence[str] = (),
    ) -> None:
        """Wrap a network that returns a dict of activations.

        Args:
            network: images (B, 3, H, W) → layer → activation; also `bn:` and path → input of that batch norm.
            backbone: name in `BACKBONES`.
            nodes: layer as asked → graph node.
            weights_name: file name of the weights, or `random`.
            weights_sha256: sha256 of the weights file, hexadecimal.
            class_names: of the classes of `head`; none: ImageNet's, where there are 1000.
        """
        super().__init__()
        self.network = network
        self.backbone = backbone
        self.layers = tuple(nodes)
        self.nodes = tuple(nodes.values())
        order = {node: place for place, node in enumerate(network.graph.nodes)}
        (activations,) = next(node for node in network.graph.nodes if node.op == "output").args
        self.layers_by_depth = tuple(sorted(nodes, key=lambda layer: order[activations[layer]]))
        exposed = (key.removeprefix(_NORM_KEY) for key in activations if key.startswith(_NORM_KEY))
        self._batch_norms = tuple(exposed)
        self.weights_name = weights_name
        self.weights_sha256 = weights_sha256
        self.class_names = tuple(class_names)
        self.min_size_px, widths = _sizes(network)
        self.widths = {layer: widths[layer] for layer in nodes}
        self.train(False)

    @property
    def batch_norm_statistics(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Path of each exposed batch norm → its running mean and running variance, (C,) each, in order of depth.

        They are the norms' own tensors, so they follow `.to()` and `.double()`; without `batch_norms=True` there
        are none.
        """
        norms = {path: cast(nn.BatchNorm2d, self.network.get_submodule(path)) for path in self._batch_norms}
        return {path: (cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)) for path, norm in norms.items()}

    def deepest(self, layers: Sequence[str]) -> str:
        """Which of the given layers the network computes last."""
        return max(layers, key=self.layers_by_depth.index)

    def train(self, mode: bool = True) -> Extractor:
        """Stay in evaluation mode whatever is asked: a trainer puts all its modules into training mode.

        Args:
            mode: ignored.

        Returns:
            The extractor.
        """
        return super().train(False)

    def forward(self, images_normalised: Tensor) -> dict[str, Tensor]:
        """Run the network to the deepest layer.

        Args:
            images_normalised: (B, 3, H, W), floating, RGB in [0, 1] minus `IMAGENET_MEAN` over
                `IMAGENET_STD`; H and W at least `min_size_px`; dtype and device of the extractor.

        Returns:
            Layer as asked → activation, (B, C, h, w) (layers of the head: (B, C)), dtype of the input. Loaded with
            `batch_norms=True`, also `bn:{path}` → input of that batch norm, (B, C, h, w), for every path of
            `batch_norm_statistics`.

        Raises:
            ValueError: another shape, or images that are too small.
        """
        shape = tuple(images_normalised.shape)
        if len(shape) != 4 or shape[1] != 3 or not images_normalised.is_floating_point():
            raise ValueError(f"images must be floating (B, 3, H, W), not {images_normalised.dtype} {shape}")
        if min(shape[2:]) < self.min_size_px:
            raise ValueError(
                f"images of {shape[2]}x{shape[3]} px are too small: "
                f"{self.backbone} needs {self.min_size_px} px for {', '.join(self.layers)}"
            )
        images = images_normalised.contiguous(memory_format=torch.channels_last)
        return cast(dict[str, Tensor], self.network(images))


def normalise(images_unit: Tensor) -> Tensor:
    """What an extractor wants: pixels (B, 3, H, W) in [0, 1] minus `IMAGENET_MEAN` over `IMAGENET_STD`."""
    mean, std = (images_unit.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images_unit - mean) / std


def load_extractor(
    backbone: str,
    layers: Sequence[str],
    *,
    weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    batch_norms: bool = False,
) -> Extractor:
    """Load a backbone cut at the deepest of the layers.

    Args:
        backbone: name of the backbone, see `get_spec`.
        layers: at least one layer name, see `resolve_layer`; repeated names count once.
        weights: path of a file; None: torchvision's own file (hub cache, else download); "random": values
            from a fixed seed, for tests. See `load_state`.
        device: where the extractor shall live.
        batch_norms: keep every batch norm that the layers need, and give their inputs and statistics as well
            (see `Extractor.forward` and `Extractor.batch_norm_statistics`); the layers answer the same, slower.

    Returns:
        The extractor: float32, `channels_last`, frozen, batch norm folded into the convolutions (unless
        `batch_norms`).

    Raises:
        UserError: unknown backbone or layer, unusable weights, a layer that the weights do not reach, or
            `batch_norms` where there are none or where the file's were folded.
    """
    spec = get_spec(backbone)
    layers = (layers,) if isinstance(layers, str) else tuple(layers)
    if not layers:
        raise UserError(f"no layer of {spec.name} is named; give at least one")
    nodes = {layer: resolve_layer(spec, layer) for layer in layers}
    found = load_state(spec, weights)
    if found.pooled:
        own_head = layer_table(spec.name)["head"]
        nodes = {layer: POOLED_HEAD if node == own_head else node for layer, node in nodes.items()}
    full = load_network(spec, found)
    network = cut(full, nodes, found.pooled)
    if found.state is None:
        init_random(network)
    elif _lacking(network):
        raise UserError(_lacking_message(spec, full, nodes, found))
    if batch_norms:
        expose_batch_norms(network)
    fold_batch_norm(network)
    network.requires_grad_(False)
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = tensor.data.clone()  # no longer a view of a file that may be replaced or deleted
    network.to(memory_format=torch.channels_last)
    extractor = Extractor(
        network,
        backbone=spec.name,
        nodes=nodes,
        weights_name=found.name,
        weights_sha256=found.sha256,
        class_names=found.class_names,
    )
    if batch_norms:
        _check_batch_norms(extractor, from_file=found.state is not None)
    return extractor.to(device)


def load_network(spec: BackboneSpec, found: WeightsFile) -> nn.Module:
    """Build the whole network with the tensors of a file; what the file lacks stays on the meta device.

    Args:
        spec: the backbone.
        found: from `load_state`; its head over pooled layers becomes the sub-module `pooled_head`.

    Returns:
        The network, in evaluation mode.
    """
    transform = spec.published_transforms_input and found.torchvision_published
    # Built without memory, then given the tensors of the file: no time goes into initial values, and what is still
    # without memory afterwards is what the file lacks.
    full = build_network(spec, classes=found.classes, transform_input=transform)
    if found.pooled and found.state is not None:
        full.add_module(POOLED_HEAD, PooledHead(*found.state[f"{POOLED_HEAD}.weight"].shape[::-1]).to("meta"))
    if found.state is not None:
        full.load_state_dict(found.state, strict=False, assign=True)  # load_state has checked keys and shapes
    return full


def cut(network: nn.Module, nodes: Mapping[str, str], pooled: Sequence[str] = ()) -> fx.GraphModule:
    """Keep what the given graph nodes need, and make it free of in-place operations and dropout.

    Args:
        network: from `build_network`; it shares its modules with the result.
        nodes: key of the result → graph node; `pooled_head` is one where the network has such a head.
        pooled: graph nodes that this head sees.

    Returns:
        Images (B, 3, H, W) → dict with the keys of `nodes`. Modules keep their paths.
    """
    from torchvision.models.feature_extraction import NodePathTracer

    # torchvision's create_feature_extractor does the same, but traces twice and keeps a second graph for
    # training.
    tracer = NodePathTracer()
    graph: fx.Graph = tracer.trace(network)
    by_name = {name: node for node, name in tracer.node_to_qualname.items()}
    output = next(node for node in graph.nodes if node.op == "output")
    if pooled:
        with graph.inserting_before(output):
            by_name[POOLED_HEAD] = graph.call_module(POOLED_HEAD, tuple(by_name[node] for node in pooled))
    part = fx.GraphModule(network, graph)
    output.args = ({key: by_name[name] for key, name in nodes.items()},)
    graph.eliminate_dead_code()
    for node in graph.nodes:
        if node.kwargs.get("inplace"):  # F.relu(x, inplace=True); build_network has seen to modules
            node.kwargs = {**node.kwargs, "inplace": False}
    part.delete_all_unused_submodules()
    part.recompile()
    for path, module in list(part.named_modules()):
        if isinstance(module, nn.Dropout):
            part.set_submodule(path, nn.Identity())
    return part.eval()


def expose_batch_norms(network: fx.GraphModule) -> None:
    """Let the network also return what goes into each of its batch norms, under `bn:` and the norm's path.

    Folding then leaves those norms alone.

    Args:
        network: from `cut`; changed in place.
    """
    output = next(node for node in network.graph.nodes if node.op == "output")
    inputs = {}
    for node in network.graph.nodes:
        if node.op == "call_module" and isinstance(network.get_submodule(node.target), nn.BatchNorm2d):
            (inputs[f"{_NORM_KEY}{node.target}"],) = node.all_input_nodes
    output.args = ({**output.args[0], **inputs},)
    network.recompile()


def fold_batch_norm(network: fx.GraphModule) -> None:
    """Fold every batch norm into the convolution before it, in place; computed in float64, then rounded once.

    Args:
        network: from `cut`, with weights. A convolution whose own output is wanted, or used elsewhere, is
            left alone, and so is its batch norm.
    """
    graph = network.graph
    for node in list(graph.nodes):
        norm = network.get_submodule(node.target) if node.op == "call_module" else None
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        (before,) = node.all_input_nodes
        conv = network.get_submodule(before.target) if before.op == "call_module" else None
        # Users include the graph's output, so a convolution that was asked for has two.
        if not isinstance(conv, nn.Conv2d) or len(before.users) > 1:
            continue
        dtype = conv.weight.dtype
        network.set_submodule(before.target, fuse_conv_bn_eval(conv.double(), norm.double()).to(dtype))
        node.replace_all_uses_with(before)
        graph.erase_node(node)
    network.delete_all_unused_submodules()
    network.recompile()


def _lacking(network: nn.Module) -> list[str]:
    tensors = (*network.named_parameters(), *network.named_buffers())
    return [name for name, tensor in tensors if tensor.is_meta]


def _lacking_message(spec: BackboneSpec, full: nn.Module, nodes: Mapping[str, str], found: WeightsFile) -> str:
    reached = {layer: _lacking(cut(full, {layer: node})) for layer, node in nodes.items()}
    layer, keys = next((layer, keys) for layer, keys in reached.items() if keys)
    needed = ", ".join(_modules(spec.may_be_missing, keys))
    return f"layer {layer!r} needs the weights of {needed}, which {found.name} lacks"


def _modules(prefixes: Iterable[str], keys: Sequence[str]) -> list[str]:
    return [prefix.rstrip(".") for prefix in prefixes if any(key.startswith(prefix) for key in keys)]


def init_random(network: nn.Module) -> None:
    """He-normal weights (fan in), zero biases, batch norm without effect: no activation dies out.

    Each layer has its own stream, seeded by its path, so its values do not depend on where the network is
    cut.
    """
    network.to_empty(device="cpu")
    for path, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d | nn.Linear):
            stream = torch.Generator().manual_seed(zlib.crc32(path.encode()))
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=stream)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _check_batch_norms(extractor: Extractor, *, from_file: bool) -> None:
    """Refuse an extractor whose batch norms say nothing about pictures.

    Args:
        extractor: loaded with `batch_norms=True`.
        from_file: its weights are a file's; random ones have never seen a picture, and are meant for tests.
    """
    statistics = extractor.batch_norm_statistics
    if not statistics:
        with_norms = [name for name, spec in BACKBONES.items() if _has_batch_norm(build_network(spec))]
        another = f"take another backbone ({', '.join(with_norms)})"
        way_out = "take a deeper layer" if extractor.backbone in with_norms else another
        raise UserError(
            f"{extractor.backbone} has no batch norm up to {extractor.layers_by_depth[-1]!r}; "
            f"{way_out} or leave batch norms out"
        )
    # Training leaves no mean at exactly zero, nor one variance for all channels of all norms.
    if from_file and all(not mean.any() and (variance == variance[0]).all() for mean, variance in statistics.values()):
        raise UserError(
            f"the batch norms in {extractor.weights_name} were folded into its convolutions, their statistics are "
            f"lost: give a file of {extractor.backbone} as it was trained, or leave batch norms out"
        )


def _has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def _sizes(network: nn.Module) -> tuple[int, dict[str, int]]:
    """Smallest square the network answers to, and the widths of its answers.

    By bisection on the meta device (shapes, no arithmetic).
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.to("meta") for name, tensor in tensors.items()}
    widths: dict[str, int] = {}

    def answers(size_px: int) -> bool:
        probe = torch.empty(1, 3, size_px, size_px, device="meta")
        try:
            with torch.no_grad():
                found = torch.func.functional_call(network, shapes, (probe,))
        except (RuntimeError, ValueError):  # a kernel or a pooling window larger than what is left
            return False
        widths.update({key: activation.shape[1] for key, activation in found.items()})  # the same at every size
        return True

    # Doubling first: failing probes stop early, and most networks answer to very small images.
    enough = next(size for size in (1 << power for power in range(12)) if answers(size))
    sizes = range(enough // 2 + 1, enough)  # half of it was too small
    return sizes.start + bisect.bisect_left(sizes, True, key=answers), widths
