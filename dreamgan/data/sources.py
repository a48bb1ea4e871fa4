"""Photos in: a folder, a parquet file, a Hugging Face dataset or samples, all as one `PhotoSet`."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dreamgan.errors import UserError
from dreamgan.images import LoadedImage, list_images, load_image, square_crop

Box = tuple[int, int, int, int]

# Colour photographs of real things. Left out: `motorcycle_right` (the stereo twin of `motorcycle_left`, so
# it would leak across the split), microscope slides, the retina, drawings and everything grey.
SAMPLE_PHOTOS: Mapping[str, tuple[str, str]] = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "hubble_deep_field": ("skimage", "data/hubble_deep_field.jpg"),
    "motorcycle_left": ("skimage", "data/motorcycle_left.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
SMALLEST_CROP = 0.35  # of the shorter side: below that a crop shows texture rather than a thing
CANDIDATES_PER_CROP = 24
HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


@dataclass(frozen=True)
class FileCrop:
    """Where a photo lies on disk.

    Attributes:
        path: the file.
        box: (left, upper, right, lower) in pixels of the upright picture, or None for all of it.
    """

    path: Path
    box: Box | None = None


@dataclass(frozen=True)
class Photo:
    """One photo of a set, not yet opened.

    Attributes:
        photo_id: unique in its set, and the same every time the set is found.
        source_id: the photograph it was cut from; all crops of one photograph share it.
        label: its class, "" where there are none.
        where: a file with an optional crop box, or a row of the set's table.
    """

    photo_id: str
    source_id: str
    label: str
    where: FileCrop | int


@dataclass(frozen=True)
class Reject:
    """A photo that could not be used.

    Attributes:
        name: the photo's id.
        reason: one line that says why.
    """

    name: str
    reason: str


class PhotoSet:
    """The photos of one source, opened only by `load`; picklable, to be sent to other processes.

    Attributes:
        name: what the user called the set.
        photos: in a fixed order.
        labels: sorted; empty where the photos have none. A photo's label may be "" all the same.
        tables: the parquet files that hold the photos; empty for files and for the Hub's sets.
    """

    def __init__(
        self,
        name: str,
        photos: Sequence[Photo],
        rows: Any = None,
        image_column: str = "",
        tables: Sequence[Path] = (),
    ) -> None:
        """Put a set together.

        Args:
            name: what the user called the set.
            photos: in the order in which they shall be dreamed.
            rows: a `datasets.Dataset` with undecoded pictures, for photos whose `where` is a row.
            image_column: the column of `rows` that holds them.
            tables: the parquet files that `rows` come from, if it is local ones.
        """
        self.name = name
        self.tables = tuple(tables)
        self.photos = tuple(photos)
        self.labels = tuple(sorted({photo.label for photo in self.photos} - {""}))
        self._rows = rows
        self._image_column = image_column

    def __len__(self) -> int:
        """Count the photos."""
        return len(self.photos)

    def load(self, photo: Photo, size_px: int) -> LoadedImage:
        """Open one photo as an upright square.

        Args:
            photo: one of this set.
            size_px: side of the result, in pixels.

        Returns:
            RGB, 8 bit, `size_px` x `size_px`; the centre, scaled so that the shorter side fits. Its notes are for
            the user.

        Raises:
            UserError: the file cannot be used, or a row names a file that is none of the set's; whoever loads a
                whole set records a `Reject` and goes on.
        """
        if isinstance(photo.where, FileCrop):
            loaded = load_image(photo.where.path)
            picture = loaded.picture if photo.where.box is None else loaded.picture.crop(photo.where.box)
        else:
            cell = self._rows[photo.where][self._image_column]
            if not cell or (cell["bytes"] is None and not cell["path"]):
                raise UserError(f"{photo.photo_id} of {self.name!r} holds no picture")
            source = cell["bytes"] if cell["bytes"] is not None else self._own_file(photo, cell["path"])
            loaded = load_image(source, name=photo.photo_id)
            picture = loaded.picture
        return replace(loaded, picture=square_crop(picture, size_px))

    def _own_file(self, photo: Photo, path: str) -> Path:
        # A table comes from anywhere, and its pictures go into a dataset that may be passed on: it must not be able
        # to name any file of this machine.
        for folder in _folders(self.tables):
            file = (folder / path).resolve()
            if file.is_relative_to(folder):
                return file
        raise UserError(
            f"{photo.photo_id} of {self.name!r} holds no picture, only the name of a file outside the set ({path!r}); "
            "put the file beside the table, or its bytes into it"
        )


def find_photos(photos: str, *, size_px: int, crops: int = 24, seed: int = 0, limit: int | None = None) -> PhotoSet:
    """Find the photos that the user means, without opening them.

    Args:
        photos: `samples` (the colour photographs that scikit-image and scikit-learn carry, cut into crops); a
            photo; a folder; a .parquet file or a folder of them; or the name of a Hugging Face dataset (its
            `train` split, else its first). In a folder, a photo's label is the name of the sub-folder that it lies
            in, at whatever depth (`cats/x.jpg` and `train/cats/x.jpg` are both `cats`); photos beside the
            sub-folders have none.
        size_px: side of the pictures to come; no crop of a sample is smaller where the photograph allows it.
        crops: crops per sample photograph; there are fewer where it does not hold so many different ones.
        seed: of the crops' places.
        limit: keep at most this many photos, taken evenly from all classes and from the whole of each class.

    Returns:
        The set, in the same order for the same arguments.

    Raises:
        UserError: nothing is there, there is no picture in it, or a package or the network is missing.
    """
    for name, value in (("size_px", size_px), ("crops", crops), ("limit", 1 if limit is None else limit)):
        if value < 1:
            raise UserError(f"{name} is {value}; it must be at least 1")
    path = Path(photos).expanduser()
    if photos == "samples":
        found = PhotoSet(photos, _sample_crops(size_px, crops, seed))
    elif path.exists():
        parquet = _parquet_files(path)
        found = _from_table(photos, _read_parquet(photos, parquet), parquet) if parquet else _from_folder(photos, path)
    elif HUB_NAME.fullmatch(photos):
        found = _from_table(photos, _read_hub(photos))
    else:
        raise UserError(f"there is no {photos!r}; give a folder of photos, a parquet file or 'samples'")
    if limit is not None:
        found.photos = _evenly(found.photos, limit)
        found.labels = tuple(label for label in found.labels if label in {p.label for p in found.photos})
    return found


def split_of(
    source_ids: Sequence[str],
    *,
    test_fraction: float,
    seed: int,
    labels: Sequence[str] | None = None,
    hold_out: Sequence[str] = (),
) -> dict[str, str]:
    """Deal whole photographs out to training and test, so that no crop of one is on both sides.

    Sources are ranked by the SHA-256 of (seed, source id), so that the result depends on nothing else.

    Args:
        source_ids: one per photo; a source may come several times.
        test_fraction: share of the sources for the test, in [0, 1); at least one source where it is above 0
            and there are two, never all of them.
        seed: of the ranking.
        labels: the class of each entry of `source_ids`, "" without one. The fraction is taken class by class
            where every class is big enough to give one source, else over all.
        hold_out: source ids or classes that are test whatever the fraction; the fraction is then of the
            others.

    Returns:
        source id → "train" or "test".

    Raises:
        UserError: a fraction outside [0, 1), a held-out name that does not occur, or nothing left to train
            on.
    """
    if not 0 <= test_fraction < 1:
        raise UserError(f"test fraction is {test_fraction}; it must be at least 0 and below 1")
    label_of: dict[str, str] = {}
    for source_id, label in zip(source_ids, labels or [""] * len(source_ids), strict=True):
        label_of.setdefault(source_id, label)
    known = set(label_of) | set(label_of.values())
    for name in hold_out:
        if name not in known or not name:
            near = difflib.get_close_matches(name, sorted(known - {""}), n=1, cutoff=0)
            raise UserError(
                f"held-out {name!r} is neither a class nor a photo of the set; nearest: {near[0]!r}"
                if near
                else f"held-out {name!r} is not in the empty set"
            )
    held = {source for source, label in label_of.items() if source in hold_out or label in hold_out}
    classes: dict[str, list[str]] = defaultdict(list)
    for source_id, label in label_of.items():
        if source_id not in held:
            classes[label].append(source_id)
    if label_of and not classes:
        raise UserError(f"holding out {', '.join(map(repr, hold_out))} leaves no photo to train on; hold out fewer")
    # Those without a class are dealt out like one, but a stray photo is no reason to do without classes.
    if not all(len(of) > 1 and _test_count(len(of), test_fraction) for label, of in classes.items() if label):
        classes = {"": [source for members in classes.values() for source in members]}
    test = set(held)
    for members in classes.values():
        count = _test_count(len(members), test_fraction)
        if test_fraction > 0 and len(members) > 1:
            count = max(count, 1)
        test.update(sorted(members, key=lambda source: _rank(seed, source))[: min(count, len(members) - 1)])
    return {source_id: "test" if source_id in test else "train" for source_id in label_of}


def _test_count(sources: int, fraction: float) -> int:
    return int(sources * fraction + 0.5)


def _rank(seed: int, source_id: str) -> str:
    return hashlib.sha256(f"{seed}:{source_id}".encode()).hexdigest()


def _evenly(photos: Sequence[Photo], limit: int) -> tuple[Photo, ...]:
    classes: dict[str, list[int]] = defaultdict(list)
    for index, photo in enumerate(photos):
        classes[photo.label].append(index)
    kept: list[int] = []
    # Smallest classes first: what they cannot give is shared by the larger ones.
    for done, label in enumerate(sorted(classes, key=lambda label: (len(classes[label]), label))):
        members = classes[label]
        quota = min(len(members), (limit - len(kept)) // (len(classes) - done))
        kept += [members[place * len(members) // quota] for place in range(quota)]
    return tuple(photos[index] for index in sorted(kept))


def _sample_crops(size_px: int, crops: int, seed: int) -> list[Photo]:
    photos: list[Photo] = []
    for name, (package, inside) in SAMPLE_PHOTOS.items():
        path = _package_folder(package) / inside
        if not path.is_file():
            raise UserError(f'sample photograph {path} is missing; pip install --force-reinstall "dreamgan[samples]"')
        with Image.open(path) as picture:  # reads the header only
            width, height = picture.size
        for number, box in enumerate(_crop_boxes(name, width, height, size_px, crops, seed)):
            photos.append(Photo(f"{name}-{number:02d}", name, name, FileCrop(path, box)))
    return photos


def _package_folder(package: str) -> Path:
    # The packages are located, not imported: their import takes seconds and their files are all that is
    # wanted.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f'the sample photographs need {package}; pip install "dreamgan[samples]"')
    return Path(spec.submodule_search_locations[0])


def _crop_boxes(name: str, width: int, height: int, size_px: int, crops: int, seed: int) -> list[Box]:
    """Place square boxes, the largest first, each the farthest of its candidates from those before."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    shorter = min(width, height)
    smallest = min(shorter, max(size_px, round(SMALLEST_CROP * shorter)))
    boxes: list[Box] = []
    seen: list[tuple[float, float, float]] = []
    for side in np.geomspace(shorter, smallest, crops).round().astype(int).tolist():
        farthest, chosen = 0.0, None
        for _ in range(CANDIDATES_PER_CROP):
            left = int(generator.integers(0, width - side + 1))
            upper = int(generator.integers(0, height - side + 1))
            # Distance in units of the crop, so that a small crop inside a large one counts as another
            # picture.
            here = ((left + side / 2) / side, (upper + side / 2) / side, float(np.log(side)))
            nearest = min(
                (np.hypot(*np.subtract(here[:2], (x / side, y / side))) + abs(here[2] - s) for x, y, s in seen),
                default=1.0,
            )
            if nearest > farthest:
                farthest, chosen = nearest, (left, upper, left + side, upper + side)
        if chosen is not None:
            boxes.append(chosen)
            seen.append(((chosen[0] + chosen[2]) / 2, (chosen[1] + chosen[3]) / 2, float(np.log(side))))
    return boxes


