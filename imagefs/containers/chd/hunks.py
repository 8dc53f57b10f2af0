"""The content of a CHD: hunks through their map, their codecs, their checksums, and the parent."""

import functools
import itertools
import zlib
from binascii import crc_hqx
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import NamedTuple, TypeVar

from imagefs import limits
from imagefs.codecs import Content
from imagefs.containers.chd.edc import Proof, proof_of
from imagefs.containers.chd.header import Header
from imagefs.containers.chd.maps import Check, Hunk, Kind, Map, PlainMap, Row
from imagefs.containers.chd.packing import FRAME_BYTES, IN_ROWS, MAIN_BYTES, CdCodec, Unpack, unpacker
from imagefs.errors import DamagedError
from imagefs.packed import PackedReader
from imagefs.readers import MapReader, Reader, slice_of

T = TypeVar("T")


class Parent(NamedTuple):
    """What hunks may be the same as. Behind the content its last hunk goes on with zeros, up to byte `end`."""

    content: Reader
    end: int


def content_of(base: Reader, header: Header, hunks: Map, parent: Parent | None) -> Reader:
    """The content of the file `base`. Raises UnsupportedError for a codec, DamagedError for one that cannot be."""
    if isinstance(hunks, PlainMap) and parent is None:
        return MapReader(base, header.size, header.hunk_bytes, hunks.locate)
    return ChdReader(base, header, hunks, parent)


class _Window(NamedTuple):
    """Bytes of the file from byte `start` on."""

    start: int
    data: bytes


def _neighbours(row: Row, window: _Window) -> Iterator[tuple[int, list[bytes]]]:
    """Neighbours of one kind: (the kind, what is stored of each)."""
    stored = map(BytesIO(window.data).read, row.lengths)
    for kind, group in itertools.groupby(row.kinds):
        yield kind, list(itertools.islice(stored, len(list(group))))


class Frames(NamedTuple):
    """The frames of a hunk, each of `frame_bytes`: whole ones (2448), or their main channels (2352)."""

    content: Content
    frame_bytes: int


