"""The generator: starts near identity, takes any size, and leaks neither position nor neighbours."""

import copy
import functools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dreamgan.backbones import load_extractor
from dreamgan.errors import UserError
from dreamgan.networks.modulation import Modulation
from dreamgan.networks.translator import EncoderName, Translator, TranslatorConfig, padded
from tests.lively import ENCODERS, lively_translator, pictures

both_encoders = pytest.mark.parametrize("encoder", ENCODERS)


def build(encoder: EncoderName, *, weights: str = "random", head_std: float | None = None) -> Translator:
    """A translator of fixed values; ``head_std`` makes it change pictures as much as a trained one does."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Translator(TranslatorConfig(encoder=encoder), encoder_weights=weights)
        if head_std is not None:
            nn.init.normal_(network.head.weight, std=head_std)
    return network


@functools.cache
def lively(encoder: EncoderName) -> Translator:
    network = build(encoder, head_std={"mobilenet_v2": 0.005, "squeezenet1_1": 0.05}[encoder])
    return network.eval().requires_grad_(False)


def residual_of(network: Translator, photos: Tensor) -> Tensor:
    with torch.no_grad():
        out: Tensor = network(photos) - photos
    return out


@both_encoders
def test_starts_near_identity(encoder: EncoderName) -> None:
    residual = residual_of(build(encoder), pictures(2, 3, 64, 64))
    assert 0 < residual.abs().mean() < 0.05
    assert residual.abs().max() < 0.25


def test_starts_near_identity_with_pretrained_squeezenet(shared_dir: Path) -> None:
    # It has no batch norm and answers with values in the tens, so it needs scales of its own.
    file = shared_dir / "weights" / "squeezenet1_1_features.fp16.safetensors"
    residual = residual_of(build("squeezenet1_1", weights=str(file)), pictures(2, 3, 64, 64))
    assert residual.abs().mean() < 0.05
    assert residual.abs().max() < 0.25


class LoudEncoder(nn.Module):
    """Answers with noise of the strength that SqueezeNet's ImageNet weights give to photographs."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        size = images.shape[-1]
        taps = ((64, 2, 21.8), (128, 4, 41.6), (256, 8, 39.9), (512, 16, 14.6))
        return {
            f"{stride}": strength
            * pictures(len(images), channels, size // stride, size // stride).sub(0.5).mul(12**0.5)
            for channels, stride, strength in taps
        }


def test_starts_near_identity_with_squeezenets_loud_features() -> None:
    network = build("squeezenet1_1")
    network.encoder = LoudEncoder()  # type: ignore[assignment]
    residual = residual_of(network, pictures(2, 3, 64, 64))
    assert 0 < residual.abs().mean() < 0.05
    assert residual.abs().max() < 0.25


@both_encoders
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 64), (100, 131)])
def test_any_size_stays_in_range(encoder: EncoderName, size: tuple[int, int]) -> None:
    photos = pictures(1, 3, *size)
    network = build(encoder, head_std=0.5)
    dreams = photos + residual_of(network, photos)
    assert dreams.shape == photos.shape
    assert dreams.min() == 0  # the clamp had something to do
    assert dreams.max() == 1


@both_encoders
def test_odd_sizes_are_dreamed_as_the_corner_of_a_reflected_picture(encoder: EncoderName) -> None:
    photos = pictures(1, 3, 33, 47)
    wide = F.pad(photos, (0, 1, 0, 15), mode="reflect")
    expected = residual_of(lively(encoder), wide)[..., :33, :47]
    torch.testing.assert_close(residual_of(lively(encoder), photos), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("size", "expected"), [((32, 48), (32, 48)), ((33, 47), (48, 48)), ((64, 49), (64, 64))])
def test_padding_goes_up_to_whole_strides(size: tuple[int, int], expected: tuple[int, int]) -> None:
    photos = pictures(1, 3, *size)
    wide = padded(photos)
    assert wide.shape[-2:] == expected
    assert torch.equal(wide[..., : size[0], : size[1]], photos)


