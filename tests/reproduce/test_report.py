import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dreamgan.backbones.features import load_extractor
from dreamgan.dream import get_recipe
from dreamgan.errors import UserError
from dreamgan.images import load_image, to_picture
from dreamgan.reproduce.report import (
    Experiment,
    Part,
    dream_one,
    facts_of,
    load_photos,
    part,
    sample_photos,
    score_one,
    write_figure,
    write_table,
)

MakeJob = Callable[..., Experiment]


class Counted:
    """Makes a part with a picture that says how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Part:
        self.calls += 1
        return Part({"call": self.calls}, {"as it is": Image.new("RGB", (9, 7), (self.calls, 2, 3))})


def test_a_finished_part_is_not_made_again(make_job: MakeJob) -> None:
    job, make = make_job(), Counted()
    facts = {"steps": (1, 2), "seed": 0}
    part(job, "a/ b", facts, make)
    again = part(job, "a/ b", facts, make)
    assert make.calls == 1
    assert again.values == {"call": 1}
    assert again.pictures["as it is"].tobytes() == Image.new("RGB", (9, 7), (1, 2, 3)).tobytes()
    assert sorted(file.name for file in (job.out / "parts").iterdir()) == ["a__b.json", "a__b__as_it_is.png"]


def test_a_part_of_other_facts_is_made_anew(make_job: MakeJob) -> None:
    job, make = make_job(), Counted()
    part(job, "a", {"seed": 0}, make)
    assert part(job, "a", {"seed": 1}, make).values == {"call": 2}
    assert part(job, "a", {"seed": 1}, make).values == {"call": 2}


@pytest.mark.parametrize("damage", ["no table", "half a table", "no picture"])
def test_half_a_part_is_made_anew(damage: str, make_job: MakeJob) -> None:
    job, make = make_job(), Counted()
    part(job, "a", {}, make)
    table, picture = job.out / "parts" / "a.json", job.out / "parts" / "a__as_it_is.png"
    if damage == "no table":
        table.unlink()
    elif damage == "half a table":
        table.write_text(table.read_text()[:20])
    else:
        picture.unlink()
    assert part(job, "a", {}, make).values == {"call": 2}


def test_a_part_that_fails_leaves_no_table_of_the_last(make_job: MakeJob) -> None:
    job, make = make_job(), Counted()
    part(job, "a", {"seed": 0}, make)

    def stop() -> Part:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        part(job, "a", {"seed": 1}, stop)
    # Its picture may be of the one or the other by now.
    assert part(job, "a", {"seed": 0}, make).values == {"call": 2}


def test_facts_tell_all_dreams_apart(make_job: MakeJob) -> None:
    recipe = get_recipe("distillable", "squeezenet1_1", steps=1)
    extractor = load_extractor("squeezenet1_1", recipe.layer_names, weights="random")
    light, dark = torch.ones(3, 32, 32), torch.zeros(3, 32, 32)
    other = get_recipe("distillable", "squeezenet1_1", steps=2)
    facts: list[dict[str, Any]] = [
        facts_of(make_job(), extractor, recipe, light),
        facts_of(make_job(seed=1), extractor, recipe, light),
        facts_of(make_job(), extractor, other, light),
        facts_of(make_job(), extractor, recipe, dark),
        facts_of(make_job(), extractor, recipe, light, dark),
        facts_of(make_job(), extractor, recipe, light, marks=(1, 2)),
    ]
    assert facts[0] == facts_of(make_job(), extractor, recipe, light.clone())
    assert all(facts[a] != facts[b] for a in range(len(facts)) for b in range(a))


def test_a_dream_is_the_engines_and_says_nothing(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    job = make_job()
    (photo, _) = load_photos(job.photos, 40).values()
    recipe = get_recipe("gordic", "squeezenet1_1", octaves=1, steps=4)
    extractor = load_extractor("squeezenet1_1", recipe.layer_names, weights="random")
    seen: list[int] = []
    result = dream_one(job, "one", photo, extractor, recipe, callback=lambda at: seen.append(at.step))
    assert seen == [0, 1, 2, 3]
    assert result.completed
    assert score_one(result.images[0], extractor, recipe) > score_one(photo, extractor, recipe)
    assert not dream_one(job, "one", photo, extractor, recipe, callback=lambda at: at.step < 2).completed
    other = dream_one(make_job(seed=1), "one", photo, extractor, recipe)
    assert not torch.equal(other.images, result.images)
    assert capsys.readouterr() == ("", "")


def test_photos_of_one_name_are_told_apart(tmp_path: Path, photo: Image.Image) -> None:
    for file in (tmp_path / "a" / "cat.png", tmp_path / "b" / "cat.png", tmp_path / "dog.png"):
        file.parent.mkdir(exist_ok=True)
        photo.save(file)
    files = [tmp_path / "a" / "cat.png", tmp_path / "dog.png", tmp_path / "b" / "cat.png"]
    loaded = load_photos(files, 48)
    assert {name: tuple(image.shape) for name, image in loaded.items()} == {
        "cat-1": (3, 36, 48),
        "dog": (3, 36, 48),
        "cat-3": (3, 36, 48),
    }


def test_a_photo_that_becomes_too_narrow(tmp_path: Path) -> None:
    Image.new("RGB", (200, 50)).save(tmp_path / "wide.png")
    with pytest.raises(UserError, match=r"wide.png' would be shrunk to 100x25 px, too narrow; raise --max_side"):
        load_photos([tmp_path / "wide.png"], 100)


def test_sample_photos_by_name() -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    assert [file.name for file in sample_photos("coffee", "chelsea")] == ["coffee.png", "chelsea.png"]


def test_a_table(tmp_path: Path) -> None:
    rows = [{"b": 1 / 3, "a": "x, y"}, {"a": "ü", "b": 123456789.0}, {"a": "", "b": 7}]
    write_table(tmp_path / "new" / "t.csv", ("a", "b"), rows)
    with (tmp_path / "new" / "t.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["a", "b"], ["x, y", "0.333333"], ["ü", "1.23457e+08"], ["", "7"]]


def test_a_table_refuses_other_columns(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a row has the columns a, c; expected a, b"):
        write_table(tmp_path / "t.csv", ("a", "b"), [{"a": 1, "c": 2}])
    assert not list(tmp_path.iterdir())


def test_a_figure_has_labels_at_its_rows_and_a_caption_below(tmp_path: Path) -> None:
    red = to_picture(torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1).expand(3, 30, 40))
    write_figure(tmp_path / "f.png", ["first", "second"], {"one": [red, red], "two\nlines": [red, red]}, "a\nb")
    write_figure(tmp_path / "bare.png", ["first", "second"], {"": [red, red]})
    figure, bare = (load_image(tmp_path / name).picture for name in ("f.png", "bare.png"))
    pixels = np.asarray(figure)
    assert (pixels == (255, 0, 0)).all(axis=2).sum() == 4 * 30 * 40
    assert figure.width > bare.width  # a column of row labels
    assert pixels[-30:, :40].min() < 100  # the caption
    with pytest.raises(ValueError, match="row 0 has 2 pictures for 3 columns"):
        write_figure(tmp_path / "f.png", ["first", "second"], {"one": [red]})
