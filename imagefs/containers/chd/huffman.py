"""The Huffman codes of a CHD: canonical, but counted from the longest code to the shortest.

Bits are taken from the most significant on. Lengths of codes are stored in one of two ways, `run_length_tree` (the map) and
`coded_tree` (the codec `huff`).
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imagefs.errors import DamagedError

_U32 = struct.Struct(">I").unpack_from
_BYTE_BITS, _WINDOW_BITS = 8, 32


class Bits:
    """The bits of `data` from the first on. `where` is its byte offset, for errors."""

    def __init__(self, data: bytes, where: int) -> None:
        self._value, self._left, self._where = int.from_bytes(data, "big"), len(data) * _BYTE_BITS, where
        self.place = 0
        """the next bit"""

    def take(self, count: int) -> int:
        """The next `count` bits as a number. Raises DamagedError at the end."""
        if count > self._left:
            raise DamagedError(self._where, "its Huffman codes end early")
        self._left -= count
        self.place += count
        return self._value >> self._left & ((1 << count) - 1)


class Codes(NamedTuple):
    """A table for all `bits` bits that may come: symbol << 8 | length of its code, 0 where no code begins so."""

    table: Sequence[int]
    bits: int
    lengths: Sequence[int]

    def next(self, bits: Bits) -> int:
        """One symbol, bit by bit: for short trees."""
        code = 0
        for length in range(1, self.bits + 1):
            code = code << 1 | bits.take(1)
            entry = self.table[code << self.bits - length]
            if entry & 0xFF == length:
                return entry >> 8
        raise DamagedError(None, "a Huffman code that stands for nothing")


def codes_of(lengths: Sequence[int], where: int) -> Codes:
    """The codes of symbols 0, 1, ... by their lengths in bits, 0 for a symbol that is not used. Raises DamagedError."""
    longest = max(lengths)
    start, starts = 0, {}
    for length in range(longest, 0, -1):
        end = start + lengths.count(length)
        starts[length] = start
        if end > 1 << length or (end & 1 and length > 1):
            raise DamagedError(where, "Huffman codes whose lengths do not fit")
        start = end >> 1
    if not longest:
        raise DamagedError(where, "Huffman codes for no symbol")
    table = [0] * (1 << longest)
    for symbol, length in enumerate(lengths):
        if length:
            span = 1 << longest - length
            first = starts[length] * span
            table[first : first + span] = [symbol << 8 | length] * span
            starts[length] += 1
    return Codes(table, longest, lengths)


def run_length_tree(bits: Bits, symbols: int, longest: int, where: int) -> Codes:
    """Lengths one by one; 1 announces a run: another 1 is a single 1, any other length comes 3 times or more."""
    width = 5 if longest >= 16 else 4 if longest >= 8 else 3
    lengths: list[int] = []
    while len(lengths) < symbols:
        length, times = bits.take(width), 1
        if length == 1:
            length = bits.take(width)
            times = 1 if length == 1 else bits.take(width) + 3
        lengths += [length] * times
    if len(lengths) > symbols or max(lengths) > longest:
        raise DamagedError(where, "Huffman codes whose lengths do not fit")
    return codes_of(lengths, where)


_SMALL_SYMBOLS, _SMALL_STOP = 24, 7


def coded_tree(bits: Bits, symbols: int, longest: int, where: int) -> Codes:
    """Lengths that are Huffman-coded themselves, by a small tree before them; symbol 0 repeats the last length."""
    small = codes_of(_small_lengths(bits), where)
    lengths: list[int] = []
    last, run_bits = 0, (symbols - 9).bit_length()
    while len(lengths) < symbols:
        value = small.next(bits)
        if value:
            last = value - 1
            lengths.append(last)
            continue
        times = bits.take(3) + 2
        times += bits.take(run_bits) if times == 9 else 0
        lengths += [last] * min(times, symbols - len(lengths))
    if max(lengths) > longest:
        raise DamagedError(where, "Huffman codes whose lengths do not fit")
    return codes_of(lengths, where)


def _small_lengths(bits: Bits) -> list[int]:
    lengths = [0] * _SMALL_SYMBOLS
    lengths[0] = bits.take(3)
    for symbol in range(bits.take(3) + 1, _SMALL_SYMBOLS):
        length = bits.take(3)
        if length == _SMALL_STOP:
            break
        lengths[symbol] = length
    return lengths


def decode(codes: Codes, data: bytes, place: int, count: int, where: int) -> bytes:
    """`count` symbols of codes up to 16 bits from bit `place` on. Raises DamagedError."""
    table, mask = codes.table, (1 << codes.bits) - 1
    drop = _WINDOW_BITS - codes.bits
    padded, end = data + bytes(4), len(data) * _BYTE_BITS
    found = bytearray(count)
    for number in range(count):
        if place > end:
            break
        entry = table[_U32(padded, place >> 3)[0] >> drop - (place & 7) & mask]
        if not entry:
            raise DamagedError(where, "a Huffman code that stands for nothing")
        found[number] = entry >> 8
        place += entry & 0xFF
    if place > end:
        raise DamagedError(where, "its Huffman codes end early")
    return bytes(found)


_PIECE_BYTES = 16 << 10


def symbols(codes: Codes, data: bytes, place: int) -> Iterator[bytes]:
    """Symbols of codes up to 8 bits from bit `place` on, in pieces, when nobody knows yet how many they are.

    What a byte gives after the bits before it that make no code yet is worked out once, so a byte costs one look-up. Behind
    the last code other bits may follow; what they seem to say comes as well, up to bits that no code begins with.
    """
    steps: dict[tuple[str, int], tuple[bytes, str | None]] = {}
    first, skip = divmod(place, _BYTE_BITS)
    found, state = _walk(codes, "".join(f"{byte:08b}" for byte in data[first : first + 1])[skip:])
    yield found
    for at in range(first + 1, len(data), _PIECE_BYTES):
        piece = []
        for byte in data[at : at + _PIECE_BYTES]:
            if state is None:
                break
            step = steps.get((state, byte))
            if step is None:
                step = steps[state, byte] = _walk(codes, f"{state}{byte:08b}")
            found, state = step
            piece.append(found)
        yield b"".join(piece)


def _walk(codes: Codes, bits: str) -> tuple[bytes, str | None]:
    """(symbols, the bits that are left) of bits written as text; None when no code begins with what is left."""
    found, begin, most = bytearray(), 0, codes.bits
    while begin < len(bits):
        entry = codes.table[int(bits[begin : begin + most].ljust(most, "0"), 2)]
        if not entry or begin + (entry & 0xFF) > len(bits):
            return bytes(found), bits[begin:] if len(bits) - begin < most else None
        found.append(entry >> 8)
        begin += entry & 0xFF
    return bytes(found), ""
