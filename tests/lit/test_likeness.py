"""How like a set of pictures is to the training pictures."""

from __future__ import annotations

import pytest
import torch

from dreamgan.lit.likeness import LAYERS, Likeness, _between_different


def pictures(count: int, seed: int, size_px: int = 32) -> torch.Tensor:
    """Clouds of all colours, uint8."""
    stream = torch.Generator().manual_seed(seed)
    clouds = torch.nn.functional.interpolate(torch.rand(count, 3, 4, 4, generator=stream), size_px, mode="bilinear")
    return (clouds * 255).to(torch.uint8)


@pytest.fixture(scope="module")
def likeness() -> Likeness:
    """Of 96 clouds, by a network of random weights. Treat as read-only."""
    found = Likeness("squeezenet1_1", "random")
    found.learn(pictures(96, 0))
    return found


def test_other_pictures_of_the_kind_are_alike(likeness: Likeness) -> None:
    with torch.no_grad():
        same = float(likeness(pictures(64, 1).float() / 255))
        pale = float(likeness(pictures(64, 1).float() / 510 + 0.25))
        one = float(likeness(pictures(1, 1).float().repeat(64, 1, 1, 1) / 255))
    assert abs(same) < 0.2
    assert pale > 1
    assert one > 1


def test_following_the_gradient_makes_pictures_alike(likeness: Likeness) -> None:
    torch.manual_seed(0)
    made = (0.5 + 0.05 * torch.randn(16, 3, 32, 32)).requires_grad_()
    optimizer = torch.optim.Adam([made], lr=0.02)
    found = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = likeness(made)
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    assert found[-1] < 0.6 * found[0]


def test_the_estimate_has_no_bias() -> None:
    """Of rows from N(1/2, 1) the square of the mean is 1/4; that of the mean of four rows would be 1/2."""
    torch.manual_seed(0)
    values = torch.randn(4, 40_000) + 0.5
    assert float(_between_different(values)) == pytest.approx(0.25, abs=0.02)
    assert float(values.mean(dim=0).square().mean()) == pytest.approx(0.5, abs=0.02)
    two = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    assert float(_between_different(two)) == pytest.approx((1 * 3 + 2 * -1) / 2)


@pytest.mark.parametrize("backbone", LAYERS)
def test_every_backbone_answers(backbone: str) -> None:
    made = torch.rand(2, 3, 64, 64, requires_grad=True)
    loss = Likeness(backbone, "random")(made)
    loss.backward()
    assert made.grad is not None
    assert bool(made.grad.isfinite().all())
    assert made.grad.abs().amax() > 0


def test_a_flat_picture_has_a_gradient(likeness: Likeness) -> None:
    made = torch.full((2, 3, 64, 64), 0.5, requires_grad=True)
    likeness(made).backward()
    assert made.grad is not None
    assert bool(made.grad.isfinite().all())
