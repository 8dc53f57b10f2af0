"""DAA images of PowerISO and GBI images of gBurner: an ISO image in compressed chunks. All integers are little-endian.

offset  size  field        meaning
0       16    signature    "DAA" or "GBI"; "DAA VOL" and "GBI VOL" in further parts of a split image
16      4     table_at     offset of the table of chunks; between header and table stand descriptors
20      4     version      0x100, 0x110
24      4     data_at      offset of the first chunk; 0x110: the low 24 bits
36      4     chunk_size   bytes; 0x110: the low 12 bits, in 16 KiB, and flags: 0x4000 the table is packed, 0x20000 its
                           fields are scrambled, 0x100000 LZMA is used, 0x8000000 its bytes are scrambled; bits 23 and 24:
                           the types of deflate's blocks have other numbers (0 in DAA and 1 in GBI: they have not)
40      8     size         bytes of the image
48      8     file_size    of all parts
56      1     -            0x110 only
57      4     packed_size  of the table
61      1     bits         low 3: bits of a type; high 5: bits of a length less 10, 0: as many as the chunk size needs
62      1     has_filter   1: x86 code was changed before LZMA (BCJ)
63      5     properties   of LZMA
72      4     CRC-32       of the 72 bytes before

descriptor  u32 type, u32 length with these 8 bytes: 1 part, 2 split, 3 encryption, 4 comment
table       0x100: 3 bytes a chunk, its length: the high byte, the low one, the one between them
            0x110: for each chunk bits, from the lowest on: its length less 5, its type: 0 LZMA, 1 deflate

Chunks follow each other. Those of 0x100 are deflated; of 0x110 one of at least the chunk size is plain. LZMA's have no mark
at their end: the size tells it.

Scrambled: of each byte of a GBI's table the lowest byte of the CRC was added, after an XOR with a quarter of the table's
size. Of a DAA's with 0x8000000 c was added, c beginning with the low byte of the number of sectors and growing by its next
byte. With 0x20000 both fields of chunk n have an XOR with (n ^ key[n mod 8]) in each of their bytes.

Left out: encrypted and split images, packed tables, deflate with other numbers: they are refused by name.
There is no specification; sources: daa2iso of Luigi Auriemma, libMirage.
"""

import itertools
import lzma
import struct
from array import array
from typing import NamedTuple

from imagefs import codecs, limits
from imagefs.codecs import Content
from imagefs.containers.cso import longest_block, plain
from imagefs.errors import DamagedError, PasswordError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.packed import IndexedReader
from imagefs.readers import Reader

HEADER = struct.Struct("<16sIII8xIQQBIBB5s4xI")
_DESCRIPTOR = struct.Struct("<II")
_SIGNATURES = tuple(name.ljust(16, b"\0") for name in (b"DAA", b"GBI"))
_PARTS = (b"DAA VOL", b"GBI VOL")
VERSION_1, VERSION_2 = 0x100, 0x110
_SPLIT, _ENCRYPTED = 2, 3
_LZMA, _DEFLATE, _PLAIN = 0, 1, 255
_PACKED_TABLE, _SCRAMBLED_FIELDS, _SCRAMBLED_BYTES = 0x4000, 0x2_0000, 0x800_0000
_DEFLATE_SHIFT, _DEFLATE_MASK = 23, 3
_KEY = b"\x0a\x35\x2d\x3f\x08\x33\x09\x15"
_SECTOR_BYTES = 2048
_CHUNK_UNIT_BITS = 14
_MAX_DESCRIPTORS = 64
_LEAST_CODE = 5
"""What is not stored of a length in version 0x110."""


_LZMA2_BYTES = 1 << 16
_FIRST_PLAIN, _NEXT_PLAIN, _LZMA2_END = b"\1", b"\2", b"\0"
_PLAIN_HEAD = struct.Struct(">cH")


class _Table(NamedTuple):
    """The chunks: `starts` has a byte offset more than there are, `types` are theirs."""

    starts: "array[int]"
    types: bytes


class _Lzma(NamedTuple):
    """How LZMA packed: lc, lp, pb and bytes of the dictionary; whether x86 code was changed before."""

    lc: int
    lp: int
    pb: int
    dictionary: int
    has_filter: bool


