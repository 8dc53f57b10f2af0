"""Finding the sessions of an image that has no table of contents, and the address that its first byte has.

Two kinds of multi-session image exist. On overwritable media (DVD+RW, BD-RE, plain files; xorriso, growisofs) the set at
sector 16 is rewritten to describe the newest session, while each session keeps its own at 48, 80 ...: session starts are
multiples of 32 sectors, the first is 32. On write-once media (and where such sessions were joined into one file) each
session follows the former one, at its end rounded up or after a CD's lead-out and lead-in; sector 16 describes the first.
In both, extents are absolute: a descriptor set whose root lies before its own session, or whose root's `.` does not point
to itself, is something else (the set at 32 of an isohybrid with `-partition_offset 16`, an image stored as a file).

An image of a later track alone begins at an address that is not 0, yet its extents are absolute too: `address_of_start`
finds it by the one directory whose `.` names the root's extent.
"""

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.filesystems.iso9660.descriptors import (
    SECTOR_BYTES,
    SYSTEM_AREA_SECTORS,
    Descriptor,
    DescriptorSet,
    both32,
    is_descriptor,
    read_set,
)
from imagefs.readers import Extent, ExtentReader, Reader

_OVERWRITABLE_START = 32
_ALIGNMENTS = (1, 16, 32)
_CD_GAPS = (150, 6900, 11400)
"""Sectors between sessions on a CD: a pregap alone; lead-out and lead-in after a later and after the first session."""


def is_directory_at(reader: Reader, offset: int, block: int) -> bool:
    """Whether at byte `offset` a directory begins whose `.` says that it is at `block`."""
    try:
        head = reader.pread(offset, 34)
    except DamagedError:
        return False
    return len(head) == 34 and head[0] >= 34 and head[32:] == b"\1\0" and both32(head, 2) + head[1] == block


def has_root(reader: Reader, descriptor: Descriptor) -> bool:
    """Whether a descriptor's root directory is where it says."""
    return is_directory_at(reader, descriptor.root_block * descriptor.block_bytes, descriptor.root_block)


def _session_at(reader: Reader, start: int) -> DescriptorSet | None:
    """The session that begins at a sector, None when there is none whose extents are absolute."""
    offset = (start + SYSTEM_AREA_SECTORS) * SECTOR_BYTES
    try:
        if offset + SECTOR_BYTES > reader.size or not is_descriptor(reader.pread(offset, 16)):
            return None
    except DamagedError:
        return None
    found = read_set(reader, start)
    if found is None or found.first is None:
        return None
    root = found.first.root_block * found.first.block_bytes
    return found if root >= start * SECTOR_BYTES and has_root(reader, found.first) else None


def _next_starts(session: DescriptorSet) -> list[int]:
    """Where a session after this one may begin, the likeliest first."""
    if session.first is None:
        return []
    size = session.first.space_blocks * session.first.block_bytes // SECTOR_BYTES
    ends = [session.start + size]
    if size > session.start > 0:
        ends.append(size)  # some writers count from the disc's start
    starts = [-(-end // unit) * unit for end in ends for unit in _ALIGNMENTS]
    starts += [end + gap for end in ends for gap in _CD_GAPS]
    return [start for start in dict.fromkeys(starts) if start > session.start]


def find_sessions(reader: Reader) -> list[DescriptorSet]:
    """The sessions of an image, the oldest first. Raises OSError, BlockingIOError."""
    session = _session_at(reader, _OVERWRITABLE_START) or read_set(reader)
    found: list[DescriptorSet] = []
    while session is not None and len(found) < limits.SESSIONS:
        found.append(session)
        session = next(filter(None, (_session_at(reader, start) for start in _next_starts(session))), None)
    return found


def address_of_start(reader: Reader, descriptors: DescriptorSet, descriptor: Descriptor) -> int:
    """The address, in sectors, of the image's first sector: 0, unless the image is a later part of a disc.

    It is negative when the image begins before the disc's address 0 (a stored pregap).
    """
    root = descriptor.root_block * descriptor.block_bytes // SECTOR_BYTES
    if has_root(reader, descriptor):
        return 0
    first = descriptors.start + SYSTEM_AREA_SECTORS + 1
    for sector in range(first, min(first + limits.ROOT_SECTORS, reader.size // SECTOR_BYTES)):
        if is_directory_at(reader, sector * SECTOR_BYTES, descriptor.root_block):
            return root - sector
    return 0


def at_address(reader: Reader, start: int) -> Reader:
    """The same bytes in a space where the first has the address `start` (sectors); what lies before them is missing."""
    if not start:
        return reader
    offset = start * SECTOR_BYTES
    if offset < 0:
        return ExtentReader([Extent(0, reader.size + offset, reader, -offset)], reader.size + offset)
    return ExtentReader([Extent(offset, reader.size, reader)], offset + reader.size)