@both_encoders
def test_a_shift_by_a_stride_shifts_the_dream(encoder: EncoderName) -> None:
    """No place of the picture is special, also where it is not constant."""
    network, scene = lively(encoder), pictures(1, 3, 64, 640)
    one, other = residual_of(network, scene[..., :624]), residual_of(network, scene[..., 16:])
    inside = slice(256, 368)
    torch.testing.assert_close(one[..., 16:][..., inside], other[..., :608][..., inside], rtol=0, atol=1e-5)
    assert one[..., inside].abs().mean() > 0.01


@both_encoders
def test_residual_is_bounded_by_its_range(encoder: EncoderName) -> None:
    network = build(encoder, head_std=5.0)
    network.config = TranslatorConfig(encoder=encoder, residual_range=0.25)
    residual = residual_of(network, torch.full((1, 3, 64, 64), 0.5))
    assert residual.abs().max() == pytest.approx(0.25, abs=1e-4)


@both_encoders
@pytest.mark.parametrize("size", [(96, 96), (100, 131)])
def test_constant_picture_gets_constant_residual_up_to_the_border(encoder: EncoderName, size: tuple[int, int]) -> None:
    """Nothing but the picture decides: no place of it is special."""
    photos = torch.tensor([0.3, 0.5, 0.6]).view(1, 3, 1, 1).expand(1, 3, *size)
    residual = residual_of(lively(encoder), photos)
    assert residual.abs().max() > 0.01
    spread = (residual - residual[..., size[0] // 2, size[1] // 2, None, None]).abs()
    assert spread.max() < 1e-5


@both_encoders
def test_zero_padding_would_leak_position(encoder: EncoderName) -> None:
    """The control of the test above: with zero padding in the encoder alone, the border shows."""
    network = copy.deepcopy(lively(encoder))
    for module in network.encoder.modules():
        if isinstance(module, nn.Conv2d):
            module.padding_mode = "zeros"
    residual = residual_of(network, torch.full((1, 3, 96, 96), 0.5))
    assert (residual - residual[..., 48, 48, None, None]).abs().max() > 1e-3


@both_encoders
def test_every_convolution_reflects(encoder: EncoderName) -> None:
    convolutions = [module for module in lively(encoder).modules() if isinstance(module, nn.Conv2d)]
    padded = [conv for conv in convolutions if conv.padding != (0, 0)]
    assert len(padded) > 10
    assert {conv.padding_mode for conv in padded} == {"reflect"}


@both_encoders
def test_no_batch_norm_and_no_transposed_convolution(encoder: EncoderName) -> None:
    forbidden = (nn.modules.batchnorm._BatchNorm, nn.modules.conv._ConvTransposeNd, nn.Dropout)
    assert [module for module in lively(encoder).modules() if isinstance(module, forbidden)] == []


def test_first_convolution_equals_reflect_padding_by_hand() -> None:
    encoder = lively("mobilenet_v2").encoder
    conv = encoder.get_submodule("network.features.0.0")
    assert isinstance(conv, nn.Conv2d)
    images = pictures(1, 3, 16, 20)
    by_hand = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), conv.weight, conv.bias, stride=2)
    torch.testing.assert_close(conv(images), by_hand)


@pytest.mark.parametrize(
    ("encoder", "layer", "margin"), [("mobilenet_v2", "features.1", 2), ("squeezenet1_1", "features.4", 3)]
)
def test_encoder_is_the_backbone_but_for_its_border(encoder: EncoderName, layer: str, margin: int) -> None:
    images = pictures(1, 3, 64, 64)
    with torch.no_grad():
        reflecting = lively(encoder).encoder(images)[layer]
        # SqueezeNet's first convolution has no padding of its own.
        wide = F.pad(images, (1, 1, 1, 1), mode="reflect") if encoder == "squeezenet1_1" else images
        zero_padded = load_extractor(encoder, [layer], weights="random")(wide)[layer]
    inside = (..., slice(margin, -margin), slice(margin, -margin))
    torch.testing.assert_close(reflecting[inside], zero_padded[inside], rtol=1e-4, atol=1e-5)
    assert (reflecting - zero_padded).abs()[..., 0, :].max() > 0.01


