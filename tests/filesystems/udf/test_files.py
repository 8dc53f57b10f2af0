"""Files: every form of allocation, holes, chains, versions on write-once media, links, devices, streams, attributes."""

import os
import random
import stat
import struct

import pytest

from imagefs import limits
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.filesystems.udf import FORMAT
from imagefs.formats import Candidate
from imagefs.nodes import NOBODY
from imagefs.options import Options
from imagefs.readers import BytesReader, Extent, ExtentReader, RunKind
from tests.builders import udf
from tests.builders.udf import ALLOCATED, EMBEDDED, FILE, HOLE, LONG, NEXT, ROOT, SHORT, TIME_NS, Builder, short_ad
from tests.contract import check_filesystem, check_reader
from tests.filesystems.udf.images import find, opened, read

BLOCK = 2048


def of(made: Builder, **files: int) -> bytes:
    """The image whose root holds these."""
    made.directory(list(files.items()), block=ROOT)
    return made.image()


def pattern(blocks: int) -> bytes:
    """Blocks that each tell which one it is."""
    return b"".join(bytes((index,)) * BLOCK for index in range(1, blocks + 1))


# --- allocation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [SHORT, LONG, udf.EXTENDED])
def test_extents_in_any_order(form: int) -> None:
    made, content = Builder(), pattern(8)
    first = made.put(content)
    order = [5, 2, 7, 0, 3, 1, 6]
    make = {SHORT: short_ad, LONG: udf.long_ad, udf.EXTENDED: udf.ext_ad}[form]
    ads = b"".join(make(BLOCK, first + block) for block in order) + make(7, first + 4) + make(0, 0) + b"\xff" * 32
    filesystem = opened(of(made, file=made.add(FILE, 7 * BLOCK + 7, ads, form)))
    expected = (
        b"".join(content[block * BLOCK : (block + 1) * BLOCK] for block in order) + content[4 * BLOCK : 4 * BLOCK + 7]
    )
    check_reader(filesystem.open(find(filesystem, "file")), expected)


def test_extents_side_by_side_are_one() -> None:
    """A file of more than 1 GiB has several extents, of which each goes on where the last one ends."""
    made, content = Builder(), pattern(6)
    first = made.put(content)
    ads = short_ad(2 * BLOCK, first) + short_ad(3 * BLOCK, first + 2) + short_ad(100, first + 5)
    filesystem = opened(of(made, file=made.add(FILE, 5 * BLOCK + 100, ads, SHORT)))
    node = find(filesystem, "file")
    assert node.start == (udf.START + first) * BLOCK
    check_reader(filesystem.open(node), content[: 5 * BLOCK + 100])


def test_holes() -> None:
    made, content = Builder(), pattern(2)
    first = made.put(content)
    ads = (
        short_ad(BLOCK, first)
        + short_ad(3 * BLOCK, 0, HOLE)
        + short_ad(BLOCK, 390, ALLOCATED)
        + short_ad(BLOCK, first + 1)
    )
    filesystem = opened(of(made, file=made.add(FILE, 8 * BLOCK + 5, ads, SHORT)))
    expected = content[:BLOCK] + bytes(4 * BLOCK) + content[BLOCK:] + bytes(2 * BLOCK + 5)
    reader = filesystem.open(find(filesystem, "file"))
    check_reader(reader, expected)
    kinds = [run.kind for run in reader.runs(BLOCK, 4 * BLOCK)]
    assert set(kinds) == {RunKind.ZERO}


def test_a_hole_of_many_gigabytes() -> None:
    made = Builder()
    tail = made.put(b"the end".ljust(BLOCK, b"."))
    most = (1 << 30) - BLOCK
    ads = short_ad(most, 0, HOLE) * 9 + short_ad(BLOCK, tail)
    size = 9 * most + BLOCK
    filesystem = opened(of(made, file=made.add(FILE, size, ads, SHORT), empty=made.add(FILE, 1 << 62, b"", SHORT)))
    node = find(filesystem, "file")
    assert node.size == size > 8 << 30
    reader = filesystem.open(node)
    assert reader.pread(size - BLOCK - 3, 100) == b"\0\0\0the end".ljust(100, b".")
    empty = filesystem.open(find(filesystem, "empty"))
    assert (empty.size, empty.pread((1 << 61) + 1, 5)) == (1 << 62, bytes(5))


