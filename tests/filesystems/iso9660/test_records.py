"""Directory records laid by hand: what the standard allows and hardly any writer makes, and what breaks."""

import struct

import pytest

from imagefs.errors import DamagedError, NotFoundError
from imagefs.filesystems.iso9660 import FORMAT
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader, Extent, ExtentReader
from tests.builders import iso
from tests.builders.iso import ASSOCIATED, DIRECTORY, MORE, ROOT, SECTOR, directory, record, volume
from tests.filesystems.iso9660.images import find, names, opened, read, walk


def plain(*records: bytes, more: dict[int, bytes] | None = None) -> bytes:
    return volume({ROOT: directory(ROOT, ROOT, *records), **(more or {})})


def test_a_plain_file() -> None:
    filesystem = opened(plain(record(b"README.TXT;1", 30, 5), more={30: b"hello"}))
    node = find(filesystem, "readme.txt")
    assert node[:6] == (node.ino, 0o100555, 5, iso.TIME_NS, iso.TIME_NS, iso.TIME_NS)
    assert (node.uid, node.gid, node.nlink, node.blocks, node.start) == (-1, -1, 1, 1, 30 * SECTOR)
    assert read(filesystem, "readme.txt") == b"hello"
    assert filesystem.root.mode == 0o040555
    walk(filesystem)


@pytest.mark.parametrize(
    ("recorded", "normal", "off"),
    [
        (b"FOO.TXT;1", b"foo.txt", b"FOO.TXT;1"),
        (b"FOO.;1", b"foo", b"FOO.;1"),
        (b"FOO.TXT;2", b"foo.txt.2", b"FOO.TXT;2"),
        (b"FOO;1.TXT", b"foo.1.txt", b"FOO;1.TXT"),
        (b"A/B", b"a.b", b"A_B"),
        (b"CUT\0OFF", b"cut", b"CUT"),
        (b"\xc4.;1", b"\xc4", b"\xc4.;1"),
        (b".;1", b"_", b".;1"),
    ],
)
def test_plain_names(recorded: bytes, normal: bytes, off: bytes) -> None:
    image = plain(record(recorded, 30, 0))
    assert names(opened(image)) == [normal]
    assert names(opened(image, map="off")) == [off]


@pytest.mark.parametrize(
    ("charset", "recorded", "name"),
    [
        ("shift_jis", b"\x83e\x83X\x83g.TXT;1", "テスト.txt"),  # its second bytes look like letters
        ("cp437", b"GR\x9a\xe1E.;1", "grÜße"),
        ("mac_roman", b"\x83.;1", "É"),
        ("cp1251", b"\xcc\xc8\xd0;1", "МИР"),
        ("cp437", "ÜBER.TXT;1".encode(), "Über.txt"),  # UTF-8 stays what it is
        ("ascii", b"\xfc.;1", "\udcfc"),  # in neither: as it is
    ],
)
def test_plain_names_in_other_character_sets(charset: str, recorded: bytes, name: str) -> None:
    image = plain(record(recorded, 30, 0))
    assert names(opened(image, iocharset=charset)) == [name.encode("utf-8", "surrogateescape")]


def test_the_names_of_acorn() -> None:
    def acorn(load: int, attributes: int) -> bytes:
        return (b"ARCHIMEDES" + struct.pack("<III", load, 0, attributes)).ljust(32, b"\0")

    image = plain(
        record(b"_BOOT", 30, 0, 0, acorn(0xFFFFEB12, 0x100)),
        record(b"TEXT", 30, 0, 0, acorn(0x8000, 0)),
        record(b"C.;1", 30, 0),
    )
    assert names(opened(image, map="acorn")) == [b"!boot,feb", b"text", b"c"]
    assert names(opened(image)) == [b"_boot", b"text", b"c"]


