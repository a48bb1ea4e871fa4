"""What one look says is what the engine, the features and the referee say on their own."""

import dataclasses

import pytest
import torch
from torch import Tensor

from dreamgan.backbones import Extractor, load_extractor
from dreamgan.dream import DreamRecipe
from dreamgan.dream.engine import score
from dreamgan.dream.objectives import parse_objective
from dreamgan.metrics import Referee, feature_map
from dreamgan.metrics.looks import PLAIN, Looker
from dreamgan.views import robust_views

NETWORK, LAYER = "squeezenet1_1", "features.4"
OBJECTIVES = [
    f"l2({LAYER})",
    f"guided({LAYER}, bees)",
    f"guided_match({LAYER}, bees)",
    f"guided({LAYER}, bees, spatial=true)",
    f"guided({LAYER}, bees, per_octave=true)",
    f"select_max({LAYER}, 2)",
    f"l2({LAYER}) - 0.1*tv()",
]


def pictures(seed: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, 40, 48, generator=torch.Generator().manual_seed(seed))


def recipe_of(objective: str) -> DreamRecipe:
    plain = DreamRecipe(name="tiny", objective=f"l2({LAYER})", steps=(2, 2), step_size=(0.03,), octaves=2)  # type: ignore[arg-type]
    return dataclasses.replace(plain, objective=parse_objective(objective))


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor(NETWORK, [LAYER], weights="random")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_look_says_what_the_parts_say(objective: str, extractor: Extractor) -> None:
    recipe, guides = recipe_of(objective), {"bees": pictures(9, 1)}
    looker = Looker(extractor, recipe, guides=guides, referee=Referee(extractor, LAYER))
    for images in (pictures(0), pictures(1), pictures(2, 3)[..., :40]):  # other pictures, and another size
        look = looker.look(images, robust=True)
        assert look.view_scores is not None
        assert look.vectors is not None
        expected = [score(view(images), extractor, recipe, guides=guides) for view in robust_views()]
        torch.testing.assert_close(look.view_scores, torch.stack(expected, dim=1))
        torch.testing.assert_close(look.scores, score(images, extractor, recipe, guides=guides))
        torch.testing.assert_close(look.features, feature_map(images, extractor, LAYER))
        torch.testing.assert_close(look.features, looker.features(images))
        torch.testing.assert_close(look.vectors, look.features.flatten(1))


def test_without_views_and_referee(extractor: Extractor) -> None:
    looker = Looker(extractor, recipe_of(OBJECTIVES[0]), referee=Referee(extractor, LAYER))
    images = pictures(0)
    look, whole = looker.look(images, robust=False), looker.look(images, robust=True)
    assert (look.view_scores, look.vectors) == (None, None)
    torch.testing.assert_close(look.scores, whole.scores)
    torch.testing.assert_close(look.features, whole.features)


def test_the_plain_view_leaves_pictures_alone() -> None:
    assert torch.equal(robust_views()[PLAIN](pictures(0)), pictures(0))


def test_each_view_is_one_pass_and_a_guide_one_in_all(extractor: Extractor) -> None:
    passes: list[int] = []
    handle = extractor.register_forward_hook(lambda module, args, output: passes.append(len(args[0])))
    looker = Looker(extractor, recipe_of(OBJECTIVES[1]), guides={"bees": pictures(9, 1)})
    looker.look(pictures(0), robust=True)
    looker.look(pictures(1), robust=True)
    looker.look(pictures(1), robust=False)
    handle.remove()
    assert passes == [1] + [2] * (6 + 6 + 1)
