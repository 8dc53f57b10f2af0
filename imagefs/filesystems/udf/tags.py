"""What every UDF structure begins with: the descriptor tag; and the addresses that structures hold.

tag (16 bytes)                                       long_ad (16 bytes)
0   2  identifier                                    0   4  length; the top two bits are the extent's type
2   2  version       2 or 3                          4   4  logical block
4   1  checksum      of the other 15 bytes           8   2  partition reference: index of the partition map
6   2  serial                                        10  6  implementation use
8   2  CRC           of what follows the tag
10  2  CRC length    bytes that it covers            extent_ad: 0  4  length, 4  4  absolute sector
12  4  location      the block that the tag is in

All is little-endian. Sources: ECMA-167 3/7.2, 4/14.14; UDF 2.60 2.2.1. The CRC is the CCITT polynomial with 0 to begin with,
as `binascii.crc_hqx` has it.

The checksum decides whether a tag is one. The CRC is looked at only where there is a choice between two copies: discs of the
packet-writing age have wrong ones.
"""

import struct
from binascii import crc_hqx
from typing import NamedTuple

TAG_BYTES = 16
_TAG = struct.Struct("<H2xB3xHHI")  # identifier, checksum, CRC, CRC length, location
_LONG_AD = struct.Struct("<IIH")
_LENGTH_MASK = (1 << 30) - 1

PRIMARY, ANCHOR, POINTER, PARTITION, LOGICAL, TERMINATING, INTEGRITY = 1, 2, 3, 5, 6, 8, 9
FILE_SET, FILE_IDENTIFIER, ALLOCATION, INDIRECT, FILE_ENTRY, ATTRIBUTES, EXTENDED_FILE_ENTRY = (
    256, 257, 258, 259, 261, 262, 266,
)  # fmt: skip


class Tag(NamedTuple):
    """A tag whose checksum is right; identifier 0 stands for none."""

    identifier: int
    crc: int
    crc_length: int
    location: int


NO_TAG = Tag(0, 0, 0, 0)


class LongAd(NamedTuple):
    """An extent of `length` bytes at a block of a partition."""

    length: int
    block: int
    reference: int


def tag_at(data: bytes, at: int = 0) -> Tag:
    """The tag at an offset, NO_TAG where there is none."""
    if at + TAG_BYTES > len(data):
        return NO_TAG
    identifier, checksum, crc, crc_length, location = _TAG.unpack_from(data, at)
    if (sum(data[at : at + TAG_BYTES]) - checksum) & 0xFF != checksum:
        return NO_TAG
    return Tag(identifier, crc, crc_length, location)


def is_intact(data: bytes, tag: Tag, at: int = 0) -> bool:
    """Whether the CRC of a structure is that of its tag; a tag without one says nothing against it."""
    body = data[at + TAG_BYTES : at + TAG_BYTES + tag.crc_length]
    return len(body) == tag.crc_length and (not body or crc_hqx(body, 0) == tag.crc)


def long_ad(data: bytes, at: int) -> LongAd:
    """The extent that a long_ad describes."""
    length, block, reference = _LONG_AD.unpack_from(data, at)
    return LongAd(length & _LENGTH_MASK, block, reference)
