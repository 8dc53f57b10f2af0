"""MacBinary: a file of a Macintosh with its two forks and what the Finder knew, in one.

offset  size  field        meaning (all big-endian)
0       1     old version  0
1       64    name         its length, 1 to 63, then the name in MacRoman
65      8     type         and creator, 4 letters each
74      1                  0
82      1                  0
83      4     data         bytes of the data fork
87      4     resource     bytes of the resource fork
99      2     comment      bytes of the Finder's comment; version I ends here, with zeros
102     4     signature    "mBIN" in version III
120     2     second       bytes of a second header, which follows the first
122     2     versions     of the writer and of the least reader: 129 for II, 130 for III
124     2     crc          CRC-16 (XMODEM) of the first 124 bytes

Behind the headers lie data fork, resource fork and comment, each filled up to a multiple of 128 bytes. Disk images of the
1990s (.img, .smi, .toast) came so from servers that knew one fork; the image is the data fork.
Source: "Macintosh Binary Transfer Format" I (1985), II (1987), III (1996).
"""

import binascii
import struct
from typing import NamedTuple

from imagefs.errors import DamagedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader, slice_of

HEADER = struct.Struct(">B64s4s4sxB7xBII8xHx4s14xHBBHxx")
HEADER_BYTES = CHUNK_BYTES = 128
NAME_BYTES = 63
MOST = (1 << 31) - 1
"""Lengths of a fork are signed."""
II = 129


class _Header(NamedTuple):
    old_version: int
    name: bytes
    type: bytes
    creator: bytes
    zero74: int
    zero82: int
    data: int
    resource: int
    comment: int
    signature: bytes
    second: int
    version: int
    least: int
    crc: int


def _header(raw: bytes) -> _Header | None:
    """The header in the first 128 bytes of a file, None when it is none."""
    if len(raw) < HEADER_BYTES:
        return None
    header = _Header(*HEADER.unpack(raw))
    zeros = (header.old_version, header.zero74, header.zero82)
    name = header.name[1 : 1 + header.name[0]]
    if any(zeros) or not 1 <= header.name[0] <= NAME_BYTES or min(name) < 0x20:
        return None
    return header if 0 < header.data <= MOST and header.resource <= MOST else None


def _filled(size: int) -> int:
    return -(-size // CHUNK_BYTES) * CHUNK_BYTES


def _data_at(header: _Header) -> int:
    return HEADER_BYTES + (_filled(header.second) if header.version >= II else 0)


def probe(candidate: Candidate) -> Match | None:
    """Versions II and III have a checksum; version I is believed when its lengths are those of the file."""
    raw = candidate.head(HEADER_BYTES)
    header = _header(raw)
    if header is None:
        return None
    if header.version >= II and header.crc == binascii.crc_hqx(raw[:124], 0):
        return Match(90, "MacBinary header with its checksum")
    forks = HEADER_BYTES + header.data, HEADER_BYTES + _filled(header.data) + header.resource
    ends = (*forks, *map(_filled, forks))
    if not any(raw[101:]) and min(header.type + header.creator) >= 0x20 and candidate.reader.size in ends[1:]:
        return Match(65, "MacBinary header of version I, with the lengths of the file")
    return None


def open_macbinary(candidate: Candidate, options: Options) -> Reader:
    """The data fork. Raises DamagedError; where the file was cut off, reads behind its end do."""
    header = _header(candidate.exactly(0, HEADER_BYTES))
    if header is None or _data_at(header) >= candidate.reader.size:
        raise DamagedError(0, "the MacBinary header is damaged")
    return slice_of(candidate.reader, _data_at(header), header.data)


FORMAT = Format(
    name="macbinary",
    title="a MacBinary file",
    layer=Layer.WRAPPER,
    extensions=("macbin",),  # usually it is .bin, which says nothing: most of those are raw sectors
    mime=("application/x-macbinary",),
    probe=probe,
    open=open_macbinary,
    reads="the data fork of versions I, II and III",
    lacks="the resource fork",
)
