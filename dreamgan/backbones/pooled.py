"""A linear head over pooled layers, which any backbone can get, and the part of a network that training changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from dreamgan.errors import UserError

POOLED_HEAD = "pooled_head"
"""Path of the head in a network, and its graph node."""
WEIGHT_KEY, BIAS_KEY = f"{POOLED_HEAD}.weight", f"{POOLED_HEAD}.bias"


def pool(maps: Sequence[Tensor]) -> Tensor:
    """Mean of every map over its places, layer after layer.

    Args:
        maps: (B, C, h, w) of each layer, or (B, C) where a layer has no places; of any number of layers.

    Returns:
        (B, the sum of all C).
    """
    return torch.cat([each.mean((2, 3)) if each.dim() == 4 else each for each in maps], dim=1)


class PooledHead(nn.Module):
    """Logits of classes from the means of the maps of one or more layers.

    Args:
        width: number of all the maps.
        classes: number of classes.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(classes, width))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, *maps: Tensor) -> Tensor:
        """From layers, (B, C, h, w) each, to logits, (B, classes)."""
        return F.linear(pool(maps), self.weight, self.bias)


def part_after(part: fx.GraphModule, node: str, network: nn.Module, nodes: Mapping[str, str]) -> fx.GraphModule:
    """What a network computes from the output of one of its nodes on.

    Args:
        part: the network cut at `nodes`, see `dreamgan.backbones.features.cut`; it is changed and not to be used again.
        node: the graph node; all of `nodes` must come after it, and by no way around it.
        network: the whole, for names of layers in errors.
        nodes: what the part answers: key → graph node.

    Returns:
        Activation of the node → dict with the keys of `nodes`. Modules and parameters are those of `part`.

    Raises:
        UserError: a way leads around the node.
    """
    from torchvision.models.feature_extraction import NodePathTracer

    # The names of nodes are those of the same trace that `cut` made its part from.
    tracer = NodePathTracer()
    tracer.trace(network)
    name = {path: traced.name for traced, path in tracer.node_to_qualname.items()}[node]
    graph = part.graph
    (before,) = (each for each in graph.nodes if each.op == "placeholder")
    by_name = {each.name: each for each in graph.nodes}
    if name in by_name:
        with graph.inserting_before(by_name[name]):
            begin = graph.placeholder("activation")
        by_name[name].replace_all_uses_with(begin)
        graph.eliminate_dead_code()
    if name not in by_name or before.users:
        raise UserError(
            f"not all of {', '.join(nodes)} come after {node!r} by no other way; give a layer before them that "
            "everything passes through, like the end of a block"
        )
    graph.erase_node(before)
    part.delete_all_unused_submodules()
    part.recompile()
    return part
