"""The blocks of a volume: partitions of every kind behind one way to address them, and the entries and content in them.

A block is addressed by partition reference (the index of a partition map) and its number there. `Space` reads file entries
and makes readers of content; what kind a partition is only `place` knows (`partitions`).

Allocation descriptors (ECMA-167 4/14.14.1) come in three forms; the top two bits of the length tell the extent's type:
0 recorded, 1 allocated and 2 not allocated (both are holes), 3 the next descriptors are in that extent (tag 258, LE32
length at 20, descriptors from 24).

short_ad  0  4  length    4  4  block of the partition of the entry
long_ad   0  4  length    4  4  block    8   2  partition reference
ext_ad    0  4  length    4  4  recorded length  8  4  information length  12  4  block  16  2  partition reference

A length of 0 ends the list. Content beyond the extents is a hole, as in Linux; extents beyond the content are left alone.
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.filesystems.udf import entries, tags
from imagefs.filesystems.udf.entries import FileEntry
from imagefs.readers import Extent, Reader, ZeroReader, joined, slice_of

_SHORT = struct.Struct("<II")
_LONG = struct.Struct("<IIH6x")
_EXT = struct.Struct("<I8xIH2x")
_LENGTH = struct.Struct("<I")
_MASK = (1 << 30) - 1
_RECORDED, _NEXT = 0, 3
_CHAIN_AT, _CHAIN_LENGTH_AT = 24, 20
_INDIRECT_AT = 36
_HOLE, _NOWHERE = -1, -2
ALL_BLOCKS = 1 << 32
"""More blocks than a partition can have."""


class Piece(NamedTuple):
    """An extent of a file: `length` bytes at a block, or a hole."""

    length: int
    is_hole: bool
    block: int
    reference: int


class Partition(ABC):
    """A partition as the volume addresses it."""

    kind: str
    copies: int = 1
    """How many copies of each block there are."""
    linear: int | None = None
    """The byte offset of block 0 where all blocks lie one after the other."""

    @abstractmethod
    def place(self, block: int, copy: int = 0) -> tuple[int, int]:
        """(byte offset of a block in the volume, how many blocks follow on from there, itself included).

        Raises DamagedError for a block that is nowhere, UnsupportedError for a kind of partition that is not known.
        """


class Physical(Partition):
    """Block by block as on the medium. Its stated length is not a bound: writers have got it wrong."""

    kind = "physical"
    linear: int

    def __init__(self, start: int, block_bytes: int) -> None:
        self.linear, self._block_bytes = start * block_bytes, block_bytes

    def place(self, block: int, copy: int = 0) -> tuple[int, int]:
        return self.linear + block * self._block_bytes, ALL_BLOCKS


class Space:
    """The partitions of a volume by reference, and what is read through them. Immutable once the volume is open."""

    def __init__(self, reader: Reader, block_bytes: int) -> None:
        self.reader, self.block_bytes = reader, block_bytes
        self.partitions: list[Partition] = []

    def partition(self, reference: int) -> Partition:
        """Raises DamagedError when the volume has none of that reference."""
        if reference >= len(self.partitions):
            raise DamagedError(None, f"partition {reference} is named; the volume has {len(self.partitions)}")
        return self.partitions[reference]

    def blocks(self, reference: int, block: int) -> Iterator[tuple[int, bytes]]:
        """(byte offset, data) of each copy of a block that can be read whole."""
        partition = self.partition(reference)
        for copy in range(partition.copies):
            try:
                offset, _ = partition.place(block, copy)
                data = self.reader.pread(offset, self.block_bytes)
            except DamagedError:
                continue
            if len(data) == self.block_bytes:
                yield offset, data

    # --- file entries -----------------------------------------------------------------------------------------------

    def entry(self, reference: int, block: int) -> FileEntry:
        """The file entry at a block, the newest version of it. Raises DamagedError, UnsupportedError."""
        found = self._entry(reference, block)
        if found is None:
            raise DamagedError(self._offset(reference, block), "there is no file entry there")
        return found if found.strategy != entries.STRATEGY_WRITE_ONCE else self.newest(found)

    def _entry(self, reference: int, block: int) -> FileEntry | None:
        for offset, data in self.blocks(reference, block):
            found = entries.entry_at(data, block, reference, offset)
            if found is not None:
                return found
        return None

    def _offset(self, reference: int, block: int) -> int | None:
        try:
            return self.partition(reference).place(block)[0]
        except DamagedError:
            return None

    def newest(self, entry: FileEntry) -> FileEntry:
        """The last of the versions that indirect entries lead to; it keeps the address of the first, which names it."""
        seen, found = {(entry.reference, entry.block)}, entry
        while len(seen) < limits.INDIRECTIONS:
            following = None
            for _, data in self.blocks(found.reference, found.block + 1):
                if tags.tag_at(data).identifier == tags.INDIRECT:
                    target = tags.long_ad(data, _INDIRECT_AT)
                    if target.length and (target.reference, target.block) not in seen:
                        seen.add((target.reference, target.block))
                        following = self._entry(target.reference, target.block)
                    break
            if following is None:
                break
            found = following
        return found

    # --- content ----------------------------------------------------------------------------------------------------

    def pieces(self, entry: FileEntry, most: int = limits.ALLOCATION_CHAIN) -> Iterator[Piece]:
        """The extents of a file in order. Raises DamagedError where the chain of them is broken, or has more than `most`
        blocks."""
        form, data, reference = entry.form, entry.allocation, entry.reference
        seen: set[tuple[int, int]] = set()
        while True:
            following = None
            for kind, piece in _descriptors(form, data, reference):
                if kind == _NEXT:
                    following = piece
                    break
                yield piece
            if following is None:
                return
            where = following.reference, following.block
            if where in seen:
                raise DamagedError(entry.offset, "the allocation descriptors lead back to themselves")
            if len(seen) >= most:
                raise DamagedError(entry.offset, f"more than {most} blocks of allocation descriptors")
            seen.add(where)
            data, reference = self._chained(following), following.reference

    def _chained(self, piece: Piece) -> bytes:
        """The descriptors in an extent of them, which is one block (UDF 2.3.11)."""
        for _, data in self.blocks(piece.reference, piece.block):
            if tags.tag_at(data).identifier == tags.ALLOCATION:
                return data[_CHAIN_AT : _CHAIN_AT + _LENGTH.unpack_from(data, _CHAIN_LENGTH_AT)[0]]
        raise DamagedError(self._offset(piece.reference, piece.block), "allocation descriptors are missing")

    def content(self, entry: FileEntry, copy: int = 0, most: int = limits.ALLOCATIONS) -> Reader:
        """What is in a file: `entry.size` bytes. What cannot be placed is missing there, and raises when it is read; so is
        what lies behind `most` extents, or more than it can need."""
        size = entry.size
        most = min(most, size // self.block_bytes + limits.SPARE_ALLOCATIONS)
        if entry.form == entries.EMBEDDED:
            length = min(entry.allocation_bytes, size)
            start = entry.offset + entry.attributes_at + entry.attributes_bytes
            return joined([Extent(0, length, slice_of(self.reader, start, length))], size)
        extents: list[Extent] = []
        position = count = 0
        try:
            for offset, length in self._runs(entry, copy, min(most, limits.ALLOCATION_CHAIN)):
                count += 1
                if count > most:
                    raise DamagedError(entry.offset, f"the file has more than {most} extents")
                length = min(length, size - position)
                last = extents[-1] if extents else None
                if (
                    last
                    and last.reader
                    and last.position + last.length == position
                    and last.offset + last.length == offset
                ):
                    extents[-1] = last._replace(length=last.length + length)
                elif offset != _NOWHERE:
                    extents.append(Extent(position, length, self.reader if offset >= 0 else None, max(0, offset)))
                position += length
                if position == size:
                    break
        except DamagedError:
            return joined(extents, size)  # the rest is missing, not a hole
        if not extents and not position:
            return ZeroReader(size)
        extents.append(Extent(position, size - position, None))
        return joined(extents, size)

    def _runs(self, entry: FileEntry, copy: int, most: int) -> Iterator[tuple[int, int]]:
        """(byte offset, bytes) of what a file consists of; the offset is _HOLE for a hole, _NOWHERE for what is missing."""
        for length, is_hole, block, reference in self.pieces(entry, most):
            if is_hole:
                yield _HOLE, length
                continue
            partition = self.partition(reference)
            while length > 0:
                try:
                    offset, run = partition.place(block, copy)
                except DamagedError:
                    yield _NOWHERE, length
                    break
                taken = min(length, run * self.block_bytes)
                yield offset, taken
                length, block = length - taken, block + run

    def start_of(self, entry: FileEntry) -> int:
        """The byte offset at which content lies raw and whole, -1 when it does not or that is not told by one block."""
        size = entry.size
        if not size:
            return 0
        data = entry.allocation
        if entry.form == entries.EMBEDDED:
            return entry.offset + entry.attributes_at + entry.attributes_bytes if len(data) >= size else -1
        if entry.form > entries.EMBEDDED:
            return -1
        start = end = -1
        for kind, piece in _descriptors(entry.form, data, entry.reference):
            if kind != _RECORDED or piece.reference >= len(self.partitions):
                return -1
            try:
                offset, run = self.partitions[piece.reference].place(piece.block)
            except (DamagedError, UnsupportedError):
                return -1
            if (start >= 0 and offset != end) or run * self.block_bytes < min(piece.length, start + size - end):
                return -1
            if start < 0:
                start, end = offset, offset
            end += piece.length
            if end - start >= size:
                return start if start + size <= self.reader.size else -1
        return -1


def _descriptors(form: int, data: bytes, reference: int) -> Iterator[tuple[int, Piece]]:
    """(type, extent) of allocation descriptors up to the first that is empty."""
    if form == entries.SHORT:
        for at in range(0, len(data) - _SHORT.size + 1, _SHORT.size):
            length, block = _SHORT.unpack_from(data, at)
            if not length & _MASK:
                return
            kind = length >> 30
            yield kind, Piece(length & _MASK, kind != _RECORDED, block, reference)
    elif form in (entries.LONG, entries.EXTENDED):
        item = _LONG if form == entries.LONG else _EXT
        for at in range(0, len(data) - item.size + 1, item.size):
            length, block, named = item.unpack_from(data, at)
            if not length & _MASK:
                return
            kind = length >> 30
            yield kind, Piece(length & _MASK, kind != _RECORDED, block, named)
    else:
        raise UnsupportedError(f"allocation descriptors of form {form} are not read")