@both_encoders
def test_dream_does_not_depend_on_its_neighbours(encoder: EncoderName) -> None:
    network, photo = lively(encoder), pictures(1, 3, 48, 64)
    some, others = pictures(3, 3, 48, 64, seed=1), pictures(3, 3, 48, 64, seed=2)
    among_some = residual_of(network, torch.cat([photo, some]))
    among_others = residual_of(network, torch.cat([photo, others]))
    assert torch.equal(among_some[0], among_others[0])
    assert not torch.equal(among_some[1], among_others[1])
    alone = residual_of(network, photo)
    torch.testing.assert_close(alone[0], among_some[0], rtol=0, atol=1e-5)


@both_encoders
def test_training_mode_changes_nothing(encoder: EncoderName) -> None:
    network, photos = copy.deepcopy(lively(encoder)), pictures(1, 3, 64, 64)
    quiet = residual_of(network.eval(), photos)
    assert torch.equal(residual_of(network.train(), photos), quiet)


@both_encoders
def test_a_copy_dreams_the_same(encoder: EncoderName) -> None:
    """An EMA is a deep copy: it must keep what was changed in the encoder."""
    photos = pictures(1, 3, 64, 64)
    assert torch.equal(residual_of(copy.deepcopy(lively(encoder)), photos), residual_of(lively(encoder), photos))


@both_encoders
def test_gradients_reach_every_parameter(encoder: EncoderName) -> None:
    network = copy.deepcopy(lively_translator(encoder)).requires_grad_(True).train()
    photos, strength = pictures(2, 3, 64, 64), torch.tensor([0.5, 1.0])
    (network(photos, torch.eye(2), strength) * pictures(2, 3, 64, 64, seed=1)).mean().backward()
    lifeless = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not bool(parameter.grad.isfinite().all()) or not bool(parameter.grad.any())
    ]
    assert lifeless == []
    tables = [module.table.grad for module in network.modules() if isinstance(module, Modulation)]
    assert len(tables) == 6
    for grad in tables:
        assert grad is not None
        assert grad[0].abs().sum(-1).min() > 0  # every style
        assert grad[1].abs().sum(-1).tolist() == [pytest.approx(grad[1, 0].abs().sum().item()), 0]  # strength 1: none
    assert sum(parameter.numel() for parameter in network.encoder.parameters()) > 400_000


@pytest.mark.parametrize(("encoder", "most_parameters"), [("mobilenet_v2", 1_800_000), ("squeezenet1_1", 2_100_000)])
def test_cost(encoder: EncoderName, most_parameters: int) -> None:
    network = lively(encoder)
    with FlopCounterMode(display=False) as counter:
        network(pictures(1, 3, 128, 128))
    kmac_per_pixel = counter.get_total_flops() / 2 / 128**2 / 1000
    assert 10 < kmac_per_pixel < 25
    assert sum(parameter.numel() for parameter in network.parameters()) < most_parameters


def test_widths_shape_the_decoder() -> None:
    network = Translator(TranslatorConfig(encoder="squeezenet1_1", widths=(4, 5, 6, 7, 8)))
    assert network.head.in_channels == 4
    assert network(pictures(1, 3, 32, 32)).shape == (1, 3, 32, 32)


# --- styles and strengths

STYLES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.25, 0.75]])


def dreamed(network: Translator, photos: Tensor, styles: Tensor, strength: Tensor) -> Tensor:
    with torch.no_grad():
        out: Tensor = network(photos, styles.to(photos), strength.to(photos))
    return out


@both_encoders
def test_without_styles_and_strength_it_is_the_first_style_at_strength_1(encoder: EncoderName) -> None:
    network, photos = lively_translator(encoder), pictures(2, 3, 48, 32)
    expected = dreamed(network, photos, STYLES[:1].expand(2, -1), torch.ones(2))
    assert torch.equal(network(photos), expected)


