"""The table of the chunks of DAA and GBI images: how long each is, and how it is packed."""

import itertools
from array import array
from typing import NamedTuple

from imagefs import limits
from imagefs.containers.daa.deflate import inflate
from imagefs.containers.daa.header import PACKED_TABLE, SCRAMBLED_BYTES, SCRAMBLED_FIELDS, VERSION_1, Header
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate

LZMA, DEFLATE, PLAIN = 0, 1, 255
"""What a chunk is packed with."""
_KEY = b"\x0a\x35\x2d\x3f\x08\x33\x09\x15"
_SECTOR_BYTES = 2048
_LEAST_CODE = 5
"""What is not stored of a length in version 0x110."""
_PADDING_BYTES = 1 << 16
"""What a packed table may have behind its last entry."""


class Table(NamedTuple):
    """The chunks: `starts` has a byte offset more than there are, `types` are theirs."""

    starts: "array[int]"
    types: bytes


class _Width(NamedTuple):
    """Bits of the two fields of a chunk."""

    type: int
    length: int

    @property
    def both(self) -> int:
        return self.type + self.length


def read_table(candidate: Candidate, header: Header) -> Table:
    """The table, unpacked and unscrambled. Raises DamagedError, UnsupportedError."""
    width = _Width(0, 24) if header.version == VERSION_1 else _width(header.bits, header.chunk_bytes)
    needed = -(-header.chunks * width.both // 8)
    raw = _stored(candidate, header, needed)
    if len(raw) < needed:
        raise DamagedError(16, f"a table of {len(raw)} bytes for {header.chunks} chunks of {width.both} bits each")
    if header.is_gbi:
        raw = _unscrambled_gbi(raw, header.crc, width)
    raw = raw[:needed]
    if header.flags & SCRAMBLED_BYTES:
        raw = _unscrambled_daa(raw, header.size // _SECTOR_BYTES)
    lengths, types = _simple(raw) if header.version == VERSION_1 else _bit_packed(raw, header, width)
    return Table(array("Q", itertools.accumulate(lengths, initial=header.data_at)), types)


def _width(bits: int, chunk_bytes: int) -> _Width:
    """Of version 0x110."""
    type_bits, length_bits = bits & 7, bits >> 3
    if length_bits:
        return _Width(type_bits, length_bits + 10)
    while chunk_bytes > type_bits:
        length_bits, chunk_bytes = length_bits + 1, chunk_bytes >> 1
    return _Width(type_bits, length_bits)


def _stored(candidate: Candidate, header: Header, needed: int) -> bytes:
    """The bytes of the table, unpacked where they are packed; more than are `needed` may come."""
    if not header.flags & PACKED_TABLE:
        return candidate.exactly(header.table_at, header.data_at - header.table_at)
    if header.packed_size > min(limits.TABLE_BYTES, candidate.reader.size):
        raise DamagedError(57, f"a packed table of {header.packed_size} bytes")
    packed = candidate.exactly(header.table_at, header.packed_size)
    return bytes(inflate(packed, needed + _PADDING_BYTES, header.numbering, least=needed, where=header.table_at))


def _unscrambled_gbi(table: bytes, crc: int, width: _Width) -> bytes:
    """`table` as it is stored, with what may lie behind the last whole entry: its size counts."""
    size = -(-(8 * len(table) // width.both) * width.both // 8)
    plain_byte = bytes((byte - crc & 0xFF) ^ (size >> 2 & 0xFF) for byte in range(256))
    return table.translate(plain_byte)


def _unscrambled_daa(table: bytes, sectors: int) -> bytes:
    add, step = sectors & 0xFF, sectors >> 8 & 0xFF
    return bytes(byte - add - number * step & 0xFF for number, byte in enumerate(table))


def _simple(table: bytes) -> tuple["array[int]", bytes]:
    """(lengths, types) of version 0x100."""
    rows = zip(*(table[byte::3] for byte in range(3)), strict=True)
    lengths = array("Q", (high << 16 | middle << 8 | low for high, low, middle in rows))
    return lengths, bytes((DEFLATE,)) * len(lengths)


def _bit_packed(table: bytes, header: Header, width: _Width) -> tuple["array[int]", bytes]:
    """(lengths, types) of version 0x110."""
    is_scrambled = bool(header.flags & SCRAMBLED_FIELDS)
    lengths, types = array("Q"), bytearray()
    length_mask, type_mask = (1 << width.length) - 1, (1 << width.type) - 1
    for number in range(header.chunks):
        byte, shift = divmod(number * width.both, 8)
        value = int.from_bytes(table[byte : byte + 8], "little") >> shift
        key = ((number ^ _KEY[number & 7]) & 0xFF) * 0x0101_0101 if is_scrambled else 0
        length = ((value ^ key) & length_mask) + _LEAST_CODE
        kind = (value >> width.length ^ key) & type_mask
        lengths.append(length)
        types.append(PLAIN if length >= header.chunk_bytes else kind)
    if strange := set(types) - {LZMA, DEFLATE, PLAIN}:
        raise UnsupportedError(f"a DAA or GBI image with chunks of type {min(strange)} is not read")
    return lengths, bytes(types)
