"""What an open image holds is what docs/memory.md says, and every format stands there.

An image is opened with some items in it (blocks, records, members, entries) and with three times as many; what is held more
of the second is what each item takes.
"""

import bz2
import gc
import gzip
import lzma
import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from imagefs.filesystems.iso9660.descriptors import read_set
from imagefs.filesystems.iso9660.paths import PathTable
from imagefs.formats import Candidate, all_formats
from imagefs.nodes import FileSystem
from imagefs.options import Options
from imagefs.readers import BytesReader
from tests.builders import chd, cso, daa, dax, ecm, iso, isz, mdx, pbp, udf, uif, xdvdfs

DOCUMENT = (Path(__file__).parent.parent / "docs" / "memory.md").read_text()
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in DOCUMENT.splitlines() if line.startswith("|")]
ITEMS = 1500


def stated(name: str, what: str = "") -> int:
    """The bytes that the document has for each item of a format."""
    row = next(at for at, row in enumerate(ROWS) if f"`{name}`" in row[0])
    while what not in ROWS[row][1]:
        row += 1
        assert not ROWS[row][0], f"{name} has no line about {what}"
    found = re.fullmatch(r"(\d+) B", ROWS[row][2])
    assert found, ROWS[row]
    return int(found[1])


def held_by(open_it: Callable[[], object]) -> int:
    """Bytes that are held when it is open."""
    gc.collect()
    tracemalloc.start()
    try:
        opened = open_it()
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert opened is not None
    return held


def each(make: Callable[[int], Callable[[], object]]) -> float:
    """What an item takes; `make` gives, for a number of items, what opens an image with so many."""
    few, many = make(ITEMS), make(3 * ITEMS)
    few()  # modules and tables that are made once
    return (held_by(many) - held_by(few)) / (2 * ITEMS)


def opener(name: str, image: bytes) -> Callable[[], object]:
    """What opens an image by the format of that name."""
    entry = next(entry for entry in all_formats() if entry.name == name)
    assert entry.probe(Candidate(BytesReader(image), "image")) is not None
    return lambda: entry.open(Candidate(BytesReader(image), "image"), Options())


def numbered(count: int, size: int) -> bytes:
    """`count` blocks that are all different."""
    return b"".join(struct.pack("<Q", number).ljust(size, b"\0") for number in range(count))


def test_every_format_stands_in_the_document() -> None:
    named = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[0])}
    assert named == {entry.name for entry in all_formats()}


def test_constants_that_are_named_exist() -> None:
    from imagefs import limits

    for name in re.findall(r"`([A-Z_]{3,})`", DOCUMENT):
        assert hasattr(limits, name), name


def pbp_of(count: int) -> bytes:
    """Its blocks are there and do not inflate, which nobody finds out before they are read."""
    rows = b"".join(struct.pack("<IH26x", 16 * number, 16) for number in range(count))
    disc = pbp.disc(b"x", content=pbp.TABLE_AT + len(rows))
    return pbp.pbp(disc[: pbp.TABLE_AT] + rows + bytes(16 * count))


