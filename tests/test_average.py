"""The mean of two generators."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from dreamgan.errors import UserError
from dreamgan.generators.average import average_generators
from dreamgan.sampling import load_generator, save_generator
from tests.lively import lively_translator

STYLES = {name: {"recipe": name, "measures": {"agreement": 0.5}} for name in ("eyes", "petals")}


@pytest.fixture
def generators(tmp_path: Path) -> tuple[str, str]:
    one = copy.deepcopy(lively_translator())
    other = copy.deepcopy(one)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.5)
    save_generator(tmp_path / "one", one, STYLES, "# The later one\n")
    save_generator(tmp_path / "other", other, STYLES, "# The one before\n")
    return str(tmp_path / "one"), str(tmp_path / "other")


def test_weights_lie_half_way(generators: tuple[str, str], tmp_path: Path) -> None:
    average_generators(*generators, str(tmp_path / "mean"))
    mean, one = load_generator(tmp_path / "mean"), load_generator(generators[0])
    assert mean.styles["eyes"] == {"recipe": "eyes", "measures": {}, "averaged": True}
    for found, mine in zip(mean.network.parameters(), one.network.parameters(), strict=True):
        torch.testing.assert_close(found, mine + 0.25)
    assert (tmp_path / "mean" / "README.md").read_text() == "# The later one\n"


def test_other_styles_are_refused(generators: tuple[str, str], tmp_path: Path) -> None:
    network = load_generator(generators[0]).network
    save_generator(tmp_path / "third", network, {"fur": {}, "petals": {}}, "# Another\n")
    with pytest.raises(UserError, match="have other networks or styles"):
        average_generators(generators[0], str(tmp_path / "third"), str(tmp_path / "mean"))
    assert not (tmp_path / "mean").exists()


def test_a_folder_without_a_generator_is_refused(generators: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing"):
        average_generators(generators[0], str(tmp_path / "nothing"), str(tmp_path / "mean"))


def test_a_file_in_the_way_is_told(generators: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "mean").write_text("mine")
    with pytest.raises(UserError, match=r"mean': File exists"):
        average_generators(*generators, str(tmp_path / "mean"))
