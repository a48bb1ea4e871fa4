"""The kinds of dream in one or several datasets, and their rows."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from dreamgan.data.pairs import Pair
from dreamgan.data.styles import find_styles, rows_of
from dreamgan.errors import UserError
from dreamgan.images import save_png
from tests.data.pair_files import SIDE, build, pair, values


def eyes_and_fur(folder: Path) -> str:
    ways = [("eyes", 1.0), ("fur", 1.0), ("eyes", 0.5), ("eyes", 1.0), ("fur", 1.0)]
    train = [pair(number, recipe=recipe, strength=strength) for number, (recipe, strength) in enumerate(ways)]
    return build(folder, train, [pair(9, recipe="fur"), pair(10, recipe="fur", strength=0.5)])


def test_facts_say_what_was_dreamed(tmp_path: Path) -> None:
    (style,) = find_styles([build(tmp_path, [pair(number) for number in range(3)], [])])
    assert style.name == "distillable"
    assert style.guides == {}
    assert style.facts == {
        "recipe": "distillable",
        "recipe_json": '{"octaves": 3}',
        "backbone": "squeezenet1_1",
        "layers": ["features.9", "features.12"],
        "weights": "mine",
        "weights_sha256": "cd" * 32,
        "guides": "{}",
        "seed": 0,
        "size_px": SIDE,
        "strengths": [1.0],
        "labels": [""],
    }
    json.dumps(style.facts)


def test_every_recipe_is_a_style_with_all_its_strengths(tmp_path: Path) -> None:
    dataset = eyes_and_fur(tmp_path)
    eyes, fur = find_styles([dataset])
    assert (eyes.name, fur.name) == ("eyes", "fur")
    assert eyes.facts["strengths"] == [0.5, 1.0]
    assert fur.facts["strengths"] == [1.0]
    # Those wanted, in the order in which they are wanted.
    assert [style.name for style in find_styles([dataset], ["fur", "eyes"])] == ["fur", "eyes"]
    assert [style.name for style in find_styles([dataset], ["fur"])] == ["fur"]


def test_rows_of_a_style(tmp_path: Path) -> None:
    dataset = eyes_and_fur(tmp_path)
    (part,) = rows_of("eyes", [dataset], "train")
    assert (part.dataset, part.strengths) == (dataset, (1.0, 0.5, 1.0))
    assert part.rows["photo_id"][:] == ["photo-0", "photo-2", "photo-3"]
    (whole,) = rows_of("eyes", [dataset], "train", 1.0)
    assert whole.rows["photo_id"][:] == ["photo-0", "photo-3"]
    assert rows_of("eyes", [dataset], "test") == []
    (test,) = rows_of("fur", [dataset], "test", 1.0)
    assert test.rows["photo_id"][:] == ["photo-9"]


def test_labels_are_those_of_the_training_pairs_of_the_style(tmp_path: Path) -> None:
    kinds = [("eyes", "dog"), ("fur", "owl"), ("eyes", "cat"), ("eyes", "dog")]
    train = [pair(number, recipe=recipe, label=label) for number, (recipe, label) in enumerate(kinds)]
    dataset = build(tmp_path, train, [pair(9, recipe="eyes", label="newt")], ("cat", "dog", "newt", "owl"))
    eyes, fur = find_styles([dataset])
    assert eyes.facts["labels"] == ["cat", "dog"]
    assert fur.facts["labels"] == ["owl"]


def test_several_datasets_are_taken_together(tmp_path: Path) -> None:
    one = build(tmp_path / "one", [pair(0, label="a"), pair(1, recipe="fur")], [pair(8)], ("a",))
    two = build(tmp_path / "two", [pair(2, strength=0.5, label="b"), pair(3, recipe="scales")], [pair(9)], ("b",))
    styles = find_styles([one, two])
    assert [style.name for style in styles] == ["distillable", "fur", "scales"]
    assert styles[0].facts["strengths"] == [0.5, 1.0]
    assert styles[0].facts["labels"] == ["a", "b"]
    parts = rows_of("distillable", [one, two], "train")
    assert [(part.dataset, part.strengths) for part in parts] == [(one, (1.0,)), (two, (0.5,))]
    assert [part.dataset for part in rows_of("fur", [one, two], "train")] == [one]


def test_guides_come_with_their_style(tmp_path: Path) -> None:
    picture = Image.fromarray(values(7, 0, 40))
    digest = hashlib.sha256(picture.tobytes()).hexdigest()
    dataset = build(tmp_path, [pair(0), pair(1, recipe="petals", guides={"flower": digest})], [])
    with pytest.raises(UserError, match="the guide '.*petals-flower.png' of the dataset"):
        find_styles([dataset])
    assert [style.name for style in find_styles([dataset], ["distillable"])] == ["distillable"]
    save_png(picture, Path(dataset) / "guides" / "petals-flower.png")
    plain, petals = find_styles([dataset])
    assert plain.guides == {}
    assert torch.equal(petals.guides["flower"][0], torch.from_numpy(values(7, 0, 40)).permute(2, 0, 1) / 255)
    assert json.loads(petals.facts["guides"]) == {"flower": digest}


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (pair(1, octaves=4), "recipe_json"),
        (pair(1, backbone="vgg16"), "backbone"),
        (pair(1, weights_sha256="ef" * 32), "weights_sha256"),
    ],
)
def test_one_name_for_two_kinds_of_dream(tmp_path: Path, other: Pair, what: str) -> None:
    one, two = build(tmp_path / "one", [pair(0)], []), build(tmp_path / "two", [other], [])
    with pytest.raises(UserError) as caught:
        find_styles([one, two])
    said = f"{two} and a dataset before it both hold a recipe 'distillable', but with another {what}; make one of them"
    assert str(caught.value).startswith(said)
    # Of no concern where it is not learnt.
    three = build(tmp_path / "three", [other, pair(2, recipe="fur")], [])
    assert [style.name for style in find_styles([one, three], ["fur"])] == ["fur"]


def test_a_dataset_twice_and_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    dataset = eyes_and_fur(tmp_path)
    with pytest.raises(UserError, match="a dataset is given twice in"):
        find_styles([dataset, dataset])
    with pytest.raises(UserError, match="there is no recipe 'scales', only eyes, fur"):
        find_styles([dataset], ["eyes", "scales"])
    with pytest.raises(UserError, match="no dream dataset"):
        find_styles([dataset, str(tmp_path / "nowhere")])
