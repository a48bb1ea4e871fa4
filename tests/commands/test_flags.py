import os
from pathlib import Path

import jsonargparse
import pytest

from dreamgan.commands.flags import at_least, check_seed, flags_parser, out_folder
from dreamgan.errors import UserError


def example(photos: str, size: int = 3, share: float | None = None, fast: bool = False, slow: bool = True) -> None:
    """Do something.

    Example: example photo.jpg

    Args:
        photos: What to do it with.
        size: In pixels, 100 % of them.
        share: Default: all.
        fast: Hurry.
        slow: Do not hurry.
    """


def parse(*args: str) -> dict[str, object]:
    parsed: dict[str, object] = flags_parser("example", example).parse_args(list(args)).as_dict()
    return {key: value for key, value in parsed.items() if key in ("photos", "size", "share", "fast", "slow")}


def test_defaults_are_those_of_the_function() -> None:
    assert parse("a.jpg") == {"photos": "a.jpg", "size": 3, "share": None, "fast": False, "slow": True}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--fast"], {"fast": True}),
        (["--fast", "true"], {"fast": True}),
        (["--fast", "false"], {"fast": False}),
        (["--no_slow"], {"slow": False}),
        (["--slow", "false"], {"slow": False}),
        (["--slow=no"], {"slow": False}),
        (["--share", "0.5"], {"share": 0.5}),
        (["--size=7"], {"size": 7}),
    ],
)
def test_values(args: list[str], expected: dict[str, object]) -> None:
    found = parse("a.jpg", *args)
    assert {key: found[key] for key in expected} == expected


def test_a_name_like_a_number_stays_a_name() -> None:
    assert parse("007")["photos"] == "007"


def test_a_config_file_gives_values_and_a_flag_after_it_wins(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("size: 5\nfast: true\n")
    found = parse("a.jpg", "--config", str(config), "--size", "6")
    assert (found["size"], found["fast"]) == (6, True)


def test_a_config_file_with_a_typo_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("siez: 5\n")
    with pytest.raises(jsonargparse.ArgumentError, match="siez"):
        parse("a.jpg", "--config", str(config))


def test_help_keeps_paragraphs_and_percent_signs() -> None:
    text = flags_parser("example", example).format_help()
    assert "Do something.\n\nExample: example photo.jpg\n" in text
    assert "In pixels, 100 % of them. (default: 3)" in text
    assert "Default: all.\n" in text


def test_at_least_names_the_flag() -> None:
    at_least(1, batch=None, steps=1)
    with pytest.raises(UserError, match="--steps is 0; it must be at least 1"):
        at_least(1, batch=None, steps=0)


@pytest.mark.parametrize("seed", [2**63 - 1, -(2**63) - 1, 10**30])
def test_seeds_beyond_64_bits_are_refused(seed: int) -> None:
    with pytest.raises(UserError, match=f"--seed is {seed}"):
        check_seed(seed)


@pytest.mark.parametrize("seed", [0, -1, 2**63 - 2, -(2**63)])
def test_seeds_of_64_bits_are_fine(seed: int) -> None:
    check_seed(seed)


def test_out_folder_makes_nothing(tmp_path: Path) -> None:
    assert out_folder(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    assert not (tmp_path / "a").exists()


def test_out_folder_knows_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert out_folder("~/dreams") == tmp_path / "dreams"


@pytest.mark.parametrize("inside", ["", "/deeper"])
def test_a_file_in_the_way_is_named(tmp_path: Path, inside: str) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(UserError, match="f' is a file, not a folder"):
        out_folder(f"{tmp_path}/f{inside}")


def test_a_place_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Asked, not tried: the administrator may write anywhere.
    monkeypatch.setattr(os, "access", lambda place, how: Path(place) != tmp_path)
    with pytest.raises(UserError, match="may not be written to"):
        out_folder(str(tmp_path / "dreams"))


def test_a_positional_with_a_default_may_be_left_out() -> None:
    def of_nothing(photos: str | None = None, size: int = 3) -> None:
        """Do something.

        Args:
            photos: What to do it with.
            size: In pixels.
        """

    assert flags_parser("example", of_nothing).parse_args(["--photos", "a.jpg"]).photos == "a.jpg"
    parser = flags_parser("example", of_nothing, positional=["photos"])
    assert parser.parse_args([]).photos is None
    assert parser.parse_args(["a.jpg", "--size", "4"]).photos == "a.jpg"
    assert parser.parse_args(["007"]).photos == "007"
