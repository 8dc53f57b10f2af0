"""Readers: random-access bytes of a known size. Five shapes carry every format.

shape          is                                             used by
SliceReader    a byte range of a reader                       partitions, 2048-byte tracks, contiguous files
SectorReader   the user data inside larger sectors (stride)   BIN, NRG, IMG of 2056 to 2448 bytes
ExtentReader   a sorted list of extents, bisected             multi-extent files, splits, the LBA space of a disc
MapReader      equal blocks, each placed by `locate(block)`   virtual disks, sparse bundles
PackedReader   blocks that `unpack` decodes, cached           CSO, zisofs (in `imagefs.packed`)

Rules:
* `pread` is short only at the reader's end; for bytes that the image cannot give it raises `DamagedError`, and it never
  returns made-up ones.
* `runs` says where bytes come from without reading them: DATA in a source, ZERO (a hole), PACKED (needs decoding) or
  MISSING (the image does not have them: `pread` raises there). Its runs cover exactly the part of the range that lies
  inside the reader.
* `views` gives the same bytes as buffers that a `writev` can send without a copy, or None when they must be read.
* All readers are immutable after construction and safe for many threads: reads are positional, nothing is shared.
* Constructors collapse: `slice_of` a slice is a slice, an extent list over a slice is shifted. So `pread` of a file on a
  plain ISO is one `os.pread`.

Blocking: the core is synchronous. A thread that must not wait calls `set_nowait(True)`; then a source answers only from the
page cache and a packed reader only from the sector cache, and what would wait raises `BlockingIOError`. Every operation is
a pure read, so the caller runs it again in a worker thread.
"""

import enum
import functools
import mmap
import threading
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from imagefs.errors import DamagedError


class RunKind(enum.IntEnum):
    """Where a run of bytes comes from."""

    DATA = 0
    ZERO = 1
    PACKED = 2
    MISSING = 3


class Run(NamedTuple):
    """`length` bytes of one kind. `source` and `offset` (bytes in that source) are set for DATA alone."""

    kind: RunKind
    length: int
    source: "Source | None" = None
    offset: int = 0


_ZEROS: list[memoryview] = []


def zeros() -> memoryview:
    """A shared view of 1 MiB of zeros that takes no memory: one page of the kernel's, mapped many times."""
    if not _ZEROS:
        _ZEROS.append(memoryview(mmap.mmap(-1, 1 << 20, access=mmap.ACCESS_READ)))
    return _ZEROS[0]


class _Mode(threading.local):
    nowait = False


_mode = _Mode()


def set_nowait(on: bool) -> bool:
    """Whether reads of this thread may wait for a disk or a decoder; returns the former setting."""
    before, _mode.nowait = _mode.nowait, on
    return before


def is_nowait() -> bool:
    """Whether this thread must not wait."""
    return _mode.nowait


