"""Extended attributes and access control lists: AAIP by xorriso, Apple's by genisoimage, those of Amigas laid by hand."""

import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.filesystems.iso9660.attributes import aaip, access_lists
from tests.builders import iso
from tests.builders.iso import ROOT, ce, directory, entry, nm, px, record, rock_ridge
from tests.filesystems.iso9660.images import find, opened


def component(text: bytes, *, more: bool = False) -> bytes:
    return bytes((more, len(text))) + text


def al(*components: bytes, more: bool = False) -> bytes:
    return entry(b"AL", bytes((more,)) + b"".join(components))


@pytest.mark.foreign
def test_aaip_of_xorriso(tmp_path: Path) -> None:
    image = tmp_path / "disc.iso"
    file = tmp_path / "file"
    file.write_bytes(b"x")
    long = "v" * 3000
    words = ["xorriso", "-outdev", image, "-xattr", "on", "-map", file, "/file", "-mkdir", "/folder", "--"]
    words += ["-setfattr", "user.short", "value", "/file", "--", "-setfattr", "user.long", long, "/file", "--"]
    words += ["-setfattr", "user.folder", "of a folder", "/folder", "--"]
    subprocess.run(words, check=True, capture_output=True)
    filesystem = opened(image)
    assert filesystem.has_xattrs
    assert filesystem.xattrs(find(filesystem, "file")) == {"user.short": b"value", "user.long": long.encode()}
    assert filesystem.xattrs(find(filesystem, "folder")) == {"user.folder": b"of a folder"}
    assert filesystem.xattrs(filesystem.root) == {}


@pytest.mark.foreign
def test_finder_info_and_resource_fork_of_genisoimage(tmp_path: Path) -> None:
    """Netatalk's folders of AppleDouble files: entry 9 is Finder's, entry 2 the fork."""
    top = tmp_path / "source"
    top.mkdir()
    (top / "ReadMe").write_bytes(b"data")
    finder, fork = b"TEXTttxt" + struct.pack(">H", 0x0100) + bytes(22), b"resources" * 50
    head = struct.pack(">II16xH", 0x00051607, 0x00020000, 2)
    entries = struct.pack(">III", 9, 50, len(finder)) + struct.pack(">III", 2, 50 + len(finder), len(fork))
    (top / ".AppleDouble").mkdir()
    (top / ".AppleDouble" / "ReadMe").write_bytes(head + entries + finder + fork)
    image = tmp_path / "disc.iso"
    subprocess.run(
        ["genisoimage", "-quiet", "-R", "-apple", "--netatalk", "-o", image, top], check=True, capture_output=True
    )
    filesystem = opened(image)
    assert filesystem.has_xattrs
    found = filesystem.xattrs(find(filesystem, "ReadMe"))
    assert found["user.com.apple.FinderInfo"][:8] == b"TEXTttxt"
    assert len(found["user.com.apple.FinderInfo"]) == 32
    assert found["user.com.apple.ResourceFork"] == fork


def test_components_over_several_entries_and_areas() -> None:
    use = px(0o100644) + nm(b"f") + al(component(b"\3na", more=True), more=True) + ce(31, 0, 60)
    more = al(component(b"me"), component(b"val", more=True), more=True) + al(component(b"ue"))
    image = rock_ridge(record(b"F.;1", 30, 0, 0, use), more={31: more})
    filesystem = opened(image)
    assert filesystem.has_xattrs
    assert filesystem.xattrs(find(filesystem, "f")) == {"user.name": b"value"}


def test_only_the_users_own_are_shown() -> None:
    pairs = [
        (b"\3mine", b"1"),
        (b"\2system", b"2"),
        (b"\4isofs", b"3"),
        (b"\5trusted", b"4"),
        (b"\6security", b"5"),
        (b"", b"acl"),
    ]
    entries = [b"".join(component(name) + component(value) for name, value in pairs)]
    assert aaip(entries) == {"user.mine": b"1"}
    assert aaip([component(b"\3cut") + b"\0\x09short"]) == {}
    assert aaip([component(b"\3lonely")]) == {}
    assert aaip([]) == {}


def test_without_rock_ridge_there_are_none() -> None:
    filesystem = opened(iso.volume({ROOT: directory(ROOT, ROOT, record(b"F.;1", 30, 0))}))
    assert not filesystem.has_xattrs
    assert filesystem.xattrs(find(filesystem, "f")) == {}
    assert not opened(rock_ridge(record(b"F.;1", 30, 0, 0, px(0o100644) + nm(b"f")))).has_xattrs


