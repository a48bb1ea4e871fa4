import dataclasses
import json
import math
from typing import Any

import pytest

from dreamgan.backbones.registry import BACKBONES, get_spec, resolve_layer
from dreamgan.dream import RECIPES, DreamRecipe, get_recipe, parse_layers
from dreamgan.errors import UserError


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_real_layers_for_every_backbone(name: str, backbone: str) -> None:
    recipe = get_recipe(name, backbone)

    nodes = {resolve_layer(get_spec(backbone), layer) for layer in recipe.layer_names}

    assert recipe.name == name
    assert len(nodes) == len(recipe.layers) == (2 if name == "tutorial" else 1)


def test_named_recipes_are_the_published_ones() -> None:
    gordic = get_recipe("gordic", "vgg16")
    assert gordic.layers == (("relu4_3", 1.0),)
    assert gordic.steps_per_octave == (10, 10, 10, 10)
    assert (gordic.octave_scale, gordic.step_size, gordic.shift_px) == (1.8, 0.09, 32)
    assert (gordic.objective, gordic.space, gordic.gradient_scale) == ("l2", "imagenet", "zscore")
    assert not gordic.reinject_detail

    tutorial = get_recipe("tutorial", "inception_v3")
    assert tutorial.layers == (("mixed3", 1.0), ("mixed5", 1.0))
    assert tutorial.steps_per_octave == (50, 50, 50, 50, 50)
    assert (tutorial.octave_scale, tutorial.octaves_above, tutorial.step_size) == (1.3, 2, 0.01)
    assert (tutorial.objective, tutorial.space, tutorial.gradient_scale) == ("mean", "signed", "std")
    assert tutorial.smoothing == tutorial.shifts == "none"

    distillable = get_recipe("distillable", "squeezenet1_1")
    assert distillable.layers == (("features.9", 1.0),)
    assert distillable.steps_per_octave == (4, 4, 6)
    assert (distillable.octave_scale, distillable.step_size, distillable.shift_px) == (1.4, 0.015, 16)
    assert (distillable.objective, distillable.space, distillable.gradient_scale) == ("l2", "unit", "mean_abs")
    assert (distillable.smoothing, distillable.smoothing_sigma) == ("gaussian", 1.5)
    assert (distillable.shifts, distillable.shifts_per_step) == ("stratified", 1)
    assert distillable.reinject_detail


def test_recipes_are_frozen_and_can_be_keys() -> None:
    recipe = get_recipe("gordic", "vgg16")

    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.octaves = 1  # type: ignore[misc]
    assert {recipe: 1}[get_recipe("gordic", "vgg16")] == 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("objective", "l3", "recipe objective is 'l3'; it must be one of mean, l2"),
        ("space", "hsv", "recipe space is 'hsv'; it must be one of unit, signed, imagenet"),
        ("gradient_scale", "max", "recipe gradient_scale is 'max'; it must be one of zscore, std, mean_abs"),
        ("smoothing", "box", "recipe smoothing is 'box'; it must be one of none, gaussian, cascade"),
        ("shifts", "walk", "recipe shifts is 'walk'; it must be one of none, jitter, stratified"),
        ("layers", (), "layers must name at least one layer"),
        ("layers", (("a", math.nan),), "the weights of the layers must be finite and not all zero"),
        ("layers", (("a", 0.0), ("b", 0.0)), "the weights of the layers must be finite and not all zero"),
        ("layers", (("a", 1.0), ("a", 2.0)), "layers must not repeat"),
        ("octaves", 0, "octaves must be 1 to 30"),
        ("octaves", 31, "octaves must be 1 to 30"),
        ("octave_scale", 1.0, "octave_scale must be above 1"),
        ("octave_scale", math.nan, "octave_scale must be above 1"),
        ("octave_scale", 11.0, "octave_scale must be above 1 and at most 10"),
        ("octaves_above", -1, "octaves_above must be 0 or more and less than octaves"),
        ("octaves_above", 3, "octaves_above must be 0 or more and less than octaves"),
        ("steps", (4, 4), r"steps must be one number or 3 \(one per octave\)"),
        ("steps", (), r"steps must be one number or 3 \(one per octave\)"),
        ("steps", (4, 0, 4), "steps must be 1 or more"),
        ("step_size", 0.0, "step_size must be a finite number other than 0"),
        ("step_size", math.inf, "step_size must be a finite number other than 0"),
        ("smoothing_sigma", 0.0, "smoothing needs a smoothing_sigma above 0"),
        ("smoothing_sigma", math.nan, "smoothing needs a smoothing_sigma above 0"),
        ("shift_px", 0, "shifts need a shift_px of 1 or more"),
        ("shift_px", 15, "stratified shifts need an even shift_px"),
        ("shifts_per_step", 0, "shifts_per_step must be 1 or more"),
    ],
)
def test_values_that_make_no_sense_are_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        get_recipe("distillable", "squeezenet1_1", **{field: value})
    assert "\n" not in str(caught.value)


