"""The two trainings of the claim: a small network from scratch, and fine-tuning of the end of a backbone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamgan.classifying.network import Parts, multiply_adds

WIDTHS = (24, 48, 96, 128)


@dataclass(frozen=True)
class Course:
    """How a training goes.

    Attributes:
        steps: how many.
        every: steps from one measurement to the next.
        batch: pictures per step.
    """

    steps: int
    every: int
    batch: int


SCRATCH, TUNING = Course(400, 20, 32), Course(150, 3, 16)


@dataclass(frozen=True)
class Pictures:
    """Inputs of a network and their classes.

    Attributes:
        inputs: (N, …).
        targets: (N,) int64.
    """

    inputs: Tensor
    targets: Tensor


def small_network(classes: int, seed: int) -> nn.Sequential:
    """Four convolutions of stride 2 with batch norm and ReLU, the mean of the maps, a linear layer.

    Args:
        classes: how many logits.
        seed: of the initial values.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        before = 3
        for width in WIDTHS:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def from_scratch(train: Pictures, val: Pictures, seed: int, course: Course = SCRATCH) -> list[tuple[int, float]]:
    """Train the small network; inputs are pictures (N, 3, H, W) in [0, 1].

    Returns:
        (step, validation accuracy) at every measurement.
    """
    network = small_network(int(val.targets.max()) + 1, seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)

    def mirrored(inputs: Tensor, stream: torch.Generator) -> Tensor:
        flip = torch.rand(len(inputs), 1, 1, 1, generator=stream) < 0.5
        return torch.where(flip, inputs.flip(-1), inputs) - 0.5

    network.train()
    return _steps(network, optimizer, train, val, seed, course, mirrored, lambda inputs: inputs - 0.5)


class Tuned(nn.Module):
    """The end of a backbone and a linear head on its standardised means.

    Args:
        parts: with a tail; copied, so that every run begins with the same.
        train: what the means are standardised by, (N, C, h, w).
        classes: how many logits.
        seed: of the initial values of the head.
    """

    def __init__(self, parts: Parts, train: Tensor, classes: int, seed: int) -> None:
        super().__init__()
        self.tail, self.layers = copy.deepcopy(parts.tail), parts.layers
        with torch.no_grad():
            means = torch.cat([self._means(some) for some in torch.split(train, 32)])
        self.mean, self.std = means.mean(0), means.std(0).clamp_min(1e-3)
        # Not from zero: the first step would then lead to the difference of the means of the classes, which is right
        # nine times in ten already, and no steps would be left to count.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Linear(means.shape[1], classes)
        self.eval()

    def train(self, mode: bool = True) -> Tuned:
        """Stay in evaluation mode: batch norms keep their statistics."""
        return super().train(False)

    def forward(self, inputs: Tensor) -> Tensor:
        """From answers of the frozen part to logits."""
        logits: Tensor = self.head((self._means(inputs) - self.mean) / self.std)
        return logits

    def _means(self, inputs: Tensor) -> Tensor:
        if self.tail is None:
            raise ValueError("nothing is unfrozen")
        found = self.tail(inputs.float())
        return torch.cat([found[layer].mean((2, 3)) for layer in self.layers], dim=1)


def fine_tuned(
    parts: Parts, train: Pictures, val: Pictures, dreamed: Pictures, seed: int, course: Course = TUNING
) -> tuple[list[tuple[int, float]], float]:
    """Train head and tail; inputs are answers of the frozen part.

    Returns:
        (step, validation accuracy) at every measurement, and the accuracy on dreamed photos at the end.
    """
    network = Tuned(parts, train.inputs, int(val.targets.max()) + 1, seed)
    groups = [
        {"params": list(network.head.parameters()), "lr": 3e-5},
        {"params": [p for name, p in network.named_parameters() if name.startswith("tail.")], "lr": 3e-5},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.05)
    points = _steps(network, optimizer, train, val, seed, course, lambda inputs, _: inputs, lambda inputs: inputs)
    return points, accuracy(network, dreamed)


def accuracy(network: nn.Module, pictures: Pictures, prepare: Callable[[Tensor], Tensor] = lambda x: x) -> float:
    """Share of right guesses, in evaluation mode."""
    mode = network.training
    network.eval()
    with torch.no_grad():
        guesses = torch.cat([network(prepare(some)).argmax(1) for some in torch.split(pictures.inputs, 100)])
    network.train(mode)
    return float((guesses == pictures.targets).float().mean())


def scratch_multiply_adds(size_px: int) -> int:
    """Of one forward pass of the small network."""
    return multiply_adds(small_network(2, 0).to("meta"), size_px)


def _steps(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Pictures,
    val: Pictures,
    seed: int,
    course: Course,
    augment: Callable[[Tensor, torch.Generator], Tensor],
    prepare: Callable[[Tensor], Tensor],
) -> list[tuple[int, float]]:
    stream = torch.Generator().manual_seed(seed)
    points = []
    order: list[int] = []
    for step in range(1, course.steps + 1):
        if len(order) < course.batch:
            order += torch.randperm(len(train.targets), generator=stream).tolist()
        places, order = order[: course.batch], order[course.batch :]
        loss = F.cross_entropy(network(augment(train.inputs[places], stream)), train.targets[places])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % course.every == 0:
            points.append((step, accuracy(network, val, prepare)))
    return points
