"""Differentiable augmentation: what is moved where, and what is cut out."""

from __future__ import annotations

import pytest
import torch

from dreamgan.augment import DRAWS, augmented

SIDE = 16
NO_SHIFT = 0.5


def pictures(count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 0.4  # never grey


@pytest.mark.parametrize(
    ("down", "right", "shift"), [(0.5, 0.5, (0, 0)), (0.0, 0.5, (-2, 0)), (0.999, 0.5, (2, 0)), (0.5, 0.0, (0, -2))]
)
def test_a_picture_is_moved_by_up_to_an_eighth(down: float, right: float, shift: tuple[int, int]) -> None:
    before = pictures()
    after = augmented(before, torch.tensor([[down, right, 0.0, 0.0]]))
    dy, dx = shift
    # A move of the window down the picture moves what is seen up; the hole is at the upper left corner.
    rows, columns = slice(6, SIDE - 2), slice(6, SIDE - 2)
    moved = before[..., 6 + dy : SIDE - 2 + dy, 6 + dx : SIDE - 2 + dx]
    assert torch.equal(after[..., rows, columns], moved)


def test_a_draw_that_was_rounded_to_one_is_the_widest_shift() -> None:
    before = pictures()
    widest = augmented(before, torch.tensor([[0.999, 0.999, 0.999, 0.999]]))
    assert torch.equal(augmented(before, torch.ones(1, DRAWS)), widest)


def test_what_comes_in_from_outside_is_grey() -> None:
    after = augmented(pictures(), torch.tensor([[0.999, 0.5, 0.0, 0.0]]))
    assert bool((after[..., -2:, :] == 0.5).all())
    assert not bool((after[..., -3, :] == 0.5).any())


@pytest.mark.parametrize(("place", "cut"), [(0.5, slice(4, 12)), (0.0, slice(0, 4)), (0.999, slice(12, 16))])
def test_a_square_of_half_the_side_is_cut_out(place: float, cut: slice) -> None:
    before = pictures()
    after = augmented(before, torch.tensor([[NO_SHIFT, NO_SHIFT, place, place]]))
    hole = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    hole[cut, cut] = True
    assert bool((after[..., hole] == 0.5).all())
    assert torch.equal(after[..., ~hole], before[..., ~hole])


def test_each_picture_has_its_own() -> None:
    before, draws = pictures(3), torch.rand(3, DRAWS, generator=torch.Generator().manual_seed(1))
    together = augmented(before, draws)
    for row in range(3):
        assert torch.equal(together[row : row + 1], augmented(before[row : row + 1], draws[row : row + 1]))
    assert not torch.equal(together[0] == 0.5, together[1] == 0.5)


def test_the_gradient_goes_through_what_is_seen() -> None:
    before = pictures().requires_grad_(True)
    after = augmented(before, torch.tensor([[NO_SHIFT, NO_SHIFT, 0.5, 0.5]]))
    (gradient,) = torch.autograd.grad(after.sum(), before)
    assert float(gradient.sum()) == 3 * (SIDE**2 - 8**2)
    assert bool((gradient[..., 4:12, 4:12] == 0).all())
