"""A head over pooled layers: exported, read back, dreamed from; and the part of a network after a layer."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dreamgan.backbones.features import cut, init_random, load_extractor, load_network
from dreamgan.backbones.pooled import part_after, pool
from dreamgan.backbones.registry import BACKBONES, resolve_layer
from dreamgan.backbones.weights import WeightsFile, load_state, save_backbone
from dreamgan.dream.objectives import parse_objective
from dreamgan.dream.scoring import check_objective
from dreamgan.errors import UserError

LAYERS = ("fire6/concat", "fire9/concat")
NAMES = ("red fox", "tench", "arctic fox")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """SqueezeNet with random features and a head of three classes over two of its layers."""
    spec = BACKBONES["squeezenet1_1"]
    found = load_state(spec, "random")
    full = load_network(spec, found)
    init_random(full.get_submodule("features"))
    state = {key: value for key, value in full.state_dict().items() if not value.is_meta}
    stream = torch.Generator().manual_seed(1)
    state |= {"pooled_head.weight": torch.randn(3, 896, generator=stream), "pooled_head.bias": torch.ones(3)}
    path = tmp_path / "backbone.safetensors"
    save_backbone(path, state, pooled=[resolve_layer(spec, layer) for layer in LAYERS], class_names=NAMES)
    return path


@pytest.mark.parametrize("backbone", ["squeezenet1_1", "mobilenet_v2", "resnet50", "inception_v3", "googlenet_bvlc"])
def test_the_part_after_a_layer_goes_on_where_the_other_ends(backbone: str) -> None:
    at, deep = {
        "squeezenet1_1": ("features.9", "features.12"),
        "mobilenet_v2": ("features.14", "features.18"),
        "resnet50": ("layer3", "layer4"),
        "inception_v3": ("mixed7", "mixed8"),
        "googlenet_bvlc": ("inception_4e", "inception_5b"),
    }[backbone]
    spec = BACKBONES[backbone]
    nodes = {deep: resolve_layer(spec, deep)}
    full = load_network(spec, WeightsFile(None, "random", ""))
    init_random(cut(full, nodes))
    tail = part_after(cut(full, nodes), resolve_layer(spec, at), full, nodes)
    whole = load_extractor(backbone, [at, deep], weights="random")
    with torch.no_grad():
        answers = whole(torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)))
        again = tail(answers[at])[deep]
    torch.testing.assert_close(again, answers[deep], rtol=1e-4, atol=1e-4 * float(answers[deep].abs().max()))


def test_a_layer_that_a_way_leads_around_is_refused() -> None:
    spec = BACKBONES["resnet50"]
    full = load_network(spec, WeightsFile(None, "random", ""))
    nodes = {"layer4": "layer4.2.relu_2"}
    with pytest.raises(UserError, match="come after 'layer4.2.conv1' by no other way"):
        part_after(cut(full, nodes), "layer4.2.conv1", full, nodes)


def test_the_head_is_the_mean_of_maps_times_its_weights(exported: Path) -> None:
    extractor = load_extractor("squeezenet1_1", ["head", *LAYERS], weights=exported)
    assert extractor.class_names == NAMES
    assert extractor.widths["head"] == 3
    answers = extractor(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    state = load_file(exported)
    expected = pool([answers[layer] for layer in LAYERS]) @ state["pooled_head.weight"].T + 1
    torch.testing.assert_close(answers["head"], expected)


def test_classes_go_by_their_own_names(exported: Path) -> None:
    extractor = load_extractor("squeezenet1_1", ["head"], weights=exported)
    check_objective(parse_objective("class(red) + class(2)"), extractor)
    for text, said in (
        ("class(tabby)", "is not one of this network's; nearest: "),
        ("class(fox)", r"may mean 'red fox' \(0\), 'arctic fox' \(2\)"),
        ("class(3)", "give an index from 0 to 2"),
    ):
        with pytest.raises(UserError, match=said):
            check_objective(parse_objective(text), extractor)


def test_names_beside_a_checkpoint_of_somebody_elses(tmp_path: Path, exported: Path) -> None:
    state = {key: value for key, value in load_file(exported).items() if not key.startswith("pooled_head")}
    state |= {"classifier.1.weight": torch.randn(2, 512, 1, 1), "classifier.1.bias": torch.zeros(2)}
    torch.save({"state_dict": state}, tmp_path / "mine.pth")
    (tmp_path / "mine.classes.json").write_text(json.dumps(["cats", "dogs"]))
    extractor = load_extractor("squeezenet1_1", ["head"], weights=tmp_path / "mine.pth")
    check_objective(parse_objective("class(dogs)"), extractor)
    for content, said in (
        ('["cats"]', "has 2 classes, and 1 names are given"),
        ('{"cats": 0}', "is not a JSON list of the names"),
        ("cats", "is not a JSON list of the names"),
    ):
        (tmp_path / "mine.classes.json").write_text(content)
        with pytest.raises(UserError, match=said):
            load_extractor("squeezenet1_1", ["head"], weights=tmp_path / "mine.pth")


def test_a_file_whose_head_does_not_say_what_it_sees(tmp_path: Path, exported: Path) -> None:
    save_file(load_file(exported), tmp_path / "bare.safetensors")
    with pytest.raises(UserError, match="does not say which layers of squeezenet1_1 its head sees"):
        load_extractor("squeezenet1_1", ["head"], weights=tmp_path / "bare.safetensors")


def test_a_file_of_another_architecture(exported: Path) -> None:
    with pytest.raises(UserError, match="does not fit vgg16; it fits squeezenet1_1"):
        load_extractor("vgg16", ["head"], weights=exported)
