"""Starting a training from a generator that has learnt other dreams."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from dreamgan import generators
from dreamgan.errors import UserError
from dreamgan.lit.start import start_from
from dreamgan.networks.translator import Translator, TranslatorConfig
from dreamgan.sampling import save_generator
from tests.lively import lively_translator, pictures

KNOWN = ("eyes", "petals")


@pytest.fixture
def known() -> Translator:
    network = copy.deepcopy(lively_translator())
    assert network.config.styles == len(KNOWN)
    return network


@pytest.fixture
def folder(known: Translator, tmp_path: Path) -> Path:
    save_generator(tmp_path / "generator", known, {name: {"recipe": name} for name in KNOWN}, "card")
    return tmp_path / "generator"


def started(folder: Path | str, styles: tuple[str, ...], known: Translator) -> Translator:
    config = known.config
    network = Translator(
        TranslatorConfig(
            encoder=config.encoder,
            widths=config.widths,
            residual_range=config.residual_range,
            styles=len(styles),
        )
    )
    start_from(network, styles, str(folder))
    return network.eval()


def test_a_style_goes_on_from_what_it_was_wherever_it_stands_now(folder: Path, known: Translator) -> None:
    network = started(folder, ("fur", "petals", "eyes"), known)
    photos, strength = pictures(2, 3, 64, 64), torch.tensor([0.5, 1.0])
    with torch.no_grad():
        for now, before in ((1, 1), (2, 0)):
            ours = network(photos, torch.eye(3)[[now, now]], strength)
            theirs = known(photos, torch.eye(2)[[before, before]], strength)
            assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_new_style_starts_as_the_mean_of_the_known(folder: Path, known: Translator) -> None:
    network = started(folder, ("fur",), known)
    photos = pictures(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network(photos), known(photos, torch.tensor([[0.5, 0.5]])), atol=1e-6)


def test_the_generator_of_the_package_goes_by_a_name(
    folder: Path, known: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generators, "SHIPPED", folder)
    photos = pictures(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(started("shipped", KNOWN, known)(photos), known(photos), atol=1e-6)


def test_another_shape_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"has widths .*give the same --model.widths"):
        start_from(Translator(TranslatorConfig(widths=(4, 4, 4, 4, 4))), ("eyes",), str(folder))
