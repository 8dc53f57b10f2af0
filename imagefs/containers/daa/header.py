"""The headers of DAA and GBI files, and the descriptors behind them."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError, PasswordError, UnsupportedError
from imagefs.formats import Candidate

HEADER = struct.Struct("<16sIII8xIQQBIBB5s4xI")
PART_HEADER = struct.Struct("<16sI16xI")
_DESCRIPTOR = struct.Struct("<II")
_CRC_BYTES = 4

_DAA, _GBI, _OTHER_DAA = (name.ljust(16, b"\0") for name in (b"DAA", b"GBI", b"\xb8\xbd\xb6"))
SIGNATURES = (_DAA, _GBI, _OTHER_DAA)
PARTS = tuple(name.ljust(16, b"\0") for name in (b"DAA VOL", b"GBI VOL"))
"""of the second part of an image and of those behind it"""
VERSION_1, VERSION_2 = 0x100, 0x110

PACKED_TABLE, SCRAMBLED_FIELDS, SCRAMBLED_BYTES = 0x4000, 0x2_0000, 0x800_0000
_NUMBERING_SHIFT, _NUMBERING_MASK = 23, 3
_CHUNK_UNIT_BITS, _CHUNK_MASK = 14, 0xFFF
_DATA_MASK = 0xFF_FFFF
_LEAST_CHUNK_BYTES = 2048
"""A sector; as a rule a chunk has 64 KiB."""
_CHUNKS_PER_BYTE = 8
"""of a file beyond limits.HUNKS: its table may be packed, but each chunk is stored in some bytes."""

_PART, _SPLIT, _ENCRYPTED = 1, 2, 3
_MAX_DESCRIPTORS = 64
_NUMBER_BYTES = 4


class Header(NamedTuple):
    """The header with the names of its fields, and what version 0x110 keeps in parts of them taken out."""

    is_gbi: bool
    version: int
    table_at: int
    data_at: int
    chunk_bytes: int
    flags: int
    size: int
    packed_size: int
    bits: int
    has_filter: bool
    properties: bytes
    crc: int

    @property
    def chunks(self) -> int:
        return -(-self.size // self.chunk_bytes)

    @property
    def numbering(self) -> int:
        """Of deflate's blocks. The field has another value for the usual one in each of the two formats."""
        return 0 if self.version == VERSION_1 else self.flags >> _NUMBERING_SHIFT & _NUMBERING_MASK ^ self.is_gbi


def read_header(candidate: Candidate) -> Header:
    """The header, with sizes that can be. Raises DamagedError, UnsupportedError."""
    raw = candidate.exactly(0, HEADER.size)
    fields = HEADER.unpack(raw)
    signature, table_at, version, data_at, chunk_bytes, size, _, _, packed, bits, has_filter, properties, crc = fields
    if signature in PARTS:
        raise UnsupportedError("it is a later part of a split image; open the first one")
    if version not in (VERSION_1, VERSION_2):
        raise UnsupportedError(f"DAA version {version:#x} is not read")
    _check(raw, crc)
    flags = 0
    if version == VERSION_2:
        flags, chunk_bytes = chunk_bytes, (chunk_bytes & _CHUNK_MASK) << _CHUNK_UNIT_BITS
        data_at &= _DATA_MASK
    if not _LEAST_CHUNK_BYTES <= chunk_bytes <= limits.BLOCK_BYTES or not size:
        raise DamagedError(36, f"an image of {size} bytes in chunks of {chunk_bytes}")
    header = Header(
        signature == _GBI,
        version,
        table_at,
        data_at,
        chunk_bytes,
        flags,
        size,
        packed,
        bits,
        bool(has_filter),
        properties,
        crc,
    )
    most = min(limits.PIECES, max(limits.HUNKS, _CHUNKS_PER_BYTE * candidate.reader.size))
    if header.chunks > most:
        raise DamagedError(40, f"{header.chunks} chunks; the limit is {most}")
    if not HEADER.size <= table_at <= data_at <= candidate.reader.size or data_at - table_at > limits.TABLE_BYTES:
        raise DamagedError(16, f"the table is said to lie from byte {table_at} to {data_at}")
    return header


def data_of_part(raw: bytes, name: str) -> int:
    """Where the chunks begin in a later part, whose first bytes are `raw`. Raises DamagedError."""
    if len(raw) < PART_HEADER.size or not raw.startswith(PARTS):
        raise DamagedError(None, f"{name!r} is no later part of a DAA or GBI image")
    _, data_at, crc = PART_HEADER.unpack(raw)
    _check(raw, crc, f" of {name!r}")
    return int(data_at & _DATA_MASK)


def _check(raw: bytes, crc: int, of: str = "") -> None:
    if zlib.crc32(raw[:-_CRC_BYTES]) != crc:
        raise DamagedError(len(raw) - _CRC_BYTES, f"the checksum of the header{of} does not fit")


class Split(NamedTuple):
    """An image in several files; `parts` is their number, 0 where it is not told."""

    parts: int = 0


def split_of(candidate: Candidate, header: Header) -> Split | None:
    """What the descriptors tell of further parts, None when nothing. Raises PasswordError where there is a password."""
    found: Split | None = None
    for kind, content in _descriptors(candidate, header.table_at):
        if kind == _ENCRYPTED:
            raise PasswordError("a DAA or GBI image with a password, which imagefs cannot decrypt")
        if kind == _SPLIT:
            found = Split(int.from_bytes(content, "little"))
        elif kind == _PART:
            found = found or Split()
    return found


def _descriptors(candidate: Candidate, end: int) -> Iterator[tuple[int, bytes]]:
    """(kind, first four bytes of the content) of the descriptors between the header and byte `end`."""
    at = HEADER.size
    for _ in range(_MAX_DESCRIPTORS):
        if at + _DESCRIPTOR.size > end:
            return
        kind, length = _DESCRIPTOR.unpack(candidate.exactly(at, _DESCRIPTOR.size))
        begin, at = at + _DESCRIPTOR.size, at + max(length, _DESCRIPTOR.size)
        yield kind, candidate.at(begin, min(_NUMBER_BYTES, at - begin))
