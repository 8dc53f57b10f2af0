"""CD-TEXT packs: titles, performers and songwriters as the lead-in holds them, and as images and .cdt files keep them.

pack, 18 bytes
offset  size  field
0       1     type: 0x80 title, 0x81 performer, 0x82 songwriter ... 0x8F size information
1       1     number of the track whose text begins in the pack or runs on in it, 0 is the disc
2       1     sequence
3       1     bit 7 two-byte characters, bits 4-6 block (language), bits 0-3 characters of this text in earlier packs
4       12    text, each ended by one NUL (two-byte: two); a lone TAB means "as the track before"
16      2     CRC-16/GENIBUS (x^16+x^12+x^5+1, start 0, inverted), big-endian, over bytes 0-15; 0 in some files

The first pack of type 0x8F holds the character set in its first byte of text: 0 ISO 8859-1, 1 ASCII, 0x80 Shift-JIS.
Only the first block (language) is read. Before the packs there may be what a drive answers before them: u16 bytes that
follow, u16 0. Source: MMC-3 annex J; Sony/Philips CD-TEXT.
"""

import struct
from collections.abc import Iterator

from imagefs.disc.model import MAX_TRACK, TEXTS

_PACK = struct.Struct(">BBBB12sH")
_HEADER_BYTES = 4
MAX_BYTES = _HEADER_BYTES + 8 * 256 * _PACK.size
"""8 languages of 256 packs each, which are numbered in one byte."""
_TITLE, _SIZES = 0x80, 0x8F
_FIELDS = dict(enumerate(TEXTS, _TITLE))
_CHARSETS = {0: "latin-1", 1: "ascii", 0x80: "cp932"}

_CRC_POLYNOMIAL = 0x1021


def crc16(data: bytes) -> int:
    """The checksum of a pack and of a Q subchannel frame: polynomial 0x1021, start 0, inverted."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ _CRC_POLYNOMIAL if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc ^ 0xFFFF


def texts(packs: bytes) -> dict[int, dict[str, str]]:
    """Track number (0: the disc) -> its texts by their names in `TEXTS`. Packs that fail their checksum are left out."""
    streams: dict[int, tuple[int, bytearray, bool]] = {}
    charset = "latin-1"
    for kind, track, position, part in _packs(packs):
        if kind == _SIZES and track == 0:
            charset = _CHARSETS.get(part[0], "latin-1")
        elif kind in _FIELDS:
            streams.setdefault(kind, (track, bytearray(), bool(position & 0x80)))[1].extend(part)
    found: dict[int, dict[str, str]] = {}
    for kind, (first, stream, is_wide) in streams.items():
        before = ""
        for number, raw in enumerate(_split(bytes(stream), is_wide), first):
            text = before if raw in (b"\t", b"\t\t") else raw.decode(charset, "replace")
            if text and number <= MAX_TRACK:
                found.setdefault(number, {})[_FIELDS[kind]] = text
            before = text
    return found


def packs_in(data: bytes) -> bytes:
    """The packs alone of what an image or a .cdt file has: without a drive's header, and what is no whole pack."""
    is_headed = data[:1] != b"" and data[0] < _TITLE and data[_HEADER_BYTES : _HEADER_BYTES + 1] >= bytes([_TITLE])
    data = data[_HEADER_BYTES if is_headed else 0 : MAX_BYTES]
    return data[: len(data) // _PACK.size * _PACK.size]


def with_checksum(pack: bytes) -> bytes:
    """The first 16 bytes of a pack, made whole."""
    return pack + crc16(pack).to_bytes(2, "big")


def _packs(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, track, position byte, text) of the valid packs of the first block."""
    whole = packs_in(data)
    for at in range(0, len(whole), _PACK.size):
        kind, track, _, position, text, crc = _PACK.unpack_from(whole, at)
        if not position & 0x70 and crc in (0, crc16(whole[at : at + 16])):
            yield kind, track & 0x7F, position, text


def _split(stream: bytes, is_wide: bool) -> Iterator[bytes]:
    if not is_wide:
        yield from stream.split(b"\0")
        return
    begin = 0
    for at in range(0, len(stream) - 1, 2):
        if stream[at : at + 2] == b"\0\0":
            yield stream[begin:at]
            begin = at + 2
