"""The map of a CHD: what each hunk is and where it lies. All integers are big-endian.

Version 5, not packed: for each hunk a u32, its offset in the file in hunks; 0 is the parent's hunk, or zeros.

Version 5, packed: a header, then bits from the most significant on. A Huffman tree of 16 symbols; for each hunk its type, as
symbols with runs (7: this hunk and 2 + n more are like the last, n being the next symbol; 8: the same with 18 + the next two
symbols); then for each hunk in order what its type needs.

offset  size  field               type   meaning                                 bits that follow
0       4     bytes of the bits   0-3    packed with codec 0 to 3                length, crc (16)
4       6     first hunk's place  4      plain                                   crc (16)
10      2     crc of all entries  5      as hunk n                               n
12      1     bits of a length    6      as the parent from unit u on            u
13      1     bits of a hunk n    9, 10  as hunk n, that of the last 5; n + 1
14      1     bits of a unit u    11     as the parent's hunk of this number
15      1     0                   12,13  as the parent, u of the last 6 or 11; that and one hunk more

Packed and plain hunks lie one after the other. An entry of the whole map is 12 bytes: u8 type (0 to 6), u24 length, u48
place (or n, or u), u16 crc. Both kinds of crc are CRC-16 (polynomial 0x1021, initial 0xFFFF); a hunk's is over its content.

Versions 3 and 4: 16 bytes a hunk. u64 place, u32 CRC-32 of the content, u16 length, u8 its high bits, u8 flags: 0x10 no crc;
low half: 1 deflate, 2 plain, 3 eight bytes that are repeated (the place itself), 4 as hunk n, 5 as the parent's hunk n,
6 FLAC of a CD (short-lived; read as `cdfl`, the checksum tells whether that is right).
Versions 1 and 2: 8 bytes a hunk. 20 bits length, 44 bits place; a hunk of full length is plain.
Both end with an entry that holds the beginning of "EndOfListCookie".
"""

import enum
import itertools
import re
import struct
from abc import ABC, abstractmethod
from array import array
from binascii import crc_hqx
from collections.abc import Sequence
from operator import add
from typing import NamedTuple

from imagefs import limits
from imagefs.containers.chd.header import Header
from imagefs.containers.chd.huffman import Bits, run_length_tree, symbols
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.packed import read_table
from imagefs.readers import Reader


class Kind(enum.IntEnum):
    """What a hunk is; the numbers of version 5 as far as they go."""

    PACKED = 0  # `codec` says how
    PLAIN = 4
    SELF = 5  # `place` is a hunk of this file
    PARENT = 6  # `place` is a byte of the parent's content
    REPEATED = 7  # `place` are eight bytes, as a number
    NONE = 8  # the parent's hunk of the same number, or zeros


class Check(enum.Enum):
    """Which checksum `Hunk.crc` is."""

    NONE = 0
    CRC16 = 2
    CRC32 = 4


class Hunk(NamedTuple):
    """`length` stored bytes from byte `place` of the file, for PACKED and PLAIN."""

    kind: Kind
    length: int = 0
    place: int = 0
    codec: int = 0
    crc: int = 0
    check: Check = Check.NONE


class Row(NamedTuple):
    """Adjacent hunks that are stored one after the other from byte `place` of the file on, each with a CRC-16."""

    place: int
    kinds: list[int]
    """The number of a codec, or `Kind.PLAIN`."""
    lengths: list[int]
    crcs: list[int]


class Map(ABC):
    """All hunks of a file; immutable."""

    @abstractmethod
    def __getitem__(self, number: int) -> Hunk:
        """A hunk by its number, which is below the header's `hunks`. Raises DamagedError for a kind that there is not."""

    def row(self, first: int, count: int) -> Row | None:
        """`count` hunks from `first` on, where they are a row that can be told quickly."""
        return None


def read_map(reader: Reader, header: Header) -> Map:
    """The map that the header describes. Raises DamagedError, UnsupportedError."""
    if header.version == 5:
        return _PackedMap(reader, header) if header.codecs else PlainMap(reader, header)
    return (_Map3 if header.version >= 3 else _Map1)(reader, header)


# --- version 5 ------------------------------------------------------------------------------------------------------------


