"""YAML that is short as a text and without end as values is refused wherever a command reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dreamgan import cli
from dreamgan.errors import UserError
from dreamgan.settings import MOST_VALUES, check_yaml

LEVELS, EACH = 9, 9
BOMB = "a0: &a0 [" + ", ".join(["lol"] * EACH) + "]\n"
BOMB += "".join(f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * EACH) + "]\n" for n in range(1, LEVELS))


@pytest.mark.parametrize("text", ["", "a: 1", "steps: &n 20\nlayers: [*n, *n]", "- " + "\n- ".join("x" * 5000)])
def test_what_people_write_passes(text: str) -> None:
    check_yaml(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, f"more than {MOST_VALUES} values"),
        ("a: &a [1, *a]", f"more than {MOST_VALUES} values"),
        ("a: &a {b: *a}", f"more than {MOST_VALUES} values"),
        ("[" + "1," * MOST_VALUES + "]", f"more than {MOST_VALUES} values"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_values_without_end_are_refused(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_yaml(text)


def test_what_is_no_yaml_stays_yaml_s_error() -> None:
    with pytest.raises(yaml.YAMLError):
        check_yaml("a: [")


@pytest.mark.parametrize(
    "command",
    [
        ["dream", "photo.png", "--config"],
        ["dream", "photo.png", "--recipe"],
        ["train", "fit", "--config"],
    ],
)
def test_commands_refuse_it(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bomb.yaml").write_text(BOMB)
    assert cli.main([*command, str(tmp_path / "bomb.yaml")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"the YAML stands for more than {MOST_VALUES} values; write fewer, without aliases" in last


def test_a_config_in_a_config_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bomb.yaml").write_text(BOMB)
    (tmp_path / "outer.yaml").write_text(f"trainer: {tmp_path / 'bomb.yaml'}\n")
    assert cli.main(["train", "fit", "--config", str(tmp_path / "outer.yaml")]) == 2
    assert "the YAML stands for more than" in capsys.readouterr().err.splitlines()[-1]
