"""The experiment on training: its table by hand, and a tiny whole run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dreamgan.claims import shorter
from dreamgan.claims.arms import ARMS
from dreamgan.claims.shorter import Plan, markdown, run, table_rows
from dreamgan.claims.trainings import Course, Pictures, from_scratch
from dreamgan.errors import UserError
from tests.lit.runs import write_photos


def made(reached: list[int | None], best: float = 0.9, cost: float = 0.0) -> list[dict[str, Any]]:
    """Runs of 40 steps, measured every 10, that reach the best accuracy at a step, or stay at 0.5."""
    return [
        {
            "training": "from scratch",
            "points": [[step, best if at is not None and step >= at else 0.5] for step in (10, 20, 30, 40)],
            "step_cost": 1.0,
            "fixed_cost": cost,
        }
        for at in reached
    ]


def test_the_table_by_hand() -> None:
    runs = {"photos": made([20, 40]), "dreams-50": made([10, 20], cost=30.0), "duplicates-50": made([20, None])}
    photos, dreams, duplicates = table_rows(runs)
    assert photos["goal"] == pytest.approx(0.88)
    assert (photos["median_steps"], dreams["median_steps"], duplicates["never"]) == (30, 15, 1)
    assert dreams["against_photos"] == pytest.approx((-1, -1, -1))  # half the steps with both seeds
    assert dreams["against_duplicates"] == pytest.approx((-1, -1, -1))
    assert dreams["cost_against_photos"][0] == pytest.approx((1 + torch.tensor(50 / 40).log2().item()) / 2)
    assert duplicates["against_photos"][0] == 0
    assert "the claim holds" in markdown([photos, dreams, duplicates])
    worse = table_rows({**runs, "dreams-50": made([10, 40])})
    assert "the claim does not hold" in markdown(worse)


def test_a_training_is_the_same_again_and_learns() -> None:
    stream = torch.Generator().manual_seed(0)
    targets = torch.arange(64) % 2
    inputs = torch.rand(64, 3, 32, 32, generator=stream) * 0.5 + targets.view(-1, 1, 1, 1) * 0.4
    pictures = Pictures(inputs, targets)
    points = from_scratch(pictures, pictures, 3, Course(40, 10, 16))
    assert points == from_scratch(pictures, pictures, 3, Course(40, 10, 16))
    assert [step for step, _ in points] == [10, 20, 30, 40]
    assert points[-1][1] > 0.9


def test_all_runs_once_and_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split, count in (("train", 4), ("val", 3)):
        for label, height in (("ants", 48), ("bees", 60)):
            write_photos(tmp_path / "set" / split / label, count, height, 64)
    monkeypatch.setattr(shorter, "SIZE_PX", 64)
    monkeypatch.setattr(shorter, "SCRATCH", Course(4, 2, 4))
    for name in ("from_scratch", "fine_tuned"):
        whole = getattr(shorter, name)
        monkeypatch.setattr(shorter, name, lambda *args, whole=whole: whole(*args, Course(4, 2, 4)))
    plan, said = Plan(pool=4, few=2, val=2, dreamed=1, seeds=2), list[str]()
    flags: dict[str, Any] = {"weights": "random", "plan": plan, "tell": said.append}
    assert run(str(tmp_path / "set"), tmp_path / "out", arms=["photos"], **flags) is None
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 4
    before = {path: path.read_text() for path in (tmp_path / "out" / "runs").iterdir()}
    text = run(str(tmp_path / "set"), tmp_path / "out", **flags)
    assert text is not None
    assert text.count("\n| ") == 2 * len(ARMS)
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 2 * 2 * len(ARMS)
    assert all(path.read_text() == content for path, content in before.items())
    rows = json.loads((tmp_path / "out" / "table.json").read_text())
    row = next(row for row in rows[::-1] if row["arm"] == "dreams-25")
    assert len(row["on_dreams"]) == 3
    with pytest.raises(UserError, match="there is no arm 'dream'"):
        run(str(tmp_path / "set"), tmp_path / "out", arms=["dream"], **flags)
    (tmp_path / "out" / "runs" / "fine-tuning-photos-0.json").unlink()
    with pytest.raises(UserError, match="holds runs on other photos or weights"):
        run(
            str(tmp_path / "set"),
            tmp_path / "out",
            weights="random",
            plan=Plan(pool=3, few=2, val=2, dreamed=1, seeds=2),
        )
    with pytest.raises(UserError, match="has 4 photos; 5 are needed"):
        run(str(tmp_path / "set"), tmp_path / "other", weights="random", plan=Plan(pool=5), tell=said.append)
