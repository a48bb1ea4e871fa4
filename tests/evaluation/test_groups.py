from typing import Any

import datasets

from dreamgan.data.pairs import classes
from dreamgan.evaluation.groups import SEEN, UNSEEN, evenly, groups_of, kinds_of, seen_or_not


def table(*rows: tuple[str, float, int | None]) -> Any:
    columns = zip(*rows, strict=True)
    return datasets.Dataset.from_dict(dict(zip(("recipe", "strength", "second_seed"), map(list, columns), strict=True)))


def test_kinds_of_pairs_and_where_the_first_of_each_is() -> None:
    rows = table(("b", 1.0, 8), ("a", 1.0, 8), ("b", 0.5, 8), ("b", 1.0, 8))
    assert list(kinds_of(rows).items()) == [(("a", 1.0), 1), (("b", 0.5), 2), (("b", 1.0), 0)]


def test_a_group_holds_the_pairs_of_its_kind() -> None:
    rows = table(("b", 1.0, 8), ("a", 1.0, 8), ("b", 0.5, 8), ("b", 1.0, 8))
    (group,) = groups_of(rows, "test", ("b", 1.0), [None] * 4, None, style="b")
    assert (group.recipe, group.strength, group.places) == ("b", 1, (0, 3))
    assert group.title == "test, recipe b, strength 1"
    (other,) = groups_of(rows, "test", ("b", 0.5), [None] * 4, None, style="bees", trained=False)
    assert other.title == "test, recipe b, style bees, untrained strength 0.5"


def test_labels_tell_pairs_apart() -> None:
    rows = table(*[("a", 1.0, 8)] * 4)
    groups = groups_of(rows, "train", ("a", 1.0), ["dog", "cat", "", "dog"], None)
    assert [(g.label, g.places) for g in groups] == [("", (2,)), ("cat", (1,)), ("dog", (0, 3))]
    assert [g.title.rpartition(", ")[2] for g in groups] == ["no label", "cat", "dog"]


def test_pairs_with_a_second_dream_are_preferred() -> None:
    rows = table(("a", 1.0, None), ("a", 1.0, 8), ("a", 1.0, None), ("a", 1.0, 8), ("b", 1.0, None))
    (some,) = groups_of(rows, "test", ("a", 1.0), [None] * 5, None)
    (none,) = groups_of(rows, "test", ("b", 1.0), [None] * 5, None)
    assert (some.places, some.pairs, some.has_second) == ((1, 3), 4, True)
    assert (none.places, none.pairs, none.has_second) == ((4,), 1, False)


def test_a_limit_is_spread_over_the_group() -> None:
    rows = table(*[("a", 1.0, 8)] * 10)
    (group,) = groups_of(rows, "test", ("a", 1.0), [None] * 10, 3)
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
