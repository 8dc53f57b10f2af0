"""CDZ, the images of the emulator pSX: the sectors of a disc and their descriptor. All integers are little-endian.

offset  size  field    meaning
0       3     magic    "CDZ"
3       1     version  0: cdztool 0 and 1; 1: cdztool 2 and later
4             chunks   the descriptor, where there is one, and the sectors

chunk   4     name     version 1 alone: "CUE", "CCD" or "MDS" and NUL; "BIN" and NUL, or 1: with subchannel
        8     length   version 1 alone: bytes from "ZLIB" to the end of the chunk
        4     packing  "ZLIB"; cdztool 0 has none
        8     size     bytes of the content; 4 in cdztool 0
        4     blocks   their number
        ...   blocks   u32 stored length, u32 length: 65536, of the last one the rest; a zlib stream
        ...            of the sectors: a directory of the blocks

Chunks without a name are a CUE sheet and the sectors, or the sectors alone; a sheet is known by its size. The descriptor is
read as if it lay beside the sectors, whatever it calls them. Where it is broken, all sectors are one track. Sectors without
a descriptor are taken for what they look like, a raw sector image or an ISO image.

What the entries of the directory count is not written down, so blocks are found by going from each to the next when the
image is opened: a small read for every 64 KiB. Behind a broken place in that chain nothing is found.

With subchannel, 96 bytes lie behind each sector, or behind all: the sync of the sectors tells which.
There is no specification and no other reader; source: psx-spx.
"""

import struct
from array import array
from typing import NamedTuple

from imagefs import codecs, limits
from imagefs.codecs import Content
from imagefs.containers import ccd, cue, mds
from imagefs.containers._inside import as_one_track, open_inside
from imagefs.containers.cso import longest_block
from imagefs.disc import Disc
from imagefs.disc.layouts import by_sync
from imagefs.disc.model import AUDIO_BYTES, SUBCHANNEL_BYTES
from imagefs.errors import DamagedError, ImageError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.packed import IndexedReader
from imagefs.readers import Reader, sectors_of, slice_of

MAGICS = (b"CDZ\0", b"CDZ\1")
NAMED, PACKED, UNPACKED = struct.Struct("<4sQ4sQI"), struct.Struct("<4sQI"), struct.Struct("<II")
"""Heads of a chunk: of version 1, of version 0, of version 0 by cdztool 0."""
BLOCK = struct.Struct("<II")
BLOCK_BYTES = 1 << 16
MOST_BLOCKS = 1 << 16
"""4 GiB: pSX plays CDs alone, of which the longest have 1 GiB. Each costs a read when the image is opened."""
ZLIB, SECTORS, SHEET = b"ZLIB", b"BIN", b"CUE\0"
WITH_SUBCHANNEL = b"BIN\1"
_DESCRIPTORS = {SHEET: cue.FORMAT, b"CCD\0": ccd.FORMAT, b"MDS\0": mds.FORMAT}


class CdzReader(IndexedReader):
    """The content of a chunk. `places` are the offsets of its blocks, as many as are found, and of their end."""

    def __init__(self, base: Reader, size: int, places: "array[int]") -> None:
        super().__init__(base, size, BLOCK_BYTES, BLOCK.size + longest_block(BLOCK_BYTES))
        self._places = places

    def positions(self, first: int, count: int) -> list[int]:
        if first + count >= len(self._places):
            raise DamagedError(self._places[-1], f"block {len(self._places) - 1} does not begin there")
        return self._places[first : first + count + 1].tolist()

    def unpack_one(self, block: int, stored: bytes, where: int) -> Content:
        return codecs.unzlib_whole(stored[BLOCK.size :], self.block_size(block), where=where + BLOCK.size)


class _Chunk(NamedTuple):
    """A chunk, and where it ends, as far as that is known."""

    name: bytes
    content: CdzReader
    end: int


class _Head(NamedTuple):
    """The head of a chunk; `end` is None where only its blocks tell it."""

    name: bytes
    size: int
    blocks: int
    begin: int
    end: int | None


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(len(MAGICS[0]))
    if head not in MAGICS:
        return None
    try:
        first = _head(candidate, len(head))
    except DamagedError:
        return Match(50, "CDZ magic, and no chunk behind it")
    return Match(95, f"CDZ magic, {first.blocks} blocks of {first.size} bytes")


