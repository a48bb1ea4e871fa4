"""The eight backbones and the names under which users know their layers.

Three vocabularies are understood besides torchvision's own module paths and graph node names: Keras
(`block4_conv2`, `mixed5`, `conv4_block6_out`), Caffe (`pool4`, `inception_4c/output`, `fire9/concat`) and
Gatys (`relu4_3`). Before or after the ReLU: Keras' VGG `block4_conv2` and Caffe's `fire9/expand3x3` or
`inception_3b/5x5_reduce` contain it, Gatys' `conv4_3` does not, and where Keras has separate layers for it
(`conv4_block6_1_conv`, `_bn`, `_relu`), each name means that layer.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from dreamgan.backbones.googlenet_bvlc import GoogLeNetBVLC
from dreamgan.errors import UserError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Channel means (RGB) of ImageNet, images in [0, 1]."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Channel standard deviations (RGB) of ImageNet, images in [0, 1]."""


@dataclass(frozen=True)
class BackboneSpec:
    """What dreamgan knows about one classification network.

    Attributes:
        name: our name, which is also the name of torchvision's builder function where `builder` is None.
        head: module path of the last linear layer or convolution; its first dimension is the number of
            classes.
        may_be_missing: prefixes of the keys that a weights file may lack (heads, late blocks).
        published_transforms_input: torchvision's own file expects `transform_input=True`, that is [-1, 1]
            images.
        build_options: further arguments of the builder.
        aliases: Keras, Caffe and Gatys layer names → module path or graph node.
        builder: a network of our own, called with `num_classes`; None: torchvision's. Nobody publishes weights for
            ours where torchvision's loader would find them.
    """

    name: str
    head: str
    may_be_missing: tuple[str, ...]
    published_transforms_input: bool = False
    build_options: Mapping[str, Any] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    builder: Callable[..., nn.Module] | None = None

    @property
    def published(self) -> Any:
        """The default weights: torchvision's enum member, with `url` and `get_state_dict`; None if there are none."""
        if self.builder is not None:
            return None
        from torchvision.models import get_model_weights

        # V1 on purpose: the weights that the papers and the peers dreamed with.
        return get_model_weights(self.name)["IMAGENET1K_V1"]


def _vgg_aliases(convs_per_block: Sequence[int]) -> dict[str, str]:
    names = {"fc6": "classifier.0", "relu6": "classifier.1", "fc7": "classifier.3", "relu7": "classifier.4"}
    names |= {"fc8": "classifier.6", "fc1": "classifier.1", "fc2": "classifier.4"}  # fc1, fc2: Keras
    index = 0
    for block, convs in enumerate(convs_per_block, start=1):
        for conv in range(1, convs + 1):
            names[f"conv{block}_{conv}"] = f"features.{index}"
            names[f"relu{block}_{conv}"] = names[f"block{block}_conv{conv}"] = f"features.{index + 1}"
            index += 2
        names[f"pool{block}"] = names[f"block{block}_pool"] = f"features.{index}"
        index += 1
    return names


def _resnet_aliases(blocks_per_stage: Sequence[int]) -> dict[str, str]:
    names = {"conv1_conv": "conv1", "conv1_bn": "bn1", "conv1_relu": "relu"}
    names |= dict.fromkeys(("pool1_pool", "pool1"), "maxpool")
    parts = {"1_conv": "conv1", "1_bn": "bn1", "1_relu": "relu"}
    parts |= {"2_conv": "conv2", "2_bn": "bn2", "2_relu": "relu_1"}
    parts |= {"3_conv": "conv3", "3_bn": "bn3", "add": "add", "out": "relu_2"}
    for stage, blocks in enumerate(blocks_per_stage, start=1):
        for block in range(blocks):
            keras, path = f"conv{stage + 1}_block{block + 1}", f"layer{stage}.{block}"
            names |= {f"{keras}_{part}": f"{path}.{node}" for part, node in parts.items()}
            names[f"res{stage + 1}{'abcdef'[block]}"] = path  # Caffe
        names[f"conv{stage + 1}_block1_0_conv"] = f"layer{stage}.0.downsample.0"
        names[f"conv{stage + 1}_block1_0_bn"] = f"layer{stage}.0.downsample.1"
    return names


def _inception_v3_aliases() -> dict[str, str]:
    blocks = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")
    return {f"mixed{i}": f"Mixed_{block}" for i, block in enumerate(blocks)}


def _googlenet_aliases() -> dict[str, str]:
    names = {"conv1/7x7_s2": "conv1", "conv2/3x3_reduce": "conv2", "conv2/3x3": "conv3"}
    names["loss3/classifier"] = "fc"
    names |= {f"pool{i}/3x3_s2": f"maxpool{i}" for i in (1, 2, 3, 4)}
    # The 5x5 branch of the paper is a 3x3 in torchvision (their issue 906); it keeps its name here.
    branches = {"1x1": "branch1", "3x3_reduce": "branch2.0", "3x3": "branch2.1", "5x5_reduce": "branch3.0"}
    branches |= {"5x5": "branch3.1", "pool": "branch4.0", "pool_proj": "branch4.1"}
    for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        path = f"inception{block}"
        names |= {f"inception_{block}/{part}": f"{path}.{branch}" for part, branch in branches.items()}
        names |= dict.fromkeys((f"inception_{block}", f"inception_{block}/output", f"mixed{block}"), path)
    return names


