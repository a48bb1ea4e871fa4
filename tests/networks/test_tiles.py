"""Tiles: the same dreams as in one piece, with a bounded number of pixels at a time."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dreamgan.networks import tiles
from dreamgan.networks.tiles import MARGIN_PX, dream_in_tiles
from dreamgan.networks.translator import EncoderName, Translator
from tests.lively import ENCODERS, lively_translator, pictures

both_encoders = pytest.mark.parametrize("encoder", ENCODERS)
STYLES, STRENGTH = torch.tensor([[0.3, 0.7], [1.0, 0.0]]), torch.tensor([1.0, 0.6])


def in_one_piece(network: Translator, photos: Tensor) -> Tensor:
    with torch.no_grad():
        out: Tensor = network(photos, STYLES[: len(photos)], STRENGTH[: len(photos)])
    return out


def in_tiles(network: Translator, photos: Tensor, tile_px: int) -> Tensor:
    return dream_in_tiles(network, photos, STYLES[: len(photos)], STRENGTH[: len(photos)], tile_px)


@both_encoders
@pytest.mark.parametrize(
    ("size", "tile_px"), [((83, 901), 256), ((1001, 71), 250), ((417, 530), 256), ((32, 700), 128)]
)
def test_tiles_leave_no_seam(encoder: EncoderName, size: tuple[int, int], tile_px: int) -> None:
    network, photos = lively_translator(encoder), pictures(2, 3, *size)
    whole = in_one_piece(network, photos)
    torch.testing.assert_close(in_tiles(network, photos, tile_px), whole, rtol=0, atol=1e-5)
    assert (whole - photos).abs().mean() > 0.05
    assert whole.min() == 0  # the clamp comes after the sum
    assert whole.max() == 1


@both_encoders
def test_a_narrower_margin_would_show(encoder: EncoderName, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above."""
    network, photos = lively_translator(encoder), pictures(1, 3, 83, 901)
    monkeypatch.setitem(MARGIN_PX, encoder, 96)
    assert (in_tiles(network, photos, 256) - in_one_piece(network, photos)).abs().max() > 1e-3


@both_encoders
def test_the_margin_is_as_wide_as_the_network_looks(encoder: EncoderName) -> None:
    """By the gradient of a network that lets everything through, so that nothing is hidden by a ReLU or a maximum."""
    network = copy.deepcopy(lively_translator(encoder, styles=1)).double()
    layers = network.encoder.network
    for name, module in list(layers.named_modules()):
        if isinstance(module, nn.ReLU | nn.ReLU6):
            layers.set_submodule(name, nn.Identity())
        elif isinstance(module, nn.MaxPool2d):
            layers.set_submodule(name, nn.AvgPool2d(module.kernel_size, module.stride, ceil_mode=module.ceil_mode))
    for conv in (module for module in network.modules() if isinstance(module, nn.Conv2d)):
        conv.weight.fill_(1 / conv.weight[0].numel())
        if conv.bias is not None:
            conv.bias.zero_()
    network.head.weight.mul_(1e-6)  # else the tanh lets nothing through
    start, end = 320, 336  # a tile of one stride
    photos = pictures(1, 3, 32, 656).double().requires_grad_()
    tile = network.residual(photos, photos.new_ones(1, 1), photos.new_ones(1))[..., start:end]
    (gradient,) = torch.autograd.grad(tile.sum(), photos)
    seen = gradient.abs().sum(dim=(0, 1, 2)).nonzero().flatten().tolist()
    reach = max(start - seen[0], seen[-1] + 1 - end)
    assert MARGIN_PX[encoder] - 16 < reach <= MARGIN_PX[encoder]


class Counting(nn.Module):
    """Stands in for a translator: adds 0.1 and keeps count of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.config = lively_translator().config
        self.whole: list[tuple[int, ...]] = []
        self.crops: list[tuple[int, ...]] = []

    def forward(self, photos: Tensor, styles: Tensor, strength: Tensor) -> Tensor:
        self.whole.append(tuple(photos.shape))
        return photos + 0.1

    def residual(self, photos: Tensor, styles: Tensor, strength: Tensor) -> Tensor:
        self.crops.append(tuple(photos.shape))
        return torch.full_like(photos, 0.1)


def run(count: int, height: int, width: int, tile_px: int) -> Counting:
    network: Any = Counting()
    photos = torch.zeros(count, 3, height, width)
    dreams = dream_in_tiles(network, photos, torch.ones(count, 2), torch.ones(count), tile_px)
    assert torch.equal(dreams, photos + 0.1)
    counting: Counting = network
    return counting


def test_what_is_small_enough_goes_in_one_piece() -> None:
    assert run(1, 256, 256, 256).whole == [(1, 3, 256, 256)]
    assert run(1, 64, 1024, 256).whole == [(1, 3, 64, 1024)]  # the area counts, not the side
    assert run(1, 64, 1025, 256).whole == []


def test_a_batch_is_shared_out_so_that_no_more_pixels_run_at_a_time() -> None:
    assert [shape[0] for shape in run(7, 128, 128, 256).whole] == [4, 3]
    assert [shape[0] for shape in run(3, 200, 256, 256).whole] == [1, 1, 1]


def test_tile_0_is_never() -> None:
    network = run(3, 400, 640, 0)
    assert network.whole == [(3, 3, 400, 640)]
    assert network.crops == []


def test_tiles_run_one_at_a_time_and_are_of_bounded_size() -> None:
    network = run(2, 1000, 2100, 256)
    assert network.whole == []
    assert len(network.crops) == 2 * 4 * 9
    most = 256 + 2 * MARGIN_PX["squeezenet1_1"]
    for count, _, height, width in network.crops:
        assert count == 1
        assert max(height, width) <= most
        assert height % 16 == width % 16 == 0


def test_a_tile_is_rounded_up_to_whole_strides() -> None:
    assert run(1, 512, 768, 241).crops == run(1, 512, 768, 256).crops


@pytest.mark.parametrize("side", [32, 48, 512, 528, 1040, 2048])
@pytest.mark.parametrize("tile_px", [16, 256, 1024])
def test_cores_cover_a_side_once(side: int, tile_px: int) -> None:
    cores = tiles._cores(side, tile_px)
    assert [first for first, _ in cores] == [0, *(end for _, end in cores[:-1])]
    assert cores[-1][1] == side
    sizes = [end - first for first, end in cores]
    assert max(sizes) <= tile_px
    assert max(sizes) - min(sizes) <= 16
    assert all(first % 16 == 0 for first, _ in cores)


def test_no_gradient_is_kept() -> None:
    network = copy.deepcopy(lively_translator()).requires_grad_(True)
    for tile_px in (16, 0):
        assert not in_tiles(network, pictures(1, 3, 32, 48), tile_px).requires_grad


def test_a_tile_below_0_is_refused() -> None:
    with pytest.raises(ValueError, match="-16 px"):
        in_tiles(lively_translator(), pictures(1, 3, 32, 48), -16)
