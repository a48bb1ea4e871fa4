import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageCms
from safetensors.torch import load_file, save_file
from torch import Tensor

from dreamgan import __version__, cli, generators, sampling
from dreamgan.images import as_saved, load_image, to_unit
from tests.lively import lively_translator

MakePhotos = Callable[..., Path]


EYES = {"recipe": "eyes", "backbone": "vgg16", "layers": ["relu4_3", "relu5_1"], "seed": 3, "labels": ["cat"]}
STYLES: dict[str, dict[str, Any]] = {
    "eyes": EYES,
    "fur": {"recipe": "fur", "seed": 0},
    "pe/tals": {"recipe": "pe/tals"},
}


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Treat as read-only."""
    folder = tmp_path_factory.mktemp("export") / "generator"
    sampling.save_generator(folder, copy.deepcopy(lively_translator(styles=len(STYLES))), STYLES, "card")
    return folder


@pytest.fixture
def spoilt(generator: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(generator, tmp_path / "copy"))


def run(photos: Path, generator: Path, out: Path, *flags: str) -> int:
    return cli.main(
        ["sample", str(photos), "--generator", str(generator), "--out", str(out), "--device", "cpu", *flags]
    )


def pixels(path: Path) -> Tensor:
    return to_unit(load_image(path).picture)


def expected_dream(generator: Path, photo: Path, style: Any = None, strength: float = 1.0) -> Tensor:
    loaded = sampling.load_generator(generator)
    return as_saved(sampling.sample(loaded, pixels(photo)[None], style, strength)[0])


def facts_in(path: Path) -> dict[str, str]:
    with Image.open(path) as picture:
        text = {str(key): value for key, value in picture.info.items()}
    return {key.removeprefix("dreamgan:"): value for key, value in text.items() if key.startswith("dreamgan:")}


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def is_refused(code: int, capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    line = capsys.readouterr().err.splitlines()[-1]
    assert code == 2
    assert line.startswith("dreamgan sample: ")
    for part in parts:
        assert part in line


def test_photos_of_any_size_keep_it(
    make_photos: MakePhotos, generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos("a.jpg", "sub/b ü.png", "c.png", "d.png")
    make_photos("odd.png", size=(71, 33))
    assert run(photos, generator, tmp_path / "out") == 0
    assert files_in(tmp_path / "out") == ["a.png", "c.png", "d.png", "odd.png", "sub/b ü.png"]
    sizes = {path.name: load_image(path).picture.size for path in (tmp_path / "out").rglob("*.png")}
    assert sizes.pop("odd.png") == (71, 33)
    assert set(sizes.values()) == {(48, 40)}
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith(f"5 dreams in {tmp_path / 'out'}; ")
    assert float(captured.out.partition("; ")[2].split()[0]) > 0
    assert captured.out.endswith("pictures per second in the network, on cpu\n")


def test_it_changes_the_photo(make_photos: MakePhotos, generator: Path, tmp_path: Path) -> None:
    photos = make_photos("a.png")
    assert run(photos, generator, tmp_path / "out") == 0
    assert load_image(photos / "a.png").picture.tobytes() != load_image(tmp_path / "out" / "a.png").picture.tobytes()


def test_the_png_says_how_it_was_made_and_keeps_the_colour_profile(generator: Path, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.effect_noise((48, 40), 60).convert("RGB").save(tmp_path / "a.jpg", icc_profile=profile)
    assert run(tmp_path / "a.jpg", generator, tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "a.png") as dreamed:
        found = dreamed.info
    assert found["icc_profile"] == profile
    assert {key: value for key, value in found.items() if str(key).startswith("dreamgan:")} == {
        "dreamgan:version": __version__,
        "dreamgan:generator": "generator",
        "dreamgan:style": "eyes",
        "dreamgan:strength": "1",
        "dreamgan:recipe": "eyes",
        "dreamgan:backbone": "vgg16",
        "dreamgan:layers": "relu4_3,relu5_1",
        "dreamgan:seed": "3",
        "dreamgan:photo": "a.jpg",
    }


def test_bad_photos_among_good_ones_are_skipped_and_listed(
    make_photos: MakePhotos, generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos("a.jpg", "b.jpg")
    (photos / "bad.jpg").write_text("no picture")
    Image.new("RGB", (31, 64)).save(photos / "narrow.png")
    Image.new("RGB", (1, 5000)).save(photos / "thread.png")
    assert run(photos, generator, tmp_path / "out", "--style", "all", "--strength", "0.5,1") == 0
    found = files_in(tmp_path / "out")
    assert len(found) == 2 * 3 * 2 + 1
    assert "rejects.csv" in found
    rejects = (tmp_path / "out" / "rejects.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in rejects[1:]] == ["bad.jpg", "narrow.png", "thread.png"]
    assert capsys.readouterr().out.startswith("12 dreams in ")


@pytest.mark.parametrize("size", [(31, 64), (1, 5000)])
def test_a_single_photo_that_is_too_small(
    generator: Path, tmp_path: Path, size: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", size).save(tmp_path / "a.png")
    is_refused(run(tmp_path / "a.png", generator, tmp_path / "out"), capsys, "a.png", "32 px")


def test_a_long_photo_is_dreamed_where_it_is_not_shrunk(
    generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, out = tmp_path / "a.png", tmp_path / "out"
    Image.effect_noise((3000, 40), 60).convert("RGB").save(photo)
    is_refused(run(photo, generator, out), capsys, "raise --max_side")
    assert run(photo, generator, out, "--max_side", "0", "--tile", "256") == 0
    assert load_image(out / "a.png").picture.size == (3000, 40)
    # One level is 1/255: tiles and whole may round to neighbouring ones.
    assert (pixels(out / "a.png") - expected_dream(generator, photo)).abs().max() < 1.5 / 255


# --- styles, strengths and blends


def test_without_flags_it_is_the_first_style_whole(make_photos: MakePhotos, generator: Path, tmp_path: Path) -> None:
    photo = make_photos("a.png") / "a.png"
    assert run(photo, generator, tmp_path / "out") == 0
    assert torch.equal(pixels(tmp_path / "out" / "a.png"), expected_dream(generator, photo, "eyes"))


def test_one_style_and_strength_keep_the_name(make_photos: MakePhotos, generator: Path, tmp_path: Path) -> None:
    photo = make_photos("a.png") / "a.png"
    assert run(photo, generator, tmp_path / "out", "--style", "fur", "--strength", "0.50") == 0
    assert files_in(tmp_path / "out") == ["a.png"]
    assert torch.equal(pixels(tmp_path / "out" / "a.png"), expected_dream(generator, photo, "fur", 0.5))
    facts = facts_in(tmp_path / "out" / "a.png")
    assert facts["style"] == "fur"
    assert facts["strength"] == "0.5"
    assert facts["seed"] == "0"


def test_all_styles_and_several_strengths(make_photos: MakePhotos, generator: Path, tmp_path: Path) -> None:
    photos, out = make_photos("a.png", "sub/b.v2.png"), tmp_path / "out"
    alone = ("--batch", "1")  # in a batch of two, a value may be rounded to another level
    assert run(photos, generator, out, "--style", "all", *alone) == 0
    suffixes = ["-eyes", "-fur", "-pe_tals"]
    assert files_in(out) == [f"{name}{suffix}.png" for name in ("a", "sub/b.v2") for suffix in suffixes]
    for style, suffix in zip(STYLES, suffixes, strict=True):
        assert torch.equal(pixels(out / f"a{suffix}.png"), expected_dream(generator, photos / "a.png", style))
        assert facts_in(out / f"a{suffix}.png")["style"] == style
    assert run(photos, generator, tmp_path / "both", "--style", "all", "--strength", "0, 1.5,0", *alone) == 0
    assert len(files_in(tmp_path / "both")) == 2 * 3 * 2  # a strength that is given twice counts once
    made = tmp_path / "both" / "sub" / "b.v2-fur-1.5.png"
    assert torch.equal(pixels(made), expected_dream(generator, photos / "sub" / "b.v2.png", "fur", 1.5))
    assert facts_in(made)["strength"] == "1.5"
    assert torch.equal(pixels(tmp_path / "both" / "a-eyes-0.png"), pixels(photos / "a.png"))


def test_several_strengths_of_one_style(make_photos: MakePhotos, generator: Path, tmp_path: Path) -> None:
    assert run(make_photos("a.png"), generator, tmp_path / "out", "--strength", "0.5,1") == 0
    assert files_in(tmp_path / "out") == ["a-0.5.png", "a-1.png"]


def test_a_blend(make_photos: MakePhotos, generator: Path, tmp_path: Path) -> None:
    photo = make_photos("a.png") / "a.png"
    assert run(photo, generator, tmp_path / "out", "--blend", "eyes=3, fur=1", "--strength", "0.8") == 0
    made = tmp_path / "out" / "a.png"
    assert torch.equal(pixels(made), expected_dream(generator, photo, {"eyes": 0.75, "fur": 0.25}, 0.8))
    facts = facts_in(made)
    assert facts["blend"] == "eyes=0.75,fur=0.25"
    assert facts["strength"] == "0.8"
    assert not {"style", "recipe", "backbone", "layers", "seed"} & facts.keys()


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--style", "eye"], ["no style 'eye'", "nearest: 'eyes' (known: eyes, fur, pe/tals)"]),
        (["--style", "help"], ["known: eyes, fur, pe/tals"]),
        (["--style", ""], ["no style ''"]),
        (["--style", "fur", "--blend", "fur=1"], ["--style and --blend exclude each other"]),
        (["--style", "all", "--blend", "fur=1"], ["--style and --blend exclude each other"]),
        (["--strength", "nan"], ["the strength is nan", "0 (the photo) to 1.5"]),
        (["--strength", "1.6"], ["the strength is 1.6"]),
        (["--strength=-0.5"], ["the strength is -0.5"]),
        (["--strength", "0.5,2"], ["the strength is 2"]),
        (["--strength", "much"], ["--strength: 'much' is not a number"]),
        (["--strength", "1,"], ["--strength: '' is not a number"]),
        (["--blend", "eyes=0.5,fru=0.5"], ["no style 'fru'", "nearest: 'fur'"]),
        (["--blend", "eyes=1,fur=-1"], ["weight of style 'fur' is -1"]),
        (["--blend", "eyes=nan"], ["weight of style 'eyes' is nan"]),
        (["--blend", "eyes=1e999"], ["weight of style 'eyes' is inf"]),
        (["--blend", "eyes=0,fur=0"], ["add up to 0"]),
        (["--blend", "eyes"], ["--blend: 'eyes' is not STYLE=WEIGHT"]),
        (["--blend", "eyes=half"], ["--blend: 'eyes=half' is not STYLE=WEIGHT"]),
        (["--blend", "=1"], ["--blend: '=1' is not STYLE=WEIGHT"]),
        (["--blend", ""], ["--blend: '' is not STYLE=WEIGHT"]),
        (["--blend", "eyes=1,eyes=2"], ["style 'eyes' is given twice"]),
    ],
)
def test_a_wish_that_makes_no_sense(
    flags: list[str],
    parts: list[str],
    make_photos: MakePhotos,
    generator: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    is_refused(run(make_photos("a.jpg"), generator, tmp_path / "out", *flags), capsys, *parts)
    assert not (tmp_path / "out").exists()


def test_no_dream_takes_the_place_of_another(
    make_photos: MakePhotos, spoilt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((spoilt / "config.json").read_text())
    config["styles"] = {"a/b": {}, "a b": {}, "c": {}}
    (spoilt / "config.json").write_text(json.dumps(config))
    out = tmp_path / "out"
    is_refused(run(make_photos("x.jpg"), spoilt, out, "--style", "all"), capsys, "two dreams", "x-a_b.png")
    config["styles"] = {"b": {}, "a-b": {}, "c": {}}
    (spoilt / "config.json").write_text(json.dumps(config))
    photos = make_photos("x.jpg", "x-a.jpg")
    is_refused(run(photos, spoilt, out, "--style", "all"), capsys, "two dreams", "x-a-b.png")
    assert not out.exists()


def test_what_dreamgan_did_not_write_is_kept(
    make_photos: MakePhotos, generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = make_photos("a.jpg"), tmp_path / "out"
    out.mkdir()
    Image.new("RGB", (8, 8)).save(out / "a-fur.png")
    before = (out / "a-fur.png").read_bytes()
    is_refused(run(photos, generator, out, "--style", "all"), capsys, "a-fur.png", "was not written by dreamgan")
    assert (out / "a-fur.png").read_bytes() == before
    assert run(photos, generator, out, "--style", "fur") == 0
    (out / "a-fur.png").unlink()
    for _ in range(2):  # its own it writes again
        assert run(photos, generator, out, "--style", "all") == 0


# --- the generator


def test_the_generator_of_the_package_is_the_default(
    make_photos: MakePhotos,
    generator: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photo = make_photos("a.png") / "a.png"
    command = ["sample", str(photo), "--out", str(tmp_path / "out"), "--device", "cpu"]
    monkeypatch.setattr(generators, "SHIPPED", tmp_path / "none")
    is_refused(cli.main(command), capsys, "carries no generator", "--generator FOLDER")
    monkeypatch.setattr(generators, "SHIPPED", generator)
    assert cli.main(command) == 0
    assert torch.equal(pixels(tmp_path / "out" / "a.png"), expected_dream(generator, photo))


def test_max_side(make_photos: MakePhotos, generator: Path, tmp_path: Path) -> None:
    assert run(make_photos("a.png", size=(100, 80)), generator, tmp_path / "out", "--max_side", "50") == 0
    assert load_image(tmp_path / "out" / "a.png").picture.size == (50, 40)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--batch", "0"], "--batch is 0"),
        (["--max_side", "-5"], "--max_side is -5"),
        (["--device", "tpu"], "device 'tpu'"),
        (["--tile", "255"], "--tile is 255; it must be at least 256"),
        (["--tile", "-1"], "--tile is -1"),
        (["--generator", "none"], "none holds no config.json"),
        (["--generator", ""], "--generator is an empty name"),
    ],
)
def test_a_value_that_makes_no_sense(
    flags: list[str],
    said: str,
    make_photos: MakePhotos,
    generator: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    is_refused(run(make_photos("a.jpg"), generator, tmp_path / "out", *flags), capsys, said)
    assert not (tmp_path / "out").exists()


def test_a_missing_photo(generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    is_refused(run(tmp_path / "no.jpg", generator, tmp_path / "out"), capsys, "no.jpg' does not exist")


def test_a_generator_that_is_none(
    make_photos: MakePhotos, spoilt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = make_photos("a.jpg"), tmp_path / "out"
    is_refused(run(photos, photos, out), capsys, "photos holds no config.json")
    weights, config = spoilt / "model.safetensors", json.loads((spoilt / "config.json").read_text())
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    is_refused(run(photos, spoilt, out), capsys, "copy holds no generator that dreamgan can read")
    weights.write_text("no weights")
    is_refused(run(photos, spoilt, out), capsys, "copy holds no generator that dreamgan can read")
    weights.write_bytes(whole)

    def refused(text: str, *parts: str) -> None:
        (spoilt / "config.json").write_text(text)
        is_refused(run(photos, spoilt, out), capsys, "copy holds no generator that dreamgan can read", *parts)

    refused("{")
    refused(json.dumps({"format": "something"}), "is of format 'something'")
    refused(json.dumps(config | {"format": "dreamgan-translator-1"}), "old format", "train it again")
    refused(json.dumps(config | {"styles": {"eyes": {}}}), "3 styles, 1 are described")
    for widths in ([10**9] * 5, [10**30] * 5, [1024] * 5):
        refused(json.dumps(config | {"network": config["network"] | {"widths": widths}}))
    assert not out.exists()


@pytest.mark.parametrize(("value", "said"), [(float("nan"), "'head.bias' are not finite"), (3e38, "not finite")])
def test_a_generator_that_gives_nan(
    value: float,
    said: str,
    make_photos: MakePhotos,
    spoilt: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = load_file(spoilt / "model.safetensors")
    state["head.bias"] = torch.full_like(state["head.bias"], value)
    if value == 3e38:  # finite, but their sums are not
        state["head.weight"] = torch.full_like(state["head.weight"], -value)
        state["ups.3.modulation.table"].fill_(value)
    save_file(state, spoilt / "model.safetensors")
    is_refused(run(make_photos("a.jpg"), spoilt, tmp_path / "out"), capsys, said, "train it again")
    assert not (tmp_path / "out").exists()


def test_out_of_memory_halves_the_batch_and_says_so(
    make_photos: MakePhotos,
    generator: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = sampling.sample

    def small(loaded: sampling.Generator, photos: Tensor, *wish: Any) -> Tensor:
        if len(photos) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(loaded, photos, *wish)

    monkeypatch.setattr(sampling, "sample", small)
    photos = make_photos("a.png", "b.png", "c.png", "d.png", "e.png")
    assert run(photos, generator, tmp_path / "out", "--batch", "5") == 0
    assert capsys.readouterr().err == "out of memory: going on with 2 pictures at a time\n"
    assert files_in(tmp_path / "out") == ["a.png", "b.png", "c.png", "d.png", "e.png"]