class DaaReader(IndexedReader):
    """The image. `packing` is that of the chunks that LZMA packed, None when there are none."""

    def __init__(self, base: Reader, size: int, chunk_bytes: int, table: _Table, packing: _Lzma | None) -> None:
        super().__init__(base, size, chunk_bytes, longest_block(chunk_bytes))
        self._starts, self._types = table
        self._packing = packing

    def positions(self, first: int, count: int) -> list[int]:
        return list(self._starts[first : first + count + 1])

    def unpack_one(self, block: int, stored: bytes, where: int) -> Content:
        size = self.block_size(block)
        if self._types[block] == _PLAIN:
            return plain(stored, size, where)
        if self._types[block] == _DEFLATE:
            return codecs.inflate(stored, self.block_bytes, least=size, where=where)[:size]
        return self._unlzma(stored, size, where)

    def _unlzma(self, stored: bytes, size: int, where: int) -> bytes:
        assert self._packing is not None
        lc, lp, pb, dictionary, has_filter = self._packing
        filters = [{"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": dictionary}]
        try:
            content = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters).decompress(stored, size)
        except (lzma.LZMAError, EOFError) as error:
            raise DamagedError(where, f"the LZMA data is broken ({error})") from error
        if len(content) != size:
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


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(HEADER.size)
    if len(head) < HEADER.size:
        return None
    if head.startswith(_SIGNATURES):
        return Match(95, f"{head[:3].decode()} signature")
    return Match(95, f"signature of a later part: {head[:7].decode()}") if head.startswith(_PARTS) else None


