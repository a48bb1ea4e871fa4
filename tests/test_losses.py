"""Every term of the loss against numbers made by hand."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dreamgan.losses import (
    hinge_discriminator,
    hinge_generator,
    l1,
    log_objective_gap,
    low_pass_l1,
    relative_feature_l1,
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def checkerboard(size: int) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return ((rows + columns) % 2).float().expand(1, 3, size, size)


# --- pixels


def test_pixel_losses_of_equal_pictures_are_zero() -> None:
    images = noise(2, 3, 16, 16)
    assert l1(images, images) == 0
    assert low_pass_l1(images, images) == 0


def test_l1_by_hand() -> None:
    dark, bright = torch.full((2, 3, 8, 8), 0.25), torch.full((2, 3, 8, 8), 0.25)
    bright[0] = 0.75
    assert l1(dark, bright) == pytest.approx(0.25)  # 0.5 on one of two pictures
    assert l1(bright, dark) == pytest.approx(0.25)
    assert l1(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)) == 1  # the most there is


def test_low_pass_ignores_fine_phase_and_sees_colour() -> None:
    board, grey = checkerboard(16), torch.full((1, 3, 16, 16), 0.5)
    assert l1(board, grey) == pytest.approx(0.5)
    assert low_pass_l1(board, grey) == pytest.approx(0, abs=1e-7)
    assert low_pass_l1(board, board.roll(1, dims=3)) == pytest.approx(0, abs=1e-7)
    assert low_pass_l1(grey + 0.25, board) == pytest.approx(0.25)
    # Cells of 2 px see stripes that cells of 4 px do not.
    stripes = (torch.arange(16) // 2 % 2).float().expand(1, 3, 16, 16)
    assert low_pass_l1(stripes, grey, cell_px=4) == pytest.approx(0, abs=1e-7)
    assert low_pass_l1(stripes, grey, cell_px=2) == pytest.approx(0.5)


def test_low_pass_is_never_above_l1() -> None:
    one, two = noise(2, 3, 16, 16), noise(2, 3, 16, 16, seed=1)
    assert 0 < low_pass_l1(one, two) < l1(one, two)


# --- features


def test_relative_feature_l1_by_hand() -> None:
    dreams = torch.tensor([1.0, -3.0]).view(2, 1, 1, 1).expand(2, 4, 3, 3)
    generated = torch.tensor([1.5, -3.0]).view(2, 1, 1, 1).expand(2, 4, 3, 3)
    # Half of the first picture's mean |f|, nothing of the second's.
    assert relative_feature_l1({"a": generated}, {"a": dreams}, "a") == pytest.approx(0.25)
    assert relative_feature_l1({"a": dreams}, {"a": dreams}, "a") == 0
    assert relative_feature_l1({"a": torch.zeros(2, 4, 3, 3)}, {"a": dreams}, "a") == pytest.approx(1)
    assert relative_feature_l1({"a": 3 * dreams}, {"a": dreams}, "a") == pytest.approx(2)


def test_relative_feature_l1_has_no_scale() -> None:
    generated, dreams = noise(3, 4, 5, 5), noise(3, 4, 5, 5, seed=1)
    plain = relative_feature_l1({"a": generated}, {"a": dreams}, "a")
    # Each picture on a scale of its own.
    scale = torch.tensor([1e-3, 1.0, 1e3]).view(3, 1, 1, 1)
    scaled = relative_feature_l1({"a": scale * generated}, {"a": scale * dreams}, "a")
    assert float(scaled) == pytest.approx(float(plain), rel=1e-5)


def test_relative_feature_l1_takes_the_layer_asked_for() -> None:
    one, two = noise(1, 4, 5, 5), noise(1, 4, 5, 5, seed=1)
    generated, dreams = {"a": one, "b": one}, {"a": one, "b": two}
    assert relative_feature_l1(generated, dreams, "a") == 0
    assert relative_feature_l1(generated, dreams, "b") > 0.1


def test_relative_feature_l1_sends_gradients_to_the_generated_picture_only() -> None:
    generated, dreams = noise(1, 4, 5, 5).requires_grad_(True), noise(1, 4, 5, 5, seed=1).requires_grad_(True)
    loss = relative_feature_l1({"a": generated}, {"a": dreams}, "a")
    to_generated, to_dreams = torch.autograd.grad(loss, (generated, dreams), allow_unused=True)
    assert to_dreams is None
    assert to_generated.abs().min() > 0


def test_relative_feature_l1_of_silent_dream_is_finite() -> None:
    generated = noise(1, 4, 5, 5).requires_grad_(True)
    loss = relative_feature_l1({"a": generated}, {"a": torch.zeros(1, 4, 5, 5)}, "a")
    (gradient,) = torch.autograd.grad(loss, generated)
    assert bool(torch.cat([loss.detach().flatten(), gradient.flatten()]).isfinite().all())


# --- objective


def test_log_objective_gap_by_hand() -> None:
    dreams = torch.tensor([1.0, 3.0])
    generated = torch.tensor([2.0, 1.0])
    # The floor is a thousandth of each picture's own objective.
    expected = (math.log((2 + 0.001) / (1 + 0.001)) + math.log((3 + 0.003) / (1 + 0.003))) / 2
    assert float(log_objective_gap(generated, dreams)) == pytest.approx(expected, rel=1e-6)
    assert log_objective_gap(dreams, dreams) == 0


def test_log_objective_gap_of_places_by_hand() -> None:
    dreams = torch.tensor([[1.0, 3.0], [100.0, 300.0]]).view(2, 1, 2)
    generated = torch.tensor([[2.0, 3.0], [100.0, 0.0]]).view(2, 1, 2)
    first = math.log((2 + 0.002) / (1 + 0.002))  # the mean over the places of the first dream is 2
    assert float(log_objective_gap(generated, dreams)) == pytest.approx((first + 0 + 0 + 2) / 4, rel=1e-6)


def test_log_objective_gap_is_two_sided() -> None:
    dreams = torch.tensor([5.0])
    over, under = (log_objective_gap(factor * dreams, dreams) for factor in (2.0, 0.5))
    assert float(over) == pytest.approx(math.log(2), abs=2e-3)
    assert float(under) == pytest.approx(math.log(2), abs=2e-3)
    for factor, sign in ((2.0, 1), (0.5, -1)):
        generated = (factor * dreams).requires_grad_(True)
        (gradient,) = torch.autograd.grad(log_objective_gap(generated, dreams), generated)
        assert gradient.sign() == sign  # descent leads back to the dream's objective


def test_log_objective_gap_is_capped() -> None:
    dreams = torch.tensor([1.0, 1.0])
    generated = torch.tensor([1e6, 1.5]).requires_grad_(True)
    near = math.log((1.5 + 1e-3) / (1 + 1e-3))
    loss = log_objective_gap(generated, dreams)
    assert float(loss.detach()) == pytest.approx((2 + near) / 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, generated)
    assert gradient[0] == 0
    assert gradient[1] > 0
    assert float(log_objective_gap(generated.detach(), dreams, cap=0.1)) == pytest.approx(0.1)
    assert float(log_objective_gap(torch.zeros(2), dreams)) == pytest.approx(2)  # the other side as well


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_log_objective_gap_has_no_scale(scale: float) -> None:
    generated, dreams = noise(2, 5, 5), noise(2, 5, 5, seed=1)
    plain = log_objective_gap(generated, dreams)
    assert float(log_objective_gap(scale * generated, scale * dreams)) == pytest.approx(float(plain), rel=1e-4)


@pytest.mark.parametrize("value", [0.0, -1.0])
@pytest.mark.parametrize("target", [0.0, -1.0, 1.0])
def test_log_objective_gap_is_finite_where_there_is_no_logarithm(value: float, target: float) -> None:
    generated = torch.full((2, 3, 3), value, requires_grad=True)
    loss = log_objective_gap(generated, torch.full((2, 3, 3), target))
    (gradient,) = torch.autograd.grad(loss, generated)
    assert 0 <= loss.detach() <= 2
    assert bool(gradient.isfinite().all())


def test_log_objective_gap_leaves_the_dream_alone() -> None:
    generated, dreams = noise(3).requires_grad_(True), noise(3, seed=1).requires_grad_(True)
    loss = log_objective_gap(generated, dreams)
    to_generated, to_dreams = torch.autograd.grad(loss, (generated, dreams), allow_unused=True)
    assert to_dreams is None
    assert to_generated.any()


# --- adversarial


def test_hinge_by_hand() -> None:
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-2.0, 0.0, 1.0])
    expected = 0.5 * ((0 + 0.5 + 2) / 3 + (0 + 1 + 2) / 3)
    assert float(hinge_discriminator(real, fake)) == pytest.approx(expected)
    assert float(hinge_generator(fake)) == pytest.approx(1 / 3)
    assert hinge_discriminator(torch.ones(4), -torch.ones(4)) == 0
    assert hinge_discriminator(torch.zeros(4), torch.zeros(4)) == 1


def test_hinge_gradients_stop_at_the_margin_for_the_discriminator_only() -> None:
    real, fake = torch.tensor([2.0, 0.5], requires_grad=True), torch.tensor([-2.0, 0.5], requires_grad=True)
    to_real, to_fake = torch.autograd.grad(hinge_discriminator(real, fake), (real, fake))
    assert to_real.tolist() == [0, -0.25]  # descent raises the logit of the real
    assert to_fake.tolist() == [0, 0.25]
    (to_fake,) = torch.autograd.grad(hinge_generator(fake), fake)
    assert to_fake.tolist() == [-0.5, -0.5]


# --- whatever the batch, whatever the precision


def relative(generated: Tensor, dreams: Tensor) -> Tensor:
    return relative_feature_l1({"a": generated}, {"a": dreams}, "a")


Loss = Callable[[Tensor, Tensor], Tensor]
OF_PICTURES: dict[str, Loss] = {"l1": l1, "low_pass_l1": low_pass_l1}
OF_FEATURES: dict[str, Loss] = {
    "relative_feature_l1": relative,
    "log_objective_gap": log_objective_gap,
    "hinge_discriminator": hinge_discriminator,
    "hinge_generator": lambda generated, dreams: hinge_generator(generated),
}
ALL = OF_PICTURES | OF_FEATURES


def two_sets(name: str, count: int) -> tuple[Tensor, Tensor]:
    """Generated and dreams, in float64, each picture on a scale of its own where the loss has none."""
    shape = (count, 3, 16, 16) if name in OF_PICTURES else (count, 5, 7, 7)
    scale = 1.0 if name in OF_PICTURES else 10.0 ** torch.arange(-count // 2, -count // 2 + count).double()
    scale = torch.as_tensor(scale).double().reshape(-1, 1, 1, 1)
    return scale * noise(*shape).double(), scale * noise(*shape, seed=1).double()


@pytest.mark.parametrize("name", ALL)
def test_the_loss_of_a_batch_is_the_mean_of_its_halves(name: str) -> None:
    """So that processes which share a batch take the step that one would."""
    generated, dreams = two_sets(name, 4)
    whole = float(ALL[name](generated, dreams))
    halves = [float(ALL[name](generated[own], dreams[own])) for own in (slice(0, 2), slice(2, 4))]
    assert whole == pytest.approx(sum(halves) / 2, rel=1e-12)
    assert halves[0] != pytest.approx(halves[1], rel=1e-3)


@pytest.mark.parametrize("name", ["log_objective_gap"])
def test_the_same_of_one_number_per_picture(name: str) -> None:
    generated, dreams = noise(4).double(), 10.0 ** torch.arange(-2, 2).double()
    whole = float(ALL[name](generated, dreams))
    assert whole == pytest.approx(sum(float(ALL[name](generated[k : k + 1], dreams[k : k + 1])) for k in range(4)) / 4)


@pytest.mark.parametrize("name", ALL)
def test_every_loss_is_computed_in_float32_at_least(name: str) -> None:
    """What a bf16 network gives: the loss is that of the rounded values, not rounded itself. Float64 is kept."""
    generated, dreams = (each.bfloat16() for each in two_sets(name, 2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = ALL[name](generated, dreams)
    assert rounded.dtype == torch.float32
    exact = ALL[name](generated.double(), dreams.double())
    assert exact.dtype == torch.float64
    assert float(rounded) == pytest.approx(float(exact), rel=1e-5)
