"""ISZ: an image in chunks that are packed one by one, perhaps in several files (UltraISO).

offset  size   field        meaning (all little-endian)
0       4      magic        "IsZ!"
4       1      header_size  48, or 64 with checksums of the image and of the file behind
5       1      version      1
6       4      serial       of the volume
10      2      sector       bytes of a sector
12      4      sectors      of the image
16      1      encryption   0 none, 1 with a password, 2 to 4 AES with 128, 192, 256 bits
17      8      segment      most bytes of a file, 0 when there is one alone
25      4      chunks       their number
29      4      chunk        bytes of a chunk's content; the last may have less
33      1      pointer      bytes of an entry of the chunk table, 1 to 4
34      1      number       of this file, 0 for the first
35      4      chunk table  where it lies, 0 when all chunks are plain
39      4      files table  where it lies, 0 when there is one file alone
43      4      data         where the first chunk lies
47      1      reserved

An entry of the chunk table has the kind in its two highest bits, the bytes in the file in the others. An entry of the files
table has 24 bytes: size of the file (8; 0 ends the table), number of chunks that begin in it, its first chunk, where that
lies in it, and the bytes of its last chunk that lie in the next file, right before that one's first chunk. Both tables are
XORed with B6 8C A5 DE again and again.

kind  a chunk is
0     zeros; its bytes do not lie in the file, whatever the entry says
1     plain
2     zlib
3     bzip2; the letters "BZh" at its front may be others

Further files of x.isz are x.i01, x.i02 ...; of x.part01.isz they are x.part02.isz ...
Source: the ISZ format specification 1.00 of EZB Systems, with what libMirage found to be so.
"""

import re
import struct
from array import array
from itertools import accumulate
from typing import NamedTuple

from imagefs import codecs, limits
from imagefs.codecs import Content
from imagefs.errors import DamagedError, MissingPartError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.packed import IndexedReader
from imagefs.readers import Extent, Reader, joined

HEADER = struct.Struct("<4sBBIHIBQIIBBIIIx")
FILE = struct.Struct("<QIIII")
MAGIC, KEY = b"IsZ!", bytes.fromhex("b68ca5de")
ZEROS, PLAIN, ZLIB, BZIP2 = range(4)
MOST_FILES = 255
_NUMBERED = re.compile(r"(.*\.part)(\d+)(\.isz)", re.IGNORECASE | re.DOTALL)


class _Header(NamedTuple):
    magic: bytes
    header_size: int
    version: int
    serial: int
    sector: int
    sectors: int
    encryption: int
    segment: int
    chunks: int
    chunk: int
    pointer: int
    number: int
    chunk_table: int
    files_table: int
    data: int

    @property
    def size(self) -> int:
        """of the image, in bytes"""
        return self.sector * self.sectors


class _File(NamedTuple):
    """An entry of the files table: `left` bytes of the last chunk lie in the next file."""

    size: int
    chunks: int
    first: int
    data: int
    left: int


class IszReader(IndexedReader):
    """The image in the joined chunks of an ISZ."""

    may_be_empty = True

    def __init__(self, base: Reader, size: int, chunk_bytes: int, kinds: bytes, lengths: "array[int]") -> None:
        super().__init__(base, size, chunk_bytes, 2 * chunk_bytes + 1024)
        self._kinds, self._positions = kinds, array("Q", accumulate(lengths, initial=0))

    def positions(self, first: int, count: int) -> list[int]:
        return self._positions[first : first + count + 1].tolist()

    def is_zero(self, block: int) -> bool:
        return self._kinds[block] == ZEROS

    def unpack_one(self, block: int, stored: bytes, where: int) -> Content:
        size, kind = self.block_size(block), self._kinds[block]
        if kind == ZEROS:
            return bytes(size)
        if kind == ZLIB:
            return codecs.unzlib(stored, size, where=where)
        if kind == BZIP2:
            return codecs.unbz2(b"BZh" + stored[3:], size, where=where)
        if len(stored) < size:
            raise DamagedError(where, f"a plain chunk of {size} bytes lies there, of which {len(stored)} are left")
        return stored[:size]


