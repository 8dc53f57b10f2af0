"""Damaged images: an error or the same bytes, names that are always legal, an end that comes soon."""

import random
import struct
import time

import pytest

from imagefs.errors import DamagedError, NotAnImageError, NotFoundError
from imagefs.filesystems.iso9660 import FORMAT
from imagefs.filesystems.iso9660.entries import DIRECTORY
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader, Extent, ExtentReader
from tests.builders import iso
from tests.builders.iso import ROOT, SECTOR, ce, directory, entry, nm, px, record, sl, volume
from tests.filesystems.iso9660.images import find, opened, survives

FILE = 0o100644
SLOWEST_SECONDS = 1.0


def everything() -> bytes:
    """A small volume with a bit of all that can be in one: 45 sectors."""
    use = px(FILE, 2, serial=5) + entry(b"TF", b"\x0e" + iso.TIME * 3)
    cl, pl = entry(b"CL", iso.both32(25)), entry(b"PL", iso.both32(ROOT))
    packed = struct.pack("<8sIBBHII", bytes.fromhex("37E45396C9DBD607"), 40_000, 4, 15, 0, 28, 28)
    packed += struct.pack("<I", 28)
    zf = entry(b"ZF", b"pz\4\x0f" + iso.both32(40_000))
    root = directory(
        ROOT, ROOT,
        record(b"A.;1", 30, 3, 0, use + nm(b"a file")), record(b"B.;1", 30, 3, 0, use + nm(b"its link")),
        record(b"C.;1", 31, SECTOR, iso.MORE, px(FILE) + nm(b"two")), record(b"C.;1", 33, 9, 0, px(FILE) + nm(b"two")),
        record(b"D.;1", 0, 0, 0, px(0o120777) + sl((8, b""), (0, b"target")) + nm(b"link")),
        record(b"E.;1", 30, 3, 0, px(FILE) + nm(b"continued ", 1) + ce(29, 0, 40)),
        record(b"F.;1", 34, 28, 0, px(FILE) + zf + nm(b"packed")),
        record(b"G.;1", 30, 3, iso.ASSOCIATED, px(FILE) + nm(b"g")),
        record(b"G.;1", 30, 3, 0, px(FILE) + nm(b"g")), record(b"H.;1", 0, 0, 0, px(0o40755) + nm(b"moved") + cl),
        record(b"SUB", 24, SECTOR, 2, px(0o40755) + nm(b"sub")), record(b"I.;1", 35, 5000, 0, px(FILE), unit=1, gap=1),
        record(b"J.;1", 0, 0, 0, px(0o060600) + nm(b"disk") + entry(b"PN", iso.both32(8) + iso.both32(1))),
        dot=iso.SP + px(0o40755),
    )  # fmt: skip
    joliet = directory(27, 27, *(record(name.encode("utf-16-be"), 30, 3) for name in ("Ä", "b.txt", "😀")))
    return volume(
        {
            ROOT: root, 24: directory(24, ROOT, record(b"IN.;1", 30, 3, 0, px(FILE) + nm(b"in"))),
            25: directory(25, 24, record(b"LEAF.;1", 30, 3, 0, px(FILE)), dot=px(0o40755), dotdot=px(0o40755) + pl),
            27: joliet, 29: nm(b"elsewhere") + entry(b"AL", b"\0\0\2\3x\0\1y"),
            30: b"abc", 31: b"1" * SECTOR, 33: b"2" * 9, 34: packed,
        },
        iso.descriptor(1, ROOT, len(root), blocks=45), iso.descriptor(2, 27, blocks=45, escapes=b"%/E"),
        b"\0CD001\1EL TORITO SPECIFICATION".ljust(71, b"\0") + struct.pack("<I", 36).ljust(SECTOR - 71, b"\0"),
        blocks=45,
    )  # fmt: skip


def test_the_whole_image_is_sound() -> None:
    filesystem = opened(everything())
    assert len(filesystem.entries(filesystem.root)) == 11
    assert survives(everything())


def contents(image: bytes) -> dict[bytes, bytes]:
    """What the files of the root hold."""
    filesystem = opened(image)
    found = {}
    for name, node in filesystem.entries(filesystem.root):
        if node.is_file:
            found[name] = filesystem.open(node).exactly(0, node.size)
    return found


