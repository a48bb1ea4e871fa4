import dataclasses
import math
from typing import Any

import pytest

from dreamgan.backbones import load_extractor
from dreamgan.evaluation.groups import Group
from dreamgan.evaluation.measuring import Result
from dreamgan.evaluation.table import cheats_text, markdown, result_text
from dreamgan.evaluation.yardstick import Yardstick
from dreamgan.metrics import Measures
from dreamgan.metrics.spread import MISSING, Spread
from tests.finished_dataset import LAYER, recipe_of

NAN = math.nan
VALUES = {field.name: (place + 1) / 100 for place, field in enumerate(dataclasses.fields(Measures))}
STEPS = Spread(1.25, 0.5)
MEASURES = Measures(**{**VALUES, "n": 60})  # type: ignore[arg-type]


def result(*, second: bool = True, pairs: int = 60, steps: Spread = STEPS, **changes: float) -> Result:
    measures = dataclasses.replace(MEASURES, **changes)  # type: ignore[arg-type]
    group = Group("test", "bold", 1.0, "cat", tuple(range(60)), pairs, second, "bold", True)
    extractor = load_extractor("squeezenet1_1", [LAYER], weights="random")
    yardstick = Yardstick(recipe_of("bold"), extractor, {}, None, "no file")
    return Result(group, measures, steps, 4, yardstick)


def cells(text: str) -> dict[str, list[str]]:
    """First cell to the others, of all lines of a table."""
    lines = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def shown(name: str, decimals: int = 2) -> str:
    return f"{VALUES[name]:.{decimals}f}"


def both(name: str, decimals: int = 2) -> str:
    return f"{shown(name, decimals)} +- {shown(f'{name}_std', decimals)}"


def digits(name: str) -> str:
    return f"{1000 * VALUES[name]:.3g}"


def test_floor_and_ceiling_stand_beside_each_figure() -> None:
    text = result_text(result())
    assert text.startswith("test, recipe bold, strength 1, cat: 60 pairs\n")
    table = cells(text)
    assert table["agreement"] == ["0", both("agreement"), "1.00"]
    assert table["referee agreement (none)"] == ["0", both("referee_agreement"), "1.00"]
    assert table[f"feature cosine (squeezenet1_1 {LAYER})"] == [
        both(f"{name}_cosine", 3) for name in ("floor", "feature", "ceiling")
    ]
    assert table["the referee's cosine"] == [
        shown(f"referee_{name}_cosine", 3) for name in ("floor", "feature", "ceiling")
    ]
    assert table["dream gain"] == ["0", both("dream_gain"), shown("second_dream_gain")]
    assert table["robust gain, of a second dream's"] == ["0", both("robust_gain"), "1.00"]
    assert table["equivalent steps of 2 (4 photos)"] == ["0", "1.2 +- 0.5", ""]
    assert table["universal share (last: of the dreams)"] == [
        "", shown("universal_share", 3), shown("dream_universal_share", 3)
    ]  # fmt: skip
    assert table[f"KID x 1000 (squeezenet1_1 {LAYER}, 100 subsets of 50)"] == [
        digits("kid_floor"), f"{digits('kid')} +- {digits('kid_std')}", digits("kid_ceiling")
    ]  # fmt: skip
    control = VALUES["ceiling_cosine"] - VALUES["second_over_wrong_photo"]
    assert table[f"wrong-photo cosine ({shown('over_wrong_photo', 3)} below one pass's)"] == [
        "", both("wrong_photo_cosine", 3), f"{control:.3f}"
    ]  # fmt: skip


def test_what_is_missing_is_a_dash_and_said() -> None:
    missing = [name for name in VALUES if "ceiling" in name or "agreement" in name or "robust" in name]
    gaps: dict[str, Any] = {name: NAN for name in (*missing, "second_dream_gain", "kid", "kid_std")}
    text = result_text(result(second=False, steps=MISSING, **gaps))
    assert cells(text)["agreement"] == ["0", "-", "-"]
    assert cells(text)["dream gain"][2] == "-"
    assert "nan" not in text
    assert "These pairs have no second dream" in text
    assert "No KID: it takes at least 50 pairs." in text
    assert "referee agreement: no file" not in text  # there would be none with a referee, either


@pytest.mark.parametrize(
    ("pairs", "said"), [(60, "No referee agreement: no file."), (80, "60 of 80 pairs were measured")]
)
def test_notes(pairs: int, said: str) -> None:
    assert said in result_text(result(pairs=pairs))
    assert "No KID" not in result_text(result(pairs=pairs))


def test_a_row_has_the_figures_and_null_for_what_is_missing() -> None:
    row = result(kid=NAN, kid_std=NAN).as_row()
    assert row["kid"] is None
    assert row["agreement"] == VALUES["agreement"]
    assert row["equivalent_steps"] == 1.25
    assert row["label"] == "cat"
    assert all(isinstance(value, str | float | int | None) for value in row.values())


def test_cheats_have_a_line_each() -> None:
    table = cells(cheats_text([("one pass", MEASURES, Spread(3, 1)), ("dots", MEASURES, MISSING)]))
    assert table["dots"][0] == shown("dream_gain")
    assert table["one pass"][-2:] == ["3.0", digits("kid")]
    assert table["dots"][-2] == "-"
    assert len(table["dots"]) == len(table["what"])


def test_columns_are_aligned() -> None:
    lines = markdown([("a", "long head"), ("longer", "1")]).splitlines()
    assert lines == ["| a      | long head |", "|--------|-----------|", "| longer | 1         |"]