def test_records_said_twice_are_one_and_doubles_are_numbered() -> None:
    image = plain(
        record(b"A.TXT;1", 30, 3), record(b"A.TXT;1", 30, 3), record(b"a.txt;1", 31, 3), record(b"A.txt;1", 32, 4),
        more={30: b"one", 31: b"two", 32: b"four"},
    )  # fmt: skip
    filesystem = opened(image)
    assert names(filesystem) == [b"a.txt", b"a (2).txt", b"a (3).txt"]
    assert read(filesystem, "a (2).txt") == b"two"
    walk(filesystem)


def test_dots_at_the_end_stay_in_joliet_where_they_tell_names_apart() -> None:
    def joliet_name(text: str) -> bytes:
        return text.encode("utf-16-be")

    records = [record(joliet_name(name), 30 + at, 1) for at, name in enumerate(("a", "b.", "c;1", "é..", "b", "c"))]
    image = volume(
        {ROOT: directory(ROOT, ROOT), 24: directory(24, 24, *records)},
        iso.descriptor(1, ROOT), iso.descriptor(2, 24, escapes=b"%/E", label="Übel".encode("utf-16-be")),
    )  # fmt: skip
    filesystem = opened(image)
    assert filesystem.tree == "joliet"
    assert filesystem.label == "Übel"
    assert names(filesystem) == [b"a", b"b.", b"c", "é".encode(), b"b", b"c (2)"]


def test_odd_and_broken_names_of_joliet() -> None:
    records = [record(raw, 30, 1) for raw in (b"\0a\0b\0", b"\0a\0\0\0c", b"\xd8\0\0z", b"\0/\0x")]
    image = volume({24: directory(24, 24, *records)}, iso.descriptor(2, 24, escapes=b"%/@"))
    filesystem = opened(image)
    assert names(filesystem) == [b"ab", b"a", "\ufffdz".encode(), b"_x"]
    assert "the primary volume descriptor is missing" in filesystem.warnings


def test_hidden_files_are_shown_and_forks_are_not() -> None:
    image = plain(
        record(b"HIDDEN.;1", 30, 1, 1), record(b"FORKED.;1", 31, 1, ASSOCIATED), record(b"FORKED.;1", 32, 1),
        record(b"ALONE.;1", 33, 1, ASSOCIATED), more={32: b"x"},
    )  # fmt: skip
    filesystem = opened(image)
    assert names(filesystem) == [b"hidden", b"forked", b"alone"]
    assert read(filesystem, "forked") == b"x"


def test_the_data_begin_after_an_extended_attribute_record() -> None:
    filesystem = opened(plain(record(b"A.;1", 30, 3, xar=2), more={30: b"XAR", 32: b"abc"}))
    assert read(filesystem, "a") == b"abc"
    walk(filesystem)


def test_several_extents_are_one_file() -> None:
    image = plain(
        record(b"A.;1", 30, SECTOR, MORE), record(b"A.;1", 33, SECTOR, MORE), record(b"A.;1", 31, 5), record(b"B.;1", 30, 1),
        record(b"C.;1", 30, 1, MORE), record(b"D.;1", 30, 2), record(b"E.;1", 30, 4, MORE),
        more={30: b"1" * SECTOR, 31: b"3" * 5, 33: b"2" * SECTOR},
    )  # fmt: skip
    filesystem = opened(image)
    assert names(filesystem) == [b"a", b"b", b"c", b"d", b"e"]
    assert read(filesystem, "a") == b"1" * SECTOR + b"2" * SECTOR + b"3" * 5
    assert [find(filesystem, name).size for name in "abcde"] == [2 * SECTOR + 5, 1, 1, 2, 4]
    walk(filesystem)


def test_extents_beyond_four_gib() -> None:
    """A volume of 9 GB that takes no memory: the records in front, holes, and a few bytes at the end of each extent."""
    extent = 0xFFFF_F800
    first, second = 100, 100 + extent // SECTOR
    head = plain(record(b"BIG.;1", first, extent, MORE), record(b"BIG.;1", second, extent))
    end = second * SECTOR + extent
    reader = ExtentReader(
        [
            Extent(0, len(head), BytesReader(head)),
            Extent(len(head), second * SECTOR - 4 - len(head), None),
            Extent(second * SECTOR - 4, 8, BytesReader(b"leftrigh")),
            Extent(second * SECTOR + 4, extent - 8, None),
            Extent(end - 4, 4, BytesReader(b"last")),
        ],
        end,
    )
    filesystem = FORMAT.open(Candidate(reader), Options())
    node = find(filesystem, "big")
    assert node.size == 2 * extent
    content = filesystem.open(node)
    assert content.pread(extent - 5, 10) == b"\0leftrigh\0"
    assert content.pread(2 * extent - 4, 100) == b"last"


