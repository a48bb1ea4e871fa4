import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dreamgan.backbones.features import load_extractor, normalise
from dreamgan.dream import dream, get_recipe
from dreamgan.errors import UserError
from dreamgan.images import load_image, to_picture, to_unit
from dreamgan.reproduce import bedtime
from dreamgan.reproduce.report import Experiment, dream_one, sample_photos

MakeJob = Callable[..., Experiment]


@pytest.fixture
def guides(tmp_path: Path, photo: Image.Image) -> tuple[Path, Path]:
    """A checkerboard and a smooth picture, 40x40 px."""
    files = (tmp_path / "guides" / "board.png", tmp_path / "guides" / "smooth.png")
    files[0].parent.mkdir()
    board = (torch.arange(40)[:, None] // 4 + torch.arange(40) // 4) % 2
    to_picture(board.float().expand(3, 40, 40)).save(files[0])
    photo.crop((0, 0, 24, 24)).resize((40, 40)).save(files[1])
    return files


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_guided_dreams_of_all_forms(
    make_job: MakeJob, guides: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job(guides=guides, photos=make_job().photos[:1])
    bedtime.run(job)
    rows = rows_of(job.out / "bedtime.csv")
    assert tuple(rows[0]) == bedtime.GUIDED_COLUMNS
    # Layers of `tutorial`, then that of `guided`, which has all forms.
    settings = [("features.8", "plain"), ("features.10", "plain")]
    settings += [("features.9", form) for form in ("plain", "spatial", "per_octave", "match")]
    assert sorted((row["layer"], row["form"], row["dream_guide"]) for row in rows) == sorted(
        (*setting, guide) for setting in settings for guide in ("board", "smooth") for _ in range(4)
    )
    assert {(row["maps_of_guide"], row["which_maps"]) for row in rows} == {
        (guide, which) for guide in ("board", "smooth") for which in ("heaviest", "distinct")
    }
    assert {row["map_count"] for row in rows if row["layer"] == "features.9"} == {"38"}  # a tenth of 384
    figure = load_image(job.out / "bedtime.png").picture
    assert figure.width > (2 + len(settings)) * 40
    assert load_image(job.out / "bedtime_maps.png").picture.width > 4 * 40
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2 * len(settings)
    # 40 px are 15 px at the fourth octave of 1.4, less than the engine's least.
    assert captured.err == (
        "bedtime: the 1 coarsest octaves were left out, too small for squeezenet1_1; raise --max_side\n"
    )


def test_a_row_is_what_the_engine_dreams(make_job: MakeJob, guides: tuple[Path, Path]) -> None:
    job = make_job(guides=guides, seed=4)
    bedtime.run(job)
    recipe = get_recipe("guided", "squeezenet1_1", objective="guided(features.9, guide, spatial=true)", steps=3)
    extractor = load_extractor("squeezenet1_1", ["features.9"], weights="random")
    photo = to_unit(load_image(job.photos[1]).picture)[None]
    pictures = {file.stem: to_unit(load_image(file).picture)[None] for file in guides}
    dreamed = dream(photo, extractor, recipe, seed=4, guides={"guide": pictures["smooth"]}).images
    kept = load_image(job.out / "parts" / "bedtime_two_features.9_spatial_smooth__dream.png").picture
    assert kept.tobytes() == to_picture(dreamed[0]).tobytes()

    def means(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            activation: torch.Tensor = extractor(normalise(images))["features.9"]
            return activation[0].mean(dim=(1, 2))

    heaviest = means(pictures["board"]).topk(38).indices
    gain = (means(dreamed) - means(photo))[heaviest].mean()
    (row,) = (
        row
        for row in rows_of(job.out / "bedtime.csv")
        if (row["photo"], row["form"]) == ("two", "spatial")
        and (row["dream_guide"], row["maps_of_guide"], row["which_maps"]) == ("smooth", "board", "heaviest")
    )
    assert float(row["gain"]) == pytest.approx(float(gain), rel=1e-3)
    assert float(row["activation_before"]) == pytest.approx(float(means(photo)[heaviest].mean()), rel=1e-4)


def test_the_most_the_least_and_hand_picked_maps(make_job: MakeJob, guides: tuple[Path, Path]) -> None:
    job = make_job(guides=guides)
    bedtime.run(job)
    rows = rows_of(job.out / "bedtime_maps.csv")
    assert tuple(rows[0]) == bedtime.CHOSEN_COLUMNS
    kinds = ["select_max", "select_min", "maps"]
    assert [(row["photo"], row["objective"]) for row in rows] == [
        (name, kind) for name in ("one", "two") for kind in kinds
    ]
    extractor = load_extractor("squeezenet1_1", ["features.9"], weights="random")
    for name, file in zip(("one", "two"), job.photos, strict=True):
        means = bedtime.mean_activations(to_unit(load_image(file).picture), extractor)
        found = {row["objective"]: row for row in rows if row["photo"] == name}
        chosen = {kind: [int(index) for index in found[kind]["maps"].split()] for kind in kinds}
        least, most = means.sort().values[[4, -5]]
        assert len(set(chosen["select_max"])) == len(set(chosen["select_min"])) == 5
        assert all(means[index] >= most * (1 - 1e-5) for index in chosen["select_max"])
        assert all(means[index] <= least * (1 + 1e-5) + 1e-9 for index in chosen["select_min"])
        assert chosen["maps"] == [60, 77, 190]
        for kind in kinds:
            before = float(means[chosen[kind]].mean())
            assert float(found[kind]["activation_before"]) == pytest.approx(before, rel=1e-4, abs=1e-9)
        assert float(found["select_max"]["gain"]) > float(found["select_max"]["gain_of_other_maps"])


def test_a_second_call_dreams_only_what_is_missing(
    make_job: MakeJob, guides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(guides=guides, steps=1)
    bedtime.run(job)
    names = ("bedtime.csv", "bedtime.png", "bedtime_maps.csv", "bedtime_maps.png")
    before = [(job.out / name).read_bytes() for name in names]
    (job.out / "parts" / "bedtime_one_features.9_match_board.json").unlink()
    (job.out / "parts" / "bedtime_two_select_min.json").unlink()
    dreamed: list[str] = []
    real = dream_one

    def noted(job: Experiment, name: str, *args: Any, **kwargs: Any) -> Any:
        dreamed.append(name)
        return real(job, name, *args, **kwargs)

    monkeypatch.setattr(bedtime, "dream_one", noted)
    bedtime.run(job)
    assert dreamed == ["one features.9 match as board", "two select_min(features.9, 5)"]
    assert [(job.out / name).read_bytes() for name in names] == before


def test_there_are_two_guides(make_job: MakeJob, guides: tuple[Path, Path], two_photos: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="two guides, not 1; give --guides"):
        bedtime.run(make_job(guides=guides[:1]))
    with pytest.raises(UserError, match="two guides, not 3; give --guides"):
        bedtime.run(make_job(guides=(*guides, two_photos[0])))
    with pytest.raises(UserError, match=r"none\.png' does not exist"):
        bedtime.run(make_job(guides=(guides[0], guides[0].with_name("none.png"))))


def test_a_guide_too_small_for_the_network_is_refused(make_job: MakeJob, guides: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match=r"guide 'guide' is 40x40 px; inception_v3 needs \d+ px"):
        bedtime.run(make_job(guides=guides, backbone="inception_v3", steps=1))


def test_the_usual_guides_are_a_flower_and_a_rocket(make_job: MakeJob) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    assert list(bedtime._guides(make_job(max_side=64))) == ["flower", "rocket"]


def test_maps_of_guides_done_by_hand() -> None:
    sun = torch.zeros(20, dtype=torch.float64)
    moon = torch.zeros(20, dtype=torch.float64)
    # Map 0 is strong in both, and stronger in moon; 3, 4 set sun apart. Moon answers ten times as strongly.
    sun[[0, 3, 4, 7]] = torch.tensor([6.0, 5.0, 4.0, 1.0], dtype=torch.float64)
    moon[[0, 7, 9]] = torch.tensor([100.0, 40.0, 20.0], dtype=torch.float64)
    found = bedtime.maps_of_guides({"sun": sun, "moon": moon})
    assert found == {
        ("sun", "heaviest"): [0, 3],
        ("sun", "distinct"): [3, 4],
        ("moon", "heaviest"): [0, 7],
        ("moon", "distinct"): [0, 7],  # 0.625 - 0.375 and 0.25 - 0.0625
    }


def test_gains_done_by_hand() -> None:
    before, after = torch.tensor([1.0, 3.0, 0.0, 2.0]), torch.tensor([2.0, 4.0, 5.0, 2.0])
    assert bedtime.gains(before, after, [0, 1]) == {
        "map_count": 2,
        "activation_before": 2.0,
        "activation_after": 3.0,
        "gain": 1.0,
        "relative_gain": 0.5,
        "gain_of_other_maps": 2.5,
        "relative_gain_of_other_maps": 2.5,
    }
    assert bedtime.gains(before, after, [2])["relative_gain"] is None


def gain_row(photo: str, dream_guide: str, maps_of_guide: str, gain: float, others: float) -> dict[str, Any]:
    same = {"layer": "mixed5", "form": "plain", "which_maps": "heaviest", "gain_of_other_maps": others}
    return {"photo": photo, "dream_guide": dream_guide, "maps_of_guide": maps_of_guide, "gain": gain, **same}


def test_the_diagonal_done_by_hand() -> None:
    table = [
        gain_row("cat", "sun", "sun", 5.0, 1.0),
        gain_row("cat", "sun", "moon", 2.0, 1.5),
        gain_row("cat", "moon", "sun", 3.0, 0.5),
        gain_row("cat", "moon", "moon", 1.0, 4.0),  # loses against both
        gain_row("cup", "moon", "moon", 7.0, 8.0),  # loses against the other maps
        gain_row("cup", "moon", "sun", 0.0, 0.0),
        gain_row("cup", "sun", "moon", 6.0, 0.0),
        gain_row("cup", "sun", "sun", 3.0, 0.0),
    ]
    cases = bedtime.diagonal(table)
    assert [(case["photo"], case["maps_of_guide"]) for case in cases] == [
        ("cat", "sun"),
        ("cat", "moon"),
        ("cup", "moon"),
        ("cup", "sun"),
    ]
    assert [(case["own"], case["other_dream"], case["other_maps"]) for case in cases] == [
        (5.0, 3.0, 1.0),
        (1.0, 2.0, 4.0),
        (7.0, 6.0, 8.0),
        (3.0, 0.0, 0.0),
    ]
    assert bedtime.verdict(table) == [
        "mixed5 plain: a guide's heaviest maps gain 4, in the other guide's dream 2.75 (less in 3 of 4); "
        "other maps gain 3.25 (less in 2 of 4)"
    ]


def test_real_guides_leave_their_mark(make_job: MakeJob, shared_dir: Path) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    weights = str(shared_dir / "weights" / "inception_v3_to_mixed_7a.fp16.safetensors")
    few = {"photos": sample_photos("coffee"), "max_side": 128, "steps": 4}
    job = make_job(backbone="inception_v3", weights=weights, **few)
    bedtime.run(job)
    table: list[dict[str, Any]] = [
        {**row, "gain": float(row["gain"]), "gain_of_other_maps": float(row["gain_of_other_maps"])}
        for row in rows_of(job.out / "bedtime.csv")
    ]
    # The recipe's layer. In mixed3 the two guides weigh nearly the same maps, and so few steps may not tell them apart.
    cases = [case for case in bedtime.diagonal(table) if case["layer"] == "mixed5"]
    assert len(cases) == 4 * 2 * 2  # forms, guides, heaviest and distinct
    assert all(case["own"] > case["other_dream"] for case in cases)
    assert all(case["own"] > case["other_maps"] for case in cases)
