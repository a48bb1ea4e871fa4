"""Photos in tar files, plain ones or the shards of a WebDataset; they are read where they lie, without unpacking."""

from __future__ import annotations

import io
import json
import posixpath
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from dreamgan.data.folders import is_picture_name
from dreamgan.data.names import name_fault, short_ids, visible, visible_label
from dreamgan.data.photos import Photo, PhotoSet, Reject, TarMember
from dreamgan.errors import UserError

PACKED_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
LABEL_FIELDS = ("class_name", "label", "cls")
MOST_READ_BYTES = 1024**2  # of a header, or of a class beside a picture


def is_packed(path: Path) -> bool:
    """Whether a file's name says that it is a compressed tar file."""
    return path.name.lower().endswith(PACKED_SUFFIXES)


def from_tars(name: str, tars: Sequence[Path], *, shards: bool) -> PhotoSet:
    """Find the pictures in tar files.

    A photo's class is the content of KEY.cls beside it, or the field `class_name`, `label` or `cls` of KEY.json (the
    key of a file is its path up to the first dot of its name, as WebDataset has it), else the name of the folder that
    it lies in. Hidden files, links and devices do not count. Where one name comes twice in a tar file, the last counts,
    as it does for `tar`. A tar file that breaks off is used up to there, and a reject tells of it.

    Args:
        name: what the user called it.
        tars: the files.
        shards: whether they make up a folder; the photos' names then begin with that of the tar file.

    Raises:
        UserError: one is compressed, or they hold no picture.
    """
    photos: list[Photo] = []
    rejects: list[Reject] = []
    for path in tars:
        if is_packed(path):
            raise UserError(
                f"{path.name!r} is compressed, so that single pictures cannot be read from it; unpack it and give the "
                "folder or the .tar file that comes out"
            )
        some, bad = _photos_in(path, f"{visible(path.stem)}/" if shards else "")
        photos += some
        rejects += bad
    if not photos:
        raise UserError(
            f"no picture in {name!r} can be used; first: {rejects[0].name!r} {rejects[0].reason}"
            if rejects
            else f"no picture in {name!r}: it needs files with a suffix such as .jpg or .png"
        )
    return PhotoSet(name, tuple(photos), rejects=tuple(rejects))


class _Tar(io.FileIO):
    """A tar file, of which nothing long is read: a broken header may claim any length, even a negative one."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most `MOST_READ_BYTES`."""
        if size is None or not 0 <= size <= MOST_READ_BYTES:
            raise tarfile.ReadError(f"a header claims to be {size} bytes long")
        return super().read(size) or b""

    def content(self, member: tarfile.TarInfo) -> bytes:
        """Read a small member; a large one comes out empty."""
        self.seek(member.offset_data)
        return self.read(member.size) if member.size <= MOST_READ_BYTES else b""


def _photos_in(path: Path, prefix: str) -> tuple[list[Photo], list[Reject]]:
    shown = visible(path.name)
    pictures: dict[str, TarMember] = {}
    classes: dict[str, str] = {}
    fields: dict[str, str] = {}
    rejects: list[Reject] = []
    try:
        with _Tar(path) as tar:
            for member in _members(tar):
                inside = posixpath.normpath(member.name).lstrip("/")
                if not member.isreg() or any(part.startswith(".") for part in inside.split("/") if part != ".."):
                    continue
                if inside.endswith(".cls"):
                    classes[_key(inside)] = " ".join(tar.content(member).decode("utf-8", "replace").split())
                elif inside.endswith(".json"):
                    fields[_key(inside)] = _class_field(tar.content(member))
                elif is_picture_name(posixpath.basename(inside)):
                    fault = "is stored as a sparse file, with gaps" if member.issparse() else name_fault(inside)
                    if fault:
                        rejects.append(Reject(f"{shown}: {visible(inside)}", fault))
                    else:
                        pictures[inside] = TarMember(path, member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        rejects.append(Reject(shown, f"is no sound tar file, and is used only up to its fault: {error}"))
    files = [visible(inside) for inside in pictures]
    photos = []
    for inside, file, photo_id in zip(pictures, files, short_ids(files), strict=True):
        key = _key(inside)
        folder = posixpath.basename(posixpath.dirname(inside))
        label = visible_label(classes.get(key) or fields.get(key) or folder)
        whole_id = f"{prefix}{photo_id}"
        photos.append(Photo(whole_id, whole_id, label, pictures[inside], f"{shown}: {file}"))
    return photos, rejects


def _members(file: _Tar) -> Iterator[tarfile.TarInfo]:
    """Give the members of a tar file, one after the other.

    Raises:
        tarfile.ReadError: it breaks off or is none; what came before is sound.
    """
    size_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            before = -1
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                if not (before < member.offset and member.size >= 0):
                    raise tarfile.ReadError(f"the header at byte {member.offset} makes no sense")
                if member.offset_data + (0 if member.issparse() else member.size) > size_bytes:
                    raise tarfile.ReadError(f"it ends in the middle of {visible(member.name)!r}")
                before = member.offset
                yield member
            file.seek(tar.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError(f"it breaks off at byte {tar.offset}, without an end mark")
    except (tarfile.TarError, OSError):
        raise
    except Exception as error:  # the library answers broken headers with many kinds of exceptions
        raise tarfile.ReadError(f"{type(error).__name__}: {error}") from error


def _key(inside: str) -> str:
    folder, name = posixpath.split(inside)
    return posixpath.join(folder, name.partition(".")[0])


def _class_field(content: bytes) -> str:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    values = [fields.get(field) for field in LABEL_FIELDS] if isinstance(fields, dict) else []
    texts = [str(value) for value in values if isinstance(value, (str, int)) and not isinstance(value, bool)]
    return next((" ".join(text.split()) for text in texts if text.strip()), "")
