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
`*UDF Virtual Partition`    blocks are looked up in the virtual allocation table (`vat`)
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from imagefs import limits
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.filesystems.udf import entries
from imagefs.filesystems.udf.descriptors import Descriptors, PartitionDescriptor
from imagefs.filesystems.udf.entries import FileEntry
from imagefs.filesystems.udf.space import ALL_BLOCKS, Partition, Physical, Space
from imagefs.filesystems.udf.vat import VirtualTable, find_vat, vat_at

_TYPE1 = struct.Struct("<4xH")
_TYPE2 = struct.Struct("<5x23s10xH")  # identifier, partition number
_SPARABLE = struct.Struct("<40xHBxI4I")
_SPARING_TABLE = struct.Struct("<17x23s8xH2xI")  # identifier, count, sequence number
_SPARING_AT = 56
_METADATA = struct.Struct("<40xII10xB")
_FREE = 0xFFFF_FFFF
_UNUSED_PACKET = 0xFFFF_FFF0


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
        end = self._originals[index] if index < len(self._originals) else ALL_BLOCKS
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


def open_partitions(space: Space, volume: Descriptors, vat_block: int | None = None) -> VirtualTable | None:
    """Fill in the partitions of a space; the virtual allocation table when there is one.

    It is the one at sector `vat_block`, else the newest that belongs to the volume.
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
                start = volume.partitions[number].start
                vat = find_vat(space, start) if vat_block is None else vat_at(space, vat_block)
                if vat is None or vat.partition_start != start:
                    raise DamagedError(
                        None, "the virtual allocation table is missing; the disc was perhaps never closed"
                    )
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
    return Unknown(UnsupportedError(f"UDF partitions of the kind {text!r} are not read"))


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
    for length, is_hole, block, reference in space.pieces(entry, limits.METADATA_EXTENTS):
        partition, left = space.partition(reference), -(-length // space.block_bytes)
        while left > 0 and not is_hole:
            offset, run = partition.place(block)
            count = min(left, run)
            yield first, count, offset
            first, block, left, total = first + count, block + count, left - count, total + 1
            if total > limits.METADATA_EXTENTS:
                raise DamagedError(entry.offset, f"the metadata file has more than {limits.METADATA_EXTENTS} extents")
        first += left
