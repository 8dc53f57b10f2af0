"""LZMA as disc images have it: a bare stream, its properties apart from it, x86 code perhaps changed before (BCJ).

The five bytes of properties: lc + 9 * (lp + 5 * pb), u32 bytes of the dictionary, which need not be larger than the
content. The stream may end without a mark, since the size of its content is known.
"""

import lzma
import struct
from typing import NamedTuple

from imagefs.errors import DamagedError

PROPERTIES_BYTES = 5
_LEAST_DICTIONARY = 4096
"""of any decoder"""

_LZMA2_BYTES = 1 << 16
_FIRST_PLAIN, _NEXT_PLAIN, _LZMA2_END = b"\1", b"\2", b"\0"
_PLAIN_HEAD = struct.Struct(">cH")


class Packing(NamedTuple):
    """What the properties say."""

    lc: int
    lp: int
    pb: int


def packing_of(properties: bytes, where: int) -> Packing:
    """The properties, taken apart. Raises DamagedError for byte `where`."""
    rest, lc = divmod(properties[0], 9)
    pb, lp = divmod(rest, 5)
    if pb > 4 or lc + lp > 4:
        raise DamagedError(where, f"properties of LZMA that cannot be: {properties.hex()}")
    return Packing(lc, lp, pb)


def unlzma(
    stored: bytes, packing: Packing, size: int, *, has_filter: bool = False, least: int | None = None, where: int
) -> bytes:
    """`size` bytes, or from `least` on; of a longer content the front.

    `where` is the byte offset of `stored`. Raises DamagedError.
    """
    dictionary = max(size, _LEAST_DICTIONARY)
    filters = [{"id": lzma.FILTER_LZMA1, **packing._asdict(), "dict_size": dictionary}]
    try:
        content = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters).decompress(stored, size)
    except (lzma.LZMAError, EOFError) as error:
        raise DamagedError(where, f"the LZMA data is broken ({error})") from error
    if len(content) < (size if least is None else least):
        raise DamagedError(where, f"the LZMA data ends after {len(content)} of {size} bytes")
    return _unfiltered(content) if has_filter else content


def _unfiltered(content: bytes) -> bytes:
    """x86 code as it was before the filter.

    Behind LZMA without a mark at its end liblzma's filter would keep the last bytes back. So they are given to it in
    LZMA2, which can hold bytes as they are and has such a mark.
    """
    parts: list[bytes] = []
    for at in range(0, len(content), _LZMA2_BYTES):
        piece = content[at : at + _LZMA2_BYTES]
        parts += (_PLAIN_HEAD.pack(_NEXT_PLAIN if at else _FIRST_PLAIN, len(piece) - 1), piece)
    filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "dict_size": _LZMA2_BYTES}]
    return lzma.decompress(b"".join((*parts, _LZMA2_END)), lzma.FORMAT_RAW, filters=filters)