class PlainMap(Map):
    """Hunks that lie as they are, at multiples of their size."""

    def __init__(self, reader: Reader, header: Header) -> None:
        self._hunk_bytes = header.hunk_bytes
        self._table: array[int] = read_table(reader, header.map_offset, "I", header.hunks)
        self._table.byteswap()  # it is read as little-endian

    def locate(self, number: int) -> int | None:
        """The byte offset of a hunk, None when it is not there."""
        return self._table[number] * self._hunk_bytes or None

    def __getitem__(self, number: int) -> Hunk:
        place = self.locate(number)
        return Hunk(Kind.NONE) if place is None else Hunk(Kind.PLAIN, self._hunk_bytes, place)


_MAP_HEADER = struct.Struct(">I6sHBBBx")
_ENTRY = struct.Struct(">IQ")  # type << 24 | length, place << 16 | crc
_U64 = struct.Struct(">Q")
_TYPES = 16
_TREE_BYTES = 16  # 16 lengths in at most 8 bits each
_LONGEST_CODE = 8
_CRC_BITS, _LENGTH_BITS, _PLACE_BITS = 16, 24, 48
_SMALL_RUN, _LARGE_RUN = 7, 8
_SAME_HUNK, _NEXT_HUNK, _SAME_NUMBER, _SAME_UNIT, _NEXT_UNIT = range(9, 14)
_TOKENS = re.compile(rb"[^\x07\x08]+|\x07.|\x08..", re.DOTALL)
_ALIKE = re.compile(rb"[\0-\3]{1,4096}|(.)\1{0,4095}", re.DOTALL)
"""Neighbours whose numbers are equally long, no more at a time than can be held as Python objects."""


class _PackedMap(Map):
    """The whole map, expanded to 12 bytes a hunk and checked against its checksum."""

    def __init__(self, reader: Reader, header: Header) -> None:
        self._hunk_bytes, self._unit_bytes = header.hunk_bytes, header.unit_bytes
        at, hunks = header.map_offset, header.hunks
        if hunks > max(limits.HUNKS, 8 * reader.size) or hunks * _ENTRY.size > limits.TABLE_BYTES:
            raise DamagedError(32, f"{hunks} hunks in a file of {reader.size} bytes")
        length, first, crc, *widths = _MAP_HEADER.unpack(reader.exactly(at, _MAP_HEADER.size))
        if widths[0] > _LENGTH_BITS or max(widths) > _PLACE_BITS:
            raise DamagedError(at, f"numbers of {max(widths)} bits in the map")
        at += _MAP_HEADER.size
        if at + length > reader.size or length > limits.TABLE_BYTES:
            raise DamagedError(at, f"a map of {length} bytes would begin there, and the file ends at {reader.size}")
        expansion = _Expansion(reader.exactly(at, length), at, header, int.from_bytes(first, "big"), widths)
        self._entries = expansion.entries()
        if crc_hqx(self._entries, 0xFFFF) != crc:
            raise DamagedError(at, "the map does not have its checksum")

    def __getitem__(self, number: int) -> Hunk:
        head, tail = _ENTRY.unpack_from(self._entries, number * _ENTRY.size)
        kind, length, place, crc = head >> 24, head & 0xFF_FFFF, tail >> 16, tail & 0xFFFF
        if kind < Kind.PLAIN:
            return Hunk(Kind.PACKED, length, place, kind, crc, Check.CRC16)
        if kind == Kind.PLAIN:
            return Hunk(Kind.PLAIN, self._hunk_bytes, place, 0, crc, Check.CRC16)
        return Hunk(Kind(kind), 0, place * self._unit_bytes if kind == Kind.PARENT else place)

    def row(self, first: int, count: int) -> Row | None:
        entries = _ENTRY.iter_unpack(self._entries[first * _ENTRY.size : (first + count) * _ENTRY.size])
        heads, tails = zip(*entries, strict=True)
        if max(heads) >> 24 > Kind.PLAIN:
            return None
        lengths, places = [head & 0xFF_FFFF for head in heads], [tail >> 16 for tail in tails]
        if places[1:] != list(map(add, places, lengths))[:-1]:
            return None
        return Row(places[0], [head >> 24 for head in heads], lengths, [tail & 0xFFFF for tail in tails])


