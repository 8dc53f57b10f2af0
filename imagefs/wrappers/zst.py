"""Zstandard: frames that follow each other, some of which only hold notes.

a frame         size     field        meaning (all little-endian)
header          4        magic        28 B5 2F FD
                1        descriptor   bits 0-1 size of the dictionary's number, 2 a checksum follows, 3 reserved,
                                      5 the window is the content, 6-7 size of the content's size
                0-1      window       1 << (10 + bits 3-7), and bits 0-2 eighths of that more
                0-4      dictionary   its number
                0-8      size         of the content; 256 more than it says where it has 2 bytes
blocks          3        head         bit 0 the last one, bits 1-2 kind (0 plain, 1 one byte repeated, 2 packed), then
                                      the size
                *        data         at most 128 KiB of content; 1 byte for kind 1
                4        checksum     of the content, its low 32 bits in XXH64

A skippable frame has the magic 50 to 5F 2A 4D 18, its size and anything. In the seekable format the last one is a table:

table           8        magic, size  5E 2A 4D 18
                8 or 12  entries      stored size, size of the content, perhaps a checksum, for each frame from the first on
                4        count        of the entries
                1        descriptor   bit 7: the entries have checksums
                4        magic        B1 EA 92 8F

Each frame is a place where decoding can begin: pzstd and the seekable format write many; zstd writes one, which has to be
decoded from its front. The walk over the file reads the heads of blocks; a frame that does not tell its size (zstd writes
such when it reads a pipe) is decoded once.
Source: RFC 8878; zstd_seekable_compression_format.md of the zstd project.
"""

import struct
from array import array
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from imagefs import limits
from imagefs.codecs import zstd_decompressor
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader
from imagefs.wrappers._streams import PARKED, SKIP_BYTES, Stream, StreamReader, before_damage, check_growth

MAGIC, SKIPPABLE, SKIPPABLE_MASK = 0xFD2FB528, 0x184D2A50, 0xFFFF_FFF0
SKIP_HEAD = struct.Struct("<II")
TABLE_MAGIC, TABLE_END = SKIPPABLE | 0xE, 0x8F92EAB1
TABLE_FOOTER = struct.Struct("<IBI")
HEADER_BYTES = 18
"""The longest header."""
LAST, REPEATED, RESERVED = 1, 1, 3
LARGE_WINDOW = 16 << 20


class _Header(NamedTuple):
    """What the header of a frame says; `size` is None where it does not tell."""

    length: int
    window: int
    size: int | None
    has_checksum: bool


def _header(raw: bytes, where: int) -> _Header:
    """Raises DamagedError, UnsupportedError."""
    if len(raw) < 6 or int.from_bytes(raw[:4], "little") != MAGIC:
        raise DamagedError(where, "no Zstandard frame begins there")
    descriptor = raw[4]
    is_single, at = bool(descriptor & 0x20), 5
    if descriptor & 8:
        raise UnsupportedError("a Zstandard frame with a reserved bit set is not read")
    window = 0
    if not is_single:
        window = (1 << 10 + (raw[5] >> 3)) // 8 * (8 + (raw[5] & 7))
        at += 1
    at += (0, 1, 2, 4)[descriptor & 3]
    if any(raw[at - (0, 1, 2, 4)[descriptor & 3] : at]):
        raise UnsupportedError("it is packed with a Zstandard dictionary, which is not read")
    size_bytes = (int(is_single), 2, 4, 8)[descriptor >> 6]
    if at + size_bytes > len(raw):
        raise DamagedError(where, "the Zstandard data ends early: the file was cut off")
    size = int.from_bytes(raw[at : at + size_bytes], "little") + (256 if size_bytes == 2 else 0)
    if window > limits.WINDOW_BYTES:
        raise UnsupportedError(f"its Zstandard window has {window >> 20} MiB, the limit is {limits.WINDOW_BYTES >> 20}")
    return _Header(at + size_bytes, window, size if size_bytes else None, bool(descriptor & 4))


def _block_bytes(head: bytes, where: int) -> int:
    """The bytes of a block with its head."""
    value = int.from_bytes(head, "little")
    kind = value >> 1 & 3
    if kind == RESERVED:
        raise DamagedError(where, "a Zstandard block of no kind")
    return 3 + (1 if kind == REPEATED else value >> 3)


class _Frame(NamedTuple):
    """Where a frame lies, and the size of its content. When it `is_open`, nobody knows how it ends."""

    stored: int
    size: int
    is_open: bool = False


class _FrameStream(Stream):
    """A frame, fed block by block: a few bytes more could give gigabytes at once."""

    def __init__(self, stored: Reader, start: int, *, is_open: bool = False) -> None:
        header = _header(stored.pread(start, HEADER_BYTES), start)
        decompressor, errors = zstd_decompressor(limits.WINDOW_BYTES)
        super().__init__(decompressor, stored, start, stored.size, name="Zstandard", errors=errors, is_open=is_open)
        self._next = header.length
        """bytes that are fed next: the header, a block, or the checksum"""
        self._is_last = False
        self._has_checksum = header.has_checksum

    def _feed(self) -> bytes:
        if not self._next:
            return b""
        data = self._stored.pread(self.at, self._next)
        self.at += len(data)
        self._next = 0
        if not self._is_last:
            head = self._stored.pread(self.at, 3)
            self._next = _block_bytes(head, self.at) if len(head) == 3 else 0
            self._is_last = bool(head and head[0] & LAST)
        elif self._has_checksum:
            self._next, self._has_checksum = 4, False
        return data


