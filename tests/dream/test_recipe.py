import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from dreamgan.backbones.registry import BACKBONES, get_spec, resolve_layer
from dreamgan.dream import RECIPES, DreamRecipe, get_recipe, parse_layers
from dreamgan.dream.objectives import guided, l2, tv
from dreamgan.errors import UserError


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_real_layers_for_every_backbone(name: str, backbone: str) -> None:
    recipe = get_recipe(name, backbone)

    nodes = {resolve_layer(get_spec(backbone), layer) for layer in recipe.layer_names}

    assert recipe.name == name
    counts = {"keras": 4, "styleconv_multi": 4, "layers_low": 3, "layers_high": 3}
    assert len(nodes) == len(recipe.layer_names) == counts.get(name, 2 if name.startswith("tutorial") else 1)
    assert DreamRecipe.from_json(recipe.to_json()) == recipe


def test_named_recipes_are_the_published_ones() -> None:
    gordic = get_recipe("gordic", "vgg16")
    assert str(gordic.objective) == "l2(relu4_3)"
    assert gordic.steps_per_octave == (10, 10, 10, 10)
    assert (gordic.octave_scale, gordic.step_size, gordic.shift_px) == (1.8, (0.09,), 32)
    assert (gordic.space, gordic.gradient_scale, gordic.smoothing) == ("imagenet", "zscore", "cascade")
    assert gordic.reinject_detail == "none"

    tutorial = get_recipe("tutorial", "inception_v3")
    assert str(tutorial.objective) == "mean(mixed3) + mean(mixed5)"
    assert tutorial.steps_per_octave == (50, 50, 50, 50, 50)
    assert (tutorial.octave_scale, tutorial.octaves_above, tutorial.step_size) == (1.3, 2, (0.01,))
    assert (tutorial.space, tutorial.gradient_scale) == ("signed", "std")
    assert tutorial.smoothing == tutorial.shifts == "none"
    simple, tiled = get_recipe("tutorial_simple", "vgg16"), get_recipe("tutorial_tiled", "vgg16")
    assert (simple.octaves, simple.octaves_above, simple.steps) == (1, 0, (100,))
    assert (tiled.tile_px, tiled.shifts, tiled.shift_px, tiled.steps_per_octave) == (512, "jitter", 512, (50,) * 5)

    keras = get_recipe("keras", "inception_v3")
    assert str(keras.objective) == (
        "l2(mixed4, inset=2) + 1.5*l2(mixed5, inset=2) + 2.0*l2(mixed6, inset=2) + 2.5*l2(mixed7, inset=2)"
    )
    assert (keras.octaves, keras.octave_scale, keras.steps, keras.step_size) == (3, 1.4, (20,), (0.01,))
    assert (keras.stop_at, keras.gradient_floor, keras.reinject_detail, keras.clamp) == (15.0, 1e-6, "after", False)

    google = get_recipe("google", "googlenet_bvlc")
    assert str(google.objective) == "l2(inception_4c)"
    assert (google.octaves, google.octave_scale, google.steps, google.shift_px) == (4, 1.4, (10,), 32)
    assert (google.gradient_scale, google.reinject_detail) == ("mean_abs", "before")
    assert google.step_size == (1.5 / 255,)
    assert get_recipe("guided", "googlenet_bvlc") == dataclasses.replace(
        google, name="guided", objective=guided("inception_4c", "guide")
    )

    low, high = get_recipe("layers_low", "vgg16"), get_recipe("layers_high", "vgg16")
    assert str(low.objective) == "mean(block2_conv2) + mean(block3_conv1) + mean(block3_conv2)"
    assert str(high.objective) == "mean(block4_conv2) + mean(block5_conv1) + mean(block3_conv2)"
    assert low.steps_per_octave == high.steps_per_octave == (1000,)
    assert low.stretch
    assert get_recipe("styleconv_single", "inception_v3").objective.terms[0].kind == "channel"
    assert get_recipe("styleconv_multi", "inception_v3").layer_names == ("mixed4", "mixed5", "mixed6", "mixed7")

    distillable = get_recipe("distillable", "squeezenet1_1")
    assert str(distillable.objective) == "l2(features.9)"
    assert distillable.steps_per_octave == (4, 4, 6)
    assert (distillable.octave_scale, distillable.step_size, distillable.shift_px) == (1.4, (0.015,), 16)
    assert (distillable.space, distillable.gradient_scale) == ("unit", "mean_abs")
    assert (distillable.smoothing, distillable.smoothing_sigma) == ("gaussian", 1.5)
    assert (distillable.shifts, distillable.shifts_per_step) == ("stratified", 1)
    assert distillable.reinject_detail == "before"


