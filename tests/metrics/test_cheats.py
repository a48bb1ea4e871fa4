"""What is no dream is told from one: by real weights, on crops of the sample photographs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dreamgan.backbones import load_extractor
from dreamgan.data.sources import find_photos
from dreamgan.dream import dream, get_recipe
from dreamgan.images import to_unit
from dreamgan.metrics import CHEATS, Measures, measure, other_photos
from dreamgan.metrics.cheats import Pairs

SIZE, CROPS = 64, 2


@pytest.fixture(scope="module")
def found() -> dict[str, Measures]:
    """Measures of every cheat, and of a third dream, which is none."""
    if not (Path(torch.hub.get_dir()) / "checkpoints" / "mobilenet_v2-b0353104.pth").is_file():
        pytest.skip("needs the default weights: run `make setup`")
    crops = find_photos("samples", size_px=SIZE, crops=CROPS)
    photos = torch.stack([to_unit(crops.load(photo, SIZE).picture) for photo in crops.photos])
    recipe = get_recipe("distillable", "mobilenet_v2")
    extractor = load_extractor("mobilenet_v2", recipe.layer_names)
    names = [photo.photo_id for photo in crops.photos]
    first, second, third = (dream(photos, extractor, recipe, seed=seed, photo_ids=names).images for seed in range(3))
    others = other_photos([photo.source_id for photo in crops.photos])
    pairs = Pairs(photos, first, second, photos[others], first[others], photos[:1], first[:1])
    made = {name: make(pairs) for name, make in CHEATS.items()} | {"a third dream": third}
    return {name: measure(photos, first, second, each, extractor, recipe) for name, each in made.items()}


# Whether a measure tells pictures from dreams; each limit lies well between a real dream and the cheats it is to catch.
CAUGHT: dict[str, Callable[[Measures], bool]] = {
    "agreement": lambda m: m.agreement < 0.4,
    "dream gain": lambda m: m.dream_gain < 0.3,
    "robust gain": lambda m: m.robust_gain < 0.75,
    "over the wrong photo": lambda m: m.feature_cosine - m.wrong_photo_cosine < 0.04,
    "universal share": lambda m: m.universal_share > 2 * m.dream_universal_share,
}


@pytest.mark.parametrize("measure_name", CAUGHT)
def test_a_real_dream_passes_all_measures(measure_name: str, found: dict[str, Measures]) -> None:
    """Not the dream that they are held against, nor the ceiling: a third one."""
    assert not CAUGHT[measure_name](found["a third dream"])


CAUGHT_BY = {
    "the photo itself": ("agreement", "dream gain", "robust gain", "over the wrong photo"),
    "contrast x 1.6": ("agreement", "dream gain", "robust gain", "over the wrong photo"),
    "dot screen": ("agreement", "dream gain", "robust gain", "over the wrong photo", "universal share"),
    "pasted pattern": ("robust gain", "over the wrong photo", "universal share"),
    "another photo's residual": ("agreement", "robust gain", "over the wrong photo"),
    "blurred dream": ("robust gain",),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheat_is_caught(cheat: str, found: dict[str, Measures]) -> None:
    for name in CAUGHT_BY[cheat]:
        assert CAUGHT[name](found[cheat]), f"{name}: {found[cheat]}"


def test_gains_alone_would_be_fooled(found: dict[str, Measures]) -> None:
    """Why there is more than one measure."""
    assert found["contrast x 1.6"].dream_gain > 0.1
    assert found["another photo's residual"].dream_gain > 0.3
    assert found["pasted pattern"].dream_gain > 0.3
