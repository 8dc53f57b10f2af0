"""bzip2: streams of blocks that begin at any bit.

a stream        bits    field        meaning (bits of a byte from the highest to the lowest)
header          32      magic        "BZh" and the level, "1" to "9": a block has up to 100,000 bytes for each
blocks          48      magic        31 41 59 26 53 59
                32      crc          of the block's content
                *       data
end             48      magic        17 72 45 38 50 90
                32      crc          of the stream: those of its blocks, each XORed to the former ones rotated by one bit
                0-7     padding      to the next byte

Each block can be decoded alone: its bits are moved to a byte's border, with a header before and an end behind, and make a
stream of their own. Nothing tells where blocks begin or how large their content is. So the file is searched for their magic
and each block is decoded once when the image is opened, several at a time. A magic that is none, by chance, is found by the
block before it being no block until it is joined with what follows.

A block that is broken or cut off ends what can be had: how much it would have given is not known.
Source: bzip2 1.0.8, its format as in "BZIP2: Format Specification" (J. Tsai).
"""

import bz2
import os
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import accumulate
from typing import NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import BytesReader, Reader
from imagefs.wrappers._streams import SKIP_BYTES, Stream, StreamReader, before_damage, check_growth

HEADER_BITS, MAGIC_BITS, CRC_BITS = 32, 48, 32
BLOCK, END = 0x314159265359, 0x177245385090
STORED_BYTES = 2 << 20
"""The most that a block can have in the file: 900,000 bytes that do not shrink become about 905,000."""
WINDOW_BYTES = 1 << 20
"""What is searched at once."""
BATCH = 32
"""Blocks that are given to the threads at once."""


class _Pattern(NamedTuple):
    """A magic that begins at bit `shift` of a byte: whole bytes to be searched, and what is cut off by them."""

    shift: int
    whole: bytes
    before: int
    """bits of the magic in the byte before `whole`"""


def _patterns(magic: int) -> list[_Pattern]:
    found = [_Pattern(0, magic.to_bytes(6, "big"), 0)]
    for shift in range(1, 8):
        inner = (magic >> shift) & ((1 << 40) - 1)
        found.append(_Pattern(shift, inner.to_bytes(5, "big"), 8 - shift))
    return found


_PATTERNS = {BLOCK: _patterns(BLOCK), END: _patterns(END)}


def _bits(reader: Reader, start: int, stop: int) -> int:
    """The bits `start` to `stop` of a file, as a number."""
    first, last = start // 8, -(-stop // 8)
    value = int.from_bytes(reader.exactly(first, last - first), "big")
    return (value >> (last * 8 - stop)) & ((1 << (stop - start)) - 1)


def _search(reader: Reader, magic: int, start: int, stop: int) -> Iterator[int]:
    """The bits at which `magic` begins between the bytes `start` and `stop`, in order."""
    for window in range(start, stop, WINDOW_BYTES):
        data = reader.pread(window, min(WINDOW_BYTES + 7, stop - window))
        found = []
        for pattern in _PATTERNS[magic]:
            at = data.find(pattern.whole)
            while at >= 0:
                bit = at * 8 - pattern.before
                if 0 <= bit < WINDOW_BYTES * 8 and _is_at(data, bit, magic):
                    found.append(window * 8 + bit)
                at = data.find(pattern.whole, at + 1)
        yield from sorted(found)


