"""Partition maps: how the blocks of a partition lie on the medium. ECMA-167 3/10.7; UDF 2.60 2.2.8 to 2.2.11.

type 1 (6 bytes)                       type 2 (64 bytes)
0   1  type 1                          0   1  type 2
1   1  length 6                        1   1  length 64
2   2  volume sequence number          4   32 identifier (at 5 the text)
4   2  partition number                36  2  volume sequence number
                                       38  2  partition number
                                       40     by identifier

`*UDF Sparable Partition`   40 2 packet length (blocks)  42 1 count of tables  44 4 size of each  48 4*4 their sectors
                            table: 16 identifier, 48 2 count, 52 4 sequence number, 56 pairs (block of the partition, sector)
`*UDF Metadata Partition`   40 4 main file  44 4 mirror file (blocks of the partition)  58 1 flags: bit 0, mirror has a copy
`*UDF Virtual Partition`    blocks are looked up in the virtual allocation table (VAT), a file whose entry is the last block
                            that was written
    VAT of UDF 1.50         LE32 for each block, then 36 bytes: identifier, LE32 block of the VAT before it
    VAT of UDF 2.00 and up  0 2 length of the header, 4 128 volume identifier (dstring), 132 4 block of the VAT before it,
                            136 4 files, 140 4 directories, then LE32 for each block

The last block is not known of an image that was padded or lacks run-out blocks: the VAT is sought backwards from the last
block that holds anything.
"""

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.filesystems.udf import entries, names, tags
from imagefs.filesystems.udf.descriptors import Descriptors, PartitionDescriptor, block_at
from imagefs.filesystems.udf.entries import FileEntry
from imagefs.filesystems.udf.space import Partition, Space
from imagefs.readers import Reader

_TYPE1 = struct.Struct("<4xH")
_TYPE2 = struct.Struct("<5x23s10xH")  # identifier, partition number
_SPARABLE = struct.Struct("<40xHBxI4I")
_SPARING_TABLE = struct.Struct("<17x23s8xH2xI")  # identifier, count, sequence number
_SPARING_AT = 56
_METADATA = struct.Struct("<40xII10xB")
_VAT2 = struct.Struct("<H2x128sIII")  # header bytes, volume identifier, VAT before, files, directories
_VAT1_TAIL = struct.Struct("<x23s8xI")  # identifier, VAT before
_VAT1_NAME = b"*UDF Virtual Alloc Tbl"
_FREE = 0xFFFF_FFFF
_UNUSED_PACKET = 0xFFFF_FFF0
_ALL_BLOCKS = 1 << 32


class Physical(Partition):
    """Block by block as on the medium. Its stated length is not a bound: writers have got it wrong."""

    kind = "physical"

    def __init__(self, start: int, block_bytes: int) -> None:
        self._start, self._block_bytes = start, block_bytes

    def place(self, block: int, copy: int = 0) -> tuple[int, int]:
        return (self._start + block) * self._block_bytes, _ALL_BLOCKS


class Sparable(Partition):
    """Packets of blocks, the defective ones of which lie elsewhere. `packets` are (first block, first sector), sorted."""

    kind = "sparable"

    def __init__(self, start: int, block_bytes: int, packet: int, packets: Sequence[tuple[int, int]]) -> None:
        self._start, self._block_bytes, self._packet = start, block_bytes, packet
        self._originals = [original for original, _ in packets]
        self._mapped = [mapped for _, mapped in packets]

    def place(self, block: int, copy: int = 0) -> tuple[int, int]:
        index = bisect_right(self._originals, block)
        if index and block < self._originals[index - 1] + self._packet:
            inside = block - self._originals[index - 1]
            return (self._mapped[index - 1] + inside) * self._block_bytes, self._packet - inside
        end = self._originals[index] if index < len(self._originals) else _ALL_BLOCKS
        return (self._start + block) * self._block_bytes, end - block


class Virtual(Partition):
    """Each block where a table says, in a partition below it."""

    kind = "virtual"

    def __init__(self, table: Sequence[int], below: Partition) -> None:
        self._table, self._below = table, below

    def place(self, block: int, copy: int = 0) -> tuple[int, int]:
        where = self._table[block] if block < len(self._table) else _FREE
        if where == _FREE:
            raise DamagedError(None, f"block {block} is not in the virtual allocation table")
        return self._below.place(where)[0], 1