def _googlenet_bvlc_aliases() -> dict[str, str]:
    names = _googlenet_aliases() | {"pool1/norm1": "norm1", "conv2/norm2": "norm2"}
    names |= {"conv1/relu_7x7": "conv1", "conv2/relu_3x3_reduce": "conv2", "conv2/relu_3x3": "conv3"}
    names |= {"pool5/7x7_s1": "avgpool", "pool5/drop_7x7_s1": "dropout"}
    for alias, path in list(names.items()):
        block, _, part = alias.partition("/")
        if block.startswith("inception_") and part not in ("", "output", "pool"):
            names[f"{block}/relu_{part}"] = path
    return names


def _mobilenet_v2_aliases() -> dict[str, str]:
    names = {"Conv1": "features.0.0", "bn_Conv1": "features.0.1", "Conv1_relu": "features.0"}
    names |= {"Conv_1": "features.18.0", "Conv_1_bn": "features.18.1", "out_relu": "features.18"}
    # Keras counts from the second block; its first one, `expanded_conv`, has no expansion.
    for block in range(17):
        keras = f"block_{block}" if block else "expanded_conv"
        path, shift = f"features.{block + 1}.conv", 1 if block else 0
        for index, part in enumerate(("expand", "depthwise")[1 - shift :]):
            unit = f"{path}.{index}"
            names |= {f"{keras}_{part}": f"{unit}.0", f"{keras}_{part}_BN": f"{unit}.1"}
            names[f"{keras}_{part}_relu"] = unit
        names[f"{keras}_project"] = f"{path}.{shift + 1}"
        names[f"{keras}_project_BN"] = f"{path}.{shift + 2}"
        if block in (2, 4, 5, 7, 8, 9, 11, 12, 14, 15):  # the others change the shape
            names[f"{keras}_add"] = f"features.{block + 1}.add"
    return names


def _squeezenet_aliases() -> dict[str, str]:
    names = {"conv1": "features.1", "relu_conv1": "features.1", "conv10": "classifier.2"}
    names["pool10"] = "classifier.3"
    names |= {"pool1": "features.2", "pool3": "features.5", "pool5": "features.8"}
    for fire, index in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True):
        caffe, path = f"fire{fire}", f"features.{index}"
        names |= {caffe: path, f"{caffe}/concat": path}
        for part in ("squeeze1x1", "expand1x1", "expand3x3"):
            node = f"{path}.{part.removesuffix('1x1') if part == 'squeeze1x1' else part}_activation"
            names |= {f"{caffe}/{part}": node, f"{caffe}/relu_{part}": node}
    return names


# init_weights=False: initial values are never used, and torchvision warns (and takes seconds) otherwise.
_INCEPTION_OPTIONS = {"init_weights": False, "aux_logits": True}

BACKBONES: dict[str, BackboneSpec] = {
    spec.name: spec
    for spec in (
        BackboneSpec("vgg16", "classifier.6", ("classifier.",), aliases=_vgg_aliases((2, 2, 3, 3, 3))),
        BackboneSpec("vgg19", "classifier.6", ("classifier.",), aliases=_vgg_aliases((2, 2, 4, 4, 4))),
        BackboneSpec("resnet50", "fc", ("fc.",), aliases=_resnet_aliases((3, 4, 6, 3))),
        BackboneSpec(
            "inception_v3",
            "fc",
            ("Mixed_7b.", "Mixed_7c.", "AuxLogits.", "fc."),
            published_transforms_input=True,
            build_options=_INCEPTION_OPTIONS,
            aliases=_inception_v3_aliases(),
        ),
        BackboneSpec(
            "googlenet",
            "fc",
            ("aux1.", "aux2.", "fc."),
            published_transforms_input=True,
            build_options=_INCEPTION_OPTIONS,
            aliases=_googlenet_aliases(),
        ),
        BackboneSpec("googlenet_bvlc", "fc", ("fc.",), aliases=_googlenet_bvlc_aliases(), builder=GoogLeNetBVLC),
        BackboneSpec("mobilenet_v2", "classifier.1", ("classifier.",), aliases=_mobilenet_v2_aliases()),
        BackboneSpec("squeezenet1_1", "classifier.1", ("classifier.",), aliases=_squeezenet_aliases()),
    )
}
"""All backbones by name. To add one, add its spec here; everything else follows from it."""

_OTHER_NAMES = {"squeezenet": "squeezenet1_1", "inceptionv1": "googlenet", "bvlcgooglenet": "googlenet_bvlc"}


