"""DAA and GBI images, written by their description with Python's own zlib and lzma."""

import struct
import zlib
from collections.abc import Sequence

from tests.builders.bare_lzma import PROPERTIES, bare_lzma
from tests.builders.deflate import NUMBERINGS, deflate

LZMA, DEFLATE = 0, 1
PACKED_TABLE, SCRAMBLED_FIELDS, SCRAMBLED_BYTES = 0x4000, 0x20000, 0x8000000
PART, SPLIT, ENCRYPTION, COMMENT = 1, 2, 3, 4
"""Descriptors."""
KEY = bytes.fromhex("0a352d3f08330915")


def with_crc(head: bytes, length: int = 72) -> bytes:
    """The file with the checksum that belongs to its first `length` bytes."""
    return head[:length] + struct.pack("<I", zlib.crc32(head[:length])) + head[length + 4 :]


def _deflate(data: bytes, numbering: int) -> bytes:
    if numbering:
        return deflate(data, NUMBERINGS[numbering])
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


def daa(
    image: bytes,
    version: int = 0x100,
    *,
    chunk_bytes: int = 1 << 16,
    types: Sequence[int] = (DEFLATE,),
    signature: bytes = b"DAA",
    flags: int = 0,
    numbering: int = 0,
    length_bits: int = 0,
    has_filter: bool = False,
    descriptors: Sequence[tuple[int, bytes]] = (),
    padding: int = 0,
) -> bytes:
    """`types` are those of the chunks in turn. A chunk that does not shrink is plain; `length_bits` 0: as the size needs.

    `padding` zeros follow the table.
    """
    chunks = [image[at : at + chunk_bytes] for at in range(0, len(image), chunk_bytes)]
    stored, kinds = [], []
    for number, chunk in enumerate(chunks):
        kind = types[number % len(types)]
        packed = _deflate(chunk, numbering) if kind == DEFLATE else bare_lzma(chunk, has_filter=has_filter)
        stored.append(packed if len(packed) < chunk_bytes or version == 0x100 else chunk.ljust(chunk_bytes, b"\0"))
        kinds.append(kind)
    extra = b"".join(struct.pack("<II", kind, 8 + len(content)) + content for kind, content in descriptors)
    flags |= (LZMA in types) << 20 | (numbering ^ (signature == b"GBI")) << 23
    table = _table1(stored) if version == 0x100 else _table2(stored, kinds, chunk_bytes, length_bits, flags)
    width = 24 if version == 0x100 else 1 + (length_bits or chunk_bytes.bit_length() - 1)

    def head(table_bytes: int) -> bytes:
        data_at = 76 + len(extra) + table_bytes
        field = chunk_bytes if version == 0x100 else chunk_bytes >> 14 | flags
        total = data_at + sum(map(len, stored))
        first = struct.pack(
            "<16sIIIIIIQQ", signature, 76 + len(extra), version, data_at, 1, 0, field, len(image), total
        )
        bits = 1 | max(0, length_bits - 10) << 3
        packed_bytes = table_bytes if flags & PACKED_TABLE else 0
        second = struct.pack("<BIBB5s4x", 0, packed_bytes, bits, has_filter, PROPERTIES)
        return with_crc(first + (second if version != 0x100 else bytes(16)) + bytes(4))

    # The scrambled bytes of a GBI need the header's checksum, and the header the length of what they are packed to.
    length = 0
    while True:
        ready = _scrambled(table + bytes(padding), head(length), width, image, signature, flags)
        ready = _deflate(ready, numbering) if flags & PACKED_TABLE else ready
        if len(ready) == length:
            return head(len(ready)) + extra + ready + b"".join(stored)
        length = len(ready)


def _scrambled(table: bytes, head: bytes, width: int, image: bytes, signature: bytes, flags: int) -> bytes:
    if flags & SCRAMBLED_BYTES:
        sectors = len(image) // 2048
        table = bytes(byte + sectors + number * (sectors >> 8) & 0xFF for number, byte in enumerate(table))
    if signature != b"GBI":
        return table
    size = -(-(8 * len(table) // width) * width // 8)
    return bytes((byte ^ size >> 2 & 0xFF) + head[72] & 0xFF for byte in table)


def split(data: bytes, part_bytes: int, more: bytes = b"") -> list[bytes]:
    """A DAA cut into files of `part_bytes`. Behind the header of each later part stand `more` bytes."""
    rest, signature = data[part_bytes:], data[:3] + b" VOL"
    head = with_crc(struct.pack("<16sI16xI", signature, 40 + len(more), 0), 36) + more
    step = part_bytes - len(head)
    return [data[:part_bytes], *(head + rest[at : at + step] for at in range(0, len(rest), step))]


def _table1(stored: Sequence[bytes]) -> bytes:
    return b"".join(bytes((len(each) >> 16, len(each) & 0xFF, len(each) >> 8 & 0xFF)) for each in stored)


def _table2(stored: Sequence[bytes], kinds: Sequence[int], chunk_bytes: int, length_bits: int, flags: int) -> bytes:
    if not length_bits:
        while chunk_bytes > 1:
            length_bits, chunk_bytes = length_bits + 1, chunk_bytes >> 1
    value = width = 0
    for number, (each, kind) in enumerate(zip(stored, kinds, strict=True)):
        key = ((number ^ KEY[number % 8]) & 0xFF) * 0x01010101 if flags & SCRAMBLED_FIELDS else 0
        length = (len(each) - 5 ^ key) & (1 << length_bits) - 1
        value |= (length | ((kind ^ key) & 1) << length_bits) << width
        width += length_bits + 1
    return value.to_bytes(-(-width // 8), "little")
