"""Measures of pictures from noise, on sets whose distance is known."""

from __future__ import annotations

import math

import pytest
import torch

from dreamgan.metrics.from_noise import LEAST_DIVERSITY, measure_noise


def features(count: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)) + shift


def test_what_is_like_the_dreams_is_near_them_and_far_from_photos() -> None:
    dreams, photos = features(120, 0), features(120, 1, shift=1.0)
    near = measure_noise(features(120, 2), dreams, photos)
    assert near.n == 120
    assert abs(near.kid_dreams) < 1 < near.kid_photos - near.kid_photos_std
    assert abs(near.kid_halves) < 1
    assert near.kid_photos == pytest.approx(near.kid_between, rel=0.3)
    far = measure_noise(features(120, 2, shift=1.0), dreams, photos)
    assert abs(far.kid_photos) < 1 < far.kid_dreams


def test_diversity_is_relative_to_the_dreams() -> None:
    dreams, photos = features(20, 0), features(20, 1)
    found = [measure_noise(share * dreams, dreams, photos) for share in (1.0, 0.6, 0.4, 0.0)]
    assert [each.diversity for each in found] == [pytest.approx(share, abs=1e-6) for share in (1.0, 0.6, 0.4, 0.0)]
    assert [each.collapsed for each in found] == [False, False, True, True]
    assert 0.4 < LEAST_DIVERSITY < 0.6


def test_too_few_pictures_for_a_kernel_distance() -> None:
    found = measure_noise(features(20, 0), features(20, 1), features(20, 2))
    assert math.isnan(found.kid_dreams)
    assert math.isfinite(found.diversity)
    assert math.isnan(measure_noise(features(1, 0), features(1, 1), features(1, 2)).diversity)
