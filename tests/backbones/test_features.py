import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import get_model

from dreamgan.backbones import Extractor, load_extractor, weights
from dreamgan.backbones.features import cut, expose_batch_norms, fold_batch_norm
from dreamgan.backbones.googlenet_bvlc import GoogLeNetBVLC
from dreamgan.backbones.registry import BACKBONES, IMAGENET_MEAN, IMAGENET_STD, build_network, resolve_layer
from dreamgan.errors import UserError

BLOCKS = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")

# Layer name → (module of the whole network, which of its calls): the value is that module's output.
LAYERS: dict[str, dict[str, tuple[str, int]]] = {
    "vgg16": {
        "conv1_1": ("features.0", 0),
        "features.0": ("features.0", 0),
        "relu1_1": ("features.1", 0),
        "block1_conv1": ("features.1", 0),
        "conv4_3": ("features.21", 0),
        "relu4_3": ("features.22", 0),
        "block4_conv3": ("features.22", 0),
        "block4_conv2": ("features.20", 0),
        "pool4": ("features.23", 0),
        "block4_pool": ("features.23", 0),
        "features[24]": ("features.24", 0),
        "relu5_1": ("features.25", 0),
    },
    "vgg19": {
        "relu3_4": ("features.17", 0),
        "conv4_2": ("features.21", 0),
        "block5_conv4": ("features.35", 0),
        "block5_pool": ("features.36", 0),
    },
    "resnet50": {
        "conv1": ("conv1", 0),
        "conv1_relu": ("relu", 0),
        "pool1_pool": ("maxpool", 0),
        "conv2_block1_0_bn": ("layer1.0.downsample.1", 0),
        "conv3_block2_1_conv": ("layer2.1.conv1", 0),
        "conv3_block2_1_relu": ("layer2.1.relu", 0),
        "conv3_block2_2_relu": ("layer2.1.relu", 1),
        "layer2.1.bn3": ("layer2.1.bn3", 0),
        "conv3_block2_3_bn": ("layer2.1.bn3", 0),
        "conv4_block6_out": ("layer3.5", 0),
        "layer3": ("layer3", 0),
        "layer3[5]": ("layer3.5", 0),
        "res4f": ("layer3.5", 0),
        "layer3.5.relu_2": ("layer3.5.relu", 2),
        "layer4": ("layer4", 0),
        "fc": ("fc", 0),
    },
    "inception_v3": {
        **{f"mixed{i}": (f"Mixed_{b}", 0) for i, b in enumerate(BLOCKS)},
        "Conv2d_1a_3x3": ("Conv2d_1a_3x3", 0),
        "Conv2d_1a_3x3.conv": ("Conv2d_1a_3x3.conv", 0),
        "Mixed_5b.branch1x1.bn": ("Mixed_5b.branch1x1.bn", 0),
        "Mixed_6a": ("Mixed_6a", 0),
        "Mixed_7b.cat_2": ("Mixed_7b", 0),
    },
    "googlenet": {
        "conv2/3x3": ("conv3", 0),
        "pool1/3x3_s2": ("maxpool1", 0),
        "inception_3b/5x5_reduce": ("inception3b.branch3.0", 0),
        "inception_4c": ("inception4c", 0),
        "inception_4c/output": ("inception4c", 0),
        "inception4c": ("inception4c", 0),
        "mixed4c": ("inception4c", 0),
        "inception_4d/pool": ("inception4d.branch4.0", 0),
        "inception5b": ("inception5b", 0),
        "loss3/classifier": ("fc", 0),
    },
    "googlenet_bvlc": {
        "conv1/7x7_s2": ("conv1", 0),
        "conv1.conv": ("conv1.conv", 0),
        "pool1/norm1": ("norm1", 0),
        "conv2/3x3": ("conv3", 0),
        "conv2/norm2": ("norm2", 0),
        "inception_3b/5x5_reduce": ("inception3b.branch3.0", 0),
        "inception_4c": ("inception4c", 0),
        "inception_4c/5x5": ("inception4c.branch3.1", 0),
        "inception4c.branch2.1.conv": ("inception4c.branch2.1.conv", 0),
        "inception_4d/pool": ("inception4d.branch4.0", 0),
        "loss3/classifier": ("fc", 0),
    },
    "mobilenet_v2": {
        "Conv1_relu": ("features.0", 0),
        "expanded_conv_depthwise_relu": ("features.1.conv.0", 0),
        "expanded_conv_project_BN": ("features.1.conv.2", 0),
        "block_2_add": ("features.3", 0),
        "block_6_expand": ("features.7.conv.0.0", 0),
        "block_6_expand_BN": ("features.7.conv.0.1", 0),
        "block_6_expand_relu": ("features.7.conv.0", 0),
        "block_6_depthwise_relu": ("features.7.conv.1", 0),
        "block_6_project": ("features.7.conv.2", 0),
        "block_6_project_BN": ("features.7.conv.3", 0),
        "features.8.conv.1": ("features.8.conv.1", 0),
        "block_15_add": ("features.16", 0),
        "out_relu": ("features.18", 0),
        "classifier": ("classifier", 0),
    },
    "squeezenet1_1": {
        "relu_conv1": ("features.1", 0),
        "features.0": ("features.0", 0),
        "pool3": ("features.5", 0),
        "fire2/squeeze1x1": ("features.3.squeeze_activation", 0),
        "fire5/expand3x3": ("features.7.expand3x3_activation", 0),
        "fire9/concat": ("features.12", 0),
        "features.9": ("features.9", 0),
        "classifier": ("classifier", 0),
    },
}


