"""Deflate whose blocks have other numbers.

A block begins with three bits: whether it is the last one, and its type. PowerISO and gBurner know four ways to number them:

numbering  plain  fixed codes  codes of its own
0          0      1            2                 as RFC 1951 has it
1          1      2            0
2          0      2            1
3          1      0            2

No library decodes that. But zlib decodes a block whose number was put right and which was made the last: it then tells at
which byte the block ends, and at which bit shows by trying (`_used_bits`). So each block is decoded as a stream of its own
that knows what the ones before it gave.
Source: RFC 1951; daa2iso of Luigi Auriemma has the numbers.
"""

import zlib
from typing import Any

from imagefs import codecs
from imagefs.codecs import Content
from imagefs.errors import DamagedError

_STANDARD = (
    # by numbering: what a number is in RFC 1951, None: nothing
    (0, 1, 2, None),
    (2, 0, 1, None),
    (0, 2, 1, None),
    (1, 0, 2, None),
)
_PLAIN = 0
_HEAD_BITS = 3
_WINDOW_BYTES = 1 << 15
_MOST_BLOCKS = 1 << 12
"""Blocks of one stream: an encoder ends one after some thousand codes, and a stream unpacks to a few MiB."""
_FIRST_PIECE, _LARGEST_PIECE = 1 << 10, 1 << 16
"""Bytes that are given to the decoder at once. A block may be short, so the first are few."""


def inflate(data: bytes, size: int, numbering: int, *, least: int | None = None, where: int) -> Content:
    """At most `size` bytes, and from `least` on. `where` is the byte offset of `data`. Raises DamagedError."""
    if not numbering:
        return codecs.inflate(data, size, least=least, where=where)
    bits, content = _Bits(data, where), bytearray()
    for _ in range(_MOST_BLOCKS):
        head = bits.take(_HEAD_BITS)
        kind, is_last = _STANDARD[numbering][head >> 1], head & 1
        if kind is None:
            raise DamagedError(where, "the deflate data has a block of no known type")
        content += _plain(bits) if kind == _PLAIN else _coded(bits, kind, bytes(content[-_WINDOW_BYTES:]), size)
        if len(content) > size:
            raise DamagedError(where, f"the deflate data gives more than {size} bytes")
        if is_last:
            break
    else:
        raise DamagedError(where, f"the deflate data has more than {_MOST_BLOCKS} blocks")
    if len(content) < (size if least is None else least):
        raise DamagedError(where, f"the deflate data ends after {len(content)} of {size} bytes")
    return content


class _Bits:
    """Walks over `data`, in which a byte's lowest bit comes first. `at` counts bits."""

    def __init__(self, data: bytes, where: int) -> None:
        self.data, self.where, self.at = data, where, 0

    def take(self, count: int) -> int:
        """The next bits as a number. Raises DamagedError when there are fewer."""
        if self.at + count > 8 * len(self.data):
            raise DamagedError(self.where, "the deflate data ends inside a block")
        byte, shift = divmod(self.at, 8)
        self.at += count
        return int.from_bytes(self.data[byte : byte + 4], "little") >> shift & (1 << count) - 1

    def take_bytes(self, count: int) -> bytes:
        """The next bytes, from the beginning of the next one on."""
        begin = -(-self.at // 8)
        if begin + count > len(self.data):
            raise DamagedError(self.where, "the deflate data ends inside a block")
        self.at = 8 * (begin + count)
        return self.data[begin : begin + count]

    def end_at(self, at: int) -> None:
        """A block ends before bit `at`. Raises DamagedError when that lies behind all data."""
        if at > 8 * len(self.data):
            raise DamagedError(self.where, "the deflate data ends inside a block")
        self.at = at

    def peek(self, at: int, count: int) -> bytes:
        """`count` bytes from bit `at` on, fewer at the end; the last may have bits that are not there, as zeros."""
        byte, shift = divmod(at, 8)
        piece = self.data[byte : byte + count + 1]
        wanted = min(count, len(piece))
        return (int.from_bytes(piece, "little") >> shift).to_bytes(len(piece), "little")[:wanted]


def _plain(bits: _Bits) -> bytes:
    length, inverse = (int.from_bytes(bits.take_bytes(2), "little") for _ in range(2))
    if length != inverse ^ 0xFFFF:
        raise DamagedError(bits.where, "a plain block of the deflate data contradicts itself in its length")
    return bits.take_bytes(length)


def _coded(bits: _Bits, kind: int, window: bytes, size: int) -> bytes:
    """What a block with codes gives behind `window`. It is cut when that is more than `size` bytes."""
    begin = at = bits.at - _HEAD_BITS
    decoder, given, piece_bytes = zlib.decompressobj(-15, zdict=window), bytearray(), _FIRST_PIECE
    while True:
        piece = bits.peek(at, piece_bytes)
        if at == begin and piece:
            piece = bytes((piece[0] & ~7 & 0xFF | kind << 1 | 1,)) + piece[1:]
        before = decoder.copy()
        try:
            given += decoder.decompress(piece, size + 1 - len(given))
        except zlib.error as error:
            raise DamagedError(bits.where, f"the deflate data is broken ({error})") from error
        if decoder.eof:
            used = piece[: len(piece) - len(decoder.unused_data)]
            bits.end_at(at + 8 * (len(used) - 1) + _used_bits(before, used))
            return bytes(given)
        if len(given) > size:
            return bytes(given)
        if len(piece) < piece_bytes:
            raise DamagedError(bits.where, "the deflate data ends inside a block")
        at += 8 * len(piece)
        piece_bytes = min(2 * piece_bytes, _LARGEST_PIECE)


def _used_bits(decoder: Any, used: bytes) -> int:
    """How many bits of its last byte a stream has used, whose last bytes are `used`, of a decoder that lacks just these.

    Whatever stands in the bits behind the end, the stream ends the same. Another value of its very last bit is another
    code, so that something else is given or the stream goes on.
    """
    decoder.decompress(used[:-1])
    for bit in reversed(range(8)):
        if not _ends_alike(decoder, used[-1], used[-1] ^ 1 << bit):
            return bit + 1
    return 0


def _ends_alike(decoder: Any, one: int, other: int) -> bool:
    """Whether two last bytes give the same and end the stream."""
    first, second = decoder.copy(), decoder.copy()
    try:
        return bool(first.decompress(bytes((one,))) == second.decompress(bytes((other,))) and second.eof)
    except zlib.error:
        return False