def test_a_fork_at_the_end_of_the_sector_before() -> None:
    area = px(0o100644)
    records = [record(b"FILE%02d.;1" % number, 30, 0, 0, area + nm(b"file%02d" % number)) for number in range(19)]
    fork = record(b"LAST.;1", 31, 4, iso.ASSOCIATED, area + nm(b"last"))
    file = record(b"LAST.;1", 30, 0, 0, area + nm(b"last" + b"x" * 100))
    root = directory(ROOT, ROOT, *records, fork, file, dot=iso.SP + px(0o40755))
    assert root[2048 : 2048 + len(file)] == file
    filesystem = opened(iso.volume({ROOT: root, 31: b"fork"}, iso.descriptor(1, ROOT, len(root))))
    found = filesystem.xattrs(find(filesystem, "last" + "x" * 100))
    assert found == {"user.com.apple.ResourceFork": b"fork"}
    assert os.fsencode("last") not in [name for name, _ in filesystem.entries(filesystem.root)]


# --- access control lists -------------------------------------------------------------------------------------------

LISTS = {
    "file": "u::rw-,u:1000:r--,u:70000:rwx,g::r--,g:5:rw-,m::rwx,o::---",
    "named": "u::rwx,u:3:---,g::r-x,m::r-x,o::r--",
    "folder": "u::rwx,u:1:r-x,g::r-x,m::r-x,o::r-x,d:u::rwx,d:u:7:rwx,d:g::r-x,d:m::rwx,d:o::---",
    "heirs": "u::rwx,g::r-x,o::r-x,d:u::rwx,d:g::r--,d:o::---",
    "plain": "u::rw-,g::r--,o::r--",
}


@pytest.fixture
def with_lists(tmp_path: Path) -> Path:
    """An image of xorriso with LISTS, and attributes beside them."""
    image, source = tmp_path / "disc.iso", tmp_path / "source"
    for name in ("folder", "heirs"):
        (source / name).mkdir(parents=True)
    for name in ("file", "named", "plain"):
        (source / name).write_bytes(name.encode())
    words: list[str | Path] = ["xorriso", "-outdev", image, "-acl", "on", "-xattr", "on", "-map", source, "/"]
    for name, text in LISTS.items():
        words += ["-setfacl", text, f"/{name}", "--"]
    words += ["-setfattr", "user.note", "kept", "/file", "--"]
    subprocess.run(words, check=True, capture_output=True)
    return image


def by_xorriso(image: Path) -> dict[str, set[str]]:
    """The entries of the list of each file, as xorriso tells them."""
    words = ["xorriso", "-acl", "on", "-indev", image, "-getfacl_r", "/", "--"]
    return _lists(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def by_getfacl(folder: Path) -> dict[str, set[str]]:
    words = ["getfacl", "--recursive", "--no-effective", "."]
    return _lists(subprocess.run(words, check=True, capture_output=True, text=True, cwd=folder).stdout)


def _lists(text: str) -> dict[str, set[str]]:
    found = {}
    for part in text.split("# file: ")[1:]:
        name, *lines = part.split("\n")
        found[name] = {line for line in lines if line and not line.startswith("#")}
    return found


@pytest.mark.foreign
@pytest.mark.fuse
@pytest.mark.parametrize("engine", ["direct", "pyfuse3"])
def test_access_control_lists_on_a_mount(
    with_lists: Path, tmp_path: Path, run_imagefs: Callable[..., "subprocess.CompletedProcess[bytes]"],
    need: Callable[..., None], engine: str,
) -> None:  # fmt: skip
    need("getfacl", "getfattr")
    folder = tmp_path / "mount"
    folder.mkdir()
    assert run_imagefs("mount", "-o", f"engine={engine}", with_lists, folder).returncode == 0
    try:
        found = by_getfacl(folder)
        note = subprocess.run(["getfattr", "--only-values", "-n", "user.note", folder / "file"], capture_output=True)
        modes = {name: oct(os.stat(folder / name).st_mode & 0o777) for name in ("file", "named", "plain")}
    finally:
        subprocess.run(
            ["umount" if os.geteuid() == 0 else "fusermount3", *["-u"][os.geteuid() == 0 :], folder], check=True
        )
    assert found == by_xorriso(with_lists)
    assert "user:70000:rwx" in found["file"] and "mask::rwx" in found["file"]
    assert len(found["plain"]) == 3
    assert note.stdout == b"kept"
    assert modes == {"file": "0o670", "named": "0o754", "plain": "0o644"}


@pytest.mark.foreign
def test_access_control_lists_as_linux_has_them(with_lists: Path) -> None:
    filesystem = opened(with_lists)
    assert filesystem.has_xattrs
    file = filesystem.xattrs(find(filesystem, "file"))
    nobody = 0xFFFFFFFF
    entries = ((1, 6, nobody), (2, 4, 1000), (2, 7, 70000), (4, 4, nobody), (8, 6, 5), (16, 7, nobody), (32, 0, nobody))
    assert file == {
        "user.note": b"kept",
        "system.posix_acl_access": struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in entries),
    }
    assert filesystem.xattrs(find(filesystem, "plain")) == {}
    assert set(filesystem.xattrs(find(filesystem, "heirs"))) == {"system.posix_acl_default"}
    assert set(filesystem.xattrs(find(filesystem, "folder"))) == {"system.posix_acl_access", "system.posix_acl_default"}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x16\x34\x60", b"\xac", b"\xac\x02\x03", b"\x16\x34\x60\x57\x2c\x03bob", b"\xac\x04\xff\xff\xff\xff",
        b"\xac" + b"\x81\x01" * 50_000, b"\x16" * 70_000, b"\xf0",
    ],
)  # fmt: skip
def test_lists_that_are_broken_or_of_names_are_not_shown(data: bytes) -> None:
    assert access_lists(data) == {}


