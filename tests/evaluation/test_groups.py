import dataclasses
from typing import Any

import datasets
import pytest

from dreamgan.evaluation.groups import SEEN, UNSEEN, classes, evenly, groups_of, misfit, seen_or_not
from tests.finished_dataset import BACKBONE, RANDOM_SHA256, recipe_of

PAIR = {
    "recipe": "bold",
    "recipe_json": recipe_of("bold").to_json(),
    "backbone": BACKBONE,
    "weights_sha256": RANDOM_SHA256,
    "strength": 1.0,
}


def table(*rows: tuple[str, float, int | None]) -> Any:
    columns = zip(*rows, strict=True)
    return datasets.Dataset.from_dict(dict(zip(("recipe", "strength", "second_seed"), map(list, columns), strict=True)))


def test_one_group_for_each_recipe_and_strength() -> None:
    rows = table(("b", 1.0, 8), ("a", 1.0, 8), ("b", 0.5, 8), ("b", 1.0, 8))
    groups = groups_of(rows, "test", [None] * 4, None)
    assert [(g.recipe, g.strength, g.places) for g in groups] == [("a", 1, (1,)), ("b", 0.5, (2,)), ("b", 1, (0, 3))]
    assert groups[2].title == "test, recipe b, strength 1"


def test_labels_tell_pairs_apart() -> None:
    rows = table(*[("a", 1.0, 8)] * 4)
    groups = groups_of(rows, "train", ["dog", "cat", "", "dog"], None)
    assert [(g.label, g.places) for g in groups] == [("", (2,)), ("cat", (1,)), ("dog", (0, 3))]
    assert [g.title.rpartition(", ")[2] for g in groups] == ["no label", "cat", "dog"]


def test_pairs_with_a_second_dream_are_preferred() -> None:
    rows = table(("a", 1.0, None), ("a", 1.0, 8), ("a", 1.0, None), ("a", 1.0, 8), ("b", 1.0, None))
    some, none = groups_of(rows, "test", [None] * 5, None)
    assert (some.places, some.pairs, some.has_second) == ((1, 3), 4, True)
    assert (none.places, none.pairs, none.has_second) == ((4,), 1, False)


def test_a_limit_is_spread_over_the_group() -> None:
    rows = table(*[("a", 1.0, 8)] * 10)
    (group,) = groups_of(rows, "test", [None] * 10, 3)
    assert group.places == (0, 3, 6)
    assert group.pairs == 10
    assert evenly(range(2), 5) == [0, 1]
    assert evenly(range(2), None) == [0, 1]
    assert evenly(range(2), 0) == []


def test_classes_as_text() -> None:
    text = datasets.Dataset.from_dict({"label": ["cat", "", None]})
    assert classes(text) == ["cat", "", ""]
    numbered = datasets.Dataset.from_dict(
        {"label": [1, 0, None]}, features=datasets.Features({"label": datasets.ClassLabel(names=["cat", "dog"])})
    )
    assert classes(numbered) == ["dog", "cat", ""]
    assert seen_or_not(["cat", "dog"], {"cat"}) == [SEEN, UNSEEN]


def test_a_generator_fits_pairs_of_its_recipe_whatever_their_name() -> None:
    renamed = dataclasses.replace(recipe_of("bold"), name="calm").to_json()
    assert misfit(PAIR, PAIR) == ""
    assert misfit(PAIR, {**PAIR, "recipe": "calm", "recipe_json": renamed}) == ""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"backbone": "vgg16"}, "is of the backbone vgg16"),
        ({"weights_sha256": "ab" * 32}, "was dreamed with other weights (sha256 abababababab…)"),
        ({"strength": 0.5}, "is of strength 0.5, and the generator knows whole dreams only"),
        (
            {"recipe_json": dataclasses.replace(recipe_of("bold"), steps=(3,), octaves=2).to_json()},
            "is another recipe (octaves, steps)",
        ),
    ],
)
def test_a_generator_does_not_fit(changed: dict[str, Any], said: str) -> None:
    assert misfit(PAIR, {**PAIR, **changed}) == said