@functools.cache
def reference(name: str) -> nn.Module:
    """The whole network with random weights and batch-norm statistics, torchvision's own if it has it; no VGG heads."""
    options = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    with torch.device("meta"):
        build: Any = GoogLeNetBVLC if name == "googlenet_bvlc" else functools.partial(get_model, name, weights=None)
        network: nn.Module = build(**options)
    if name.startswith("vgg"):
        network.classifier = nn.Identity()
    network.to_empty(device="cpu")
    stream = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=stream)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            for tensor in (module.weight, module.running_var):
                assert tensor is not None
                nn.init.uniform_(tensor, 0.5, 1.5, generator=stream)
        for tensor in (getattr(module, "bias", None), getattr(module, "running_mean", None)):
            if tensor is not None:
                nn.init.normal_(tensor, std=0.1, generator=stream)
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    return network.eval()


def double(name: str) -> nn.Module:
    return copy.deepcopy(reference(name)).double()


def hooked(network: nn.Module, wanted: dict[str, tuple[str, int]], images: Tensor) -> dict[str, Tensor]:
    """What plain forward hooks see."""
    seen: dict[str, list[Tensor]] = {}

    def keep(path: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen.setdefault(path, []).append(output.clone())

        return hook

    hooks = [network.get_submodule(path).register_forward_hook(keep(path)) for path in {p for p, _ in wanted.values()}]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return {layer: seen[path][call] for layer, (path, call) in wanted.items()}


def unfolded(name: str, layers: list[str]) -> Any:
    network = build_network(BACKBONES[name])
    network.load_state_dict(double(name).state_dict(), strict=False, assign=True)
    return cut(network, {layer: resolve_layer(BACKBONES[name], layer) for layer in layers})


def images(size_px: int = 96, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 3, size_px, size_px, dtype=dtype, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", BACKBONES)
def test_every_kind_of_name_gives_what_a_hook_on_the_whole_network_sees(name: str) -> None:
    expected = hooked(double(name), LAYERS[name], images())
    with torch.no_grad():
        found = unfolded(name, list(LAYERS[name]))(images())
    assert list(found) == list(LAYERS[name])
    for layer, value in expected.items():
        assert value.std() > 1e-3  # a dead layer would prove nothing
        torch.testing.assert_close(found[layer], value, rtol=1e-10, atol=1e-10)


def test_the_sum_of_a_resnet_block_is_before_its_relu() -> None:
    with torch.no_grad():
        found = unfolded("resnet50", ["conv4_block6_add", "conv4_block6_out"])(images(64))
    assert found["conv4_block6_add"].min() < 0
    assert torch.equal(found["conv4_block6_add"].relu(), found["conv4_block6_out"])


@pytest.mark.parametrize("name", BACKBONES)
def test_folding_batch_norm_changes_nothing(name: str) -> None:
    layers = list(LAYERS[name])
    plain, folded = unfolded(name, layers), unfolded(name, layers)
    fold_batch_norm(folded)
    with torch.no_grad():
        expected, found = plain(images()), folded(images())
    for layer in layers:
        torch.testing.assert_close(found[layer], expected[layer], rtol=1e-10, atol=1e-10)
    # A convolution that was asked for keeps its batch norm, all others have lost theirs.
    count = sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert count == {"resnet50": 2, "inception_v3": 1, "mobilenet_v2": 2}.get(name, 0)


@pytest.mark.parametrize("name", BACKBONES)
def test_load_from_a_file_agrees_with_the_whole_network(name: str, tmp_path: Path) -> None:
    save_file(reference(name).state_dict(), tmp_path / "w.safetensors")
    found = load_extractor(name, list(LAYERS[name]), weights=tmp_path / "w.safetensors")
    expected = hooked(reference(name), LAYERS[name], images(dtype=torch.float32))
    for layer, value in found(images(dtype=torch.float32)).items():
        assert value.dtype == torch.float32
        error = (value - expected[layer]).norm() / expected[layer].norm()
        assert error < 1e-4, f"{layer}: {error}"  # rounding only: the float64 tests above are the exact ones
    assert found.weights_name == "w.safetensors"
    assert len(found.weights_sha256) == 64


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_only_torchvisions_own_file_transforms_its_input(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, layer = tmp_path / "w.safetensors", {"inception_v3": "mixed2", "googlenet": "inception_4a"}[name]
    save_file(reference(name).state_dict(), path)
    x = images(dtype=torch.float32)
    plain = load_extractor(name, [layer], weights=path)(x)[layer]
    monkeypatch.setattr(weights, "_published_hash", lambda spec: weights._sha256(path)[:8])
    published = load_extractor(name, [layer], weights=path)(x)[layer]
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    signed = (x * std + mean) * 2 - 1
    assert (published - plain).norm() / plain.norm() > 0.1
    monkeypatch.undo()
    again = load_extractor(name, [layer], weights=path)(signed)[layer]
    torch.testing.assert_close(published, again, rtol=1e-3, atol=1e-4)


def test_nothing_past_the_deepest_layer_remains_and_all_is_frozen() -> None:
    extractor = load_extractor("vgg16", ["relu1_1", "conv2_1"], weights="random")
    assert {name.rpartition(".")[0] for name, _ in extractor.named_parameters()} == {
        f"network.features.{i}" for i in (0, 2, 5)
    }
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    assert extractor.nodes == ("features.1", "features.5")
    weight = extractor.network.get_parameter("features.5.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    modules = dict(load_extractor("inception_v3", ["mixed4"], weights="random").named_modules())
    assert "network.Mixed_6b" in modules
    assert not any(name.startswith(("network.Mixed_6c", "network.fc", "network.Aux")) for name in modules)


def test_nothing_is_done_in_place() -> None:
    extractor = load_extractor("vgg16", ["features.0", "conv1_1", "relu1_1", "relu2_2"], weights="random")
    x = images(64, torch.float32)
    kept = x.clone()
    found = extractor(x)
    assert found["features.0"].min() < 0
    assert torch.equal(found["conv1_1"].relu(), found["relu1_1"])
    assert torch.equal(x, kept)


def test_gradients_reach_the_picture_only() -> None:
    extractor = load_extractor("squeezenet", ["fire4"], weights="random")
    x = images(64, torch.float32).requires_grad_()
    extractor(x)["fire4"].square().mean().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in extractor.parameters())


def test_random_weights_do_not_depend_on_the_depth_nor_on_the_callers_seed() -> None:
    shallow = load_extractor("resnet50", ["layer1"], weights="random")
    torch.manual_seed(7)
    before = torch.get_rng_state()
    deep = load_extractor("resnet50", ["layer1", "layer2"], weights="random")
    assert torch.equal(torch.get_rng_state(), before)
    x = images(64, torch.float32)
    torch.testing.assert_close(shallow(x)["layer1"], deep(x)["layer1"])
    assert shallow.weights_name == "random"


def test_it_can_be_copied_made_double_and_stays_in_evaluation_mode() -> None:
    extractor = load_extractor("mobilenet_v2", ["classifier", "block_2_add"], weights="random")
    twin = copy.deepcopy(extractor).double().to("cpu").train()
    assert isinstance(twin, Extractor)
    assert not any(module.training for module in twin.modules())
    assert twin.layers == extractor.layers
    x = images(64)
    once, again, single = twin(x), twin(x), extractor(x.float())
    for layer in twin.layers:
        assert once[layer].dtype == torch.float64
        assert torch.equal(once[layer], again[layer])  # no dropout
        torch.testing.assert_close(single[layer].double(), once[layer], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "layer", "min_size_px"),
    [
        ("vgg16", "relu4_3", 8),
        ("inception_v3", "mixed10", 75),
        ("squeezenet1_1", "fire9", 17),
        ("resnet50", "fc", 1),
        ("googlenet_bvlc", "inception_4c", 15),
    ],
)
def test_the_smallest_size_is_found_and_held(name: str, layer: str, min_size_px: int) -> None:
    extractor = load_extractor(name, [layer], weights="random")
    assert extractor.min_size_px == min_size_px
    assert extractor(images(min_size_px, torch.float32))[layer].numel() > 0
    if min_size_px > 1:
        with pytest.raises(ValueError, match=f"{name} needs {min_size_px} px") as error:
            extractor(images(min_size_px, torch.float32)[..., 1:])
        assert not isinstance(error.value, UserError)
        with pytest.raises(RuntimeError):  # without the check the network itself would fail
            extractor.network(images(min_size_px - 1, torch.float32))


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 4, 64, 64), (1, 1, 64, 64)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    extractor = load_extractor("squeezenet", ["fire2"], weights="random")
    with pytest.raises(ValueError, match=r"images must be floating \(B, 3, H, W\)"):
        extractor(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"torch\.uint8"):
        extractor(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_no_layer_at_all_is_refused() -> None:
    with pytest.raises(UserError, match="no layer of vgg16 is named"):
        load_extractor("vgg16", [], weights="random")


def test_a_file_may_be_deleted_once_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(reference("squeezenet1_1").state_dict(), path)
    extractor = load_extractor("squeezenet", ["fire9"], weights=path)
    x = images(64, torch.float32)
    before = extractor(x)["fire9"]
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(extractor(x)["fire9"], before)


@pytest.mark.parametrize(
    ("name", "layer", "file"),
    [
        ("vgg16", "relu4_3", "vgg16_features.fp16.safetensors"),
        ("inception_v3", "mixed7", "inception_v3_to_mixed_7a.fp16.safetensors"),
        ("squeezenet1_1", "fire9/concat", "squeezenet1_1_features.fp16.safetensors"),
    ],
)
def test_real_weights_see_something_in_a_real_photo(shared_dir: Path, name: str, layer: str, file: str) -> None:
    photo_path = next(iter(sorted((shared_dir / "natural_images" / "cat").iterdir())))
    photo = Image.open(photo_path).convert("RGB").resize((128, 128))
    unit = torch.tensor(list(photo.tobytes()), dtype=torch.float32).view(1, 128, 128, 3).movedim(-1, 1) / 255
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    extractor = load_extractor(name, [layer], weights=shared_dir / "weights" / file)
    activation = extractor((unit - mean) / std)[layer]
    assert activation.isfinite().all()
    assert activation.min() >= 0
    active = (activation > 0).float()
    assert 0.02 < active.mean() < 0.75  # sparse
    assert (active.mean((0, 2, 3)) > 0).float().mean() > 0.5  # but most maps answer somewhere


def test_a_layer_that_the_file_does_not_reach_is_refused_by_name(shared_dir: Path) -> None:
    path = shared_dir / "weights" / "inception_v3_to_mixed_7a.fp16.safetensors"
    assert load_extractor("inception_v3", ["mixed7"], weights=path).min_size_px == 43
    expected = f"layer 'mixed9' needs the weights of Mixed_7b, which {path.name} lacks"
    with pytest.raises(UserError, match=expected):
        load_extractor("inception_v3", ["mixed7", "mixed9"], weights=path)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_has_a_head_with_one_value_per_class(name: str) -> None:
    spec = BACKBONES[name]
    network = cut(build_network(spec, classes=365), {"head": resolve_layer(spec, "head")})
    logits = network(torch.empty(2, 3, 224, 224, device="meta"))["head"]
    assert logits.shape == ((2, 365, 13, 13) if name == "squeezenet1_1" else (2, 365))


@pytest.mark.parametrize("name", [name for name in BACKBONES if not name.startswith(("vgg", "squeezenet"))])
def test_the_head_gives_the_networks_own_answer(name: str) -> None:
    with torch.no_grad():
        expected, found = double(name)(images()), unfolded(name, ["head"])(images())["head"]
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_the_head_of_squeezenet_is_before_its_relu() -> None:
    with torch.no_grad():
        found, answer = unfolded("squeezenet1_1", ["head"])(images())["head"], double("squeezenet1_1")(images())
    assert found.min() < 0
    torch.testing.assert_close(found.relu().mean((2, 3)), answer, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "layer", "lacking", "needed"),
    [
        ("googlenet_bvlc", "loss3/classifier", "fc.", "fc"),
        ("mobilenet_v2", "classifier.1", "classifier.", "classifier"),
    ],
)
def test_a_file_without_a_head_is_refused_where_the_head_is_wanted(
    name: str, layer: str, lacking: str, needed: str, tmp_path: Path
) -> None:
    state = {key: value for key, value in reference(name).state_dict().items() if not key.startswith(lacking)}
    save_file(state, tmp_path / "w.safetensors")
    early = "features.3" if name == "mobilenet_v2" else "conv1"
    for head in ("head", layer):
        expected = f"layer '{head}' needs the weights of {needed}, which w.safetensors lacks"
        with pytest.raises(UserError, match=expected):
            load_extractor(name, [early, head], weights=tmp_path / "w.safetensors")


def test_widths_are_those_of_the_answers(tmp_path: Path) -> None:
    state = reference("mobilenet_v2").state_dict()
    state |= {"classifier.1.weight": torch.zeros(7, 1280), "classifier.1.bias": torch.zeros(7)}
    save_file(state, tmp_path / "w.safetensors")
    layers = ["head", "flatten", "block_6_expand_relu", "features.0", "block_2_add"]
    extractor = load_extractor("mobilenet_v2", layers, weights=tmp_path / "w.safetensors")
    found = extractor(images(64, torch.float32))
    assert extractor.widths == {layer: found[layer].shape[1] for layer in layers}
    assert list(extractor.widths.values()) == [7, 1280, 192, 32, 24]


# Backbone → a layer, and how many batch norms it takes to get there.
NORMS = {
    "resnet50": ("layer1", 1 + 3 * 3 + 1),
    "inception_v3": ("mixed0", 5 + 7),
    "googlenet": ("inception_3a", 3 + 6),
    "mobilenet_v2": ("block_2_add", 2 + 1 + 3 + 3),
}


@pytest.mark.parametrize("name", NORMS)
def test_exposed_batch_norms_give_their_inputs_and_statistics_and_change_no_layer(name: str, tmp_path: Path) -> None:
    layer, count = NORMS[name]
    network = double(name)
    save_file(reference(name).state_dict(), tmp_path / "w.safetensors")
    extractor = load_extractor(name, [layer, "head"], weights=tmp_path / "w.safetensors", batch_norms=True).double()
    shallow = load_extractor(name, [layer], weights=tmp_path / "w.safetensors", batch_norms=True).double()

    inputs: dict[str, Tensor] = {}

    def keep(path: str) -> Any:
        def hook(module: nn.Module, seen: tuple[Tensor, ...]) -> None:
            inputs[f"bn:{path}"] = seen[0].clone()

        return hook

    for path, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(keep(path))
    expected = hooked(network, {"head": (BACKBONES[name].head, 0)}, images())
    with torch.no_grad():
        found, plain = extractor(images()), unfolded(name, [layer, "head"])(images())

    # All that the whole network runs in evaluation mode (so not the auxiliary heads), in the order of running.
    assert list(inputs) == [f"bn:{path}" for path in extractor.batch_norm_statistics]
    assert list(shallow.batch_norm_statistics) == list(extractor.batch_norm_statistics)[:count]
    assert extractor.layers == (layer, "head")
    assert set(found) == {layer, "head", *inputs}
    assert set(extractor.widths) == set(extractor.layers_by_depth) == {layer, "head"}
    for key, value in {**plain, **expected, **inputs}.items():
        torch.testing.assert_close(found[key], value, rtol=1e-10, atol=1e-10)
    for path, (mean, variance) in extractor.batch_norm_statistics.items():
        assert torch.equal(mean, network.get_buffer(f"{path}.running_mean"))
        assert torch.equal(variance, network.get_buffer(f"{path}.running_var"))
        assert mean.dtype == torch.float64
        assert mean.shape == (inputs[f"bn:{path}"].shape[1],)


@pytest.mark.parametrize("name", NORMS)
def test_exposing_batch_norms_changes_nothing_that_folding_answers(name: str) -> None:
    layer = NORMS[name][0]
    folded, exposed = unfolded(name, [layer]), unfolded(name, [layer])
    expose_batch_norms(exposed)
    fold_batch_norm(folded)
    fold_batch_norm(exposed)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.no_grad():
        torch.testing.assert_close(exposed(images())[layer], folded(images())[layer], rtol=1e-10, atol=1e-10)


def test_gradients_of_exposed_batch_norms_reach_the_picture() -> None:
    extractor = load_extractor("mobilenet_v2", ["block_2_add"], weights="random", batch_norms=True)
    twin = copy.deepcopy(extractor).double()
    x = images(64).requires_grad_()
    path = list(twin.batch_norm_statistics)[-1]
    twin(x)[f"bn:{path}"].square().mean().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert twin.batch_norm_statistics[path][0].dtype == torch.float64
    assert extractor.batch_norm_statistics[path][0].dtype == torch.float32
    assert load_extractor("mobilenet_v2", ["block_2_add"], weights="random").batch_norm_statistics == {}


@pytest.mark.parametrize(
    ("name", "layers", "deepest"),
    [
        ("vgg16", ["relu4_3", "relu3_3"], "relu4_3"),
        ("squeezenet1_1", ["fire9"], "fire9"),
        ("googlenet_bvlc", ["inception_4c/output"], "inception_4c/output"),
        ("resnet50", ["conv1"], "conv1"),
    ],
)
def test_networks_without_batch_norm_have_none_to_expose(name: str, layers: list[str], deepest: str) -> None:
    another = r"take another backbone \(resnet50, inception_v3, googlenet, mobilenet_v2\)"
    way_out = "take a deeper layer" if name == "resnet50" else another
    expected = f"^{name} has no batch norm up to '{deepest}'; {way_out} or leave batch norms out$"
    with pytest.raises(UserError, match=expected):
        load_extractor(name, layers, weights="random", batch_norms=True)


FOLDED = "the batch norms in {} were folded into its convolutions, their statistics are lost: give a file of {} "


def test_folded_batch_norms_of_a_file_are_refused_where_their_statistics_are_wanted(tmp_path: Path) -> None:
    state = reference("resnet50").state_dict()
    for key, value in state.items():
        if key.endswith("running_mean"):
            state[key] = torch.zeros_like(value)
        elif key.endswith("running_var"):
            state[key] = torch.full_like(value, 0.999)
    save_file(state, tmp_path / "w.safetensors")
    load_extractor("resnet50", ["layer1"], weights=tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=FOLDED.format("w.safetensors", "resnet50")):
        load_extractor("resnet50", ["layer1"], weights=tmp_path / "w.safetensors", batch_norms=True)
    # One norm that was not folded is enough to say something.
    save_file(state | {"bn1.running_mean": torch.linspace(-1, 1, 64)}, tmp_path / "w.safetensors")
    extractor = load_extractor("resnet50", ["layer1"], weights=tmp_path / "w.safetensors", batch_norms=True)
    assert len(extractor.batch_norm_statistics) == 11


def test_the_folded_batch_norms_of_the_real_inception_are_refused(shared_dir: Path) -> None:
    path = shared_dir / "weights" / "inception_v3_to_mixed_7a.fp16.safetensors"
    with pytest.raises(UserError, match=FOLDED.format(path.name, "inception_v3")):
        load_extractor("inception_v3", ["mixed5"], weights=path, batch_norms=True)


def test_the_head_that_the_real_vgg16_lacks_is_named(shared_dir: Path) -> None:
    path = shared_dir / "weights" / "vgg16_features.fp16.safetensors"
    expected = f"layer 'head' needs the weights of classifier, which {path.name} lacks"
    with pytest.raises(UserError, match=expected):
        load_extractor("vgg16", ["relu4_3", "head"], weights=path)
