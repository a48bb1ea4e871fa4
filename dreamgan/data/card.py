"""The dataset card: what a dream dataset holds and how it was made, for people and for the Hugging Face hub.

Every number in it is counted in the dataset's own files or stands in its configuration.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import yaml

from dreamgan.data.card_texts import CEILING, COLUMNS, DREAM_AGAIN, GUIDES, LIMITS, LOAD
from dreamgan.data.counting import PairGroup, class_counts, pair_groups, ratio_text, shards
from dreamgan.data.pairs import SPLITS
from dreamgan.files import write_text

MOST_CLASSES, MOST_REASONS = 200, 10

Row = Sequence[object]


def write_card(out: Path, *, config: Mapping[str, Any], counts: Mapping[str, int], name: str) -> None:
    """Write the dataset card `README.md`.

    Args:
        out: a folder with the finished `data/` and, where there are any, `sheet.png`, `scores.png`, `rejects.csv` and
            `guides/`.
        config: what the dataset's `config.json` holds.
        counts: "photos_found", "rejected", "duplicates" (photos with the pixels of another) and "photographs" (those
            that photos were cut from).
        name: what the dataset is called; any text.

    Raises:
        OSError: it cannot be written.
    """
    groups = pair_groups(out)
    sections = [
        _what(out, name),
        _recipes(config, groups),
        _splits(out, config, counts, groups),
        _classes(out),
        COLUMNS,
        LOAD,
        _ceiling(config, groups),
        _again(config, groups),
        _rejects(out, counts),
        LIMITS,
        _licence(config),
        _citation(config, name),
    ]
    text = "\n\n".join([_front_matter(out, name, sum(group.pairs for group in groups)), *filter(None, sections)])
    write_text(out / "README.md", text + "\n")


def _front_matter(out: Path, name: str, pairs: int) -> str:
    present = dict.fromkeys(split for split, _ in shards(out))
    content = {
        "pretty_name": _plain(name),
        "license": "other",
        "license_name": "that-of-the-photos",
        "task_categories": ["image-to-image"],
        "size_categories": [_size_category(pairs)],
        "tags": ["deepdream", "image", "synthetic"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in present],
            }
        ],
    }
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)}---"


def _size_category(rows: int) -> str:
    """The hub's name for a number of rows."""
    names = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
    if rows < 1_000:
        return "n<1K"
    power = len(str(rows)) - 4
    return f"{names[power]}<n<{names[power + 1]}" if power + 1 < len(names) else "n>1T"


def _what(out: Path, name: str) -> str:
    pictures = [
        f"![{what}]({file})"
        for what, file in (
            ("rows of photo, dream and second dream", "sheet.png"),
            ("distributions of the scores before and after dreaming", "scores.png"),
        )
        if (out / file).is_file()
    ]
    text = (
        f"# {_text(name)}\n\nPhotos and their dreams (DeepDream), to train and measure networks that dream in one "
        "pass. Each dream was made by gradient ascent on an objective of a pretrained network, starting at the photo. "
        "Made with dreamgan."
    )
    return "\n\n".join([text, *pictures])


def _recipes(config: Mapping[str, Any], groups: Sequence[PairGroup]) -> str:
    parts = ["## Recipes"]
    if len(config["dreams"]) > 1:
        dealt = "Every photo was dreamed in each of them." if config["every_recipe"] else "The photos were shared out."
        parts.append(f"{len(config['dreams'])} kinds of dream. {dealt}")
    for entry in config["dreams"]:
        own = [group for group in groups if group.recipe == entry["name"]]
        facts: list[Row] = [
            ("backbone", entry["backbone"]),
            ("layers", own[0].layers if own else ""),
            ("objective, maximised", entry["recipe"]["objective"]),
            ("weights", entry["weights"]),
            ("SHA-256 of the weights", entry["weights_sha256"]),
            ("strengths", ", ".join(f"{strength:g}" for strength in entry["strengths"])),
            *((f"guide {guide!r}, SHA-256 of its pixels", digest) for guide, digest in entry["guides"].items()),
        ]
        if len(config["dreams"]) > 1 and not config["every_recipe"]:
            facts.append(("share of the photos, in relation to the others", f"{entry['share']:g}"))
        scores = [
            (
                f"{group.strength:g}",
                group.split,
                group.pairs,
                group.second_dreams,
                f"{group.mean_before:.4g}",
                f"{group.mean_after:.4g}",
                ratio_text(group.mean_before, group.mean_after),
            )
            for group in own
        ]
        heads = ("strength", "split", "pairs", "second dreams", "mean score of photos", "of dreams", "ratio")
        parts += [f"### {_text(entry['name'])}", _table(("recipe", entry["name"]), facts)]
        parts.append(_table(heads, scores) if scores else "No pair of this kind is in the dataset.")
    parts.append(
        "A *strength* is the share of the recipe's steps that were run. A *score* is the recipe's objective on the "
        "picture as it is stored. All other settings of each recipe are in `config.json` and in the column "
        "`recipe_json`."
    )
    return "\n\n".join(parts)


