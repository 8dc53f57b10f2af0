"""JSO: an ISO image in small blocks, as jiso.exe for the PSP packs it.

offset  size  field          meaning (all little-endian)
0       4     magic          "JISO"
4       2     (unknown)      3, 1 in known files
6       2     block_bytes    2048 usually; a power of two
8       1     block_headers  1: each block begins with 4 bytes of unknown use
9       1     (unknown)
10      1     method         0 LZO, 1 raw deflate
11      1     (unknown)
12      4     size           bytes of the image
16      16    md5            of the image
32      4     header_size    48
36      12    (unknown)
48      4*n   index          the byte position of each block, and the end of the last

A block is plain when it is stored in exactly `block_bytes` bytes (its header not counted).

There is no specification; this is what rom-properties (from samples) and the drivers of the PSP firmwares ARK-4 and
Adrenaline agree on. The drivers ignore bit 31 of a position, which no file of these sizes needs.
"""

import struct
from array import array

from imagefs import codecs
from imagefs.codecs import Content
from imagefs.containers.cso import check_block_bytes, longest_block, read_index
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.packed import IndexedReader
from imagefs.readers import Reader

HEADER = struct.Struct("<4s2xHBxBxI16sI12x")
LZO, DEFLATE = 0, 1
BLOCK_HEADER_BYTES = 4


class JsoReader(IndexedReader):
    """The image in a JSO file; `skip` bytes at the beginning of each block are not data."""

    def __init__(self, base: Reader, size: int, block_bytes: int, index: "array[int]", skip: int) -> None:
        super().__init__(base, size, block_bytes, longest_block(block_bytes) + skip)
        self._index, self._skip = index, skip

    def positions(self, first: int, count: int) -> list[int]:
        return self._index[first : first + count + 1].tolist()

    def unpack_one(self, block: int, stored: bytes, where: int) -> Content:
        size, most = self.block_size(block), self.block_bytes
        start, end = self.positions(block, 1)
        data = stored[self._skip :]
        if end - start - self._skip != most:
            content = codecs.inflate(data, most, least=size, where=where)
        elif len(data) >= size:
            content = data
        else:
            raise DamagedError(where, f"a plain block of {size} bytes lies there, of which {len(data)} are left")
        return content if len(content) == size else content[:size]


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(HEADER.size)
    if len(head) < HEADER.size or not head.startswith(b"JISO"):
        return None
    _, block_bytes, headers, method, size, _, header_size = HEADER.unpack(head)
    sensible = (
        header_size == HEADER.size and block_bytes.bit_count() == 1 and headers <= 1 and method <= DEFLATE and size
    )
    return Match(95 if sensible else 60, f"JISO magic, method {method}, blocks of {block_bytes} bytes")


def open_jso(candidate: Candidate, options: Options) -> Reader:
    header = HEADER.unpack(candidate.exactly(0, HEADER.size))
    _, block_bytes, headers, method, size, _, header_size = header
    if method == LZO:
        raise UnsupportedError("JSO packed with LZO (method 0) is not read; method 1, deflate, is")
    if method != DEFLATE:
        raise UnsupportedError(f"JSO packed with method {method} is not read")
    if header_size != HEADER.size or headers > 1:
        raise DamagedError(8, f"a header of {header_size} bytes, block headers {headers}")
    check_block_bytes(6, block_bytes)
    if not size:
        raise DamagedError(12, "an image of 0 bytes")
    index = read_index(candidate, HEADER.size, size, block_bytes)
    return JsoReader(candidate.reader, size, block_bytes, index, headers * BLOCK_HEADER_BYTES)


FORMAT = Format(
    name="jso",
    title="JSO compressed ISO",
    layer=Layer.CONTAINER,
    extensions=("jso", "jiso"),
    mime=("application/x-jso",),
    magic=((0, b"JISO"),),
    probe=probe,
    open=open_jso,
    reads="deflate (method 1), with and without block headers",
    lacks="LZO (method 0)",
)
