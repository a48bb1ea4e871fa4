"""Photos in a folder and its sub-folders, whose names are the classes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from dreamgan.data.names import name_fault, short_ids, visible, visible_label
from dreamgan.data.photos import FileCrop, Photo, PhotoSet, Reject
from dreamgan.errors import UserError
from dreamgan.images import IMAGE_SUFFIXES


def from_file(name: str, path: Path) -> PhotoSet:
    """Make a set of the one photo at a path, of whatever suffix; it has no class."""
    return photos_of(name, [path.name], [path], [""])


def from_folder(name: str, path: Path) -> PhotoSet:
    """Find the pictures in a folder, at whatever depth; a photo's class is the name of the folder that it lies in.

    Hidden files and folders do not count. A link to a folder is followed where it leads to one that is not read
    anyway and that does not hold the whole.

    Args:
        name: what the user called the folder.
        path: the folder.

    Returns:
        The set, in the order of the names; without any photo if there is none.

    Raises:
        UserError: the folder cannot be read; of a sub-folder that cannot, there is a reject.
    """
    files, rejects = _walk(path)
    files.sort(key=lambda file: file.replace("/", "\0"))  # folder by folder
    labels = [_parent(file) for file in files]
    return photos_of(name, files, [path / file for file in files], labels, rejects)


def photos_of(
    name: str, files: Sequence[str], paths: Sequence[Path], labels: Sequence[str], rejects: Sequence[Reject] = ()
) -> PhotoSet:
    """Make a set of files; those whose names cannot be kept become rejects.

    Args:
        name: what the user called the set.
        files: what each file is called in the set, with its suffix; all different.
        paths: where each is.
        labels: the class of each.
        rejects: further ones.
    """
    faults = [name_fault(file) for file in files]
    shown = [visible(file) for file in files]
    ids = short_ids(shown)
    photos = tuple(
        Photo(photo_id, photo_id, visible_label(label), FileCrop(path), file)
        for photo_id, label, path, file, fault in zip(ids, labels, paths, shown, faults, strict=True)
        if not fault
    )
    unkept = [Reject(file, fault) for file, fault in zip(shown, faults, strict=True) if fault]
    return PhotoSet(name, photos, rejects=(*rejects, *unkept))


def is_picture_name(name: str) -> bool:
    """Whether a file's name says that it is a picture, and not a hidden one."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith(".")


def _parent(file: str) -> str:
    return file.rpartition("/")[0].rpartition("/")[2]


def _walk(root: Path) -> tuple[list[str], list[Reject]]:
    """List pictures below a folder, as paths from there, and what could not be read."""
    files: list[str] = []
    rejects: list[Reject] = []
    named_like_pictures: list[str] = []
    # Real folders come first, so that a link to one of them does not take its place; each is read once.
    folders, links = deque([""]), deque[str]()
    above = set(root.resolve().parents)
    seen: set[Path] = set()
    while folders or links:
        folder = (folders or links).popleft()
        try:
            real = (root / folder).resolve()
            if real in seen or real in above:
                where = "is read already under another name" if real in seen else "holds the folder of the photos"
                rejects.append(Reject(visible(folder), f"leads to a folder that {where}"))
                continue
            seen.add(real)
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise UserError(f"folder {visible(str(root))!r} cannot be read: {error.strerror}") from error
            rejects.append(Reject(visible(folder), f"the folder cannot be read: {error.strerror}"))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            inside = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(inside)
            elif entry.is_symlink() and os.path.isdir(entry.path):
                links.append(inside)
            elif is_picture_name(entry.name):
                files.append(inside)
                continue
            if is_picture_name(entry.name):
                named_like_pictures.append(inside)
    refused = {reject.name for reject in rejects}
    for folder in named_like_pictures:
        if visible(folder) not in refused and not any(file.startswith(f"{folder}/") for file in files):
            rejects.append(Reject(visible(folder), "is a folder, not a picture"))
    return files, rejects