def _splits(out: Path, config: Mapping[str, Any], counts: Mapping[str, int], groups: Sequence[PairGroup]) -> str:
    pairs: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for group in groups:
        pairs[group.split] += group.pairs
        seconds[group.split] += group.second_dreams
    for split, shard in shards(out):
        size[split] += shard.stat().st_size
    rows = [(split, pairs[split], seconds[split], f"{size[split] / 1e6:.1f} MB") for split in SPLITS if pairs[split]]
    limits = [
        f"{what} {_text(_listed(config[key]))}"
        for key, what in (("only", "only"), ("skip", "without"), ("limit", "at most"))
        if config[key] is not None
    ]
    held = _listed(config["hold_out_categories"])
    cut = config["dream_size"] - config["size"]
    lines = [
        f"- {counts['photographs']} photographs gave {pairs.total()} pairs"
        + (f", with up to {config['crops']} crops per photograph" if config["crops"] else "")
        + (f"; of the photos that were found: {'; '.join(limits)}." if limits else "."),
        f"- A photograph is on one side of the split with all its crops, and with all copies of the same pixels under "
        f"other names; {counts['duplicates']} such copies were found.",
        f"- Test: {'all of ' + _text(held) + ', and ' if held else ''}{100 * config['test_fraction']:g} % of the "
        f"{'other ' if held else ''}photographs, drawn with seed {config['seed']}.",
        f"- {100 * config['second_dreams']:g} % of the test photos have a second dream, made with another seed.",
        f"- Pictures are {config['size']} x {config['size']} px"
        + (
            f", cut ({_text(config['crop'])}) from squares of {config['dream_size']} px in which the dreams were made."
            if cut
            else ": the centred square of the photo, scaled."
        ),
    ]
    table = _table(("split", "pairs", "with a second dream", "size"), rows)
    return "\n\n".join(["## Splits", table, "\n".join(lines)])


def _classes(out: Path) -> str:
    counts = class_counts(out)
    if set(counts) <= {""}:
        return "## Classes\n\nThe photos have no classes; `label` is empty."
    ranked = sorted(counts, key=lambda label: (-counts[label].total(), label))
    shown, rest = sorted(ranked[:MOST_CLASSES]), ranked[MOST_CLASSES:]
    rows: list[Row] = [(label or "(none)", *(counts[label][split] for split in SPLITS)) for label in shown]
    if rest:
        others = (sum(counts[label][split] for label in rest) for split in SPLITS)
        rows.append((f"{len(rest)} smaller classes", *others))
    return f"## Classes\n\n{_table(('class', *(f'pairs in {split}' for split in SPLITS)), rows)}"


def _ceiling(config: Mapping[str, Any], groups: Sequence[PairGroup]) -> str:
    with_second = [group for group in groups if group.second_dreams]
    if not with_second:
        return (
            "## Floor and ceiling\n\nThere are no second dreams in this dataset, so it does not say how much two "
            "dreams of one photo agree."
        )
    best = max(with_second, key=lambda group: (group.second_dreams, group.strength))
    entry = next(entry for entry in config["dreams"] if entry["name"] == best.recipe)
    values = {"recipe": json.dumps(best.recipe), "strength": repr(best.strength), "weights": _weights_line(entry)}
    return Template(CEILING).substitute(values)


def _weights_line(entry: Mapping[str, Any]) -> str:
    if entry["weights"] == "random":
        return 'WEIGHTS = "random"'
    return f"WEIGHTS = None  # torchvision's own; or the path of your {json.dumps(_plain(entry['weights']))}"