def test_interleaved_files() -> None:
    blocks = {30 + number: bytes([65 + number]) * SECTOR for number in range(12)}
    filesystem = opened(plain(record(b"A.;1", 30, 4 * SECTOR + 7, unit=2, gap=3), more=blocks))
    expected = b"".join(letter * SECTOR for letter in (b"A", b"B", b"F", b"G")) + b"K" * 7
    assert read(filesystem, "a") == expected
    walk(filesystem)


def test_a_file_on_another_volume_of_the_set() -> None:
    root = directory(ROOT, ROOT, record(b"HERE.;1", 30, 1, volume=2), record(b"THERE.;1", 30, 1, volume=1))
    filesystem = opened(volume({ROOT: root}, iso.descriptor(1, ROOT, volumes=(3, 2))))
    assert names(filesystem) == [b"here", b"there"]
    assert read(filesystem, "here") == b"\0"
    with pytest.raises(DamagedError, match="volume 1 of the set"):
        filesystem.open(find(filesystem, "there"))


@pytest.mark.parametrize("block_bytes", [512, 1024])
def test_small_logical_blocks(block_bytes: int) -> None:
    root = 20 * SECTOR // block_bytes
    records = [record(b"FILE%02d.;1" % number, root + 20, 5) for number in range(60)]
    image = volume(
        {root: directory(root, root, *records), root + 20: b"small"}, blocks=256, block_bytes=block_bytes, root=root
    )
    filesystem = opened(image)
    assert len(names(filesystem)) == 60
    assert read(filesystem, "file59") == b"small"
    assert filesystem.usage().block_bytes == block_bytes
    walk(filesystem)


@pytest.mark.parametrize("stated", [0, 3, 2047])
def test_block_sizes_that_cannot_be(stated: int) -> None:
    image = volume({ROOT: directory(ROOT, ROOT, record(b"A.;1", 30, 0))}, iso.descriptor(1, ROOT, block_bytes=stated))
    filesystem = opened(image)
    assert names(filesystem) == [b"a"]
    assert filesystem.warnings == (f"a block size of {stated} bytes is stated; 2048 are taken",)


def test_fields_of_which_only_the_big_endian_half_is_there() -> None:
    raw = bytearray(record(b"A.;1", 30, 3))
    raw[2:6] = raw[10:14] = bytes(4)
    filesystem = opened(plain(bytes(raw), more={30: b"abc"}))
    assert read(filesystem, "a") == b"abc"


def test_big_endian_halves_that_disagree_do_not_matter() -> None:
    raw = bytearray(record(b"A.;1", 30, 3))
    raw[6:10] = raw[14:18] = b"\xff" * 4
    assert read(opened(plain(bytes(raw), more={30: b"abc"})), "a") == b"abc"


def test_empty_sectors_inside_a_directory() -> None:
    block = directory(ROOT, ROOT, record(b"A.;1", 30, 0), size=3 * SECTOR)
    late = record(b"B.;1", 30, 0).ljust(SECTOR, b"\0")
    image = volume({ROOT: block + bytes(SECTOR) + late}, iso.descriptor(1, ROOT, 3 * SECTOR))
    assert names(opened(image)) == [b"a", b"b"]


def test_records_across_sectors_are_joined() -> None:
    """Against the standard, and as Linux does."""
    records = [record(b"%028d.;1" % number, 30, number) for number in range(60)]
    block = directory(ROOT, ROOT, size=2 * SECTOR)[:68] + b"".join(records)
    assert any(68 + len(records[0]) * number < SECTOR < 68 + len(records[0]) * (number + 1) for number in range(60))
    filesystem = opened(volume({ROOT: block}, iso.descriptor(1, ROOT, 3 * SECTOR)))
    assert len(filesystem.entries(filesystem.root)) == 60