class Metadata(Partition):
    """The content of the metadata file, of which there may be a mirror. Each copy is (first block, blocks, byte offset)."""

    kind = "metadata"

    def __init__(self, copies: Sequence[Sequence[tuple[int, int, int]]], block_bytes: int) -> None:
        self._copies, self._block_bytes, self.copies = copies, block_bytes, len(copies)
        self._firsts = [[first for first, _, _ in copy] for copy in copies]

    def place(self, block: int, copy: int = 0) -> tuple[int, int]:
        copy = min(copy, len(self._copies) - 1)
        index = bisect_right(self._firsts[copy], block) - 1
        if index >= 0:
            first, count, offset = self._copies[copy][index]
            if block < first + count:
                return offset + (block - first) * self._block_bytes, count - (block - first)
        raise DamagedError(None, f"block {block} is not in the metadata file")


class Unknown(Partition):
    """A partition that cannot be read."""

    kind = "unknown"

    def __init__(self, error: DamagedError | UnsupportedError) -> None:
        self._error = error

    def place(self, block: int, copy: int = 0) -> tuple[int, int]:
        if isinstance(self._error, DamagedError):
            raise DamagedError(self._error.where, self._error.why)
        raise UnsupportedError(str(self._error))


class VirtualTable(NamedTuple):
    """A virtual allocation table and what else is in it; UDF 1.50 has nothing else."""

    blocks: Sequence[int]
    label: str = ""
    files: int | None = None
    directories: int | None = None


def open_partitions(space: Space, volume: Descriptors) -> VirtualTable | None:
    """Fill in the partitions of a space; the virtual allocation table when there is one.

    A map that cannot be read gives a partition in which nothing can be, so that the others keep their references. Raises
    DamagedError when the maps themselves are broken.
    """
    maps = volume.maps()
    for each in maps:
        space.partitions.append(_plain(space, volume, each))
    vat = None
    for reference, each in enumerate(maps):
        name, number = _type2(each)
        if name not in (b"*UDF Virtual Partition", b"*UDF Metadata Partition"):
            continue
        try:
            below = _below(maps, number)
            if name == b"*UDF Metadata Partition":
                space.partitions[reference] = _metadata(space, each, below)
            else:
                vat = find_vat(space, volume.partitions[number], below)
                space.partitions[reference] = Virtual(vat.blocks, space.partitions[below])
        except (DamagedError, UnsupportedError) as error:
            space.partitions[reference] = Unknown(error)
    return vat


def _type2(each: bytes) -> tuple[bytes, int]:
    """Identifier and partition number of a map of type 2, no identifier for others."""
    if each[0] != 2 or len(each) < 64:
        return b"", -1
    name, number = _TYPE2.unpack_from(each)
    return name.rstrip(b"\0"), number


def _plain(space: Space, volume: Descriptors, each: bytes) -> Partition:
    """The partition of a map that needs no other."""
    name, number = _type2(each)
    if each[0] == 1:
        (number,) = _TYPE1.unpack_from(each)
    part = volume.partitions.get(number)
    if part is None and number >= 0:
        return Unknown(DamagedError(None, f"partition {number} is not described"))
    if part is not None and each[0] == 1:
        return Physical(part.start, space.block_bytes)
    if part is not None and name == b"*UDF Sparable Partition":
        return _sparable(space, part, each)
    text = name.decode("latin-1") or f"type {each[0]}"
    return Unknown(UnsupportedError(f"UDF partitions of the kind {text!r}"))


def _below(maps: Sequence[bytes], number: int) -> int:
    """The reference of the partition that a virtual or metadata partition is made of."""
    for reference, each in enumerate(maps):
        name, own = _type2(each)
        if each[0] == 1:
            (own,) = _TYPE1.unpack_from(each)
        if own == number and (each[0] == 1 or name == b"*UDF Sparable Partition"):
            return reference
    raise DamagedError(None, f"no partition map leads to partition {number} itself")


# --- sparable ---------------------------------------------------------------------------------------------------------


def _sparable(space: Space, part: PartitionDescriptor, each: bytes) -> Sparable:
    """The partition by the newest of its tables; without any, as if no packet were defective."""
    packet, count, size, *places = _SPARABLE.unpack_from(each)
    newest: tuple[int, list[tuple[int, int]]] = (-1, [])
    for place in places[: min(count, len(places))]:
        number, packets = _sparing_table(space, place, size)
        if number > newest[0]:
            newest = number, packets
    return Sparable(part.start, space.block_bytes, max(1, packet), newest[1])


