"""GoogLeNet against a plain loop over the layers of Caffe's deploy.prototxt."""

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from dreamgan.backbones import class_index, load_extractor
from dreamgan.backbones.features import normalise
from dreamgan.images import load_image, to_unit

# One line per layer: name, kind, bottom, then of a convolution: outputs, kernel, stride, pad; of a pooling: kernel,
# stride, pad. Every convolution is followed by a ReLU in place, so its blob holds what is left of it.
STEM = """
conv1/7x7_s2 conv data 64 7 2 3
pool1/3x3_s2 pool conv1/7x7_s2 3 2 0
pool1/norm1 lrn pool1/3x3_s2
conv2/3x3_reduce conv pool1/norm1 64 1 1 0
conv2/3x3 conv conv2/3x3_reduce 192 3 1 1
conv2/norm2 lrn conv2/3x3
pool2/3x3_s2 pool conv2/norm2 3 2 0
"""
INCEPTION = """
{block}/1x1 conv {bottom} {0} 1 1 0
{block}/3x3_reduce conv {bottom} {1} 1 1 0
{block}/3x3 conv {block}/3x3_reduce {2} 3 1 1
{block}/5x5_reduce conv {bottom} {3} 1 1 0
{block}/5x5 conv {block}/5x5_reduce {4} 5 1 2
{block}/pool pool {bottom} 3 1 1
{block}/pool_proj conv {block}/pool {5} 1 1 0
{block}/output concat {block}/1x1 {block}/3x3 {block}/5x5 {block}/pool_proj
"""
# Block: outputs of the six convolutions, as in the paper's table 1; after 3b and 4e comes a pooling.
OUTPUTS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def prototxt() -> list[list[str]]:
    lines, bottom = STEM, "pool2/3x3_s2"
    for block, outputs in OUTPUTS.items():
        lines += INCEPTION.format(*outputs, block=f"inception_{block}", bottom=bottom)
        bottom = f"inception_{block}/output"
        if block in ("3b", "4e"):
            pool = f"pool{3 if block == '3b' else 4}/3x3_s2"
            lines += f"{pool} pool {bottom} 3 2 0\n"
            bottom = pool
    lines += f"pool5/7x7_s1 mean {bottom}\nloss3/classifier fc pool5/7x7_s1\n"
    return [line.split() for line in lines.split("\n") if line]


def key(layer: str) -> str:
    """Where a weights file keeps a convolution."""
    stem = {"conv1/7x7_s2": "conv1", "conv2/3x3_reduce": "conv2", "conv2/3x3": "conv3"}
    if layer in stem:
        return f"{stem[layer]}.conv"
    branch = {"1x1": "branch1", "3x3_reduce": "branch2.0", "3x3": "branch2.1"}
    branch |= {"5x5_reduce": "branch3.0", "5x5": "branch3.1", "pool_proj": "branch4.1"}
    block, part = layer.split("/")
    return f"{block.replace('_', '')}.{branch[part]}.conv"


