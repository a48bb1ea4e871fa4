"""The discriminator: judges pairs of a style and a strength, patch by patch, with bounded slopes."""

import pytest
import torch
from torch import Tensor, nn

from dreamgan.networks.modulation import Modulation
from dreamgan.networks.patchgan import PatchDiscriminator

STYLES = 2


@pytest.fixture
def discriminator() -> PatchDiscriminator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PatchDiscriminator(width=8, styles=STYLES)
        for module in network.modules():
            if isinstance(module, Modulation):
                nn.init.normal_(module.table, std=0.3)
    return network


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def known(count: int, style: int = 0, strength: float = 1.0) -> tuple[Tensor, Tensor]:
    return torch.eye(STYLES)[[style] * count], torch.full((count,), strength)


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (48, 80)])
def test_one_logit_per_patch(discriminator: PatchDiscriminator, size: tuple[int, int]) -> None:
    logits = discriminator(pictures(2, 3, *size), pictures(2, 3, *size, seed=1), *known(2))
    assert logits.shape == (2, 1, size[0] // 4 - 2, size[1] // 4 - 2)
    assert logits.min() < logits.max()


def test_a_logit_sees_34_pixels(discriminator: PatchDiscriminator) -> None:
    photos = pictures(1, 3, 96, 96)
    dreams = pictures(1, 3, 96, 96, seed=1).requires_grad_(True)
    logits = discriminator.eval()(photos, dreams, *known(1))
    (gradient,) = torch.autograd.grad(logits[0, 0, 11, 11], dreams)
    rows, columns = gradient.abs().sum(dim=(0, 1)).nonzero(as_tuple=True)
    assert rows.max() - rows.min() + 1 == 34
    assert columns.max() - columns.min() + 1 == 34


def test_spectral_norm_is_at_most_one(discriminator: PatchDiscriminator) -> None:
    photos, dreams = pictures(1, 3, 32, 32), pictures(1, 3, 32, 32, seed=1)
    convolutions = [module for module in discriminator.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 4
    with torch.no_grad():
        for conv in convolutions:
            conv.parametrizations.weight.original.mul_(50)  # type: ignore[union-attr, operator]
        for _ in range(50):  # each forward is one power iteration
            discriminator(photos, dreams, *known(1))
        norms = [float(torch.linalg.matrix_norm(conv.weight.flatten(1), ord=2)) for conv in convolutions]
    assert norms == pytest.approx([1.0] * 4, abs=0.02)


def test_depends_on_photo_dream_style_and_strength(discriminator: PatchDiscriminator) -> None:
    one, two = pictures(1, 3, 32, 32), pictures(1, 3, 32, 32, seed=1)
    discriminator.eval()
    with torch.no_grad():
        logits = discriminator(one, one, *known(1))
        for photos, dreams, style, strength in (
            (two, one, 0, 1),
            (one, two, 0, 1),
            (one, one, 1, 1),
            (one, one, 0, 0.5),
        ):
            assert (discriminator(photos, dreams, *known(1, style, strength)) - logits).abs().max() > 1e-3
        # The two places are not alike.
        assert (discriminator(one, two, *known(1)) - discriminator(two, one, *known(1))).abs().max() > 1e-3


def test_styles_start_alike() -> None:
    """Before training no style and no strength is anything else."""
    network = PatchDiscriminator(width=8, styles=STYLES).eval()
    one, two = pictures(1, 3, 32, 32), pictures(1, 3, 32, 32, seed=1)
    assert torch.equal(network(one, two, *known(1, 0, 1)), network(one, two, *known(1, 1, 0.5)))


def test_no_batch_norm_and_no_neighbours(discriminator: PatchDiscriminator) -> None:
    assert not [module for module in discriminator.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    photos, dreams = pictures(2, 3, 32, 32), pictures(2, 3, 32, 32, seed=1)
    other = torch.cat([dreams[:1], pictures(1, 3, 32, 32, seed=2)])
    discriminator.eval()
    with torch.no_grad():
        one, two = discriminator(photos, dreams, *known(2)), discriminator(photos, other, *known(2))
    assert torch.equal(one[0], two[0])
    assert not torch.equal(one[1], two[1])


def test_gradients_reach_dream_and_parameters(discriminator: PatchDiscriminator) -> None:
    dreams = pictures(1, 3, 32, 32, seed=1).requires_grad_(True)
    discriminator(pictures(1, 3, 32, 32), dreams, *known(1, strength=0.5)).square().mean().backward()
    assert dreams.grad is not None
    assert dreams.grad.abs().max() > 0
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
