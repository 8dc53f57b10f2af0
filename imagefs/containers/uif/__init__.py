"""UIF, the images of MagicISO: an image in packed chunks, with the sheet of what it was made of. All is little-endian.

`packing` unpacks and decrypts, `chunks` is the table and the image, `sheets` the disc.

footer, the last 64 bytes
0       4     magic         "bbis"
8       2     version       1 and 2 zlib, 3 LZMA
10      2     type          8 an ISO, 9 a disc with a sheet
16      4     sectors
20      4     sector_bytes
24      4     last_bytes    of the last sector, 0: all
28      8     table_at      offset of the table
56      2     key1, key2    which cipher and which key (`packing`)

table_at      "blhr", u32 bytes of the content and of what follows here, u32 whether it is packed, u32 entries
              then the entries (`chunks`)
behind it     of a disc: "blms" in the same manner, MagicISO's own list of the tracks; then "blss" with the kind of the sheet
              (u32) before the content; their last field are bytes
With "bsdr" in the place of "blhr" the image has a password.

An image of a Nero disc has the chunks of the NRG in its last sectors: it is given on as an NRG. The chunks' first sectors
may come in any order; a sector that is in none is missing.

Left out: images with a password, MagicISO's later ciphers, the subchannel of CloneCD images, "blms".
There is no specification; source: uif2iso of Luigi Auriemma. Chunks of zlib have a checksum, those of LZMA have none.
"""

import struct
from typing import NamedTuple

from imagefs import limits
from imagefs.containers._inside import as_one_track
from imagefs.containers.uif.chunks import ENTRY_BYTES, Table, UifReader, table_of
from imagefs.containers.uif.packing import Packing, packing_by
from imagefs.containers.uif.sheets import ISO, NRG, Sheet, open_sheet
from imagefs.disc import Disc
from imagefs.errors import DamagedError, ImageError, PasswordError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader

FOOTER = struct.Struct("<4s4xHH4xIIIQ20xBB6x")
SECTION = struct.Struct("<4sIII")
_KIND = struct.Struct("<I")
_COUNTED_BYTES = 8
"""Those of a section's head that its size counts too."""
_MAGIC, _TABLE, _TRACKS, _SHEET, _PASSWORD = b"bbis", b"blhr", b"blms", b"blss", b"bsdr"
_WITH_SHEET = 9
_LEAST_SECTOR_BYTES, _MOST_SECTOR_BYTES = 512, 4096
_BEYOND = 64
"""Bytes that are unpacked of a sheet beyond those wanted: a filter of code leaves the last of a cut one as they are."""


class _Footer(NamedTuple):
    """The footer, with the names of its fields."""

    magic: bytes
    version: int
    type: int
    sectors: int
    sector_bytes: int
    last_bytes: int
    table_at: int
    key1: int
    key2: int

    @property
    def size(self) -> int:
        """of the image, in bytes"""
        lost = self.sector_bytes - self.last_bytes if self.last_bytes else 0
        return self.sectors * self.sector_bytes - lost


class _Section(NamedTuple):
    """A part of the image's description: `stored` bytes at `at`, in which there are `items`, packed or not."""

    at: int
    stored: int
    is_packed: bool
    items: int

    @property
    def end(self) -> int:
        return self.at + self.stored


def probe(candidate: Candidate) -> Match | None:
    tail = candidate.tail(FOOTER.size)
    if len(tail) < FOOTER.size or not tail.startswith(_MAGIC):
        return None
    return Match(85, f"footer of a UIF image, version {_Footer(*FOOTER.unpack(tail)).version}")


def open_uif(candidate: Candidate, options: Options) -> Reader | Disc:
    """The image, or the disc that its sheet describes.

    Raises DamagedError, OSError, PasswordError for an image with a password, UnsupportedError for what is left out.
    """
    footer = _footer(candidate)
    packing = packing_by(footer.version, footer.key1, footer.key2)
    table = _section(candidate, footer.table_at, _TABLE, ENTRY_BYTES)
    image = UifReader(candidate.reader, footer.size, _table(candidate, table, footer, packing), packing)
    if footer.type != _WITH_SHEET:
        return image
    try:
        sheet = _sheet(candidate, table.end, packing)
        return image if sheet.kind in (ISO, NRG) else open_sheet(sheet, image, candidate, options)
    except ImageError as error:
        return as_one_track(image, error, options)


