"""How like a set of pictures is to the training pictures."""

from __future__ import annotations

import pytest
import torch

from dreamgan.lit.likeness import LAYERS, Likeness, _between_different, _kernel


def pictures(count: int, seed: int, size_px: int = 32) -> torch.Tensor:
    """Clouds of all colours, uint8."""
    stream = torch.Generator().manual_seed(seed)
    clouds = torch.nn.functional.interpolate(torch.rand(count, 3, 4, 4, generator=stream), size_px, mode="bilinear")
    return (clouds * 255).to(torch.uint8)


@pytest.fixture(scope="module")
def likeness() -> Likeness:
    """Of 96 clouds, by networks of random weights. Treat as read-only."""
    found = Likeness(["squeezenet1_1", "mobilenet_v2"], lambda _: "random")
    found.learn(pictures(96, 0))
    return found


def test_other_pictures_of_the_kind_are_alike(likeness: Likeness) -> None:
    with torch.no_grad():
        same = float(likeness(pictures(64, 1).float() / 255))
        pale = float(likeness(pictures(64, 1).float() / 510 + 0.25))
        one = float(likeness(pictures(1, 1).float().repeat(64, 1, 1, 1) / 255))
    assert abs(same) < 0.04
    assert pale > 0.2
    assert one > 0.2


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


def test_kernels_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    one, two = torch.randn(3, 4), torch.randn(2, 4)
    found = _kernel(one, two)
    apart = float((one[2] - two[1]).square().mean())
    wanted = sum((1 + apart / (2 * width)) ** -width for width in (0.2, 0.5, 1, 2, 5)) / 5
    assert float(found[2, 1]) == pytest.approx(wanted, rel=1e-5)
    torch.testing.assert_close(_kernel(one, one).diagonal(), torch.ones(3))
    among = _kernel(one, one)
    assert float(_between_different(one)) == pytest.approx(float(among[0, 1] + among[0, 2] + among[1, 2]) / 3, rel=1e-5)


def test_a_kind_that_is_left_out_is_missed() -> None:
    """Of two kinds of pictures, one only: each picture is right, the set is not."""
    kinds = [(pictures(40, seed).float() * 0.4 + offset).to(torch.uint8) for seed, offset in ((0, 0), (1, 150))]
    found = Likeness(["squeezenet1_1"], lambda _: "random")
    found.learn(torch.cat(kinds))
    with torch.no_grad():
        both = float(found(torch.cat([kinds[0][:20], kinds[1][:20]]).float() / 255))
        one = float(found(kinds[0].float() / 255))
    assert one > both + 0.05


def test_of_many_pictures_some_are_held_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamgan.lit.likeness._MOST_HELD", 8)
    found = Likeness(["squeezenet1_1"], lambda _: "random")
    found.learn(pictures(20, 0))
    assert dict(found.named_buffers())["each.0.held"].shape[0] == 8


@pytest.mark.parametrize("backbone", LAYERS)
def test_every_backbone_answers(backbone: str) -> None:
    made = torch.rand(2, 3, 64, 64, requires_grad=True)
    loss = Likeness([backbone], lambda _: "random")(made)
    loss.backward()
    assert made.grad is not None
    assert bool(made.grad.isfinite().all())
    assert made.grad.abs().amax() > 0


def test_a_flat_picture_has_a_gradient(likeness: Likeness) -> None:
    made = torch.full((2, 3, 64, 64), 0.5, requires_grad=True)
    likeness(made).backward()
    assert made.grad is not None
    assert bool(made.grad.isfinite().all())