def test_several_shifts_per_step_are_for_stratified_shifts_only() -> None:
    assert get_recipe("distillable", "vgg16", shifts_per_step=4).shifts_per_step == 4
    with pytest.raises(UserError, match="1 unless shifts are stratified"):
        get_recipe("gordic", "vgg16", shifts_per_step=4)


@pytest.mark.parametrize(
    ("name", "backbone", "overrides", "message"),
    [
        ("gordik", "vgg16", {}, "there is no recipe 'gordik'; nearest: 'gordic'"),
        ("", "vgg16", {}, "known: gordic, tutorial, distillable"),
        ("gordic", "vgg61", {}, "recipe 'gordic' has no defaults for backbone 'vgg61'; known: vgg16, vgg19"),
        ("gordic", "vgg16", {"octave": 2}, "a recipe has no field 'octave'"),
    ],
)
def test_unknown_names_are_refused(name: str, backbone: str, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        get_recipe(name, backbone, **overrides)


def test_overrides_replace_fields_and_none_leaves_them() -> None:
    recipe = get_recipe("gordic", "vgg16", octaves=2, step_size=0.5, layers=(("relu3_3", 2.0),), steps=None)

    assert (recipe.octaves, recipe.step_size, recipe.layers) == (2, 0.5, (("relu3_3", 2.0),))
    assert recipe.steps_per_octave == (10, 10)
    assert recipe.octave_scale == 1.8
    assert get_recipe("gordic", "vgg16", octaves=None) == get_recipe("gordic", "vgg16")


@pytest.mark.parametrize(("octaves", "steps"), [(1, (6,)), (2, (4, 6)), (3, (4, 4, 6)), (5, (4, 4, 4, 4, 6))])
def test_a_steps_schedule_follows_the_number_of_octaves(octaves: int, steps: tuple[int, ...]) -> None:
    assert get_recipe("distillable", "vgg16", octaves=octaves).steps_per_octave == steps


@pytest.mark.parametrize(("octaves", "above"), [(1, 0), (2, 1), (3, 2), (7, 2)])
def test_few_octaves_are_possible_where_some_are_above_the_photo(octaves: int, above: int) -> None:
    assert get_recipe("tutorial", "vgg16", octaves=octaves).octaves_above == above
    with pytest.raises(UserError, match="octaves_above must be 0 or more and less than octaves"):
        get_recipe("tutorial", "vgg16", octaves=octaves, octaves_above=octaves)


def test_steps_given_beside_octaves_are_taken_as_they_are() -> None:
    assert get_recipe("distillable", "vgg16", octaves=2, steps=(3, 5)).steps_per_octave == (3, 5)
    assert get_recipe("distillable", "vgg16", octaves=2, steps=(3,)).steps_per_octave == (3, 3)
    with pytest.raises(UserError, match=r"steps must be one number or 2"):
        get_recipe("distillable", "vgg16", octaves=2, steps=(3, 4, 5))


@pytest.mark.parametrize("name", RECIPES)
def test_json_brings_a_recipe_back(name: str) -> None:
    recipe = get_recipe(name, "vgg16", layers=(("relu3_3", 0.1), ("relu4_3", 2.0)), step_size=1 / 3)

    text = recipe.to_json()

    assert "\n" not in text
    assert DreamRecipe.from_json(text) == recipe


def _changed(**changes: Any) -> str:
    return json.dumps({**json.loads(get_recipe("gordic", "vgg16").to_json()), **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "null",
        "[]",
        '"gordic"',
        "{}",
        _changed(colour="red"),
        _changed(layers="relu4_3"),
        _changed(layers=[["relu4_3", "heavy"]]),
        _changed(steps=10),
        _changed(octaves="four"),
    ],
)
def test_json_that_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="this is not a recipe that dreamgan wrote"):
        DreamRecipe.from_json(text)


def test_json_of_a_senseless_recipe_says_what_makes_no_sense() -> None:
    with pytest.raises(UserError, match="octaves must be 1 to 30"):
        DreamRecipe.from_json(_changed(octaves=0))


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("relu4_3", (("relu4_3", 1.0),)),
        ("mixed3,mixed5:1.5", (("mixed3", 1.0), ("mixed5", 1.5))),
        (" mixed3 , mixed5:-2 ", (("mixed3", 1.0), ("mixed5", -2.0))),
        ("inception_4c/output", (("inception_4c/output", 1.0),)),
    ],
)
def test_layers_are_read_with_their_weights(text: str, layers: tuple[tuple[str, float], ...]) -> None:
    assert parse_layers(text) == layers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mixed3:heavy", "layer weight 'heavy' in 'mixed3:heavy' is not a number"),
        ("mixed3:1:2", "layer weight '1:2'"),
        ("", "there is an empty layer name in ''"),
        ("mixed3,,mixed5", "there is an empty layer name"),
        (":2", "there is an empty layer name"),
    ],
)
def test_layers_that_cannot_be_read_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_layers(text)
