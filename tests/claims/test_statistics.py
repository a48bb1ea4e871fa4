import math

import pytest
import torch

from dreamgan.claims.statistics import bootstrap_interval, sign_flip_p, t_interval


def test_student_of_a_textbook() -> None:
    """Five values of mean 3 and standard deviation sqrt(2.5): 3 +- 2.776 * sqrt(2.5 / 5)."""
    mean, low, high = t_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.776 * math.sqrt(0.5)
    assert (mean, low, high) == pytest.approx((3, 3 - half, 3 + half))


def test_bootstrap_lies_about_the_mean_and_narrows() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)) + 1
    low, high = bootstrap_interval(values)
    assert low < float(values.mean()) < high
    assert high - low == pytest.approx(2 * 1.96 * float(values.std()) / 20, rel=0.1)


def test_signs_of_equal_values_are_counted_by_hand() -> None:
    """Of 2^5 choices of signs, two give a sum as far from 0 as all equal ones: p = 1/16."""
    assert sign_flip_p(torch.ones(5)) == pytest.approx(1 / 16, abs=0.005)


def test_no_difference_has_no_small_p() -> None:
    assert sign_flip_p(torch.tensor([1.0, -1.0, 2.0, -2.0])) == 1
    assert sign_flip_p(torch.full((40,), 0.1)) < 0.001
