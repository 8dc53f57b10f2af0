"""El Torito: the boot images of a disc.

The boot record descriptor names the catalog's sector. The catalog is a list of 32-byte entries:

validation   0 id 01, 1 platform, 4-27 id text, 28 checksum (all 16-bit words add up to 0), 30 55 AA
initial      0 88 bootable or 00 not, 1 media (low nibble), 2 LE16 load segment, 4 system type,
             6 LE16 count of 512-byte sectors, 8 LE32 sector of the image
header       0 90 or 91 (the last one), 1 platform, 2 LE16 entries that follow, 4-31 id text
entry        as the initial one; bit 5 of media: an extension (44) follows
Media: 0 no emulation, 1 to 3 diskettes of 1.2, 1.44 and 2.88 MB, 4 hard disk. El Torito specification 1.0, 2 and UEFI 2.10,
13.3.2.1.

The count is what a BIOS loads, not the image's size, and 16 bits are too few for today's images. So the size is the
diskette's; of a hard disk, the end of its first partition; else the largest of the count, the file of the tree that
begins there, and the FAT file system that does; when nothing is known (a count of 0 or 1 on EFI), up to the volume's end.
Broken catalogs (wrong counts, a missing 91, entries without a header) are read on while entries make sense.
"""

import struct
from collections.abc import Mapping
from typing import NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.filesystems.iso9660.descriptors import SECTOR_BYTES
from imagefs.readers import Reader

_ENTRY_BYTES = 32
_ENTRY = struct.Struct("<BBHBxHI")  # bootable, media, load segment, system type, count, sector
_HEADER = struct.Struct("<BBH28s")  # kind, platform, entries, id
_BOOTABLE, _NOT_BOOTABLE, _MORE_HEADERS, _LAST_HEADER, _EXTENSION = 0x88, 0x00, 0x90, 0x91, 0x44
_PLATFORMS = {0: "x86", 1: "powerpc", 2: "mac", 0xEF: "efi"}
_MEDIA = ("none", "floppy 1.2M", "floppy 1.44M", "floppy 2.88M", "hard disk")
_FLOPPY_BYTES = {1: 1_228_800, 2: 1_474_560, 3: 2_949_120}
_HARD_DISK = 4
_UNIT = 512


class BootEntry(NamedTuple):
    """One boot image; `sector` is in units of 2048 bytes, `units` is the load count of 512 bytes each, `size` in bytes."""

    platform: str
    bootable: bool
    media: int
    load_segment: int
    system_type: int
    units: int
    sector: int
    id: str

    @property
    def offset(self) -> int:
        return self.sector * SECTOR_BYTES


def read_catalog(reader: Reader, sector: int) -> list[BootEntry]:
    """The entries of the catalog at a sector; none when it cannot be read. Raises OSError, BlockingIOError."""
    length = limits.BOOT_ENTRIES * _ENTRY_BYTES
    try:
        data = reader.pread(sector * SECTOR_BYTES, min(length, max(0, reader.size - sector * SECTOR_BYTES)))
    except DamagedError:
        return []
    if len(data) < 2 * _ENTRY_BYTES or data[0] != 1:
        return []
    platform, text = data[1], data[4:28]
    found: list[BootEntry] = []
    for at in range(_ENTRY_BYTES, len(data) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        kind = data[at]
        if kind in (_MORE_HEADERS, _LAST_HEADER):
            _, platform, _, text = _HEADER.unpack_from(data, at)
        elif kind == _EXTENSION:
            continue
        elif kind in (_BOOTABLE, _NOT_BOOTABLE):
            bootable, media, segment, system, count, where = _ENTRY.unpack_from(data, at)
            if not where or where * SECTOR_BYTES >= reader.size:
                break
            name = _PLATFORMS.get(platform, f"{platform:#04x}")
            label = text.partition(b"\0")[0].decode("latin-1").strip()
            found.append(BootEntry(name, bootable == _BOOTABLE, media & 0xF, segment, system, count, where, label))
        else:
            break
    return found


def media_name(media: int) -> str:
    """What a medium is called."""
    return _MEDIA[media] if media < len(_MEDIA) else f"{media}"


def image_bytes(entry: BootEntry, reader: Reader, file_sizes: Mapping[int, int], end: int) -> int:
    """The size of a boot image in bytes, within the reader.

    `file_sizes` gives the size of the file that begins at a byte offset; `end` is where the volume ends.
    """
    there = max(0, min(end, reader.size) - entry.offset)
    if entry.media in _FLOPPY_BYTES:
        return min(_FLOPPY_BYTES[entry.media], there)
    try:
        head = reader.pread(entry.offset, min(_UNIT, there))
    except DamagedError:
        head = b""
    stated = entry.units * _UNIT
    if len(head) == _UNIT and head[510:] == b"\x55\xaa":
        disk = _first_partition_end(head) if entry.media == _HARD_DISK else _fat_bytes(head)
        stated = max(stated, disk)
    size = max(stated, file_sizes.get(entry.offset, 0))
    if entry.units <= 1 and entry.platform == "efi" and size <= _UNIT:
        return there
    return min(size, there)


def _first_partition_end(head: bytes) -> int:
    """Where the first partition of an MBR ends, in bytes."""
    start, count = struct.unpack_from("<II", head, 454)
    return int(start + count) * _UNIT


def _fat_bytes(head: bytes) -> int:
    """The size that a FAT boot sector states, 0 when it is none."""
    unit, per_cluster = struct.unpack_from("<HB", head, 11)
    if unit not in (512, 1024, 2048, 4096) or not per_cluster or per_cluster & (per_cluster - 1):
        return 0
    sectors = int.from_bytes(head[19:21], "little") or int.from_bytes(head[32:36], "little")
    return sectors * int(unit)
