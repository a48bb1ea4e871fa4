import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image

from dreamgan.backbones import load_extractor
from dreamgan.data import card, counting
from dreamgan.data.card import write_card
from dreamgan.data.counting import class_names, pair_groups, shards
from dreamgan.data.pairs import COLUMNS
from dreamgan.dream import DreamRecipe, dream
from dreamgan.images import load_image, to_picture, to_unit
from dreamgan.metrics import measure
from tests.finished_dataset import (
    BACKBONE,
    COUNTS,
    LAYER,
    config_of,
    encoded,
    picture,
    recipe_of,
    rows_of,
    write_dataset,
    write_split,
)

NASTY = "a | b\n---\n# `x` *y* <img src=x> [l](u) ``` é \udcff \\ $z$"
ONE_WAY = (("bold", 1.0),)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def card_of(out: Path, *, name: str = "dreams", counts: dict[str, int] = COUNTS, **changes: Any) -> str:
    ways = changes.pop("ways", None)
    write_card(out, config=config_of(ways, **changes) if ways else config_of(**changes), counts=counts, name=name)
    return (out / "README.md").read_text(encoding="utf-8")


def front_matter(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text.split("---\n")[1]))


def outside_code(text: str) -> str:
    body = text.split("---\n", 2)[2]
    return re.sub(r"^```.*?^```$", "", body, flags=re.DOTALL | re.MULTILINE)


