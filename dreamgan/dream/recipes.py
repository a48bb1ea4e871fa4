"""The named recipes, each with its source and where we differ from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dreamgan.dream.objectives import Objective, channel, guided, l2, mean
from dreamgan.dream.recipe import DreamRecipe, parse_layers, typed_fields
from dreamgan.errors import UserError
from dreamgan.settings import check_yaml

_ONE_LAYER = {
    "vgg16": "relu4_3",
    "vgg19": "relu4_3",
    "resnet50": "layer3",
    "inception_v3": "mixed5",
    "googlenet": "inception_4c",
    "googlenet_bvlc": "inception_4c",
    "mobilenet_v2": "block_10_expand_relu",
    "squeezenet1_1": "features.9",
}
_TWO_LAYERS = {
    "vgg16": ("relu4_3", "relu5_1"),
    "vgg19": ("relu4_3", "relu5_1"),
    "resnet50": ("layer3.3", "layer3"),
    "inception_v3": ("mixed3", "mixed5"),
    "googlenet": ("inception_4b", "inception_4d"),
    "googlenet_bvlc": ("inception_4b", "inception_4d"),
    "mobilenet_v2": ("block_8_expand_relu", "block_12_expand_relu"),
    "squeezenet1_1": ("features.8", "features.10"),
}
_FOUR_LAYERS = {
    "vgg16": ("relu4_1", "relu4_2", "relu4_3", "relu5_1"),
    "vgg19": ("relu4_2", "relu4_3", "relu4_4", "relu5_1"),
    "resnet50": ("layer3.1", "layer3.2", "layer3.3", "layer3.4"),
    "inception_v3": ("mixed4", "mixed5", "mixed6", "mixed7"),
    "googlenet": ("inception_4a", "inception_4b", "inception_4c", "inception_4d"),
    "googlenet_bvlc": ("inception_4a", "inception_4b", "inception_4c", "inception_4d"),
    "mobilenet_v2": ("block_6_expand_relu", "block_8_expand_relu", "block_10_expand_relu", "block_12_expand_relu"),
    "squeezenet1_1": ("features.7", "features.9", "features.10", "features.11"),
}
# Maps of those layers that make a clear figure; 13 elsewhere.
_ONE_MAP = {"vgg16": 240, "inception_v3": 100, "googlenet_bvlc": 150, "squeezenet1_1": 60, "mobilenet_v2": 300}
_LOW_LAYERS = {
    "vgg16": ("block2_conv2", "block3_conv1", "block3_conv2"),
    "vgg19": ("block2_conv2", "block3_conv1", "block3_conv2"),
    "resnet50": ("layer1.2", "layer2.0", "layer2.1"),
    "inception_v3": ("Conv2d_3b_1x1", "Conv2d_4a_3x3", "mixed0"),
    "googlenet": ("conv2", "conv3", "inception_3a"),
    "googlenet_bvlc": ("conv2", "conv3", "inception_3a"),
    "mobilenet_v2": ("block_1_expand_relu", "block_2_expand_relu", "block_3_expand_relu"),
    "squeezenet1_1": ("features.3", "features.4", "features.6"),
}
_HIGH_LAYERS = {
    "vgg16": ("block4_conv2", "block5_conv1", "block3_conv2"),
    "vgg19": ("block4_conv2", "block5_conv1", "block3_conv2"),
    "resnet50": ("layer3.1", "layer3.5", "layer2.1"),
    "inception_v3": ("mixed4", "mixed6", "mixed1"),
    "googlenet": ("inception_4b", "inception_4e", "inception_3b"),
    "googlenet_bvlc": ("inception_4b", "inception_4e", "inception_3b"),
    "mobilenet_v2": ("block_8_expand_relu", "block_12_expand_relu", "block_4_expand_relu"),
    "squeezenet1_1": ("features.9", "features.11", "features.7"),
}


def _sum(term: Callable[[str], Objective], layers: Sequence[str], weights: Sequence[float] | None = None) -> Objective:
    first, *rest = (weight * term(layer) for layer, weight in zip(layers, weights or [1.0] * len(layers), strict=True))
    return sum(rest, start=first)


def gordic(backbone: str) -> DreamRecipe:
    """The recipe of gordicaleksa/pytorch-deepdream: four coarse octaves, cascade smoothing, jitter 32.

    Source: https://github.com/gordicaleksa/pytorch-deepdream, defaults of its command line (VGG16 ``relu4_3``).

    Differs: every picture draws its own jitter; octaves too small for the network are left out; a picture whose
    gradient is zero or not finite keeps still where the peer makes NaN; several layers are summed, not averaged,
    which a gradient of unit deviation does not notice. Layers for other backbones than VGG16 are ours, except
    ResNet50 (``layer3``: its last block, as in *juit*).
    """
    return DreamRecipe(
        name="gordic",
        objective=l2(_ONE_LAYER[backbone]),
        space="imagenet",
        octaves=4,
        octave_scale=1.8,
        steps=(10,),
        step_size=(0.09,),
        gradient_scale="zscore",
        smoothing="cascade",
        smoothing_sigma=2.0,
        shifts="jitter",
        shift_px=32,
    )


def keras(backbone: str) -> DreamRecipe:
    """The recipe of keras-io: mixed4 ... mixed7 of InceptionV3 with growing weights, detail given back.

    Source: the DeepDream example of the Keras documentation (F. Chollet).

    Differs: sizes of octaves are rounded, Keras cuts them off; pixels are clamped once at the end, as there. Layers
    for other backbones than InceptionV3 are ours, and so is the loss at which an octave ends, 15, unless their
    activations are as large as InceptionV3's.
    """
    return DreamRecipe(
        name="keras",
        objective=_sum(lambda layer: l2(layer, inset=2), _FOUR_LAYERS[backbone], (1.0, 1.5, 2.0, 2.5)),
        space="signed",
        octaves=3,
        octave_scale=1.4,
        steps=(20,),
        step_size=(0.01,),
        stop_at=15.0,
        gradient_scale="mean_abs",
        gradient_floor=1e-6,
        reinject_detail="after",
        clamp=False,
    )


def tutorial(backbone: str) -> DreamRecipe:
    """The TensorFlow tutorial's octave dream: mixed3 + mixed5, scales 1.3^-2 ... 1.3^2, 50 steps each.

    Source: the DeepDream tutorial of the TensorFlow documentation, section "Taking it up an octave".

    Differs: the last octave is larger than the photo, as there, and the dream is then resized back to the photo's
    size; octave sizes are rounded, the tutorial cuts them off. Layers for other backbones than InceptionV3 are ours.
    """
    return DreamRecipe(
        name="tutorial",
        objective=_sum(mean, _TWO_LAYERS[backbone]),
        space="signed",
        octaves=5,
        octave_scale=1.3,
        octaves_above=2,
        steps=(50,),
        step_size=(0.01,),
        gradient_scale="std",
    )


def tutorial_simple(backbone: str) -> DreamRecipe:
    """The TensorFlow tutorial's first dream: 100 steps at one scale.

    Source: the same tutorial, section "Main loop". Layers for other backbones than InceptionV3 are ours.
    """
    return dataclasses.replace(tutorial(backbone), name="tutorial_simple", octaves=1, octaves_above=0, steps=(100,))


def tutorial_tiled(backbone: str) -> DreamRecipe:
    """The TensorFlow tutorial's dream of large pictures: tiles of 512 px under a random roll of up to 512 px.

    Source: the same tutorial, section "Scaling up with tiles" (50 steps per octave here as in its octave dream).

    Differs: a picture is cut into equal tiles of at most 512 px, where the tutorial takes tiles of 512 px and leaves
    the last, incomplete ones to the next roll; each tile counts by its area.
    """
    return dataclasses.replace(tutorial(backbone), name="tutorial_tiled", shifts="jitter", shift_px=512, tile_px=512)


def google(backbone: str) -> DreamRecipe:
    """The original dream of google/deepdream: GoogLeNet ``inception_4c``, jitter 32, four octaves of 1.4.

    Source: https://github.com/google/deepdream (``dream.ipynb``); its network is ``googlenet_bvlc``.

    Differs: the step of 1.5 levels is 1.5 / 255 in [0, 1]; pixels are clamped to [0, 1], there to the range around
    Caffe's mean, which is the same, and also when the detail is added to a larger octave; octaves are resized
    half-pixel bilinear instead of by ``ndimage.zoom``; each picture has its own jitter. The notebook's default layer is
    ``inception_4c/output``.
    """
    return DreamRecipe(
        name="google",
        objective=l2(_ONE_LAYER[backbone]),
        space="unit",
        octaves=4,
        octave_scale=1.4,
        steps=(10,),
        step_size=(1.5 / 255,),
        gradient_scale="mean_abs",
        shifts="jitter",
        shift_px=32,
        reinject_detail="before",
    )


def layers_low(backbone: str) -> DreamRecipe:
    """The low set of *layers*: ``block2_conv2 + block3_conv1 + block3_conv2``, 1,000 plain steps.

    Source: Al-Khazraji, Abbas, Jamil, *The Effect of Changing Targeted Layers of the Deep Dream Technique Using
    VGG-16*.

    Differs: the paper gives no step size and no input scaling. Here the photo is stretched to [0, 1] as there, the
    network sees it ImageNet-normalised, the gradient is divided by its deviation, and pixels are clamped to [0, 1]:
    without the clamp the loss never levels off, as it does in the paper's tables. A step of 0.004 gives the ratios of
    those tables (loss at 500 over 100 and at 1,000 over 500 steps) for both sets of layers; ``reproduce layers_scan``
    shows others. Meant for photos of at most 224 px (``--max_side 224``). Other backbones' layers are ours.
    """
    return DreamRecipe(
        name="layers_low",
        objective=_sum(mean, _LOW_LAYERS[backbone]),
        space="unit",
        stretch=True,
        steps=(1000,),
        step_size=(0.004,),
        gradient_scale="std",
    )


def layers_high(backbone: str) -> DreamRecipe:
    """The high set of *layers*: ``block4_conv2 + block5_conv1 + block3_conv2``; otherwise as ``layers_low``."""
    return dataclasses.replace(layers_low(backbone), name="layers_high", objective=_sum(mean, _HIGH_LAYERS[backbone]))


def styleconv_single(backbone: str) -> DreamRecipe:
    """One map of one layer, as *styleconv* does first: regular, repeating texture.

    Source: Wang, Dong, *Image Style Conversion using Deep CNN* (InceptionV3 ``mixed0`` ... ``mixed10``).

    Differs: the paper leaves the step and the map open; the step is the tutorial's, the map is ours, and the scales
    are three of 1.4 (its "multi-scale refinement"; ``octaves=1`` is without).
    """
    return DreamRecipe(
        name="styleconv_single",
        objective=channel(_ONE_LAYER[backbone], _ONE_MAP.get(backbone, 13)),
        space="signed",
        octaves=3,
        octave_scale=1.4,
        steps=(30,),
        step_size=(0.01,),
        gradient_scale="std",
    )


def styleconv_multi(backbone: str) -> DreamRecipe:
    """All maps of several layers, as *styleconv* does then; otherwise as ``styleconv_single``."""
    return dataclasses.replace(
        styleconv_single(backbone), name="styleconv_multi", objective=_sum(mean, _FOUR_LAYERS[backbone])
    )


def guided_dream(backbone: str) -> DreamRecipe:
    """The guided dream of *bedtime*: the maps that a guide picture excites are dreamed, in its proportions.

    It needs a guide picture named ``guide``.

    Source: Pap, Horváth, Gyöngyössy, *Bedtime Story*: "the normalised sum of activation of each map in a layer is used
    as a weight".

    Differs: the paper leaves steps and octaves open; they are those of ``google``. In MobileNetV2 the layer is a later
    one: in ``block_10`` the heaviest maps are those that any picture excites, and others gain more.
    """
    layer = "block_12_expand_relu" if backbone == "mobilenet_v2" else _ONE_LAYER[backbone]
    return dataclasses.replace(google(backbone), name="guided", objective=guided(layer, "guide"))


def distillable(backbone: str) -> DreamRecipe:
    """A dream that a network can learn: few, large, reproducible steps.

    One shift per step, cycled over the half-stride cells of a stride of 16 px, the same sequence for every photo;
    reflect padding; gradient smoothing of 1.5 px; detail re-injection; 3 octaves x 1.4 of 4, 4 and 6 steps.

    Source: our own; it makes two dreams of one photo alike, so that there is something to learn.
    Defined here: the step of 0.015 is in ``unit`` pixels ([0, 1]). MobileNetV2 dreams of an earlier layer than with
    the other recipes: its spots and rings are bolder at 14 steps, and sooner learnt.
    """
    return DreamRecipe(
        name="distillable",
        objective=l2("block_6_expand_relu" if backbone == "mobilenet_v2" else _ONE_LAYER[backbone]),
        space="unit",
        octaves=3,
        octave_scale=1.4,
        steps=(4, 4, 6),
        step_size=(0.015,),
        gradient_scale="mean_abs",
        smoothing="gaussian",
        smoothing_sigma=1.5,
        shifts="stratified",
        shift_px=16,
        reinject_detail="before",
    )


RECIPES: Mapping[str, Callable[[str], DreamRecipe]] = {
    "gordic": gordic,
    "keras": keras,
    "tutorial": tutorial,
    "tutorial_simple": tutorial_simple,
    "tutorial_tiled": tutorial_tiled,
    "google": google,
    "layers_low": layers_low,
    "layers_high": layers_high,
    "styleconv_single": styleconv_single,
    "styleconv_multi": styleconv_multi,
    "guided": guided_dream,
    "distillable": distillable,
}


def get_recipe(name: str, backbone: str, /, **overrides: Any) -> DreamRecipe:
    """A named recipe, or one from a YAML file, with its defaults for a backbone, some fields replaced.

    Args:
        name: One of ``RECIPES``, or a file (``.yaml``, ``.yml``) with fields of ``DreamRecipe`` and, under ``recipe``,
            the name of the recipe whose fields it changes.
        backbone: Registry name of the backbone, for instance ``vgg16``.
        **overrides: Fields of ``DreamRecipe`` (an objective may be given as text), and ``layers``, pairs (layer,
            weight) to which the recipe's objective is moved; None leaves the default.

    Returns:
        The recipe.

    Raises:
        UserError: If the name or a field is unknown, or a value makes no sense.
    """
    changes = {field: value for field, value in overrides.items() if value is not None}
    in_file: dict[str, Any] = {}
    if name.lower().endswith((".yaml", ".yml")):
        in_file = {"name": Path(name).stem, **_read_yaml(Path(name).expanduser())}
        name = str(in_file.pop("recipe", "gordic"))
    if name not in RECIPES:
        near = get_close_matches(name, RECIPES, n=1, cutoff=0.0)[0]
        raise UserError(f"there is no recipe {name!r}; nearest: {near!r} (known: {', '.join(RECIPES)})")
    if backbone in _ONE_LAYER:
        recipe = RECIPES[name](backbone)
    elif {"layers", "objective"} & (in_file.keys() | changes.keys()):
        recipe = RECIPES[name]("vgg16")  # its layers are about to be replaced
    else:
        raise UserError(f"recipe {name!r} has no defaults for backbone {backbone!r}; give layers or an objective")
    # What is given beside a file changes the file's recipe, as it would change a named one.
    return _changed(_changed(recipe, in_file), changes)


def _changed(recipe: DreamRecipe, fields: Mapping[str, Any]) -> DreamRecipe:
    """The recipe with some fields replaced, and what hangs together with them."""
    layers = fields.get("layers")
    changes = typed_fields({field: value for field, value in fields.items() if field != "layers"})
    if layers is not None:
        if "objective" in changes:
            raise UserError("give layers or an objective, not both: the objective names its layers")
        changes["objective"] = recipe.objective.on_layers(_pairs(layers))
    if 1 <= changes.get("octaves", 0) <= 30:
        for schedule in ("steps", "step_size"):
            values = getattr(recipe, schedule)
            if schedule not in changes and len(values) > 1:
                # Written for another number of octaves: the finest ones keep theirs, further coarse ones repeat.
                first = len(values) - changes["octaves"]
                changes[schedule] = tuple(values[max(0, i)] for i in range(first, len(values)))
    if "octaves" in changes and "octaves_above" not in changes:
        # Fewer octaves than the recipe has above the photo: the coarsest is then the photo's own size.
        changes["octaves_above"] = min(recipe.octaves_above, max(0, changes["octaves"] - 1))
    return dataclasses.replace(recipe, **changes)


def _pairs(layers: Any) -> tuple[tuple[str, float], ...]:
    if isinstance(layers, str):
        return parse_layers(layers)
    try:
        return tuple((str(layer), float(weight)) for layer, weight in layers)
    except (TypeError, ValueError):
        raise UserError(f"recipe layers is {layers!r}; it must be a text such as mixed3,mixed5:1.5") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        check_yaml(text)
        content = yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"recipe file '{path}' cannot be read: {error.strerror}") from None
    except UserError as error:
        raise UserError(f"recipe file '{path}': {error}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"recipe file '{path}' is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UserError(f"recipe file '{path}' must hold fields, such as 'recipe: google' and 'steps: 20'")
    return content
