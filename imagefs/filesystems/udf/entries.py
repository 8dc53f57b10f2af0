"""File entries (the inodes of UDF, called ICBs) and the nodes that they make.

offset  size  field                                   extended file entry (tag 266), where it differs
0       16    tag 261
20      2     strategy type                            4; 4096 on write-once media
27      1     file type                                4 directory, 5 file, 6 and 7 devices, 12 link ...
34      2     flags                                    low 3 bits: form of the allocation descriptors
36      4     uid                                      0xFFFFFFFF: not set
40      4     gid
44      4     permissions                              5 bits each for others, group, owner: x w r chattr delete
48      2     link count
56      8     information length (bytes)
64      8     blocks recorded                          72 (64 is the size with all streams)
72      12    access time                              80
84      12    modification time                        92
                                                       104 creation time
96      12    attribute time                           116
112     16    extended attributes' ICB (long_ad)       136
                                                       152 stream directory's ICB (long_ad)
160     8     unique id                                200
168     4     length of extended attributes            208
172     4     length of allocation descriptors         212
176           extended attributes, then allocation     216

With strategy 4096 the block after an entry may hold an indirect entry (tag 259, long_ad at 36) to the newer version of it.
Sources: ECMA-167 4/14.6, 4/14.9, 4/14.17; UDF 2.60 2.3.5, 2.3.6, 3.3.3.
"""

import stat
import struct
from typing import NamedTuple

from imagefs.filesystems.udf import tags
from imagefs.nodes import NOBODY

HEADER_BYTES = {tags.FILE_ENTRY: 176, tags.EXTENDED_FILE_ENTRY: 216}
_PLAIN = struct.Struct("<H18xH5xB6xHIIIH6xQQ12s12s12s4x16s40xII")
_EXTENDED = struct.Struct("<H18xH5xB6xHIIIH6xQ8xQ12s12s12x12s8x16s16s40xII")
_NO_AD = bytes(16)

STRATEGY_DIRECT, STRATEGY_WRITE_ONCE = 4, 4096
UNSPECIFIED, DIRECTORY, FILE, BLOCK_DEVICE, CHARACTER_DEVICE, FIFO, SOCKET, LINK, STREAMS, REAL_TIME = (
    0, 4, 5, 6, 7, 9, 10, 12, 13, 249,
)  # fmt: skip
VAT, METADATA, METADATA_MIRROR = 248, 250, 251
SHORT, LONG, EXTENDED, EMBEDDED = 0, 1, 2, 3
_SETUID, _SETGID, _STICKY, _FORM = 0x40, 0x80, 0x100, 7
NOT_SET = 0xFFFF_FFFF
"""The uid or gid of a file that has none."""

_KINDS = {
    UNSPECIFIED: stat.S_IFREG,
    DIRECTORY: stat.S_IFDIR,
    FILE: stat.S_IFREG,
    BLOCK_DEVICE: stat.S_IFBLK,
    CHARACTER_DEVICE: stat.S_IFCHR,
    FIFO: stat.S_IFIFO,
    SOCKET: stat.S_IFSOCK,
    LINK: stat.S_IFLNK,
    REAL_TIME: stat.S_IFREG,
}


class FileEntry(NamedTuple):
    """An (extended) file entry: sizes in bytes, times as recorded, `attributes` and `streams` as long_ad.

    `block` and `reference` say where it is, `offset` is the byte address of its first byte, `data` holds its block.
    """

    identifier: int
    strategy: int
    kind: int
    flags: int
    uid: int
    gid: int
    permissions: int
    links: int
    size: int
    recorded_blocks: int
    atime: bytes
    mtime: bytes
    ctime: bytes
    attributes: bytes
    streams: bytes
    attributes_bytes: int
    allocation_bytes: int
    block: int
    reference: int
    offset: int
    data: bytes

    @property
    def form(self) -> int:
        """The form of its allocation descriptors."""
        return self.flags & _FORM

    @property
    def attributes_at(self) -> int:
        """Where its extended attributes begin in `data`."""
        return HEADER_BYTES[self.identifier]

    @property
    def allocation(self) -> bytes:
        """Its allocation descriptors, or the content itself."""
        start = self.attributes_at + self.attributes_bytes
        return self.data[start : start + self.allocation_bytes]

    @property
    def format(self) -> int:
        """The S_IFMT bits of what it describes, 0 for what is no file (streams, metadata)."""
        return _KINDS.get(self.kind, 0)


def entry_at(data: bytes, block: int, reference: int, offset: int) -> FileEntry | None:
    """The file entry that `data`, one block, holds; None when it holds none whose lengths fit."""
    tag = tags.tag_at(data)
    if tag.identifier == tags.FILE_ENTRY:
        *fields, attributes, ea_bytes, ad_bytes = _PLAIN.unpack_from(data)
        streams = _NO_AD
    elif tag.identifier == tags.EXTENDED_FILE_ENTRY:
        *fields, attributes, streams, ea_bytes, ad_bytes = _EXTENDED.unpack_from(data)
    else:
        return None
    if HEADER_BYTES[tag.identifier] + ea_bytes + ad_bytes > len(data) or fields[8] >> 63:
        return None
    return FileEntry._make((*fields, attributes, streams, ea_bytes, ad_bytes, block, reference, offset, data))


def mode_of(entry: FileEntry) -> int:
    """Type and permissions. Where none are recorded (Windows, DVD authoring), everybody may read."""
    kind, mode = entry.format, _permissions(entry.permissions, entry.flags)
    if kind == stat.S_IFDIR:
        mode = mode if mode & 0o777 else mode | 0o555
        if not mode & 0o111:
            mode |= (mode & 0o444) >> 2
    elif not mode & 0o777:
        mode |= 0o777 if kind == stat.S_IFLNK else 0o444
    return kind | mode


def file_mode(permissions: int, flags: int) -> int:
    """The mode of a regular file."""
    mode = _permissions(permissions, flags)
    return stat.S_IFREG | (mode if mode & 0o777 else mode | 0o444)


def _permissions(p: int, flags: int) -> int:
    mode = p & 7 | (p >> 2) & 0o70 | (p >> 4) & 0o700
    return mode | (flags & _SETUID) << 5 | (flags & _SETGID) << 3 | (flags & _STICKY) << 1


def owner_of(number: int) -> int:
    """A uid or gid, NOBODY when it is not set."""
    return NOBODY if number == NOT_SET else number
