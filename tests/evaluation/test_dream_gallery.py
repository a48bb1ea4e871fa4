"""The pictures of docs/gallery.md, and that the page speaks of all of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from dreamgan.backbones.features import Extractor, load_extractor
from dreamgan.dream import RECIPES
from dreamgan.errors import UserError
from dreamgan.evaluation import dream_gallery
from dreamgan.evaluation.dream_gallery import EXHIBITS, chosen, make_gallery
from dreamgan.generators import generator_folder
from dreamgan.images import load_image
from dreamgan.sampling import load_generator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RANDOM = "mobilenet_v2=random,squeezenet1_1=random"


def test_the_page_has_every_picture_with_its_command() -> None:
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    styles = load_generator(generator_folder(None)).styles
    names = {exhibit.name for exhibit in EXHIBITS} | {f"one_pass_{style}" for style in [*styles, "blend"]}
    assert {file.stem for file in (DOCS / "gallery").iterdir()} == names
    assert [name for name in sorted(names) if f"](gallery/{name}.jpg)" not in page] == []
    commands = [f"--recipe {exhibit.recipe} --backbone {exhibit.backbone}" for exhibit in EXHIBITS]
    commands += [f"--style {style} --strength 0.5,1,1.5" for style in styles]
    assert [command for command in commands if f"{command} " not in page] == []
    assert page.count("--guide flower.jpg") == sum(exhibit.guided for exhibit in EXHIBITS)


def test_pictures_are_small() -> None:
    sizes = [file.stat().st_size for file in (DOCS / "gallery").iterdir()]
    assert max(sizes) < 80_000
    assert sum(sizes) < 1_000_000


def test_no_recipe_is_left_out() -> None:
    assert set(RECIPES) <= {exhibit.recipe for exhibit in EXHIBITS}


def test_recipes_of_the_checkout_are_there() -> None:
    assert [each.recipe for each in EXHIBITS if each.needs_its_network and not (ROOT / each.recipe).is_file()] == []


def test_pictures_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skimage")
    monkeypatch.chdir(ROOT)

    make_gallery(
        str(tmp_path), weights=RANDOM, only="distillable,squeezenet,petals,one_pass_vgg,one_pass_blend", size=48
    )

    made = {file.stem: load_image(file).picture for file in (tmp_path / "gallery").iterdir()}
    assert set(made) == {"distillable", "squeezenet", "one_pass_vgg", "one_pass_blend"}
    assert all(picture.width > 4 * 48 for picture in made.values())
    told = capsys.readouterr().out.splitlines()
    assert "petals: left out, since its layers are inception_v3's; give --weights for that" in told
    assert len(told) == 5


def test_a_recipe_without_its_network_dreams_in_the_default_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("skimage")
    asked: list[tuple[str, object]] = []

    def load(backbone: str, layers: Sequence[str], weights: str | None = None) -> Extractor:
        asked.append((backbone, weights))
        return load_extractor(backbone, layers, weights="random")

    monkeypatch.setattr(dream_gallery, "load_extractor", load)
    make_gallery(str(tmp_path), only="google", size=48)
    make_gallery(str(tmp_path), only="styleconv_multi", weights="squeezenet1_1=a.pth,inception_v3=b.pth", size=48)
    assert asked == [("mobilenet_v2", None), ("inception_v3", "b.pth")]


def test_names_and_patterns() -> None:
    known = ["one_pass_vgg", "google", "layers_low", "layers_high"]
    assert chosen(known, None) == known
    assert chosen(known, "layers_*, google") == ["google", "layers_low", "layers_high"]
    with pytest.raises(UserError, match=r"there is no picture 'gogle'; nearest: 'google'"):
        chosen(known, "gogle")


def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--size is 16"):
        make_gallery(str(tmp_path), size=16)
    with pytest.raises(UserError, match="give another --out"):
        make_gallery(str(tmp_path / "nowhere"))


@pytest.mark.slow
def test_the_script() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "make_gallery.py"), "--only", "nothing"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("make_gallery: --only: there is no picture 'nothing'; nearest:")
