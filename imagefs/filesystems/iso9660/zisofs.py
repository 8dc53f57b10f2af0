"""zisofs: a file that is packed in blocks, which a ZF (or Z2) entry of its directory record tells.

Version 1                                          Version 2
offset  size  field         (little-endian)        offset  size  field         (little-endian)
0       8     magic         37 E4 53 96            0       8     magic         EF 22 55 A1
                            C9 DB D6 07                                        BC 1B 95 A0
8       4     size          bytes unpacked         8       1     version       0
12      1     header_words  4: 16 bytes            9       1     header_words  6: 24 bytes
13      1     block_log2    15, 16 or 17           10      1     algorithm     see ALGORITHMS
14      2     (zero)                               11      1     block_log2    15 to 20
16      4*n   pointers                             12      8     size          bytes unpacked
                                                   20      4     (zero)
                                                   24      8*n   pointers

There are ceil(size / block) + 1 pointers, byte offsets in the stored file: block k lies between pointers k and k + 1. Equal
pointers mean a block of zeros. No block is stored plain, however long it is. Version 1 knows zlib alone.

The header must say what the ZF entry says; the entry is what mkisofs and libisofs wrote after looking at the header.

Damage stays local: a pointer that goes back or leads out of the file spoils its blocks alone.

Sources: zisofs_format.txt and zisofs2_format.txt of libisofs and zisofs2-tools; isofs of Linux (version 1 only).
zisofs2-tools, the one writer of LZ4, writes LZ4 frames; a block that does not begin like one is taken as a bare LZ4 block.
"""

import struct
from array import array
from typing import NamedTuple

from imagefs import codecs
from imagefs.codecs import Codec, Content
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.packed import IndexedReader, read_table
from imagefs.readers import Reader, ZeroReader

HEADER1 = struct.Struct("<8sIBB2x")
HEADER2 = struct.Struct("<8sBBBBQ4x")
MAGIC1 = bytes.fromhex("37E45396C9DBD607")
MAGIC2 = bytes.fromhex("EF2255A1BC1B95A0")
BLOCK_LOG2 = range(15, 21)
LZ4_FRAME_MAGIC = b"\x04\x22\x4d\x18"

ALGORITHMS: dict[bytes, tuple[int, Codec]] = {
    # in ZF, upper case: (in the header of version 2, codec)
    b"PZ": (1, codecs.unzlib_whole),
    b"XZ": (2, codecs.unxz),
    b"L4": (3, codecs.unlz4),
    b"ZD": (4, codecs.unzstd),
    b"B2": (5, codecs.unbz2),
}


class ZF(NamedTuple):
    """What a ZF or Z2 entry says. The algorithm is two letters, small ones in version 1."""

    algorithm: bytes
    header_bytes: int
    block_log2: int
    size: int
    version: int


class ZisofsReader(IndexedReader):
    """The content of a zisofs file whose data begin at byte `first` of what is stored."""

    may_be_empty = True

    def __init__(
        self, stored: Reader, size: int, block_bytes: int, pointers: "array[int]", codec: Codec, first: int
    ) -> None:
        # zlib adds 5 bytes to each 16 KiB that do not shrink, the others less; xz has headers of some 100 bytes.
        super().__init__(stored, size, block_bytes, block_bytes + block_bytes // 64 + 1024)
        self._pointers, self._codec, self._first = pointers, codec, first

    def is_zero(self, block: int) -> bool:
        """Equal pointers make a block of zeros only where data can be: a table that was wiped does not."""
        start = self._pointers[block]
        return start == self._pointers[block + 1] and self._first <= start <= self.base.size

    def positions(self, first: int, count: int) -> list[int]:
        return self._pointers[first : first + count + 1].tolist()

    def unpack_one(self, block: int, stored: bytes, where: int) -> Content:
        size = self.block_size(block)
        if self.is_zero(block):
            return bytes(size)
        codec = self._codec
        if codec is codecs.unlz4 and stored.startswith(LZ4_FRAME_MAGIC):
            codec = codecs.unlz4_frame
        return codec(stored, size, where=where)


def open_zisofs(stored: Reader, entry: ZF) -> Reader:
    """The unpacked content of the stored file.

    Raises DamagedError when its header is not what the entry says or its pointers cannot all be there, UnsupportedError for
    an unknown version or algorithm and for a codec that is not installed.
    """
    entry = entry._replace(algorithm=entry.algorithm.upper())
    if entry.version not in (1, 2):
        raise UnsupportedError(f"zisofs version {entry.version} is not read")
    if entry.algorithm not in ALGORITHMS or (entry.version == 1 and entry.algorithm != b"PZ"):
        raise UnsupportedError(f"zisofs version {entry.version} with the algorithm {entry.algorithm!r} is not read")
    if not entry.size:
        return ZeroReader(0)
    found = (_header1 if entry.version == 1 else _header2)(stored)
    if found != entry:
        raise DamagedError(0, f"a zisofs header that is not what the ZF entry says: {found}, {entry}")
    if entry.block_log2 not in BLOCK_LOG2:
        raise DamagedError(0, f"zisofs blocks of 1 << {entry.block_log2} bytes; there are 1 << 15 to 1 << 20")
    _, codec = ALGORITHMS[entry.algorithm]
    codec.require()
    count = -(-entry.size >> entry.block_log2) + 1
    pointers = read_table(stored, entry.header_bytes, "I" if entry.version == 1 else "Q", count)
    first = entry.header_bytes + count * pointers.itemsize
    return ZisofsReader(stored, entry.size, 1 << entry.block_log2, pointers, codec, first)


def _header1(stored: Reader) -> ZF:
    magic, size, words, log2 = HEADER1.unpack(stored.exactly(0, HEADER1.size))
    if magic != MAGIC1 or words * 4 < HEADER1.size:
        raise DamagedError(0, "no zisofs header, though the ZF entry says version 1")
    return ZF(b"PZ", words * 4, log2, size, 1)


def _header2(stored: Reader) -> ZF:
    magic, version, words, number, log2, size = HEADER2.unpack(stored.exactly(0, HEADER2.size))
    if magic != MAGIC2 or version != 0 or words * 4 < HEADER2.size:
        raise DamagedError(0, "no zisofs header, though the ZF entry says version 2")
    names = [name for name, (known, _) in ALGORITHMS.items() if known == number]
    return ZF(names[0] if names else b"", words * 4, log2, size, 2)
