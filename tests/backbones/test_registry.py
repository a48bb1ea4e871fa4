import pytest

from dreamgan.backbones.registry import BACKBONES, get_spec, layer_table, resolve_layer
from dreamgan.errors import UserError


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("VGG16", "vgg16"),
        ("vgg_19", "vgg19"),
        ("ResNet-50", "resnet50"),
        ("InceptionV3", "inception_v3"),
        ("GoogLeNet", "googlenet"),
        ("MobileNetV2", "mobilenet_v2"),
        ("squeezenet", "squeezenet1_1"),
        ("SqueezeNet1.1", "squeezenet1_1"),
        ("GoogLeNet-BVLC", "googlenet_bvlc"),
        ("bvlc_googlenet", "googlenet_bvlc"),
    ],
)
def test_likely_spellings_of_backbones(spelling: str, name: str) -> None:
    assert get_spec(spelling).name == name


def test_a_wrong_backbone_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"backbone 'vgg17' is not known; nearest: .*'vgg16'") as error:
        get_spec("vgg17")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_alias_has_a_node_and_none_hides_one(name: str) -> None:
    spec, table = BACKBONES[name], layer_table(name)
    nodes = set(table.values())
    assert nodes.isdisjoint(spec.aliases)
    assert {table[alias] for alias in spec.aliases} <= nodes
    assert all(resolve_layer(spec, layer) == node for layer, node in table.items())
    assert len({layer.lower() for layer in table}) == len(table)  # so case may be ignored


@pytest.mark.parametrize("name", [name for name, spec in BACKBONES.items() if spec.builder is None])
def test_every_node_name_of_torchvision_resolves(name: str) -> None:
    import torch
    from torchvision.models import get_model
    from torchvision.models.feature_extraction import get_graph_node_names

    spec = BACKBONES[name]
    options = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    with torch.device("meta"):
        network = get_model(name, weights=None, **options).eval()
    for node in get_graph_node_names(network, suppress_diff_warning=True)[1][1:]:
        resolved = resolve_layer(spec, node)
        assert resolved == node or resolved.startswith(f"{node}.")


@pytest.mark.parametrize(
    ("name", "layer", "node"),
    [
        ("vgg19", "block5_conv4", "features.35"),
        ("resnet50", "layer3[5]", "layer3.5.relu_2"),
        ("resnet50", "layer3", "layer3.5.relu_2"),
        ("resnet50", "layer3.5.relu", "layer3.5.relu"),
        ("inception_v3", "Mixed5", "Mixed_6c.cat"),
        ("googlenet", "inception_4c/output", "inception4c.cat"),
        ("googlenet_bvlc", "inception_4c/output", "inception4c.cat"),
        ("googlenet_bvlc", "inception_4c/3x3_reduce", "inception4c.branch2.0.relu"),
        ("googlenet_bvlc", "inception_4c/relu_3x3_reduce", "inception4c.branch2.0.relu"),
        ("googlenet_bvlc", "conv2/norm2", "norm2.mul_1"),
        ("mobilenet_v2", "out_relu", "features.18.2"),
        ("mobilenet_v2", "head", "classifier.1"),
        ("squeezenet1_1", "Head", "classifier.1"),
    ],
)
def test_nodes_of_some_layers(name: str, layer: str, node: str) -> None:
    assert resolve_layer(BACKBONES[name], layer) == node


@pytest.mark.parametrize(
    ("name", "layer", "nearest"),
    [
        ("inception_v3", "mixed4x", "'mixed4'"),
        ("inception_v3", "mixed11", "'mixed10', 'mixed9', 'mixed8'"),
        ("vgg16", "relu4_5", "'relu4_3', 'relu4_2', 'relu4_1'"),
        ("vgg16", "block4_conv7", "'block4_conv3', 'block4_conv2', 'block4_conv1'"),
        ("resnet50", "layer3[6]", "'layer3.5', 'layer3.4', 'layer3.3'"),
        ("googlenet", "inception_4f", "'inception_4a', 'inception_4b', 'inception_4c'"),
        ("googlenet_bvlc", "conv2/norm1", "'conv2/norm2'"),
        ("mobilenet_v2", "block_6_add", "'block_5_add', 'block_7_add'"),  # block 6 halves the size: no sum
    ],
)
def test_a_wrong_layer_names_the_nearest_in_its_vocabulary(name: str, layer: str, nearest: str) -> None:
    with pytest.raises(UserError) as error:
        resolve_layer(BACKBONES[name], layer)
    assert str(error.value).startswith(f"layer {layer!r} is not in {name}; nearest: {nearest}")
    assert "\n" not in str(error.value)


def test_a_layer_of_another_backbone_names_that_backbone() -> None:
    with pytest.raises(UserError, match=r"'mixed5' is not in vgg16 \(it is one of inception_v3\)"):
        resolve_layer(BACKBONES["vgg16"], "mixed5")