def _from_folder(name: str, path: Path) -> PhotoSet:
    files = list_images(path)
    root = path if path.is_dir() else path.parent
    relative = [file.relative_to(root) for file in files]
    stems = [file.with_suffix("").as_posix() for file in relative]
    count = Counter(stems)
    photos = []
    for file, inside, stem in zip(files, relative, stems, strict=True):
        photo_id = stem if count[stem] == 1 else inside.as_posix()
        photos.append(Photo(photo_id, photo_id, inside.parent.name, FileCrop(file)))
    return PhotoSet(name, photos)


def _parquet_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    return sorted(path.glob("*.parquet")) or sorted((path / "data").glob("*.parquet"))


def _read_parquet(name: str, files: Sequence[Path]) -> Any:
    import datasets

    try:
        with quiet_datasets():
            return datasets.load_dataset("parquet", data_files={"train": [str(f) for f in files]}, split="train")
    except Exception as error:  # the library lets errors of many libraries through
        raise UserError(f"cannot read {name!r} as parquet: {first_line(error)}") from error


def ask_hub(name: str) -> None:
    """Ask the hub once whether it has a dataset: loading a misspelt folder's name would retry for half a minute.

    Raises:
        Exception: Of many kinds, where the hub says no or cannot be reached.
    """
    from huggingface_hub import HfApi, constants

    if not constants.HF_HUB_OFFLINE:
        HfApi().dataset_info(name, timeout=10)


