"""The scan: every photo is opened once before anything is dreamed, to know which can be used and which are alike."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from dreamgan.data.photos import FileCrop, Photo, PhotoSet
from dreamgan.errors import UserError
from dreamgan.files import whole_file

CHUNK_PHOTOS = 2000
MOST_WORKERS = 8
BAND_PX = 256

_CHUNK = pa.schema([("sha256", pa.string()), ("reason", pa.string())])
_PHOTOS_KEY = b"dreamgan:photo_list_sha256"


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was found of a photo; one of the two is empty.

    Attributes:
        sha256: of width, height and pixels of the upright RGB picture: the same for the same picture in other files.
        reason: why it cannot be used, in one line.
    """

    sha256: str = ""
    reason: str = ""


def tell_bar(line: str) -> None:
    """Write one line on stderr without tearing a progress bar apart."""
    tqdm.write("".join(character if character.isprintable() else "?" for character in line), file=sys.stderr)


def scan(
    photo_set: PhotoSet, folder: Path, *, tell: Callable[[str], None] = tell_bar, workers: int | None = None
) -> list[Scanned]:
    """Open every photo of a set once.

    What was found is kept in files of `CHUNK_PHOTOS` photos, each written whole, so that a scan that was killed goes
    on with the first photos that no file holds. A file counts only for the very same photos.

    Args:
        photo_set: The photos.
        folder: Where to keep what was found; made if missing.
        tell: Gets a line for each thing that a person should know of a photo's conversion, once.
        workers: Photos opened at a time; None: one per CPU, at most `MOST_WORKERS`.

    Returns:
        One per photo, in the set's order.

    Raises:
        OSError: If the folder cannot be written to.
    """
    found: list[Scanned] = []
    pool = ThreadPoolExecutor(workers or min(MOST_WORKERS, os.cpu_count() or 1))
    ahead = 2 * (workers or min(MOST_WORKERS, os.cpu_count() or 1))
    with tqdm(total=len(photo_set), desc="reading photos", unit="photo", disable=None, leave=False) as bar:
        try:
            for number, photos in enumerate(_chunks(photo_set.photos)):
                path = folder / f"scan-{number:05d}.parquet"
                list_sha256 = photo_set.list_sha256(photos)
                chunk = _read_chunk(path, list_sha256)
                if chunk is None:
                    chunk = []
                    for photo, (scanned, notes) in _opened(photo_set, photos, pool, ahead):
                        for note in notes:
                            tell(f"{photo.photo_id}: {note}")
                        chunk.append(scanned)
                        bar.update()
                    _write_chunk(path, list_sha256, chunk)
                else:
                    bar.update(len(chunk))
                found += chunk
        finally:
            pool.shutdown(cancel_futures=True)
    return found


_Found = tuple[Scanned, tuple[str, ...]]


def _chunks(photos: Sequence[Photo]) -> Iterator[list[Photo]]:
    """Cut the photos into chunks, but the crops of one file never apart."""
    chunk: list[Photo] = []
    for crops in _files(photos):
        if chunk and len(chunk) + len(crops) > CHUNK_PHOTOS:
            yield chunk
            chunk = []
        chunk += crops
    if chunk:
        yield chunk


def _files(photos: Sequence[Photo]) -> Iterator[list[Photo]]:
    for _, crops in groupby(photos, key=lambda p: p.where.path if isinstance(p.where, FileCrop) else p.photo_id):
        yield list(crops)


def _opened(
    photo_set: PhotoSet, photos: Sequence[Photo], pool: ThreadPoolExecutor, ahead: int
) -> Iterator[tuple[Photo, _Found]]:
    """Open photos some ahead of those given out, in order."""
    waiting: deque[tuple[list[Photo], Future[list[_Found]]]] = deque()
    for crops in _files(photos):
        waiting.append((crops, pool.submit(_look, photo_set, crops)))
        if len(waiting) > ahead:
            done, future = waiting.popleft()
            yield from zip(done, future.result(), strict=True)
    for done, future in waiting:
        yield from zip(done, future.result(), strict=True)


def _look(photo_set: PhotoSet, crops: Sequence[Photo]) -> list[_Found]:
    """Open the one file of some photos, for which Pillow lets go of Python's lock: threads are enough."""
    where = crops[0].where
    try:
        if not isinstance(where, FileCrop):
            loaded = photo_set.open(crops[0])
            return [(Scanned(_pixels_sha256(loaded.picture)), loaded.notes)]
        loaded = photo_set.open(replace(crops[0], where=FileCrop(where.path)))
    except UserError as error:
        return [(Scanned(reason=str(error)), ())] * len(crops)
    boxes = [crop.where.box for crop in crops if isinstance(crop.where, FileCrop)]
    pictures = (loaded.picture if box is None else loaded.picture.crop(box) for box in boxes)
    found = [Scanned(_pixels_sha256(picture)) for picture in pictures]
    return [(found[0], loaded.notes), *((scanned, ()) for scanned in found[1:])]


def _pixels_sha256(picture: Image.Image) -> str:
    width, height = picture.size
    digest = hashlib.sha256(f"{width}x{height}:".encode())
    # In bands: large pictures would be held twice.
    for top in range(0, height, BAND_PX):
        digest.update(picture.crop((0, top, width, min(top + BAND_PX, height))).tobytes())
    return digest.hexdigest()


def _write_chunk(path: Path, list_sha256: str, chunk: Sequence[Scanned]) -> None:
    columns = {"sha256": [each.sha256 for each in chunk], "reason": [each.reason for each in chunk]}
    table = pa.table(columns, schema=_CHUNK.with_metadata({_PHOTOS_KEY: list_sha256}))
    # By way of Python's own files: their errors say what the system said.
    with whole_file(path) as temporary, temporary.open("xb") as file:
        pq.write_table(table, file)


def _read_chunk(path: Path, list_sha256: str) -> list[Scanned] | None:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid):  # not there yet, or no whole file
        return None
    if (table.schema.metadata or {}).get(_PHOTOS_KEY) != list_sha256.encode():
        return None
    return [Scanned(*row) for row in zip(*(table[name].to_pylist() for name in _CHUNK.names), strict=True)]
