"""DAA and GBI images, written by their description with Python's own zlib and lzma."""

import lzma
import struct
import zlib
from collections.abc import Sequence

LZMA, DEFLATE = 0, 1
SCRAMBLED_FIELDS, SCRAMBLED_BYTES = 0x20000, 0x8000000
KEY = bytes.fromhex("0a352d3f08330915")
PROPERTIES = b"\x5d\0\0\x10\0"
"""lc 3, lp 0, pb 2, a dictionary of 1 MiB."""
RANGE_BYTES = 5
"""What a decoder may read ahead."""
LZMA_FILTER = {"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 20}


def _deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


def _lzma(data: bytes, has_filter: bool) -> bytes:
    """As PowerISO has it: no mark at the end."""
    if has_filter:
        data = _x86(data)
    stream = lzma.compress(data, lzma.FORMAT_ALONE, filters=[LZMA_FILTER])[13:]
    return _without_mark(stream, len(data))


def _x86(data: bytes) -> bytes:
    """Filtered: LZMA2 has a mark at its end, so nothing stays in the filter."""
    chain = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2}]
    return lzma.decompress(lzma.compress(data, lzma.FORMAT_RAW, filters=chain), lzma.FORMAT_RAW, filters=chain[1:])


def _without_mark(stream: bytes, size: int) -> bytes:
    """The stream up to where all of the content can be decoded."""
    shortest = len(stream)
    while lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[LZMA_FILTER]).decompress(stream[: shortest - 1], size)[
        size - 1 :
    ]:
        shortest -= 1
    return stream[: shortest + RANGE_BYTES]


def daa(
    image: bytes,
    version: int = 0x100,
    *,
    chunk_bytes: int = 1 << 16,
    types: Sequence[int] = (DEFLATE,),
    signature: bytes = b"DAA",
    flags: int = 0,
    length_bits: int = 0,
    has_filter: bool = False,
    descriptors: Sequence[tuple[int, bytes]] = (),
) -> bytes:
    """`types` are those of the chunks in turn. A chunk that does not shrink is plain; `length_bits` 0: as the size needs."""
    chunks = [image[at : at + chunk_bytes] for at in range(0, len(image), chunk_bytes)]
    stored, kinds = [], []
    for number, chunk in enumerate(chunks):
        kind = types[number % len(types)]
        packed = _deflate(chunk) if kind == DEFLATE else _lzma(chunk, has_filter)
        stored.append(packed if len(packed) < chunk_bytes or version == 0x100 else chunk.ljust(chunk_bytes, b"\0"))
        kinds.append(kind)
    extra = b"".join(struct.pack("<II", kind, 8 + len(content)) + content for kind, content in descriptors)
    table_at = 76 + len(extra)
    table = _table1(stored) if version == 0x100 else _table2(stored, kinds, chunk_bytes, length_bits, flags)
    data_at = table_at + len(table)
    flags |= (LZMA in types) << 20 | (signature == b"GBI") << 23
    field = chunk_bytes if version == 0x100 else chunk_bytes >> 14 | flags
    total = data_at + sum(map(len, stored))
    second = struct.pack("<BIBB5s4x", 0, 0, 1 | max(0, length_bits - 10) << 3, has_filter, PROPERTIES)
    head = struct.pack("<16sIIIIIIQQ", signature, table_at, version, data_at, 1, 0, field, len(image), total)
    head += second if version != 0x100 else bytes(16)
    crc = zlib.crc32(head)
    if flags & SCRAMBLED_BYTES:
        sectors = len(image) // 2048
        table = bytes(byte + sectors + number * (sectors >> 8) & 0xFF for number, byte in enumerate(table))
    if signature == b"GBI":
        table = bytes((byte ^ len(table) >> 2 & 0xFF) + crc & 0xFF for byte in table)
    return head + struct.pack("<I", crc) + extra + table + b"".join(stored)


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
