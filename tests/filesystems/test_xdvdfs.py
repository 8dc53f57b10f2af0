"""XDVDFS, the file system of Xbox discs."""

import stat
import struct
from pathlib import Path

import pytest

import imagefs
from imagefs.errors import DamagedError, NotFoundError
from imagefs.filesystems._listings import Listing
from imagefs.filesystems.xdvdfs import FORMAT, Directory, Xdvdfs, read_table
from imagefs.formats import Candidate
from imagefs.nodes import Node
from imagefs.options import Options
from imagefs.readers import BytesReader
from tests.builders.xdvdfs import (
    DIRECTORY,
    FILETIME_NS,
    SECTOR,
    Item,
    Tree,
    descriptor,
    doubled,
    entry,
    table,
    xdvdfs,
)
from tests.contract import check_filesystem

MANY = {f"file{number:03}.dat": bytes([number % 256]) * number for number in range(300)}
TREE: Tree = {
    "default.xbe": b"XBEH" + bytes(range(256)) * 20,
    "Media": {"A.bin": b"a" * 2048, "b.BIN": b"b" * 2049, "deep": {"er": {"leaf": b"x"}}},
    "many": MANY,
    "nothing": {},
    "no table": None,
    "empty.txt": b"",
    "Grüße.txt": b"cp1252",
}
IMAGE = xdvdfs(TREE)


def opened(image: bytes, options: Options | None = None) -> Xdvdfs:
    candidate = Candidate(BytesReader(image))
    assert FORMAT.probe(candidate) is not None
    filesystem = FORMAT.open(candidate, options or Options())
    assert isinstance(filesystem, Xdvdfs)
    return filesystem


def contents(tree: Tree, above: bytes = b"") -> dict[bytes, bytes]:
    """Path -> content, as `check_filesystem` tells it."""
    found = {}
    for name, value in tree.items():
        path = above + b"/" + name.encode()
        found[path] = value if isinstance(value, bytes) else b""
        if not isinstance(value, bytes | None):
            found |= contents(value, path)
    return found


def folder_sector(image: bytes) -> int:
    """Where the volume descriptor says that the root directory lies."""
    return int.from_bytes(image[32 * SECTOR + 20 : 32 * SECTOR + 24], "little")


def node(filesystem: Xdvdfs, *path: bytes) -> Node:
    found: Node | None = filesystem.root
    for name in path:
        assert found is not None
        found = filesystem.lookup(found, name)
    assert found is not None
    return found


@pytest.mark.parametrize("lopsided", [False, True], ids=["balanced", "a list"])
def test_the_whole_tree(lopsided: bool) -> None:
    assert check_filesystem(opened(xdvdfs(TREE, lopsided=lopsided))) == contents(TREE)


def test_what_a_node_tells() -> None:
    filesystem = opened(IMAGE)
    file, folder = node(filesystem, b"Media", b"b.BIN"), node(filesystem, b"Media")
    assert (file.mode, file.size, file.blocks) == (stat.S_IFREG | 0o444, 2049, 8)
    assert (file.mtime, file.atime, file.ctime) == (FILETIME_NS,) * 3
    assert (folder.mode, folder.size) == (stat.S_IFDIR | 0o555, 2048)
    assert filesystem.details() == {
        "format": "XDVDFS",
        "dates": {"created": "2003-06-13T17:46:40Z"},
        "root_sector": folder_sector(IMAGE),
        "root_size": SECTOR,
    }
    assert filesystem.usage().blocks == len(IMAGE) // SECTOR


def test_names_keep_their_case_and_come_in_the_order_of_the_tree() -> None:
    filesystem = opened(IMAGE)
    assert [name for name, _ in filesystem.entries(node(filesystem, b"Media"))] == [b"A.bin", b"b.BIN", b"deep"]
    assert filesystem.lookup(node(filesystem, b"Media"), b"a.bin") is None


def test_the_character_set_of_names() -> None:
    image = xdvdfs({"Ã¤": b"x"})  # the bytes of an ä in UTF-8
    assert [name for name, _ in opened(image).entries(opened(image).root)] == ["Ã¤".encode()]
    filesystem = opened(image, Options(iocharset="utf-8"))
    assert [name for name, _ in filesystem.entries(filesystem.root)] == ["ä".encode()]