def test_high_sierra() -> None:
    def old(raw: bytes) -> bytes:
        """A record of today as one of 1986: six bytes of time, then the flags."""
        return raw[:24] + raw[25:26] + b"\0" + raw[26:]

    def old_directory(own: int, *records: bytes) -> bytes:
        dots = (old(record(b"\0", own, SECTOR, 2)), old(record(b"\1", ROOT, SECTOR, 2)))
        return b"".join((*dots, *map(old, records))).ljust(SECTOR, b"\0")

    raw = bytearray(SECTOR)
    raw[0:16] = iso.both32(16) + b"\1CDROM\1\0"
    raw[16:80] = b"SYSTEM".ljust(32) + b"OLD LABEL".ljust(32)
    raw[88:96], raw[128:132], raw[132:136], raw[136:140] = (
        iso.both32(64),
        iso.both16(1),
        iso.both16(1),
        iso.both16(2048),
    )
    raw[180:214] = old(record(b"\0", ROOT, SECTOR, 2))
    raw[790:806] = b"1987060510000000"
    end = iso.both32(17) + b"\xffCDROM\1"
    image = volume(
        {
            16: bytes(raw), 17: end.ljust(SECTOR, b"\0"), 30: b"abc",
            ROOT: old_directory(ROOT, record(b"OLD.TXT;1", 30, 3), record(b"SUB", 21, SECTOR, DIRECTORY)),
            21: old_directory(21, record(b"IN.;1", 30, 2)),
        }
    )  # fmt: skip
    filesystem = opened(image)
    assert filesystem.label == "OLD LABEL"
    assert read(filesystem, "old.txt") == b"abc"
    assert read(filesystem, "sub/in") == b"ab"
    assert find(filesystem, "old.txt").mtime == iso.TIME_NS
    assert filesystem.details()["format"] == "High Sierra"
    assert filesystem.details()["dates"] == {"created": "1987-06-05T10:00:00.00Z"}
    walk(filesystem)


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "size"), [(30, 3 * SECTOR), (1000, 5), (0xFFFF_FFFF, 5), (30, 0xFFFF_FFFF), (63, SECTOR + 1)]
)
def test_data_beyond_the_image_cannot_be_read_and_what_is_there_can(block: int, size: int) -> None:
    filesystem = opened(plain(record(b"A.;1", block, size), more={30: b"there"}))
    node = find(filesystem, "a")
    content = filesystem.open(node)
    assert content.size == node.size == size
    there = max(0, min(size, 64 * SECTOR - block * SECTOR))
    assert len(content.pread(0, there)) == there
    assert (node.start >= 0) == (there == size)
    if there < size:
        with pytest.raises(DamagedError):
            content.pread(there, 1)


def test_an_empty_file_may_point_anywhere() -> None:
    filesystem = opened(plain(record(b"A.;1", 0xFFFF_FFF0, 0)))
    assert read(filesystem, "a") == b""


def broken(at: int, value: int) -> bytes:
    """A root of three files; byte `at` of the second record is changed."""
    raw = bytearray(record(b"BBB.;1", 30, 1))
    raw[at] = value
    return plain(record(b"AAA.;1", 30, 1), bytes(raw), record(b"CCC.;1", 30, 2))


@pytest.mark.parametrize(("at", "value"), [(0, 1), (0, 20), (0, 255), (0, 0), (32, 200)])
def test_a_listing_with_a_broken_record_is_an_error_and_its_other_files_are_found(at: int, value: int) -> None:
    filesystem = opened(broken(at, value))
    with pytest.raises(DamagedError):
        filesystem.entries(filesystem.root)
    assert find(filesystem, "aaa").size == 1
    assert find(filesystem, "ccc").size == 2
    with pytest.raises(DamagedError):
        filesystem.lookup(filesystem.root, b"bbb")


