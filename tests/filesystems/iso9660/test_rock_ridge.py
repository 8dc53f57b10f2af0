"""Rock Ridge entry by entry, laid by hand as the specification has it, and the forms that writers gave it."""

import os
import stat
import zlib

import pytest

from imagefs.errors import DamagedError
from tests.builders import iso
from tests.builders.iso import ROOT, ce, directory, entry, nm, px, record, rock_ridge, sl
from tests.filesystems.iso9660.images import find, names, opened, read, walk

FILE = 0o100644


def one(use: bytes, size: int = 3, flags: int = 0, name: bytes = b"NAME.;1") -> bytes:
    """An image with one entry, whose data are at block 30."""
    return rock_ridge(record(name, 30, size, flags, use), more={30: b"abc"})


def test_owner_mode_and_links() -> None:
    filesystem = opened(one(px(0o104751, 3, 1000, 100) + nm(b"name")))
    node = find(filesystem, "name")
    assert (node.mode, node.nlink, node.uid, node.gid) == (0o104751, 3, 1000, 100)
    assert (node.size, node.blocks, node.start) == (3, 1, 30 * 2048)


def test_the_number_of_a_file_leads_to_the_attributes_that_were_listed() -> None:
    """Also where the two halves of a field differ: the little-endian one counts, as in Linux, where there is one at all."""
    use = bytearray(px(FILE, 1, 0, 0) + nm(b"name") + entry(b"TF", b"\x0e" + iso.TIME * 3))
    use[16:20], use[24:28], use[32:36] = b"\0\0\0\7", b"\0\0\0\7", b"\0\0\0\7"
    filesystem = opened(one(bytes(use)))
    node = find(filesystem, "name")
    assert (node.nlink, node.uid, node.gid) == (1, 0, 0)
    assert filesystem.node(node.ino)._replace(locator=None) == node

    for field in (4, 12, 20, 28):
        use[field : field + 4] = bytes(4)
    use[8:12] = FILE.to_bytes(4, "big")
    node = find(opened(one(bytes(use))), "name")
    assert (node.mode, node.nlink, node.uid, node.gid) == (FILE, 7, 7, 7)


def test_a_name_in_pieces() -> None:
    pieces = nm(b"a long ", 1) + px(FILE) + nm(b"name ", 1) + nm(b"in pieces")
    assert names(opened(one(pieces))) == [b"a long name in pieces"]


def test_pieces_need_not_be_announced() -> None:
    assert names(opened(one(px(FILE) + nm(b"one ") + nm(b"two")))) == [b"one two"]


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (nm(b""), b"name"),
        (b"", b"name"),
        (nm(b"", 2), b"name"),
        (nm(b"", 4), b"name"),
        (nm(b"host", 32), b"name"),
        (nm(b"a/b"), b"a_b"),
        (nm(b".."), b"__"),
        (nm(b"."), b"_"),
        (nm(b"cut\0off"), b"cut"),
        (nm(b"\0"), b"name"),
    ],
)
def test_names_that_cannot_be_shown(use: bytes, name: bytes) -> None:
    assert names(opened(one(px(FILE) + use))) == [name]


def test_a_name_of_more_than_255_bytes_is_cut_and_marked() -> None:
    image = rock_ridge(
        record(b"A.;1", 30, 3, 0, px(FILE) + nm(b"x" * 100, 1) + ce(31, 0, 210)),
        more={31: nm("ü".encode() * 100) + bytes(5)},
    )
    (name,) = names(opened(image))
    letters = "x" * 100 + "ü" * 100
    assert name.decode() == letters[:173] + f"#{zlib.crc32(letters.encode()):08x}"


TARGETS = [
    (sl((0, b"a"), (0, b"b")), b"a/b"),
    (sl((8, b""), (0, b"usr"), (0, b"lib")), b"/usr/lib"),
    (sl((8, b"")), b"/"),
    (sl((2, b""), (4, b""), (0, b"x")), b"./../x"),
    (sl((1, b"bro"), (0, b"ken")), b"broken"),
    (sl((0, b"x"), (0, b""), (0, b"y")), b"x//y"),
    (sl((0, b"a"), flags=1) + sl((0, b"b")), b"a/b"),
    (sl((1, b"a"), flags=1) + sl((0, b"b"), (0, b"c")), b"ab/c"),
    (sl((8, b""), flags=1) + sl((0, b"b")), b"/b"),
]


@pytest.mark.parametrize(("use", "target"), TARGETS)
def test_link_targets(use: bytes, target: bytes) -> None:
    filesystem = opened(one(px(0o120777) + use + nm(b"link"), size=0))
    node = find(filesystem, "link")
    assert filesystem.readlink(node) == target
    assert node.size == len(target)
    assert filesystem.readlink(filesystem.node(node.ino)) == target


