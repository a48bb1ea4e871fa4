"""The kinds of dream of a dataset, made ready."""

import hashlib
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dreamgan.errors import UserError
from dreamgan.making.mix import DreamEntry, make_ready

SMALL = {"backbone": "squeezenet1_1", "layers": "features.4", "weights": "random"}


def ready(*entries: dict[str, Any]) -> Any:
    return make_ready([DreamEntry(**{**SMALL, **entry}) for entry in entries], dream_px=40)


def test_an_entry_becomes_a_teacher_and_says_all_of_itself() -> None:
    (kind,) = ready({"recipe": "gordic", "name": "bold", "share": 3, "strengths": [0.5, 1]})
    assert kind.teacher.recipe.name == "bold"
    said = kind.as_dict()
    assert said["name"] == said["recipe"]["name"] == "bold"
    assert (said["share"], said["strengths"], said["backbone"], said["guides"]) == (3, [0.5, 1], "squeezenet1_1", {})
    assert said["recipe"]["objective"] == "l2(features.4)"
    assert said["weights_sha256"] == kind.teacher.extractor.weights_sha256


def test_guides_come_with_their_digest_and_shrunk(tmp_path: Path) -> None:
    Image.effect_noise((200, 100), 60).convert("RGB").save(tmp_path / "bees.png")
    objective = "guided(features.4, bees) + l2(features.4)"
    (kind,) = ready({"layers": None, "objective": objective, "guide": f"bees={tmp_path / 'bees.png'}"})
    assert kind.teacher.guides["bees"].shape == (1, 3, 40, 80)
    assert kind.guides["bees"].size == (80, 40)
    digest = hashlib.sha256(kind.guides["bees"].tobytes()).hexdigest()
    assert kind.as_dict()["guides"] == kind.teacher.guide_sha256 == {"bees": digest}


def test_a_recipe_without_shifts_leaves_nothing_to_the_seed() -> None:
    kinds = ready({"recipe": "tutorial"}, {"recipe": "tutorial_tiled"}, {"recipe": "gordic"}, {})
    assert [kind.depends_on_seed for kind in kinds] == [False, True, True, True]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{}, {}], "two dreams are called 'distillable'; give each a name of its own"),
        ([{"name": "a/b"}], "the dream's name 'a/b' must be letters, digits"),
        ([{"name": ".."}], "the dream's name '..' must be"),
        ([{"name": ""}], "the dream's name '' must be"),
        ([{"share": 0}], "share is 0; it must be a number above 0"),
        ([{"share": math.nan}], "share is nan"),
        ([{"share": math.inf}], "share is inf"),
        ([{"strengths": []}], "strengths are []"),
        ([{"strengths": [1, 1]}], r"strengths are [1, 1]; give one or several different numbers"),
        ([{"strengths": [0.5, 2]}], "strength is 2; it must be above 0 and at most 1"),
        ([{"strengths": [0.001]}], "is no step at all; give at least"),
        ([{"recipe": "gordik"}], "nearest: 'gordic'"),
        ([{"backbone": "squeezenet9"}], "squeezenet1_1"),
        ([{"layers": None, "objective": "l2(features.4, mask=sky)"}], "needs masks or a choice made on each photo"),
        ([{"layers": None, "objective": "select_max(features.4, 2)"}], "needs masks or a choice made on each photo"),
        ([{"layers": None, "objective": "guided(features.4, bees)"}], "'bees'; give --guide bees=FILE"),
        ([{"guide": "bees.png"}], "'bees.png' does not exist"),
    ],
)
def test_what_does_not_go_together_is_refused(entries: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(UserError) as caught:
        ready(*entries)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_guide_that_nothing_asks_for_is_refused(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 60).convert("RGB").save(tmp_path / "bees.png")
    with pytest.raises(UserError, match=r"guide 'bees' is not in the objective l2\(features.4\); leave it out"):
        ready({"guide": f"bees={tmp_path / 'bees.png'}"})