def _again(config: Mapping[str, Any], groups: Sequence[PairGroup]) -> str:
    text = f"""\
## How to make it again

`config.json` holds all settings. On the same kind of processor the same photos (SHA-256 of their list:
`{config["photo_list_sha256"]}`), settings and versions give the same bytes:
dreamgan {config["dreamgan"]}, torch {config["torch"]}, device {config["device"]}, precision {config["precision"]},
CPU threads per process: {config["threads"]}, photos at a time: {config["batch"]}. The number of processes does not
matter. Other versions, devices, thread counts and batches change the last bits, which gradient ascent then enlarges:
such dreams are alike, not the same.

The random numbers of a dream follow from the columns `seed`, `photo_id` and `recipe`; `recipe_json`, `strength`,
`backbone`, `layers`, `weights_sha256` and `guides` say the rest."""
    if config["dream_size"] != config["size"]:
        return (
            f"{text} Dreams were made of larger squares than are stored here ({config['dream_size']} px), so that a "
            "single dream can be made again from the original photo only."
        )
    largest = max(groups, key=lambda group: group.pairs)
    entry = next(entry for entry in config["dreams"] if entry["name"] == largest.recipe)
    guided = bool(entry["guides"])
    values = {
        "recipe": json.dumps(largest.recipe),
        "split": json.dumps(largest.split),
        "weights": _weights_line(entry),
        "reader": "load_image, " if guided else "",
        "guides": GUIDES if guided else "",
        "argument": "guides=guides, " if guided else "",
    }
    return f"{text} To dream one pair again:\n\n{Template(DREAM_AGAIN).substitute(values)}"


def _rejects(out: Path, counts: Mapping[str, int]) -> str:
    text = (
        f"## Photos that could not be used\n\n{counts['photos_found']} photos were found, {counts['rejected']} rejected"
    )
    if not (out / "rejects.csv").is_file():
        return f"{text}."
    reasons: Counter[str] = Counter()
    with (out / "rejects.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            reasons[_kind_of(row["photo"], row["reason"])] += 1
    rows: list[Row] = list(reasons.most_common(MOST_REASONS))
    rest = reasons.total() - sum(count for _, count in reasons.most_common(MOST_REASONS))
    if rest:
        rows.append(("other reasons", rest))
    return f"{text}; each is listed with its reason in `rejects.csv`.\n\n{_table(('reason', 'photos'), rows)}"


def _kind_of(photo: str, reason: str) -> str:
    """A reason without what is particular to one photo: its name, other names in quotes, numbers."""
    general = re.sub(r"'[^']*'", "…", reason.removeprefix(f"'{photo}' "))
    return re.sub(r"\d+(\.\d+)?", "…", general)


def _licence(config: Mapping[str, Any]) -> str:
    guided = any(entry["guides"] for entry in config["dreams"])
    return (
        f"## Provenance and licence\n\nPhotos come from: {', '.join(_text(name) for name in config['photos'])}.\n\n"
        "Every row holds a photo and pictures derived from it: the licence of the photo applies to all of them, and so "
        "may the terms of the network's weights" + (" and of the guide pictures in `guides/`" if guided else "") + ". "
        "This card does not know them: check them before you pass the dataset on, and write here what you found."
    )


def _citation(config: Mapping[str, Any], name: str) -> str:
    return f"""\
## Citation

```bibtex
@misc{{dream_dataset,
  title = {{{{{_tex(name)}: photos and their dreams}}}},
  note = {{Made with dreamgan {config["dreamgan"]}; photos {config["photo_list_sha256"][:16]}, seed {config["seed"]}}}
}}
@software{{dreamgan,
  title = {{{{dreamgan}}}},
  author = {{{{The dreamgan authors}}}},
  version = {{{config["dreamgan"]}}}
}}
@misc{{mordvintsev2015inceptionism,
  title = {{{{Inceptionism: Going Deeper into Neural Networks}}}},
  author = {{Mordvintsev, Alexander and Olah, Christopher and Tyka, Mike}},
  howpublished = {{Google Research Blog}},
  year = {{2015}},
  url = {{https://research.google/blog/inceptionism-going-deeper-into-neural-networks/}}
}}
```"""


def _table(heads: Row, rows: Sequence[Row]) -> str:
    lines = [heads, *rows]
    first, *others = ["| " + " | ".join(_text(cell) for cell in line) + " |" for line in lines]
    return "\n".join([first, "|" + "---|" * len(heads), *others])


def _listed(value: object) -> str:
    """Names as people read them, whether a configuration holds them as a list or as text with commas."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


def _plain(value: object) -> str:
    """One line that UTF-8 can hold."""
    return " ".join(str(value).encode("utf-8", "backslashreplace").decode().split())


def _text(value: object) -> str:
    """Text that Markdown shows as it is."""
    shown = "".join(c if c.isprintable() else "?" for c in _plain(value))
    return re.sub(r"([\\`*_\[\]<>#|~$&])", r"\\\1", shown)


def _tex(value: object) -> str:
    """Text that BibTeX shows as it is, and that cannot end the block it stands in."""
    words = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": "'"}
    return "".join(words.get(c, f"\\{c}" if c in "{}$&#_%" else c) for c in _plain(value))
