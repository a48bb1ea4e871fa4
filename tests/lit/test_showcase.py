"""The picture that shows a trained generator beside direct dreams."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamgan.errors import UserError
from dreamgan.evaluation.showcase import PHOTOS, draw_showcase

pytest.importorskip("skimage")
pytest.importorskip("sklearn")


def test_each_style_gets_its_direct_dreams_and_those_of_one_pass(
    styled_run: Path, styles: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "showcase.png"
    generator = ["--generator", str(styled_run / "generator"), "--size", "64"]
    script = Path(__file__).parents[2] / "scripts" / "draw_showcase.py"
    monkeypatch.setattr(sys, "argv", ["draw_showcase.py", styles, str(out), *generator])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(script), run_name="__main__")
    assert done.value.code == 0
    assert capsys.readouterr().out == (f"{out}: photo, distillable, direct, one pass, petals, direct, one pass\n")
    picture = np.asarray(Image.open(out).convert("RGB"))
    assert picture.shape[0] > 64 * len(PHOTOS)
    assert picture.shape[1] > 64 * 5
    assert picture.std() > 10


def test_a_generator_of_other_styles_is_refused(whole_run: Path, petals: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "showcase.png")
    with pytest.raises(UserError, match="the generator has none of the styles of .*; it has distillable"):
        draw_showcase(str(petals), out, str(whole_run / "generator"), size=64)
    assert not Path(out).exists()


@pytest.mark.parametrize(
    ("out", "size", "said"),
    [
        ("none/showcase.png", 64, "give a .png or .jpg in a folder that is there"),
        ("showcase.txt", 64, "cannot be written as"),
        ("showcase.png", 0, "size is 0; it must be from 32 to 1024 px"),
    ],
)
def test_the_picture_s_mistakes_are_told_before_the_work(
    styles: str, tmp_path: Path, out: str, size: int, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        draw_showcase(styles, str(tmp_path / out), str(tmp_path / "no generator"), size=size)
