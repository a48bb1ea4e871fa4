"""The metric of the step against plain ascent on explicit parameters, in float64."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dreamgan.dream.precondition import decorrelate_colour, scale_spectrum

SIZES = [(6, 8), (7, 5), (8, 5), (5, 8), (1, 6), (9, 1)]  # even, odd and mixed: half spectra differ
STEP = 0.3


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def colours() -> Tensor:
    """Lucid's square root of the covariance of colours, over the norm of its largest column, the first."""
    first_column = math.sqrt(0.26**2 + 0.27**2 + 0.27**2)
    root = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]], dtype=torch.float64)
    return root / first_column


def waves(height: int, width: int) -> tuple[Tensor, Tensor]:
    """A real orthonormal basis of waves (HW, HW), one a column, and the frequency (HW,) of each; no FFT involved."""
    grid = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    y, x = (axis.flatten() for axis in grid)
    angle = 2 * torch.pi * (torch.outer(y, y) / height + torch.outer(x, x) / width)
    # k cycles over a side of n px are n - k cycles turning the other way
    fy, fx = torch.minimum(y, height - y) / height, torch.minimum(x, width - x) / width
    return (angle.cos() + angle.sin()) / (height * width) ** 0.5, (fy**2 + fx**2).sqrt()


def objective(pixels: Tensor) -> Tensor:
    """Anything curved that couples pixels and channels."""
    neighbours = pixels[:, 0] * pixels[:, 1].roll(1, -1) * pixels[:, 2].roll(1, -2)
    return (pixels**3).sum() + neighbours.sum()


def gradient_at(values: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    values = values.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(of(values), values)
    return gradient


def check_a_step(to_pixels: Callable[[Tensor], Tensor], metric: Callable[[Tensor], Tensor], parameters: Tensor) -> None:
    """A plain step on the parameters moves the pixels as a step under the metric does."""
    pixels = to_pixels(parameters)
    ascended = parameters + STEP * gradient_at(parameters, lambda values: objective(to_pixels(values)))

    expected = to_pixels(ascended)
    actual = pixels + STEP * metric(gradient_at(pixels, objective))

    scale = (expected - pixels).abs().max()
    assert scale > 0.1
    assert (actual - expected).abs().max() <= 1e-10 * scale


def test_the_waves_are_orthonormal() -> None:
    basis, _ = waves(6, 5)
    torch.testing.assert_close(basis.T @ basis, torch.eye(30, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_step_in_decorrelated_colours() -> None:
    def to_pixels(parameters: Tensor) -> Tensor:
        return torch.einsum("ij,bjhw->bihw", colours(), parameters)

    check_a_step(to_pixels, decorrelate_colour, random(2, 3, 6, 5))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, -0.5])
def test_a_step_on_a_weighted_spectrum(size: tuple[int, int], power: float) -> None:
    basis, frequencies = waves(*size)
    weights = frequencies.clamp(min=1 / max(size)) ** -power

    def to_pixels(parameters: Tensor) -> Tensor:
        return ((weights * parameters) @ basis.T).view(2, 3, *size)

    check_a_step(to_pixels, lambda g: scale_spectrum(g, power), random(2, 3, size[0] * size[1]))


def test_a_step_on_a_weighted_spectrum_of_decorrelated_colours() -> None:
    basis, frequencies = waves(7, 6)
    weights = 1 / frequencies.clamp(min=1 / 7)

    def to_pixels(parameters: Tensor) -> Tensor:
        return torch.einsum("ij,bjhw->bihw", colours(), ((weights * parameters) @ basis.T).view(2, 3, 7, 6))

    parameters = random(2, 3, 42)
    check_a_step(to_pixels, lambda g: decorrelate_colour(scale_spectrum(g, 1)), parameters)
    check_a_step(to_pixels, lambda g: scale_spectrum(decorrelate_colour(g), 1), parameters)


METRICS: dict[str, Callable[[Tensor], Tensor]] = {
    "colour": decorrelate_colour,
    "spectrum": lambda gradient: scale_spectrum(gradient, 1.0),
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("size", SIZES)
def test_the_metric_is_symmetric_and_every_step_goes_uphill(name: str, size: tuple[int, int]) -> None:
    metric = METRICS[name]
    for seed in range(5):
        g, h = random(2, 3, *size, seed=seed), random(2, 3, *size, seed=seed + 100)
        assert float((g * metric(g)).sum()) > 0
        assert float((g * metric(h)).sum()) == pytest.approx(float((h * metric(g)).sum()), rel=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_a_picture_does_not_depend_on_its_neighbours(name: str) -> None:
    metric = METRICS[name]
    batch = random(3, 3, 7, 6).float()
    others = 1000 * random(3, 3, 7, 6, seed=1).float()
    others[1] = batch[1]

    assert torch.equal(metric(batch)[1], metric(others)[1])
    torch.testing.assert_close(metric(batch.double())[1:2], metric(batch[1:2].double()), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_dtype_stays_and_half_precision_is_close(name: str, dtype: torch.dtype) -> None:
    # bfloat16 keeps 8 bits; sums inside it, or a Fourier transform, would lose more
    tolerance = {torch.bfloat16: 1e-2, torch.float16: 2e-3, torch.float32: 1e-6, torch.float64: 1e-13}[dtype]
    gradient = random(2, 3, 9, 12).to(dtype)
    given = gradient.clone()
    exact = METRICS[name](gradient.double())

    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = METRICS[name](gradient)

    assert result.dtype == dtype
    assert result.shape == gradient.shape
    assert (result.double() - exact).abs().max() <= tolerance * exact.abs().max()
    assert torch.equal(gradient, given)


@pytest.mark.parametrize("name", METRICS)
def test_channels_last_gives_the_same(name: str) -> None:
    gradient = random(2, 3, 7, 6)
    last = gradient.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(METRICS[name](last), METRICS[name](gradient), rtol=0, atol=1e-12)


def test_power_0_changes_nothing() -> None:
    gradient = random(2, 3, 7, 6)
    assert torch.equal(scale_spectrum(gradient, 0), gradient)


def test_low_frequencies_gain() -> None:
    x = torch.arange(64, dtype=torch.float64)
    slow, fast = (torch.cos(2 * torch.pi * cycles * x / 64).expand(1, 3, 48, 64) for cycles in (2, 16))

    # a wave of f cycles per pixel is an eigenvector, with eigenvalue 1 / f²
    torch.testing.assert_close(scale_spectrum(slow, 1), (64 / 2) ** 2 * slow, rtol=0, atol=1e-9)
    torch.testing.assert_close(scale_spectrum(fast, 1), (64 / 16) ** 2 * fast, rtol=0, atol=1e-9)
    # the mean counts as the lowest wave of the longer side
    flat = torch.ones_like(slow)
    torch.testing.assert_close(scale_spectrum(flat, 1), 64**2 * flat, rtol=0, atol=1e-9)


def test_brightness_gains_against_hue() -> None:
    grey = torch.ones(1, 3, 1, 1, dtype=torch.float64)
    red_against_blue = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64).view(1, 3, 1, 1)

    assert decorrelate_colour(grey).norm() / grey.norm() > 5 * (
        decorrelate_colour(red_against_blue).norm() / red_against_blue.norm()
    )