class Reader(ABC):
    """Random-access bytes of a known `size` in bytes; the module's docstring has the rules."""

    size: int

    @abstractmethod
    def pread(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`, short only at the end. Raises DamagedError, OSError, BlockingIOError."""

    @abstractmethod
    def runs(self, offset: int, length: int) -> Iterator[Run]:
        """Where the bytes of a range come from. Reads no content; may read the tables that place it."""

    def views(self, offset: int, length: int) -> list[memoryview] | None:
        """The range as buffers that only the kernel may touch (a mapped page can fault), or None: use `pread`."""
        found: list[memoryview] = []
        for run in self.runs(offset, length):
            if run.kind is RunKind.DATA and run.source is not None:
                view = run.source.view
                if view is None or run.offset + run.length > len(view):
                    return None
                found.append(view[run.offset : run.offset + run.length])
            elif run.kind is RunKind.ZERO:
                nothing, left = zeros(), run.length
                while left > 0:
                    found.append(nothing[:left])
                    left -= len(nothing)
            else:
                return None
            if len(found) > MAX_VIEWS:
                return None
        return found

    def is_far(self, offset: int) -> bool:
        """Whether much has to be decoded, for seconds, before a byte at `offset` is there."""
        return False

    def user_data(self, start: int, stride: int, user_offset: int, user_bytes: int, count: int) -> "Reader | None":
        """What `sectors_of` would give of this reader, where it has the user data without the rest of the sectors."""
        return None

    def exactly(self, offset: int, length: int) -> bytes:
        """`length` bytes, or DamagedError when the reader ends before."""
        data = self.pread(offset, length)
        if len(data) != length:
            raise DamagedError(offset, f"it ends too early, {length} bytes wanted, {len(data)} there")
        return data


MAX_VIEWS = 512
"""Buffers of one writev: IOV_MAX is 1024; more than this is slower than a copy anyway."""


class Source(Reader):
    """Bytes that come from outside the process: a file, a device, later a remote object."""

    name: str
    view: memoryview | None
    """The whole source mapped, for `writev` only: Python code must not touch it (SIGBUS when the file shrinks)."""

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        length = min(length, self.size - offset)
        if length > 0:
            yield Run(RunKind.DATA, length, self, offset)

    def close(self) -> None:
        """Give the descriptor back; reads after it fail with OSError."""


class BytesReader(Reader):
    """Bytes in memory: headers made up for a view (WAV), small decoded parts, tests."""

    def __init__(self, data: bytes) -> None:
        self._data, self.size = data, len(data)

    def pread(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        length = min(length, self.size - offset)
        if length > 0:
            yield Run(RunKind.PACKED, length)

    def views(self, offset: int, length: int) -> list[memoryview] | None:
        return [memoryview(self._data)[offset : offset + length]]


class ZeroReader(Reader):
    """`size` zero bytes that take no memory."""

    def __init__(self, size: int) -> None:
        self.size = size

    def pread(self, offset: int, length: int) -> bytes:
        return bytes(max(0, min(length, self.size - offset)))

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        length = min(length, self.size - offset)
        if length > 0:
            yield Run(RunKind.ZERO, length)


class SliceReader(Reader):
    """`size` bytes of `base` from `start`. What lies past the end of `base` is missing: reading it is a DamagedError."""

    def __init__(self, base: Reader, start: int, size: int) -> None:
        if start < 0 or size < 0:
            raise ValueError(f"slice of {size} bytes at {start}")
        self.base, self.start, self.size = base, start, size

    def pread(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        data = self.base.pread(self.start + offset, length)
        if len(data) != length:
            raise DamagedError(
                self.start + offset + len(data), f"the image ends there, {length - len(data)} bytes early"
            )
        return data

    def user_data(self, start: int, stride: int, user_offset: int, user_bytes: int, count: int) -> Reader | None:
        if start + count * stride > self.size:
            return None
        return self.base.user_data(self.start + start, stride, user_offset, user_bytes, count)

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        length = min(length, self.size - offset)
        if length <= 0:
            return
        there = max(0, min(length, self.base.size - self.start - offset))
        if there:
            yield from self.base.runs(self.start + offset, there)
        if length > there:
            yield Run(RunKind.MISSING, length - there)

    def views(self, offset: int, length: int) -> list[memoryview] | None:
        length = min(length, self.size - offset)
        if length <= 0:
            return []
        offset += self.start
        return self.base.views(offset, length) if offset + length <= self.base.size else None


def slice_of(base: Reader, start: int, size: int) -> Reader:
    """A SliceReader with slices of slices collapsed; the whole of `base` is `base` itself."""
    if start == 0 and size == base.size:
        return base
    if isinstance(base, SliceReader) and start + size <= base.size:
        return slice_of(base.base, base.start + start, size)
    return SliceReader(base, start, size)


@functools.lru_cache(32)
def _user_data(stride: int, user_bytes: int) -> tuple[slice, ...]:
    """Where the user data of sectors in a row lie, from those of the first. Made once: a slice costs as much as its cut."""
    return tuple(slice(at, at + user_bytes) for at in range(0, MAX_VIEWS * stride, stride))


class SectorReader(Reader):
    """The user data inside larger stored sectors.

    Stored sector k begins at `start + k * stride` of `base`; its user data are the `user_bytes` bytes from `user_offset` in
    it. `count` sectors make `count * user_bytes` bytes.
    """

    def __init__(self, base: Reader, start: int, stride: int, user_offset: int, user_bytes: int, count: int) -> None:
        if not (
            start >= 0 and user_offset >= 0 and user_bytes > 0 and user_offset + user_bytes <= stride and count >= 0
        ):
            raise ValueError(f"{count} sectors of {stride} bytes at {start}, user data {user_bytes} at {user_offset}")
        self.base, self.start, self.stride = base, start, stride
        self.user_offset, self.user_bytes, self.count = user_offset, user_bytes, count
        self.size = count * user_bytes

    def _stored(self, offset: int, length: int) -> tuple[int, int, int, int]:
        """(first sector, sectors, bytes cut from the first, bytes wanted) of a range of user data."""
        length = max(0, min(length, self.size - offset))
        first, skip = divmod(offset, self.user_bytes)
        return first, -(-(skip + length) // self.user_bytes) if length else 0, skip, length

    def pread(self, offset: int, length: int) -> bytes:
        first, sectors, skip, length = self._stored(offset, length)
        if not sectors:
            return b""
        user, stride = self.user_bytes, self.stride
        begin = self.start + first * stride + self.user_offset
        # Not a byte past the last one that is wanted: the image may end there, inside a sector.
        span = (sectors - 1) * stride + skip + length - (sectors - 1) * user
        raw = self.base.pread(begin, span)
        if len(raw) != span:
            raise DamagedError(begin + len(raw), "the image ends inside a sector that is asked for")
        if sectors == 1:
            return raw[skip : skip + length]
        view = memoryview(raw)
        data = b"".join([view[at : at + user] for at in range(0, span, stride)])
        return data if len(data) == length else data[skip : skip + length]

    def user_data(self, start: int, stride: int, user_offset: int, user_bytes: int, count: int) -> Reader | None:
        """Sectors inside of sectors: main channel and subcode, then user data in the former."""
        first = start // self.user_bytes
        if stride != self.user_bytes or start % stride or first + count > self.count:
            return None
        start = self.start + first * self.stride
        return sectors_of(self.base, start, self.stride, self.user_offset + user_offset, user_bytes, count)

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        """Data of several sectors is PACKED, since it lies in pieces; so a run is as long as the stored one below it."""
        first, sectors, skip, length = self._stored(offset, length)
        user, stride = self.user_bytes, self.stride
        at = self.start + first * stride + self.user_offset
        if sectors == 1:
            yield from SliceReader(self.base, at + skip, length).runs(0, length)
            return
        reached, done, stored = 0, skip, 0
        for run in SliceReader(self.base, at, sectors * stride).runs(0, sectors * stride if sectors else 0):
            stored += run.length
            sector, inside = divmod(stored, stride)
            reached = min(sector * user + min(inside, user), skip + length)
            if reached > done:
                yield Run(RunKind.PACKED if run.kind is RunKind.DATA else run.kind, reached - done)
                done = reached

    def views(self, offset: int, length: int) -> list[memoryview] | None:
        first, sectors, skip, length = self._stored(offset, length)
        if not sectors:
            return []
        stride, user = self.stride, self.user_bytes
        if sectors > MAX_VIEWS:
            return None
        begin = self.start + first * stride + self.user_offset
        whole = self.base.views(begin, (sectors - 1) * stride + user)
        if whole is None or len(whole) != 1 or len(whole[0]) != (sectors - 1) * stride + user:
            return None
        view = whole[0]
        found = [view[part] for part in _user_data(stride, user)[:sectors]]
        found[-1] = found[-1][: skip + length - (sectors - 1) * user]
        if skip:
            found[0] = found[0][skip:]
        return found


def sectors_of(base: Reader, start: int, stride: int, user_offset: int, user_bytes: int, count: int) -> Reader:
    """A SectorReader, or what the base has instead: what need not be made into sectors first (CHD, ECM)."""
    user = base.user_data(start, stride, user_offset, user_bytes, count)
    return SectorReader(base, start, stride, user_offset, user_bytes, count) if user is None else user


class Extent(NamedTuple):
    """`length` bytes at `position` of an ExtentReader: from `offset` of `reader`, or a hole when that is None."""

    position: int
    length: int
    reader: Reader | None
    offset: int = 0


class ExtentReader(Reader):
    """A list of extents sorted by position. Positions that no extent covers are missing (`pread` raises there)."""

    def __init__(self, extents: Sequence[Extent], size: int) -> None:
        kept = [_collapsed(extent) for extent in extents if extent.length > 0]
        end = 0
        for extent in kept:
            if extent.position < end or extent.position + extent.length > size or extent.offset < 0:
                raise ValueError(f"extents out of order at {extent.position}")
            end = extent.position + extent.length
        self._extents, self.size = tuple(kept), size
        self._positions = [extent.position for extent in kept]

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[int, Extent | None, int]]:
        """(bytes, extent or None where nothing is, offset in the extent), in order."""
        end = min(offset + length, self.size)
        index = max(0, bisect_right(self._positions, offset) - 1)
        while offset < end:
            extent = self._extents[index] if index < len(self._extents) else None
            if extent is None or offset < extent.position:
                gap = min(end, extent.position if extent else self.size) - offset
                yield gap, None, 0
                offset += gap
                continue
            inside = offset - extent.position
            if inside < extent.length:
                take = min(end - offset, extent.length - inside)
                yield take, extent, inside
                offset += take
            index += 1

    def pread(self, offset: int, length: int) -> bytes:
        parts = []
        for take, extent, inside in self._pieces(offset, length):
            if extent is None:
                raise DamagedError(offset, "the image has no data there")
            if extent.reader is None:
                parts.append(bytes(take))
            else:
                part = extent.reader.pread(extent.offset + inside, take)
                if len(part) != take:
                    raise DamagedError(
                        extent.offset + inside + len(part), f"the image ends there, {take - len(part)} bytes early"
                    )
                parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        for take, extent, inside in self._pieces(offset, length):
            if extent is None:
                yield Run(RunKind.MISSING, take)
            elif extent.reader is None:
                yield Run(RunKind.ZERO, take)
            else:
                yield from SliceReader(extent.reader, extent.offset + inside, take).runs(0, take)

    def views(self, offset: int, length: int) -> list[memoryview] | None:
        found: list[memoryview] = []
        for take, extent, inside in self._pieces(offset, length):
            if extent is None:
                return None
            part = (extent.reader or ZeroReader(extent.length)).views(extent.offset + inside, take)
            if part is None or sum(map(len, part)) != take or len(found) + len(part) > MAX_VIEWS:
                return None
            found += part
        return found


def joined(extents: Sequence[Extent], size: int) -> Reader:
    """An ExtentReader, or what it consists of where one extent is all of it."""
    kept = [extent for extent in extents if extent.length > 0]
    if len(kept) == 1 and kept[0].reader and kept[0].position == 0 and kept[0].length == size:
        return slice_of(kept[0].reader, kept[0].offset, size)
    return ExtentReader(kept, size)


def _collapsed(extent: Extent) -> Extent:
    """The same extent over what lies below a slice."""
    position, length, reader, offset = extent
    while isinstance(reader, SliceReader) and offset + length <= reader.size:
        offset += reader.start
        reader = reader.base
    return Extent(position, length, reader, offset)


class MapReader(Reader):
    """Equal blocks of `block_bytes`, each at the byte offset of `base` that `locate(block)` gives; None is a hole.

    The last block may be partial. `locate` must be a pure function of an immutable table.
    """

    def __init__(self, base: Reader, size: int, block_bytes: int, locate: Callable[[int], int | None]) -> None:
        self.base, self.size, self.block_bytes, self._locate = base, size, block_bytes, locate

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[int, int | None]]:
        """(bytes, offset in `base` or None for a hole); neighbours that adjoin are joined."""
        end = min(offset + length, self.size)
        take, place = 0, None
        while offset < end:
            block, inside = divmod(offset, self.block_bytes)
            size = min(self.block_bytes - inside, end - offset)
            where = self._locate(block)
            where = None if where is None else where + inside
            if take and (where is None) == (place is None) and (place is None or where == place + take):
                take += size
            else:
                if take:
                    yield take, place
                take, place = size, where
            offset += size
        if take:
            yield take, place

    def pread(self, offset: int, length: int) -> bytes:
        parts = []
        for take, place in self._pieces(offset, length):
            parts.append(bytes(take) if place is None else SliceReader(self.base, place, take).pread(0, take))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        for take, place in self._pieces(offset, length):
            if place is None:
                yield Run(RunKind.ZERO, take)
            else:
                yield from SliceReader(self.base, place, take).runs(0, take)