def test_cut_off_anywhere() -> None:
    """What is still read is what it was."""
    whole, expected = everything(), contents(everything())
    opening = 0
    for length in (*range(0, len(whole), SECTOR), *range(ROOT * SECTOR - 40, ROOT * SECTOR + 2200, 37)):
        image = whole[:length]
        if length < 17 * SECTOR or not survives(image):
            continue
        opening += 1
        filesystem = opened(image, tree="rr") if length > 22 * SECTOR else opened(image)
        for name, content in expected.items():
            try:
                node = filesystem.lookup(filesystem.root, name)
                if node is not None:
                    assert filesystem.open(node).exactly(0, node.size) == content
            except DamagedError:
                continue
    assert opening > 10


@pytest.mark.parametrize("seed", range(8))
def test_bytes_changed_anywhere(seed: int) -> None:
    """One to eight bytes of descriptors, directories, continuation areas or packed data."""
    chance, whole = random.Random(seed), everything()
    places = [range(16 * SECTOR, 16 * SECTOR + 200), range(ROOT * SECTOR, ROOT * SECTOR + 2400)]
    places += [range(block * SECTOR, block * SECTOR + 200) for block in (17, 18, 24, 25, 27, 29, 34)]
    for _ in range(60):
        image = bytearray(whole)
        for _ in range(chance.randrange(1, 9)):
            image[chance.choice(chance.choice(places))] = chance.choice(
                (0, 1, 2, 0x7F, 0x80, 0xFF, chance.randrange(256))
            )
        begin = time.monotonic()
        for tree in (None, "iso", "joliet"):
            if tree is None or image[17 * SECTOR + 88 : 17 * SECTOR + 91] == b"%/E":
                try_tree(bytes(image), tree)
        assert time.monotonic() - begin < SLOWEST_SECONDS


def try_tree(image: bytes, tree: str | None) -> None:
    try:
        if survives(image, tree=tree):
            opened(image, tree=tree).details()
    except (NotFoundError, NotAnImageError):
        pass  # the descriptor itself was hit


@pytest.mark.parametrize("at", range(34))
def test_each_byte_of_a_record(at: int) -> None:
    whole = everything()
    start = ROOT * SECTOR + whole[ROOT * SECTOR :].index(b"C.;1") - 33
    for value in (0, 1, 0x80, 0xFF):
        image = bytearray(whole)
        image[start + at] = value
        assert survives(bytes(image))


