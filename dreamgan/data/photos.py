"""A set of photos: what is known of each before it is opened, and how it is opened."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dreamgan.errors import UserError
from dreamgan.images import LoadedImage, load_image, square_crop

Box = tuple[int, int, int, int]

MOST_MEMBER_BYTES = 1024**3


@dataclass(frozen=True, slots=True)
class FileCrop:
    """A file, or a part of its picture.

    Attributes:
        path: the file.
        box: (left, upper, right, lower) in pixels of the upright picture, or None for all of it.
    """

    path: Path
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file inside an uncompressed tar file.

    Attributes:
        path: the tar file.
        offset: where its bytes begin, counted from the start of the tar file.
        size: how many there are.
    """

    path: Path
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of one of the set's tables.

    Attributes:
        table: its place in `PhotoSet.tables`.
        row: its place in the table.
    """

    table: int
    row: int


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a set, not yet opened.

    Attributes:
        photo_id: unique in its set, printable, and the same every time the set is found.
        source_id: the photograph it was cut from; all crops of one photograph share it.
        label: its class, "" where there are none.
        where: what is opened for it.
        file: what people call it: its path below the source with its suffix, as `visible` shows it.
    """

    photo_id: str
    source_id: str
    label: str
    where: FileCrop | TarMember | TableRow
    file: str


@dataclass(frozen=True, slots=True)
class Reject:
    """A photo that could not be used.

    Attributes:
        name: the photo's `file`.
        reason: one line that says why.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Table:
    """Rows with undecoded pictures.

    Attributes:
        rows: a `datasets.Dataset` whose `column` holds {"bytes", "path"}.
        column: the column of the pictures.
        files: the files that it was read from; their names and sizes tell one table from another.
        folders: where the files may lie that its rows name instead of holding them; resolved.
    """

    rows: Any
    column: str
    files: tuple[Path, ...]
    folders: tuple[Path, ...]

    def picture(self, row: int) -> bytes | Path:
        """Give the bytes of a row's picture, or the file that holds it.

        Raises:
            UserError: the row cannot be read, is empty, or names a file that is none of the table's; the message
                begins with a verb.
        """
        try:
            cell = self.rows[row][self.column]
        except Exception as error:  # the library lets errors of many libraries through
            raise UserError(f"cannot be read from its table: {error}") from error
        if not cell or (cell["bytes"] is None and not cell["path"]):
            raise UserError("holds no picture")
        return cell["bytes"] if cell["bytes"] is not None else self._own_file(cell["path"])

    def _own_file(self, path: str) -> Path:
        # A table comes from anywhere, and its pictures go into a dataset that may be passed on: it must not be able
        # to name any file of this machine.
        for folder in self.folders:
            try:
                file = (folder / path).resolve()
            except (OSError, ValueError, RuntimeError):  # no name at all, or a link that leads to itself
                continue
            if file.is_relative_to(folder):
                return file
        raise UserError(
            f"holds no picture, only the name of a file outside the set ({path!r}); put the file beside the table, "
            "or its bytes into it"
        )


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """The photos of one or more sources, opened one by one; picklable, to be sent to other processes.

    Attributes:
        name: what the user called the set.
        photos: in a fixed order.
        tables: those that photos are rows of.
        rejects: what was found to be of no use before anything was opened: names that cannot be kept, folders that
            cannot be read.
        sources: the names of the sources, without the folders that they lie in.
    """

    name: str
    photos: tuple[Photo, ...]
    tables: tuple[Table, ...] = ()
    rejects: tuple[Reject, ...] = ()
    sources: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Count the photos."""
        return len(self.photos)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The classes, sorted; empty where the photos have none. A photo's label may be "" all the same."""
        return tuple(sorted({photo.label for photo in self.photos} - {""}))

    def open(self, photo: Photo) -> LoadedImage:
        """Open one photo, whole.

        Args:
            photo: one of this set.

        Returns:
            RGB, 8 bit, upright, cut to the photo's box where it has one. Its notes are for the user.

        Raises:
            UserError: it cannot be used; whoever opens a whole set records a `Reject` and goes on.
        """
        name, where = f"'{photo.file}'", photo.where
        if isinstance(where, FileCrop):
            loaded = load_image(where.path, name=name)
            return loaded if where.box is None else replace(loaded, picture=loaded.picture.crop(where.box))
        try:
            source = (
                _member_bytes(where) if isinstance(where, TarMember) else self.tables[where.table].picture(where.row)
            )
        except UserError as error:
            raise UserError(f"{name} {error}") from error
        return load_image(source, name=name)

    def load(self, photo: Photo, size_px: int) -> LoadedImage:
        """Open one photo as a square: the centre, scaled so that the shorter side fits.

        Args:
            photo: one of this set.
            size_px: side of the result, in pixels.

        Returns:
            RGB, 8 bit, `size_px` x `size_px`.

        Raises:
            UserError: it cannot be used.
        """
        loaded = self.open(photo)
        return replace(loaded, picture=square_crop(loaded.picture, size_px))

    def list_sha256(self, photos: Sequence[Photo] | None = None) -> str:
        """What tells one list of photos from another: names, classes, crops and sizes of the files.

        The folder does not count: the same photos are the same from wherever they are named. The sizes stand for the
        contents, which would take too long to read.

        Args:
            photos: some of the set's; None: all.
        """
        chosen = self.photos if photos is None else photos
        tars = dict.fromkeys(photo.where.path for photo in chosen if isinstance(photo.where, TarMember))
        digest = hashlib.sha256()
        for file in [*(file for table in self.tables for file in table.files), *tars]:
            digest.update(f"{file.name!r} {_size_bytes(file)}\n".encode())
        for photo in chosen:
            where = photo.where
            place: tuple[object, ...]
            if isinstance(where, FileCrop):
                place = (where.box, _size_bytes(where.path))
            elif isinstance(where, TarMember):
                place = (where.offset, where.size)
            else:
                place = (where.table, where.row)
            digest.update(f"{(photo.photo_id, photo.label, *place)!r}\n".encode())
        return digest.hexdigest()


def _member_bytes(member: TarMember) -> bytes:
    if member.size > MOST_MEMBER_BYTES:
        raise UserError(f"has {member.size} bytes, more than {MOST_MEMBER_BYTES}")
    try:
        with member.path.open("rb") as stream:
            stream.seek(member.offset)
            content = stream.read(member.size)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}") from error
    if len(content) < member.size:
        raise UserError("is cut off: its tar file ends before it does")
    return content


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except (OSError, ValueError):  # it becomes a reject
        return -1