class ChdReader(PackedReader):
    """Hunks that are decoded one by one; those that lie in a row in the file are read in one go."""

    def __init__(self, base: Reader, header: Header, hunks: Map, parent: Parent | None) -> None:
        super().__init__(header.size, header.hunk_bytes)
        self._base, self._hunks, self._parent = base, hunks, parent
        # Writers keep a hunk plain when it does not shrink, but nothing says that they have to.
        self._longest = header.hunk_bytes + header.hunk_bytes // 8 + 64
        self._unpackers: list[Unpack | None] = [
            unpacker(name, header.hunk_bytes) if any(name) else None for name in header.codecs
        ]
        self._in_rows = {Kind.PLAIN: None} | {
            number: IN_ROWS[name] for number, name in enumerate(header.codecs) if name in IN_ROWS
        }
        self._cd_in_rows = {
            number: codec
            for number, codec in enumerate(self._unpackers)
            if isinstance(codec, CdCodec) and codec.in_rows is not None
        }
        self._parts: dict[tuple[int, int], FrameReader] = {}

    def unpack(self, first: int, count: int) -> bytes:
        parts = self._row(first, count) or self._each(first, count, self._content)
        parts[-1] = parts[-1][: self.block_size(first + count - 1)]
        return b"".join(parts)

    def _row(self, first: int, count: int) -> list[Content] | None:
        """The contents of hunks stored in a row by codecs that take many at once; None of others, and of wrong ones.

        Raises what `unpack` does.
        """
        there = self._stored_row(first, count, self._in_rows)
        if there is None:
            return None
        row, window = there
        parts: list[Content] = []
        for kind, stored in _neighbours(row, window):
            codec = self._in_rows[kind]
            parts += stored if codec is None else codec.each(stored, self.block_bytes, where=row.place)
        return parts if list(map(_crc16(), parts)) == row.crcs else None

    def frames(self, first: int, count: int, is_right: Proof | None) -> list[Frames]:
        """The frames of each of `count` hunks from `first` on, which are those of a CD.

        Of hunks for whose main channel alone `is_right` stands nothing else is decoded. Raises what `unpack` does.
        """

        def frames(number: int, hunk: Hunk, window: _Window) -> Frames:
            codec = self._codec(hunk) if hunk.kind is Kind.PACKED else None
            if is_right is not None and isinstance(codec, CdCodec):
                main, bits, _ = codec.main(self._stored(hunk, window), self.block_bytes, hunk.place)
                if is_right(main, bits):
                    return Frames(main, MAIN_BYTES)
            return Frames(self._content(number, hunk, window), FRAME_BYTES)

        found = None if is_right is None else self._frames_of_row(first, count, is_right)
        return found or self._each(first, count, frames)

    def _frames_of_row(self, first: int, count: int, is_right: Proof) -> list[Frames] | None:
        """The same of hunks stored in a row by codecs that take many at once; None of others. Raises what `unpack` does."""
        there = self._stored_row(first, count, self._cd_in_rows)
        if there is None:
            return None
        row, window = there
        mains: list[tuple[Content, int]] = []
        for kind, stored in _neighbours(row, window):
            mains += self._cd_in_rows[kind].mains(stored, self.block_bytes, row.place)
        return [
            Frames(main, MAIN_BYTES)
            if is_right(main, bits)
            else Frames(self._content(number, self._hunks[number], window), FRAME_BYTES)
            for number, (main, bits) in enumerate(mains, first)
        ]

    def user_data(self, start: int, stride: int, user_offset: int, user_bytes: int, count: int) -> Reader | None:
        """Parts of frames, cut out where they are decoded."""
        first, at = divmod(start, FRAME_BYTES)
        if stride != FRAME_BYTES or self.block_bytes % FRAME_BYTES or at + user_offset + user_bytes > FRAME_BYTES:
            return None
        part = at + user_offset, user_bytes
        reader = self._parts.get(part) or self._parts.setdefault(part, FrameReader(self, *part))
        return slice_of(reader, first * user_bytes, count * user_bytes)

    def _each(self, first: int, count: int, decode: Callable[[int, Hunk, _Window], T]) -> list[T]:
        """What `decode` makes of each of `count` hunks from `first` on; of the same hunk once."""
        row = [self._hunks[number] for number in range(first, first + count)]
        window = self._window(row)
        found, done = [], dict[int, T]()
        for at, stated in enumerate(row, first):
            number, hunk = (at, stated) if stated.kind is not Kind.SELF else self._meant(at, stated)
            content = done.get(number)
            if content is None:
                content = done[number] = decode(number, hunk, window)
            found.append(content)
        return found

    def _stored_row(self, first: int, count: int, kinds: Mapping[int, object]) -> tuple[Row, _Window] | None:
        """Hunks that are a row of these kinds alone, and what is stored of them; None of others, and where it is cut off."""
        row = self._hunks.row(first, count)
        if row is None or not kinds.keys() >= set(row.kinds) or max(row.lengths) > self._longest:
            return None
        data = self._read(row.place, sum(row.lengths))
        return (row, _Window(row.place, data)) if len(data) == sum(row.lengths) else None

    def _window(self, row: Sequence[Hunk]) -> _Window:
        """What is stored of adjacent hunks, when that lies in a row too."""
        stored = [hunk for hunk in row if hunk.kind in (Kind.PACKED, Kind.PLAIN)]
        if not stored:
            return _Window(0, b"")
        start, end = min(hunk.place for hunk in stored), max(hunk.place + hunk.length for hunk in stored)
        if end - start > len(row) * self._longest:
            return _Window(0, b"")
        return _Window(start, self._read(start, end - start))

    def _read(self, start: int, length: int) -> bytes:
        """What there is of a range of the file."""
        data = self._base.pread(start, length)
        self.count_in(len(data))
        return data

    def _meant(self, number: int, hunk: Hunk) -> tuple[int, Hunk]:
        """The hunk that hunk `number` is the same as; it stands before it."""
        for _ in range(limits.HUNK_HOPS):
            if hunk.kind is not Kind.SELF:
                return number, hunk
            if hunk.place >= number:
                raise DamagedError(None, f"hunk {number} is the same as the later hunk {hunk.place}")
            number = hunk.place
            hunk = self._hunks[number]
        raise DamagedError(None, f"more than {limits.HUNK_HOPS} hunks are each the same as another one")

    def _content(self, number: int, hunk: Hunk, window: _Window) -> Content:
        """The whole content of a hunk, what lies behind the image's end included where it is stored."""
        kind, size = hunk.kind, self.block_bytes
        if kind is Kind.PARENT:
            return self._of_parent(hunk.place, number)
        if kind is Kind.NONE:
            start = number * size
            return b"" if self._parent is None else self._of_parent(start, number, may_end=True)
        content: Content
        if kind is Kind.REPEATED:
            content = (hunk.place.to_bytes(8, "big") * -(-size // 8))[:size]
        elif kind is Kind.PLAIN:
            content = self._stored(hunk, window)
        else:
            content = self._codec(hunk)(self._stored(hunk, window), size, hunk.place)
        if hunk.check is not Check.NONE and _CHECKS[hunk.check]()(content) != hunk.crc:
            raise DamagedError(hunk.place, f"hunk {number} does not have its checksum")
        return content

    def _codec(self, hunk: Hunk) -> Unpack:
        """What a packed hunk is packed with. Raises DamagedError."""
        unpack = self._unpackers[hunk.codec] if hunk.codec < len(self._unpackers) else None
        if unpack is None:
            raise DamagedError(hunk.place, f"a hunk is packed with codec {hunk.codec}, which the header does not name")
        return unpack

    def _stored(self, hunk: Hunk, window: _Window) -> bytes:
        """The stored bytes of a hunk."""
        _, length, place, *_ = hunk
        if length > self._longest:
            raise DamagedError(place, f"a packed hunk of {length} bytes that gives {self.block_bytes}")
        at = place - window.start
        data = window.data[at : at + length] if at >= 0 else b""
        if len(data) != length:
            data = self._read(place, length)
        if len(data) != length:
            raise DamagedError(place, f"a hunk of {length} bytes lies there, of which {len(data)} are left")
        return data

    def _of_parent(self, start: int, number: int, *, may_end: bool = False) -> bytes:
        """What hunk `number` has from byte `start` of the parent on. `may_end`: there are zeros behind its end."""
        size = self.block_size(number)
        if self._parent is None:
            raise DamagedError(None, f"hunk {number} is one of the parent, and the header names none")
        if start + size > self._parent.end and not may_end:
            raise DamagedError(None, f"hunk {number} lies behind the parent's end")
        return self._parent.content.pread(start, size).ljust(size, b"\0")


class FrameReader(PackedReader):
    """`length` bytes from `offset` of every frame of a CD, one after the other.

    The checksum of a hunk is over whole frames, with ECC that takes longer to make than the rest to unpack. Who wants user
    data alone is served from sectors that prove themselves: their EDC has 32 bits, that of a hunk 16.
    """

    def __init__(self, hunks: ChdReader, offset: int, length: int) -> None:
        super().__init__(hunks.size // FRAME_BYTES * length, hunks.block_bytes // FRAME_BYTES * length)
        self._hunks, self._offset, self._length = hunks, offset, length
        self._proof = proof_of(offset, length)

    def unpack(self, first: int, count: int) -> bytes:
        offset, length = self._offset, self._length
        parts: list[memoryview] = []
        for content, stride in self._hunks.frames(first, count, self._proof):
            view = memoryview(content)
            parts += [view[at : at + length] for at in range(offset, len(view), stride)]
        joined = b"".join(parts)
        most = self.size - first * self.block_bytes  # the last hunk may go on behind the content's end
        return joined if len(joined) <= most else joined[:most]

    def user_data(self, start: int, stride: int, user_offset: int, user_bytes: int, count: int) -> Reader | None:
        """A smaller part of the frames, which may be all that has to be unpacked."""
        first = start // self._length
        if stride != self._length or start % stride:
            return None
        return self._hunks.user_data(first * FRAME_BYTES, FRAME_BYTES, self._offset + user_offset, user_bytes, count)


# --- checksums ------------------------------------------------------------------------------------------------------------


@functools.cache
def _crc16() -> Callable[[Content], int]:
    """fastcrc's, or Python's own, which takes as long as inflating."""
    try:
        from fastcrc.crc16 import ibm_3740
    except ImportError:
        return lambda data: crc_hqx(data, 0xFFFF)
    function: Callable[[Content], int] = ibm_3740
    return function


_CHECKS: dict[Check, Callable[[], Callable[[Content], int]]] = {
    Check.CRC16: _crc16,
    Check.CRC32: lambda: zlib.crc32,
}
