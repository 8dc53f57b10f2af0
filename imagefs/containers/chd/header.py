"""The header of a CHD, all five versions. All integers are big-endian.

offset  size  v1 (76), v2 (80)         v3 (120)        v4 (108)        v5 (124)
0       8     "MComprHD"               <               <               <
8       4     length of the header     <               <               <
12      4     version                  <               <               <
16      4     flags                    flags           flags           codecs: four names of 4 bytes
20      4     compression              compression     compression     |
24      4     sectors in a hunk        hunks           hunks           |
28      4     hunks                    u64 size        u64 size        |
32      4     cylinders                |               |               u64 size
36      4     heads                    u64 metadata    u64 metadata    |
40      4     sectors                  |               |               u64 map
44            md5                      md5             u32 hunk bytes  |
48                                                     sha1            u64 metadata
56                                                                     u32 hunk bytes
60            parent's md5             parent's md5                    u32 unit bytes
64                                                                     sha1 of the content
68                                                     parent's sha1
76            v2: u32 sector bytes     u32 hunk bytes
80                                     sha1
84                                                                     sha1
88                                                     sha1 of content
100                                    parent's sha1
104                                                                    parent's sha1

size: bytes of the content. metadata: offset of the first entry, 0 when there is none. flags: 1 has a parent, 2 may be
written to. compression: 0 none, 1 and 2 deflate, 3 audio and video. md5 is of the content, sha1 of content and metadata.
In versions 1 to 4 the map follows the header. A version 5 without a first codec is not compressed.
"""

import struct
from typing import NamedTuple

from imagefs import limits
from imagefs.containers.chd.packing import FRAME_BYTES
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.readers import Reader

MAGIC = b"MComprHD"
LENGTHS = {1: 76, 2: 80, 3: 120, 4: 108, 5: 124}

_START = struct.Struct(">8sII")
_V1 = struct.Struct(">16x7I16s16s")
_V2_SECTOR = struct.Struct(">76xI")
_V3 = struct.Struct(">16x3IQQ16s16sI20s20s")
_V4 = struct.Struct(">16x3IQQI20s20s20s")
_V5 = struct.Struct(">16x16sQQQII20s20s20s")
_HAS_PARENT, _KNOWN_FLAGS = 1, 3
_COMPRESSIONS = {0: (), 1: (b"zlib",), 2: (b"zlib",), 3: (b"avhu",)}
_SECOND_CODEC = b"cdfl"
"""of versions 3 and 4, in hunks that say so"""
_V1_SECTOR_BYTES = 512


class Header(NamedTuple):
    """Offsets and sizes in bytes. `parent` names one of the parent's `names`; empty when there is none."""

    version: int
    size: int
    hunk_bytes: int
    hunks: int
    unit_bytes: int
    codecs: tuple[bytes, ...]
    """by number, zeros where there is none; empty when nothing is packed"""
    map_offset: int
    meta_offset: int
    names: tuple[bytes, ...]
    """SHA-1 (20 bytes) and MD5 (16 bytes), as far as they are known"""
    parent: bytes


def read_header(reader: Reader) -> Header:
    """The header, its numbers checked. Raises DamagedError, UnsupportedError for another version."""
    _, length, version = _START.unpack(reader.exactly(0, _START.size))
    if version not in LENGTHS:
        raise UnsupportedError(f"CHD version {version} is not read")
    if length != LENGTHS[version]:
        raise DamagedError(8, f"a header of {length} bytes; version {version} has one of {LENGTHS[version]}")
    data = reader.exactly(0, length)
    header = (_read_v5 if version == 5 else _read_v4 if version == 4 else _read_v3 if version == 3 else _read_v1)(data)
    if not 0 < header.hunk_bytes <= limits.BLOCK_BYTES:
        raise DamagedError(0, f"hunks of {header.hunk_bytes} bytes; the limit is {limits.BLOCK_BYTES}")
    if not 0 < header.unit_bytes <= header.hunk_bytes or header.hunk_bytes % header.unit_bytes:
        raise DamagedError(0, f"hunks of {header.hunk_bytes} bytes that consist of units of {header.unit_bytes}")
    if not header.size or header.hunks * header.hunk_bytes < header.size:
        raise DamagedError(0, f"{header.hunks} hunks of {header.hunk_bytes} bytes do not hold {header.size}")
    return header


def _read_v5(data: bytes) -> Header:
    names, size, at, meta, hunk_bytes, unit_bytes, _, sha1, parent = _V5.unpack(data)
    codecs = tuple(names[number : number + 4] for number in range(0, 16, 4)) if any(names[:4]) else ()
    hunks = -(-size // hunk_bytes) if hunk_bytes else 0
    return Header(5, size, hunk_bytes, hunks, unit_bytes, codecs, at, meta, _known(sha1), b"".join(_known(parent)))


def _read_v4(data: bytes) -> Header:
    flags, compression, hunks, size, meta, hunk_bytes, sha1, parent, _ = _V4.unpack(data)
    has_parent, codecs = _old(flags, compression, hunk_bytes)
    parent = parent if has_parent else b""
    return Header(4, size, hunk_bytes, hunks, hunk_bytes, codecs, LENGTHS[4], meta, _known(sha1), parent)


def _read_v3(data: bytes) -> Header:
    flags, compression, hunks, size, meta, md5, parent_md5, hunk_bytes, sha1, parent = _V3.unpack(data)
    has_parent, codecs = _old(flags, compression, hunk_bytes)
    parent = (parent if any(parent) else parent_md5) if has_parent else b""
    return Header(3, size, hunk_bytes, hunks, hunk_bytes, codecs, LENGTHS[3], meta, _known(sha1, md5), parent)


def _read_v1(data: bytes) -> Header:
    """Version 1 or 2: always a hard disk, its geometry stands here."""
    flags, compression, sectors, hunks, *geometry, md5, parent = _V1.unpack_from(data)
    version = 1 if len(data) == LENGTHS[1] else 2
    sector_bytes = _V1_SECTOR_BYTES if version == 1 else _V2_SECTOR.unpack(data)[0]
    has_parent, codecs = _old(flags, compression)
    size = geometry[0] * geometry[1] * geometry[2] * sector_bytes
    hunk_bytes = sectors * sector_bytes
    parent = parent if has_parent else b""
    return Header(version, size, hunk_bytes, hunks, hunk_bytes, codecs, len(data), 0, _known(md5), parent)


def _old(flags: int, compression: int, hunk_bytes: int = 0) -> tuple[bool, tuple[bytes, ...]]:
    """(has a parent, codecs) of versions 1 to 4. Hunks that are frames of a CD may have the second codec."""
    if flags & ~_KNOWN_FLAGS:
        raise UnsupportedError(f"CHD flags {flags:#x} are not known")
    if compression not in _COMPRESSIONS:
        raise UnsupportedError(f"CHD compression {compression} is not known")
    codecs = _COMPRESSIONS[compression]
    if codecs == (b"zlib",) and hunk_bytes and not hunk_bytes % FRAME_BYTES:
        codecs = (*codecs, _SECOND_CODEC)
    return bool(flags & _HAS_PARENT), codecs


def _known(*names: bytes) -> tuple[bytes, ...]:
    """Those that are not all zeros."""
    return tuple(name for name in names if any(name))
