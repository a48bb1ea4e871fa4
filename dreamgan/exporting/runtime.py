"""ONNX graphs run by ONNX Runtime, and compared with the generator that they came from."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamgan.exporting.graph import OUTPUT, Graph, need
from dreamgan.sampling import Generator

# Batch, height and width: one and several photos; the smallest, whole strides and odd sides.
SHAPES = ((1, 32, 32), (1, 64, 64), (3, 65, 97), (3, 128, 128), (1, 200, 131))
STRENGTHS = (0.0, 0.5, 1.0, 1.5)


class Session:
    """A graph loaded into ONNX Runtime, on the CPU.

    Attributes:
        inputs: Names of the graph's inputs.
    """

    def __init__(self, model: bytes, threads: int) -> None:
        """Load a graph.

        Args:
            model: The bytes of an ONNX file.
            threads: Of a run.

        Raises:
            UserError: If ONNX Runtime is not installed.
        """
        need("onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.inputs = tuple(each.name for each in self._session.get_inputs())
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, **tensors: Tensor) -> Tensor:
        """Run the graph.

        Args:
            **tensors: At least the graph's inputs by name, float32 on the CPU; others are not looked at.

        Returns:
            Dreams, (B, 3, H, W), float32, in [0, 1].
        """
        found = self._session.run([OUTPUT], {name: tensors[name].numpy() for name in self.inputs})
        return torch.from_numpy(found[0])


def largest_difference(graph: Graph, generator: Generator) -> float:
    """Compare a graph with its generator, on noise of several sizes and batches.

    Args:
        graph: From ``as_onnx``.
        generator: What it was made from, on the CPU.

    Returns:
        The largest difference of any pixel, of [0, 1]; NaN if a dream is not finite.
    """
    session = Session(graph.model, torch.get_num_threads())
    stream = torch.Generator().manual_seed(0)
    differences = [torch.zeros(())]
    strengths = STRENGTHS if graph.strength is None else (graph.strength,)
    for place, (batch, height, width) in enumerate(SHAPES):
        photos = torch.rand(batch, 3, height, width, generator=stream)
        if graph.styles is None:
            styles = torch.rand(batch, len(generator.styles), generator=stream)
            styles /= styles.sum(dim=1, keepdim=True)
        else:
            styles = generator.weights(graph.styles).expand(batch, -1)
        # Each photo of a batch gets another one.
        strength = torch.tensor([strengths[(place + each) % len(strengths)] for each in range(batch)])
        with torch.inference_mode():
            expected = generator.network(photos, styles, strength)
        dreams = session(photos=photos, styles=styles, strength=strength)
        differences.append((dreams - expected).abs().max())
    return torch.stack(differences).max().item()