def code_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def cells(line: str) -> list[str]:
    """The cells of a line of a table, by the pipes that Markdown takes for borders."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def table_under(text: str, head: str) -> list[list[str]]:
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(head)) + 2
    found = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        found.append(cells(line))
    return found


def test_the_hub_reads_the_card_and_the_splits_load_with_it(tmp_path: Path) -> None:
    out = write_dataset(tmp_path / "dreams")
    text = card_of(out)
    data = huggingface_hub.DatasetCard.load(out / "README.md").data
    assert data.license == "other"
    assert data.license_name == "that-of-the-photos"
    assert data.task_categories == ["image-to-image"]
    assert data.size_categories == ["n<1K"]
    assert front_matter(text)["pretty_name"] == "dreams"
    loaded = datasets.load_dataset(str(out))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 12, "test": 6}


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (9_999, "1K<n<10K"),
        (10_000, "10K<n<100K"),
        (1_000_000, "1M<n<10M"),
        (999_999_999_999, "100B<n<1T"),
        (10**12, "n>1T"),
        (10**15, "n>1T"),
    ],
)
def test_sizes_have_the_hubs_names(rows: int, name: str) -> None:
    assert card._size_category(rows) == name


def test_scores_and_pairs_are_those_of_the_rows(tmp_path: Path) -> None:
    out = write_dataset(tmp_path / "dreams")
    text = card_of(out)
    heads = "| strength | split | pairs | second dreams |"
    bold, calm = (table_under(part, heads) for part in text.split("### ")[1:3])
    rows = [
        {**row, "split": split}
        for split, shard in shards(out)
        for row in pq.read_table(
            shard, columns=["recipe", "strength", "second_seed", "score_before", "score_after"]
        ).to_pylist()
    ]
    assert [line[:2] for line in bold] == [["0.5", "train"], ["0.5", "test"], ["1", "train"], ["1", "test"]]
    assert [line[:2] for line in calm] == [["1", "train"], ["1", "test"]]
    for name, lines in (("bold", bold), ("calm", calm)):
        for strength, split, pairs, seconds, before, after, ratio in lines:
            own = [r for r in rows if (r["recipe"], r["strength"], r["split"]) == (name, float(strength), split)]
            assert int(pairs) == len(own)
            assert int(seconds) == sum(r["second_seed"] is not None for r in own)
            means = [np.mean([r[key] for r in own]) for key in ("score_before", "score_after")]
            assert (before, after) == (f"{means[0]:.4g}", f"{means[1]:.4g}")
            assert ratio == f"{means[1] / means[0]:.3g}"
    sizes = {split: sum(path.stat().st_size for of, path in shards(out) if of == split) for split in ("train", "test")}
    assert table_under(text, "| split | pairs |") == [
        ["train", "12", "0", f"{sizes['train'] / 1e6:.1f} MB"],
        ["test", "6", "3", f"{sizes['test'] / 1e6:.1f} MB"],
    ]
    assert table_under(text, "| class |") == [["cat", "6", "3"], ["dog", "6", "3"]]


def test_every_column_is_explained(tmp_path: Path) -> None:
    rows = table_under(card_of(write_dataset(tmp_path / "dreams")), "| column | type | meaning |")
    assert tuple(row[0].strip("`") for row in rows) == COLUMNS


def test_counting_needs_few_rows_in_memory_and_no_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = write_dataset(tmp_path / "dreams")
    whole = pair_groups(out)
    read: list[tuple[int, list[str]]] = []
    plain = pq.ParquetFile.iter_batches

    def spy(file: Any, size: int, *, columns: list[str]) -> Any:
        read.append((size, columns))
        return plain(file, size, columns=columns)

    monkeypatch.setattr(counting, "BATCH_ROWS", 3)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    assert pair_groups(out) == whole
    card_of(out)
    assert {size for size, _ in read} == {3}
    assert not {"photo", "dream", "second_dream"} & {name for _, columns in read for name in columns}


def test_any_text_of_the_user_leaves_the_card_whole(tmp_path: Path) -> None:
    good = write_dataset(tmp_path / "good", labels=("cat", "dog"))
    bad = write_dataset(tmp_path / "bad", labels=("cat | 1", "<b>d[o]g</b> `"))
    changes: dict[str, Any] = {"photos": [NASTY], "only": NASTY, "skip": NASTY, "hold_out_categories": NASTY}
    tame: dict[str, Any] = {key: ["x"] if key == "photos" else "x" for key in changes}
    config = config_of(**changes)
    for entry in config["dreams"]:
        entry["weights"] = NASTY
    plain = card_of(good, **tame)
    write_card(bad, config=config, counts=COUNTS, name=NASTY)
    odd = (bad / "README.md").read_bytes().decode("utf-8")
    assert front_matter(odd)["pretty_name"] == " ".join(NASTY.replace("\udcff", "\\udcff").split())
    assert {key: value for key, value in front_matter(odd).items() if key != "pretty_name"} == {
        key: value for key, value in front_matter(plain).items() if key != "pretty_name"
    }
    assert len(odd.splitlines()) == len(plain.splitlines())
    for line, like in zip(outside_code(odd).splitlines(), outside_code(plain).splitlines(), strict=True):
        assert len(cells(line)) == len(cells(like)), line
        if like.startswith("#") and not like.startswith("# "):
            assert line == like
        assert not re.search(r"(?<!\\)[<`](img|b>|x)", line), line
    assert [row[0] for row in table_under(odd, "| class |")] == [r"\<b\>d\[o\]g\</b\> \`", r"cat \| 1"]
    for block in code_blocks(odd):
        compile(block, "card", "exec")


def with_dreams(out: Path, config: dict[str, Any], guides: dict[str, Image.Image]) -> Path:
    """A dataset of one recipe whose dreams are what the engine makes of the photos."""
    recipe = DreamRecipe.from_json(json.dumps(config["dreams"][0]["recipe"]))
    extractor = load_extractor(BACKBONE, recipe.layer_names, weights="random")
    units = {name: to_unit(guide)[None] for name, guide in guides.items()}
    for split, count, first in (("train", 2, 0), ("test", 4, 2)):
        rows = list(rows_of(split, count, ONE_WAY, (), first=first, seconds=3 if split == "test" else 0))
        for row in rows:
            photo = to_unit(load_image(row["photo"]["bytes"]).picture)[None]
            seeds = {"dream": row["seed"], "second_dream": row["second_seed"]}
            for column, seed in seeds.items():
                if seed is not None:
                    made = dream(photo, extractor, recipe, seed=seed, photo_ids=[row["photo_id"]], guides=units)
                    row[column] = encoded(to_picture(made.images[0]))
            row["recipe_json"] = recipe.to_json()
        write_split(out, split, rows, ())
    return out


def run(code: str, out: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(code.replace("path/to/this/folder", str(out)), "card", "exec"), names)
    return names


@pytest.mark.parametrize("guided", [False, True])
def test_the_code_in_the_card_runs_and_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], guided: bool
) -> None:
    config = config_of(ONE_WAY)
    jitter = {"shifts": "jitter", "shift_px": 4, "steps": [3]}
    config["dreams"][0]["recipe"] |= jitter
    guides = {"guide": picture(99)} if guided else {}
    if guided:
        config["dreams"][0]["recipe"]["objective"] = f"guided_match({LAYER}, guide)"
        config["dreams"][0]["guides"] = {"guide": "ef" * 32}
    out = with_dreams(tmp_path / "dreams", config, guides)
    for name, guide in guides.items():
        (out / "guides").mkdir()
        guide.save(out / "guides" / f"bold-{name}.png")
    write_card(out, config=config, counts=COUNTS, name="dreams")
    load, ceiling, again = code_blocks((out / "README.md").read_text(encoding="utf-8"))

    assert len(run(load, out, tmp_path, monkeypatch)["pairs"]) == 2

    names = run(ceiling, out, tmp_path, monkeypatch)
    rows = [row for row in datasets.load_dataset(str(out), split="test") if row["second_seed"] is not None]
    photos, dreams, seconds = (
        torch.stack([to_unit(row[name]) for row in rows]) for name in ("photo", "dream", "second_dream")
    )
    plain = recipe_of("bold")
    extractor = load_extractor(BACKBONE, plain.layer_names, weights="random")
    wanted = measure(photos, dreams, seconds, photos, extractor, plain)
    assert len(names["pairs"]) == 3
    assert np.mean(names["floor"]) == pytest.approx(wanted.floor_cosine, abs=1e-5)
    assert np.mean(names["ceiling"]) == pytest.approx(wanted.ceiling_cosine, abs=1e-5)
    assert len({f"{value:.3f}" for value in (wanted.floor_cosine, wanted.ceiling_cosine, 1.0)}) == 3
    said = f"3 pairs, floor {wanted.floor_cosine:.3f}, ceiling {wanted.ceiling_cosine:.3f}"
    assert said in capsys.readouterr().out

    names = run(again, out, tmp_path, monkeypatch)
    with Image.open(tmp_path / "again.png") as made:
        assert np.array_equal(np.asarray(made), np.asarray(names["pair"]["dream"]))


def test_what_cannot_be_done_with_a_dataset_is_not_offered(tmp_path: Path) -> None:
    out = write_dataset(tmp_path / "dreams", test=0, labels=())
    text = card_of(out, dream_size=64, crop="random", second_dreams=0)
    assert len(code_blocks(text)) == 1
    assert "no second dreams in this dataset" in text
    assert "the original photo only" in text
    assert "cut (random) from squares of 64 px" in text
    assert "The photos have no classes" in text
    assert [file["split"] for file in front_matter(text)["configs"][0]["data_files"]] == ["train"]
    assert "rejects.csv" not in text


def test_the_way_to_the_split_is_told(tmp_path: Path) -> None:
    out = write_dataset(tmp_path / "dreams")
    text = card_of(out, hold_out_categories="dog", crops=24, limit=18, every_recipe=True)
    assert "Test: all of dog, and 25 % of the other photographs, drawn with seed 7." in text
    assert "9 photographs gave 18 pairs, with up to 24 crops per photograph; of the photos" in text
    assert "at most 18" in text
    assert "3 such copies were found" in text
    assert "50 % of the test photos have a second dream" in text
    assert "Every photo was dreamed in each of them." in text
    assert card_of(out, hold_out_categories=["dog", "eel"]).count("Test: all of dog, eel, and 25 %") == 1


def test_reasons_of_rejects_are_counted_by_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = write_dataset(tmp_path / "dreams")
    lines = [
        "a/1.jpg,'a/1.jpg' is empty (0 bytes)",
        "\"it's | 2.jpg\",\"'it's | 2.jpg' is 10x20 px: each side must be at least 32 px\"",
        "3.jpg,'3.jpg' is 31x400 px: each side must be at least 32 px",
    ]
    (out / "rejects.csv").write_text("\n".join(["photo,reason", *lines]) + "\n", encoding="utf-8")
    small = "is …x… px: each side must be at least … px"
    text = card_of(out)
    assert "20 photos were found, 2 rejected; each is listed" in text
    assert table_under(text, "| reason |") == [[small, "2"], ["is empty (… bytes)", "1"]]
    monkeypatch.setattr(card, "MOST_REASONS", 1)
    assert table_under(card_of(out), "| reason |") == [[small, "2"], ["other reasons", "1"]]


def test_of_many_classes_the_largest_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "MOST_CLASSES", 2)
    labels: Sequence[str] = ("cat", "dog", "eel", "cat", "dog")
    out = tmp_path / "dreams"
    rows = list(rows_of("train", 10, ONE_WAY, labels, first=0, seconds=0))
    rows[0]["label"] = ""
    write_split(out, "train", rows, ("cat", "dog", "eel"))
    assert class_names(out) == ["cat", "dog", "eel"]
    assert table_under(card_of(out, ways=ONE_WAY), "| class |") == [
        ["cat", "3", "0"],
        ["dog", "4", "0"],
        ["2 smaller classes", "3", "0"],
    ]


def test_classes_in_plain_text_are_counted_too(tmp_path: Path) -> None:
    out = tmp_path / "dreams"
    write_split(out, "train", list(rows_of("train", 4, ONE_WAY, ("x",), first=0, seconds=0)), ())
    assert class_names(out) == []
    assert table_under(card_of(out, ways=ONE_WAY), "| class |") == [["x", "4", "0"]]


def test_a_ratio_of_scores_below_zero_is_not_given(tmp_path: Path) -> None:
    out = tmp_path / "dreams"
    rows = list(rows_of("train", 2, ONE_WAY, (), first=0, seconds=0))
    write_split(out, "train", [{**row, "score_before": -1.0} for row in rows], ())
    (line,) = table_under(card_of(out, ways=ONE_WAY), "| strength |")
    assert (line[4], line[6]) == ("-1", "–")


def test_a_recipe_that_got_no_pair_is_named_all_the_same(tmp_path: Path) -> None:
    out = write_dataset(tmp_path / "dreams", ways=ONE_WAY)
    assert "No pair of this kind" in card_of(out).split("### calm")[1].split("## Splits")[0]


def test_the_same_dataset_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (card_of(write_dataset(tmp_path / name)) for name in ("one", "two"))
    assert one == two
    assert str(tmp_path) not in one
