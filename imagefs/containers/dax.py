"""DAX: an ISO image in frames of 8 KiB, for the PSP.

offset  size     field    meaning (all little-endian)
0       4        magic    "DAX", NUL
4       4        size     bytes of the image
8       4        version  0 or 1
12      4        areas    version 1: runs of frames that are not packed
16      16       (zero)
32      4*n      offsets  where each of the n = ceil(size / 8192) frames begins
32+4n   2*n      lengths  its stored length
32+6n   8*areas  areas    first frame, count

A frame is a zlib stream, or 8192 plain bytes inside an area. The last one may be partial, and filled up or not.

Source: the DAX reader of maxcso; rom-properties; the driver of ARK-4, which goes by the offsets alone.
"""

import itertools
import struct
from array import array

from imagefs import codecs
from imagefs.codecs import Content
from imagefs.containers.cso import longest_block, plain
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.packed import IndexedReader, read_table
from imagefs.readers import Reader

HEADER = struct.Struct("<4sIII16x")
AREA = struct.Struct("<II")
FRAME_BYTES = 8192


class DaxReader(IndexedReader):
    """The image in a DAX file. `is_plain` has a byte for each frame, or is empty when none is plain."""

    in_order = False

    def __init__(
        self, base: Reader, size: int, offsets: "array[int]", lengths: "array[int]", is_plain: bytes = b""
    ) -> None:
        super().__init__(base, size, FRAME_BYTES, longest_block(FRAME_BYTES))
        self._offsets, self._lengths, self._is_plain = offsets, lengths, is_plain

    def positions(self, first: int, count: int) -> list[int]:
        last = first + count - 1
        return [*self._offsets[first : last + 1], self._offsets[last] + self._lengths[last]]

    def unpack_one(self, block: int, stored: bytes, where: int) -> Content:
        size = self.block_size(block)
        if self._is_plain and self._is_plain[block]:
            return plain(stored, size, where)
        return codecs.unzlib(stored, FRAME_BYTES, least=size, where=where)[:size]


def _plain_frames(candidate: Candidate, offset: int, areas: int, frames: int) -> bytes:
    """A byte for each frame: 1 inside an area."""
    if offset + areas * AREA.size > candidate.reader.size or areas > frames:
        raise DamagedError(12, f"{areas} areas in {frames} frames")
    changes = [0] * (frames + 1)  # +1 where an area begins, -1 after it: areas may overlap and touch
    for first, count in AREA.iter_unpack(candidate.exactly(offset, areas * AREA.size)):
        if first + count > frames:
            raise DamagedError(offset, f"an area of {count} frames from {first} on; there are {frames}")
        changes[first] += 1
        changes[first + count] -= 1
    return bytes(map(bool, itertools.islice(itertools.accumulate(changes), frames)))


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(HEADER.size)
    if len(head) < HEADER.size or not head.startswith(b"DAX\0"):
        return None
    _, _, version, areas = HEADER.unpack(head)
    return Match(95 if version <= 1 else 70, f"DAX magic, version {version}, {areas} areas of plain frames")


def open_dax(candidate: Candidate, options: Options) -> Reader:
    _, size, version, areas = HEADER.unpack(candidate.exactly(0, HEADER.size))
    if version > 1:
        raise UnsupportedError(f"DAX version {version} is not read")
    if not size:
        raise DamagedError(4, "an image of 0 bytes")
    frames = -(-size // FRAME_BYTES)
    offsets = read_table(candidate.reader, HEADER.size, "I", frames)
    lengths = read_table(candidate.reader, HEADER.size + 4 * frames, "H", frames)
    is_plain = _plain_frames(candidate, HEADER.size + 6 * frames, areas, frames) if version and areas else b""
    return DaxReader(candidate.reader, size, offsets, lengths, is_plain)


FORMAT = Format(
    name="dax",
    title="DAX compressed ISO",
    layer=Layer.CONTAINER,
    extensions=("dax",),
    mime=("application/x-dax",),
    magic=((0, b"DAX\0"),),
    probe=probe,
    open=open_dax,
    reads="versions 0 and 1, areas of plain frames, cut files",
)