@pytest.mark.parametrize("use", [b"", sl((0, b"a"), flags=1), entry(b"SL", b"\0\0\x09abc"), sl((0, b"a\0b"))])
def test_a_target_that_is_not_whole_is_damaged_and_the_link_stays(use: bytes) -> None:
    filesystem = opened(one(px(0o120777) + nm(b"link") + use, size=0))
    assert names(filesystem) == [b"link"]
    with pytest.raises(DamagedError):
        filesystem.readlink(find(filesystem, "link"))


def test_a_link_entry_of_which_genisoimage_kept_the_low_byte_of_the_length() -> None:
    components = [(0, f"component{number}".encode()) for number in range(40)]
    body = b"SL\0\1\0" + b"".join(bytes((kind, len(text))) + text for kind, text in components)
    body = body[:2] + bytes((len(body) & 0xFF,)) + body[3:]
    area = body + entry(b"TF", b"\x0e" + iso.TIME * 3)
    image = rock_ridge(record(b"LONG.;1", 30, 0, 0, px(0o120777) + nm(b"long") + ce(31, 0, len(area))), more={31: area})
    filesystem = opened(image)
    assert filesystem.readlink(find(filesystem, "long")) == b"/".join(text for _, text in components)


def test_times_short_and_long_and_missing() -> None:
    later, latest = bytes((106, 1, 3, 0, 0, 0, 0)), b"2006010400000050\0"
    one_day = 86_400 * 10**9
    midnight = 1_136_160_000 * 10**9
    short = opened(one(px(FILE) + nm(b"short") + entry(b"TF", b"\x06" + later + iso.TIME)))
    node = find(short, "short")
    assert (node.mtime, node.atime, node.ctime) == (midnight + one_day, iso.TIME_NS, iso.TIME_NS)
    long = find(opened(one(px(FILE) + nm(b"long") + entry(b"TF", b"\x82" + latest))), "long")
    assert (long.mtime, long.atime) == (midnight + 2 * one_day + 500_000_000, iso.TIME_NS)
    created = find(opened(one(px(FILE) + nm(b"created") + entry(b"TF", b"\x03" + later + iso.TIME))), "created")
    assert (created.ctime, created.mtime) == (midnight + one_day, iso.TIME_NS)


@pytest.mark.parametrize(
    ("high", "low", "device"),
    [(8, 1, (8, 1)), (0, 0x0801, (8, 1)), (0, 5, (0, 5)), (0, 0x1111_2C70, (300, 70000)), (300, 70000, (300, 70000))],
)
def test_both_conventions_for_devices(high: int, low: int, device: tuple[int, int]) -> None:
    use = px(0o060660) + nm(b"disk") + entry(b"PN", iso.both32(high) + iso.both32(low))
    node = find(opened(one(use, size=0)), "disk")
    assert stat.S_ISBLK(node.mode)
    assert node.rdev == os.makedev(*device)


@pytest.mark.parametrize(
    ("mode", "flags", "use", "kind"),
    [
        (0o755, 0, b"", stat.S_IFREG),
        (0o755, 0, sl((0, b"a")), stat.S_IFLNK),
        (0o040755, 0, b"", stat.S_IFREG),
        (0o100755, 2, b"", stat.S_IFDIR),
        (0o010755, 0, b"", stat.S_IFIFO),
        (0o140755, 0, b"", stat.S_IFSOCK),
    ],
)
def test_the_type_of_a_mode_that_is_not_believed(mode: int, flags: int, use: bytes, kind: int) -> None:
    image = one(px(mode) + nm(b"x") + use, 2048 if flags else 0, flags)
    node = find(opened(image), "x")
    assert stat.S_IFMT(node.mode) == kind
    assert stat.S_IMODE(node.mode) == 0o755


def test_without_a_mode_all_may_read() -> None:
    assert find(opened(one(nm(b"x"))), "x").mode == 0o100555


def test_continuation_areas_are_followed_from_one_to_the_next() -> None:
    use = px(FILE) + nm(b"one ", 1) + ce(31, 100, 28 + 9)
    more = {31: bytes(100) + nm(b"two ", 1) + ce(32, 0, 8), 32: nm(b"six")}
    assert names(opened(rock_ridge(record(b"A.;1", 30, 0, 0, use), more=more))) == [b"one two six"]


@pytest.mark.parametrize("area", [(31, 0, 37), (1 << 20, 0, 28), (31, 0, 0xFFFF_FFFF), (31, 0xFFFF_FFFF, 28)])
def test_areas_in_a_loop_or_nowhere_keep_what_was_read(area: tuple[int, int, int]) -> None:
    image = rock_ridge(
        record(b"A.;1", 30, 0, 0, px(FILE) + nm(b"kept") + ce(*area)), more={31: nm(b"") + ce(31, 0, 37)}
    )
    assert names(opened(image)) == [b"kept"]