class ZstReader(StreamReader):
    """The content of Zstandard frames."""

    def __init__(self, stored: Reader, frames: list[_Frame], parked: int) -> None:
        super().__init__(stored, array("Q", accumulate((frame.size for frame in frames), initial=0)), parked)
        self._frames = frames

    def begin(self, piece: int) -> Stream:
        frame = self._frames[piece]
        return _FrameStream(self.stored, frame.stored, is_open=frame.is_open)


# --- finding frames -------------------------------------------------------------------------------------------------


def _is_skippable(magic: int) -> bool:
    return magic & SKIPPABLE_MASK == SKIPPABLE


def _table(reader: Reader) -> list[_Frame] | None:
    """The frames by the table at the end, None when there is none that makes sense."""
    if reader.size < SKIP_HEAD.size + TABLE_FOOTER.size:
        return None
    count, descriptor, magic = TABLE_FOOTER.unpack(reader.exactly(reader.size - TABLE_FOOTER.size, TABLE_FOOTER.size))
    entry = struct.Struct("<II4x" if descriptor & 0x80 else "<II")
    length = count * entry.size + TABLE_FOOTER.size
    start = reader.size - length - SKIP_HEAD.size
    if magic != TABLE_END or descriptor & 0x7C or start < 0 or count > limits.PIECES:
        return None
    if SKIP_HEAD.unpack(reader.exactly(start, SKIP_HEAD.size)) != (TABLE_MAGIC, length):
        return None
    raw = reader.exactly(start + SKIP_HEAD.size, count * entry.size)
    frames, at = [], 0
    for stored, size in entry.iter_unpack(raw):
        frames.append(_Frame(at, size))
        at += stored
    return [frame for frame in frames if frame.size] if at == start else None


def _frames(reader: Reader) -> Iterator[tuple[int, _Header, int | None]]:
    """Where each frame begins, its header and where it ends, None when the file ends before. Raises DamagedError."""
    at = count = 0
    while at < reader.size:
        raw = reader.pread(at, HEADER_BYTES)
        if len(raw) >= SKIP_HEAD.size and _is_skippable(int.from_bytes(raw[:4], "little")):
            at += SKIP_HEAD.size + SKIP_HEAD.unpack_from(raw)[1]
            if at > reader.size:
                raise DamagedError(reader.size, "the Zstandard data ends early: the file was cut off")
            continue
        header = _header(raw, at)
        start, at, is_last = at, at + header.length, False
        while not is_last:
            head = reader.pread(at, 3)
            is_last = bool(head and head[0] & LAST)
            at += _block_bytes(head, at) if len(head) == 3 else 3
            count += 1
            if count > limits.PIECES:
                raise DamagedError(at, f"more than {limits.PIECES} Zstandard blocks")
            if at > reader.size:
                break
        at += 4 if header.has_checksum else 0
        yield start, header, at if at <= reader.size else None


def _size_of(reader: Reader, start: int, given: int, *, is_open: bool) -> tuple[int, DamagedError | None]:
    """The size of a frame's content, behind `given` bytes of others, and what it ends with."""
    stream = _FrameStream(reader, start, is_open=is_open)
    try:
        while stream.read(SKIP_BYTES):
            check_growth(reader.size, given + stream.given)
        stream.finish()
    except DamagedError as error:
        return stream.given, error
    return stream.given, None


def _walked(reader: Reader) -> tuple[list[_Frame], int, DamagedError | None]:
    """The frames, the largest window, and what ends them before the file does."""
    frames: list[_Frame] = []
    window = size = 0
    try:
        for start, header, end in _frames(reader):
            window = max(window, header.window or header.size or 0)
            own, error = header.size, None
            if end is None or own is None:
                own, error = _size_of(reader, start, size, is_open=end is None)
            if end is None:
                error = error or DamagedError(reader.size, "the Zstandard data ends early: the file was cut off")
            size += own
            check_growth(reader.size, size)
            if own:
                frames.append(_Frame(start, own, is_open=error is not None))
            if error is not None:
                return frames, window, error
    except DamagedError as error:
        return frames, window, error
    return frames, window, None


def probe(candidate: Candidate) -> Match | None:
    """A skippable frame has a magic that is no great proof: a frame must follow the first of them."""
    head = candidate.head(HEADER_BYTES)
    if len(head) < SKIP_HEAD.size:
        return None
    magic, size = SKIP_HEAD.unpack_from(head)
    if _is_skippable(magic):
        magic = int.from_bytes(candidate.at(SKIP_HEAD.size + size, 4), "little")
    return Match(85, "Zstandard magic") if magic == MAGIC else None


def open_zst(candidate: Candidate, options: Options) -> Reader:
    """The content; what cannot be had of a damaged file is missing.

    Raises DamagedError when that is all, UnsupportedError, OSError.
    """
    reader = candidate.reader
    frames, window, damage = _table(reader), 0, None
    zstd_decompressor(limits.WINDOW_BYTES)  # that it is installed is better known now
    if frames is None:
        frames, window, damage = _walked(reader)
    return before_damage(ZstReader(reader, frames, PARKED if window <= LARGE_WINDOW else 1), damage)


FORMAT = Format(
    name="zstd",
    title="a Zstandard file",
    layer=Layer.WRAPPER,
    extensions=("zst",),
    mime=("application/zstd",),
    probe=probe,
    open=open_zst,
    reads="any number of frames, random access by frame; the content before the end of a cut file",
    lacks="dictionaries, windows above 128 MiB",
)
