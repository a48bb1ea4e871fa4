"""Scale and shift of feature maps, by style and strength."""

import pytest
import torch
from torch import Tensor, nn

from dreamgan.networks.modulation import Modulation


@pytest.fixture
def modulation() -> Modulation:
    module = Modulation(styles=3, channels=2)
    with torch.no_grad():
        module.table.copy_(torch.randn(module.table.shape, generator=torch.Generator().manual_seed(0)))
    return module.double().requires_grad_(False)


def maps(count: int, seed: int = 1) -> Tensor:
    return torch.randn(count, 2, 3, 4, generator=torch.Generator().manual_seed(seed)).double()


def one(style: int) -> Tensor:
    return torch.eye(3).double()[style]


def test_it_starts_as_the_identity() -> None:
    x = maps(2)
    styles, strength = torch.stack([one(0), one(2)]), torch.tensor([1.0, 0.3]).double()
    assert torch.equal(Modulation(3, 2).double()(x, styles, strength), x)


def test_by_hand(modulation: Modulation) -> None:
    x = maps(2)
    styles, strength = torch.tensor([[0, 1, 0], [0.25, 0, 0.75]]).double(), torch.tensor([1.0, 0.5]).double()
    out = modulation(x, styles, strength)
    for picture in range(2):
        for channel in range(2):
            scale = shift = 0.0
            for style in range(3):
                at_one, beyond = modulation.table[:, style]
                weight, more = float(styles[picture, style]), float(strength[picture]) - 1
                scale += weight * float(at_one[channel] + more * beyond[channel])
                shift += weight * float(at_one[2 + channel] + more * beyond[2 + channel])
            expected = x[picture, channel] * (1 + scale) + shift
            torch.testing.assert_close(out[picture, channel], expected, rtol=1e-12, atol=1e-12)


def test_blends_and_strengths_lie_between(modulation: Modulation) -> None:
    x = maps(1)

    def of(styles: Tensor, strength: float) -> Tensor:
        out: Tensor = modulation(x, styles[None], torch.tensor([strength]).double())
        return out

    blend = 0.3 * of(one(0), 1) + 0.7 * of(one(1), 1)
    torch.testing.assert_close(of(0.3 * one(0) + 0.7 * one(1), 1), blend)
    torch.testing.assert_close(of(one(1), 0.75), (of(one(1), 0.5) + of(one(1), 1)) / 2)
    torch.testing.assert_close(of(one(1), 1.5), 2 * of(one(1), 1) - of(one(1), 0.5))


def test_a_picture_is_modulated_by_its_own_style_only() -> None:
    module = Modulation(3, 2)
    nn.init.normal_(module.table)
    styles, strength = torch.eye(3)[[1, 1]], torch.tensor([1.0, 1.0])
    module(maps(2).float(), styles, strength).square().sum().backward()
    assert module.table.grad is not None
    assert module.table.grad[0, 1].any()
    assert not module.table.grad[:, [0, 2]].any()
    assert not module.table.grad[1].any()  # at strength 1 the slope is of no account