def _plain_table(reader: Reader, offset: int, length: int) -> bytes:
    """A table without its XOR. Raises DamagedError."""
    if offset + length > reader.size or length > limits.TABLE_BYTES:
        raise DamagedError(offset, f"a table of {length} bytes would begin there, the file has {reader.size}")
    raw = reader.exactly(offset, length)
    key = (KEY * (length // len(KEY) + 1))[:length]
    return (int.from_bytes(raw, "little") ^ int.from_bytes(key, "little")).to_bytes(length, "little")


def _chunks(reader: Reader, header: _Header) -> tuple[bytes, "array[int]"]:
    """The kind of each chunk and its bytes in the file."""
    if not header.chunk_table:
        rest = header.size - (header.chunks - 1) * header.chunk
        return bytes([PLAIN]) * header.chunks, array("Q", [header.chunk] * (header.chunks - 1) + [rest])
    width = header.pointer
    raw = _plain_table(reader, header.chunk_table, header.chunks * width)
    shift = 8 * width - 2
    mask = (1 << shift) - 1
    entries = [int.from_bytes(raw[at : at + width], "little") for at in range(0, len(raw), width)]
    kinds = bytes([entry >> shift for entry in entries])
    lengths = [0 if kind == ZEROS else entry & mask for entry, kind in zip(entries, kinds, strict=True)]
    return kinds, array("Q", lengths)


def _files(reader: Reader, header: _Header) -> list[_File]:
    """The files table, empty when there is one file alone."""
    found: list[_File] = []
    if header.files_table:
        room = max(0, reader.size - header.files_table) // FILE.size
        raw = _plain_table(reader, header.files_table, min(MOST_FILES + 1, room) * FILE.size)
        for entry in map(_File._make, FILE.iter_unpack(raw)):
            if not entry.size:
                break
            found.append(entry)
    return found


def _joined_data(candidate: Candidate, header: _Header, lengths: "array[int]") -> Reader:
    """What is stored of all chunks, one after the other."""
    total = sum(lengths)
    files = _files(candidate.reader, header)
    if not files:
        return joined([Extent(0, total, candidate.reader, header.data)], total)
    extents, position, first, carried = list[Extent](), 0, 0, 0
    for number, entry in enumerate(files):
        length = sum(lengths[first : first + entry.chunks]) + carried - entry.left
        if entry.first != first or entry.data < carried or length < 0 or position + length > total:
            raise DamagedError(header.files_table, f"the files table contradicts itself at file {number}")
        extents.append(Extent(position, length, _open_file(candidate, number), entry.data - carried))
        position, first, carried = position + length, first + entry.chunks, entry.left
    if first != header.chunks or position != total:
        raise DamagedError(header.files_table, f"the files have {first} of {header.chunks} chunks")
    return joined(extents, total)


def _open_file(candidate: Candidate, number: int) -> Reader:
    """One of the files. Raises MissingPartError, DamagedError when it is another, OutsideError, OSError."""
    if not number:
        return candidate.reader
    name = _name_of(candidate.name, number)
    if candidate.folder is None:
        raise MissingPartError(name)
    reader = candidate.folder.open(name)
    head = reader.pread(0, HEADER.size)
    header = _Header(*HEADER.unpack(head)) if len(head) == HEADER.size else None
    if header is None or (header.magic, header.number) != (MAGIC, number):
        raise DamagedError(None, f"its part {name!r} is not file {number} of an ISZ")
    return reader


def _name_of(first: str, number: int) -> str:
    """The name of a further file."""
    match = _NUMBERED.fullmatch(first)
    if match:
        return f"{match[1]}{number + 1:0{len(match[2])}}{match[3]}"
    return f"{first.rpartition('.')[0] or first}.i{number:02}"


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(HEADER.size)
    if len(head) < HEADER.size or head[:4] != MAGIC:
        return None
    header = _Header(*HEADER.unpack(head))
    if header.version == 1 and header.header_size in (48, 64) and header.encryption <= 4:
        return Match(95, "IsZ! magic, version 1")
    return Match(70, "IsZ! magic, and a header that makes no sense")


def open_isz(candidate: Candidate, options: Options) -> Reader:
    """The image. Raises DamagedError, MissingPartError, OutsideError, UnsupportedError, OSError."""
    header = _Header(*HEADER.unpack(candidate.exactly(0, HEADER.size)))
    if header.version != 1:
        raise UnsupportedError(f"ISZ version {header.version} is not read")
    if header.encryption:
        raise UnsupportedError("an encrypted ISZ is not read")
    if header.number:
        raise UnsupportedError(f"this is file {header.number + 1} of an ISZ; open the first one")
    if not 0 < header.chunk <= limits.BLOCK_BYTES or not header.size:
        raise DamagedError(12, f"an image of {header.size} bytes in chunks of {header.chunk}")
    if header.chunks != -(-header.size // header.chunk) or header.chunks > limits.PIECES:
        raise DamagedError(25, f"{header.chunks} chunks for {header.size} bytes")
    if header.chunk_table and not 1 <= header.pointer <= 4:
        raise DamagedError(33, f"entries of {header.pointer} bytes")
    kinds, lengths = _chunks(candidate.reader, header)
    return IszReader(_joined_data(candidate, header, lengths), header.size, header.chunk, kinds, lengths)


FORMAT = Format(
    name="isz",
    title="an ISZ file",
    layer=Layer.WRAPPER,
    extensions=("isz",),
    mime=("application/x-isz",),
    magic=((0, MAGIC),),
    probe=probe,
    open=open_isz,
    reads="zeros, plain, zlib and bzip2 chunks, one file or several",
    lacks="encryption",
)
