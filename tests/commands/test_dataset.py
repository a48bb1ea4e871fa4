import csv
import errno
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from dreamgan import cli
from dreamgan.backbones import load_extractor
from dreamgan.commands.dataset import make_dataset
from dreamgan.data import pairs
from dreamgan.data.names import visible
from dreamgan.devices import default_batch
from dreamgan.dream import DreamRecipe, DreamResult, dream, score
from dreamgan.images import IMAGE_SUFFIXES, load_image, square_crop, to_picture, to_unit
from dreamgan.lit.dream_job import Cut
from dreamgan.making import publish
from tests.bad_photos import FOLDER, make_corpus

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
    "scores.png",
    "sheet.png",
]


def test_a_folder_becomes_a_dataset_that_the_plain_library_reads(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import datasets

    photos = make_photos(*(f"{label}/{number}.jpg" for label in ("cat", "dog ü") for number in range(3)))
    (photos / "cat" / "bad.jpg").write_text("no picture")
    out = tmp_path / "out"
    flags = ["--seed", "5", "--test_fraction", "0", "--hold_out_categories", "cat/0, dog ü/1"]
    assert run(photos, out, *flags) == 0
    assert files_in(out) == [*COMPLETE[:4], "rejects.csv", "scores.png", "sheet.png"]
    assert "cat/bad.jpg," in (out / "rejects.csv").read_text()

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
        assert (row["strength"], row["guides"], len(row["photo_sha256"])) == (1.0, "{}", 64)
        assert row["score_after"] > row["score_before"] > 0
    # The ceiling: a second dream of the test photos.
    assert all(row["second_dream"] is None for row in loaded["train"])
    for row in loaded["test"]:
        assert row["second_dream"].tobytes() != row["dream"].tobytes()
        assert row["second_seed"] == 6

    config = json.loads((out / "config.json").read_text())
    assert config["seed"] == 5
    (dreamed,) = config["dreams"]
    assert dreamed["recipe"]["name"] == dreamed["name"] == "distillable"
    assert len(dreamed["weights_sha256"]) == 64
    card = (out / "README.md").read_text()
    assert dreamed["weights_sha256"] in card
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
    assert run(photos, tmp_path / "out", "--hold_out_categories", "dog", "--test_fraction", "0") == 0
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
        (["--dream_size", "100000000"], "--dream_size is 100000000; it must be at most 16383"),
        (["--crops", "1000000000000"], "crops is 1000000000000; it must be at most 100000"),
        (["--devices", "1000000"], "--devices is 1000000; on the CPUs of this machine it must be at most"),
        (["--recipe", "distilable"], "nearest: 'distillable'"),
        (["--backbone", "mobilnet"], "mobilenet_v2"),
        (["--layers", "block_99"], "block_99"),
        (["--objective", "l2(block_2_add)"], "give layers or an objective, not both"),
        (["--recipe", "none.yaml"], "recipe file 'none.yaml' cannot be read: No such file"),
        (["--device", "tpu"], "device 'tpu'"),
        (["--precision", "64"], "--precision: '64' is not one of"),
        (["--weights", "none.pth"], "weights file 'none.pth' does not exist"),
        (["--test_fraction", "1"], "test fraction is 1.0; it must be at least 0 and below 1"),
        (["--test_fraction", "-0.1"], "test fraction is -0.1"),
        (["--test_fraction", ".nan"], "test fraction is nan"),
        (
            ["--hold_out_categories", "dogg"],
            "held-out 'dogg' is neither a class nor one of the 2 photos taken; nearest: 'dog'",
        ),
        (
            ["--hold_out_categories", "cat/a", "--limit", "1"],
            "is neither a class nor one of the 1 photos taken; nearest: 'dog/b'; --limit 1 leaves out others",
        ),
        (["--hold_out_categories", "dog,cat"], "leaves no photo to train on"),
    ],
)
def test_a_value_that_makes_no_sense(
    flags: list[str], said: str, make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos("cat/a.jpg", "dog/b.jpg")
    is_refused(run(photos, tmp_path / "out", *flags), capsys, said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ("l2(block_2_add", "expected ')' after l2("),
        ("channel(block_2_add, 24)", "there is no map 24; block_2_add has 24 maps, 0 to 23"),
        ("tv()", "the objective needs a layer"),
        ("class(1000)", "class 1000 is out of range"),
        *(
            (text, f"the objective {text} dreams of a guide picture 'bees'; give --guide bees=FILE")
            for text in ("guided(block_2_add, bees)", "guided_match(block_2_add, bees)")
        ),
        *(
            (text, f"the objective {text} needs masks or a choice made on each photo")
            for text in (
                "l2(block_2_add) + mean(block_2_add, mask=sky)",
                "select_max(block_2_add, 3)",
            )
        ),
    ],
)
def test_an_objective_that_a_dataset_cannot_have(
    objective: str, said: str, make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos("a.jpg", "b.jpg")
    flags = [flag for flag in FEW if flag not in ("--layers", "block_2_add")]
    code = cli.main(
        ["dataset", "--photos", str(photos), "--out", str(tmp_path / "out"), *flags, "--objective", objective]
    )
    is_refused(code, capsys, said)
    code = cli.main(["dataset", "--photos", str(photos), "--out", str(tmp_path / "out"), *flags, "--recipe", "guided"])
    is_refused(code, capsys, "dreams of a guide picture 'guide'; give --guide FILE")
    assert not (tmp_path / "out").exists()


def test_a_dataset_of_another_objective(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos, out = make_photos("a.jpg", "b.jpg"), tmp_path / "out"
    flags = [flag for flag in FEW if flag not in ("--layers", "block_2_add")]
    objective = "l2(block_2_add) + 0.01*class(tabby) - 0.1*tv() - 0.0001*batch_norm()"
    command = ["dataset", "--photos", str(photos), "--out", str(out), *flags, "--objective", objective]
    assert cli.main(command) == 0
    config = json.loads((out / "config.json").read_text())
    assert config["dreams"][0]["recipe"]["objective"] == objective
    rows = [row for split in ("train", "test") for row in pairs.load_pairs(out, split)]
    assert {row["layers"] for row in rows} == {"block_2_add,head"}
    recipe = DreamRecipe.from_json(json.dumps(config["dreams"][0]["recipe"]))
    extractor = load_extractor("mobilenet_v2", recipe.layer_names, weights="random", batch_norms=True)
    for row in rows:
        assert row["score_after"] > row["score_before"]
        found = float(score(to_unit(row["photo"])[None], extractor, recipe))
        assert row["score_before"] == pytest.approx(found, rel=1e-4)


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
        "dream.recipe.objective was 'l2(block_2_add)', is 'l2(block_6_expand_relu)'; size was 32, is 40",
        "use --overwrite or another --out",
    )
    is_refused(run(photos, out, "--recipe", "gordic"), capsys, "(dream was 'distillable', is 'gordic')")
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
        if Path(target).name == "0000001.parquet":
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", second_unit_fails)
        is_refused(run(photos, out), capsys, "0000001.parquet: No space left on device")
    kept = [name for name in files_in(out) if "/units/" in name]
    assert ".work/units/0000000.parquet" in kept
    assert ".work/units/0000001.parquet" not in kept
    assert run(photos, out) == 0
    assert f"4 work units of 2, {len(kept)} done already" in capsys.readouterr().out
    assert files_in(out) == COMPLETE


def test_ctrl_c_keeps_the_finished_units(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = make_photos(*(f"{number}.jpg" for number in range(6))), tmp_path / "out"
    real, calls = dream, []
    # A shell that starts the tests in the background has SIGINT ignored, and Python leaves it so.
    on_interrupt = signal.default_int_handler
    before = signal.signal(signal.SIGINT, on_interrupt)

    def second_is_interrupted(*args: object, **kwargs: object) -> object:
        calls.append(args)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("dreamgan.lit.dream_job.dream", second_is_interrupted)
    code = run(photos, out)
    after = signal.signal(signal.SIGINT, before)
    assert code == 130
    assert capsys.readouterr().err.splitlines()[-1] == "dreamgan dataset: interrupted; what was finished is kept"
    assert [name for name in files_in(out) if "/units/" in name] == [".work/units/0000000.parquet"]
    assert after is on_interrupt


def test_a_label_is_missing_here_and_there(make_photos: MakePhotos, tmp_path: Path) -> None:
    import datasets

    photos = make_photos(*(f"{name}.png" for name in "abcd"))
    kinds = datasets.Features(image=datasets.Image(), kind=datasets.ClassLabel(names=["cat", "dog"]))
    table = {"image": [str(photos / f"{name}.png") for name in "abcd"], "kind": [1, None, -1, 0]}
    datasets.Dataset.from_dict(table, features=kinds).to_parquet(tmp_path / "photos.parquet")
    assert run(tmp_path / "photos.parquet", tmp_path / "out", "--test_fraction", "0") == 0
    rows = pairs.load_pairs(tmp_path / "out", "train")
    assert rows["label"][:] == [1, None, None, 0]


def test_what_was_made_of_a_photo_is_told(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos("a.jpg")
    frames = [Image.effect_noise((40, 40), 80 + number) for number in range(3)]
    frames[0].save(photos / "moving über.gif", save_all=True, append_images=frames[1:])
    assert run(photos, tmp_path / "out") == 0
    assert "moving über: first of several frames taken" in capsys.readouterr().err.splitlines()
    assert run(photos, tmp_path / "out") == 0
    assert "frames" not in capsys.readouterr().err


def test_the_commands_own_reading_shows_no_bars(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import datasets

    photos = make_photos("a.png", "b.png", "c.png")
    table = datasets.Dataset.from_dict({"image": [str(photos / f"{name}.png") for name in "abc"]})
    table.cast_column("image", datasets.Image()).to_parquet(tmp_path / "photos.parquet")
    capsys.readouterr()
    assert run(tmp_path / "photos.parquet", tmp_path / "out") == 0
    assert capsys.readouterr().err == ""


def test_scores_are_halved_like_dreams_when_memory_runs_out(
    make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(*(f"{number}.jpg" for number in range(4)))
    assert run(photos, tmp_path / "whole", "--batch", "1") == 0
    sizes = []

    def only_one_fits(images: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        sizes.append(len(images))
        if len(images) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return score(images, *args, **kwargs)

    monkeypatch.setattr("dreamgan.lit.dream_job.score", only_one_fits)
    assert run(photos, tmp_path / "halved") == 0
    assert max(sizes) == 2
    for split in ("train", "test"):
        rows, wanted = (pairs.load_pairs(tmp_path / name, split) for name in ("halved", "whole"))
        for name in ("photo_id", "score_before", "score_after"):
            assert rows[name][:] == wanted[name][:]


def test_a_photo_that_no_step_changed_is_a_reject(
    make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(*(f"{number}.jpg" for number in range(4)))

    def two_fail(images: torch.Tensor, *args: Any, seed: int, photo_ids: list[str], **kwargs: Any) -> DreamResult:
        result = dream(images, *args, seed=seed, photo_ids=photo_ids, **kwargs)
        steps = sum(args[1].steps_per_octave[result.dropped_octaves :])
        # 1: in every step. 2: in every step of the second dream. 3: in all but one.
        stuck = {"1": steps, "2": steps * (seed == 1), "3": steps - 1}
        return replace(result, skipped_steps=torch.tensor([stuck.get(name, 0) for name in photo_ids]))

    monkeypatch.setattr("dreamgan.lit.dream_job.dream", two_fail)
    flags = ["--hold_out_categories", "2,3", "--test_fraction", "0"]
    assert run(photos, tmp_path / "out", *flags) == 0
    for split, name in (("train", "0"), ("test", "3")):
        assert pairs.load_pairs(tmp_path / "out", split)["photo_id"][:] == [name]
    header, *rejects = (tmp_path / "out" / "rejects.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in rejects] == ["1.jpg", "2.jpg"]
    assert all("gradient was zero or not finite in every step" in line for line in rejects)


def test_the_photos_may_be_spelt_otherwise_but_must_be_the_same(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = make_photos("a.jpg", "b.jpg"), tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    assert run("photos", out) == 0
    for spelling in ("photos/", "./photos", str(photos)):
        assert run(spelling, out) == 0
        assert "is complete already" in capsys.readouterr().out
    monkeypatch.chdir(photos)
    assert run(".", out) == 0
    other = make_photos("a.jpg", "b.jpg", folder="other", size=(64, 40))
    is_refused(run(other, out), capsys, "(the photos differ in name, class, crop or file size)")


def test_a_parquet_file_of_as_many_other_photos_is_another(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import datasets

    photos = make_photos("a.png", "b.png")
    make_photos("c.png", "d.png", size=(64, 64))
    for folder, names in (("one", "ab"), ("two", "cd")):
        (tmp_path / folder).mkdir()
        rows = [{"bytes": (photos / f"{name}.png").read_bytes(), "path": None} for name in names]
        kinds = datasets.Features(image=datasets.Image())
        datasets.Dataset.from_dict({"image": rows}, features=kinds).to_parquet(tmp_path / folder / "photos.parquet")
    assert run(tmp_path / "one" / "photos.parquet", tmp_path / "out") == 0
    is_refused(run(tmp_path / "two" / "photos.parquet", tmp_path / "out"), capsys, "the photos differ")


def test_another_thread_count_matters_only_while_there_is_something_to_dream(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = make_photos("a.jpg", "b.jpg"), tmp_path / "out"
    assert run(photos, out) == 0
    assert run(photos, out, "--threads", "2") == 0
    assert "is complete already" in capsys.readouterr().out
    (out / "README.md").unlink()
    is_refused(run(photos, out, "--threads", "2"), capsys, "(threads was 1, is 2)")


def test_an_overwriting_that_is_cut_off_leaves_nothing_that_passes_for_complete(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = make_photos("a.jpg", "b.jpg"), tmp_path / "out"
    assert run(photos, out) == 0
    whole = {name: (out / name).read_bytes() for name in COMPLETE[1:4]}
    real = Path.unlink

    def cut_off(self: Path, missing_ok: bool = False) -> None:
        real(self, missing_ok=missing_ok)
        if self.name == "README.md":
            raise OSError(errno.EIO, "Input/output error", str(self))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", cut_off)
        assert run(photos, out, "--size", "40", "--overwrite") == 2
    capsys.readouterr()
    # Cut off at its first deletion: the card is gone, the data still there.
    assert not (out / "README.md").exists()
    assert (out / "data").exists()
    assert run(photos, out) == 0
    assert "complete already" not in capsys.readouterr().out
    assert {name: (out / name).read_bytes() for name in whole} == whole


def test_without_its_data_a_dataset_is_not_complete(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos, out = make_photos("a.jpg", "b.jpg"), tmp_path / "out"
    assert run(photos, out) == 0
    for shard in (out / "data").iterdir():
        shard.unlink()
    assert run(photos, out) == 0
    assert files_in(out) == COMPLETE


def test_units_left_by_an_end_cut_off_are_swept(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = make_photos("a.jpg", "b.jpg"), tmp_path / "out"
    assert run(photos, out) == 0
    (out / ".work" / "units").mkdir(parents=True)
    (out / ".work" / "units" / "0000000.parquet").touch()
    assert run(photos, out) == 0
    assert "is complete already" in capsys.readouterr().out
    assert files_in(out) == COMPLETE


def test_the_default_batch_is_the_one_of_all_commands(make_photos: MakePhotos, tmp_path: Path) -> None:
    few = FEW[: FEW.index("--batch")] + FEW[FEW.index("--batch") + 2 :]
    photos, out = make_photos("a.jpg"), tmp_path / "out"
    assert cli.main(["dataset", "--photos", str(photos), "--out", str(out), *few]) == 0
    cpu, gpu = (default_batch(torch.device(name)) for name in ("cpu", "cuda"))
    assert json.loads((out / "config.json").read_text())["batch"] == cpu
    assert f"Default: {cpu} on a CPU, {gpu} on a GPU." in (make_dataset.__doc__ or "")


MIX = """\
dreams:
- {name: soft, recipe: distillable, backbone: mobilenet_v2, layers: block_2_add, weights: random, share: 2,
   strengths: [0.5, 1]}
- {name: bold, recipe: gordic, backbone: squeezenet1_1, layers: features.4, weights: random}
"""


def mixed(photos: Path, out: Path, mix: str, *flags: str) -> int:
    """Run with a YAML file of several kinds of dream."""
    file = out.parent / "mix.yaml"
    file.write_text(mix)
    few = ["--size", "32", "--batch", "2", "--threads", "1", "--device", "cpu"]
    return cli.main(["dataset", "--config", str(file), "--photos", str(photos), "--out", str(out), *few, *flags])


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [row for split in ("train", "test") for row in pairs.load_pairs(out, split)]


def test_several_recipes_share_the_photos_and_each_pair_says_how_it_was_made(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = make_photos(*(f"cat/{number:02d}.jpg" for number in range(16))), tmp_path / "out"
    flags = ["--dream_size", "40", "--crop", "random", "--test_fraction", "0.5", "--second_dreams", "0.5"]
    assert mixed(photos, out, MIX, *flags) == 0
    rows = rows_of(out)
    ways = Counter((row["recipe"], row["strength"], row["backbone"]) for row in rows)
    assert sum(ways.values()) == 16
    assert set(ways) == {
        ("soft", 0.5, "mobilenet_v2"),
        ("soft", 1.0, "mobilenet_v2"),
        ("bold", 1.0, "squeezenet1_1"),
    }
    assert abs(ways["bold", 1.0, "squeezenet1_1"] - 16 / 3) < 2
    assert 1 <= sum(row["second_dream"] is not None for row in rows) <= 5
    table = capsys.readouterr().out
    assert "soft" in table
    assert "bold" in table
    extractors: dict[str, Any] = {}
    for row in rows:
        # Nothing but the row, the photo and the cut are needed to dream it again.
        recipe = DreamRecipe.from_json(row["recipe_json"])
        extractor = extractors.setdefault(
            row["recipe"], load_extractor(row["backbone"], recipe.layer_names, weights="random")
        )
        assert extractor.weights_sha256 == row["weights_sha256"]
        square = square_crop(load_image(photos / f"{row['photo_id']}.jpg").picture, 40)
        images = to_unit(square)[None]
        cut = Cut(32, 40, random=True, seed=0).corner(row["photo_id"])
        box = (cut[1], cut[0], cut[1] + 32, cut[0] + 32)
        assert row["photo"].tobytes() == square.crop(box).tobytes()
        for column, seed in (("dream", row["seed"]), ("second_dream", row["second_seed"])):
            if row[column] is None:
                continue
            again = dream(
                images, extractor, recipe, seed=seed, photo_ids=[row["photo_id"]], strength=row["strength"]
            ).images[0]
            difference = to_unit(row[column]) - to_unit(to_picture(again).crop(box))
            assert float(difference.abs().mean()) < 0.004, "another batch changes the last bits only"
    assert len({Cut(32, 40, random=True, seed=0).corner(row["photo_id"]) for row in rows}) > 8


def test_every_recipe_can_dream_every_photo(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos, out = make_photos(*(f"{number}.jpg" for number in range(4))), tmp_path / "out"
    assert mixed(photos, out, MIX, "--every_recipe", "true") == 0
    rows = rows_of(out)
    assert Counter((row["photo_id"], row["recipe"]) for row in rows) == {
        (f"{number}", name): 1 for number in range(4) for name in ("soft", "bold")
    }
    sides = {name: {row["photo_id"] for row in pairs.load_pairs(out, name)} for name in ("train", "test")}
    assert not sides["train"] & sides["test"]


@pytest.mark.parametrize(
    ("mix", "flags", "said"),
    [
        (MIX, ["--recipe", "gordic"], "--recipe describes a single dream; put it into the entries of dreams"),
        ("dreams: []", [], "--dreams is empty; give at least one entry"),
        ("dreams: [{recipes: gordic}]", [], "recipes"),
        ("dreams: [{class_path: os.system}]", [], "os.system"),
        (MIX, ["--second_dreams", "2"], "--second_dreams is 2.0; it must be a share, 0 to 1"),
        (MIX, ["--dream_size", "31"], "--dream_size is 31; it must be at least 32"),
        (MIX, ["--threads", "100000"], "--threads is 100000; it must be at most 1024"),
        (MIX, ["--strengths", "many"], "--strengths: 'many' is neither a number nor a list like [0.5, 1]"),
        (MIX, ["--strengths", "[0.5, x]"], "is neither a number nor a list like [0.5, 1]"),
        (MIX, ["--wandb", ""], "--wandb is empty"),
        (MIX, ["--crop", "left"], "--crop: 'left' is not one of"),
        (MIX, ["--devices", "0"], "--devices is 0"),
        (MIX, ["--device", "cpu", "--push_to_hub", "a b"], "a b"),
        (MIX, ["--only", "dgo"], "'dgo' matches no class and no photo"),
    ],
)
def test_a_mix_that_makes_no_sense(
    mix: str,
    flags: list[str],
    said: str,
    make_photos: MakePhotos,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = make_photos("cat/a.jpg", "dog/b.jpg")
    is_refused(mixed(photos, tmp_path / "out", mix, *flags), capsys, said)
    assert not (tmp_path / "out").exists()


def test_where_nothing_is_left_to_chance_there_are_no_second_dreams(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = make_photos("a.jpg", "b.jpg"), tmp_path / "out"
    assert run(photos, out, "--recipe", "tutorial_simple", "--test_fraction", "0.5") == 0
    assert "no second dreams of tutorial_simple: without shifts" in capsys.readouterr().out
    assert pairs.load_pairs(out, "test")["second_seed"][:] == [None]


def test_a_dry_run_tells_and_writes_nothing(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = make_photos(*(f"{number}.jpg" for number in range(6))), tmp_path / "out"
    (photos / "bad.jpg").write_text("no picture")
    assert mixed(photos, out, MIX, "--dry_run", "true") == 0
    said = capsys.readouterr().out
    config, _, rest = said.partition("\n\n")
    assert [entry["name"] for entry in yaml.safe_load(config)["dreams"]] == ["soft", "bold"]
    assert "photos: 7; 5 for training, 1 for the test split" in rest
    for part in ("work units: ", "time: about ", "disk: about ", "dry run: nothing was written"):
        assert part in rest
    assert not out.exists()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["mix.yaml", "photos"]


def test_the_estimate_of_disk_is_near_the_truth(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = make_photos(*(f"{number:02d}.jpg" for number in range(24))), tmp_path / "out"
    assert run(photos, out, "--dry_run", "true") == 0
    (kib,) = re.findall(r"disk: about ([\d.]+) KiB", capsys.readouterr().out)
    assert run(photos, out) == 0
    size = sum(file.stat().st_size for file in (out / "data").iterdir()) / 1024
    # Each unit of so tiny pictures carries a file's head and foot.
    assert 0.5 * size < float(kib) < 6 * size


def test_copies_of_a_photo_are_on_one_side_of_the_split(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos(*(f"cat/{number}.png" for number in range(6)), *(f"dog/{number}.png" for number in range(6)))
    for number in range(6):  # the same pixels in another format, under another class
        Image.open(photos / "dog" / f"{number}.png").save(photos / "cat" / f"copy-{number}.bmp")
    assert run(photos, tmp_path / "out", "--hold_out_categories", "dog", "--test_fraction", "0") == 0
    assert "6 photos are copies of others" in capsys.readouterr().out
    test = set(pairs.load_pairs(tmp_path / "out", "test")["photo_id"][:])
    assert test == {f"dog/{number}" for number in range(6)} | {f"cat/copy-{number}" for number in range(6)}
    digests = Counter(pairs.load_pairs(tmp_path / "out", "test")["photo_sha256"][:])
    assert set(digests.values()) == {2}


def test_a_guided_dataset_keeps_its_guide(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos, guide = make_photos("a.jpg", "b.jpg"), make_photos("bees.png", folder="guides") / "bees.png"
    few = [flag for flag in FEW if flag not in ("--layers", "block_2_add")]
    command = ["dataset", "--photos", str(photos), "--out", str(tmp_path / "out"), *few, "--guide", str(guide)]
    assert cli.main([*command, "--objective", "guided(block_2_add, guide)"]) == 0
    kept = load_image(tmp_path / "out" / "guides" / "distillable-guide.png").picture
    assert kept.tobytes() == load_image(guide).picture.tobytes()
    for row in rows_of(tmp_path / "out"):
        assert json.loads(row["guides"]) == {"guide": hashlib.sha256(kept.tobytes()).hexdigest()}
        assert row["score_after"] > row["score_before"]
    # Another guide is another dataset.
    other = make_photos("wasps.png", folder="guides") / "wasps.png"
    command[command.index(str(guide))] = str(other)
    assert cli.main([*command, "--objective", "guided(block_2_add, guide)"]) == 2


def test_bad_names_and_bad_files_are_rejects_and_the_run_goes_on(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos, out = make_photos("a.jpg", "b.jpg"), tmp_path / "out"
    shutil.copy(photos / "a.jpg", photos / "two\nlines.jpg")
    shutil.copy(os.fsencode(photos / "a.jpg"), os.fsencode(photos) + b"/\xff.jpg")
    (photos / "empty.jpg").touch()
    (photos / "loop.jpg").symlink_to("loop.jpg")
    assert run(photos, out) == 0
    with (out / "rejects.csv").open(newline="", encoding="utf-8") as file:
        header, *rejects = csv.reader(file)
    assert header == ["photo", "reason"]
    found = dict(rejects)
    assert len(found) == len(rejects) == 4
    assert "line break" in found["two\\nlines.jpg"]
    assert "not UTF-8" in found["\\udcff.jpg"]
    assert "empty" in found["empty.jpg"]
    assert "loop.jpg" in found
    assert {row["photo_id"] for row in rows_of(out)} == {"a", "b"}


def test_a_finished_dataset_is_published_when_asked(
    make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = make_photos("a.jpg", "b.jpg"), tmp_path / "out"
    called: list[object] = []
    monkeypatch.setattr(publish, "check_login", lambda: None)
    monkeypatch.setattr(publish, "log_to_wandb", lambda out, project: called.append((out, project)))
    monkeypatch.setattr(publish, "push_to_hub", lambda out, name, *, private: called.append((out, name, private)))
    assert run(photos, out, "--wandb", "dreams", "--push_to_hub", "me/dreams") == 0
    assert called == [(out, "dreams"), (out, "me/dreams", True)]
    # Of a dataset that is complete, too.
    assert run(photos, out, "--push_to_hub", "me/dreams", "--public", "true") == 0
    assert called[2:] == [(out, "me/dreams", False)]


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
        while len(list(out.glob(".work/units/*.parquet"))) < 2:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    done = len(list(out.glob(".work/units/*.parquet")))
    assert not (out / "README.md").exists()
    assert run(photos, out, *flags) == 0
    assert f"13 work units of 2, {done} done already" in capsys.readouterr().out
    assert run(photos, whole, *flags) == 0
    assert files_in(out) == files_in(whole) == COMPLETE
    for name in COMPLETE[1:4]:
        assert (out / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.slow
def test_a_whole_corpus_of_malformed_files_becomes_rejects_with_reasons(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = make_photos("good/a.jpg", "good/b.jpg"), tmp_path / "out"
    (photos / "corpus").mkdir()
    made = make_corpus(photos / "corpus")
    bad = [name for name, kind in made.items() if kind != FOLDER]
    assert len(bad) >= 200
    assert run(photos, out) == 0
    assert {row["photo_id"] for row in rows_of(out)} == {"good/a", "good/b"}
    with (out / "rejects.csv").open(newline="", encoding="utf-8") as file:
        _, *rejects = csv.reader(file)
    found = dict(rejects)
    assert len(found) == len(rejects)
    assert all(reason and "\n" not in reason and name.isprintable() for name, reason in rejects)
    pictures = {visible(f"corpus/{name}") for name in bad if Path(name).suffix.lower() in IMAGE_SUFFIXES}
    assert len(pictures) >= 200
    assert pictures <= set(found)