def test_a_number_over_several_parts() -> None:
    expected = struct.pack("<IHHI", 2, 1, 7, 0xFFFFFFFF) + struct.pack("<HHI", 2, 4, 0x12345)
    expected += struct.pack("<HHI", 4, 5, 0xFFFFFFFF) + struct.pack("<HHI", 32, 5, 0xFFFFFFFF)
    assert access_lists(b"\x17\x35\x65\xac\x81\x01\x02\x23\x45") == {"system.posix_acl_access": expected}


# --- other systems --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "finder"),
    [
        (b"AA\x0e\2TEXTttxt\x01\0", b"TEXTttxt\x01\0"),
        (b"AA\x07\1\xb3\x00\xdb", b"p\xb3\xdb\x00pdos\0\0"),
        (b"BA\6TEXTttxt\x01\0", b"TEXTttxt\x01\0"),
        (b"BA\2APPLdplt", b"APPLdplt\0\0"),
        (b"BA\3APPLdplt", b"APPLdplt\x20\0"),
        (b"BA\4APPLdplt" + b"i" * 128, b"APPLdplt\0\0"),
        (b"BA\1\xb3\x00\xdb", b"p\xb3\xdb\x00pdos\0\0"),
        (b"AA\x0e\2TEX", b""),
        (b"BA\6TEXT", b""),
        (b"BA\x07TEXTttxt\x01\0", b""),
    ],
)
@pytest.mark.parametrize("before", [b"", bytes(6) + b"XA" + bytes(6)])
def test_types_and_creators_of_apple(use: bytes, finder: bytes, before: bytes) -> None:
    """On plain discs and beside Rock Ridge, in the form of today and in the older one. Apple's Technical Note FL 36."""
    expected = {"user.com.apple.FinderInfo": finder.ljust(32, b"\0")} if finder else {}
    plain = opened(iso.volume({ROOT: directory(ROOT, ROOT, record(b"F.;1", 30, 0, 0, before + use))}))
    assert plain.xattrs(find(plain, "f")) == expected
    if finder:
        assert plain.has_xattrs
    if not before:
        rich = opened(rock_ridge(record(b"F.;1", 30, 0, 0, px(0o100644) + nm(b"f") + use)))
        assert rich.tree == "rr"
        assert rich.xattrs(find(rich, "f")) == expected


def test_a_fork_that_no_attribute_can_hold() -> None:
    size = 33 * 2048
    root = directory(ROOT, ROOT, record(b"F.;1", 24, size, iso.ASSOCIATED), record(b"F.;1", 23, 4))
    filesystem = opened(iso.volume({ROOT: root, 23: b"data"}))
    assert filesystem.xattrs(find(filesystem, "f")) == {"user.com.apple.ResourceFork.size": b"67584"}


def amiga(protection: bytes = b"", comment: bytes | None = None) -> bytes:
    data = protection if comment is None else protection + bytes((len(comment) + 1,)) + comment
    return entry(b"AS", bytes((bool(protection) | 2 * (comment is not None),)) + data)


@pytest.mark.parametrize(
    ("use", "found"),
    [
        (amiga(b"\0\0\0\x0f"), {"user.amiga.protection": b"\0\0\0\x0f"}),
        (amiga(b"", b"Gr\xfc\xdfe"), {"user.amiga.comment": b"Gr\xfc\xdfe"}),
        (
            amiga(b"\1\2\3\4", b"first, ") + amiga(b"", b"and second"),
            {"user.amiga.protection": b"\1\2\3\4", "user.amiga.comment": b"first, and second"},
        ),
        (entry(b"AS", b"\3\0"), {}),
        (entry(b"AS", b"\2\xff"), {}),
    ],
)
def test_what_an_amiga_recorded(use: bytes, found: dict[str, bytes]) -> None:
    filesystem = opened(rock_ridge(record(b"F.;1", 30, 0, 0, px(0o100644) + nm(b"f") + use)))
    assert filesystem.has_xattrs
    assert filesystem.xattrs(find(filesystem, "f")) == found