IMAGES: dict[str, Callable[[int], bytes]] = {
    "gzip": lambda count: gzip.compress(b"member", mtime=0) * count,
    "bzip2": lambda count: bz2.compress(b"stream") * count,
    "xz": lambda count: lzma.compress(b"stream") * count,
    "zstd": lambda count: zstandard.ZstdCompressor().compress(b"frame") * count,
    "lz4": lambda count: lz4.frame.compress(b"frame", store_size=True) * count,
    "ecm": lambda count: ecm.ecm([ecm.plain(b"x")] * count, b"x" * count),
    "isz": lambda count: isz.isz(bytes(count * 512), lambda number: "zeros", 512)[0],
    "cso": lambda count: cso.cso(bytes(count * 2048)),
    "jso": lambda count: cso.jso(bytes(count * 2048)),
    "dax": lambda count: dax.dax(bytes(count * 8192)),
    "daa": lambda count: daa.daa(bytes(count * 2048), chunk_bytes=2048),
    "uif": lambda count: uif.uif(bytes(count * 512), sector_bytes=512, chunk_sectors=[1]),
    "mdx": lambda count: (
        mdx.made([[mdx.Track(1, mdx.MODE1, 2048, 0, bytes(count * 2048), group=1)]], one_file=True).file
    ),
    "pbp": pbp_of,
    "chd": lambda count: chd.chd5(
        numbered(count, 512), chd.whole(numbered(count, 512), 512), [b"zlib"], hunk_bytes=512, unit_bytes=512
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_tables(name: str) -> None:
    assert each(lambda count: opener(name, IMAGES[name](count))) <= stated(name)


def looked_up(name: str, image: bytes) -> Callable[[], object]:
    """What opens a file system, lists its root and looks for a name there."""
    opened = opener(name, image)

    def look() -> FileSystem:
        filesystem = opened()
        assert isinstance(filesystem, FileSystem)
        filesystem.entries(filesystem.root)
        filesystem.lookup(filesystem.root, b"no such name")
        return filesystem

    return look


def iso_of(count: int) -> bytes:
    area = iso.px(0o100644)
    records = [iso.record(b"%08d.;1" % at, 30 + at, 5, 0, area + iso.nm(b"file %d" % at)) for at in range(count)]
    root = iso.directory(iso.ROOT, iso.ROOT, *records, dot=iso.SP + iso.px(0o40755))
    return iso.volume({iso.ROOT: root}, iso.descriptor(1, iso.ROOT, len(root)), blocks=count + 1000)


def udf_of(count: int) -> bytes:
    made = udf.Builder()
    files = [made.file(b"x", udf.EMBEDDED) for _ in range(count)]
    content = udf.identifier(b"", udf.ROOT, 0, udf.PARENT)
    content += b"".join(udf.identifier(b"\x08file %d" % number, file) for number, file in enumerate(files))
    blocks = -(-len(content) // 2048)
    first = made.block(blocks)
    for at in range(blocks):
        made.blocks[first + at] = content[at * 2048 : (at + 1) * 2048]
    made.add(udf.DIRECTORY, len(content), udf.short_ad(len(content), first), udf.SHORT, block=udf.ROOT)
    return made.image()


def xbox_of(count: int) -> bytes:
    return xdvdfs.xdvdfs({f"file {number:05}": b"x" for number in range(count)})


@pytest.mark.parametrize(("name", "make"), [("iso9660", iso_of), ("udf", udf_of), ("xdvdfs", xbox_of)])
def test_directories(name: str, make: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udf, "PHYSICAL_BLOCKS", 4 * ITEMS)
    assert each(lambda count: looked_up(name, make(count))) <= stated(name, "looked up")


def test_path_table() -> None:
    def opened(count: int) -> Callable[[], object]:
        rows = [struct.pack("<BBIH", 8, 0, 30 + at, 1) + b"%08d" % at for at in range(count)]
        table = struct.pack("<BBIH", 1, 0, iso.ROOT, 1) + b"\0\0" + b"".join(rows)
        head = bytearray(iso.descriptor(1, iso.ROOT))
        head[132:144] = iso.both32(len(table)) + struct.pack("<I", 21)
        reader = BytesReader(iso.volume({21: table}, bytes(head), blocks=200))

        def read() -> PathTable:
            found = read_set(reader)
            assert found is not None and found.primary is not None
            paths = PathTable(reader, found.primary)
            assert len(paths.records) == count + 1
            return paths

        return read

    assert each(opened) <= stated("iso9660", "path table")


def test_virtual_allocation_table() -> None:
    def opened(count: int) -> Callable[[], object]:
        made = udf.Builder("virtual", 32768)
        made.block(count)  # numbers that the table has, and nothing has
        made.directory([], block=udf.ROOT)
        return opener("udf", made.image())

    assert each(opened) <= stated("udf", "virtual allocation table")