@pytest.mark.parametrize("broken", [b"NM\0\1", b"NM\3\1x", b"NM\xff\1\0x", b"ST\4\1", b"\0\0\0\0"])
def test_a_broken_entry_spoils_nothing_before_it(broken: bytes) -> None:
    filesystem = opened(one(px(0o100640) + nm(b"kept") + broken + nm(b"lost")))
    assert names(filesystem) == [b"kept"]
    assert find(filesystem, "kept").mode == 0o100640


def test_skipped_bytes_before_each_area() -> None:
    xa = bytes(6) + b"XA" + bytes(6)
    use = xa + px(0o100600) + nm(b"behind XA")
    dot = xa + entry(b"SP", b"\xbe\xef\x0e") + px(0o40755)
    image = iso.volume({ROOT: directory(ROOT, ROOT, record(b"A.;1", 30, 0, 0, use), dot=dot)})
    assert names(opened(image)) == [b"behind XA"]


def test_rock_ridge_without_the_entry_that_announces_it() -> None:
    records = [record(f"{letter}.;1".encode(), 30, 0, 0, px(FILE) + nm(letter.encode() * 3)) for letter in "AB"]
    assert names(opened(iso.volume({ROOT: directory(ROOT, ROOT, *records)}))) == [b"AAA", b"BBB"]


def test_system_use_of_others_is_no_rock_ridge() -> None:
    apple = b"AA\x0e\2TEXTttxt\0\0"
    image = iso.volume({ROOT: directory(ROOT, ROOT, record(b"A.;1", 30, 0, 0, apple), dot=iso.SP)})
    filesystem = opened(image)
    assert filesystem.tree == "iso"
    assert names(filesystem) == [b"a"]


# --- hard links -----------------------------------------------------------------------------------------------------


def linked(*uses: tuple[int, int, bytes]) -> bytes:
    """An image of files (block, size, use)."""
    records = [record(b"%d.;1" % number, block, size, 0, use) for number, (block, size, use) in enumerate(uses)]
    return rock_ridge(*records)


def test_links_are_one_inode_by_their_extent_or_serial() -> None:
    filesystem = opened(
        linked(
            (30, 3, px(FILE, 2) + nm(b"a")),
            (30, 3, px(FILE, 2) + nm(b"b")),
            (30, 3, px(FILE, 1) + nm(b"same content")),
            (0, 0, px(FILE, 2, serial=7) + nm(b"c")),
            (0, 0, px(FILE, 2, serial=7) + nm(b"d")),
            (0, 0, px(FILE, 2, serial=8) + nm(b"e")),
            (0, 0, px(FILE, 2) + nm(b"empty, no serial")),
            (0, 0, px(FILE, 2) + nm(b"another")),
            (30, 3, px(FILE, 2, serial=9) + nm(b"other links, same content")),
        )
    )
    inos = {name: node.ino for name, node in filesystem.entries(filesystem.root)}
    assert inos[b"a"] == inos[b"b"]
    assert inos[b"c"] == inos[b"d"]
    assert len(set(inos.values())) == 7
    walk(filesystem)


# --- moved directories ----------------------------------------------------------------------------------------------


def moved(child: int, *, at: int = 22) -> bytes:
    """A root with a placeholder for the directory at `child`, and the folder rr_moved (21) in which block 22 lies."""
    cl = entry(b"CL", iso.both32(child))
    pl = entry(b"PL", iso.both32(ROOT))
    root = directory(
        ROOT, ROOT, record(b"DEEP.;1", 0, 0, 0, px(0o40750) + nm(b"deep") + cl),
        record(b"RR_MOVED", 21, 2048, 2, px(0o40755) + nm(b"rr_moved")), dot=iso.SP + px(0o40755),
    )  # fmt: skip
    keeper = directory(21, ROOT, record(b"DEEP", at, 2048, 2, px(0o40750) + nm(b"deep") + entry(b"RE")))
    inner = directory(
        at, 21, record(b"LEAF.;1", 30, 3, 0, px(FILE) + nm(b"leaf")), dot=px(0o40750, 2, 5, 6), dotdot=px(0o40755) + pl
    )
    return iso.volume({ROOT: root, 21: keeper, at: inner, 30: b"abc"})


def test_a_moved_directory_is_where_it_was() -> None:
    filesystem = opened(moved(22))
    assert names(filesystem) == [b"deep"]
    assert read(filesystem, "deep/leaf") == b"abc"
    node = find(filesystem, "deep")
    assert (node.mode, node.uid, node.gid) == (0o40750, 5, 6)
    assert filesystem.parent(node) == filesystem.root
    walk(filesystem)


@pytest.mark.parametrize("child", [ROOT, 40, 0, 1 << 20])
def test_a_moved_directory_that_is_not_there(child: int) -> None:
    filesystem = opened(moved(child))
    assert b"deep" in names(filesystem)
    with pytest.raises(DamagedError):
        filesystem.entries(find(filesystem, "deep"))
