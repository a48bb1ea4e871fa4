"""Losses of the GAN that dreams from noise, against their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dreamgan.losses import (
    ADVERSARIAL,
    logistic_discriminator,
    logistic_generator,
    penalised,
    relativistic,
)

REAL, FAKE = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])


def test_logistic_is_cross_entropy() -> None:
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones(2), torch.zeros(2)
    expected = entropy(REAL, ones) + entropy(FAKE, zeros)
    torch.testing.assert_close(logistic_discriminator(REAL, FAKE), expected)
    torch.testing.assert_close(logistic_generator(FAKE), entropy(FAKE, ones))


def test_relativistic_compares_partners() -> None:
    expected = (math.log1p(math.exp(-1.5)) + math.log1p(math.exp(-2.0))) / 2
    assert float(relativistic(REAL, FAKE)) == pytest.approx(expected)
    assert torch.equal(relativistic(REAL + 5, FAKE + 5), relativistic(REAL, FAKE))


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_two_pull_in_opposite_directions(name: str) -> None:
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    discriminator, generator = ADVERSARIAL[name]
    (to_real, to_fake) = torch.autograd.grad(discriminator(real, fake), (real, fake))
    assert bool((to_real < 0).all())
    assert bool((to_fake > 0).all())
    (to_fake,) = torch.autograd.grad(generator(real, fake), fake)
    assert bool((to_fake < 0).all())


def test_the_penalty_of_a_linear_judge() -> None:
    weight = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_(True)

    def judge(pictures: Tensor) -> Tensor:
        return (pictures * weight).sum(dim=(1, 2, 3))

    pictures = torch.rand(5, 3, 4, 4)
    logits, penalty = penalised(judge, pictures)
    torch.testing.assert_close(logits, judge(pictures))
    assert float(penalty.detach()) == pytest.approx(float(weight.detach().square().sum()) / 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(gradient, weight.detach())


def test_the_penalty_is_taken_in_float32_under_autocast() -> None:
    judge = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 1), torch.nn.Flatten(0))
    pictures = torch.rand(2, 3, 2, 2)
    wide = penalised(judge, pictures)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = penalised(judge, pictures)
        short = penalised(judge, pictures.bfloat16())
    assert all(torch.equal(a, b) for a, b in zip(found, wide, strict=True))
    assert {value.dtype for value in short} == {torch.float32}