def volume(tables: dict[int, bytes], sector: int = 33, size: int = SECTOR, sectors: int = 60) -> bytes:
    """A partition with these tables by their sector; the root's is in `sector`."""
    image = bytearray(sectors * SECTOR)
    image[32 * SECTOR : 33 * SECTOR] = descriptor(sector, size)
    for place, data in tables.items():
        image[place * SECTOR : place * SECTOR + len(data)] = data
    return bytes(image)


def test_attributes_that_mean_something() -> None:
    items = [Item(b"hidden", 40, 1, 0x22), Item(b"plain", 41, 1, 0x20), Item(b"system", 42, 0, 0x17)]
    filesystem = opened(volume({33: table(items)}))
    assert [dict(filesystem.xattrs(each)) for _, each in filesystem.entries(filesystem.root)] == [
        {"user.dos.attributes": b"0x22"},
        {},
        {"user.dos.attributes": b"0x17"},
    ]


@pytest.mark.parametrize(("sector", "size"), [(33, 0), (0, 0), (0, SECTOR)])
def test_a_root_without_a_table_is_empty(sector: int, size: int) -> None:
    filesystem = opened(volume({}, sector, size))
    assert filesystem.entries(filesystem.root) == []


def test_no_child_may_also_be_written_as_padding() -> None:
    filesystem = opened(volume({33: entry(Item(b"only", 40, 3), 0xFFFF, 0xFFFF)}))
    assert check_filesystem(filesystem) == {b"/only": b"\0\0\0"}


def test_names_that_no_folder_may_have() -> None:
    items = [Item(b".", 40, 1), Item(b"..", 40, 1), Item(b"a/b", 40, 1), Item(b"a\0b", 41, 1), Item(b"x" * 255, 40, 1)]
    filesystem = opened(volume({33: table(items)}))
    assert [name for name, _ in filesystem.entries(filesystem.root)] == [
        b"_", b"__", b"a_b", b"a_b (2)", b"x" * 255,
    ]  # fmt: skip
    check_filesystem(filesystem)


@pytest.mark.parametrize(
    ("raw", "name"),
    [(b"\xe9" * 255, "é".encode() * 127), (b"\x81" * 254 + b"\xe9", b"\x81" * 254), (b"\x80" * 255, "€".encode() * 85)],
    ids=["two bytes a letter", "bytes that are no letters", "three bytes a letter"],
)
def test_names_that_grow_too_long_are_cut_between_letters(raw: bytes, name: bytes) -> None:
    filesystem = opened(volume({33: table([Item(raw, 40, 1)])}))
    assert [shown for shown, _ in filesystem.entries(filesystem.root)] == [name]


# --- damage ---------------------------------------------------------------------------------------------------------------

GOOD = Item(b"m", 40, 5)


@pytest.mark.parametrize(
    "children",
    [(0, 8), (4, 4), (0, 0xFFF0), (2, 0)],
    ids=["a circle", "both the same", "outside", "inside of itself"],
)
def test_a_link_that_leads_nowhere_spoils_the_listing_alone(children: tuple[int, int]) -> None:
    """The entry at 32 bytes leads back to itself; the one at 16 is sound."""
    raw = entry(GOOD, *children).ljust(16, b"\xff") + entry(Item(b"n", 41, 1)).ljust(16, b"\xff")
    raw += entry(Item(b"z", 42, 1), 8, 8)
    filesystem = opened(volume({33: raw}))
    with pytest.raises(DamagedError):
        filesystem.entries(filesystem.root)
    assert node(filesystem, b"m").size == 5
    with pytest.raises(DamagedError):
        filesystem.lookup(filesystem.root, b"no such name")


@pytest.mark.parametrize("lost", ["left", "right", "both"])
def test_a_link_that_was_wiped_leaves_entries_that_no_other_leads_to(lost: str) -> None:
    left, right = (0 if lost in (side, "both") else place for side, place in (("left", 4), ("right", 8)))
    raw = entry(GOOD, left, right).ljust(16, b"\xff") + entry(Item(b"a", 41, 1)).ljust(16, b"\xff")
    raw += entry(Item(b"z", 42, 1))
    filesystem = opened(volume({33: raw.ljust(SECTOR, b"\xff")}))
    with pytest.raises(DamagedError, match="no link in the directory"):
        filesystem.entries(filesystem.root)
    assert node(filesystem, b"m").size == 5