def pool(x: Tensor, kernel: int, stride: int, pad: int) -> Tensor:
    """Max pooling as Caffe does it: sizes are rounded up, the last window is cut off at the edge."""
    counts = [-(-(side + 2 * pad - kernel) // stride) + 1 for side in x.shape[2:]]
    missing = [(n - 1) * stride + kernel - side - pad for n, side in zip(counts, x.shape[2:], strict=True)]
    x = F.pad(x, (pad, missing[1], pad, missing[0]), value=-torch.inf)
    return x.unfold(2, kernel, stride).unfold(3, kernel, stride).amax((4, 5))


def response_norm(x: Tensor) -> Tensor:
    """Caffe's LRN across channels: local_size 5, alpha 1e-4, beta 0.75."""
    channels = range(x.shape[1])
    sums = [x[:, max(0, c - 2) : c + 3].square().sum(1) for c in channels]
    return torch.stack([x[:, c] / (1 + 1e-4 / 5 * sums[c]) ** 0.75 for c in channels], 1)


def caffe(state: dict[str, Tensor], images: Tensor) -> dict[str, Tensor]:
    """Every blob by Caffe's name."""
    blobs = {"data": images}
    for name, kind, bottom, *rest in prototxt():
        x = blobs[bottom]
        if kind == "conv":
            _, _, stride, pad = map(int, rest)
            x = F.conv2d(F.pad(x, (pad,) * 4), state[f"{key(name)}.weight"], state[f"{key(name)}.bias"], stride).relu()
        elif kind == "pool":
            x = pool(x, *map(int, rest))
        elif kind == "lrn":
            x = response_norm(x)
        elif kind == "concat":
            x = torch.cat([blobs[branch] for branch in (bottom, *rest)], 1)
        elif kind == "mean":
            x = x.mean((2, 3), keepdim=True)
        else:
            x = x.flatten(1) @ state["fc.weight"].T + state["fc.bias"]
        blobs[name] = x
    return blobs


def random_state() -> dict[str, Tensor]:
    stream = torch.Generator().manual_seed(0)
    state = {"fc.weight": torch.randn(1000, 1024, generator=stream), "fc.bias": torch.randn(1000, generator=stream)}
    widths = {"data": 3}
    for name, kind, bottom, *rest in prototxt():
        widths[name] = widths[bottom] if kind != "concat" else sum(widths[branch] for branch in (bottom, *rest))
        if kind == "conv":
            widths[name], side = int(rest[0]), int(rest[1])
            shape = (widths[name], widths[bottom], side, side)
            gain = (2 / (widths[bottom] * side * side)) ** 0.5
            state[f"{key(name)}.weight"] = torch.randn(shape, generator=stream) * gain
            state[f"{key(name)}.bias"] = torch.randn(shape[0], generator=stream) * 10
    return state


def test_every_blob_is_that_of_a_plain_loop_over_caffes_layers(tmp_path: Path) -> None:
    state = random_state()
    save_file(state, tmp_path / "w.safetensors")
    names = [name for name, *_ in prototxt()]
    extractor = load_extractor("googlenet_bvlc", names, weights=tmp_path / "w.safetensors").double()
    # Values in the hundreds, as in Caffe: small ones would hardly feel the normalisation.
    images = 200 * torch.randn(2, 3, 96, 80, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    expected = caffe({name: tensor.double() for name, tensor in state.items()}, images)
    with torch.no_grad():
        found = extractor(images)

    for norm in ("norm1", "norm2"):
        bottom = {"norm1": "pool1/3x3_s2", "norm2": "conv2/3x3"}[norm]
        top = {"norm1": "pool1/norm1", "norm2": "conv2/norm2"}[norm]
        assert expected[top].norm() < 0.9 * expected[bottom].norm()
    for name in names:
        scale = float(expected[name].abs().max())
        torch.testing.assert_close(found[name], expected[name], rtol=1e-10, atol=1e-10 * scale)


def centre(picture: Image.Image) -> Tensor:
    """The middle 224x224 px of the picture, its shorter side first resized to 256 px; in [0, 1]."""
    ratio = 256 / min(picture.size)
    size = (round(picture.width * ratio), round(picture.height * ratio))
    left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
    return to_unit(picture.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + 224, top + 224)))


def test_the_real_weights_name_what_is_in_real_photos(shared_dir: Path) -> None:
    weights = shared_dir / "weights" / "googlenet_bvlc.fp16.safetensors"
    extractor = load_extractor("googlenet_bvlc", ["head"], weights=weights)
    # File names hold WordNet id and class; two classes share their names with others.
    files = [path for path in sorted((shared_dir / "imagenet_samples").iterdir()) if "ardigan" not in path.stem]
    files = [path for path in files if not path.stem.endswith("_crane")][::15][:60]
    right = 0
    for path in files:
        logits = extractor(normalise(centre(load_image(path).picture)[None]))["head"]
        right += class_index(path.stem.partition("_")[2]) in logits.topk(5).indices[0].tolist()
    # Measured: 56. With the colours in the order BGR 50, without the response norms 10, with branches swapped 3.
    assert len(files) == 60
    assert right >= 53