def _footer(candidate: Candidate) -> _Footer:
    """The footer, with sizes that can be."""
    at = candidate.reader.size - FOOTER.size
    footer = _Footer(*FOOTER.unpack(candidate.exactly(at, FOOTER.size)))
    is_size = _LEAST_SECTOR_BYTES <= footer.sector_bytes <= _MOST_SECTOR_BYTES
    if not is_size or not 0 < footer.sectors <= limits.DISC_SECTORS:
        raise DamagedError(at + 16, f"an image of {footer.sectors} sectors of {footer.sector_bytes} bytes")
    if footer.last_bytes > footer.sector_bytes:
        raise DamagedError(at + 24, f"a last sector of {footer.last_bytes} bytes, of {footer.sector_bytes}")
    return footer


def _section(candidate: Candidate, at: int, magic: bytes, item_bytes: int = 1, more: int = 0) -> _Section:
    """The section whose head stands at `at`, followed by `more` bytes. Its last field counts items of `item_bytes`."""
    found, size, is_packed, items = SECTION.unpack(candidate.exactly(at, SECTION.size))
    if found == _PASSWORD:
        raise PasswordError("a UIF image with a password, which imagefs cannot decrypt")
    if found != magic:
        raise DamagedError(at, f"{found!r} stands there instead of {magic!r}")
    stored = size - _COUNTED_BYTES - more if is_packed and items else items * item_bytes
    begin = at + SECTION.size + more
    if not 0 <= stored <= candidate.reader.size - begin:
        raise DamagedError(
            at, f"{magic!r} is said to have {stored} bytes, and the file ends at {candidate.reader.size}"
        )
    return _Section(begin, stored, bool(is_packed), items)


def _table(candidate: Candidate, section: _Section, footer: _Footer, packing: Packing) -> Table:
    """The table of the chunks."""
    size = section.items * ENTRY_BYTES
    if size > limits.BLOCK_BYTES:
        raise DamagedError(section.at, f"{section.items} chunks; the limit is {limits.BLOCK_BYTES // ENTRY_BYTES}")
    stored = candidate.exactly(section.at, section.stored)
    raw = packing.unpack(stored, size, where=section.at) if section.is_packed else stored
    return table_of(bytes(raw), footer.sector_bytes)


def _sheet(candidate: Candidate, at: int, packing: Packing) -> Sheet:
    """The sheet behind the table, which ends at byte `at`. Of one that is very long only the front is taken."""
    tracks = _section(candidate, at, _TRACKS)
    section = _section(candidate, tracks.end, _SHEET, more=_KIND.size)
    (kind,) = _KIND.unpack(candidate.exactly(tracks.end + SECTION.size, _KIND.size))
    size = min(section.items, limits.DESCRIPTOR_BYTES)
    if section.is_packed and size:
        stored = candidate.exactly(section.at, min(section.stored, 2 * limits.DESCRIPTOR_BYTES))
        content = bytes(packing.unpack_front(stored, size + _BEYOND, section.at)[:size])
    else:
        content = candidate.exactly(section.at, size)
    if len(content) < size:
        raise DamagedError(section.at, f"the sheet ends after {len(content)} of {size} bytes")
    return Sheet(kind, content)


FORMAT = Format(
    name="uif",
    title="a UIF image of MagicISO",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_uif,
    extensions=("uif",),
    mime=("application/x-uif",),
    reads="images of ISO, CUE, MDS, CCD and NRG, packed with zlib or LZMA; those that are encrypted with MagicISO's sixteen "
    "keys, where the library is installed (extra crypto)",
    lacks="images with a password, MagicISO's later ciphers, the subchannel of CloneCD images",
)
