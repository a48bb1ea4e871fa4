import dataclasses
import math
from typing import Any

import pytest

from dreamgan.backbones import load_extractor
from dreamgan.dream.objectives import parse_objective
from dreamgan.evaluation.groups import Group
from dreamgan.evaluation.measuring import Result
from dreamgan.evaluation.summary import figures_of, mean_of, summary_text
from dreamgan.evaluation.yardstick import Yardstick
from dreamgan.metrics import Measures
from dreamgan.metrics.spread import MISSING, Spread
from tests.finished_dataset import LAYER, recipe_of

ZERO = {field.name: 0.0 for field in dataclasses.fields(Measures)}


def result(
    style: str, *, label: str | None = None, strength: float = 1.0, n: int = 100, network: str = "squeezenet1_1",
    guided: bool = False, trained: bool = True, **figures: float,
) -> Result:  # fmt: skip
    measures = Measures(**{**ZERO, **figures, "n": n})  # type: ignore[arg-type]
    layer = LAYER if network == "squeezenet1_1" else "Conv2d_1a_3x3"
    recipe = recipe_of("bold")
    if guided:
        recipe = dataclasses.replace(recipe, objective=parse_objective(f"guided({LAYER}, bees)"))
    yardstick = Yardstick(recipe, load_extractor(network, [layer], weights="random"), {}, None, "")
    group = Group("test", style, strength, label, tuple(range(n)), n, True, style, trained)
    return Result(group, measures, MISSING, 0, yardstick)


def lines_of(text: str | None) -> list[list[str]]:
    assert text is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_errors_are_combined_in_quadrature() -> None:
    mean = mean_of([Spread(0.8, 0.03), Spread(0.6, 0.04)])
    assert mean.mean == pytest.approx(0.7)
    assert mean.std == pytest.approx(0.05 / 2)
    assert mean_of([Spread(0.8, 0.03)]) == pytest.approx((0.8, 0.03))
    assert math.isnan(mean_of([Spread(0.8, 0.03), MISSING]).mean)  # a mean of some styles is not that of all


def test_the_standard_error_is_over_photos() -> None:
    figures = figures_of(
        result(
            "a", n=25, agreement=0.9, agreement_std=0.5, referee_agreement=0.8, referee_agreement_std=1.0,
            robust_gain=0.7, robust_gain_std=1.5, over_wrong_photo=0.2, over_wrong_photo_std=0.05,
            universal_ratio=1.3, universal_ratio_std=2.0,
        )
    )  # fmt: skip
    assert figures == [(0.9, 0.1), (0.8, 0.2), (0.7, 0.3), (0.2, 0.01), (1.3, 0.4)]


def test_figures_by_hand() -> None:
    seen: dict[str, Any] = {"label": "seen categories"}
    text = summary_text(
        [
            result(
                "inception", network="inception_v3", agreement=0.9, agreement_std=0.6, referee_agreement=0.5,
                robust_gain=0.8, over_wrong_photo=0.25, over_wrong_photo_std=0.1, second_over_wrong_photo=0.3,
                universal_ratio=1.5, universal_ratio_std=3.0, **seen,
            ),
            result("inception", network="inception_v3", agreement=0.6, label="unseen categories"),
            result(
                "vgg", agreement=0.7, agreement_std=0.8, referee_agreement=math.nan, robust_gain=0.6,
                over_wrong_photo=0.15, over_wrong_photo_std=0.1, second_over_wrong_photo=0.2,
                universal_ratio=0.9, universal_ratio_std=4.0, **seen,
            ),
        ]
    )  # fmt: skip
    head, floor, mean, single, ceiling, *unseen = lines_of(text)[:1] + lines_of(text)[2:]
    assert head[2:] == ["agreement", "referee agreement", "robust gain", "over the wrong photo", head[-1]]
    assert floor == ["", "photo (floor)", "0", "0", "0", "0", "0"]
    # (0.9 + 0.7) / 2; the root of 0.06² + 0.08² is 0.1, by 2 0.05; of 0.3² + 0.4² it is 0.5, by 2 0.25.
    assert mean == [
        "test, strength 1, seen categories", "mean of inception, vgg (100 pairs each)",
        "0.80 +- 0.05", "-", "0.70 +- 0.00", "0.200 +- 0.007", "1.20 +- 0.25",
    ]  # fmt: skip
    assert single == [
        "", "inception", "0.90 +- 0.06", "0.50 +- 0.00", "0.80 +- 0.00", "0.250 +- 0.010", "1.50 +- 0.30"
    ]  # fmt: skip
    assert ceiling == ["", "second dream (ceiling)", "1", "-", "1", "0.250", "1"]
    assert [line[0] for line in unseen] == ["test, strength 1, unseen categories", "", ""]
    assert unseen[0][1:3] == ["mean of inception (100 pairs each)", "0.60 +- 0.00"]


def test_a_guided_style_is_not_the_headline() -> None:
    text = summary_text([result("petals", network="inception_v3", guided=True), result("vgg", n=80, trained=False)])
    assert [line[1] for line in lines_of(text)[2:]] == [
        "photo (floor)",
        "mean of petals, vgg (80 to 100 pairs, 1 of them not trained on this strength)",
        "second dream (ceiling)",
    ]


def test_strengths_and_labels_are_not_mixed() -> None:
    results = [result(style, strength=strength) for style in ("a", "b") for strength in (0.5, 1.0)]
    whats = [line[0] for line in lines_of(summary_text(results)) if line[0].startswith("test")]
    assert whats == ["test, strength 0.5", "test, strength 1"]


def test_a_single_style_needs_no_summary() -> None:
    assert summary_text([result("a", strength=0.5), result("a")]) is None