def test_a_directory_of_garbage_ends_soon() -> None:
    """Each sector begins with what is nearly a record."""
    size = 4 << 20
    garbage = random.Random(1).randbytes(SECTOR - 2)
    root = directory(ROOT, ROOT, record(b"BIG", 64, size, 2))
    image = volume({ROOT: root, 64: (b"\x22\0" + garbage) * (size // SECTOR)}, blocks=64 + size // SECTOR)
    filesystem = opened(image)
    begin = time.monotonic()
    with pytest.raises(DamagedError):
        filesystem.entries(find(filesystem, "big"))
    assert time.monotonic() - begin < SLOWEST_SECONDS


def test_continuation_areas_without_end_are_read_a_bounded_number_of_times() -> None:
    """Each area leads on to one that differs by a byte: no area comes twice."""
    areas = b"".join(ce(31, 28 * (number + 1), 28) for number in range(700))
    image = volume(
        {
            ROOT: directory(
                ROOT, ROOT, record(b"A.;1", 30, 0, 0, px(FILE) + nm(b"a") + ce(31, 0, 28)), dot=iso.SP + px(0o40755)
            ),
            31: areas,
        }
    )
    filesystem = opened(image)
    begin = time.monotonic()
    assert [name for name, _ in filesystem.entries(filesystem.root)] == [b"a"]
    assert time.monotonic() - begin < SLOWEST_SECONDS


def test_a_chain_of_areas_to_which_every_record_leads_makes_the_directory_unreadable_soon() -> None:
    count = 4000
    records = [record(b"%05d" % number, 30, 0, 0, ce(31, 0, 28)) for number in range(count)]
    root = directory(ROOT, ROOT, record(b"SUB", 64, SECTOR, 2, px(0o40755)), dot=iso.SP + px(0o40755))
    sub = directory(64, ROOT, *records)
    chain = b"".join(ce(31, 28 * (number + 1), 28) for number in range(60))
    image = volume({ROOT: root, 31: chain, 64: sub}, blocks=64 + len(sub) // SECTOR)
    assert len(opened(image, tree="iso").entries(find(opened(image, tree="iso"), "sub"))) == count
    filesystem = opened(image)
    begin = time.monotonic()
    with pytest.raises(DamagedError, match="more continuation areas than they can need"):
        filesystem.entries(find(filesystem, "sub"))
    assert time.monotonic() - begin < SLOWEST_SECONDS


def test_entries_of_areas_count_as_well_as_their_bytes() -> None:
    """An area of 2 KiB holds 500 entries that say nothing, or eight of a long link."""

    def read(area: bytes) -> list[bytes]:
        records = [record(b"%05d" % n, 30, 0, 0, px(FILE) + ce(31, 0, len(area))) for n in range(400)]
        root = directory(ROOT, ROOT, record(b"SUB", 64, SECTOR, 2, px(0o40755)), dot=iso.SP + px(0o40755))
        sub = directory(64, ROOT, *records)
        filesystem = opened(volume({ROOT: root, 31: area, 64: sub}, blocks=64 + len(sub) // SECTOR))
        return [name for name, _ in filesystem.entries(find(filesystem, "sub"))]

    assert len(read(iso.entry(b"ZZ", bytes(246)) * 8)) == 400
    with pytest.raises(DamagedError, match="more continuation areas than they can need"):
        read(iso.entry(b"ZZ") * 500)


def test_a_maze_of_directories_is_searched_once() -> None:
    """Each of 30 directories has the next one in it under two names: a billion paths."""
    blocks = range(ROOT, ROOT + 30)
    maze = {
        block: directory(block, block - 1, record(b"A", block + 1, SECTOR, 2), record(b"B", block + 1, SECTOR, 2))
        for block in blocks
    }
    maze[blocks.stop] = directory(blocks.stop, blocks.stop - 1, record(b"END.;1", 10, 7))
    filesystem = opened(volume(maze))
    begin = time.monotonic()
    end = filesystem.node(blocks.stop * SECTOR << 2 | DIRECTORY)
    assert [name for name, _ in filesystem.entries(end)] == [b"end"]
    with pytest.raises(NotFoundError):
        filesystem.node(5 * SECTOR << 2 | DIRECTORY)
    assert time.monotonic() - begin < SLOWEST_SECONDS


def test_damage_behind_the_records_of_a_file_does_not_matter() -> None:
    """The second sector of a directory cannot be read, in which the extents of one file go on."""
    filler = [record(b"B%03d.;1" % number, 30, 3, 0, px(FILE)) for number in range(23)]
    sub = directory(
        64, ROOT,
        record(b"A.;1", 0, 0, 0, px(0o120777) + nm(b"link") + sl((0, b"target"))), *filler,
        record(b"C.;1", 30, SECTOR, iso.MORE, px(FILE) + nm(b"c")), record(b"C.;1", 31, 3, 0, px(FILE) + nm(b"c")),
    )  # fmt: skip
    root = directory(ROOT, ROOT, record(b"SUB", 64, len(sub), 2, px(0o40755)), dot=iso.SP + px(0o40755))
    assert sub.index(b"C.;1") < SECTOR < sub.rindex(b"C.;1")
    image = volume({ROOT: root, 64: sub}, blocks=66)
    whole = opened(image)
    link, extents = find(whole, "sub/link"), find(whole, "sub/c")
    there = Extent(0, 65 * SECTOR, BytesReader(image))
    damaged = FORMAT.open(Candidate(ExtentReader([there], 66 * SECTOR)), Options())
    with pytest.raises(DamagedError):
        damaged.entries(find(damaged, "sub"))
    assert damaged.readlink(link) == b"target"
    assert damaged.node(link.ino) == link
    with pytest.raises(DamagedError):
        damaged.open(extents)


def test_many_names_alike_take_no_quadratic_time() -> None:
    records = [record(b"A.;1", 30 + number % 30, number) for number in range(3000)]
    root = directory(ROOT, ROOT, *records)
    image = volume({ROOT: root}, iso.descriptor(1, ROOT, len(root)), blocks=ROOT + len(root) // SECTOR + 40)
    filesystem = opened(image)
    begin = time.monotonic()
    found = {name for name, _ in filesystem.entries(filesystem.root)}
    assert len(found) == 3000
    assert time.monotonic() - begin < SLOWEST_SECONDS