def _read_hub(name: str) -> Any:
    import datasets

    try:
        ask_hub(name)
        splits = datasets.load_dataset(name)
    except Exception as error:  # network, hub and format errors share no base class
        raise UserError(
            f"{name!r} is no file or folder here, and as a Hugging Face dataset it cannot be loaded "
            f"({first_line(error)}); give the path of a folder of photos instead"
        ) from error
    return splits["train"] if "train" in splits else next(iter(splits.values()))


def _from_table(name: str, table: Any, files: Sequence[Path] = ()) -> PhotoSet:
    import datasets

    features = table.features
    if {"photo", "dream", "recipe_json"} <= set(features):
        raise UserError(f"{name!r} is a dream dataset already; give the photos it was made from")
    columns = [c for c, kind in features.items() if isinstance(kind, datasets.Image) or _is_raw_image(kind)]
    if not columns:
        raise UserError(f"{name!r} has no image column, only {', '.join(features)}; give a set with pictures")
    labelled = [c for c, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    labels = [""] * len(table)
    if labelled:
        kind = features[labelled[0]]
        labels = ["" if number is None or number < 0 else kind.int2str(number) for number in table[labelled[0]][:]]
    if not len(table):
        raise UserError(f"{name!r} holds no photo")
    rows = table.select_columns(columns[:1]).cast_column(columns[0], datasets.Image(decode=False))
    photos = [Photo(f"row-{i:06d}", f"row-{i:06d}", label, i) for i, label in enumerate(labels)]
    return PhotoSet(name, photos, rows, columns[0], files)


def _folders(tables: Sequence[Path]) -> list[Path]:
    """The folders whose files a table may name: its own, or the caches of the Hub's sets."""
    if tables:
        return sorted({table.resolve().parent for table in tables})
    import datasets
    from huggingface_hub import constants

    config = datasets.config
    caches = (config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE)
    return [Path(cache).resolve() for cache in caches]


def _is_raw_image(kind: Any) -> bool:
    # What an image column looks like when the parquet was written by something other than `datasets`.
    return isinstance(kind, dict) and set(kind) == {"bytes", "path"}


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """Switch the progress bars of `datasets` off: local files take it less than a second."""
    import datasets

    # Where HF_DATASETS_DISABLE_PROGRESS_BARS is set the library keeps to that, and warns whoever tries to change it.
    ours = datasets.config.HF_DATASETS_DISABLE_PROGRESS_BARS is None and not datasets.are_progress_bars_disabled()
    if ours:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if ours:
            datasets.enable_progress_bars()


def first_line(error: Exception) -> str:
    """Give the first line of what an error says, or its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
