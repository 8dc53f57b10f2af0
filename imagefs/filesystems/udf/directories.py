"""Directories: the content of a directory file is a row of file identifier descriptors, which may lie across blocks.

offset  size  field
0       16    tag 257
16      2     version
18      1     characteristics    1 hidden, 2 directory, 4 deleted, 8 parent, 16 metadata (of streams)
19      1     length of the name
20      16    ICB                long_ad of the file entry
36      2     length of implementation use
38            implementation use, name in CS0, padding to 4 bytes

ECMA-167 4/14.4. The first is that of the directory above (8, no name). Hidden entries are shown; deleted ones are not.
A descriptor that is broken spoils the listing as a whole, but those after it are found again by their tags.
"""

import struct
from typing import NamedTuple
from zlib import adler32

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.filesystems.udf import tags
from imagefs.filesystems.udf.tags import LongAd

_FIXED = struct.Struct("<HxxB13xBBIIH6xH")
_FIXED_BYTES = 38
_TAG_START = struct.pack("<H", tags.FILE_IDENTIFIER)
_LENGTH_MASK = (1 << 30) - 1
HIDDEN, IS_DIRECTORY, DELETED, PARENT, STREAM_METADATA = 1, 2, 4, 8, 16


class Identifier(NamedTuple):
    """A name, as recorded, and the block of the file entry that it leads to."""

    name: bytes
    flags: int
    block: int
    reference: int


def read_identifiers(data: bytes, size: int) -> tuple[list[Identifier], DamagedError | None]:
    """The identifiers of a directory of `size` bytes, deleted ones left out, and what is wrong when not all are there.

    `data` may be shorter than the directory. Positions in the error count from its start.
    """
    found: list[Identifier] = []
    fixed, append, new = _FIXED.unpack_from, found.append, tuple.__new__
    fault: DamagedError | None = None
    at, end, resyncs = 0, len(data), 0
    while at + _FIXED_BYTES <= end:
        # The low bytes of Adler-32 are one more than the sum of all bytes, in half the time that sum() takes.
        identifier, checksum, flags, name_bytes, length, block, reference, use = fixed(data, at)
        name_at = at + _FIXED_BYTES + use
        stop = name_at + name_bytes
        if identifier != tags.FILE_IDENTIFIER or stop > end or (adler32(data[at : at + 16]) - 1 - 2 * checksum) & 0xFF:
            fault = fault or DamagedError(None, f"the directory is broken at its byte {at}")
            at = _next_tag(data, at + 4) if resyncs < limits.RESYNCS else end
            resyncs += 1
            continue
        if not flags & DELETED:
            # One with a name that leads nowhere is an entry as well: what it stands for is lost.
            if name_bytes or (flags & PARENT and length & _LENGTH_MASK):
                append(new(Identifier, (data[name_at:stop], flags, block, reference)))
            elif not flags & PARENT:
                fault = fault or DamagedError(None, f"an entry of the directory has no name, at its byte {at}")
        at += (stop - at + 3) & ~3
    if any(data[at:]) or end < size:
        fault = fault or DamagedError(None, f"the directory ends at its byte {min(at, end)} of {size}")
    return found, fault


def _next_tag(data: bytes, at: int) -> int:
    """Where the next tag of an identifier may begin."""
    while True:
        at = data.find(_TAG_START, at)
        if at < 0:
            return len(data)
        if at % 4 == 0:
            return at
        at += 1


def parent_of(identifiers: list[Identifier]) -> LongAd | None:
    """The block of the file entry of the directory above."""
    for _, flags, block, reference in identifiers[:1]:
        if flags & PARENT:
            return LongAd(1, block, reference)
    return None
