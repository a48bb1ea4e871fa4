import pytest
import torch

from dreamgan.classifying.accuracy import accuracy_facts, confusion, wilson


@pytest.mark.parametrize(("right", "count"), [(985, 1000), (0, 7), (7, 7), (396, 400), (1, 3)])
def test_wilson_solves_its_quadratic(right: int, count: int) -> None:
    """The ends are the shares p for which the normal test of p against right / count is just at its level."""
    z = 1.959964
    low, high = wilson(right, count)
    for p in (low, high):
        if 0 < p < 1:
            assert abs(right / count - p) == pytest.approx(z * (p * (1 - p) / count) ** 0.5, rel=1e-6)
    assert 0 <= low <= right / count <= high <= 1
    assert low < high


def test_wilson_as_printed_in_tables() -> None:
    assert wilson(985, 1000) == pytest.approx((0.97540, 0.99089), abs=2e-5)


@pytest.mark.parametrize(("right", "count"), [(-1, 5), (6, 5), (0, 0)])
def test_no_share(right: int, count: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson(right, count)


def test_confusion_counts_pairs() -> None:
    targets, guesses = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 1, 1, 0, 2, 2])
    counts = confusion(targets, guesses, 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]
    facts = accuracy_facts(counts, ["ant", "bee", "cow"])
    assert (facts["accuracy"], facts["errors"], facts["n"]) == (4 / 6, 2, 6)
    assert [each["accuracy"] for each in facts["per_class"].values()] == [1 / 2, 1, 2 / 3]
