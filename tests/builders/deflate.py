"""Deflate streams (RFC 1951) of blocks of all three types that begin at any bit, with the types' numbers to be chosen.

Zeros in a row become copies of the byte before them, which may lie in the block before. All else are literals.
"""

import itertools
import re
from typing import NamedTuple


class Numbering(NamedTuple):
    """The number of each type of block."""

    plain: int
    fixed: int
    own: int


NUMBERINGS = (Numbering(0, 1, 2), Numbering(1, 2, 0), Numbering(0, 2, 1), Numbering(1, 0, 2))
"""Those of DAA and GBI images."""
END, COPY_258 = 256, 285
_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
"""In which the lengths of the codes of lengths stand."""
_ROW = re.compile(rb"\0{259,}")
_BLOCK_BYTES = 5000


class _Writer:
    """Bits, the lowest of each byte first."""

    def __init__(self) -> None:
        self._bits: list[str] = []
        self._count = 0

    def code(self, code: str) -> None:
        """A code of Huffman's: its first bit first."""
        self._bits.append(code)
        self._count += len(code)

    def number(self, value: int, bits: int) -> None:
        """From its lowest bit on."""
        self.code(f"{value:0{bits}b}"[::-1])

    def raw(self, data: bytes) -> None:
        """From the next byte on."""
        self.code("0" * (-self._count % 8))
        self.number(int.from_bytes(data, "little"), 8 * len(data))

    def bytes(self) -> bytes:
        return int("".join(self._bits)[::-1], 2).to_bytes(-(-self._count // 8), "little")


def codes_of(lengths: dict[int, int]) -> dict[int, str]:
    """symbol -> code, as §3.2.2 has it."""
    found, code = {}, 0
    for length in range(1, 16):
        code <<= 1
        for symbol in sorted(symbol for symbol, each in lengths.items() if each == length):
            found[symbol] = f"{code:0{length}b}"
            code += 1
    return found


FIXED = codes_of(
    {symbol: 8 if symbol < 144 else 9 if symbol < 256 else 7 if symbol < 280 else 8 for symbol in range(288)}
)
OWN_LENGTHS = dict.fromkeys(range(254), 8) | {254: 10, 255: 10, END: 9, COPY_258: 8}
OWN = codes_of(OWN_LENGTHS)


def symbols(data: bytes, first: bool) -> list[int]:
    """Literals, and copies of 258 zeros behind a zero; the first block of all has nothing before it to copy."""
    found: list[int] = []
    at = 0
    for row in _ROW.finditer(data):
        begin = row.start() + (first and row.start() == 0)
        copies = (row.end() - begin - 1) // 258
        found += [*data[at : begin + 1], *[COPY_258] * copies]
        at = begin + 1 + 258 * copies
    return [*found, *data[at:]]


def deflate(data: bytes, numbering: Numbering = NUMBERINGS[0], block_bytes: int = _BLOCK_BYTES) -> bytes:
    """`data` in blocks of `block_bytes`: the types take turns."""
    writer = _Writer()
    starts = range(0, len(data), block_bytes) or (0,)
    for start, kind in zip(starts, itertools.cycle(("own", "fixed", "plain", "fixed", "own")), strict=False):
        piece = data[start : start + block_bytes]
        writer.number(start + block_bytes >= len(data), 1)
        writer.number(getattr(numbering, kind), 2)
        if kind == "plain":
            writer.raw(len(piece).to_bytes(2, "little") + (len(piece) ^ 0xFFFF).to_bytes(2, "little") + piece)
            continue
        if kind == "own":
            _write_codes(writer)
        codes = OWN if kind == "own" else FIXED
        for symbol in [*symbols(piece, start == 0), END]:
            writer.code(codes[symbol])
            if symbol == COPY_258:
                writer.code("0" if kind == "own" else "00000")  # one byte back
    return writer.bytes()


def _write_codes(writer: _Writer) -> None:
    """The codes of a block that has its own: the lengths one by one, in codes of two bits, then one distance of one bit."""
    lengths = [OWN_LENGTHS.get(symbol, 0) for symbol in range(COPY_258 + 1)] + [1]
    used = codes_of(dict.fromkeys((0, 8, 9, 10, 1), 0) | {0: 2, 8: 2, 9: 2, 10: 3, 1: 3})
    writer.number(COPY_258 + 1 - 257, 5)
    writer.number(0, 5)
    writer.number(len(_ORDER) - 4, 4)
    for length in _ORDER:
        writer.number(len(used[length]) if length in used else 0, 3)
    for length in lengths:
        writer.code(used[length])
