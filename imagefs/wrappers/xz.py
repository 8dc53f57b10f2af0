"""xz: streams of LZMA2 blocks, each stream with an index of its blocks at its end.

a stream        size     field        meaning
header          6        magic        FD "7zXZ" 00
                2        flags        which check the blocks have
                4        crc          CRC-32 of the flags
blocks          4*n      header, filters, data, padding to 4 bytes, check
index           1        indicator    0
                *        count        of blocks; this and what follows are numbers of 7 bits a byte, the lowest first
                *        unpadded     of each block: its size without the padding
                *        size         of each block: its content
                *        padding      zeros to 4 bytes
                4        crc          CRC-32 of the index
footer          4        crc          CRC-32 of the following six bytes
                4        backward     size of the index / 4 - 1
                2        flags        as in the header
                2        magic        "YZ"

Streams may follow each other, with zeros in multiples of 4 between and behind them. The file is read from its end backwards:
nothing is decoded to learn the sizes, and each block is a place where decoding can begin. `xz -T` and pixz write blocks of
some MiB; xz with one thread writes a single one, of which the end can only be read after all before it.

A block is decoded as a stream of its own, with a header, an index and a footer made for it, so that liblzma compares sizes
and check. Without an index that makes sense the file is decoded from its front as far as it goes.
Source: "The .xz File Format" 1.2.1.
"""

import itertools
import lzma
import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError, ImageError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader
from imagefs.wrappers._streams import SKIP_BYTES, Stream, StreamReader, before_damage, check_growth

MAGIC, END_MAGIC = b"\xfd7zXZ\0", b"YZ"
HEADER = struct.Struct("<6s2sI")
FOOTER = struct.Struct("<II2s2s")
NUMBER_BYTES = 9
"""The longest number: 63 bits."""


class _Block(NamedTuple):
    """Where a block lies in the file, its size there without padding, and the size of its content."""

    stored: int
    unpadded: int
    size: int
    flags: bytes


class _Xz(Stream):
    """What liblzma makes of a stream."""

    def __init__(
        self, stored: Reader, start: int, stop: int, before: bytes = b"", after: bytes = b"", *, is_open: bool = False
    ) -> None:
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, limits.DECODER_BYTES)
        super().__init__(
            decoder, stored, start, stop, name="xz", errors=(lzma.LZMAError, EOFError), before=before, after=after,
            is_open=is_open,
        )  # fmt: skip

    def failure(self, error: Exception) -> ImageError:
        if "emory" in str(error):  # LZMA_MEMLIMIT_ERROR has no class of its own
            return UnsupportedError(f"its xz decoder needs more than {limits.DECODER_BYTES >> 20} MiB of memory")
        return super().failure(error)


class XzReader(StreamReader):
    """The content of the blocks of an xz file."""

    def __init__(self, stored: Reader, blocks: Sequence[_Block]) -> None:
        super().__init__(stored, array("Q", itertools.accumulate((block.size for block in blocks), initial=0)), PARKED)
        self._stored_blocks = blocks

    def begin(self, piece: int) -> Stream:
        block = self._stored_blocks[piece]
        header = HEADER.pack(MAGIC, block.flags, zlib.crc32(block.flags))
        return _Xz(self.stored, block.stored, block.stored + _padded(block.unpadded), header, _ending(block))


class _Found(NamedTuple):
    """A stream that was found from the front: where it lies, the size of its content, whether it has an end."""

    stored: int
    size: int
    is_whole: bool


class FrontXzReader(StreamReader):
    """The content of streams that were found from the front."""

    def __init__(self, stored: Reader, found: Sequence[_Found]) -> None:
        super().__init__(stored, array("Q", itertools.accumulate((each.size for each in found), initial=0)), PARKED)
        self._found = found

    def begin(self, piece: int) -> Stream:
        found = self._found[piece]
        return _Xz(self.stored, found.stored, self.stored.size, is_open=not found.is_whole)


PARKED = 2
"""Decoders that are kept: one has up to limits.DECODER_BYTES."""


# --- from the end ---------------------------------------------------------------------------------------------------


def _blocks(reader: Reader) -> list[_Block]:
    """The blocks that have content, by the indexes. Raises DamagedError."""
    streams = list[list[_Block]]()
    end = _before_padding(reader, reader.size)
    count = 0
    while end:
        if count > limits.XZ_BLOCKS:
            raise DamagedError(end, f"more than {limits.XZ_BLOCKS} xz blocks")
        start, blocks = _stream_before(reader, end)
        streams.append(blocks)
        count += 1 + len(blocks)
        end = _before_padding(reader, start)
    return [block for blocks in reversed(streams) for block in blocks if block.size]


def _before_padding(reader: Reader, end: int) -> int:
    """Where the last stream before `end` ends: zeros in multiples of 4 may follow it."""
    while end >= 4:
        length = min(end & ~3, SKIP_BYTES)
        left = len(reader.exactly(end - length, length).rstrip(b"\0"))
        if left:
            return end - (length - left) // 4 * 4
        end -= length
    return end


