"""Readers whose blocks must be decoded: compressed images, compressed files.

A block is what the format packs as one; a group is what the cache keeps as one: as many blocks as make GROUP_BYTES, or one
block where that is larger. Blocks of 2 KiB would otherwise cost a system call, a lock and a cache entry each, more than
their decoding. A read finds the groups it needs in the cache; what is missing is decoded in runs of adjacent blocks, each
one call of `unpack`. A run that cannot be decoded is tried again group by group and block by block, so that a damaged block
spoils exactly the reads that touch it. It is remembered: a block may take long to be found broken, and probes alone read in
hundreds of places. What a disk cannot give (OSError) is tried again each time.
"""

import errno
import itertools
import sys
from abc import abstractmethod
from array import array
from collections.abc import Iterator, Sequence
from io import BytesIO
from operator import sub
from typing import Literal

from imagefs import cache, helpers, limits
from imagefs.codecs import Content
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.readahead import ReadAhead
from imagefs.readers import MAX_VIEWS, Reader, Run, RunKind, is_nowait, zeros

GROUP_BYTES = 16 << 10
"""Measured with blocks of 2 KiB: below, the overhead of a group shows; above, a random 4 KiB read pays for more."""
UNPACK_BYTES = helpers.SLOT_BYTES
"""The most that one call of `unpack` is asked for, where blocks are smaller."""

_owners = itertools.count()


def in_use() -> bool:
    """Whether there has been a packed reader."""
    return next(_owners) > 0  # numbers need not be in a row


