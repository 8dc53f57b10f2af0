"""The virtual allocation table (VAT) of write-once discs, by which what was written once can be changed all the same.

It is a file whose entry is the last block of a session, and says for each block of the virtual partition where it is now:

UDF 1.50         LE32 for each block, then 36 bytes: identifier, LE32 block of the VAT before it
UDF 2.00 and up  0 2 length of the header, 4 128 volume identifier (dstring), 132 4 block of the VAT before it, 136 4 files,
                 140 4 directories, then LE32 for each block
UDF 1.50 2.2.10, UDF 2.60 2.2.11. A block is that of the partition; 0xFFFFFFFF stands for none.

Every session leaves its table on the disc, so the disc can be seen as it was after each (`builds`): the tables are chained
from the newest to the oldest. An entry knows its own place in the partition (the location in its tag), so a table tells
where the partition begins to which it belongs; sessions of one image may each have another.

The last block is not known of an image that was padded or lacks run-out blocks: the VAT is sought backwards from the last
block that holds anything.
"""

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.filesystems.udf import dates, entries, names, tags
from imagefs.filesystems.udf.descriptors import block_at
from imagefs.filesystems.udf.entries import FileEntry
from imagefs.filesystems.udf.space import Physical, Space
from imagefs.readers import Reader, RunKind, slice_of

_VAT2 = struct.Struct("<H2x128sIII")  # header bytes, volume identifier, VAT before, files, directories
_VAT1_TAIL = struct.Struct("<x23s8xI")  # identifier, VAT before
_VAT1_NAME = b"*UDF Virtual Alloc Tbl"
_NONE = 0xFFFF_FFFF


class VirtualTable(NamedTuple):
    """A virtual allocation table and what else is in it; UDF 1.50 has neither a label nor counts.

    `numbers` are its blocks as they are stored: a disc has up to hundreds of tables, of which one is needed. `sector` is
    where its entry lies, `partition_start` the sector at which its partition begins, `previous` the block there of the table
    before it, `time` when it was written (ns since 1970, 0 when that is not known).
    """

    numbers: Reader
    sector: int
    partition_start: int
    previous: int | None
    time: int
    label: str = ""
    files: int | None = None
    directories: int | None = None

    @property
    def blocks(self) -> Sequence[int]:
        """Where each block is now. Raises DamagedError."""
        found = array("I", self.numbers.exactly(0, self.numbers.size & ~3))
        if sys.byteorder == "big":
            found.byteswap()
        return found


def find_vat(space: Space, partition_start: int | None = None, end: int | None = None) -> VirtualTable | None:
    """The table that was written last, before sector `end`, for a partition that begins there (None: for any)."""
    last = _last_block(space.reader, space.block_bytes) if end is None else end - 1
    first = max(partition_start or 0, last - limits.VAT_BLOCKS)
    for sector in range(last, first - 1, -1):
        found = vat_at(space, sector)
        if found is not None and partition_start in (None, found.partition_start):
            return found
    return None


def vat_at(space: Space, sector: int) -> VirtualTable | None:
    """The table whose entry is in a sector, None when there is none."""
    size = space.block_bytes
    data = block_at(space.reader, size, sector)
    tag = tags.tag_at(data)
    if tag.identifier not in entries.HEADER_BYTES or tag.location > sector:
        return None
    entry = entries.entry_at(data, tag.location, 0, sector * size)
    most = min(4 * limits.VAT_ENTRIES, space.reader.size)
    if entry is None or entry.kind not in (entries.VAT, entries.UNSPECIFIED) or entry.size > most:
        return None
    start = sector - tag.location
    own = Space(space.reader, size)
    own.partitions.append(Physical(start, size))
    try:
        content = own.content(entry, most=limits.VAT_EXTENTS)
        is_whole = not any(run.kind is RunKind.MISSING for run in content.runs(0, entry.size))
        return _table_of(entry, content, sector, start) if is_whole else None
    except (DamagedError, UnsupportedError):
        return None


def earlier(space: Space, table: VirtualTable) -> Iterator[VirtualTable]:
    """The tables before this one, the newest first, as far as the chain is whole."""
    for _ in range(limits.SESSIONS):
        if table.previous is None:
            return
        sector = table.partition_start + table.previous
        before = vat_at(space, sector) if sector < table.sector else None
        if before is None or before.partition_start != table.partition_start:
            return
        yield before
        table = before


def _last_block(reader: Reader, block_bytes: int) -> int:
    """The last block that holds anything, as far as it makes sense to look."""
    step = 1 << 20
    end = reader.size
    for start in range(max(0, end - step), max(0, end - limits.VAT_PADDING_BYTES), -step):
        try:
            data = reader.pread(start, min(step, end - start)).rstrip(b"\0")
        except DamagedError:
            break
        if data:
            return (start + len(data) - 1) // block_bytes
    return max(0, end // block_bytes - 1)


def _table_of(entry: FileEntry, content: Reader, sector: int, start: int) -> VirtualTable | None:
    """The table that is the content of a file, None when it is none. Raises DamagedError."""
    time, size = dates.time_of(entry.mtime) or 0, content.size
    if entry.kind == entries.UNSPECIFIED:
        if size < _VAT1_TAIL.size:
            return None
        end = size - _VAT1_TAIL.size
        name, previous = _VAT1_TAIL.unpack(content.exactly(end, _VAT1_TAIL.size))
        numbers = slice_of(content, 0, end)
        return VirtualTable(numbers, sector, start, _link(previous), time) if name.startswith(_VAT1_NAME) else None
    if size < _VAT2.size:
        return None
    header, label, previous, files, directories = _VAT2.unpack(content.exactly(0, _VAT2.size))
    if not _VAT2.size <= header <= size:
        return None
    numbers = slice_of(content, header, size - header)
    return VirtualTable(numbers, sector, start, _link(previous), time, names.dstring(label), files, directories)


def _link(block: int) -> int | None:
    return None if block == _NONE else block
