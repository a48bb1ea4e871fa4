"""A generator as an ONNX graph with dynamic batch, height and width."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from dreamgan import __version__
from dreamgan.errors import UserError
from dreamgan.exporting.baked import OneStyle, baked
from dreamgan.sampling import Generator, check_strength

FORMAT = "dreamgan-onnx-1"
OUTPUT = "dreams"
# The newest that torch's exporter writes without converting, and old enough for runtimes of the last years.
_OPSET = 18


@dataclass(frozen=True)
class Graph:
    """An exported generator.

    Attributes:
        model: The bytes of an ONNX file.
        inputs: Names of its inputs: photos, styles, strength, less those that are worked in.
        styles: Weights of the styles that are worked in, by name; None: they are an input.
        strength: The strength that is worked in; None: it is an input.
    """

    model: bytes
    inputs: tuple[str, ...]
    styles: Mapping[str, float] | None
    strength: float | None


def need(*packages: str) -> None:
    """Refuse to go on without packages of the extra ``onnx``.

    Raises:
        UserError: Naming what is missing and how to install it.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise UserError(f'{package} is not installed; run: pip install "dreamgan[onnx]"')


def as_onnx(
    generator: Generator, style: str | Mapping[str, float] | None = None, strength: float | None = None
) -> Graph:
    """Export a generator; what is given is worked in, the rest are inputs.

    Inputs: ``photos`` (B, 3, H, W) float32 in [0, 1], any H and W from 32 px; ``styles`` (B, S) float32, weights of the
    styles, usually with the sum 1; ``strength`` (B,) float32. Output: ``dreams`` (B, 3, H, W) float32 in [0, 1].

    Args:
        generator: On the CPU.
        style: Name of a style, or names and weights of a blend; None: the weights are an input.
        strength: Only together with a style; None: it is an input.

    Returns:
        The graph; its metadata hold ``format``, ``dreamgan`` (version), ``styles`` (JSON list, in the order of the
        input) and what was worked in: ``blend`` (JSON object, name to weight) and ``strength``.

    Raises:
        UserError: If a package is missing, there is no such style, or the strength is out of range or without style.
    """
    need("onnx", "onnxscript")
    if strength is not None:
        check_strength(strength)
        if style is None:
            raise UserError(f"strength {strength:g} is worked in only together with a style; give one, or a blend")
    if style is None:
        return Graph(_model(generator, generator.network, None, None), ("photos", "styles", "strength"), None, strength)
    weights = generator.weights(style)
    blend = {name: weight for name, weight in zip(generator.styles, weights[0].tolist(), strict=True) if weight}
    if strength is None:
        return Graph(
            _model(generator, OneStyle(generator.network, weights), blend, None), ("photos", "strength"), blend, None
        )
    network = baked(generator.network, weights, strength)
    return Graph(_model(generator, network, blend, strength), ("photos",), blend, strength)


def _model(
    generator: Generator, network: nn.Module, blend: Mapping[str, float] | None, strength: float | None
) -> bytes:
    import onnx

    photos = torch.zeros(2, 3, 65, 97)  # sides that stand for any: an example of whole strides would fix them
    examples = {"photos": (photos, {0: "batch", 2: "height", 3: "width"})}
    if blend is None:
        examples["styles"] = (torch.zeros(2, len(generator.styles)), {0: "batch"})
    if strength is None:
        examples["strength"] = (torch.ones(2), {0: "batch"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter speaks of its own insides
        program = torch.onnx.export(
            network.eval(),
            tuple(example for example, _ in examples.values()),
            input_names=list(examples),
            output_names=[OUTPUT],
            dynamic_shapes=tuple(axes for _, axes in examples.values()),
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave nothing back")
    model = program.model_proto
    # The exporter notes at every operation on which line of which file of this machine it was called.
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output, model.graph):
        del part.metadata_props[:]
    facts = {"format": FORMAT, "dreamgan": __version__, "styles": json.dumps(list(generator.styles))}
    if blend is not None:
        facts["blend"] = json.dumps(dict(blend))
    if strength is not None:
        facts["strength"] = f"{strength:g}"
    onnx.helper.set_model_props(model, facts)
    return bytes(model.SerializeToString())