def get_spec(name: str) -> BackboneSpec:
    """Find a backbone by its name; case, hyphens and underscores do not matter (`InceptionV3`, `squeezenet`).

    Args:
        name: name of the backbone.

    Returns:
        Its entry in `BACKBONES`.

    Raises:
        UserError: no such backbone; the message names the nearest ones.
    """
    known = {_plain(key): key for key in BACKBONES} | _OTHER_NAMES
    if _plain(name) in known:
        return BACKBONES[known[_plain(name)]]
    nearest = difflib.get_close_matches(_plain(name), known, n=2, cutoff=0.5) or list(known)[: len(BACKBONES)]
    names = ", ".join(dict.fromkeys(repr(known[key]) for key in nearest))
    raise UserError(f"backbone {name!r} is not known; nearest: {names} (of {', '.join(BACKBONES)})")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def resolve_layer(spec: BackboneSpec, layer: str) -> str:
    """Translate a layer name of any vocabulary to the graph node that computes it.

    A module path stands for its module's output (the last node in it). Where one module runs several times,
    as ResNet's `relu`, its path means the first run, `relu_1` the second and so on, as in torchvision. `head` is, in
    every backbone, the layer that gives the classes' logits, before the softmax.

    Args:
        spec: the backbone.
        layer: `head`, Keras, Caffe or Gatys name, torchvision module path (`layer3.5`, `layer3[5]`) or graph node
            name; upper and lower case are the same.

    Returns:
        Name of the graph node.

    Raises:
        UserError: no such layer; the message names the nearest ones, in the vocabulary used where that is
            clear.
    """
    table = layer_table(spec.name)
    lower = {known.lower(): node for known, node in table.items()}
    wanted = re.sub(r"\[(\d+)\]", r".\1", layer.strip()).replace("-", "_")
    if wanted.lower() in lower:
        return lower[wanted.lower()]
    elsewhere = [other for other in BACKBONES if wanted in layer_table(other)]
    hint = f" (it is one of {', '.join(elsewhere)})" if elsewhere else ""
    nearest = ", ".join(map(repr, _nearest(wanted, table)))
    raise UserError(f"layer {layer!r} is not in {spec.name}{hint}; nearest: {nearest}")


def _nearest(wanted: str, known: Iterable[str]) -> list[str]:
    """At most three of the names most like the wanted one."""
    # Names that differ from the wanted one in their numbers only are of the same vocabulary.
    alike = [name for name in known if _without_numbers(name) == _without_numbers(wanted)]
    if not alike:
        likeness = {name: difflib.SequenceMatcher(None, wanted, name).ratio() for name in known}
        alike = [name for name in likeness if likeness[name] == max(likeness.values())]
    return sorted(alike, key=lambda name: _distances(wanted, name))[:3]


def _distances(one: str, other: str) -> list[int]:
    numbers = zip(re.findall(r"\d+", one), re.findall(r"\d+", other), strict=False)
    return [abs(int(a) - int(b)) for a, b in numbers]


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "#", name.lower())


@functools.cache
def layer_table(name: str) -> Mapping[str, str]:
    """All layer names of a backbone (module paths, graph nodes, aliases, `head`), each with its graph node.

    Args:
        name: key in `BACKBONES`.

    Returns:
        Name → graph node; treat as read-only.
    """
    from torchvision.models.feature_extraction import NodePathTracer

    spec = BACKBONES[name]
    tracer = NodePathTracer()
    tracer.trace(build_network(spec))
    traced = tracer.node_to_qualname.items()
    nodes = [path for node, path in traced if node.op not in ("placeholder", "output")]
    table: dict[str, str] = {}
    for node in nodes:
        parts = node.split(".")
        table |= {".".join(parts[:depth]): node for depth in range(1, len(parts))}
    table |= {node: node for node in nodes}
    return table | {alias: table[path] for alias, path in {"head": spec.head, **spec.aliases}.items()}


def build_network(spec: BackboneSpec, *, classes: int = 1000, transform_input: bool = False) -> nn.Module:
    """Build the network in evaluation mode, on the meta device (no weights), not in place.

    Args:
        spec: the backbone.
        classes: number of classes of its head.
        transform_input: let the network turn ImageNet-normalised input into [-1, 1] (inception_v3,
            googlenet).

    Returns:
        The network. Its keys are torchvision's (where `spec.builder` is not None: those of that network).
    """
    from torchvision.models import get_model
    from torchvision.ops import Conv2dNormActivation

    options = dict(spec.build_options)
    if spec.published_transforms_input:
        options["transform_input"] = transform_input
    builder = spec.builder or functools.partial(get_model, spec.name, weights=None)
    with torch.device("meta"):
        network: nn.Module = builder(num_classes=classes, **options)
    for parent in list(network.modules()):
        if isinstance(getattr(parent, "inplace", None), bool):
            parent.inplace = False  # type: ignore[assignment]
        for key, child in parent.named_children():
            # Tracing would not look into these (conv, batch norm, ReLU); the keys stay the same.
            if isinstance(child, Conv2dNormActivation):
                setattr(parent, key, nn.Sequential(*child))
    return network.eval()
