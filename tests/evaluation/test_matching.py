import dataclasses
import json
from typing import Any

import pytest

from dreamgan.errors import UserError
from dreamgan.evaluation.matching import check_styles, style_of, trained_strength
from tests.finished_dataset import BACKBONE, RANDOM_SHA256, recipe_of

GUIDES = {"bees": "cd" * 32}
PAIR = {
    "recipe": "bold",
    "recipe_json": recipe_of("bold").to_json(),
    "backbone": BACKBONE,
    "weights_sha256": RANDOM_SHA256,
    "guides": json.dumps(GUIDES),
}
LONGER = dataclasses.replace(recipe_of("bold"), steps=(3,)).to_json()


def test_a_style_fits_pairs_of_its_recipe_whatever_their_name() -> None:
    renamed = {**PAIR, "recipe": "calm", "recipe_json": dataclasses.replace(recipe_of("bold"), name="calm").to_json()}
    assert style_of({"bold": PAIR}, PAIR) == ("bold", "")
    assert style_of({"bold": PAIR}, renamed) == ("bold", "")
    # The name of another style does not count.
    assert style_of({"calm": {**PAIR, "recipe_json": LONGER}, "bold": PAIR}, renamed) == ("bold", "")
    # Nor does the order of names and blanks in the guides' text.
    assert style_of({"bold": {**PAIR, "guides": json.dumps(GUIDES, indent=2)}}, PAIR) == ("bold", "")


def test_of_styles_that_dream_alike_the_one_of_that_name_is_taken() -> None:
    styles = {"calm": PAIR, "bold": PAIR}
    assert style_of(styles, PAIR) == ("bold", "")
    assert style_of(styles, {**PAIR, "recipe": "other"}) == ("calm", "")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"backbone": "vgg16"}, "is of the backbone vgg16"),
        ({"weights_sha256": "ab" * 32}, "was dreamed with other weights (sha256 abababababab…)"),
        ({"guides": json.dumps({"bees": "ab" * 32})}, "was dreamed with another guide (bees)"),
        ({"guides": "{}"}, "was dreamed with another guide (none)"),
        (
            {"recipe_json": dataclasses.replace(recipe_of("bold"), steps=(3,), octaves=2).to_json()},
            "is another recipe (octaves, steps)",
        ),
    ],
)
def test_a_style_does_not_fit(changed: dict[str, Any], said: str) -> None:
    assert style_of({"bold": PAIR}, {**PAIR, **changed}) == (None, said)


def test_the_nearest_reason_is_said() -> None:
    far = {**PAIR, "backbone": "vgg16"}
    near = {**PAIR, "recipe_json": LONGER}
    nearer = {**PAIR, "guides": "{}"}
    assert style_of({"far": far, "near": near}, PAIR) == (None, "is another recipe (steps); nearest style: near")
    assert style_of({"near": near, "nearer": nearer, "far": far}, PAIR)[1].endswith("; nearest style: nearer")


@pytest.mark.parametrize("key", ["recipe_json", "backbone", "weights_sha256"])
def test_a_style_that_does_not_say_what_it_learnt_is_refused(key: str) -> None:
    facts = {name: value for name, value in PAIR.items() if name != key}
    with pytest.raises(UserError, match=rf"'runs/g' does not say what it learnt \({key}\) as 'calm'; train it again"):
        check_styles("runs/g", {"bold": PAIR, "calm": facts})


@pytest.mark.parametrize(
    "changed",
    [
        *({"recipe_json": "{}"}, {"guides": "["}, {"guides": "[]"}),
        *({"labels": "cat"}, {"labels": [1]}, {"strengths": 1.0}, {"strengths": ["all"]}),
    ],
)
def test_a_style_of_another_version_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="'runs/g' is of another version: .*; train it again"):
        check_styles("runs/g", {"bold": {**PAIR, **changed}})


def test_strengths_that_were_trained() -> None:
    assert trained_strength({"strengths": [0.3, 1.0]}, 0.1 + 0.2)
    assert not trained_strength({"strengths": [0.3, 1.0]}, 0.5)
    assert trained_strength({}, 1.0)  # a generator that does not say learnt whole dreams
    assert not trained_strength({}, 0.5)
