"""Where on the disc a data track begins, by what its ISO 9660 volume says of itself.

A table of contents may be wrong or missing: a dump of a second session, an image that begins with the 150 sectors of
pregap, a sheet that leaves out the gap between sessions. But block addresses in a volume count from LBA 0 of the disc, and
a directory's first record names the directory's own address. So the sector in which the root directory is found tells the
address of the file's first sector.

primary volume descriptor, 16 sectors into the session         root directory, its first record (`.`)
0    1  type          1                                        0   1  length        34 or more
1    5  identifier    "CD001"                                  2   4  extent        its own address, little-endian
158  4  root extent   little-endian, from the root record      32  1  name length   1
                                                               33  1  name          0
Source: ECMA-119 §8.4 and §9.1, §6.8.2.2.
"""

import struct
from collections.abc import Iterator, Sequence

from imagefs.disc.model import DATA_BYTES, LEAD_IN_LBA
from imagefs.errors import DamagedError
from imagefs.readers import Reader

_DESCRIPTOR_SECTOR = 16
_ROOT_EXTENT = struct.Struct("<158xI")
_OWN_RECORD = struct.Struct("<BxI26xBB")  # length, extent, name length, name
_SCANNED_SECTORS = 512
"""The root directory lies behind the descriptors and path tables; 1 MiB of path tables are 50,000 directories."""
_SCAN_PIECE = 32


def first_lba(user: Reader, guesses: Sequence[int]) -> int | None:
    """The LBA of the first sector of `user` (2048 bytes a sector), None when no ISO 9660 volume tells it.

    `guesses` are tried in their order before the volume itself is searched for an answer.
    """
    found = _root_extent(user)
    if found is None:
        return None
    descriptor, root = found
    for guess in (*guesses, _DESCRIPTOR_SECTOR - descriptor):
        if root >= guess and _own_extent(_sector(user, root - guess)) == root:
            return guess
    for sector, data in _sectors(user, descriptor + 1):
        if _own_extent(data) == root:
            return root - sector
    return None


def stored_pregap(user: Reader) -> int:
    """Sectors of `user` that lie before the session of its volume: 150 where that pregap is stored as well, else 0."""
    found = _root_extent(user)
    return 0 if found is None else found[0] - _DESCRIPTOR_SECTOR


def _root_extent(user: Reader) -> tuple[int, int] | None:
    """(sector of the primary volume descriptor, LBA of the root directory); with or without a stored pregap."""
    for sector in (_DESCRIPTOR_SECTOR, LEAD_IN_LBA + _DESCRIPTOR_SECTOR):
        data = _sector(user, sector)
        if data[:6] == b"\x01CD001" and len(data) == DATA_BYTES:
            return sector, _ROOT_EXTENT.unpack_from(data)[0]
    return None


def _own_extent(directory: bytes) -> int | None:
    """The address that a directory's first record gives, None when this is no directory."""
    if len(directory) < _OWN_RECORD.size:
        return None
    length, extent, name_length, name = _OWN_RECORD.unpack_from(directory)
    return extent if length >= 34 and (name_length, name) == (1, 0) else None


def _sector(user: Reader, sector: int) -> bytes:
    try:
        return user.pread(sector * DATA_BYTES, DATA_BYTES)
    except DamagedError:
        return b""


def _sectors(user: Reader, first: int) -> Iterator[tuple[int, bytes]]:
    for begin in range(first, first + _SCANNED_SECTORS, _SCAN_PIECE):
        try:
            data = user.pread(begin * DATA_BYTES, _SCAN_PIECE * DATA_BYTES)
        except DamagedError:
            return
        for at in range(0, len(data), DATA_BYTES):
            yield begin + at // DATA_BYTES, data[at : at + DATA_BYTES]
