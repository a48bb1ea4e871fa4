from pathlib import Path

import pytest

from dreamgan.backbones.classes import class_index, class_name
from dreamgan.errors import UserError


@pytest.mark.parametrize(
    ("given", "index"),
    [
        ("tench", 0),
        ("goldfish", 1),
        ("German_shepherd", 235),
        ("golden-retriever", 207),
        ("  GOLDEN   retriever ", 207),
        ("black and tan coonhound", 165),
        ("husky", 250),  # a part that only Siberian husky has
        ("toilet tissue", 999),
        ("crane", 517),  # exactly the machine; the bird is "crane bird"
        ("tabby", 281),
        ("207", 207),
        (" 0 ", 0),
        (999, 999),
    ],
)
def test_names_parts_of_names_and_indices(given: str | int, index: int) -> None:
    assert class_index(given) == index


@pytest.mark.parametrize(("given", "classes"), [(1000, 1000), (-1, 1000), ("1000", 1000), ("-1", 1000), ("365", 365)])
def test_an_index_out_of_range_shows_the_range(given: str | int, classes: int) -> None:
    with pytest.raises(UserError, match=rf"^class {given} is out of range; give an index from 0 to {classes - 1}$"):
        class_index(given, classes)


def test_an_unknown_name_shows_the_nearest() -> None:
    expected = r"^class 'golden retreiver' is not one of ImageNet's; nearest: 'golden retriever' \(207\), "
    with pytest.raises(UserError, match=expected):
        class_index("golden retreiver")
    with pytest.raises(UserError, match=r"nearest: 'Labrador retriever' \(208\), "):
        class_index("labradro")  # one word of a name is enough to be near
    with pytest.raises(UserError, match=r"class '' is not one"):
        class_index(" ")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("terrier", r"'toy terrier' \(158\), 'Staffordshire bullterrier' \(179\), .* and 13 more; give the index$"),
        ("retriever", r"'flat-coated retriever' \(205\), .*'Chesapeake Bay retriever' \(209\); give the index$"),
        ("cardigan", r"'Cardigan' \(264\), 'cardigan' \(474\); give the index$"),  # the dog and the garment
    ],
)
def test_a_name_of_several_classes_shows_them(given: str, shown: str) -> None:
    with pytest.raises(UserError, match=rf"^class '{given}' may mean {shown}") as error:
        class_index(given)
    assert "\n" not in str(error.value)


def test_other_networks_take_an_index_only() -> None:
    assert class_index("3", 365) == 3
    with pytest.raises(UserError, match=r"'abbey' is a name, .* has 365; give only an index from 0 to 364$"):
        class_index("abbey", 365)


def test_every_class_but_one_pair_is_found_by_its_own_name() -> None:
    names = {index: class_name(index) for index in range(1000)}
    assert {index for index, name in names.items() if name.lower() == "cardigan"} == {264, 474}
    for index in names.keys() - {264, 474}:
        assert class_index(names[index].upper().replace(" ", "_")) == index
    with pytest.raises(UserError, match="class 1000 is out of range"):
        class_name(1000)


def test_the_order_is_that_of_wordnet_ids(shared_dir: Path) -> None:
    # Files are named by WordNet id and class; ImageNet's classes are in the order of these ids.
    files = sorted(path.stem.partition("_") for path in (shared_dir / "imagenet_samples").iterdir())
    names = [name for _, _, name in files if name.lower() not in ("crane", "cardigan")]
    indices = [class_index(name) for name in names]
    assert len(indices) > 800
    assert indices == sorted(set(indices))


def test_a_name_of_digits_goes_before_an_index() -> None:
    assert [class_index(name, 3, ("1", "10", "2")) for name in ("1", "10", 2)] == [0, 1, 2]
    assert class_index("1", 3, ("a", "b", "c")) == 1