@both_encoders
@pytest.mark.parametrize("size", [(32, 32), (65, 97)])
def test_strength_0_is_the_photo_bit_for_bit(encoder: EncoderName, size: tuple[int, int]) -> None:
    photos = pictures(3, 3, *size)
    dreams = dreamed(lively_translator(encoder), photos, STYLES, torch.tensor([0.0, 1.0, 0.0]))
    assert torch.equal(dreams[[0, 2]], photos[[0, 2]])
    assert (dreams[1] - photos[1]).abs().mean() > 0.05


@both_encoders
def test_styles_and_strengths_differ(encoder: EncoderName) -> None:
    photo = pictures(1, 3, 64, 64).expand(4, -1, -1, -1)
    styles, strength = STYLES[[0, 0, 1, 2]], torch.tensor([1.0, 0.5, 1.0, 1.0])
    dreams = dreamed(lively_translator(encoder), photo, styles, strength)
    for one in range(4):
        for other in range(one):
            assert (dreams[one] - dreams[other]).abs().mean() > 0.01


@both_encoders
@pytest.mark.parametrize("count", [1, 3, 8])
def test_float64_dreams_do_not_depend_on_the_size_of_the_batch(encoder: EncoderName, count: int) -> None:
    network = copy.deepcopy(lively_translator(encoder)).double()
    photos, styles = pictures(8, 3, 48, 64).double(), pictures(8, 2, seed=1)
    strength = torch.linspace(0.1, 1.5, 8)
    whole = dreamed(network, photos, styles, strength)
    parts = [slice(start, start + count) for start in range(0, 8, count)]
    parted = torch.cat([dreamed(network, photos[part], styles[part], strength[part]) for part in parts])
    torch.testing.assert_close(parted, whole, rtol=0, atol=1e-9)


@both_encoders
def test_styles_of_the_neighbours_do_not_leak(encoder: EncoderName) -> None:
    photos = pictures(3, 3, 48, 48)
    one = dreamed(lively_translator(encoder), photos, STYLES, torch.tensor([0.7, 1.0, 1.5]))
    others = dreamed(lively_translator(encoder), photos, STYLES[[0, 0, 1]], torch.tensor([0.7, 0.2, 0.0]))
    assert torch.equal(one[0], others[0])
    assert not torch.equal(one[1], others[1])


@both_encoders
@pytest.mark.parametrize("along", ["strength", "blend"])
def test_blends_and_strengths_change_the_dream_continuously(encoder: EncoderName, along: str) -> None:
    network = copy.deepcopy(lively_translator(encoder)).double()
    photos = pictures(1, 3, 48, 48).double().mul(0.2).add(0.4)  # away from the clamp

    def way(steps: int) -> Tensor:
        at = torch.linspace(0, 1, steps + 1)
        blend = torch.stack([1 - at, at], 1) if along == "blend" else STYLES[2:].expand(len(at), -1)
        strength = torch.ones(len(at)) if along == "blend" else 1.5 * at
        dreams = dreamed(network, photos.expand(len(at), -1, -1, -1), blend, strength)
        return (dreams[1:] - dreams[:-1]).abs().amax(dim=(1, 2, 3))

    coarse, fine = way(8), way(32)
    assert coarse.min() > 1e-3  # it never stands still
    assert fine.max() < 0.5 * coarse.max()  # a jump would be as high in short steps


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("encoder", "vgg16", "encoder 'vgg16' is not known"),
        ("widths", (4, 5, 6, 7), "five whole numbers from 1 to 1024"),
        ("widths", (4, 5, 6, 7, 0), "five whole numbers"),
        ("widths", (4, 5, 6, 7, 10**9), "five whole numbers"),
        ("widths", (4, 5, 6, 7, 8.5), "five whole numbers"),
        ("widths", "45678", "five whole numbers"),
        ("styles", 0, "styles is 0"),
        ("styles", 10**12, "whole number from 1 to 1024"),
        ("styles", True, "styles is True"),
        ("residual_range", math.nan, "residual_range is nan"),
        ("residual_range", math.inf, "residual_range is inf"),
        ("residual_range", 0.0, "above 0"),
    ],
)
def test_a_shape_that_makes_no_sense_is_refused(field: str, value: Any, why: str) -> None:
    with pytest.raises(UserError, match=why):
        TranslatorConfig(**{field: value})
