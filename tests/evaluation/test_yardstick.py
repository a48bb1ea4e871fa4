import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dreamgan.backbones.files import named_files
from dreamgan.dream import DreamRecipe
from dreamgan.dream.objectives import parse_objective
from dreamgan.errors import UserError
from dreamgan.evaluation.yardstick import Yardstick, load_yardstick
from dreamgan.metrics import Referee
from tests.finished_dataset import BACKBONE, LAYER, RANDOM_SHA256, picture, recipe_of


def pair_of(recipe: DreamRecipe, **changes: Any) -> dict[str, Any]:
    return {
        "recipe": "bold",
        "recipe_json": recipe.to_json(),
        "backbone": BACKBONE,
        "weights": "random",
        "weights_sha256": RANDOM_SHA256,
        "guides": "{}",
        **changes,
    }


def load(pair: dict[str, Any], dataset: Path, weights: str | None = None) -> Yardstick:
    referees: dict[str, tuple[Referee | None, str]] = {"vgg16": (None, "not wanted here")}
    files = named_files(weights, "weights")
    return load_yardstick(pair, str(dataset), files, lambda network: None, referees, torch.device("cpu"))


def test_files_by_name(tmp_path: Path) -> None:
    assert named_files(None, "weights")("vgg16") is None
    assert named_files("a.pth", "weights")("vgg16") == "a.pth"
    several = named_files("vgg16=a.pth, inception_v3 = b=c.pth", "weights")
    assert [several(name) for name in ("vgg16", "inception_v3", "resnet50")] == ["a.pth", "b=c.pth", None]
    file = tmp_path / "epoch=3.pth"
    file.touch()
    assert named_files(str(file), "weights")("vgg16") == str(file)


@pytest.mark.parametrize("text", ["vgg16=a.pth,b.pth", "=a.pth", "vgg16=", "vgg16=a.pth,"])
def test_a_part_without_name_or_file_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--weights: .* is not NETWORK=FILE"):
        named_files(text, "weights")


def test_random_weights_need_no_file(tmp_path: Path) -> None:
    yardstick = load(pair_of(recipe_of("bold")), tmp_path)
    assert yardstick.recipe == recipe_of("bold")
    assert yardstick.layer == LAYER
    assert yardstick.guides == {}
    assert (yardstick.referee, yardstick.no_referee) == (None, "not wanted here")


def test_other_weights_than_those_of_the_dataset_are_refused(tmp_path: Path) -> None:
    pair = pair_of(recipe_of("bold"), weights="mine.pth", weights_sha256="ab" * 32)
    with pytest.raises(UserError) as caught:
        load(pair, tmp_path, weights="squeezenet1_1=random")
    message = str(caught.value)
    assert "\n" not in message
    for said in ("'bold'", "abababababab", "mine.pth", RANDOM_SHA256[:12], "--weights squeezenet1_1=FILE"):
        assert said in message


def test_a_guide_is_read_from_the_dataset_and_checked(tmp_path: Path) -> None:
    recipe = dataclasses.replace(recipe_of("bold"), objective=parse_objective(f"guided({LAYER}, bees)"))
    guide = picture(1)
    pair = pair_of(recipe, guides=json.dumps({"bees": hashlib.sha256(guide.tobytes()).hexdigest()}))
    with pytest.raises(UserError, match=r"bold-bees\.png' of the dataset does not exist"):
        load(pair, tmp_path)
    (tmp_path / "guides").mkdir()
    guide.save(tmp_path / "guides" / "bold-bees.png")
    assert load(pair, tmp_path).guides["bees"].shape == (1, 3, 32, 32)
    Image.new("RGB", (32, 32)).save(tmp_path / "guides" / "bold-bees.png")
    with pytest.raises(UserError, match="is not the guide that 'bold' was dreamed with"):
        load(pair, tmp_path)