class _Expansion:
    """From the bits, which are `data` from byte `where` of the file on, to entries of 12 bytes."""

    def __init__(self, data: bytes, where: int, header: Header, place: int, widths: Sequence[int]) -> None:
        self._data, self._where = data, where
        self._hunks, self._hunk_bytes = header.hunks, header.hunk_bytes
        self._units = header.hunk_bytes // header.unit_bytes  # of a hunk
        self._length_bits, self._hunk_bits, self._unit_bits = widths
        self._place = place  # where the next stored hunk lies
        self._last_hunk = self._last_unit = 0  # that others are the same as
        self._bit = 0

    def entries(self) -> bytes:
        types, self._bit = self._types()
        found = bytearray()
        for match in _ALIKE.finditer(types):
            found += self._row(match[0], match.start())
        return bytes(found)

    # --- types ------------------------------------------------------------------------------------------------------

    def _types(self) -> tuple[bytes, int]:
        """(the type of each hunk, the bit behind them)."""
        bits = Bits(self._data[:_TREE_BYTES], self._where)
        codes = run_length_tree(bits, _TYPES, _LONGEST_CODE, self._where)
        types, used, pending = bytearray(), 0, b""
        for piece in symbols(codes, self._data, bits.place):
            row = pending + piece
            done = self._add(row, types)
            used += sum(row.count(symbol, 0, done) * length for symbol, length in enumerate(codes.lengths))
            if len(types) >= self._hunks:
                return bytes(types), bits.place + used
            pending = row[done:]
        raise DamagedError(self._where, f"the map has the types of {len(types)} hunks of {self._hunks}")

    def _add(self, row: bytes, types: bytearray) -> int:
        """Add the types that symbols mean, up to the last hunk; the number of symbols that were used."""
        done = 0
        for match in _TOKENS.finditer(row):
            room = self._hunks - len(types)
            if match.start() != done or room <= 0:
                break  # the last symbols are a run whose length is not there yet
            token = match[0]
            if token[0] in (_SMALL_RUN, _LARGE_RUN):
                times = 3 + token[1] if token[0] == _SMALL_RUN else 19 + (token[1] << 4) + token[2]
                types += (types[-1:] or b"\0") * min(times, room)
                done += len(token)
            else:
                types += token[:room]
                done += min(len(token), room)
        return done

    # --- what the types need ----------------------------------------------------------------------------------------

    def _row(self, types: bytes, first: int) -> bytes:
        """The entries of adjacent hunks of which hunk `first` is the first."""
        kind, count = types[0], len(types)
        if kind < Kind.PLAIN:
            fields = self._fields(self._length_bits + _CRC_BITS, count)
            return self._stored(types, [field >> _CRC_BITS for field in fields], fields)
        if kind == Kind.PLAIN:
            return self._stored(types, [self._hunk_bytes] * count, self._fields(_CRC_BITS, count))
        if kind in (Kind.SELF, _SAME_HUNK, _NEXT_HUNK):
            return self._pointing(Kind.SELF, self._hunks_meant(kind, count))
        return self._pointing(Kind.PARENT, self._units_meant(kind, count, first))

    def _stored(self, types: bytes, lengths: list[int], crcs: list[int]) -> bytes:
        places = list(itertools.accumulate(lengths, initial=self._place))
        self._place = places.pop()
        if self._place >> _PLACE_BITS:
            raise DamagedError(self._where, "the map puts hunks beyond any file")
        pack = _ENTRY.pack
        return b"".join(
            [
                pack(kind << 24 | length & 0xFF_FFFF, place << 16 | crc & 0xFFFF)
                for kind, length, place, crc in zip(types, lengths, places, crcs, strict=True)
            ]
        )

    def _hunks_meant(self, kind: int, count: int) -> Sequence[int]:
        if kind == Kind.SELF:
            meant: Sequence[int] = self._fields(self._hunk_bits, count)
        elif kind == _SAME_HUNK:
            meant = [self._last_hunk] * count
        else:
            meant = range(self._last_hunk + 1, self._last_hunk + 1 + count)
        self._last_hunk = meant[-1]
        return meant

    def _units_meant(self, kind: int, count: int, first: int) -> Sequence[int]:
        units = self._units
        if kind == Kind.PARENT:
            meant: Sequence[int] = self._fields(self._unit_bits, count)
        elif kind == _SAME_NUMBER:
            meant = range(first * units, (first + count) * units, units)
        elif kind == _SAME_UNIT:
            meant = [self._last_unit] * count
        elif kind == _NEXT_UNIT:
            meant = range(self._last_unit + units, self._last_unit + (count + 1) * units, units)
        else:
            raise DamagedError(self._where, f"hunk {first} is of type {kind}, which there is not")
        self._last_unit = meant[-1]
        return meant

    def _pointing(self, kind: Kind, meant: Sequence[int]) -> bytes:
        if meant[-1] >> _PLACE_BITS:
            raise DamagedError(self._where, "the map puts hunks beyond any file")
        return b"".join([_ENTRY.pack(kind << 24, number << 16) for number in meant])

    def _fields(self, width: int, count: int) -> list[int]:
        """The next `count` numbers of `width` bits, at most 56 of them."""
        first, self._bit = self._bit, self._bit + count * width
        begin, end = first >> 3, -(-self._bit // 8)
        if end > len(self._data):
            raise DamagedError(self._where, "the map ends early")
        if not width:
            return [0] * count
        data = self._data[begin:end] + bytes(_U64.size)
        unpack, drop, mask = _U64.unpack_from, 64 - width, (1 << width) - 1
        start = first & 7
        return [
            unpack(data, bit >> 3)[0] >> drop - (bit & 7) & mask for bit in range(start, start + count * width, width)
        ]


# --- versions 1 to 4 ------------------------------------------------------------------------------------------------------

_COOKIE = b"EndOfListCookie\0"
_ENTRY3 = struct.Struct(">QIHBB")
_ENTRY1 = struct.Struct(">Q")
_NO_CRC = 0x10


class _OldMap(Map):
    """A table behind the header."""

    def __init__(self, reader: Reader, header: Header, entry: struct.Struct) -> None:
        self._at, self._hunk_bytes = header.map_offset, header.hunk_bytes
        length = (header.hunks + 1) * entry.size
        if self._at + length > reader.size or length > limits.TABLE_BYTES:
            raise DamagedError(self._at, f"a map of {header.hunks} hunks in a file of {reader.size} bytes")
        self._entries = reader.exactly(self._at, length)
        if not _COOKIE.startswith(self._entries[-entry.size :]):
            raise DamagedError(self._at + length - entry.size, "the map does not end there, where it has to")


class _Map3(_OldMap):
    def __init__(self, reader: Reader, header: Header) -> None:
        super().__init__(reader, header, _ENTRY3)

    def __getitem__(self, number: int) -> Hunk:
        place, crc, low, high, flags = _ENTRY3.unpack_from(self._entries, number * _ENTRY3.size)
        check = Check.NONE if flags & _NO_CRC else Check.CRC32
        match flags & 0x0F:
            case 1:
                return Hunk(Kind.PACKED, low | high << 16, place, 0, crc, check)
            case 2:
                return Hunk(Kind.PLAIN, self._hunk_bytes, place, 0, crc, check)
            case 3:
                return Hunk(Kind.REPEATED, 0, place, 0, crc, check)
            case 4:
                return Hunk(Kind.SELF, 0, place)
            case 5:
                return Hunk(Kind.PARENT, 0, place * self._hunk_bytes)
            case 6:
                return Hunk(Kind.PACKED, low | high << 16, place, 1, crc, check)
        raise DamagedError(self._at + number * _ENTRY3.size, f"hunk {number} has the flags {flags:#x}")


class _Map1(_OldMap):
    def __init__(self, reader: Reader, header: Header) -> None:
        if header.parent:
            raise UnsupportedError(f"a CHD of version {header.version} with a parent is not read")
        super().__init__(reader, header, _ENTRY1)

    def __getitem__(self, number: int) -> Hunk:
        (entry,) = _ENTRY1.unpack_from(self._entries, number * _ENTRY1.size)
        length, place = entry >> 44, entry & (1 << 44) - 1
        return Hunk(Kind.PLAIN if length == self._hunk_bytes else Kind.PACKED, length, place)
