from pathlib import Path

import pytest
from PIL import Image

from dreamgan import cli
from dreamgan.commands import reproduce as command
from dreamgan.errors import UserError
from dreamgan.reproduce.report import Experiment


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Experiment]:
    """The orders that the command gives to `layers`, which then does nothing."""
    given: list[Experiment] = []
    monkeypatch.setattr(command, "EXPERIMENTS", {**command.EXPERIMENTS, "layers": given.append})
    return given


def refused(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["reproduce", *args]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    line: str = captured.err.splitlines()[-1]
    return line.removeprefix("dreamgan reproduce: ")


def test_an_experiment_from_end_to_end(
    two_photos: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = ",".join(map(str, two_photos))
    few = ["--weights", "random", "--backbone", "squeezenet1_1", "--steps", "2", "--device", "cpu"]
    assert cli.main(["reproduce", "layers", "--photos", photos, "--out", str(tmp_path / "out"), *few]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["layers.csv", "layers.png", "parts"]
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.splitlines()[-1] == f"layers: figure and table in {tmp_path / 'out'}"


def test_flags_become_the_order(two_photos: tuple[Path, Path], tmp_path: Path, jobs: list[Experiment]) -> None:
    one, two = two_photos
    flags = ["--photos", str(one.parent), "--guides", f"{two}, {one}", "--out", str(tmp_path / "x"), "--seed", "3"]
    assert cli.main(["reproduce", "layers", *flags, "--backbone", "VGG19", "--max_side", "96"]) == 0
    (job,) = jobs
    assert job.photos == (one, two)
    assert job.guides == (two, one)
    assert (job.backbone, job.weights, job.steps, job.max_side, job.seed) == ("vgg19", None, None, 96, 3)


def test_the_usual_photos_are_scikit_images(jobs: list[Experiment]) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    assert cli.main(["reproduce", "layers"]) == 0
    assert [photo.name for photo in jobs[0].photos] == ["chelsea.png", "coffee.png"]
    assert jobs[0].guides == ()


def test_every_experiment_has_sample_photos_and_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(command.SAMPLES) == set(command.EXPERIMENTS)
    with pytest.raises(SystemExit):
        cli.main(["reproduce", "--help"])
    text = capsys.readouterr().out
    for name in command.EXPERIMENTS:
        assert f"\n{name}: " in text


def test_an_unknown_name_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(["layer"], capsys) == (
        "there is no experiment 'layer'; nearest: 'layers' (known: layers, layers_scan, juit, styleconv, bedtime)"
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--photos", "nowhere"], "'nowhere' does not exist: name a picture or a folder of pictures"),
        (["--photos", "a.jpg,,b.jpg"], "there is an empty name among the pictures 'a.jpg,,b.jpg'"),
        (["--photos", ""], "there is an empty name"),
        (["--guides", "nowhere"], "'nowhere' does not exist"),
        (["--steps", "0"], "--steps is 0; it must be at least 1"),
        (["--max_side", "8"], "--max_side is 8; it must be at least 32"),
        (["--backbone", "vgg61"], "backbone 'vgg61' is not known; nearest: "),
        (["--weights", "nowhere.pth"], "weights file 'nowhere.pth' does not exist"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    flags: list[str], said: str, two_photos: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = ["--photos", str(two_photos[0].parent)] if "--photos" not in flags else []
    assert said in refused(["layers", *usual, "--out", str(tmp_path / "out"), *flags], capsys)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    assert "no picture in folder" in refused(["layers", "--photos", str(tmp_path / "photos")], capsys)


def test_our_own_figures_are_no_photos(tmp_path: Path, photo: Image.Image) -> None:
    photo.save(tmp_path / "a.png")
    (tmp_path / "out" / "parts").mkdir(parents=True)
    photo.save(tmp_path / "out" / "layers.png")
    photo.save(tmp_path / "out" / "parts" / "b.png")
    assert command._files(str(tmp_path), tmp_path / "out") == (tmp_path / "a.png",)
    # One that is named is meant.
    named = tmp_path / "out" / "layers.png"
    assert command._files(str(named), tmp_path / "out") == (named,)
    with pytest.raises(UserError, match="lie under --out"):
        command._files(str(tmp_path / "out"), tmp_path / "out")


@pytest.mark.parametrize("name", ["layers.csv", "layers.png", "layers_maps.png", "figure_4.2.png"])
def test_what_somebody_else_wrote_is_not_overwritten(
    name: str, two_photos: tuple[Path, Path], tmp_path: Path, jobs: list[Experiment], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    (out / "notes.txt").write_text("mine, too")
    args = ["layers", "--photos", str(two_photos[0].parent), "--out", str(out)]
    assert refused(args, capsys) == f"'{out / name}' was not written by dreamgan; move it or give another --out"
    assert jobs == []
    (out / "parts").mkdir()  # of an earlier call of ours
    assert cli.main(["reproduce", *args]) == 0


def test_a_file_name_with_a_comma(tmp_path: Path, photo: Image.Image) -> None:
    photo.save(tmp_path / "a,b.png")
    photo.save(tmp_path / "c.png")
    assert command._files(str(tmp_path / "a,b.png"), tmp_path / "out") == (tmp_path / "a,b.png",)
    both = f"{tmp_path / 'c.png'},{tmp_path / 'c.png'}"
    assert command._files(both, tmp_path / "out") == (tmp_path / "c.png",)
