"""Pictures of noise, each from its own stream."""

import pytest
import torch

from dreamgan.dream.noise import noise_images
from dreamgan.errors import UserError


def test_noise_is_grey_and_stays_within_its_contrast() -> None:
    images = noise_images(40, 60, seed=0, names=["a", "b"], contrast=0.2)

    assert images.shape == (2, 3, 40, 60)
    assert images.dtype == torch.float32
    assert images.min() >= 0.3
    assert images.max() <= 0.7
    # uniform over ± 0.2: a deviation of 0.4 / √12, and 7,200 values a picture
    assert images.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0.5, 0.5], abs=0.006)
    assert images.std(dim=(1, 2, 3)).tolist() == pytest.approx([0.4 / 12**0.5] * 2, rel=0.03)


def test_the_contrast_may_be_none_or_full() -> None:
    assert (noise_images(4, 4, seed=0, names=["a"], contrast=0) == 0.5).all()
    full = noise_images(40, 60, seed=0, names=["a"], contrast=0.5)
    assert full.min() >= 0
    assert full.max() <= 1
    assert full.max() - full.min() > 0.99


def test_channels_and_pixels_are_drawn_on_their_own() -> None:
    (image,) = noise_images(40, 60, seed=0, names=["a"])
    shifted = torch.stack([image.roll(1, dims=dim) for dim in (0, 1, 2)])
    for other in shifted:
        correlation = torch.corrcoef(torch.stack([image.flatten(), other.flatten()]))[0, 1]
        assert correlation.abs() < 0.05


def test_noise_follows_the_seed_and_the_name() -> None:
    first = noise_images(8, 9, seed=3, names=["a", "b"])

    assert torch.equal(first, noise_images(8, 9, seed=3, names=["a", "b"]))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, noise_images(8, 9, seed=4, names=["a", "b"]))


def test_a_picture_does_not_depend_on_its_neighbours() -> None:
    batch = noise_images(8, 9, seed=3, names=["x", "b", "a"])

    assert torch.equal(batch[1:2], noise_images(8, 9, seed=3, names=["b"]))
    assert torch.equal(batch.flip(0)[:2], noise_images(8, 9, seed=3, names=["a", "b"]))


def test_the_common_stream_of_torch_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)

    noise_images(4, 4, seed=1, names=["a"])

    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("contrast", [-0.1, 0.51, float("nan")])
def test_a_contrast_out_of_range_is_refused(contrast: float) -> None:
    with pytest.raises(UserError, match=f"{contrast}; give a number from 0 to 0.5"):
        noise_images(4, 4, seed=0, names=["a"], contrast=contrast)


def test_noise_without_names_is_refused() -> None:
    with pytest.raises(ValueError, match="names"):
        noise_images(4, 4, seed=0, names=[])
