"""LZMA as disc images have it, made by Python's own: a stream without a head, and as a rule without a mark at its end."""

import lzma

PROPERTIES = b"\x5d\0\0\x10\0"
"""lc 3, lp 0, pb 2, a dictionary of 1 MiB."""
_RANGE_BYTES = 5
"""What a decoder may read ahead."""
_FILTER = {"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 20}
_ALONE_HEAD_BYTES = 13


def bare_lzma(data: bytes, *, has_filter: bool = False, has_mark: bool = False) -> bytes:
    """`has_filter`: x86 code is changed before (BCJ)."""
    if has_filter:
        data = _x86(data)
    stream = lzma.compress(data, lzma.FORMAT_ALONE, filters=[_FILTER])[_ALONE_HEAD_BYTES:]
    return stream if has_mark else _without_mark(stream, len(data))


def _x86(data: bytes) -> bytes:
    """Filtered: LZMA2 has a mark at its end, so nothing stays in the filter."""
    chain = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2}]
    return lzma.decompress(lzma.compress(data, lzma.FORMAT_RAW, filters=chain), lzma.FORMAT_RAW, filters=chain[1:])


def _without_mark(stream: bytes, size: int) -> bytes:
    """The stream up to where all of the content can be decoded."""
    shortest = len(stream)
    while lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_FILTER]).decompress(stream[: shortest - 1], size)[
        size - 1 :
    ]:
        shortest -= 1
    return stream[: shortest + _RANGE_BYTES]