def test_more_than_four_gigabytes_in_extents_of_one() -> None:
    """An extent has at most 2^30 bytes less a block; six of them follow each other and are read as one."""
    made, most, count = Builder(), (1 << 30) - BLOCK, 6
    first = udf.DATA
    ads = b"".join(short_ad(most, first + number * (most // BLOCK)) for number in range(count))
    head = of(made, file=made.add(FILE, count * most - 5, ads, SHORT))
    start = (udf.START + first) * BLOCK
    end = start + count * most
    border = start + 5 * most
    reader = ExtentReader(
        [
            Extent(0, start, BytesReader(head[:start])),
            Extent(start, border - 4 - start, None),
            Extent(border - 4, 8, BytesReader(b"leftrigh")),
            Extent(border + 4, end - border - 12, None),
            Extent(end - 8, 8, BytesReader(b"the last")),
        ],
        end,
    )
    filesystem = FORMAT.open(Candidate(reader), Options())
    node = find(filesystem, "file")
    assert (node.size, node.start) == (count * most - 5, start)
    content = filesystem.open(node)
    assert content.pread(5 * most - 6, 12) == b"\0\0leftrigh\0\0"
    assert content.pread(node.size - 3, 100) == b"the"


def test_space_after_the_end_is_not_shown() -> None:
    made = Builder()
    first = made.put(pattern(3))
    ads = short_ad(BLOCK, first) + short_ad(2 * BLOCK, first + 1, ALLOCATED)
    filesystem = opened(of(made, file=made.add(FILE, 10, ads, SHORT)))
    assert read(filesystem, "file") == b"\1" * 10


def chained(made: Builder, ads: list[bytes], per_block: int) -> bytes:
    """The first descriptors; each leads to a block with the next ones."""
    parts = [b"".join(ads[at : at + per_block]) for at in range(0, len(ads), per_block)]
    blocks = [made.block() for _ in parts[1:]]
    links = [short_ad(BLOCK, block, NEXT) for block in blocks] + [b""]
    for block, part, link in zip(blocks, parts[1:], links[1:], strict=True):
        body = struct.pack("<II", 0, len(part + link)) + part + link
        made.blocks[block] = udf.tagged(258, block, body)
    return parts[0] + links[0] + short_ad(5, 5)


def test_chained_descriptors() -> None:
    made, content = Builder(), pattern(40)
    first = made.put(content)
    order = list(range(40))
    random.Random(3).shuffle(order)
    ads = chained(made, [short_ad(BLOCK, first + block) for block in order], 6)
    filesystem = opened(of(made, file=made.add(FILE, 40 * BLOCK, ads, SHORT)))
    expected = b"".join(content[block * BLOCK : (block + 1) * BLOCK] for block in order)
    check_reader(filesystem.open(find(filesystem, "file")), expected)


def test_what_follows_a_broken_chain_is_missing() -> None:
    made, content = Builder(), pattern(6)
    first = made.put(content)
    lost, loop = made.block(), made.block()
    made.blocks[loop] = udf.tagged(258, loop, struct.pack("<II", 0, 8) + short_ad(BLOCK, loop, NEXT))
    files = {
        name: made.add(FILE, 6 * BLOCK, short_ad(BLOCK, first) + short_ad(BLOCK, block, NEXT), SHORT)
        for name, block in (("lost", lost), ("loop", loop))
    }
    filesystem = opened(of(made, **files))
    for name in files:
        reader = filesystem.open(find(filesystem, name))
        check_reader(reader, content, missing=[(BLOCK, 6 * BLOCK)])


def test_more_extents_than_a_file_has_blocks_are_not_followed() -> None:
    """All extents but the last are whole blocks. An image of thousands of entries with one chain of crumbs must not cost the
    reading of it thousands of times."""
    made = Builder()
    first = made.put(b"x")
    most = limits.SPARE_ALLOCATIONS
    for count, is_whole in ((most, True), (most + 1, False)):
        image = of(made, file=made.add(FILE, count, short_ad(1, first) * count, SHORT))
        filesystem = opened(image)
        reader = filesystem.open(find(filesystem, "file"))
        if is_whole:
            check_reader(reader, b"x" * count)
        else:
            with pytest.raises(DamagedError):
                reader.exactly(0, count)


def test_content_outside_the_image_is_missing() -> None:
    made, content = Builder(), pattern(2)
    ads = short_ad(BLOCK, made.put(content)) + short_ad(BLOCK, 0x7FFFFFFF)
    filesystem = opened(of(made, file=made.add(FILE, 2 * BLOCK, ads, SHORT)))
    check_reader(filesystem.open(find(filesystem, "file")), content, missing=[(BLOCK, 2 * BLOCK)])


def test_content_in_a_partition_that_is_not_there() -> None:
    made = Builder()
    filesystem = opened(of(made, file=made.add(FILE, BLOCK, udf.long_ad(BLOCK, 0, 3), LONG)))
    with pytest.raises(DamagedError):
        read(filesystem, "file")


def test_embedded_content_that_is_cut() -> None:
    made = Builder()
    filesystem = opened(of(made, file=made.add(FILE, 20, b"0123456789")))
    check_reader(filesystem.open(find(filesystem, "file")), b"0123456789".ljust(20), missing=[(10, 20)])


def test_an_unknown_form_of_allocation() -> None:
    made = Builder()
    filesystem = opened(of(made, file=made.add(FILE, 20, bytes(16), 5)))
    with pytest.raises(UnsupportedError, match="form 5"):
        read(filesystem, "file")


def test_virtual_content() -> None:
    """A directory of several blocks in a virtual partition, and one block that is in no table."""
    made = Builder("virtual")
    ads = udf.long_ad(BLOCK, 60, 1)
    image = of(made, lost=made.add(FILE, BLOCK, ads, LONG), sound=made.file(b"sound", EMBEDDED))
    filesystem = opened(image)
    assert read(filesystem, "sound") == b"sound"
    with pytest.raises(DamagedError):
        read(filesystem, "lost")


# --- versions -----------------------------------------------------------------------------------------------------------


def indirect(made: Builder, at: int, to: int) -> None:
    made.blocks[at] = udf.tagged(259, at, struct.pack("<IHHHBB6xH", 0, 4096, 0, 1, 0, 3, 0) + udf.long_ad(BLOCK, to))


def test_write_once_entries() -> None:
    """Strategy 4096: each version is followed by a pointer to the newer one."""
    made = Builder()
    versions = [made.block(2) for _ in range(3)]
    for number, block in enumerate(versions):
        made.add(FILE, 1, b"%d" % number, block=block, strategy=4096)
        if number < 2:
            indirect(made, block + 1, versions[number + 1])
    single = made.add(FILE, 6, b"single", strategy=4096)
    made.block()
    filesystem = opened(of(made, file=versions[0], single=single))
    assert check_filesystem(filesystem) == {b"/file": b"2", b"/single": b"single"}


def test_write_once_entries_that_lead_round() -> None:
    made = Builder()
    one, other = made.block(2), made.block(2)
    made.add(FILE, 1, b"1", block=one, strategy=4096)
    made.add(FILE, 1, b"2", block=other, strategy=4096)
    indirect(made, one + 1, other)
    indirect(made, other + 1, one)
    assert read(opened(of(made, file=one)), "file") == b"2"


# --- what a node tells --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extended", [False, True])
def test_attributes(extended: bool) -> None:
    made = Builder(extended=extended)
    zones = [udf.timestamp(zone=120), udf.timestamp(zone=-330, parts=(12, 34, 56)), udf.timestamp(kind=0, zone=120)]
    image = of(
        made,
        file=made.file(b"x" * 5000, permissions=6 << 10 | 4 << 5 | 0, times=(zones[0], zones[1], zones[2])),
        program=made.file(b"", permissions=7 << 10 | 5 << 5 | 1, flags=0x40 | 0x80, uid=0, gid=0),
        windows=made.file(b"", EMBEDDED, permissions=0, uid=udf.NOT_SET, gid=udf.NOT_SET),
        folder=made.directory([], permissions=6 << 10 | 4 << 5 | 4, flags=0x100),
        bare=made.directory([], permissions=0),
    )
    filesystem = opened(image)
    file = find(filesystem, "file")
    assert stat.filemode(file.mode) == "-rw-r-----"
    assert (file.uid, file.gid, file.size, file.blocks) == (1000, 100, 5000, 12)
    assert file.atime == TIME_NS - 7200 * 10**9
    assert file.mtime == TIME_NS + 330 * 60 * 10**9 + 123_456_000
    assert file.ctime == TIME_NS
    assert stat.filemode(find(filesystem, "program").mode) == "-rwsr-s--x"
    windows = find(filesystem, "windows")
    assert (stat.filemode(windows.mode), windows.uid, windows.gid, windows.blocks) == ("-r--r--r--", NOBODY, NOBODY, 0)
    assert stat.filemode(find(filesystem, "folder").mode) == "drwxr-xr-t"
    assert stat.filemode(find(filesystem, "bare").mode) == "dr-xr-xr-x"


@pytest.mark.parametrize(
    "stamp",
    [
        udf.timestamp(month=13), udf.timestamp(month=0), udf.timestamp(day=0), udf.timestamp(hour=24),
        udf.timestamp(second=61), udf.timestamp(year=1969), udf.timestamp(year=10_000), bytes(12), b"\xff" * 12,
    ],
)  # fmt: skip
def test_a_time_that_cannot_be(stamp: bytes) -> None:
    made = Builder()
    filesystem = opened(of(made, file=made.file(b"", times=(stamp, stamp, stamp))))
    assert find(filesystem, "file").mtime == 0


@pytest.mark.parametrize(("zone", "minutes"), [(-2047, 0), (1440, 1440), (1441, 0), (-1440, -1440), (0, 0), (-1, -1)])
def test_zones(zone: int, minutes: int) -> None:
    stamp, made = udf.timestamp(zone=zone, parts=(100, 0, 0)), Builder()
    filesystem = opened(of(made, file=made.file(b"", times=(stamp, stamp, stamp))))
    assert find(filesystem, "file").mtime == TIME_NS - minutes * 60 * 10**9


def test_hard_links() -> None:
    made = Builder()
    file = made.file(b"shared", links=2)
    filesystem = opened(of(made, one=file, sub=made.directory([("other", file)])))
    one, other = find(filesystem, "one"), find(filesystem, "sub/other")
    assert (one.ino, one.nlink) == (other.ino, 2)
    assert check_filesystem(filesystem)[b"/sub/other"] == b"shared"


@pytest.mark.parametrize(
    ("components", "target"),
    [
        ([(5, "a"), (5, "b")], "a/b"),
        ([(2, ""), (5, "usr"), (5, "lib")], "/usr/lib"),
        ([(2, "")], "/"),
        ([(1, ""), (5, "x")], "/x"),
        ([(1, "C:"), (5, "x")], "x"),
        ([(3, ""), (3, ""), (5, "日本")], "../../日本"),
        ([(4, ""), (5, "ä")], "./ä"),
    ],
)
def test_symbolic_links(components: list[tuple[int, str]], target: str) -> None:
    made = Builder()
    filesystem = opened(of(made, link=made.link(*components)))
    node = find(filesystem, "link")
    assert node.is_link and node.size == len(target.encode())
    assert filesystem.readlink(node) == target.encode()
    assert check_filesystem(filesystem) == {b"/link": target.encode()}


@pytest.mark.parametrize("content", [b"\5\7\0\0\x08ab", b"\5\1", b"", b"\5\1\0\0\x08" * 3000])
def test_broken_symbolic_links(content: bytes) -> None:
    made = Builder()
    form = EMBEDDED if len(content) < 1000 else SHORT
    where = content if form == EMBEDDED else short_ad(len(content), made.put(content))
    filesystem = opened(of(made, link=made.add(udf.LINK, len(content), where, form)))
    with pytest.raises(DamagedError):
        filesystem.readlink(find(filesystem, "link"))


def test_devices() -> None:
    made = Builder()
    area = udf.device_attributes(300, 70_000)
    apart = made.add(8, len(area), area)
    icb = udf.long_ad(BLOCK, apart)
    disk = made.add(udf.BLOCK_DEVICE, 0, b"", attributes=udf.device_attributes(8, 1))
    there = made.blocks[made.add(udf.CHARACTER_DEVICE, 0, b"")]
    block = made.block()
    body = bytearray(there[16:])
    body[96:112] = icb  # the entry names its attribute file
    made.blocks[block] = udf.tagged(261, block, bytes(body))
    bare = made.add(udf.CHARACTER_DEVICE, 0, b"", attributes=struct.pack("<II", 0, 0))
    filesystem = opened(
        of(made, disk=disk, tty=block, bare=bare, pipe=made.add(9, 0, b""), socket=made.add(10, 0, b""))
    )
    kinds = {name: stat.filemode(node.mode)[0] for name, node in filesystem.entries(filesystem.root)}
    assert kinds == {b"disk": "b", b"tty": "c", b"bare": "c", b"pipe": "p", b"socket": "s"}
    assert find(filesystem, "disk").rdev == os.makedev(8, 1)
    assert find(filesystem, "tty").rdev == os.makedev(300, 70_000)
    assert find(filesystem, "bare").rdev == 0


def test_named_streams() -> None:
    made = Builder(extended=True)
    value = made.file(b"red", EMBEDDED)
    large = made.file(bytes(70_000))
    system = made.file(b"acl", EMBEDDED)
    streams = made.directory(
        [
            ("colour", value),
            ("große", value),
            ("*UDF NT ACL", system),
            ("map", system, 16),
            ("large", large),
            ("*UDF Macintosh Resource Fork", made.file(b"fork", EMBEDDED)),
        ],
        kind=13,
    )
    file = made.file(b"x", EMBEDDED, streams=udf.long_ad(BLOCK, streams))
    broken = made.file(b"x", EMBEDDED, streams=udf.long_ad(BLOCK, 99))
    filesystem = opened(of(made, file=file, plain=made.file(b""), broken=broken))
    assert filesystem.has_xattrs
    assert filesystem.xattrs(find(filesystem, "file")) == {
        "user.udf.colour": b"red", "user.udf.große": b"red", "user.com.apple.ResourceFork": b"fork",
    }  # fmt: skip

    assert filesystem.xattrs(find(filesystem, "plain")) == {}
    with pytest.raises(DamagedError):
        filesystem.xattrs(find(filesystem, "broken"))
    assert not opened(of(Builder(revision=0x0150))).has_xattrs
