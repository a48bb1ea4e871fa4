"""What a style teaches: terms by hand, guides that follow the network, objectives that cannot be learnt."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import torch
from torch import Tensor

from dreamgan.backbones.features import load_extractor, normalise
from dreamgan.dream import DreamRecipe, parse_objective
from dreamgan.dream.scoring import Scorer
from dreamgan.errors import UserError
from dreamgan.lit.lesson import Lesson
from dreamgan.losses import log_objective_gap, relative_feature_l1

LAYERS = "features.4:0.25,features.7:0.5"


def pictures(seed: int, count: int = 2, side: int = 48) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def lesson_of(objective: str, *guides: str, **changes: Any) -> Lesson:
    recipe = DreamRecipe(name="mine", objective=objective)  # type: ignore[arg-type]
    facts = {
        "recipe": "mine",
        "recipe_json": recipe.to_json(),
        "backbone": "squeezenet1_1",
        "weights": "random",
        "weights_sha256": hashlib.sha256(b"random").hexdigest(),
        **changes,
    }
    known = {name: pictures(10 + number, 1, 64) for number, name in enumerate(guides)}
    return Lesson(facts, known, weights="random", feature_layers=LAYERS)


def as_it_is(images: Tensor) -> Tensor:
    return images


def mirrored(images: Tensor) -> Tensor:
    return images.flip(-1)


def test_terms_by_hand() -> None:
    generated, dreams = pictures(0), pictures(1)
    terms = lesson_of("l2(features.7)")(generated, dreams, mirrored)
    extractor = load_extractor("squeezenet1_1", ["features.4", "features.7"], weights="random")
    ours, theirs = (extractor(normalise(images.flip(-1))) for images in (generated, dreams))
    shallow, deep = (relative_feature_l1(ours, theirs, layer) for layer in ("features.4", "features.7"))
    squares, target_squares = (each["features.7"].square() for each in (ours, theirs))
    expected = {
        "feature": 0.25 * shallow + 0.5 * deep,
        "objective": log_objective_gap(squares.mean(dim=(1, 2, 3)), target_squares.mean(dim=(1, 2, 3))),
        "local": log_objective_gap(squares.mean(dim=1), target_squares.mean(dim=1)),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("objective", ["l2(features.4) - 0.1*tv()", "guided(features.7, bee)", "neuron(features.7, 4)"])
def test_a_dream_has_nothing_to_learn_from_itself(objective: str) -> None:
    lesson = lesson_of(objective, "bee")
    same, other = (lesson(images, pictures(0), as_it_is) for images in (pictures(0), pictures(1)))
    for name, value in same.items():
        assert float(value) == pytest.approx(0, abs=1e-5)
        assert other[name] > 1e-3, name
    # Of a single neuron there is nothing to say place by place.
    assert ("local" in same) is not objective.startswith("neuron")


def test_gradients_reach_the_generated_pictures_only() -> None:
    lesson = lesson_of("guided(features.7, bee)", "bee")
    generated, dreams = pictures(0).requires_grad_(True), pictures(1).requires_grad_(True)
    loss = torch.stack(list(lesson(generated, dreams, as_it_is).values())).sum()
    to_generated, to_dreams = torch.autograd.grad(loss, (generated, dreams), allow_unused=True)
    assert to_generated.any()
    assert to_dreams is None
    assert not [name for name, parameter in lesson.named_parameters() if parameter.requires_grad]


@pytest.mark.parametrize("objective", ["guided(features.7, bee)", "guided_match(features.4, bee)"])
def test_guides_follow_the_network(objective: str) -> None:
    """Into another precision, as onto another device; and they are no part of a checkpoint."""
    lesson = lesson_of(objective, "bee")
    single = lesson(pictures(0), pictures(1), as_it_is)
    assert not [name for name in lesson.state_dict() if not name.startswith("extractor.")]
    assert torch.equal(lesson.guides["bee"], pictures(10, 1, 64))
    lesson.double()
    assert lesson.guides["bee"].dtype == torch.float64
    double = lesson(pictures(0).double(), pictures(1).double(), as_it_is)
    for name, value in double.items():
        assert value.dtype == torch.float64
        assert float(value) == pytest.approx(float(single[name]), rel=1e-3), name
    # They are what the recipe dreamed of.
    scorer = Scorer(parse_objective(objective), lesson.extractor, pictures(0).double(), guides=lesson.guides)
    for term, known in scorer.known.items():
        torch.testing.assert_close(lesson._known.named()[term], known, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "objective",
    [
        "guided(features.7, wasp)",
        "guided(features.7, bee, spatial=true)",
        "guided(features.7, bee, per_octave=true)",
        "select_max(features.7, 2)",
        "l2(features.4) + select_min(features.7, 2)",
        "l2(features.7, mask=sky)",
    ],
)
def test_what_needs_more_than_a_picture(objective: str) -> None:
    with pytest.raises(UserError, match="needs more than a picture; a GAN cannot train on it"):
        lesson_of(objective, "bee")


def test_weights_other_than_those_of_the_dreams() -> None:
    with pytest.raises(UserError) as caught:
        lesson_of("l2(features.7)", weights="theirs.pth", weights_sha256="ab" * 32)
    assert str(caught.value) == (
        "'mine' was dreamed with squeezenet1_1 weights of sha256 abababababab… (theirs.pth), these are "
        f"{hashlib.sha256(b'random').hexdigest()[:12]}…; give --model.backbone_weights squeezenet1_1=FILE"
    )
