"""Streams: content that can only be decoded forward, from the few places where decoding can begin.

A piece is the content from one such place to the next: a member, a frame, a block, or what follows a checkpoint. A read
decodes the pieces that it touches:

* A small piece (WHOLE_BYTES) is decoded whole, and its checksum has been compared before a byte of it is given out.
* A large one is decoded from its beginning up to the end of the read. The decoder is then parked where it stands, so that a
  reader that moves forward decodes nothing twice; some decoders are kept, so that a look elsewhere does not end that. The
  checksum of a large piece is compared when its end is read; when it is wrong the piece is not read any more.

Nothing is unpacked to disk, and memory stays bounded whatever the image: a few decoders, a few small pieces, the cache.

A file that ends early is never shown as whole: behind the content that could be had stands a part that cannot be read.
"""

import os
import threading
import weakref
from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from imagefs import limits
from imagefs.errors import DamagedError, ImageError, UnsupportedError
from imagefs.packed import PackedReader
from imagefs.readers import Extent, ExtentReader, Reader, Run, RunKind

BLOCK_BYTES = 128 << 10
"""What the cache keeps as one: as much as one read of a mount asks for."""
WHOLE_BYTES = 4 << 20
"""Pieces up to this size are decoded whole: some 10 ms of inflating."""
WHOLES = 4
"""Small pieces that a reader keeps decoded, since the next read is likely to want the rest of one."""
PARKED = 4
"""Decoders that a reader keeps."""
PASSED = 4
"""Parts of up to SKIP_BYTES that a reader keeps of what it passed over: as much as threads that read ahead overtake."""
FEED_BYTES = 32 << 10
"""Stored bytes that a decoder gets at once."""
SKIP_BYTES = 1 << 20
"""Bytes that are decoded at once where they are only passed over."""
SPACING_BYTES = 2 << 20
"""From one checkpoint of an index to the next, at first."""
FAR_BYTES = 64 << 20
"""From the start of a piece: a second of LZMA."""
_LOCKS = 8


class Decompressor(Protocol):
    """What bz2, lzma, lz4.frame and compression.zstd have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Stream:
    """What a decompressor makes of the bytes `start` to `stop` of `stored`, from front to back; for one thread at a time.

    `before` and `after` are fed to it around them. `errors` are what it raises, `name` is what messages call it. When it
    `is_open`, it goes on behind the last byte that is wanted, or nobody knows how it ends. `origin` is where in the file
    `stored` begins.
    """

    def __init__(
        self,
        decompressor: Decompressor,
        stored: Reader,
        start: int,
        stop: int,
        *,
        name: str,
        errors: tuple[type[Exception], ...],
        before: bytes = b"",
        after: bytes = b"",
        is_open: bool = False,
        origin: int = 0,
    ) -> None:
        self._decompressor, self._stored, self._stop = decompressor, stored, stop
        self._name, self._errors, self._before, self._after = name, errors, before, after
        self._is_open, self._origin = is_open, origin
        self.at = start
        """How far `stored` was read, in bytes."""
        self.given = 0
        """Bytes that came out."""

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer where the stream or what is stored of it ends. Raises DamagedError."""
        parts, end = [], self.given + size
        while self.given < end and not self._decompressor.eof:
            hungry = self._decompressor.needs_input
            data = self._feed() if hungry else b""
            try:
                part = self._decompressor.decompress(data, end - self.given)
            except self._errors as error:
                raise self.failure(error) from error
            if hungry and not data and not part:
                break
            parts.append(part)
            self.given += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _feed(self) -> bytes:
        if self._before:
            data, self._before = self._before, b""
        elif data := self._stored.pread(self.at, min(FEED_BYTES, self._stop - self.at)):
            self.at += len(data)
        else:
            data, self._after = self._after, b""
        return data

    def failure(self, error: Exception) -> ImageError:
        """What is raised for an error of the decompressor."""
        return DamagedError(self.where, f"the {self._name} data is broken ({error})")

    @property
    def where(self) -> int:
        """Where in the file it was read last."""
        return self._origin + self.at

    @property
    def end(self) -> int:
        """Where in `stored` it has ended."""
        return self.at - len(self._decompressor.unused_data)

    def finish(self) -> None:
        """To be called after the last byte. Raises DamagedError when the stream goes on, ends early or fails its check."""
        if self._is_open:
            return
        if self.read(1):
            raise DamagedError(self.where, f"the {self._name} data gives more than {self.given - 1} bytes")
        if not self._decompressor.eof:
            raise DamagedError(self.where, f"the {self._name} data ends early")