def test_garbage_after_the_last_record_of_a_sector_does_no_harm() -> None:
    block = bytearray(directory(ROOT, ROOT, record(b"A.;1", 30, 1)))
    block[1000:1100] = b"uninitialised memory" * 5
    assert names(opened(volume({ROOT: bytes(block)}))) == [b"a"]


@pytest.mark.parametrize("size", [0, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_sizes_of_directories_that_cannot_be(size: int) -> None:
    """As copy protections have them, in `.` too; the directory after it must not be taken for a part of it."""
    sub = directory(21, ROOT, *(record(b"F%02d.;1" % number, 30, 1) for number in range(60)), size=size)
    image = plain(record(b"SUB", 21, size, DIRECTORY), more={21: sub, 23: directory(23, ROOT, record(b"NO.;1", 30, 1))})
    filesystem = opened(image)
    assert names(filesystem, "sub") == [b"f%02d" % number for number in range(60)]


def test_a_directory_that_the_image_cuts_off() -> None:
    sub = directory(62, ROOT, *(record(b"F%02d.;1" % number, 30, 1) for number in range(60)))
    image = plain(record(b"SUB", 62, len(sub), DIRECTORY), more={62: sub})[: 63 * SECTOR]
    filesystem = opened(image)
    with pytest.raises(DamagedError, match="ends inside a directory"):
        filesystem.entries(find(filesystem, "sub"))
    assert find(filesystem, "sub/f01").size == 1


@pytest.mark.parametrize("block", [ROOT, 0, 64, 40, 0xFFFF_FFFF])
def test_directories_that_are_none(block: int) -> None:
    filesystem = opened(plain(record(b"SUB", block, SECTOR, DIRECTORY), record(b"A.;1", 30, 1)))
    assert names(filesystem) == [b"sub", b"a"]
    node = find(filesystem, "sub")
    with pytest.raises(DamagedError):
        filesystem.entries(node)
    assert filesystem.node(node.ino).ino == node.ino
    assert filesystem.parent(node) == filesystem.root


def test_a_loop_of_directories_ends() -> None:
    image = plain(
        record(b"ONE", 21, SECTOR, DIRECTORY),
        more={
            21: directory(21, ROOT, record(b"TWO", 22, SECTOR, DIRECTORY)),
            22: directory(22, 21, record(b"ONE", 21, SECTOR, DIRECTORY), record(b"A.;1", 30, 1)),
        },
    )
    filesystem = opened(image)
    looped = find(filesystem, "one/two/one")
    assert looped.ino != find(filesystem, "one").ino
    with pytest.raises(DamagedError, match="contains itself"):
        filesystem.entries(looped)
    assert read(filesystem, "one/two/a") == b"\0"
    fresh = opened(image)  # from a number alone nothing is known of the way there: it still ends
    node, depth = fresh.node(find(fresh, "one/two").ino), 0
    while depth < 10:
        child = next((child for _, child in fresh.entries(node) if child.is_directory), None)
        assert child is not None
        if child.ino & 3 == 0:
            break
        node, depth = child, depth + 1
    assert depth < 4


def test_two_directories_may_share_an_extent() -> None:
    image = plain(
        record(b"ONE", 21, SECTOR, DIRECTORY), record(b"TWO", 21, SECTOR, DIRECTORY),
        more={21: directory(21, ROOT, record(b"A.;1", 30, 3)), 30: b"abc"},
    )  # fmt: skip
    filesystem = opened(image)
    assert read(filesystem, "one/a") == read(filesystem, "two/a") == b"abc"


def test_numbers_that_no_file_has() -> None:
    filesystem = opened(plain(record(b"A.;1", 30, 1)))
    for ino in (
        2,
        3,
        20 << 2,
        (1 << 56) - 1,
        (30 * SECTOR) << 2,
        (30 * SECTOR) << 2 | 1,
        30 << 2 | 2,
        (ROOT * SECTOR) << 2,
    ):
        with pytest.raises(NotFoundError):
            filesystem.node(ino)
