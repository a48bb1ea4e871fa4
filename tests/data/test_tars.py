import io
import json
import os
import pickle
import re
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from dreamgan.data import tars
from dreamgan.data.photos import PhotoSet, TarMember
from dreamgan.data.sources import find_photos
from dreamgan.errors import UserError
from tests.data.photo_files import content, save, seed_of


def write_tar(path: Path, members: Mapping[str, bytes], kind: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def pictures(*names: str) -> dict[str, bytes]:
    return {name: content(seed) for seed, name in enumerate(names)}


def labels(found: PhotoSet) -> dict[str, str]:
    return {photo.photo_id: photo.label for photo in found.photos}


def rejects(found: PhotoSet) -> dict[str, str]:
    return {reject.name: reject.reason for reject in found.rejects}


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_plain_tar_is_read_like_a_folder(tmp_path: Path, kind: int) -> None:
    names = ["./cat/a.png", "cat/b.1.png", "cat/b.2.png", "/dog/deep ü/c.PNG", "stray.png", "cat/a.bmp", "notes.txt"]
    path = write_tar(tmp_path / "all.tar", pictures(*names), kind)
    found = pickle.loads(pickle.dumps(find_photos(str(path), size_px=32)))
    assert labels(found) == {
        "cat/a.png": "cat",
        "cat/b.1": "cat",
        "cat/b.2": "cat",
        "dog/deep ü/c": "deep ü",
        "stray": "",
        "cat/a.bmp": "cat",
    }
    assert [seed_of(found, name) for name in ("stray", "cat/b.2", "cat/a.png", "dog/deep ü/c")] == [4, 2, 0, 3]
    assert found.photos[0].file == "all.tar: cat/a.png"
    assert found.rejects == ()


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read_whole(tmp_path: Path, kind: int) -> None:
    name = "/".join(["folder-of-a-long-name" * 4] * 5) + "/a.png"
    found = find_photos(str(write_tar(tmp_path / "a.tar", pictures(name), kind)), size_px=32)
    assert labels(found) == {name.removesuffix(".png"): "folder-of-a-long-name" * 4}


def test_classes_beside_the_pictures_of_a_webdataset(tmp_path: Path) -> None:
    fields = {
        "d": {"label": 3, "class_name": "emu"},
        "e": {"cls": 0},
        "f": {"label": None, "caption": "a hare"},
        "g": ["no", "fields"],
        "j": {"label": True},
    }
    members = {
        "x/a.cls": b" tabby  cat\n",  # before its picture
        **pictures(*(f"x/{key}.jpg.png" if key == "b" else f"x/{key}.png" for key in "abcdefghij")),
        "x/b.cls": b"7",
        "x/c.cls": b"owl",
        "x/c.json": b'{"label": "ape"}',
        **{f"x/{key}.json": json.dumps(value).encode() for key, value in fields.items()},
        "x/h.json": b"[" * 100_000,
        "x/i.cls": b"\n",
        "y/c.png": content(50),
    }
    found = find_photos(str(write_tar(tmp_path / "w.tar", members)), size_px=32)
    wanted = {"a": "tabby cat", "b.jpg": "7", "c": "owl", "d": "emu", "e": "0"}
    assert labels(found) == {
        **{f"x/{key}": wanted.get(key, "x") for key in ("a", "b.jpg", *"cdefghij")},
        "y/c": "y",
    }
    assert seed_of(found, "x/e") == 4


def test_what_is_too_large_to_be_a_class_is_none(tmp_path: Path) -> None:
    members = {**pictures("x/a.png"), "x/a.cls": b"c" * (tars.MOST_READ_BYTES + 1), **pictures("x/b.png")}
    assert labels(find_photos(str(write_tar(tmp_path / "w.tar", members)), size_px=32)) == {"x/a": "x", "x/b": "x"}


def test_shards_may_hold_the_same_keys(tmp_path: Path) -> None:
    for shard in range(3):
        members = {f"{key:04d}.png": content(2 * shard + key) for key in range(2)}
        members |= {f"{key:04d}.cls": str(shard).encode() for key in range(2)}
        write_tar(tmp_path / "set" / f"train-{shard:03d}.tar", members)
    (tmp_path / "set" / ".train-000.tar").write_bytes(b"half written")
    found = pickle.loads(pickle.dumps(find_photos(str(tmp_path / "set"), size_px=32)))
    assert labels(found) == {f"train-{n // 2:03d}/{n % 2:04d}": str(n // 2) for n in range(6)}
    for number in (5, 0, 3, 2):
        assert seed_of(found, f"train-{number // 2:03d}/{number % 2:04d}") == number
    assert found.photos[-1].file == "train-002.tar: 0001.png"
    assert found.rejects == ()


def test_a_folder_of_photos_with_a_tar_beside_them_is_a_folder_of_photos(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    write_tar(tmp_path / "backup.tar", pictures("b.png"))
    assert labels(find_photos(str(tmp_path), size_px=32)) == {"a": ""}


def test_hidden_files_links_and_devices_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (("link.png", tarfile.SYMTYPE), ("hard.png", tarfile.LNKTYPE), ("null.png", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        for name in ("._a.png", ".cache/b.png", "__MACOSX/._c.png", "up/../../d.png", "e.png"):
            member = tarfile.TarInfo(name)
            member.size = len(content(5))
            tar.addfile(member, io.BytesIO(content(5)))
    found = find_photos(str(path), size_px=32)
    assert labels(found) == {"../d": "..", "e": ""}
    assert found.rejects == ()


def test_of_one_name_twice_the_last_counts(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.png": content(1), "b.png": content(2)})
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("./a.png")
        member.size = len(content(3))
        tar.addfile(member, io.BytesIO(content(3)))
    found = find_photos(str(path), size_px=32)
    assert labels(found) == {"a": "", "b": ""}
    assert seed_of(found, "a") == 3


def test_names_that_no_table_can_hold_become_rejects(tmp_path: Path) -> None:
    bad = b"latin-\xe9.png".decode("utf-8", "surrogateescape")
    path = write_tar(tmp_path / "a.tar", pictures("good.png", "two\nlines.png", bad), tarfile.GNU_FORMAT)
    found = find_photos(str(path), size_px=32)
    assert labels(found) == {"good": ""}
    assert rejects(found) == {
        r"a.tar: two\nlines.png": "its name holds a line break or control character: rename it",
        r"a.tar: latin-\udce9.png": "its name is not UTF-8: rename it",
    }


@pytest.mark.parametrize(
    ("cut", "left", "reason"),
    [
        ("end mark", 2, "breaks off .* without an end mark"),
        ("picture", 1, "ends in the middle of 'b.png'"),
        ("header", 1, "breaks off at byte"),
    ],
)
def test_a_truncated_tar_is_used_up_to_the_break(tmp_path: Path, cut: str, left: int, reason: str) -> None:
    path = write_tar(tmp_path / "a.tar", pictures("a.png", "b.png"))
    with tarfile.open(path) as tar:
        second = tar.getmember("b.png")
    end = second.offset_data + -(-second.size // 512) * 512
    os.truncate(path, {"end mark": end, "picture": second.offset_data + 100, "header": second.offset + 100}[cut])
    found = find_photos(str(path), size_px=32)
    assert list(labels(found)) == ["a", "b"][:left]
    assert seed_of(found, "a") == 0
    assert [reject.name for reject in found.rejects] == ["a.tar"]
    assert re.search(reason, found.rejects[0].reason)


def test_a_broken_shard_leaves_the_others(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", pictures("a.png"))
    (tmp_path / "1.tar").write_bytes(b"no tar at all" * 100)
    (tmp_path / "2.tar").touch()
    write_tar(tmp_path / "3.tar", pictures("a.png"))
    found = find_photos(str(tmp_path), size_px=32)
    assert list(labels(found)) == ["0/a", "3/a"]
    assert list(rejects(found)) == ["1.tar", "2.tar"]
    assert all("is no sound tar file" in reason for reason in rejects(found).values())
    for name in ("1.tar", "2.tar"):
        with pytest.raises(UserError, match=r"no picture in .* can be used; first: .*is no sound tar file"):
            find_photos(str(tmp_path / name), size_px=32)


def test_a_damaged_header_ends_the_tar_with_a_reject(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", pictures("a.png", "b.png", "c.png"))
    with tarfile.open(path) as tar:
        offset = tar.getmember("b.png").offset
    with path.open("r+b") as file:
        file.seek(offset + 148)
        file.write(b"7777777\0")  # its checksum
    found = find_photos(str(path), size_px=32)
    assert list(labels(found)) == ["a"]
    assert f"breaks off at byte {offset}" in found.rejects[0].reason


def header(name: bytes, size: int, kind: bytes) -> bytes:
    """A header of GNU's tar with a size of any sign and length."""
    field = struct.pack(">Bxxx", 0xFF if size < 0 else 0x80) + struct.pack(">q", size)
    block = bytearray(name.ljust(100, b"\0") + b"0000644\0" * 3 + field + b"00000000000\0" + b" " * 8 + kind)
    block = block.ljust(257, b"\0") + b"ustar  \0"
    block = bytearray(block.ljust(512, b"\0"))
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "block",
    [
        header(b"b.png", -1536, b"0"),  # back to where it came from, again and again
        header(b"b.png", 2**62, b"0"),
        header(b"././@LongLink", 2**40, b"L"),
        header(b"././@LongLink", -512, b"L"),
        header(b"pax", 2**40, b"x"),
        header(b"pax", -512, b"x"),
        header(b"pax", 2**26, b"x"),
        header(b"././@LongLink", 2**26, b"L"),
        header(b"pax", 512, b"x") + b"0 path=a.png\n".ljust(512, b"\0"),
        header(b"pax", 512, b"g") + b"-9 size=-512\n".ljust(512, b"\0"),
        header(b"pax", 512, b"x") + b"14 size=-1024\n".ljust(512, b"\0") + header(b"b.png", 5, b"0"),
    ],
    ids=["back", "huge", "long", "short", "pax", "minus", "hole", "name", "empty", "global", "sizes"],
)
def test_headers_made_to_hang_or_to_eat_memory_end_the_tar(
    tmp_path: Path, block: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tar(tmp_path / "a.tar", pictures("a.png"))
    with tarfile.open(path) as tar:
        end = tar.getmember("a.png").offset_data + -(-len(content(0)) // 512) * 512
    with path.open("r+b") as file:
        file.truncate(end)
        file.seek(end)
        file.write(block)
        file.truncate(2**36)  # a hole: what is read of it would fill the memory
    read, real = [0], tars._Tar.read

    def counted(self: tars._Tar, size: int | None = -1, /) -> bytes:
        read.append(len(real(self, size)))
        self.seek(-read[-1], io.SEEK_CUR)
        return real(self, size)

    monkeypatch.setattr(tars._Tar, "read", counted)
    found = find_photos(str(path), size_px=32)
    assert list(labels(found)) == ["a"]
    assert all(reject.name == "a.tar" for reject in found.rejects)
    assert max(read) <= tars.MOST_READ_BYTES


def test_sparse_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    plain = write_tar(tmp_path / "plain.tar", pictures("b.png")).read_bytes()
    sparse = bytearray(header(b"a.png", 512, b"S"))
    sparse[386:410] = b"%011o\0%011o\0" % (0, 512)
    sparse[483:495] = b"%011o\0" % 4096
    sparse[148:156] = b" " * 8
    sparse[148:156] = b"%06o\0 " % sum(sparse)
    path.write_bytes(bytes(sparse) + bytes(512) + plain)
    found = find_photos(str(path), size_px=32)
    assert list(labels(found)) == ["b"]
    assert rejects(found) == {"a.tar: a.png": "is stored as a sparse file, with gaps"}


@pytest.mark.parametrize("name", ["a.tar.gz", "a.TGZ", "a.tar.zst", "a.tar.bz2"])
def test_compressed_tars_say_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / name).write_bytes(b"\x1f\x8b")
    for source in (tmp_path / "set" / name, tmp_path / "set"):
        with pytest.raises(UserError, match=rf"'{name}' is compressed.*; unpack it"):
            find_photos(str(source), size_px=32)


def test_a_compressed_tar_that_hides_it_is_no_tar(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a.png"))
    with pytest.raises(UserError, match="is no sound tar file"):
        find_photos(str(tmp_path / "a.tar"), size_px=32)


def test_a_tar_without_pictures_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no picture in .*a\.tar'"):
        find_photos(str(write_tar(tmp_path / "a.tar", {"a.txt": b"x"})), size_px=32)


def test_too_large_and_lost_members_are_refused_when_opened(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", pictures("a.png", "b.png"))
    found = find_photos(str(path), size_px=32)
    first = found.photos[0]
    assert isinstance(first.where, TarMember)
    huge = type(first)("x", "x", "", TarMember(path, first.where.offset, 2**30 + 1), "a.tar: x.png")
    with pytest.raises(UserError, match="'a.tar: x.png' has 1073741825 bytes, more than 1073741824"):
        found.open(huge)
    os.truncate(path, 1000)
    with pytest.raises(UserError, match="'a.tar: b.png' is cut off"):
        found.open(found.photos[1])
    path.unlink()
    with pytest.raises(UserError, match="'a.tar: a.png' cannot be read: No such file"):
        found.open(first)


def test_the_index_keeps_no_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    real = tarfile.TarFile.next

    def counted(self: tarfile.TarFile) -> tarfile.TarInfo | None:
        kept.append(len(self.members))  # type: ignore[attr-defined]
        return real(self)

    monkeypatch.setattr(tarfile.TarFile, "next", counted)
    path = write_tar(tmp_path / "a.tar", pictures(*(f"{number}.png" for number in range(9))))
    assert len(find_photos(str(path), size_px=32)) == 9
    assert max(kept) <= 1
    assert tars.MOST_READ_BYTES < 2**24
