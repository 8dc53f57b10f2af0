"""The sectors of an MDX image where they do not lie as they are: in packed groups, encrypted, or both."""

import sys
from array import array
from itertools import accumulate
from typing import NamedTuple

from imagefs import codecs, limits
from imagefs.codecs import Content
from imagefs.containers.cso import plain
from imagefs.containers.mdx.crypto import BLOCK_BYTES, Lrw
from imagefs.errors import DamagedError
from imagefs.packed import IndexedReader, PackedReader
from imagefs.readers import Reader

_RUN = 0x8000
"""Marks a group of which every byte is the low byte of its entry."""
_RUN_OF_ZEROS = _RUN | 0xFF
_LONGEST = _RUN - 1
_SPARE = 4096
"""Bytes more than the table has, which are read: packed it is no longer, however badly it packs."""
_MOST_PACKED = 1032
"""Bytes that deflate gives for one, at most."""


def first_block(sector: int, sector_bytes: int) -> int:
    """The number of a sector's first block of AES: only whole blocks of a sector are counted, from 1 on."""
    return 1 + sector * (sector_bytes // BLOCK_BYTES)


class EncryptedReader(PackedReader):
    """`sectors` of `sector_bytes` from byte `start` of `base`; the rest of each that is no whole block is in the clear."""

    def __init__(self, base: Reader, start: int, sectors: int, sector_bytes: int, lrw: Lrw) -> None:
        super().__init__(sectors * sector_bytes, sector_bytes)
        self._base, self._start, self._lrw = base, start, lrw

    def unpack(self, first: int, count: int) -> bytes:
        size = self.block_bytes
        data = self._base.exactly(self._start + first * size, count * size)
        self.count_in(len(data))
        rest = size % BLOCK_BYTES
        if not rest:
            return self._lrw.decrypt(data, first_block(first, size))
        whole, begins = size - rest, range(0, len(data), size)
        content = self._lrw.decrypt(b"".join([data[at : at + whole] for at in begins]), first_block(first, size))
        return b"".join(
            [content[n * whole : (n + 1) * whole] + data[at + whole : at + size] for n, at in enumerate(begins)]
        )


class Packed(NamedTuple):
    """`sectors` of `sector_bytes` packed from byte `start` of `base` on, `group` together."""

    base: Reader
    start: int
    sectors: int
    sector_bytes: int
    group: int

    @property
    def groups(self) -> int:
        return -(-self.sectors // max(1, self.group))

    @property
    def group_bytes(self) -> int:
        return self.group * self.sector_bytes


class GroupReader(IndexedReader):
    """Sectors in groups that are packed one by one. `table` has an entry for each, `starts` one more: byte offsets.

    An entry is 0 for a group as it is, a length for deflate, or a byte of which all of the group consists (`_RUN`).
    """

    may_be_empty = True

    def __init__(self, packed: Packed, starts: "array[int]", table: "array[int]", lrw: Lrw | None) -> None:
        size, group_bytes = packed.sectors * packed.sector_bytes, packed.group_bytes
        super().__init__(packed.base, size, group_bytes, max(group_bytes, _LONGEST))
        self._packed, self._starts, self._table, self._lrw = packed, starts, table, lrw

    def is_zero(self, block: int) -> bool:
        return self._table[block] & _RUN_OF_ZEROS == _RUN

    def positions(self, first: int, count: int) -> list[int]:
        return self._starts[first : first + count + 1].tolist()

    def unpack_one(self, block: int, stored: bytes, where: int) -> Content:
        size, entry = self.block_size(block), self._table[block]
        if entry & _RUN:
            return bytes([entry & 0xFF]) * size
        if self._lrw:
            stored = self._lrw.decrypt(stored, first_block(block * self._packed.group, self._packed.sector_bytes))
        if not entry:
            return plain(stored, size, where)
        return codecs.inflate(stored, self.block_bytes, least=size, where=where)[:size]


def packed_table(packed: Packed, at: int) -> bytes:
    """What the table lies in, from byte `at` on. Raises DamagedError where it cannot have an entry for each group.

    There are at most PIECES groups.
    """
    if not 0 < packed.group_bytes <= limits.BLOCK_BYTES:
        raise DamagedError(None, f"groups of {packed.group} sectors of {packed.sector_bytes} bytes")
    if at >= packed.base.size:
        raise DamagedError(at, f"a table of groups would begin there, and the file ends at {packed.base.size}")
    data = packed.base.pread(at, packed.groups * 2 + _SPARE)
    if packed.groups * 2 > len(data) * _MOST_PACKED:
        raise DamagedError(at, f"a table of {packed.groups} groups cannot lie there, in {len(data)} bytes")
    return data


def open_groups(packed: Packed, data: bytes, at: int, lrw: Lrw | None) -> GroupReader:
    """The sectors; their table lies in `data`. Raises DamagedError for byte `at`."""
    table = array("H", codecs.unzlib(data, packed.groups * 2, where=at))
    if sys.byteorder == "big":
        table.byteswap()
    return GroupReader(packed, _starts(packed, table), table, lrw)


def _starts(packed: Packed, table: "array[int]") -> "array[int]":
    """Where each group begins, and where the last of them ends."""
    whole = packed.group_bytes
    starts = array("Q", accumulate((0 if entry & _RUN else entry or whole for entry in table), initial=packed.start))
    if table and not table[-1]:  # a last group as it is has no more than its sectors
        starts[-1] -= whole * len(table) - packed.sectors * packed.sector_bytes
    return starts
