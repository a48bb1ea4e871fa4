import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dreamgan import cli
from dreamgan.data import pairs
from dreamgan.dream import dream
from dreamgan.images import load_image

MakePhotos = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]
FEW = ["--weights", "random", "--backbone", "mobilenet_v2", "--layers", "block_2_add", "--size", "32"]
FEW += ["--batch", "2", "--threads", "1", "--device", "cpu"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's cache of parsed datasets, read into its settings when it is imported."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def run(photos: Path | str, out: Path, *flags: str) -> int:
    return cli.main(["dataset", "--photos", str(photos), "--out", str(out), *FEW, *flags])


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def is_refused(code: int, capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    line = capsys.readouterr().err.splitlines()[-1]
    assert code == 2, line
    assert line.startswith("dreamgan dataset: ")
    for part in parts:
        assert part in line


COMPLETE = [
    "README.md",
    "config.json",
    "data/test-00000-of-00001.parquet",
    "data/train-00000-of-00001.parquet",
    "sheet.png",
]


def test_a_folder_becomes_a_dataset_that_the_plain_library_reads(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import datasets

    photos = make_photos(*(f"{label}/{number}.jpg" for label in ("cat", "dog ü") for number in range(3)))
    (photos / "cat" / "bad.jpg").write_text("no picture")
    out = tmp_path / "out"
    flags = ["--seed", "5", "--test_fraction", "0", "--hold_out", "cat/0, dog ü/1"]
    assert run(photos, out, *flags) == 0
    assert files_in(out) == [*COMPLETE[:4], "rejects.csv", "sheet.png"]
    assert "cat/bad," in (out / "rejects.csv").read_text()

    loaded = datasets.load_dataset(str(out))
    assert {name: len(split) for name, split in loaded.items()} == {"train": 4, "test": 2}
    rows = [row for split in loaded.values() for row in split]
    assert {row["photo_id"] for row in rows} == {f"{label}/{n}" for label in ("cat", "dog ü") for n in range(3)}
    names = loaded["train"].features["label"].names
    for row in rows:
        assert names[row["label"]] == row["photo_id"].partition("/")[0]
        assert row["photo"].size == row["dream"].size == (32, 32)
        assert row["photo"].tobytes() != row["dream"].tobytes()
        assert (row["recipe"], row["seed"], row["layers"]) == ("distillable", 5, "block_2_add")
        assert row["score_after"] > row["score_before"] > 0
    # The ceiling: a second dream of the test photos.
    assert all(row["second_dream"] is None for row in loaded["train"])
    for row in loaded["test"]:
        assert row["second_dream"].tobytes() != row["dream"].tobytes()

    config = json.loads((out / "config.json").read_text())
    assert config["seed"] == 5
    assert config["recipe"]["name"] == "distillable"
    assert len(config["weights_sha256"]) == 64
    card = (out / "README.md").read_text()
    assert config["weights_sha256"] in card
    assert str(tmp_path) not in card
    assert load_image(out / "sheet.png").picture.width > 64
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].startswith(f"dream dataset in {out}: 4 in train, 2 in test; look at ")
    assert "1 pictures could not be used" in captured.err

    before = {name: (out / name).stat().st_mtime_ns for name in files_in(out)}
    assert run(photos, out, *flags) == 0
    assert "is complete already; nothing to do" in capsys.readouterr().out
    assert {name: (out / name).stat().st_mtime_ns for name in files_in(out)} == before


def test_samples_keep_the_crops_of_a_photograph_on_one_side(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    assert run("samples", tmp_path / "out", "--crops", "2") == 0
    sides = {split: set(pairs.load_pairs(tmp_path / "out", split)["source_id"]) for split in ("train", "test")}
    assert len(sides["train"]) == 6
    assert len(sides["test"]) == 2
    assert not sides["train"] & sides["test"]


def test_a_parquet_file_of_photos(make_photos: MakePhotos, tmp_path: Path) -> None:
    import datasets

    photos = make_photos("a.png", "b.png", "c.png")
    table = datasets.Dataset.from_dict({"image": [str(photos / f"{name}.png") for name in "abc"]})
    table.cast_column("image", datasets.Image()).to_parquet(tmp_path / "photos.parquet")
    assert run(tmp_path / "photos.parquet", tmp_path / "out") == 0
    assert sorted(pairs.load_pairs(tmp_path / "out", "train")["photo_id"]) != []
    assert files_in(tmp_path / "out") == COMPLETE


def test_one_photo_gives_no_test_split_and_that_is_said(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(make_photos("a.jpg"), tmp_path / "out") == 0
    assert "no test split" in capsys.readouterr().err
    assert files_in(tmp_path / "out") == [name for name in COMPLETE if "test" not in name]


def test_hold_out_takes_a_class_whole(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos("cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg")
    assert run(photos, tmp_path / "out", "--hold_out", "dog", "--test_fraction", "0") == 0
    assert sorted(pairs.load_pairs(tmp_path / "out", "test")["photo_id"]) == ["dog/1", "dog/2"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--size", "31"], "--size is 31; it must be at least 32"),
        (["--size", "-128"], "--size is -128; it must be at least 32"),
        (["--size", "big"], "--size: 'big' is not a whole number"),
        (["--batch", "0"], "--batch is 0"),
        (["--threads", "0"], "--threads is 0"),
        (["--crops", "0"], "--crops is 0"),
        (["--limit", "0"], "--limit is 0"),
        (["--seed", "99999999999999999999"], "must fit 64 bits"),
        (["--recipe", "distilable"], "nearest: 'distillable'"),
        (["--backbone", "mobilnet"], "mobilenet_v2"),
        (["--layers", "block_99"], "block_99"),
        (["--device", "tpu"], "device 'tpu'"),
        (["--precision", "64"], "--precision: '64' is not one of"),
        (["--weights", "none.pth"], "weights file 'none.pth' does not exist"),
        (["--test_fraction", "1"], "test fraction is 1.0; it must be at least 0 and below 1"),
        (["--test_fraction", "-0.1"], "test fraction is -0.1"),
        (["--test_fraction", ".nan"], "test fraction is nan"),
        (["--hold_out", "dogg"], "held-out 'dogg' is neither a class nor a photo of the set; nearest: 'dog'"),
        (["--hold_out", "dog,cat"], "leaves no photo to train on"),
    ],
)
def test_a_value_that_makes_no_sense(
    flags: list[str], said: str, make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos("cat/a.jpg", "dog/b.jpg")
    is_refused(run(photos, tmp_path / "out", *flags), capsys, said)
    assert not (tmp_path / "out").exists()


def test_no_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    is_refused(run(tmp_path / "none", tmp_path / "out"), capsys, "there is no ", "none")
    (tmp_path / "empty").mkdir()
    is_refused(run(tmp_path / "empty", tmp_path / "out"), capsys, "no picture in folder")
    (tmp_path / "empty" / "bad.parquet").write_text("no table")
    is_refused(run(tmp_path / "empty" / "bad.parquet", tmp_path / "out"), capsys, "bad.parquet' as parquet")
    assert not (tmp_path / "out").exists()


def test_only_bad_photos_leave_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "photos" / name).write_text("no picture")
    code = run(tmp_path / "photos", tmp_path / "out")
    is_refused(code, capsys, "none of the 2 photos could be used; first: ", "is not a picture")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = make_photos("a.jpg", "b.jpg"), tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("mine")
    is_refused(run(photos, out), capsys, "holds something else than a dream dataset; give another --out")
    # A generator, a model of another library: they have a config.json, too.
    for content in ('{"format": "dreamgan-translator-1"}', "[]", "{"):
        (out / "config.json").write_text(content)
        is_refused(run(photos, out, "--overwrite"), capsys, "is of something else than a dream dataset")
    assert files_in(out) == ["README.md", "config.json"]
    assert (out / "README.md").read_text() == "mine"
    (tmp_path / "file").touch()
    is_refused(run(photos, tmp_path / "file"), capsys, "file' is a file, not a folder")
    is_refused(run(photos, photos / "out"), capsys, "lies in the folder of the photos; give another --out")
    assert files_in(photos) == ["a.jpg", "b.jpg"]


def test_another_configuration_is_refused_with_the_difference_unless_overwritten(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = make_photos("a.jpg", "b.jpg"), tmp_path / "out"
    assert run(photos, out) == 0
    before = {name: (out / name).read_bytes() for name in files_in(out)}
    is_refused(
        run(photos, out, "--size", "40", "--layers", "block_6_expand_relu"),
        capsys,
        "recipe.layers was [['block_2_add', 1.0]], is [['block_6_expand_relu', 1.0]]; size was 32, is 40",
        "use --overwrite or another --out",
    )
    is_refused(run(photos, out, "--recipe", "gordic"), capsys, "(recipe was 'distillable', is 'gordic')")
    make_photos("c.jpg")
    is_refused(run(photos, out), capsys, "photo_count was 2, is 3")
    assert {name: (out / name).read_bytes() for name in files_in(out)} == before
    assert run(photos, out, "--size", "40", "--overwrite") == 0
    assert files_in(out) == COMPLETE
    rows = [row for split in ("train", "test") for row in pairs.load_pairs(out, split)]
    assert {row["photo"].size for row in rows} == {(40, 40)}
    assert len(rows) == 3


def test_a_full_disk_is_told_in_one_line_and_the_next_run_goes_on(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = make_photos(*(f"{number}.jpg" for number in range(6))), tmp_path / "out"
    real, units = os.replace, []

    def second_unit_fails(source: Path, target: Path) -> None:
        units.append(target)
        if Path(target).name == "train-000001.parquet":
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", second_unit_fails)
        is_refused(run(photos, out), capsys, "train-000001.parquet: No space left on device")
    assert files_in(out) == [".units/train-000000.parquet", "config.json"]
    assert run(photos, out) == 0
    assert "4 work units of 2, 1 of them done already" in capsys.readouterr().out
    assert files_in(out) == COMPLETE


def test_ctrl_c_keeps_the_finished_units(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = make_photos(*(f"{number}.jpg" for number in range(6))), tmp_path / "out"
    real, calls = dream, []
    on_interrupt = signal.getsignal(signal.SIGINT)

    def second_is_interrupted(*args: object, **kwargs: object) -> object:
        calls.append(args)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("dreamgan.lit.dream_job.dream", second_is_interrupted)
    assert run(photos, out) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "dreamgan dataset: interrupted; what was finished is kept"
    assert files_in(out) == [".units/train-000000.parquet", "config.json"]
    assert signal.getsignal(signal.SIGINT) is on_interrupt


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out, whole = make_photos(*(f"{number:02d}.jpg" for number in range(24))), tmp_path / "out", tmp_path / "w"
    # Longer units than elsewhere, so that the kill hits the middle of the run.
    flags = ["--recipe", "gordic", "--size", "64"]
    command = [sys.executable, str(ROOT / "scripts" / "make_dream_dataset.py"), "--photos", str(photos)]
    command += ["--out", str(out), *FEW, *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while len(list(out.glob(".units/*.parquet"))) < 2:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    done = len(list(out.glob(".units/*.parquet")))
    assert not (out / "README.md").exists()
    assert run(photos, out, *flags) == 0
    assert f"13 work units of 2, {done} of them done already" in capsys.readouterr().out
    assert run(photos, whole, *flags) == 0
    assert files_in(out) == files_in(whole) == COMPLETE
    for name in COMPLETE[1:4]:
        assert (out / name).read_bytes() == (whole / name).read_bytes()
