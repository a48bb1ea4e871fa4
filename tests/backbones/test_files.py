"""Files of weights by the name of their network."""

from pathlib import Path

import pytest

from dreamgan.backbones.files import named_files
from dreamgan.errors import UserError


def test_one_file_is_that_of_every_network(tmp_path: Path) -> None:
    assert named_files(None, "weights")("vgg16") is None
    for text in ("random", "vgg16.safetensors"):
        files = named_files(text, "weights")
        assert files("vgg16") == files("squeezenet1_1") == text


def test_files_by_name() -> None:
    files = named_files("vgg16=a.safetensors, squeezenet1_1 = folder/b.pth,\n inception_v3=random", "weights")
    assert files("vgg16") == "a.safetensors"
    assert files("squeezenet1_1") == "folder/b.pth"
    assert files("inception_v3") == "random"
    assert files("resnet50") is None  # torchvision's own


def test_a_file_with_an_equals_sign_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "lr=1.pth"
    file.touch()
    assert named_files(str(file), "weights")("vgg16") == str(file)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert named_files("~/lr=1.pth", "weights")("vgg16") == "~/lr=1.pth"


@pytest.mark.parametrize(
    ("text", "part"),
    [("vgg16=a,b", "'b'"), ("vgg16=", "'vgg16='"), ("=a", "'=a'"), ("vgg16=a,", "''"), ("vgg16=a,,resnet50=b", "''")],
)
def test_parts_without_name_or_file(text: str, part: str) -> None:
    with pytest.raises(UserError) as caught:
        named_files(text, "model.backbone_weights")
    assert str(caught.value).startswith(f"--model.backbone_weights: {part} is not NETWORK=FILE, like vgg16=")
