"""The chunks of a UIF image, and the reader that puts the image together from them.

entry of the table, 24 bytes
0   8  offset   in the file
8   4  stored   bytes there
12  4  first    sector of the image
16  4  sectors
20  4  type     1 plain, filled up with zeros; 3 zeros; 5 packed
"""

import itertools
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from imagefs import limits
from imagefs.codecs import Content
from imagefs.containers.cso import longest_block
from imagefs.containers.uif.packing import BLOCK_BYTES, Packing
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.packed import GROUP_BYTES, PackedReader
from imagefs.readers import Reader, Run, RunKind

ENTRY_BYTES = 24
_COLUMNS = 6
"""of 32 bits; the offset has two"""
PLAIN, ZEROS, PACKED = 1, 3, 5


class Table(NamedTuple):
    """The chunks in the order of the image. `starts` and `sizes` are bytes of it, `offsets` and `stored` of the file."""

    starts: "array[int]"
    sizes: "array[int]"
    offsets: "array[int]"
    stored: "array[int]"
    types: bytes


def table_of(raw: bytes, sector_bytes: int) -> Table:
    """The entries in `raw`. Raises DamagedError when two hold the same sector, UnsupportedError for an unknown type."""
    words = array("I")
    words.frombytes(raw)
    if sys.byteorder == "big":
        words.byteswap()
    low, high, stored, firsts, sectors, types = (words[column::_COLUMNS] for column in range(_COLUMNS))
    order = sorted(filter(sectors.__getitem__, range(len(firsts))), key=firsts.__getitem__)
    end = 0
    for entry in order:
        if firsts[entry] < end:
            raise DamagedError(None, f"two chunks hold sector {firsts[entry]}")
        end = firsts[entry] + sectors[entry]
    if strange := {types[entry] for entry in order} - {PLAIN, ZEROS, PACKED}:
        raise UnsupportedError(f"a UIF image with chunks of type {min(strange)} is not read")
    return Table(
        array("Q", (firsts[entry] * sector_bytes for entry in order)),
        array("Q", (sectors[entry] * sector_bytes for entry in order)),
        array("Q", (high[entry] << 32 | low[entry] for entry in order)),
        array("I", (stored[entry] for entry in order)),
        bytes(types[entry] for entry in order),
    )


class _Piece(NamedTuple):
    """A part of a chunk, from byte `begin` of its content up to `end`; or of the image, where no `chunk` is."""

    chunk: int | None
    begin: int
    end: int


class UifReader(PackedReader):
    """`size` bytes in chunks that may be of different sizes, where they are not packed also of any size.

    A block is as large as the largest packed chunk. As a rule all are of one size, and a block is a chunk.
    """

    def __init__(self, base: Reader, size: int, table: Table, packing: Packing) -> None:
        largest = max((size for size, kind in zip(table.sizes, table.types, strict=True) if kind == PACKED), default=0)
        if largest > limits.BLOCK_BYTES:
            raise DamagedError(None, f"a packed chunk of {largest} bytes; the limit is {limits.BLOCK_BYTES}")
        super().__init__(size, largest or GROUP_BYTES)
        self.base, self._table, self._packing = base, table, packing

    def _pieces(self, start: int, end: int) -> Iterator[_Piece]:
        """What makes up a range of the image."""
        starts, sizes = self._table.starts, self._table.sizes
        for chunk in range(max(0, bisect_right(starts, start) - 1), len(starts)):
            if start >= end:
                return
            begin, stop = starts[chunk], min(end, starts[chunk] + sizes[chunk])
            if start < begin:
                yield _Piece(None, start, min(end, begin))
                start = begin
            if start < stop:
                yield _Piece(chunk, start - begin, stop - begin)
                start = stop
        if start < end:
            yield _Piece(None, start, end)

    def _kind(self, piece: _Piece) -> RunKind:
        if piece.chunk is None:
            return RunKind.MISSING
        return RunKind.ZERO if self._table.types[piece.chunk] == ZEROS else RunKind.PACKED

    def is_zero(self, block: int) -> bool:
        start = block * self.block_bytes
        return {*map(self._kind, self._pieces(start, start + self.block_size(block)))} == {RunKind.ZERO}

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        """By chunks: a chunk of zeros may be a whole disc."""
        pieces = self._pieces(offset, min(offset + length, self.size))
        for kind, row in itertools.groupby(pieces, self._kind):
            yield Run(kind, sum(piece.end - piece.begin for piece in row))

    def unpack(self, first: int, count: int) -> bytes:
        start = first * self.block_bytes
        end = min(start + count * self.block_bytes, self.size)
        return b"".join(map(self._content, self._pieces(start, end)))

    def _content(self, piece: _Piece) -> Content:
        chunk, begin, end = piece
        if chunk is None:
            raise DamagedError(None, "no chunk holds a sector that is asked for")
        kind = self._table.types[chunk]
        if kind == ZEROS:
            return bytes(end - begin)
        return self._plain(chunk, begin, end) if kind == PLAIN else self._packed(chunk)[begin:end]

    def _plain(self, chunk: int, begin: int, end: int) -> bytes:
        """From the block of the cipher on in which `begin` lies; what is not stored is zeros."""
        stored, size = self._table.stored[chunk], self._table.sizes[chunk]
        if stored > size:
            raise DamagedError(self._table.offsets[chunk], f"a plain chunk of {stored} bytes for {size}")
        first = begin // BLOCK_BYTES * BLOCK_BYTES
        last = min(-(-end // BLOCK_BYTES) * BLOCK_BYTES, stored)
        content = self._packing.plain(self._stored(chunk, first, last))[begin - first : end - first]
        return content.ljust(end - begin, b"\0")

    def _packed(self, chunk: int) -> Content:
        """All of a chunk; the last one of an image may have less than its sectors."""
        size, stored = self._table.sizes[chunk], self._table.stored[chunk]
        where = self._table.offsets[chunk]
        if stored > longest_block(size):
            raise DamagedError(where, f"a packed chunk of {stored} bytes for {size}")
        least = min(size, self.size - self._table.starts[chunk])
        return self._packing.unpack(self._stored(chunk, 0, stored), size, least=least, where=where)

    def _stored(self, chunk: int, begin: int, end: int) -> bytes:
        """What is stored of a chunk, from its byte `begin` on up to `end`."""
        if end <= begin:
            return b""
        self.count_in(end - begin)
        return self.base.exactly(self._table.offsets[chunk] + begin, end - begin)