def _sparing_table(space: Space, place: int, size: int) -> tuple[int, list[tuple[int, int]]]:
    """(sequence number, packets) of a sparing table, number -1 when there is none."""
    try:
        data = space.reader.pread(place * space.block_bytes, min(max(size, space.block_bytes), limits.SPARING_BYTES))
    except DamagedError:
        return -1, []
    if len(data) < _SPARING_AT:
        return -1, []
    name, count, number = _SPARING_TABLE.unpack_from(data)
    if name.rstrip(b"\0") != b"*UDF Sparing Table":
        return -1, []
    count = min(count, (len(data) - _SPARING_AT) // 8)
    pairs = struct.iter_unpack("<II", data[_SPARING_AT : _SPARING_AT + 8 * count])
    return number, sorted((original, mapped) for original, mapped in pairs if original < _UNUSED_PACKET)


# --- metadata ---------------------------------------------------------------------------------------------------------


def _metadata(space: Space, each: bytes, below: int) -> Metadata:
    main, mirror, flags = _METADATA.unpack_from(each)
    found = []
    error: DamagedError | None = None
    for block, kind in ((main, entries.METADATA), (mirror, entries.METADATA_MIRROR)):
        try:
            entry = space.entry(below, block)
            if entry.kind != kind:
                raise DamagedError(entry.offset, f"a file of type {entry.kind} where the metadata should be")
            found.append(list(_extents(space, entry)))
        except DamagedError as wrong:
            error = error or wrong
    if not found and error:
        raise error
    return Metadata(found if flags & 1 else found[:1], space.block_bytes)


def _extents(space: Space, entry: FileEntry) -> Iterator[tuple[int, int, int]]:
    """(first block, blocks, byte offset) of the recorded extents of a metadata file."""
    first = total = 0
    for length, is_hole, block, reference in space.pieces(entry):
        partition, left = space.partition(reference), -(-length // space.block_bytes)
        while left > 0 and not is_hole:
            offset, run = partition.place(block)
            count = min(left, run)
            yield first, count, offset
            first, block, left, total = first + count, block + count, left - count, total + 1
            if total > limits.ALLOCATIONS:
                raise DamagedError(entry.offset, f"the metadata file has more than {limits.ALLOCATIONS} extents")
        first += left


# --- virtual ----------------------------------------------------------------------------------------------------------


def find_vat(space: Space, part: PartitionDescriptor, below: int) -> VirtualTable:
    """The virtual allocation table that was written last. Raises DamagedError when there is none."""
    size = space.block_bytes
    last = _last_block(space.reader, size)
    for place in range(last, max(part.start, last - limits.VAT_BLOCKS) - 1, -1):
        data = block_at(space.reader, size, place)
        tag = tags.tag_at(data)
        if tag.identifier not in entries.HEADER_BYTES or tag.location != place - part.start:
            continue
        entry = entries.entry_at(data, tag.location, below, place * size)
        table = entry and _table_of(space, entry)
        if table is not None:
            return table
    raise DamagedError(last * size, "the virtual allocation table is missing; the disc was perhaps never closed")


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


def _table_of(space: Space, entry: FileEntry) -> VirtualTable | None:
    """The table in a file, None when it is none."""
    if entry.kind not in (entries.VAT, entries.UNSPECIFIED) or entry.size > 4 * limits.VAT_ENTRIES:
        return None
    try:
        data = space.content(entry).exactly(0, entry.size)
    except (DamagedError, UnsupportedError):
        return None
    if entry.kind == entries.UNSPECIFIED:
        if len(data) < _VAT1_TAIL.size:
            return None
        name, _ = _VAT1_TAIL.unpack_from(data, len(data) - _VAT1_TAIL.size)
        return VirtualTable(_numbers(data[: -_VAT1_TAIL.size])) if name.startswith(_VAT1_NAME) else None
    if len(data) < _VAT2.size:
        return None
    header, label, _, files, directories = _VAT2.unpack_from(data)
    if not _VAT2.size <= header <= len(data):
        return None
    return VirtualTable(_numbers(data[header:]), names.dstring(label), files, directories)


def _numbers(data: bytes) -> "array[int]":
    found = array("I", data[: len(data) & ~3])
    if sys.byteorder == "big":
        found.byteswap()
    return found
