"""Error detection and correction codes of CD-ROM sectors: made where an image leaves them out (CHD, ECM).

EDC: a CRC of 32 bits, reflected polynomial 0xD8018001, no initial value, no final xor, stored little-endian. In mode 1 it is
over bytes 0 to 2063 of the sector, in form 1 over 16 to 2071, in form 2 over 16 to 2347.

ECC: P and Q parity, each a Reed-Solomon code over GF(256) with the polynomial 0x11D and two check bytes for each word. Bytes
12 to 2075 of the sector are a matrix of 24 rows of 86 bytes, and a word of P is a column of it. With the 172 bytes of P it
has 26 rows; taken as 43 columns of 16-bit pairs, a word of Q goes down and right by one, and comes in again at the top. In
mode 2 the header (bytes 12 to 15) counts as zeros.

All words of all sectors of a call are computed at once: a column of pairs is one strided slice, a row is one long integer,
to multiply by 2 in GF(256) is one `bytes.translate`. So a sector costs some 30 us instead of a millisecond.
Source: ECMA-130 §14 and annex A.
"""

import functools
from collections.abc import Callable, Iterable

SECTOR_BYTES = 2352
BODY_BYTES = 2064
"""Bytes 12 to 2075 of a sector: what P is over."""
PARITY_BYTES = 276
"""172 bytes of P and 104 of Q, from byte 2076 on."""
PARITY_OFFSET = 2076

_ROW = 86
_P_BYTES = 2 * _ROW
_PAIRS = 43  # in a row
_ROWS = 26  # of the matrix that Q is over
_Q_WORD_BYTES = 2 * _ROWS  # two words of Q begin in each row
_POLYNOMIAL = 0x11D
_DOUBLED = bytes(value << 1 if value < 0x80 else value << 1 ^ _POLYNOMIAL for value in range(256))
_TRIPLED = bytes(value ^ double for value, double in enumerate(_DOUBLED))
_THIRDS = bytes(_TRIPLED.index(value) for value in range(256))
_LAST_ROW = 2 * ((_PAIRS - 1) % _ROWS)
"""The byte of a column at which the first words end, after 43 steps down and right."""


def parity(bodies: bytes) -> bytes:
    """P and Q of any number of sectors, 276 bytes each. `bodies` are their bytes 12 to 2075, one after the other.

    In mode 2 the caller gives zeros instead of the header.
    """
    count = len(bodies) // BODY_BYTES
    p = _p_parity(bodies, count)
    parts = []
    for sector in range(count):
        parts += [bodies[sector * BODY_BYTES : (sector + 1) * BODY_BYTES], p[sector]]
    q = _q_parity(b"".join(parts), count)
    return b"".join([p[sector] + q[sector] for sector in range(count)])


def _p_parity(bodies: bytes, count: int) -> list[bytes]:
    starts = range(0, count * BODY_BYTES, BODY_BYTES)
    rows = (b"".join([bodies[start + at : start + at + _ROW] for start in starts]) for at in range(0, BODY_BYTES, _ROW))
    first, second = _check_bytes(rows, count * _ROW, lambda words: words)
    return [first[at : at + _ROW] + second[at : at + _ROW] for at in range(0, count * _ROW, _ROW)]


def _q_parity(matrices: bytes, count: int) -> list[bytes]:
    pairs = memoryview(matrices).cast("H")
    columns = (pairs[column::_PAIRS].tobytes() for column in range(_PAIRS))
    first, second = _check_bytes(columns, count * _Q_WORD_BYTES, _one_row_down(count))
    parts = []
    for at in range(0, count * _Q_WORD_BYTES, _Q_WORD_BYTES):
        for check in (first[at : at + _Q_WORD_BYTES], second[at : at + _Q_WORD_BYTES]):
            parts.append(check[_LAST_ROW:] + check[:_LAST_ROW])
    return [a + b for a, b in zip(parts[::2], parts[1::2], strict=True)]


def _check_bytes(steps: Iterable[bytes], width: int, move: Callable[[int], int]) -> tuple[bytes, bytes]:
    """The two check bytes of `width` words. Each step has the next byte of each word; `move` takes a word to its place."""
    doubled, total = 0, 0  # sum of the bytes times descending powers of 2, and their plain sum
    for step in steps:
        values = int.from_bytes(step, "little")
        doubled = _times(_DOUBLED, move(doubled) ^ values, width)
        total = move(total) ^ values
    first = _times(_THIRDS, _times(_DOUBLED, doubled, width) ^ total, width)
    return first.to_bytes(width, "little"), (first ^ total).to_bytes(width, "little")


def _times(table: bytes, values: int, width: int) -> int:
    return int.from_bytes(values.to_bytes(width, "little").translate(table), "little")


@functools.lru_cache(maxsize=16)
def _one_row_down(count: int) -> Callable[[int], int]:
    """Moves each pair of `count` columns to the next row, the last to the first."""
    bits = 8 * _Q_WORD_BYTES
    top = sum(0xFFFF << column * bits for column in range(count))
    rest = (1 << count * bits) - 1 ^ top

    def move(words: int) -> int:
        return words << 16 & rest | words >> bits - 16 & top

    return move


# --- EDC ------------------------------------------------------------------------------------------------------------------

_EDC_POLYNOMIAL = 0xD8018001


def edc(data: bytes | bytearray) -> bytes:
    """The 4 bytes of EDC over `data`, as they are stored."""
    return _edc_function()(data).to_bytes(4, "little")


def is_edc_fast() -> bool:
    """Whether it costs next to nothing."""
    return _edc_function() is not _edc_of_python


@functools.cache
def _edc_function() -> Callable[[bytes | bytearray], int]:
    """fastcrc's, which is a thousand times as fast, or our own."""
    try:
        from fastcrc.crc32 import cd_rom_edc
    except ImportError:
        return _edc_of_python
    function: Callable[[bytes | bytearray], int] = cd_rom_edc
    return function


@functools.cache
def _edc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_EDC_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


def _edc_of_python(data: bytes | bytearray) -> int:
    table, code = _edc_table(), 0
    for byte in data:
        code = code >> 8 ^ table[(code ^ byte) & 0xFF]
    return code