def _stream_before(reader: Reader, end: int) -> tuple[int, list[_Block]]:
    """Where the stream that ends at `end` begins, and its blocks."""
    if end < HEADER.size + FOOTER.size:
        raise DamagedError(end, "no xz stream ends there")
    crc, backward, flags, magic = FOOTER.unpack(reader.exactly(end - FOOTER.size, FOOTER.size))
    index_bytes = (backward + 1) * 4
    index_at = end - FOOTER.size - index_bytes
    if magic != END_MAGIC or crc != zlib.crc32(struct.pack("<I2s", backward, flags)):
        raise DamagedError(end - FOOTER.size, "an xz stream should end there, but its footer is damaged")
    if index_at < HEADER.size or index_bytes > limits.TABLE_BYTES:
        raise DamagedError(end - FOOTER.size, f"an index of {index_bytes} bytes cannot lie before it")
    sizes = _index(reader.exactly(index_at, index_bytes), index_at)
    start = index_at - HEADER.size - sum(_padded(unpadded) for unpadded, _ in sizes)
    if start < 0 or _header_flags(reader, start) != flags:
        raise DamagedError(index_at, "the sizes in the xz index do not lead to the stream's header")
    blocks, at = [], start + HEADER.size
    for unpadded, size in sizes:
        blocks.append(_Block(at, unpadded, size, flags))
        at += _padded(unpadded)
    return start, blocks


def _header_flags(reader: Reader, at: int) -> bytes | None:
    """The flags of the stream header at a place, None when there is none."""
    raw = reader.pread(at, HEADER.size)
    if len(raw) < HEADER.size:
        return None
    magic, flags, crc = HEADER.unpack(raw)
    return bytes(flags) if magic == MAGIC and crc == zlib.crc32(flags) else None


def _index(raw: bytes, where: int) -> list[tuple[int, int]]:
    """(unpadded size, size of the content) of each block in an index that lies at byte `where`."""
    crc = int.from_bytes(raw[-4:], "little")
    if raw[0] or zlib.crc32(raw[:-4]) != crc:
        raise DamagedError(where, "the xz index is damaged")
    numbers = _numbers(raw, 1, where)
    count = next(numbers)
    if count > min(len(raw) // 2, limits.XZ_BLOCKS):
        raise DamagedError(where, f"{count} blocks cannot stand in an index of {len(raw)} bytes")
    return [(next(numbers), next(numbers)) for _ in range(count)]


def _numbers(raw: bytes, at: int, where: int) -> Iterator[int]:
    """The numbers in an index, without end: DamagedError where there is none."""
    while True:
        value = 0
        for shift in range(0, 7 * NUMBER_BYTES, 7):
            if at >= len(raw) - 4:
                raise DamagedError(where, "the xz index ends early")
            byte = raw[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise DamagedError(where, f"a number of more than {NUMBER_BYTES} bytes in the xz index")
        yield value


def _padded(size: int) -> int:
    return (size + 3) & ~3


def _number(value: int) -> bytes:
    """A number as indexes have it."""
    raw = bytearray()
    while value >= 0x80:
        raw.append(value & 0x7F | 0x80)
        value >>= 7
    raw.append(value)
    return bytes(raw)


def _ending(block: _Block) -> bytes:
    """An index and a footer for a stream of this one block."""
    index = b"\0" + _number(1) + _number(block.unpadded) + _number(block.size)
    index = index.ljust(_padded(len(index)), b"\0")
    index += zlib.crc32(index).to_bytes(4, "little")
    tail = struct.pack("<I2s", len(index) // 4 - 1, block.flags)
    return index + zlib.crc32(tail).to_bytes(4, "little") + tail + END_MAGIC


# --- from the front -------------------------------------------------------------------------------------------------


def _found(reader: Reader) -> tuple[list[_Found], DamagedError | None]:
    """The streams from the front on, as far as they can be decoded, and what ends them."""
    found: list[_Found] = []
    at = 0
    while at < reader.size:
        if _header_flags(reader, at) is None:
            if found and not any(reader.pread(at, 4)):
                at += 4
                continue
            return found, DamagedError(at, "no xz stream begins there")
        stream, error = _Xz(reader, at, reader.size), None
        try:
            while stream.read(SKIP_BYTES):
                check_growth(reader.size, stream.given)
            stream.finish()
        except DamagedError as damage:
            error = damage
        found.append(_Found(at, stream.given, error is None))
        if error is not None:
            return found, error
        at = stream.end
    return found, None


def probe(candidate: Candidate) -> Match | None:
    return Match(95, "xz magic") if candidate.head(len(MAGIC)) == MAGIC else None


def open_xz(candidate: Candidate, options: Options) -> Reader:
    """The content; what cannot be had of a damaged file is missing. Raises DamagedError when that is all, OSError."""
    reader = candidate.reader
    try:
        blocks = _blocks(reader)
        check_growth(reader.size, sum(block.size for block in blocks))
        return XzReader(reader, blocks)
    except DamagedError as damage:
        found, error = _found(reader)
        return before_damage(FrontXzReader(reader, found), error or damage)


FORMAT = Format(
    name="xz",
    title="an xz file",
    layer=Layer.WRAPPER,
    extensions=("xz",),
    mime=("application/x-xz",),
    probe=probe,
    open=open_xz,
    reads="any number of streams and blocks, random access by block; the content before the end of a cut file",
)