class StreamReader(PackedReader):
    """The content of a stream. Piece i is the content from `starts[i]` to `starts[i + 1]`; the last start is the size."""

    stateless = False  # decoders are parked, and checkpoints found on the way

    def __init__(self, stored: Reader, starts: "array[int]", parked: int = PARKED) -> None:
        super().__init__(starts[-1], BLOCK_BYTES)
        self.stored, self.starts = stored, starts
        self._most_parked = parked
        self.reset()
        _readers.add(self)

    def reset(self) -> None:
        """Give up all that threads hold. After a fork: they are not there, and what they locked stays locked."""
        self._locks = [threading.Lock() for _ in range(_LOCKS)]  # each guards the decoding of the pieces of its number
        self._lock = threading.Lock()  # guards the following
        self._parked: list[tuple[int, Stream]] = []  # the least recently used first
        self._wholes: OrderedDict[int, bytes] = OrderedDict()
        # What was passed over last: threads that read ahead of each other overtake, and want it a moment later.
        self._passed: deque[tuple[int, int, bytes]] = deque(maxlen=PASSED)
        self._broken: dict[int, tuple[int, ImageError]] = {}  # from which byte of a piece on, and why

    @abstractmethod
    def begin(self, piece: int) -> Stream:
        """A decoder at the start of a piece. Raises DamagedError, UnsupportedError, OSError."""

    def piece_size(self, piece: int) -> int:
        """Bytes of a piece's content."""
        return self.starts[piece + 1] - self.starts[piece]

    def is_far(self, offset: int) -> bool:
        piece = bisect_right(self.starts, min(offset, self.size - 1)) - 1
        return offset - self.starts[max(0, piece)] > FAR_BYTES

    def pread(self, offset: int, length: int) -> bytes:
        try:
            return super().pread(offset, length)
        except DamagedError:  # a block of the cache may be damaged where this range is not
            return self._range(offset, max(0, min(length, self.size - offset)))

    def unpack(self, first: int, count: int) -> bytes:
        start = first * self.block_bytes
        return self._range(start, min(count * self.block_bytes, self.size - start))

    def _range(self, offset: int, length: int) -> bytes:
        parts = []
        while length > 0:
            piece = bisect_right(self.starts, offset) - 1
            take = min(length, self.starts[piece + 1] - offset)
            with self._locks[piece % _LOCKS]:
                parts.append(self._piece(piece, offset - self.starts[piece], take))
            offset += take
            length -= take
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _piece(self, piece: int, offset: int, length: int) -> bytes:
        broken = self._broken.get(piece)
        if broken is not None and offset + length > broken[0]:
            raise broken[1].with_traceback(None)
        if self.piece_size(piece) <= WHOLE_BYTES:
            return self._whole(piece)[offset : offset + length]
        return self._forward(piece, offset, length)

    def _whole(self, piece: int) -> bytes:
        with self._lock:
            content = self._wholes.get(piece)
            if content is not None:
                self._wholes.move_to_end(piece)
                return content
        content = self._decode_on(piece, self.begin(piece), 0, self.piece_size(piece))
        with self._lock:
            self._wholes[piece] = content
            while len(self._wholes) > WHOLES:
                self._wholes.popitem(last=False)
        return content

    def _forward(self, piece: int, offset: int, length: int) -> bytes:
        parts, end = [], offset + length
        while offset < end:
            part = self._passed_over(piece, offset)[: end - offset] or self._decode_from(piece, offset, end - offset)
            parts.append(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _passed_over(self, piece: int, offset: int) -> bytes:
        """What is kept of the content from `offset` on."""
        with self._lock:
            for of, start, content in self._passed:
                if of == piece and start <= offset < start + len(content):
                    return content[offset - start :]
        return b""

    def _decode_from(self, piece: int, offset: int, length: int) -> bytes:
        stream = self._take(piece, offset) or self.begin(piece)
        while stream.given < offset:
            skipped = min(SKIP_BYTES, offset - stream.given)
            content = self._decode_on(piece, stream, stream.given, skipped)
            with self._lock:
                self._passed.append((piece, stream.given - skipped, content))
        content = self._decode_on(piece, stream, offset, length)
        with self._lock:
            self._parked.append((piece, stream))
            del self._parked[: -self._most_parked]
        return content

    def _take(self, piece: int, offset: int) -> Stream | None:
        """The parked decoder of a piece that has the shortest way to `offset`."""
        with self._lock:
            useful = [(stream.given, at) for at, (of, stream) in enumerate(self._parked) if of == piece]
            best = max((each for each in useful if each[0] <= offset), default=None)
            return self._parked.pop(best[1])[1] if best else None

    def _decode_on(self, piece: int, stream: Stream, offset: int, length: int) -> bytes:
        """The next `length` bytes, from `offset` of a piece on. What is found to be broken is remembered."""
        size, before, good = self.piece_size(piece), stream.at, None
        try:
            if offset + length == size:
                good = 0  # when the end or its checksum is wrong nothing tells which bytes are
            content = stream.read(length)
            if stream.given < offset + length:
                raise DamagedError(stream.where, f"the data ends there, {size - stream.given} bytes of content early")
            if stream.given == size:
                stream.finish()
        except ImageError as error:
            if len(self._broken) < limits.BROKEN_PIECES:
                self._broken[piece] = (stream.given if good is None else good, error)
            raise
        self.count_in(stream.at - before)
        return content


_readers: "weakref.WeakSet[StreamReader]" = weakref.WeakSet()


def _after_fork() -> None:
    for reader in _readers:
        reader.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


_Checkpoint = TypeVar("_Checkpoint")


class Index(Generic[_Checkpoint]):
    """Where decoding can begin: `stored` and `starts` are positions in the file and in the content.

    `checkpoints` are states of a decoder, by the start of their piece; the other pieces need none. There are only so
    many: in a large image they lie farther apart. `what` is what messages call the pieces.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self.stored, self.starts = array("Q"), array("Q")
        self.checkpoints: dict[int, _Checkpoint] = {}
        self.size = 0
        """of the content, as far as it is known"""
        self.is_cut = False
        """Whether the last piece has no end."""
        self._spacing = SPACING_BYTES

    def add(self, stored: int, checkpoint: _Checkpoint | None = None) -> None:
        """A piece begins where the content ends so far. Raises DamagedError when there are too many."""
        if len(self.starts) >= limits.PIECES:
            raise DamagedError(stored, f"more than {limits.PIECES} {self._what}")
        self.stored.append(stored)
        self.starts.append(self.size)
        if checkpoint is not None:
            self.checkpoints[self.size] = checkpoint
            if len(self.checkpoints) > limits.CHECKPOINTS:
                self._spacing *= 2
                self._drop(set(sorted(self.checkpoints)[::2]))

    def is_due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return self.size - self.starts[-1] >= self._spacing

    def cut(self, size: int) -> None:
        """Forget all from this byte of the content on."""
        self.size = size
        self._drop({start for start in self.starts if start >= size})

    def _drop(self, dropped: set[int]) -> None:
        kept = [pair for pair in zip(self.stored, self.starts, strict=True) if pair[1] not in dropped]
        self.stored, self.starts = array("Q", [pair[0] for pair in kept]), array("Q", [pair[1] for pair in kept])
        self.checkpoints = {start: each for start, each in self.checkpoints.items() if start not in dropped}


class _LostReader(Reader):
    """`size` bytes that cannot be had."""

    def __init__(self, size: int, error: DamagedError) -> None:
        self.size, self._where, self._why = size, error.where, error.why

    def pread(self, offset: int, length: int) -> bytes:
        if length <= 0 or offset >= self.size:
            return b""
        raise DamagedError(self._where, self._why)

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        length = min(length, self.size - offset)
        if length > 0:
            yield Run(RunKind.MISSING, length)


def before_damage(good: Reader, error: DamagedError | None) -> Reader:
    """The content that could be had, and behind it, where there is damage, a sector that cannot be read.

    How much more there was cannot be told. Raises the error when nothing could be had.
    """
    if error is None:
        return good
    if not good.size:
        raise error
    lost = SECTOR_BYTES - good.size % SECTOR_BYTES
    extents = [Extent(0, good.size, good), Extent(good.size, lost, _LostReader(lost, error))]
    return ExtentReader(extents, good.size + lost)


SECTOR_BYTES = 2048


def check_growth(stored: int, content: int) -> None:
    """Stops the first pass over a bomb. Raises UnsupportedError."""
    if content > limits.UNPACKED_BYTES and content > stored * limits.UNPACKED_RATIO:
        raise UnsupportedError(f"it is a bomb: its {stored} bytes would give more than {content >> 20} MiB")
