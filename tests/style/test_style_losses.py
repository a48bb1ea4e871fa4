import pytest
import torch
from torch import Tensor

from dreamgan.style.losses import content_loss, gram, style_loss, total_variation
from tests.reference.style import content_of, gram_of, style_of, tv_of


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_losses_are_those_of_plain_loops() -> None:
    ours, theirs = features(2, 3, 4, 5), features(2, 3, 4, 5, seed=1)
    of_style = style_loss(ours, gram(theirs[:1]), 20)
    for number in range(2):
        a, b = ours[number].tolist(), theirs[number].tolist()
        torch.testing.assert_close(gram(ours)[number], torch.tensor(gram_of(a), dtype=torch.float64))
        assert float(content_loss(ours, theirs)[number]) == pytest.approx(content_of(a, b), rel=1e-12)
        assert float(of_style[number]) == pytest.approx(style_of(a, theirs[0].tolist()), rel=1e-12)
        assert float(total_variation(ours)[number]) == pytest.approx(tv_of(a), rel=1e-12)


def test_known_values() -> None:
    one = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # two maps of two places
    assert gram(one).tolist() == [[[5.0, 11.0], [11.0, 25.0]]]
    assert content_loss(one, torch.zeros_like(one)).tolist() == [15.0]  # (1 + 4 + 9 + 16) / 2
    # Σ G² / (4 · 2² · 2²) = (25 + 121 + 121 + 625) / 64
    assert style_loss(one, torch.zeros(1, 2, 2), 2).tolist() == pytest.approx([892 / 64])
    assert total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])).tolist() == [1.0]


def test_style_forgets_places_and_sizes_and_content_does_not() -> None:
    one = features(1, 4, 6, 6)
    mixed = one.flatten(2)[..., torch.randperm(36, generator=torch.Generator().manual_seed(2))].view_as(one)
    assert float(style_loss(mixed, gram(one), 36)) == pytest.approx(0, abs=1e-20)
    assert float(content_loss(mixed, one)) > 1
    # The same twice side by side: twice the places, the same style.
    assert float(style_loss(torch.cat([one, one], dim=3), gram(one), 36)) == pytest.approx(0, abs=1e-20)


def test_every_picture_has_its_own_loss() -> None:
    both, other = features(2, 3, 4, 4), features(1, 3, 4, 4, seed=5)
    for loss in (lambda x: content_loss(x, other), lambda x: style_loss(x, gram(other), 16), total_variation):
        together = loss(both)
        assert together.shape == (2,)
        torch.testing.assert_close(together, torch.cat([loss(both[:1]), loss(both[1:])]))


def test_gradients() -> None:
    ours, other = features(1, 2, 3, 3).requires_grad_(), features(1, 2, 3, 3, seed=1)
    target = gram(other)
    assert torch.autograd.gradcheck(lambda x: style_loss(x, target, 9), ours)
    assert torch.autograd.gradcheck(lambda x: content_loss(x, other), ours)
    assert torch.autograd.gradcheck(total_variation, ours)