def test_what_some_writers_leave_between_entries_is_none() -> None:
    raw = entry(GOOD).ljust(SECTOR, b"\0")[:-500] + b"left over from something else".ljust(500, b"\xcd")
    filesystem = opened(volume({33: raw}))
    assert [name for name, _ in filesystem.entries(filesystem.root)] == [b"m"]


def test_a_folder_in_itself_and_in_a_circle() -> None:
    outer, inner = Item(b"outer", 34, SECTOR, DIRECTORY), Item(b"inner", 34, SECTOR, DIRECTORY)
    filesystem = opened(volume({33: table([outer, Item(b"root", 33, SECTOR, DIRECTORY)]), 34: table([inner])}))
    with pytest.raises(DamagedError, match="contains itself"):
        filesystem.entries(node(filesystem, b"root"))
    with pytest.raises(DamagedError, match="contains itself"):
        filesystem.entries(node(filesystem, b"outer", b"inner", b"inner"))


def test_a_file_behind_the_end_keeps_its_name() -> None:
    filesystem = opened(volume({33: table([Item(b"cut", 59, 5000), Item(b"gone", 1 << 31, 5)])}))
    cut = node(filesystem, b"cut")
    assert cut.start == -1
    assert filesystem.open(cut).pread(0, 2048) == bytes(2048)
    for each in (cut, node(filesystem, b"gone")):
        with pytest.raises(DamagedError):
            filesystem.open(each).pread(0, each.size)


def test_a_table_that_is_cut_off_is_not_shown_as_whole() -> None:
    image = xdvdfs(dict.fromkeys(MANY, b""))
    cut = image[: 36 * SECTOR]
    filesystem = opened(cut)
    with pytest.raises(DamagedError):
        filesystem.entries(filesystem.root)
    assert [name for name in MANY if _is_there(filesystem, name.encode())]


def _is_there(filesystem: Xdvdfs, name: bytes) -> bool:
    try:
        return filesystem.lookup(filesystem.root, name) is not None
    except DamagedError:
        return False


def test_a_root_behind_the_end() -> None:
    with pytest.raises(DamagedError, match="sector 9000"):
        opened(volume({}, 9000))


def test_a_time_that_is_none() -> None:
    for time in (0, 1 << 63, (1 << 64) - 1):
        image = volume({})
        image = image[: 32 * SECTOR] + descriptor(33, 0, time) + image[33 * SECTOR :]
        assert (opened(image).root.mtime, opened(image).details()["dates"]) == (0, {"created": None})


def test_numbers_that_stand_for_nothing() -> None:
    filesystem = opened(IMAGE)
    for number in (2, 0, 1 << 60, 70):
        with pytest.raises(NotFoundError):
            filesystem.node(number)


def test_the_folder_of_a_number_is_sought_once_in_each_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many paths lead there."""
    image = doubled(30)
    filesystem = opened(image + table([Item(b"lost", 40, SECTOR, DIRECTORY)]))
    read: list[Directory] = []
    whole = Xdvdfs._read

    def counted(self: Xdvdfs, ino: int, where: Directory) -> Listing:
        read.append(where)
        return whole(self, ino, where)

    monkeypatch.setattr(Xdvdfs, "_read", counted)
    with pytest.raises(NotFoundError):
        filesystem.node(len(image) // 4 + 2)
    assert len(read) == 31


def test_a_table_as_large_as_can_be_is_read_in_a_moment() -> None:
    """A tree that is a list of all that can be linked to."""
    row = b"".join(struct.pack("<HHIIBB2s", 0, 4 * k + 4, 40, 0, 32, 2, b"xx") for k in range(16_383))
    entries, fault = read_table(row, 0)
    assert len(entries) == 16_383 and fault is not None


# --- whole discs ----------------------------------------------------------------------------------------------------------


def test_a_rebuilt_image_mounts_its_files_and_not_its_iso_9660_stub(tmp_path: Path) -> None:
    """extract-xiso writes a volume descriptor of ISO 9660 that names no directory."""
    image = bytearray(IMAGE)
    image[0x8000:0x8007] = b"\x01CD001\x01"
    image[0x8800:0x8807] = b"\xffCD001\x01"
    path = tmp_path / "game.iso"
    path.write_bytes(image)
    with imagefs.open_image(str(path)) as opened_image:
        assert opened_image.tree.kind == "xdvdfs"
        assert check_filesystem(opened_image.tree) == contents(TREE)
