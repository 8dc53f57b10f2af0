"""DAA images of PowerISO and GBI images of gBurner: an ISO image in compressed chunks. All integers are little-endian.

`header` reads the headers and descriptors, `table` the table of chunks, `deflate` deflate with other numbers, `parts` finds
the files of a split image.

offset  size  field        meaning
0       16    signature    "DAA" or "GBI" (also b8 bd b6); "DAA VOL" and "GBI VOL" in further parts of a split image
16      4     table_at     offset of the table of chunks; between header and table stand descriptors
20      4     version      0x100, 0x110
24      4     data_at      offset of the first chunk; 0x110: the low 24 bits
36      4     chunk_size   bytes; 0x110: the low 12 bits, in 16 KiB, and flags: 0x4000 the table is packed, 0x20000 its
                           fields are scrambled, 0x100000 LZMA is used, 0x8000000 its bytes are scrambled; bits 23 and 24:
                           how deflate numbers its blocks, of a GBI with bit 23 inverted
40      8     size         bytes of the image
48      8     file_size    of all parts
56      1     -            0x110 only
57      4     packed_size  of the table
61      1     bits         low 3: bits of a type; high 5: bits of a length less 10, 0: as many as the chunk size needs
62      1     has_filter   1: x86 code was changed before LZMA (BCJ)
63      5     properties   of LZMA
72      4     CRC-32       of the 72 bytes before

later part  16 bytes signature, u32 offset of its first chunk, 16 bytes, CRC-32 of these 36
descriptor  u32 type, u32 length with these 8 bytes: 1 part, 2 split (u32 parts, u32, 5 bytes for each), 3 encryption,
            4 comment
table       0x100: 3 bytes a chunk, its length: the high byte, the low one, the one between them
            0x110: for each chunk bits, from the lowest on: its length less 5, its type: 0 LZMA, 1 deflate

Chunks follow each other, from part to part. Those of 0x100 are deflated; of 0x110 one of at least the chunk size is plain.
LZMA's have no mark at their end: the size tells it. A packed table is deflated, in the image's own numbering.

Scrambled: of each byte of a GBI's table the lowest byte of the CRC was added, after an XOR with a quarter of the table's
size. Of a DAA's with 0x8000000 c was added, c beginning with the low byte of the number of sectors and growing by its next
byte. With 0x20000 both fields of chunk n have an XOR with (n ^ key[n mod 8]) in each of their bytes.

Left out: encrypted images, which are refused by name.
There is no specification; sources: daa2iso of Luigi Auriemma, libMirage. What is packed has no checksum of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

from imagefs.codecs import Content
from imagefs.containers._lzma import Packing, packing_of, unlzma
from imagefs.containers.cso import longest_block, plain
from imagefs.containers.daa.deflate import inflate
from imagefs.containers.daa.header import HEADER, PARTS, SIGNATURES, Split, read_header, split_of
from imagefs.containers.daa.parts import is_split, join, names_beside
from imagefs.containers.daa.table import DEFLATE, LZMA, PLAIN, Table, read_table
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.packed import IndexedReader
from imagefs.readers import Reader

_PROPERTIES_AT = 63
_LETTERED = tuple(f"{letter}{number:02}" for letter in "dg" for number in range(100))


class _Packing(NamedTuple):
    """How the chunks are packed. `lzma` is None when none is packed with it."""

    numbering: int
    lzma: Packing | None
    has_filter: bool


class DaaReader(IndexedReader):
    """The image."""

    def __init__(self, base: Reader, size: int, chunk_bytes: int, table: Table, packing: _Packing) -> None:
        super().__init__(base, size, chunk_bytes, longest_block(chunk_bytes))
        self._starts, self._types = table
        self._packing = packing

    def positions(self, first: int, count: int) -> list[int]:
        return list(self._starts[first : first + count + 1])

    def unpack_one(self, block: int, stored: bytes, where: int) -> Content:
        size = self.block_size(block)
        if self._types[block] == PLAIN:
            return plain(stored, size, where)
        numbering, lzma, has_filter = self._packing
        if self._types[block] == DEFLATE:
            return inflate(stored, self.block_bytes, numbering, least=size, where=where)[:size]
        assert lzma is not None
        return unlzma(stored, lzma, size, has_filter=has_filter, where=where)


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(HEADER.size)
    if len(head) < HEADER.size:
        return None
    if head.startswith(SIGNATURES):
        return Match(95, "GBI signature" if head.startswith(b"GBI") else "DAA signature")
    return Match(95, f"signature of a later part: {head[:7].decode()}") if head.startswith(PARTS) else None


def parts(candidate: Candidate) -> Sequence[str]:
    """The further parts that are there. Raises DamagedError, UnsupportedError, PasswordError, OutsideError."""
    split = split_of(candidate, read_header(candidate))
    return [*names_beside(candidate, split)] if split else []


def open_daa(candidate: Candidate, options: Options) -> Reader:
    """The image.

    Raises DamagedError, MissingPartError, OutsideError, OSError, UnsupportedError for versions and chunks that are not
    known, PasswordError for an encrypted one.
    """
    header = read_header(candidate)
    split = split_of(candidate, header)
    table = read_table(candidate, header)
    lzma = packing_of(header.properties, _PROPERTIES_AT) if LZMA in table.types else None
    base, end = candidate.reader, table.starts[-1]
    if end > base.size and (split or is_split(candidate)):
        base = join(candidate, split or Split(), end)
    packing = _Packing(header.numbering, lzma, header.has_filter)
    return DaaReader(base, header.size, header.chunk_bytes, table, packing)


FORMAT = Format(
    name="daa",
    title="a PowerISO or gBurner image",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_daa,
    extensions=("daa", "gbi"),
    mime=("application/x-daa", "application/x-gbi"),
    magic=((0, b"DAA\0"), (0, b"GBI\0")),
    describes=("daa", "gbi", *_LETTERED),
    parts=parts,
    reads="DAA and GBI of versions 0x100 and 0x110, packed with deflate, in any of its four numberings, or LZMA; packed and "
    "scrambled tables, split images",
    lacks="encrypted images",
)
