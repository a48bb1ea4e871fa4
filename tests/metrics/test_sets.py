"""Measures of sets against sets, where the answer is known."""

from __future__ import annotations

import pytest
import torch

from dreamgan.metrics.sets import density_coverage, fit_classifier, nearest, nearest_ratio


def cloud(count: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)) + shift


def test_the_nearest_is_found() -> None:
    among = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert nearest(torch.tensor([[0.0, 1.0], [3.0, 2.0]]), among).tolist() == [1.0, 2.0]


def test_what_was_memorised_lies_nearer_to_the_training_pictures() -> None:
    trained, held_out = cloud(200, 0), cloud(120, 1)
    fresh = nearest_ratio(cloud(100, 2), trained, held_out)
    assert fresh.mean == pytest.approx(1, abs=0.05)
    assert 0 < fresh.std < 0.1
    copied = nearest_ratio(trained[:100] + 0.01 * cloud(100, 3), trained, held_out)
    assert copied.mean < 0.75  # half of the training pictures are drawn, and half of the copies have theirs there
    assert nearest_ratio(held_out, trained, held_out).mean > 1.3
    again = nearest_ratio(cloud(100, 2), trained, held_out)
    assert again == fresh


def test_density_and_coverage_of_known_sets() -> None:
    real = cloud(300, 0)
    density, coverage = density_coverage(real, cloud(300, 1))
    assert density == pytest.approx(1, abs=0.15)
    assert coverage == pytest.approx(1 - 2**-5, abs=0.03)
    assert density_coverage(real, cloud(300, 1, shift=50)) == (0, 0)
    density, coverage = density_coverage(real, real[:1].repeat(300, 1))  # one real picture, made again and again
    assert coverage < 0.1 < density
    with pytest.raises(ValueError, match="5 neighbours"):
        density_coverage(real[:5], real)


def test_density_and_coverage_by_hand() -> None:
    """Four points on a line; to the first other one each ball has the radius 1, but for the last: 7."""
    real = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
    # Radii: 1, 1, 2, 7. The picture at 3.5 lies in the balls of 3 and of 10, that at 20 in none.
    density, coverage = density_coverage(real, torch.tensor([[3.5], [20.0]]), neighbours=1)
    assert (density, coverage) == (1.0, 0.5)


def test_the_classifier_tells_clouds_apart_and_counts_them() -> None:
    features = torch.cat([cloud(60, 0), cloud(60, 1, shift=3), cloud(60, 2, shift=-3)])
    classifier = fit_classifier(features, [0] * 60 + [1] * 60 + [2] * 60, 3)
    others = torch.cat([cloud(30, 3, shift=3), cloud(10, 4, shift=-3)])
    counts = torch.bincount(classifier.classes(others), minlength=3).tolist()
    assert counts[1] >= 28
    assert counts[2] >= 9
