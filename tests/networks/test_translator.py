"""The generator: starts near identity, takes any size, and leaks neither position nor neighbours."""

import copy
import functools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dreamgan.backbones import load_extractor
from dreamgan.networks.translator import EncoderName, Translator, TranslatorConfig

ENCODERS: tuple[EncoderName, ...] = ("mobilenet_v2", "squeezenet1_1")
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


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


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
def test_odd_sizes_are_dreamed_as_the_middle_of_a_reflected_picture(encoder: EncoderName) -> None:
    photos = pictures(1, 3, 33, 47)
    wide = F.pad(photos, (8, 9, 15, 16), mode="reflect")
    expected = residual_of(lively(encoder), wide)[..., 15:48, 8:55]
    torch.testing.assert_close(residual_of(lively(encoder), photos), expected, rtol=0, atol=1e-5)


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
        zero_padded = load_extractor(encoder, [layer], weights="random")(images)[layer]
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
    network = build(encoder).train()
    photos = pictures(2, 3, 64, 64)
    (network(photos) * pictures(2, 3, 64, 64, seed=1)).mean().backward()
    lifeless = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not bool(parameter.grad.isfinite().all()) or not bool(parameter.grad.any())
    ]
    assert lifeless == []
    assert sum(parameter.numel() for parameter in network.encoder.parameters()) > 400_000


# SqueezeNet's taps are wide (64 and 128 channels at strides 2 and 4), so the same decoder costs more on it.
@pytest.mark.parametrize(
    ("encoder", "most_kmac_per_pixel", "most_parameters"),
    [("mobilenet_v2", 25, 1_500_000), ("squeezenet1_1", 37, 2_500_000)],
)
def test_cost(encoder: EncoderName, most_kmac_per_pixel: float, most_parameters: int) -> None:
    network = lively(encoder)
    with FlopCounterMode(display=False) as counter:
        network(pictures(1, 3, 128, 128))
    kmac_per_pixel = counter.get_total_flops() / 2 / 128**2 / 1000
    assert 10 < kmac_per_pixel < most_kmac_per_pixel
    assert sum(parameter.numel() for parameter in network.parameters()) < most_parameters


def test_widths_shape_the_decoder() -> None:
    network = Translator(TranslatorConfig(encoder="squeezenet1_1", widths=(4, 5, 6, 7, 8)))
    assert network.head.in_channels == 4
    assert network(pictures(1, 3, 32, 32)).shape == (1, 3, 32, 32)
