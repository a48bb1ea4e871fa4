"""Views: the same one for both pictures, of the size and strength that is said."""

import math

import pytest
import torch
from torch import Tensor

from dreamgan.views import RandomView, View, blurred, robust_views, scaled


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def gaussian_by_hand(image: Tensor, sigma: float, radius: int) -> Tensor:
    """Plain loops over a (H, W) picture, reflecting at the border."""
    height, width = image.shape
    weights = [math.exp(-(offset**2) / (2 * sigma**2)) for offset in range(-radius, radius + 1)]

    def inside(place: int, size: int) -> int:
        place = abs(place)
        return place if place < size else 2 * (size - 1) - place

    out = torch.zeros_like(image)
    for y in range(height):
        for x in range(width):
            for dy, row_weight in enumerate(weights):
                for dx, column_weight in enumerate(weights):
                    value = image[inside(y + dy - radius, height), inside(x + dx - radius, width)]
                    out[y, x] += row_weight * column_weight * value
    return out / sum(weights) ** 2


@pytest.mark.parametrize(("sigma", "radius"), [(0.3, 1), (0.7, 2), (1.0, 3)])
def test_blur_equals_a_gaussian_by_hand(sigma: float, radius: int) -> None:
    images = noise(1, 3, 7, 9).double()
    expected = gaussian_by_hand(images[0, 1], sigma, radius)
    # torchvision makes its kernel in float32.
    torch.testing.assert_close(blurred(images, sigma)[0, 1], expected, rtol=0, atol=1e-6)


def test_blur_keeps_constants_and_loses_detail() -> None:
    flat = torch.full((1, 3, 12, 12), 0.4)
    torch.testing.assert_close(blurred(flat, 0.7), flat)
    images = noise(1, 3, 12, 12)
    assert blurred(images, 1.0).std() < blurred(images, 0.5).std() < images.std()


def test_scaled_keeps_constants_and_means() -> None:
    assert scaled(noise(2, 3, 32, 48), 1.25).shape == (2, 3, 40, 60)
    assert scaled(noise(2, 3, 33, 47), 0.8).shape == (2, 3, 26, 38)
    torch.testing.assert_close(scaled(torch.full((1, 3, 8, 8), 0.4), 1.25), torch.full((1, 3, 10, 10), 0.4))


def test_robust_views_are_a_blur_four_shifts_and_an_upscale() -> None:
    images = noise(2, 3, 32, 40)
    views = [view(images) for view in robust_views()]
    assert len(views) == 6
    assert torch.equal(views[0], blurred(images, 0.7))
    for view, (down, right) in zip(views[1:5], ((0, 0), (7, 11), (11, 7), (3, 13)), strict=True):
        shifted = torch.empty_like(images)
        for y in range(32):
            for x in range(40):
                shifted[..., (y + down) % 32, (x + right) % 40] = images[..., y, x]
        assert torch.equal(view, shifted)
    assert torch.equal(views[5], scaled(images, 1.25))
    assert views[5].shape == (2, 3, 40, 50)


@pytest.mark.parametrize("seed", range(6))
def test_random_view_does_the_same_to_both(seed: int) -> None:
    torch.manual_seed(seed)
    view = RandomView.draw()
    generated, dreams = noise(1, 3, 64, 64), noise(1, 3, 64, 64, seed=1)
    together = view(torch.cat([generated, dreams]))
    torch.testing.assert_close(together[:1], view(generated), rtol=0, atol=1e-6)
    torch.testing.assert_close(together[1:], view(dreams), rtol=0, atol=1e-6)
    assert torch.equal(view(generated), view(generated.clone()))


def test_random_view_is_reproducible() -> None:
    torch.manual_seed(3)
    first = [RandomView.draw() for _ in range(3)]
    torch.manual_seed(3)
    assert [RandomView.draw() for _ in range(3)] == first
    assert first[0] != first[1] != first[2]


def test_random_views_lie_in_the_ranges_that_are_said() -> None:
    torch.manual_seed(0)
    views = [RandomView.draw() for _ in range(400)]
    for values, low, high in (
        ([view.top for view in views], 0, 1),
        ([view.left for view in views], 0, 1),
        ([view.share for view in views], 0.75, 1),
        ([view.factor for view in views], 0.8, 1.25),
        ([view.sigma for view in views if view.sigma > 0], 0.3, 1),
    ):
        margin = 0.05 * (high - low)
        assert low <= min(values) < low + margin
        assert high - margin < max(values) <= high
    assert 150 < sum(view.sigma > 0 for view in views) < 250
    # As often smaller as larger.
    assert 150 < sum(view.factor > 1 for view in views) < 250


@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_views_are_as_frequent_as_is_said(chance: float) -> None:
    torch.manual_seed(0)
    images = noise(1, 3, 40, 64)
    views = [RandomView.draw(chance) for _ in range(400)]
    unchanged = [view for view in views if view == RandomView(top=0, left=0, share=1, factor=1, sigma=0)]
    assert abs(len(unchanged) / 400 - (1 - chance)) < 0.08
    assert all(torch.equal(view(images), images) for view in unchanged[:1])


def test_random_view_crops_where_it_is_told() -> None:
    images = noise(1, 3, 40, 64)
    corner = RandomView(top=1, left=1, share=0.75, factor=1, sigma=0)
    assert torch.equal(corner(images), images[..., 10:, 16:])
    middle = RandomView(top=0.5, left=0, share=0.75, factor=1, sigma=0)
    assert torch.equal(middle(images), images[..., 5:35, :48])
    assert RandomView(top=0, left=0, share=1, factor=1, sigma=0)(images).shape == images.shape
    larger = RandomView(top=0, left=0, share=0.75, factor=1.25, sigma=0.5)
    assert torch.equal(larger(images), blurred(scaled(images[..., :30, :48], 1.25), 0.5))


def test_gradients_pass_through_every_view() -> None:
    images = noise(1, 3, 48, 48).requires_grad_(True)
    views: list[View] = [*robust_views(), RandomView(0.3, 0.6, 0.8, 1.2, 0.5)]
    for view in views:
        (gradient,) = torch.autograd.grad(view(images).sum(), images)
        assert bool(gradient.isfinite().all())
        assert gradient.sum() > 0
