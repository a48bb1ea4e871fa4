"""Noise: a seed always means the same, and the way between two of them neither shrinks nor jumps."""

import pytest
import torch

from dreamgan.errors import UserError
from dreamgan.latents import MOST_SEED, Noise, between, drawn


def test_a_row_depends_on_its_seed_alone() -> None:
    together = drawn([5, 0, MOST_SEED], 32, 4)
    for row, seed in enumerate([5, 0, MOST_SEED]):
        alone = drawn([seed], 32, 4)
        assert torch.equal(together.latents[row], alone.latents[0])
        assert torch.equal(together.classes[row], alone.classes[0])
    assert not torch.equal(together.latents[0], together.latents[1])


def test_the_global_random_state_is_neither_used_nor_changed() -> None:
    state = torch.random.get_rng_state()
    before = drawn([3], 8, 2)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(5)
    assert torch.equal(drawn([3], 8, 2).latents, before.latents)


def test_a_seed_keeps_its_meaning() -> None:
    # A seed that somebody noted down must give the same picture in the next version.
    assert drawn([17], 4, 0).latents[0].tolist() == pytest.approx([-1.41351, 0.23363, 0.03403, 0.34992], abs=1e-4)
    many = drawn([17], 128, 0).latents[0, :4].tolist()
    assert many == pytest.approx([-1.04619, 1.23052, 1.86621, -0.34353], abs=1e-4)


def test_latents_are_normal_and_independent() -> None:
    latents = drawn(range(500), 64, 0).latents
    assert abs(float(latents.mean())) < 0.02
    assert abs(float(latents.std()) - 1) < 0.02
    likeness = torch.corrcoef(latents)
    assert float((likeness - torch.eye(500)).abs().max()) < 0.7


def test_the_latent_is_the_same_whatever_classes_there_are() -> None:
    assert torch.equal(drawn([1, 2], 8, 0).latents, drawn([1, 2], 8, 7).latents)


def test_every_class_is_drawn_about_as_often() -> None:
    counts = drawn(range(900), 8, 3).classes.sum(dim=0)
    assert counts.sum() == 900
    assert counts.min() > 240


@pytest.mark.parametrize("seed", [-1, MOST_SEED + 1, 2**70])
def test_a_seed_out_of_range(seed: int) -> None:
    with pytest.raises(UserError, match=f"the seed is {seed}; it must be from 0 to 4294967295"):
        drawn([0, seed], 8, 0)


def test_no_seeds() -> None:
    with pytest.raises(ValueError, match="no seeds"):
        drawn([], 8, 0)


def test_between_starts_and_ends_at_the_ends_bit_for_bit() -> None:
    ends = drawn([3, 17], 128, 3)
    way = between(ends, 9)
    assert way.latents.shape == (9, 128)
    assert torch.equal(way.latents[[0, -1]], ends.latents)
    assert torch.equal(way.classes[[0, -1]], ends.classes)


def test_between_goes_along_an_arc_in_equal_steps() -> None:
    ends = drawn([3, 17], 128, 0)
    latents = between(ends, 9).latents.double()
    lengths = latents.norm(dim=1)
    first, last = float(lengths[0]), float(lengths[-1])
    assert lengths.tolist() == pytest.approx(torch.linspace(first, last, 9).tolist(), rel=1e-5)
    ways = latents / lengths[:, None]
    angles = (ways[1:] * ways[:-1]).sum(dim=1).acos()
    assert angles.tolist() == pytest.approx([float(angles.mean())] * 8, rel=1e-4)
    # All of it lies in the plane of the ends.
    assert torch.linalg.matrix_rank(latents, rtol=1e-5) == 2
    # A straight line would be shorter in the middle by a third.
    assert float(ends.latents.mean(dim=0).norm()) < 0.8 * float(lengths[4])


def test_between_latents_of_one_direction_there_is_a_line() -> None:
    latent = torch.tensor([3.0, 4.0])
    for factor in (1.0, 2.0, -1.0):
        way = between(Noise(torch.stack([latent, factor * latent]), torch.zeros(2, 0)), 3)
        assert torch.allclose(way.latents[1], (1 + factor) / 2 * latent)


def test_classes_fade() -> None:
    ends = Noise(torch.eye(2), torch.eye(2))
    assert between(ends, 5).classes.tolist() == [[1, 0], [0.75, 0.25], [0.5, 0.5], [0.25, 0.75], [0, 1]]


def test_two_frames_at_least() -> None:
    with pytest.raises(ValueError, match="frames is 1"):
        between(drawn([0, 1], 8, 0), 1)


def test_a_part_of_noise() -> None:
    noise = drawn([1, 2, 3], 8, 2)
    assert torch.equal(noise[1:3].latents, noise.latents[1:])
    assert torch.equal(noise[1:3].classes, noise.classes[1:])