def _is_at(data: bytes, bit: int, magic: int) -> bool:
    seven = int.from_bytes(data[bit // 8 : bit // 8 + 7].ljust(7, b"\0"), "big")
    return (seven >> (8 - bit % 8)) & ((1 << MAGIC_BITS) - 1) == magic and (bit + MAGIC_BITS) // 8 <= len(data)


class _Block(NamedTuple):
    """The bits of a block in the file. `crc` is that of the stream which ends with it, None within a stream."""

    start: int
    stop: int
    crc: int | None


def _stream_of(reader: Reader, start: int, stop: int) -> Stream:
    """A block as a stream of its own, to be decoded."""
    if stop - start > STORED_BYTES * 8 or stop - start < MAGIC_BITS + CRC_BITS:
        raise DamagedError(start // 8, f"a bzip2 block of {(stop - start) // 8} bytes")
    block = _bits(reader, start, stop)
    length = stop - start
    crc = block >> (length - MAGIC_BITS - CRC_BITS) & 0xFFFF_FFFF
    block = block << (MAGIC_BITS + CRC_BITS) | END << CRC_BITS | crc
    length += MAGIC_BITS + CRC_BITS
    padding = -length % 8
    stored = b"BZh9" + (block << padding).to_bytes((length + padding) // 8, "big")
    errors = (OSError, ValueError, EOFError)
    return Stream(
        bz2.BZ2Decompressor(), BytesReader(stored), 0, len(stored), name="bzip2", errors=errors, origin=start // 8
    )


class Bz2Reader(StreamReader):
    """The content of a bzip2 file: piece i lies at the bits `begins[i]` to `ends[i]`."""

    def __init__(self, stored: Reader, begins: "array[int]", ends: "array[int]", starts: "array[int]") -> None:
        super().__init__(stored, starts)
        self._begins, self._ends = begins, ends

    def begin(self, piece: int) -> Stream:
        return _stream_of(self.stored, self._begins[piece], self._ends[piece])


# --- finding blocks -------------------------------------------------------------------------------------------------


def _is_header(head: bytes) -> bool:
    return len(head) == 4 and head[:3] == b"BZh" and b"1" <= head[3:] <= b"9"


def _magic_at(reader: Reader, bit: int) -> int:
    """The 48 bits that begin at `bit`, 0 when the file ends before."""
    return _bits(reader, bit, bit + MAGIC_BITS) if bit + MAGIC_BITS <= reader.size * 8 else 0


def _find_blocks(reader: Reader) -> Iterator[_Block]:
    """The blocks as far as their magics lead. Raises DamagedError where something else lies."""
    marks = array("Q")
    for bit in _search(reader, BLOCK, 0, reader.size):
        marks.append(bit)
        if len(marks) > limits.PIECES:
            raise DamagedError(bit // 8, f"more than {limits.PIECES} bzip2 blocks")
    at = 0
    while at < reader.size:
        if not _is_header(reader.pread(at, 4)):
            if any(any(reader.pread(where, SKIP_BYTES)) for where in range(at, reader.size, SKIP_BYTES)):
                raise DamagedError(at, "no bzip2 stream begins there")
            return
        first = bisect_left(marks, at * 8 + HEADER_BITS)
        bit = at * 8 + HEADER_BITS
        if first < len(marks) and marks[first] == bit:
            for block in _blocks_of_stream(reader, marks, first):
                yield block
                bit = block.stop
        if _magic_at(reader, bit) != END:
            raise DamagedError(bit // 8, "neither a bzip2 block nor the end of a stream lies there")
        at = -(-(bit + MAGIC_BITS + CRC_BITS) // 8)
        if at > reader.size:
            raise DamagedError(reader.size, "the bzip2 data ends early: the file was cut off")


def _blocks_of_stream(reader: Reader, marks: Sequence[int], first: int) -> Iterator[_Block]:
    """The blocks from the one at `marks[first]` to the end of its stream."""
    for number in range(first, len(marks)):
        start = marks[number]
        after = marks[number + 1] if number + 1 < len(marks) else None
        if after is None or (after % 8 == 0 and _is_header(reader.pread(after // 8 - 4, 4))):
            end = next(_search(reader, END, start // 8, reader.size if after is None else after // 8), None)
            if end is not None or after is None:
                if end is None or end + MAGIC_BITS + CRC_BITS > reader.size * 8:
                    raise DamagedError(reader.size, "the bzip2 data ends early: the file was cut off")
                yield _Block(start, end, _bits(reader, end + MAGIC_BITS, end + MAGIC_BITS + CRC_BITS))
                return
        yield _Block(start, after, None)


# --- the first pass -------------------------------------------------------------------------------------------------


class _Index:
    """The blocks that were decoded, and where their content begins."""

    def __init__(self) -> None:
        self.begins, self.ends, self.sizes = array("Q"), array("Q"), array("Q")
        self.size = 0

    def add(self, block: _Block, size: int) -> None:
        self.begins.append(block.start)
        self.ends.append(block.stop)
        self.sizes.append(size)
        self.size += size

    def cut(self, count: int) -> None:
        """Forget all but the first `count`."""
        del self.begins[count:], self.ends[count:], self.sizes[count:]
        self.size = sum(self.sizes)


def _add_blocks(reader: Reader, index: _Index) -> None:
    """Decode all blocks once. Raises DamagedError where the file is damaged; the index then has what lies before."""
    crc, first = 0, 0
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), "imagefs-bzip2") as pool:
        for block, size in _sized(reader, pool):
            index.add(block, size)
            check_growth(reader.size, index.size)
            own = _bits(reader, block.start + MAGIC_BITS, block.start + MAGIC_BITS + CRC_BITS)
            crc = (crc << 1 | crc >> 31) & 0xFFFF_FFFF ^ own
            if block.crc is not None:
                if block.crc != crc:
                    index.cut(first)
                    raise DamagedError(block.stop // 8, "the checksum of the bzip2 stream is wrong")
                crc, first = 0, len(index.sizes)


def _sized(reader: Reader, pool: Executor) -> Iterator[tuple[_Block, int]]:
    """Each block and the size of its content. Raises DamagedError at the first that cannot be decoded."""
    failed: _Block | None = None
    for block, size in _decoded(reader, pool):
        if failed is not None:  # perhaps the magic between the two was none
            block = _Block(failed.start, block.stop, block.crc)
            size = _size_of(reader, block)
        if not isinstance(size, DamagedError):
            failed = None
            yield block, size
        elif failed is not None or block.crc is not None:
            raise size
        else:
            failed = block


def _decoded(reader: Reader, pool: Executor) -> Iterator[tuple[_Block, int | DamagedError]]:
    """Each block and the size of its content, or why it has none; some blocks at a time."""
    found, batch, damage = _find_blocks(reader), list[_Block](), None
    while True:
        try:
            block = next(found, None)
        except DamagedError as error:
            block, damage = None, error
        if block is not None:
            batch.append(block)
        if block is None or len(batch) == BATCH:
            yield from zip(batch, pool.map(lambda each: _size_of(reader, each), batch), strict=True)
            batch = []
        if block is None:
            break
    if damage is not None:
        raise damage


def _size_of(reader: Reader, block: _Block) -> int | DamagedError:
    """The size of a block's content, or why it has none."""
    try:
        stream = _stream_of(reader, block.start, block.stop)
        while stream.read(SKIP_BYTES):
            pass
        stream.finish()
    except DamagedError as error:
        return error
    return stream.given


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(10)
    if not _is_header(head[:4]) or int.from_bytes(head[4:], "big") not in (BLOCK, END):
        return None
    return Match(95, f"bzip2 magic, level {head[3:4].decode()}")


def open_bz2(candidate: Candidate, options: Options) -> Reader:
    """The content; what cannot be had of a damaged file is missing. Raises DamagedError when that is all, OSError."""
    index, damage = _Index(), None
    try:
        _add_blocks(candidate.reader, index)
    except DamagedError as error:
        damage = error
    starts = array("Q", accumulate(index.sizes, initial=0))
    return before_damage(Bz2Reader(candidate.reader, index.begins, index.ends, starts), damage)


FORMAT = Format(
    name="bzip2",
    title="a bzip2 file",
    layer=Layer.WRAPPER,
    extensions=("bz2",),
    mime=("application/x-bzip2",),
    probe=probe,
    open=open_bz2,
    reads="any number of streams, random access by block; the blocks before the first that is broken",
)
