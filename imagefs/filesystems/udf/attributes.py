"""What a file entry has besides content: the device that it stands for, and named streams.

Extended attributes (ECMA-167 4/14.10) lie in the entry itself, or in a file of their own: a header (tag 262, 24 bytes), then
each with 0 LE32 type, 4 subtype, 8 LE32 length of all of it. Of them only the device specification (type 12) is read:
16 LE32 major, 20 LE32 minor number.

Named streams (UDF 2.00 and up, 3.3.5) are files in a stream directory. Those that are the system's own (`*UDF ...`, and what
is marked as metadata) are hidden, but a Macintosh's resource fork, which is user.com.apple.ResourceFork; the others are
extended attributes too: stream `NAME` is `user.udf.NAME`. What is larger than 64 KiB cannot be one, and is not shown.
"""

import struct
from collections.abc import Iterator

from imagefs import limits
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.filesystems.udf import entries, names, tags
from imagefs.filesystems.udf.directories import PARENT, STREAM_METADATA, read_identifiers
from imagefs.filesystems.udf.entries import FileEntry
from imagefs.filesystems.udf.space import Space

_HEADER_BYTES = 24
_ATTRIBUTE = struct.Struct("<I4xI")  # type, length
_DEVICE = struct.Struct("<16xII")
_DEVICE_TYPE = 12
_EXTENTS = limits.CE_BYTES // 512
"""Extents of what attributes are kept in; more than it can have are not looked at for each file anew."""
_SYSTEM = b"*UDF "
_FORK = b"*UDF Macintosh Resource Fork"
PREFIX, RESOURCE_FORK = "user.udf.", "user.com.apple.ResourceFork"


def device_of(space: Space, entry: FileEntry) -> int:
    """The number of a device as os.makedev gives it; 0 when it is not recorded."""
    for area in _areas(space, entry):
        at = _HEADER_BYTES
        while at + _ATTRIBUTE.size <= len(area):
            kind, length = _ATTRIBUTE.unpack_from(area, at)
            if kind == _DEVICE_TYPE and _DEVICE.size <= length <= len(area) - at:
                major, minor = _DEVICE.unpack_from(area, at)
                return int(
                    minor & 0xFF | (major & 0xFFF) << 8 | (minor & 0xFFFFFF00) << 12 | (major & 0xFFFFF000) << 32
                )
            if length < _ATTRIBUTE.size:
                break
            at += length
    return 0


def _areas(space: Space, entry: FileEntry) -> Iterator[bytes]:
    """The extended attribute areas that can be read: in the entry, and in its attribute file."""
    start = entry.attributes_at
    yield entry.data[start : start + entry.attributes_bytes]
    file = tags.long_ad(entry.attributes, 0)
    if file.length:
        try:
            content = space.content(space.entry(file.reference, file.block), most=_EXTENTS)
            yield content.pread(0, limits.XATTR_BYTES)
        except (DamagedError, UnsupportedError):
            return


def streams_of(space: Space, entry: FileEntry) -> dict[str, bytes]:
    """The named streams of a file that are not the system's and fit into an extended attribute. Raises DamagedError."""
    where = tags.long_ad(entry.streams, 0)
    if not where.length:
        return {}
    directory = space.entry(where.reference, where.block)
    if directory.kind not in (entries.STREAMS, entries.DIRECTORY):
        raise DamagedError(directory.offset, "the stream directory of a file is none")
    size = min(directory.size, limits.CE_BYTES)
    identifiers, fault = read_identifiers(space.content(directory, most=_EXTENTS).pread(0, size), size)
    if fault:
        raise fault
    found = {}
    for raw, flags, block, reference in identifiers[: limits.XATTRS]:
        name = names.name_of(raw)
        is_users = not flags & STREAM_METADATA and name and not name.startswith(_SYSTEM)
        if not flags & PARENT and (is_users or name == _FORK):
            stream = space.entry(reference, block)
            if stream.size <= limits.XATTR_BYTES:
                shown = RESOURCE_FORK if name == _FORK else PREFIX + name.decode()
                found[shown] = space.content(stream, most=_EXTENTS).exactly(0, stream.size)
    return found