class PackedReader(Reader):
    """`size` bytes in blocks of `block_bytes`, the last of which may be partial. Subclasses say how to `unpack` them."""

    stateless = True
    """Whether any block is decoded with no more than what was there when the reader was made: so another process can."""

    def __init__(self, size: int, block_bytes: int) -> None:
        if size < 0 or not 0 < block_bytes <= limits.BLOCK_BYTES:
            raise ValueError(f"{size} bytes in blocks of {block_bytes}")
        self.size, self.block_bytes = size, block_bytes
        self._blocks = max(1, GROUP_BYTES // block_bytes)
        """of a group"""
        self._group_bytes = self._blocks * block_bytes
        self._has_holes = type(self).is_zero is not PackedReader.is_zero
        self._bad: dict[int, tuple[int | None, str]] = {}
        """Block -> where and why it is broken; an error itself would hold all that its trace leads through"""
        self._cache, self._owner = cache.shared(), next(_owners)
        self._decoder = cache.Decoder(self._owner, self._decode, max(1, UNPACK_BYTES // self._group_bytes))
        groups = -(-size // self._group_bytes)
        self._ahead = ReadAhead(self._cache, self._decoder, self._group_bytes, groups)
        helpers.register(self._owner, self if self.stateless else None)

    @abstractmethod
    def unpack(self, first: int, count: int) -> bytes:
        """The content of `count` adjacent blocks from block `first`, cut at the reader's end.

        Raises DamagedError when one of them cannot be had, UnsupportedError when its codec is missing, OSError. It must be
        safe for many threads, and should decode all blocks from one read of what is stored.
        """

    def is_zero(self, block: int) -> bool:
        """Whether a block is a hole. `unpack` gives zeros for it all the same."""
        return False

    def block_size(self, block: int) -> int:
        """The bytes of a block's content: `block_bytes`, less at the reader's end."""
        return min(self.block_bytes, self.size - block * self.block_bytes)

    def count_in(self, length: int) -> None:
        """To be called by `unpack`: it has read `length` stored bytes."""
        self._cache.count_in(length)

    def pread(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        first, stop = self._groups(offset, length)
        pieces = self._cache.find(self._owner, first, stop)
        if pieces is None:
            if self._is_hole(offset, length):
                return bytes(length)
            if is_nowait():
                raise BlockingIOError(errno.EAGAIN, "not in the sector cache")
            self._ahead.note(first, stop)
            try:
                pieces = self._cache.load(self._decoder, first, stop, self._ahead.help)
            except (DamagedError, UnsupportedError):
                return self._block_by_block(offset, length)
        else:
            self._ahead.note(first, stop)
        if len(pieces) == 1:
            skip = offset - pieces[0].first * self._group_bytes
            return bytes(pieces[0].data[skip : skip + length])
        return b"".join(self._cut(pieces, offset, length))

    def _cut(self, pieces: Sequence[cache.Piece], offset: int, length: int) -> list[memoryview]:
        """The range in the pieces that hold it."""
        found = [memoryview(piece.data) for piece in pieces]
        found[-1] = found[-1][: offset + length - pieces[-1].first * self._group_bytes]
        found[0] = found[0][offset - pieces[0].first * self._group_bytes :]
        return found

    def _groups(self, offset: int, length: int) -> tuple[int, int]:
        """The first group of a range, and the one after its last."""
        return offset // self._group_bytes, (offset + length - 1) // self._group_bytes + 1

    def _is_hole(self, offset: int, length: int) -> bool:
        """Whether a range has nothing but holes: those need neither a decoder nor the cache."""
        return self._has_holes and all(
            map(self.is_zero, range(offset // self.block_bytes, (offset + length - 1) // self.block_bytes + 1))
        )

    def _decode(self, first: int, count: int) -> bytes | memoryview:
        """The content of `count` groups, by a helper where one is free."""
        content = helpers.decode(self._owner, first, count, count * self._group_bytes)
        return self.unpack_groups(first, count) if content is None else content

    def unpack_groups(self, first: int, count: int) -> bytes:
        """The content of `count` groups, decoded here."""
        return self._unpack(first * self._blocks, count * self._blocks)

    def _unpack(self, first: int, count: int) -> bytes:
        """`unpack`, clipped to the reader's size, checked, and not asked again for a block that is broken."""
        length = min(count * self.block_bytes, self.size - first * self.block_bytes)
        count = -(-length // self.block_bytes)
        if self._bad and (known := self._bad.keys() & range(first, first + count)):
            raise DamagedError(*self._bad[min(known)])
        try:
            data = self.unpack(first, count)
            if len(data) != length:
                raise DamagedError(None, f"block {first} and those after it give {len(data)} bytes instead of {length}")
        except DamagedError as error:
            if count == 1 and len(self._bad) < limits.BROKEN_PIECES:
                self._bad[first] = error.where, error.why
            raise
        return data

    def _block_by_block(self, offset: int, length: int) -> bytes:
        """A range of which some group cannot be decoded whole: the error is raised if the range itself needs what is bad."""
        parts, end = [], offset + length
        bad = -1  # the group that is not tried again: a hostile one may have many thousand blocks
        while offset < end:
            group = offset // self._group_bytes
            if group != bad:
                try:
                    piece = self._cache.load(self._decoder, group, group + 1)[0]
                    data, inside = piece.data, offset - piece.first * self._group_bytes
                except (DamagedError, UnsupportedError):
                    bad = group
            if group == bad:
                block, inside = divmod(offset, self.block_bytes)
                data = self._unpack(block, 1)
            parts.append(data[inside : inside + end - offset])
            offset += len(parts[-1])
        return b"".join(parts)

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        end = min(offset + length, self.size)
        if not self._has_holes:
            if offset < end:
                yield Run(RunKind.PACKED, end - offset)
            return
        while offset < end:
            block = offset // self.block_bytes
            zero = self.is_zero(block)
            stop = (block + 1) * self.block_bytes
            while stop < end and self.is_zero(stop // self.block_bytes) == zero:
                stop += self.block_bytes
            stop = min(stop, end)
            yield Run(RunKind.ZERO if zero else RunKind.PACKED, stop - offset)
            offset = stop

    def views(self, offset: int, length: int) -> list[memoryview] | None:
        """What lies in the cache, without a copy; None when some of it does not."""
        found: list[memoryview] = []
        for run in self.runs(offset, length):
            if run.kind is RunKind.ZERO:
                nothing = zeros()
                if run.length > MAX_VIEWS * len(nothing):
                    return None
                found += [nothing[: min(len(nothing), run.length - at)] for at in range(0, run.length, len(nothing))]
            else:
                cached = self._cached(offset, run.length)
                if cached is None:
                    return None
                found += cached
            offset += run.length
            if len(found) > MAX_VIEWS:
                return None
        return found

    def _cached(self, offset: int, length: int) -> list[memoryview] | None:
        first, stop = self._groups(offset, length)
        pieces = self._cache.find(self._owner, first, stop)
        if pieces is None:
            return None
        self._ahead.note(first, stop)
        return self._cut(pieces, offset, length)


class IndexedReader(PackedReader):
    """Blocks that are stored one after the other in `base`, each ending where the next one begins.

    `longest` bounds a stored block in bytes: what an index claims beyond it is not read.

    Most codecs here have no checksum of the whole, so a wrong entry of the index could give one block's content for
    another's. A position is believed only where it goes on from the ones before it (`_is_lost`).
    """

    in_order = True
    """Whether blocks lie in the order of their numbers."""
    may_be_empty = False
    """Whether a block may be stored in no bytes at all."""

    def __init__(self, base: Reader, size: int, block_bytes: int, longest: int) -> None:
        super().__init__(size, block_bytes)
        self.base, self.longest = base, longest

    @abstractmethod
    def positions(self, first: int, count: int) -> list[int]:
        """Where `count` blocks from `first` begin in `base`, and where the last of them ends: `count` + 1 byte offsets."""

    @abstractmethod
    def unpack_one(self, block: int, stored: bytes, where: int) -> Content:
        """The content of a block, `block_size(block)` bytes. `where` is the offset of `stored` in `base`.

        Raises DamagedError, UnsupportedError.
        """

    def unpack_row(self, first: int, row: Iterator[bytes], positions: Sequence[int]) -> bytes:
        """The content of adjacent blocks, `positions` having one more. To be overridden where a codec takes many at once."""
        return b"".join(map(self.unpack_one, itertools.count(first), row, positions))

    def unpack(self, first: int, count: int) -> bytes:
        before = min(first, 2)
        positions = self.positions(first - before, count + before)
        earlier, positions = positions[:before], positions[before:]
        start, end = positions[0], positions[-1]
        if self.in_order and self._is_lost(earlier, start):
            raise DamagedError(start, f"block {first} would begin there, but an earlier one does")
        if count == 1:
            return bytes(self.unpack_one(first, self._stored(start, end), start))
        lengths = list(map(sub, positions[1:], positions))
        if min(lengths) < 0 or end - start > count * self.longest:
            raise DamagedError(start, f"the {count} blocks from {first} on do not lie in a row")
        data = self.base.exactly(start, end - start)
        self.count_in(len(data))
        # Blocks are cut off one by one while they are decoded: cutting all of them first would keep other threads waiting.
        return self.unpack_row(first, map(BytesIO(data).read, lengths), positions)

    def _is_lost(self, earlier: Sequence[int], start: int) -> bool:
        """Whether a block cannot begin at `start`, the two blocks before it beginning at `earlier`.

        When a position is before that of the block before, one of the two is wrong: this one, unless it fits behind the one
        before that. When the two are the same, and no block is empty, either may be.
        """
        if not earlier or start > earlier[-1]:
            return False
        if start == earlier[-1]:
            return not self.may_be_empty
        return len(earlier) == 2 and (start < earlier[0] or (start == earlier[0] and not self.may_be_empty))

    def _stored(self, start: int, end: int) -> bytes:
        """One stored block, as much of it as there is."""
        if end < start:
            raise DamagedError(start, f"a block begins there and ends at {end}")
        if start >= self.base.size and end > start:
            raise DamagedError(start, f"a block lies there, but the file ends at {self.base.size}")
        data = self.base.pread(start, min(end - start, self.longest))
        self.count_in(len(data))
        return data


def read_table(reader: Reader, offset: int, item: Literal["H", "I", "Q"], count: int) -> "array[int]":
    """`count` little-endian numbers of 16, 32 or 64 bits: where blocks lie. Raises DamagedError.

    Checked against the reader's size before anything is allocated; a large image has 60 million, so they stay packed.
    """
    table = array(item)
    length = count * table.itemsize
    if offset + length > reader.size or length > limits.TABLE_BYTES:
        raise DamagedError(offset, f"a table of {length} bytes would begin there, and the file ends at {reader.size}")
    table.frombytes(reader.exactly(offset, length))
    if sys.byteorder == "big":
        table.byteswap()
    return table