def open_cdz(candidate: Candidate, options: Options) -> Reader | Disc:
    """The disc of the descriptor, or the sectors where there is none. Raises DamagedError, UnsupportedError, OSError."""
    descriptor, sectors = _chunks(candidate)
    if descriptor is None:
        return sectors.content
    main, subchannel = _channels(sectors.content) if sectors.name == WITH_SUBCHANNEL else (sectors.content, None)
    try:
        return open_inside(candidate, options, _DESCRIPTORS[descriptor.name], descriptor.content, main, subchannel)
    except ImageError as error:
        return as_one_track(main, error, options)


# --- chunks ---------------------------------------------------------------------------------------------------------------


def _chunks(candidate: Candidate) -> tuple[_Chunk | None, _Chunk]:
    """(the descriptor, the sectors)."""
    descriptor, at = None, len(MAGICS[0])
    for _ in range(2):
        chunk = _chunk(candidate, at)
        if chunk.name.startswith(SECTORS):
            return descriptor, chunk
        if chunk.name not in _DESCRIPTORS:
            raise UnsupportedError(f"a CDZ image with a chunk {chunk.name.decode('latin-1')!r} is not read")
        descriptor, at = chunk, chunk.end
    raise DamagedError(at, "a CDZ image without sectors")


def _chunk(candidate: Candidate, at: int) -> _Chunk:
    head = _head(candidate, at)
    places = _walk(candidate.reader, head)
    if head.end is not None:
        end = head.end
    elif len(places) == head.blocks + 1 or head.name.startswith(SECTORS):
        end = places[-1]
    else:
        raise DamagedError(places[-1], "the sheet of the image is broken off there, so that its sectors are not found")
    return _Chunk(head.name, CdzReader(candidate.reader, head.size, places), end)


def _head(candidate: Candidate, at: int) -> _Head:
    """What is said of the chunk at byte `at`. Raises DamagedError where none can be."""
    end = None
    if candidate.exactly(0, 4) == MAGICS[1]:
        name, length, packing, size, blocks = NAMED.unpack(candidate.exactly(at, NAMED.size))
        begin, end = at + NAMED.size, at + NAMED.size - PACKED.size + length
    else:
        name, packing, begin = b"", candidate.exactly(at, len(ZLIB)), at + PACKED.size
        if packing == ZLIB:
            _, size, blocks = PACKED.unpack(candidate.exactly(at, PACKED.size))
        else:
            packing, begin = ZLIB, at + UNPACKED.size
            size, blocks = UNPACKED.unpack(candidate.exactly(at, UNPACKED.size))
        is_sheet = at == len(MAGICS[0]) and size <= limits.DESCRIPTOR_BYTES
        name = SHEET if is_sheet else SECTORS
    if packing != ZLIB or not size or blocks != -(-size // BLOCK_BYTES) or blocks > MOST_BLOCKS:
        raise DamagedError(at, f"no chunk begins there: {size} bytes in {blocks} blocks")
    return _Head(name, size, blocks, begin, end)


def _walk(reader: Reader, head: _Head) -> "array[int]":
    """The offsets of the blocks and of their end, up to the first that cannot be one."""
    at, left = head.begin, head.size
    places = array("Q", [at])
    while left:
        stored, length = BLOCK.unpack(reader.pread(at, BLOCK.size).ljust(BLOCK.size, b"\0"))
        if length != min(BLOCK_BYTES, left) or not 0 < stored <= longest_block(BLOCK_BYTES):
            break
        at += BLOCK.size + stored
        left -= length
        places.append(at)
    return places


# --- discs ----------------------------------------------------------------------------------------------------------------


def _channels(content: Reader) -> tuple[Reader, Reader]:
    """(main channel, subchannel)"""
    whole = AUDIO_BYTES + SUBCHANNEL_BYTES
    count = content.size // whole
    layout = by_sync(Candidate(content).at)
    if layout is not None and layout.sector_bytes == AUDIO_BYTES:
        end = count * AUDIO_BYTES
        return slice_of(content, 0, end), slice_of(content, end, count * SUBCHANNEL_BYTES)
    main = sectors_of(content, 0, whole, 0, AUDIO_BYTES, count)
    return main, sectors_of(content, 0, whole, AUDIO_BYTES, SUBCHANNEL_BYTES, count)


FORMAT = Format(
    name="cdz",
    title="a CDZ image of pSX",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_cdz,
    extensions=("cdz",),
    mime=("application/x-cdz",),
    magic=tuple((0, magic) for magic in MAGICS),
    reads="all versions of cdztool: with a CUE sheet, CloneCD's CCD or an MDS, or the sectors alone; subchannel",
    lacks="the blocks behind a broken head of a block",
)
