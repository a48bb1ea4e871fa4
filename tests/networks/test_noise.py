"""The networks of the GAN that dreams from noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dreamgan.errors import UserError
from dreamgan.networks.noise import NoiseConfig, NoiseGenerator, NoiseKind
from dreamgan.networks.noise_discriminator import NoiseDiscriminator

KINDS: tuple[NoiseKind, ...] = ("dcgan", "residual")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size_px", [64, 128])
def test_pictures_of_the_size_and_range_are_made_and_judged(kind: NoiseKind, size_px: Any) -> None:
    torch.manual_seed(0)
    config = NoiseConfig(kind=kind, size_px=size_px, latent=6, width=4)
    pictures = NoiseGenerator(config)(10 * torch.randn(3, 6))
    assert pictures.shape == (3, 3, size_px, size_px)
    assert 0 <= pictures.min() < pictures.max() <= 1
    logits = NoiseDiscriminator(config)(pictures)
    assert logits.shape == (3,)
    assert len(set(logits.tolist())) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_depends_on_its_own_noise_alone(kind: NoiseKind) -> None:
    torch.manual_seed(0)
    generator = NoiseGenerator(NoiseConfig(kind=kind, latent=6, width=4)).eval()
    latents = torch.randn(4, 6)
    together, alone = generator(latents), generator(latents[1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-6, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("counts", [(3, 0), (1, 2), (3, 2)])
def test_conditions_change_picture_and_judgement(kind: NoiseKind, counts: tuple[int, int]) -> None:
    torch.manual_seed(0)
    styles, classes = counts
    config = NoiseConfig(kind=kind, latent=6, width=4, styles=styles, classes=classes)
    generator, discriminator = NoiseGenerator(config).eval(), NoiseDiscriminator(config).eval()
    latents, pictures = torch.randn(2, 6), torch.rand(2, 3, 64, 64)
    first = (torch.eye(styles)[[0, 0]], torch.eye(classes)[[0, 0]] if classes else None)
    last = (torch.eye(styles)[[-1, -1]], torch.eye(classes)[[-1, -1]] if classes else None)
    for network, given in ((generator, latents), (discriminator, pictures)):
        plain = network(given)
        assert torch.equal(plain, network(given, *first))
        assert not torch.equal(plain, network(given, *last))


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_style_goes_without_saying(kind: NoiseKind) -> None:
    config = NoiseConfig(kind=kind, latent=6, width=4)
    assert config.conditions == 0
    generator = NoiseGenerator(config).eval()
    latents = torch.randn(2, 6)
    assert torch.equal(generator(latents), generator(latents, torch.ones(2, 1), torch.zeros(2, 0)))


def test_the_plain_network_is_that_of_the_paper() -> None:
    """Radford et al. 2016, figure 1: 100 numbers to 1024, 512, 256 and 128 channels; batch norm but at the ends."""
    config = NoiseConfig(kind="dcgan", latent=100, width=128)
    convs = [m for m in NoiseGenerator(config).modules() if isinstance(m, torch.nn.ConvTranspose2d)]
    assert [(conv.in_channels, conv.out_channels) for conv in convs] == [
        (100, 1024),
        (1024, 512),
        (512, 256),
        (256, 128),
        (128, 3),
    ]
    norms = [m.num_features for m in NoiseDiscriminator(config).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms == [256, 512, 1024]
    assert 0.018 < float(convs[1].weight.detach().std()) < 0.022


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_generator_is_small(kind: NoiseKind) -> None:
    weights = sum(p.numel() for p in NoiseGenerator(NoiseConfig(kind=kind)).parameters())
    assert 2 * weights < 8e6  # bytes as float16


def test_our_generator_has_nothing_but_weights() -> None:
    assert not list(NoiseGenerator(NoiseConfig(latent=6, width=4)).buffers())


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_learns(kind: NoiseKind) -> None:
    torch.manual_seed(0)
    config = NoiseConfig(kind=kind, latent=6, width=4, styles=2, classes=2)
    generator, discriminator = NoiseGenerator(config), NoiseDiscriminator(config)
    discriminator(generator(torch.randn(4, 6)), torch.eye(2)[[0, 1, 0, 1]]).square().sum().backward()
    for name, parameter in [*generator.named_parameters(), *discriminator.named_parameters()]:
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert float(parameter.grad.abs().max()) > 0, name


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "unet"}, "kind is 'unet'"),
        ({"size_px": 96}, "size_px is 96"),
        ({"size_px": True}, "size_px is True"),
        ({"latent": 0}, "latent is 0"),
        ({"latent": 10**9}, "latent is 1000000000"),
        ({"width": 2.0}, "width is 2.0"),
        ({"width": 257}, "width is 257"),
        ({"styles": 0}, "styles is 0"),
        ({"classes": -1}, "classes is -1"),
        ({"classes": True}, "classes is True"),
    ],
)
def test_what_a_config_may_not_hold(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        NoiseConfig(**values)
