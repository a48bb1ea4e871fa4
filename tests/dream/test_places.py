"""The objective place by place: what the terms on one layer are worth before the mean."""

import pytest
import torch
from torch import Tensor

from dreamgan.dream import parse_objective
from dreamgan.dream.objectives import Term
from dreamgan.dream.scoring import Look, score_look, score_places


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def test_by_hand() -> None:
    look = Look({"a": torch.tensor([[1.0, -2.0], [3.0, 0.0]]).view(1, 2, 1, 2)})
    assert score_places(look, parse_objective("mean(a)"), "a").tolist() == [[[2.0, -1.0]]]
    assert score_places(look, parse_objective("l2(a)"), "a").tolist() == [[[5.0, 2.0]]]
    assert score_places(look, parse_objective("l2(a) - 2*mean(a)"), "a").tolist() == [[[1.0, 4.0]]]
    assert score_places(look, parse_objective("3*channel(a, 1)"), "a").tolist() == [[[9.0, 0.0]]]


@pytest.mark.parametrize(
    "text", ["mean(a)", "l2(a)", "0.5*l2(a, inset=1) - mean(a)", "channel(a, 3)", "maps(a, 0, 2, 4) + 0.1*l2(a)"]
)
def test_the_mean_over_the_places_is_the_objective(text: str) -> None:
    look, objective = Look({"a": maps(2, 5, 4, 6)}), parse_objective(text)
    places = score_places(look, objective, "a")
    assert places.shape == (2, 4, 6)
    torch.testing.assert_close(places.mean(dim=(1, 2)), score_look(look, objective))


def test_the_mean_over_the_places_of_a_guided_objective() -> None:
    objective = parse_objective("guided(a, bees) + 2*guided_match(a, wasps)")
    known: dict[Term, Tensor] = dict(zip(objective, (maps(5, seed=1), maps(7, 5, seed=2)), strict=True))
    look = Look({"a": maps(2, 5, 4, 6)}, known=known)
    torch.testing.assert_close(score_places(look, objective, "a").mean(dim=(1, 2)), score_look(look, objective))


def test_other_layers_neurons_and_terms_on_pixels_are_left_out() -> None:
    look = Look({"a": maps(1, 2, 3, 3), "b": maps(1, 4, 5, 5, seed=1)}, images=maps(1, 3, 8, 8).sigmoid())
    mixed = parse_objective("l2(a) + mean(b) - 0.1*tv() + neuron(a, 1)")
    assert torch.equal(score_places(look, mixed, "a"), score_places(look, parse_objective("l2(a)"), "a"))
    assert torch.equal(score_places(look, mixed, "b"), score_places(look, parse_objective("mean(b)"), "b"))


@pytest.mark.parametrize("text", ["mean(b)", "neuron(a, 1)", "tv()"])
def test_where_nothing_is_said_of_the_places(text: str) -> None:
    look = Look({"a": maps(1, 2, 3, 3), "b": maps(1, 4, 5, 5)})
    with pytest.raises(ValueError, match="speaks of the places of a"):
        score_places(look, parse_objective(text), "a")


def test_a_layer_of_the_head_has_no_places() -> None:
    with pytest.raises(ValueError, match="no term of mean"):
        score_places(Look({"a": maps(2, 5)}), parse_objective("mean(a)"), "a")


def test_precision() -> None:
    activation = maps(2, 5, 7, 7)
    for text in ("mean(a)", "l2(a)"):
        objective = parse_objective(text)
        assert score_places(Look({"a": activation}), objective, "a").dtype == torch.float64
        rounded = activation.bfloat16()
        wide = score_places(Look({"a": rounded}), objective, "a")
        assert wide.dtype == torch.float32
        torch.testing.assert_close(wide.double(), score_places(Look({"a": rounded.double()}), objective, "a"))