class _Header(NamedTuple):
    """The header with the names of its fields, and what version 0x110 keeps in parts of them taken out."""

    is_gbi: bool
    version: int
    table_at: int
    data_at: int
    chunk_bytes: int
    flags: int
    size: int
    bits: int
    has_filter: bool
    properties: bytes
    crc: int

    @property
    def chunks(self) -> int:
        return -(-self.size // self.chunk_bytes)


def open_daa(candidate: Candidate, options: Options) -> Reader:
    """The image. Raises DamagedError, UnsupportedError for what is left out, PasswordError for an encrypted one."""
    header = _header(candidate)
    table = _table(candidate, header)
    packing = _packing(header) if _LZMA in table.types else None
    return DaaReader(candidate.reader, header.size, header.chunk_bytes, table, packing)


def _header(candidate: Candidate) -> _Header:
    """The header, with sizes that can be."""
    fields = HEADER.unpack(candidate.exactly(0, HEADER.size))
    signature, table_at, version, data_at, chunk_bytes, size, _, _, _, bits, has_filter, properties, crc = fields
    if signature.startswith(_PARTS):
        raise UnsupportedError("a later part of a split image; open the first one")
    if version not in (VERSION_1, VERSION_2):
        raise UnsupportedError(f"DAA version {version:#x}")
    _refuse_descriptors(candidate, table_at)
    is_gbi, flags = signature == _SIGNATURES[1], 0
    if version == VERSION_2:
        flags = chunk_bytes
        if flags & _PACKED_TABLE:
            raise UnsupportedError("a DAA or GBI image with a packed table")
        if (flags >> _DEFLATE_SHIFT & _DEFLATE_MASK) != is_gbi:
            raise UnsupportedError("a DAA or GBI image with a deflate of its own")
        chunk_bytes, data_at = (flags & 0xFFF) << _CHUNK_UNIT_BITS, data_at & 0xFF_FFFF
    if not 0 < chunk_bytes <= limits.BLOCK_BYTES or not size:
        raise DamagedError(36, f"an image of {size} bytes in chunks of {chunk_bytes}")
    header = _Header(
        is_gbi, version, table_at, data_at, chunk_bytes, flags, size, bits, bool(has_filter), properties, crc
    )
    if header.chunks > limits.PIECES:
        raise DamagedError(40, f"{header.chunks} chunks; the limit is {limits.PIECES}")
    if not HEADER.size <= table_at <= data_at <= candidate.reader.size or data_at - table_at > limits.TABLE_BYTES:
        raise DamagedError(16, f"the table is said to lie from byte {table_at} to {data_at}")
    return header


def _table(candidate: Candidate, header: _Header) -> _Table:
    """The table, unscrambled."""
    raw = candidate.exactly(header.table_at, header.data_at - header.table_at)
    width = _Width(0, 24) if header.version == VERSION_1 else _width(header.bits, header.chunk_bytes)
    if header.is_gbi:
        raw = _unscrambled_gbi(raw, header.crc, width)
    raw = raw[: -(-header.chunks * width.both // 8)]
    if len(raw) * 8 < header.chunks * width.both:
        raise DamagedError(16, f"a table of {len(raw)} bytes for {header.chunks} chunks of {width.both} bits each")
    if header.flags & _SCRAMBLED_BYTES:
        raw = _unscrambled_daa(raw, header.size // _SECTOR_BYTES)
    lengths, types = _simple(raw) if header.version == VERSION_1 else _bit_packed(raw, header, width)
    return _Table(array("Q", itertools.accumulate(lengths, initial=header.data_at)), types)


def _refuse_descriptors(candidate: Candidate, end: int) -> None:
    """Look for what makes an image unreadable among the descriptors."""
    at = HEADER.size
    for _ in range(_MAX_DESCRIPTORS):
        if at + _DESCRIPTOR.size > min(end, candidate.reader.size):
            return
        kind, length = _DESCRIPTOR.unpack(candidate.exactly(at, _DESCRIPTOR.size))
        if kind == _ENCRYPTED:
            raise PasswordError("a DAA or GBI image with a password, which imagefs cannot decrypt")
        if kind == _SPLIT:
            raise UnsupportedError("a DAA or GBI image in several parts")
        at += max(length, _DESCRIPTOR.size)


class _Width(NamedTuple):
    """Bits of the two fields of a chunk in the table."""

    type: int
    length: int

    @property
    def both(self) -> int:
        return self.type + self.length


def _width(bits: int, chunk_bytes: int) -> _Width:
    """Of version 0x110."""
    type_bits, length_bits = bits & 7, bits >> 3
    if length_bits:
        return _Width(type_bits, length_bits + 10)
    while chunk_bytes > type_bits:
        length_bits, chunk_bytes = length_bits + 1, chunk_bytes >> 1
    return _Width(type_bits, length_bits)


def _unscrambled_gbi(table: bytes, crc: int, width: _Width) -> bytes:
    size = -(-len(table) * 8 // width.both * width.both // 8)
    plain_byte = bytes((byte - crc & 0xFF) ^ (size >> 2 & 0xFF) for byte in range(256))
    return table.translate(plain_byte)


def _unscrambled_daa(table: bytes, sectors: int) -> bytes:
    add, step = sectors & 0xFF, sectors >> 8 & 0xFF
    return bytes(byte - add - number * step & 0xFF for number, byte in enumerate(table))


def _simple(table: bytes) -> tuple["array[int]", bytes]:
    """(lengths, types) of version 0x100."""
    rows = zip(*(table[byte::3] for byte in range(3)), strict=True)
    lengths = array("Q", (high << 16 | middle << 8 | low for high, low, middle in rows))
    return lengths, bytes((_DEFLATE,)) * len(lengths)


def _bit_packed(table: bytes, header: _Header, width: _Width) -> tuple["array[int]", bytes]:
    """(lengths, types) of version 0x110."""
    is_scrambled = bool(header.flags & _SCRAMBLED_FIELDS)
    lengths, types = array("Q"), bytearray()
    length_mask, type_mask = (1 << width.length) - 1, (1 << width.type) - 1
    for number in range(header.chunks):
        byte, shift = divmod(number * width.both, 8)
        value = int.from_bytes(table[byte : byte + 8], "little") >> shift
        key = ((number ^ _KEY[number & 7]) & 0xFF) * 0x0101_0101 if is_scrambled else 0
        length = ((value ^ key) & length_mask) + _LEAST_CODE
        kind = (value >> width.length ^ key) & type_mask
        lengths.append(length)
        types.append(_PLAIN if length >= header.chunk_bytes else kind)
    if strange := set(types) - {_LZMA, _DEFLATE, _PLAIN}:
        raise UnsupportedError(f"a DAA or GBI image with chunks of type {min(strange)}")
    return lengths, bytes(types)


def _packing(header: _Header) -> _Lzma:
    """What LZMA's five bytes say: lc + 9 * (lp + 5 * pb), u32 bytes of the dictionary."""
    rest, lc = divmod(header.properties[0], 9)
    pb, lp = divmod(rest, 5)
    dictionary = int.from_bytes(header.properties[1:], "little")
    if pb > 4 or lc + lp > 4 or dictionary > limits.DECODER_BYTES:
        raise DamagedError(63, f"properties of LZMA that cannot be: {header.properties.hex()}")
    return _Lzma(lc, lp, pb, max(dictionary, 4096), header.has_filter)


FORMAT = Format(
    name="daa",
    title="a PowerISO or gBurner image",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_daa,
    extensions=("daa", "gbi"),
    mime=("application/x-daa", "application/x-gbi"),
    magic=tuple((0, signature[:4]) for signature in _SIGNATURES),
    reads="DAA and GBI of versions 0x100 and 0x110, packed with deflate or LZMA",
    lacks="encrypted and split images, packed tables",
)
