"""Extended attributes: AAIP by xorriso, Apple's by genisoimage."""

import os
import struct
import subprocess
from pathlib import Path

import pytest

from imagefs.filesystems.iso9660.attributes import aaip
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
