"""Dreams that stop early: a share of the recipe's steps."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamgan.backbones import load_extractor
from dreamgan.dream import RECIPES, DreamRecipe, DreamStep, dream, get_recipe, score
from dreamgan.errors import UserError

# What tiny pictures and random weights need.
FOR_TINY: dict[str, dict[str, Any]] = {
    "keras": {"objective": "l2(features.4, inset=2)"},
    "styleconv_single": {"objective": "channel(features.9, 2)"},
    "tutorial_tiled": {"shift_px": 2},
}


def photos(count: int, height: int = 40, width: int = 48, seed: int = 0) -> Tensor:
    noise = torch.rand(count, 3, height + 4, width + 4, generator=torch.Generator().manual_seed(seed))
    return F.avg_pool2d(noise, 5, stride=1)


def recipe_of(steps: tuple[int, ...]) -> DreamRecipe:
    return get_recipe("distillable", "squeezenet1_1", octaves=len(steps), steps=steps)


@pytest.mark.parametrize(
    ("steps", "strength", "run"),
    [
        ((4, 4, 6), 1.0, (4, 4, 6)),
        ((4, 4, 6), 0.5, (2, 2, 3)),
        ((4, 4, 6), 0.25, (1, 1, 2)),  # ends at 1, 2 and 3.5 of 14, rounded up
        ((3, 3, 3), 0.5, (2, 1, 2)),
        ((10,), 0.34, (3,)),
        ((1, 1, 1, 1), 0.25, (0, 1, 0, 0)),
    ],
)
def test_every_octave_runs_its_share(steps: tuple[int, ...], strength: float, run: tuple[int, ...]) -> None:
    assert recipe_of(steps).steps_at(strength) == run


def test_the_share_of_the_whole_is_kept_to_half_a_step_and_never_falls() -> None:
    recipe = recipe_of((3, 7, 2, 11))
    before: tuple[int, ...] = (0, 0, 0, 0)
    for percent in range(3, 101):
        run = recipe.steps_at(percent / 100)
        assert abs(sum(run) - percent / 100 * 23) <= 0.5
        assert all(0 <= now <= most for now, most in zip(run, recipe.steps, strict=True))
        assert sum(run) >= sum(before)
        before = run


@pytest.mark.parametrize("strength", [0.0, -0.5, 1.01, float("nan"), float("inf")])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(UserError, match="it must be above 0 and at most 1"):
        recipe_of((4,)).steps_at(strength)


def test_a_strength_of_no_step_is_refused_with_the_least() -> None:
    with pytest.raises(UserError, match=r"0.03 of the 14 steps .* give at least 0.0357"):
        recipe_of((4, 4, 6)).steps_at(0.03)
    assert sum(recipe_of((4, 4, 6)).steps_at(0.0358)) == 1


@pytest.mark.parametrize("name", RECIPES)
def test_half_a_dream_is_where_the_whole_one_passes_through(name: str) -> None:
    """Shifts, decay and smoothing are those of the whole recipe; with one octave the way is the same one."""
    recipe = get_recipe(name, "squeezenet1_1", octaves=1, octaves_above=0, steps=(6,), **FOR_TINY.get(name, {}))
    recipe = replace(recipe, step_decay=0.5)
    extractor = load_extractor("squeezenet1_1", recipe.layer_names, weights="random")
    guides = {"guide": photos(1, 37, 45, seed=77)}
    half = dream(photos(2), extractor, recipe, seed=3, photo_ids=["a", "b"], guides=guides, strength=0.5)
    stopped = dream(
        photos(2), extractor, recipe, seed=3, photo_ids=["a", "b"], guides=guides, callback=lambda at: at.step < 3
    )
    assert not stopped.completed
    assert torch.equal(half.images, stopped.images)
    whole = dream(photos(2), extractor, recipe, seed=3, photo_ids=["a", "b"], guides=guides)
    assert not torch.equal(half.images, whole.images)


def test_a_stronger_dream_runs_more_steps_in_every_octave_and_scores_higher() -> None:
    recipe = get_recipe("distillable", "squeezenet1_1")
    extractor = load_extractor("squeezenet1_1", recipe.layer_names, weights="random")
    batch = photos(2, 64, 64)
    scores = [score(batch, extractor, recipe)]
    for strength in (0.25, 0.5, 1.0):
        told: Counter[int] = Counter()

        def count(at: DreamStep, told: Counter[int] = told) -> None:
            told[at.octave] += 1

        result = dream(batch, extractor, recipe, strength=strength, callback=count)
        assert tuple(told[octave] for octave in range(recipe.octaves)) == recipe.steps_at(strength)
        scores.append(score(result.images, extractor, recipe))
    assert bool((torch.stack(scores).diff(dim=0) > 0).all())


def test_an_octave_without_steps_changes_nothing_but_the_size() -> None:
    recipe = get_recipe("distillable", "squeezenet1_1", octaves=4, steps=(1,), octave_scale=1.2)
    extractor = load_extractor("squeezenet1_1", recipe.layer_names, weights="random")
    assert recipe.steps_at(0.25) == (0, 1, 0, 0)
    result = dream(photos(1, 64, 64), extractor, recipe, strength=0.25)
    assert 0 < float((result.images - photos(1, 64, 64)).abs().mean()) < 0.05
