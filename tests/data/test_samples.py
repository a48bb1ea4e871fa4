import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dreamgan.data.photos import FileCrop, Photo
from dreamgan.data.samples import SAMPLE_PHOTOS
from dreamgan.data.sources import find_photos
from dreamgan.errors import UserError


def boxes(photos: tuple[Photo, ...]) -> list[tuple[int, int, int, int]]:
    found = []
    for photo in photos:
        assert isinstance(photo.where, FileCrop)
        assert photo.where.box is not None
        found.append(photo.where.box)
    return found


def test_samples_are_crops_of_every_photograph_and_share_its_source() -> None:
    found = find_photos("samples", size_px=64, crops=6)
    assert found.labels == tuple(sorted(SAMPLE_PHOTOS))
    assert len(found) == 6 * len(SAMPLE_PHOTOS)
    assert len({photo.photo_id for photo in found.photos}) == len(found)
    assert found.photos[6].photo_id == "chelsea-00"
    for photo in found.photos:
        assert photo.source_id == photo.label == photo.photo_id.rsplit("-", 1)[0]


def test_sample_crops_are_square_inside_and_from_whole_to_a_third() -> None:
    for name in SAMPLE_PHOTOS:
        mine = [p for p in find_photos("samples", size_px=64, crops=12).photos if p.label == name]
        where = mine[0].where
        assert isinstance(where, FileCrop)
        with Image.open(where.path) as whole:
            width, height = whole.size
        sides = []
        for left, upper, right, lower in boxes(tuple(mine)):
            assert 0 <= left < right <= width
            assert 0 <= upper < lower <= height
            assert right - left == lower - upper
            sides.append(right - left)
        assert max(sides) == min(width, height)
        assert min(sides) == max(64, round(0.35 * min(width, height)))


def test_sample_crops_are_spread_out() -> None:
    for name in SAMPLE_PHOTOS:
        mine = boxes(tuple(p for p in find_photos("samples", size_px=32, crops=24).photos if p.label == name))
        assert len(set(mine)) == 24
        small = sorted(mine, key=lambda box: box[2] - box[0])[:8]
        centres = np.array([((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in small])
        gaps = np.linalg.norm(centres[:, None] - centres[None], axis=-1) + 1e9 * np.eye(8)
        assert gaps.min() > 0.15 * (small[0][2] - small[0][0])


def test_sample_crops_depend_on_the_seed_alone() -> None:
    first = find_photos("samples", size_px=64, crops=5, seed=3).photos
    assert find_photos("samples", size_px=64, crops=5, seed=3).photos == first
    assert boxes(find_photos("samples", size_px=64, crops=5, seed=4).photos) != boxes(first)


def test_no_crop_comes_twice_where_the_photograph_is_too_small_for_more() -> None:
    mine = [p for p in find_photos("samples", size_px=512, crops=9).photos if p.label == "astronaut"]
    assert boxes(tuple(mine)) == [(0, 0, 512, 512)]


def test_a_crop_is_loaded_from_its_box() -> None:
    found = find_photos("samples", size_px=32, crops=3)
    photo = found.photos[2]
    where = photo.where
    assert isinstance(where, FileCrop)
    side = boxes((photo,))[0][2] - boxes((photo,))[0][0]
    with Image.open(where.path) as whole:
        wanted = whole.convert("RGB").crop(where.box)
    assert np.array_equal(np.asarray(found.load(photo, side).picture), np.asarray(wanted))
    assert found.load(photo, 40).picture.size == (40, 40)


def test_samples_are_found_without_importing_their_packages() -> None:
    code = (
        "import sys; from dreamgan.data.sources import find_photos; find_photos('samples', size_px=64);"
        "sys.exit(any(name.split('.')[0] in ('skimage', 'sklearn', 'datasets') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_sample_package_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "dreamgan\[samples\]"'):
        find_photos("samples", size_px=64)