def test_recipes_are_frozen_and_can_be_keys() -> None:
    recipe = get_recipe("gordic", "vgg16")

    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.octaves = 1  # type: ignore[misc]
    assert {recipe: 1}[get_recipe("gordic", "vgg16")] == 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("objective", "l3(a)", "there is no objective 'l3'; nearest: 'l2'"),
        ("objective", "tv()", "the objective needs a layer: regularisers alone make no dream"),
        ("objective", 5, "recipe objective is 5; it must be a text"),
        ("objective", "l2(a, octaves=1/0)", r"octaves=... of a term must be 3 numbers \(one per octave\)"),
        ("objective", "0*l2(a)", "each octave needs a term with a weight other than 0"),
        ("objective", "l2(a, octaves=1/0/1)", "each octave needs a term with a weight other than 0"),
        ("space", "hsv", "recipe space is 'hsv'; it must be one of unit, signed, imagenet"),
        ("gradient_scale", "max", "recipe gradient_scale is 'max'; it must be one of none, zscore, std, mean_abs"),
        ("smoothing", "box", "recipe smoothing is 'box'; it must be one of none, gaussian, cascade"),
        ("shifts", "walk", "recipe shifts is 'walk'; it must be one of none, jitter, stratified"),
        ("reinject_detail", True, "recipe reinject_detail is True; it must be a text"),
        ("reinject_detail", "yes", "recipe reinject_detail is 'yes'; it must be one of none, before, after"),
        ("layers", (), "the objective needs a layer|an objective needs at least one term"),
        ("layers", (("a", math.nan),), "objective l2: weights must be finite"),
        ("layers", (("a", 0.0), ("b", 0.0)), "each octave needs a term with a weight other than 0"),
        ("layers", ("a", "b"), r"recipe layers is \('a', 'b'\); it must be a text such as mixed3,mixed5:1.5"),
        ("layers", (("", 1.0),), "objective l2: it needs a layer"),
        ("octaves", 0, "octaves must be 1 to 30"),
        ("octaves", 31, "octaves must be 1 to 30"),
        ("octaves", 10**12, "octaves must be 1 to 30"),  # at once
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
        ("step_size", (0.1, 0.0, 0.1), "step_size must be a finite number other than 0"),
        ("step_size", (0.1, 0.1), r"step_size must be one number or 3 \(one per octave\)"),
        ("step_size", "large", "recipe step_size is 'large'; it must be a number"),
        ("steps", 2.5, "recipe steps is 2.5; it must be a whole number"),
        ("octaves", True, "recipe octaves is True; it must be a whole number"),
        ("clamp", "no", "recipe clamp is 'no'; it must be true or false"),
        ("step_decay", 0.0, "step_decay must be above 0 and at most 1"),
        ("step_decay", 1.5, "step_decay must be above 0 and at most 1"),
        ("step_decay", math.nan, "step_decay must be above 0 and at most 1"),
        ("stop_at", math.nan, "stop_at must be a number"),
        ("gradient_floor", -1.0, "gradient_floor must be 0 or more"),
        ("gradient_floor", math.inf, "gradient_floor must be 0 or more"),
        ("spectrum_power", 2.5, "spectrum_power must be 0 to 2"),
        ("tile_px", 63, r"tile_px must be 0 \(no tiles\) or 64 or more"),
        ("tile_px", -1, r"tile_px must be 0 \(no tiles\) or 64 or more"),
        ("tile_overlap_px", 1, "tile_overlap_px must be 0 to half of tile_px"),
        ("tile_overlap_px", -1, "tile_overlap_px must be 0 to half of tile_px"),
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
        ("", "vgg16", {}, "known: gordic, keras, tutorial, tutorial_simple, .*, distillable"),
        ("gordic", "vgg61", {}, "recipe 'gordic' has no defaults for backbone 'vgg61'; give layers or an objective"),
        ("gordic", "vgg16", {"octave": 2}, "a recipe has no field 'octave'; nearest: 'octaves'"),
        ("gordic", "vgg16", {"average_layers": True}, "a recipe has no field 'average_layers'; nearest: '"),
    ],
)
def test_unknown_names_are_refused(name: str, backbone: str, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        get_recipe(name, backbone, **overrides)


def test_overrides_replace_fields_and_none_leaves_them() -> None:
    recipe = get_recipe("gordic", "vgg16", octaves=2, step_size=0.5, layers=(("relu3_3", 2.0),), steps=None)

    assert (recipe.octaves, recipe.step_size, recipe.layer_names) == (2, (0.5,), ("relu3_3",))
    assert str(recipe.objective) == "2.0*l2(relu3_3)"
    assert recipe.steps_per_octave == (10, 10)
    assert recipe.octave_scale == 1.8
    assert get_recipe("gordic", "vgg16", octaves=None) == get_recipe("gordic", "vgg16")


def test_an_objective_may_be_given_as_text_or_in_python() -> None:
    as_text = get_recipe("gordic", "vgg16", objective="l2(relu3_3) - 0.1*tv()")
    assert as_text == get_recipe("gordic", "vgg16", objective=l2("relu3_3") - 0.1 * tv())
    assert as_text.layer_names == ("relu3_3",)
    assert DreamRecipe(name="x", objective="l2(a)").objective == l2("a")  # type: ignore[arg-type]


def test_a_backbone_without_defaults_needs_layers_or_an_objective(tmp_path: Path) -> None:
    assert str(get_recipe("keras", "vgg61", layers="deep").objective) == "l2(deep, inset=2)"
    assert str(get_recipe("keras", "vgg61", objective="mean(deep)").objective) == "mean(deep)"
    assert str(get_recipe(written(tmp_path, "objective: mean(deep)"), "vgg61").objective) == "mean(deep)"


def test_layers_take_the_place_of_a_recipes_own() -> None:
    recipe = get_recipe("keras", "vgg16", layers="relu3_3:2,relu4_3")
    assert str(recipe.objective) == "2.0*l2(relu3_3, inset=2) + l2(relu4_3, inset=2)"
    assert str(get_recipe("guided", "vgg16", layers="relu3_3").objective) == "guided(relu3_3, guide)"
    with pytest.raises(UserError, match="give layers or an objective, not both"):
        get_recipe("keras", "vgg16", layers="relu3_3", objective="l2(relu4_3)")
    with pytest.raises(UserError, match="there is an empty layer name"):
        get_recipe("keras", "vgg16", layers="")


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
    objective = (
        "0.1*l2(relu3_3) + 2*channel(relu4_3, 5, octaves=1/0.3) - 1e-7*tv() + guided(relu4_3, 'my guide', mask=sky)"
    )
    schedules = {"octaves": 2, "octaves_above": 0, "steps": (3, 5), "step_size": (1 / 3, 2e-9), "step_decay": 0.3}
    recipe = get_recipe(name, "vgg16", objective=objective, stop_at=2.5, **schedules)

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
        _changed(objective="l3(relu4_3)"),
        _changed(objective=None),
        _changed(steps=[10.5]),
        _changed(steps="10"),
        _changed(octaves="four"),
        _changed(step_size=[0.1, "x"]),
        _changed(clamp=1),
        _changed(name=None),
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


# --- schedules -------------------------------------------------------------------------------------------------


def test_one_step_size_stands_for_every_step() -> None:
    recipe = get_recipe("gordic", "vgg16")
    assert {recipe.step_length(octave, step) for octave in range(4) for step in range(10)} == {0.09}


def test_step_sizes_per_octave_and_a_geometric_decay_within_each() -> None:
    recipe = get_recipe("gordic", "vgg16", octaves=3, steps=(3, 1, 5), step_size=(0.4, 0.2, 0.1), step_decay=0.01)

    lengths = [[recipe.step_length(octave, step) for step in range(steps)] for octave, steps in enumerate((3, 1, 5))]

    assert lengths[0] == pytest.approx([0.4, 0.04, 0.004])
    assert lengths[1] == [0.2]
    assert [lengths[2][0], lengths[2][-1]] == pytest.approx([0.1, 0.001])
    ratios = [after / before for before, after in zip(lengths[2], lengths[2][1:], strict=False)]
    assert ratios == pytest.approx([0.01 ** (1 / 4)] * 4)


@pytest.mark.parametrize(("octaves", "sizes"), [(1, (0.1,)), (2, (0.2, 0.1)), (4, (0.4, 0.4, 0.2, 0.1))])
def test_step_sizes_of_a_file_follow_the_number_of_octaves(
    octaves: int, sizes: tuple[float, ...], tmp_path: Path
) -> None:
    file = written(tmp_path, "recipe: gordic\noctaves: 3\nstep_size: [0.4, 0.2, 0.1]\nsteps: [1, 2, 3]")
    recipe = get_recipe(file, "vgg16", octaves=octaves)
    assert recipe.step_size == sizes
    assert recipe.steps == {1: (3,), 2: (2, 3), 4: (1, 1, 2, 3)}[octaves]


# --- recipes in files ------------------------------------------------------------------------------------------


def written(folder: Path, text: str, name: str = "mine.yaml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


@pytest.mark.parametrize("name", RECIPES)
def test_a_printed_recipe_is_read_back(name: str, tmp_path: Path) -> None:
    recipe = get_recipe(name, "inception_v3", spectrum_power=0.5)
    file = written(tmp_path, yaml.safe_dump(recipe.as_dict(), sort_keys=False))
    assert get_recipe(file, "inception_v3") == recipe


def test_a_file_changes_some_fields_of_a_recipe(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        recipe: google          # the rest is as there
        objective: l2(mixed3) - 0.1*tv()
        steps: [5, 6, 7, 8]
        step_size: 1e-3
        clamp: no
        """,
        "Soft.YML",
    )
    recipe = get_recipe(file, "inception_v3")
    assert recipe == get_recipe(
        "google",
        "inception_v3",
        name="Soft",
        objective="l2(mixed3) - 0.1*tv()",
        steps=(5, 6, 7, 8),
        step_size=0.001,
        clamp=False,
    )
    assert get_recipe(written(tmp_path, "name: other\nsteps: 3"), "vgg16") == get_recipe(
        "gordic", "vgg16", name="other", steps=3
    )


def test_what_is_given_beside_a_file_changes_the_files_recipe(tmp_path: Path) -> None:
    file = written(tmp_path, "recipe: keras\nobjective: mean(relu3_3)\nsteps: 3\nspace: unit")
    recipe = get_recipe(file, "vgg16", steps=4, layers="relu2_2:2", octave_scale=None)
    assert (recipe.steps, recipe.space, recipe.octave_scale) == ((4,), "unit", 1.4)
    assert str(recipe.objective) == "2.0*mean(relu2_2)"
    assert str(get_recipe(file, "vgg16", objective="l2(relu1_1)").objective) == "l2(relu1_1)"


def test_a_file_may_name_layers_alone(tmp_path: Path) -> None:
    for layers in ("relu3_3,relu4_3:2", "[[relu3_3, 1], [relu4_3, 2]]"):
        recipe = get_recipe(written(tmp_path, f"layers: {layers}"), "vgg16")
        assert str(recipe.objective) == "l2(relu3_3) + 2.0*l2(relu4_3)"


def test_null_in_a_file_is_a_value(tmp_path: Path) -> None:
    assert get_recipe("keras", "vgg16").stop_at == 15
    assert get_recipe(written(tmp_path, "recipe: keras\nstop_at: null"), "vgg16").stop_at is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mine.yaml' must hold fields, such as 'recipe: google' and 'steps: 20'"),
        ("null", "must hold fields"),
        ("google", "must hold fields"),
        ("- steps: 3", "must hold fields"),
        ("3: steps", "must hold fields"),
        ("steps: [3", "mine.yaml' is not YAML: "),
        ("a: b: c", "mine.yaml' is not YAML: "),
        ("steps: !!python/object:os.system 3", "mine.yaml' is not YAML: "),
        ("recipe: gogle", "there is no recipe 'gogle'; nearest: 'google'"),
        ("recipe: mine.yaml", "there is no recipe 'mine.yaml'"),
        ("recipe: null", "there is no recipe 'None'"),
        ("step: 3", "a recipe has no field 'step'; nearest: 'steps'"),
        ("octave_scales: 3", "a recipe has no field 'octave_scales'; nearest: 'octave_scale'"),
        ("steps: many", "recipe steps is 'many'; it must be a whole number"),
        ("steps: 2.5", "recipe steps is 2.5; it must be a whole number"),
        ("steps: [3, [4]]", r"recipe steps is \[4\]; it must be a whole number"),
        ("steps: null", "recipe steps is None; it must be a whole number"),
        ("steps: []", r"steps must be one number or 4 \(one per octave\)"),
        ("step_size: {a: 1}", r"recipe step_size is {'a': 1}; it must be a number"),
        ("octaves: yes", "recipe octaves is True; it must be a whole number"),
        ("octaves: .inf", "recipe octaves is inf; it must be a whole number"),
        ("clamp: 1", "recipe clamp is 1; it must be true or false"),
        ("shifts: off", "recipe shifts is False; it must be a text"),
        ("name: 5", "recipe name is 5; it must be a text"),
        ("smoothing_sigma: 200", "smoothing needs a smoothing_sigma above 0 and at most 100"),
        ("objective: 5", "recipe objective is 5; it must be a text"),
        ("objective: [l2(relu4_3)]", "recipe objective is .*; it must be a text"),
        ("objective: l2(relu4_3", r"objective 'l2\(relu4_3': expected '\)'"),
        ("objective: l2(relu4_3)\nlayers: relu3_3", "give layers or an objective, not both"),
        ("layers: [relu4_3]", "recipe layers is .*; it must be a text such as mixed3,mixed5:1.5"),
        ("layers: 5", "recipe layers is 5; it must be a text such as"),
        ("layers: relu4_3:x", "layer weight 'x' in 'relu4_3:x' is not a number"),
    ],
)
def test_a_file_with_a_mistake(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        get_recipe(written(tmp_path, text), "vgg16")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none.yaml' cannot be read: No such file"):
        get_recipe(str(tmp_path / "none.yaml"), "vgg16")
    (tmp_path / "folder.yml").mkdir()
    with pytest.raises(UserError, match="folder.yml' cannot be read: "):
        get_recipe(str(tmp_path / "folder.yml"), "vgg16")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9t\xe9")
    with pytest.raises(UserError, match="latin.yaml' is not YAML: ") as caught:
        get_recipe(str(tmp_path / "latin.yaml"), "vgg16")
    assert "\n" not in str(caught.value)
