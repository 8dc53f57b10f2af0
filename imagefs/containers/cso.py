"""CSO and ZSO: an ISO image in small blocks that are packed one by one, for the PSP and the PlayStation 2.

offset  size   field        meaning (all little-endian)
0       4      magic        "CISO", or "ZISO" for ZSO
4       4      header_size  24 in version 2; in versions 0 and 1 writers put anything here, and the index follows at 24
8       8      size         bytes of the image
16      4      block_bytes  2048 usually; a power of two
20      1      version      0 and 1 are the same; 2
21      1      shift        positions count units of 1 << shift bytes
22      2      reserved
24      4*n    index        one entry for each block and one for the end of the last

An entry is a position (31 bits) and a mark (bit 31). A block ends where the next one begins; where shift > 0 it is padded.

version        mark set    mark clear
CSO 0 and 1    plain       raw deflate
CSO 2          LZ4         raw deflate; plain, whatever the mark says, when it is as long as a block or longer
ZSO            plain       LZ4 (a bare block)

A GameCube "CISO" has the same magic and is another format: a block size at 4, then a map of bytes 0 and 1.

The last block may be partial; some writers fill it up before they pack it. An image that was cut off can be opened: the
blocks that are not there are damaged, as are blocks that end before they begin.

Source: README_CSO.md and README_ZSO.md of maxcso; ziso.py of Open PS2 Loader; the readers of PPSSPP and of ARK-4."""

import struct
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imagefs import codecs, limits
from imagefs.codecs import Codec, Content
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.packed import IndexedReader, read_table
from imagefs.readers import Reader

HEADER = struct.Struct("<4sIQIBB2x")
MARK = 1 << 31
MAX_SHIFT = 20
"""Positions up to 2 PiB. An image needs 1 << shift >= its size / 2 GiB; ziso.py can align blocks by up to 6."""


class Kind(NamedTuple):
    """What a block is packed with; None is plain."""

    marked: Codec | None
    unmarked: Codec
    plain_by_length: bool = False


CSO1 = Kind(marked=None, unmarked=codecs.inflate)
CSO2 = Kind(marked=codecs.unlz4, unmarked=codecs.inflate, plain_by_length=True)
ZSO = Kind(marked=None, unmarked=codecs.unlz4)


class CsoReader(IndexedReader):
    """The image in a CSO or ZSO file."""

    def __init__(
        self, base: Reader, size: int, block_bytes: int, shift: int, index: "array[int]", kind: Kind = CSO1
    ) -> None:
        super().__init__(base, size, block_bytes, longest_block(block_bytes) + (1 << shift))
        self._shift, self._index, self._kind = shift, index, kind
        # Whether a row of unmarked blocks can go to the codec just as it is.
        self._rows = not kind.plain_by_length and (kind.unmarked is codecs.inflate or not shift)

    def positions(self, first: int, count: int) -> list[int]:
        entries, shift = self._index[first : first + count + 1], self._shift
        if not shift and max(entries) < MARK:
            return entries.tolist()
        return [(entry & ~MARK) << shift for entry in entries]

    def unpack_row(self, first: int, row: Iterator[bytes], positions: Sequence[int]) -> bytes:
        count = len(positions) - 1
        if (
            self._rows
            and max(self._index[first : first + count]) < MARK
            and (first + count) * self.block_bytes <= self.size
        ):
            return b"".join(self._kind.unmarked.each(row, self.block_bytes, where=positions[0]))
        return super().unpack_row(first, row, positions)

    def unpack_one(self, block: int, stored: bytes, where: int) -> Content:
        size, most = self.block_size(block), self.block_bytes
        codec = self._kind.marked if self._index[block] & MARK else self._kind.unmarked
        if self._kind.plain_by_length:
            start, end = self.positions(block, 1)
            codec = None if end - start >= most else codec
        if codec is None:
            return plain(stored, size, where)
        if codec is codecs.unlz4:
            content = codecs.unlz4_padded(stored, most, (1 << self._shift) - 1, least=size, where=where)
        else:
            content = codec(stored, most, least=size, where=where)
        return content if len(content) == size else content[:size]


def plain(stored: bytes, size: int, where: int) -> bytes:
    """A block that is not packed: its first `size` bytes, since padding may follow."""
    if len(stored) < size:
        raise DamagedError(where, f"a plain block of {size} bytes lies there, of which {len(stored)} are left")
    return stored[:size]


def longest_block(block_bytes: int) -> int:
    """The longest that a block can sensibly be when it is packed: deflate adds 5 bytes to each 16 KiB that do not shrink."""
    return block_bytes + block_bytes // 8 + 64


def read_index(candidate: Candidate, offset: int, size: int, block_bytes: int) -> "array[int]":
    """The index of an image of `size` bytes: an entry for each block and one for the end. Raises DamagedError."""
    return read_table(candidate.reader, offset, "I", -(-size // block_bytes) + 1)


def check_block_bytes(offset: int, block_bytes: int) -> None:
    """Raises DamagedError for a block size that is no power of two or beyond the limit."""
    if block_bytes.bit_count() != 1 or block_bytes > limits.BLOCK_BYTES:
        raise DamagedError(
            offset, f"a block size of {block_bytes} bytes; it is a power of two up to {limits.BLOCK_BYTES}"
        )


def _is_gamecube(head: bytes) -> bool:
    """Whether a header is one of a GameCube CISO: its map has nothing but bytes 0 and 1, no size of an image looks so."""
    return int.from_bytes(head[4:8], "little") >= 0x8000 and not head[8:64].strip(b"\0\1")


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(64)
    if len(head) < HEADER.size or head[:4] not in (b"CISO", b"ZISO") or _is_gamecube(head):
        return None
    magic, _, _, block_bytes, version, shift = HEADER.unpack_from(head)
    if version <= 2 and block_bytes.bit_count() == 1 and shift <= MAX_SHIFT:
        return Match(95, f"{magic.decode()} magic, version {version}, blocks of {block_bytes} bytes")
    return Match(70, f"{magic.decode()} magic, and a header that makes no sense")


def open_cso(candidate: Candidate, options: Options) -> Reader:
    magic, header_size, size, block_bytes, version, shift = HEADER.unpack(candidate.exactly(0, HEADER.size))
    if magic == b"CISO" and version <= 1:
        kind = CSO1
    elif magic == b"CISO" and version == 2:
        kind = CSO2
        if header_size != HEADER.size:
            raise DamagedError(4, f"a header of {header_size} bytes; version 2 has one of {HEADER.size}")
    elif magic == b"ZISO" and version <= 1:
        kind = ZSO
        codecs.unlz4.require()
    else:
        raise UnsupportedError(f"{magic.decode()} version {version} is not read")
    check_block_bytes(16, block_bytes)
    if not size or shift > MAX_SHIFT:
        raise DamagedError(8, f"an image of {size} bytes, positions shifted by {shift} bits")
    index = read_index(candidate, HEADER.size, size, block_bytes)
    return CsoReader(candidate.reader, size, block_bytes, shift, index, kind)


FORMAT = Format(
    name="cso",
    title="CSO/ZSO compressed ISO",
    layer=Layer.CONTAINER,
    extensions=("cso", "ciso", "zso", "ziso"),
    mime=("application/x-compressed-iso",),
    magic=((0, b"CISO"), (0, b"ZISO")),
    probe=probe,
    open=open_cso,
    reads="CSO versions 0, 1 and 2, ZSO; any block size, index shifts, cut files",
    lacks="GameCube CISO, another format with the same magic",
)
