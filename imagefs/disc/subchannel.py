"""The Q channel of stored subchannel: where a pregap begins, recording codes and the catalogue number.

P to W of a sector are 96 bytes. As a drive gives them (raw, interleaved) bit 6 of every byte is Q's; apart (linear), bytes
12 to 23 are Q. Either way they are the 96 bits of a frame:

0   1   control (bits 4-7), adr (bits 0-3)
        adr 1 (position)             adr 2 (catalogue)            adr 3 (ISRC)
1   9   track, index (BCD),          13 digits of 4 bits,         5 letters of 6 bits (0 to 9, A to Z from 17
        times                        zeros, frame                 on), 2 zeros, 7 digits of 4 bits, zeros, frame
10  2   checksum over bytes 0-9 (`imagefs.disc.cdtext.crc16`), big-endian

Every 100 sectors have at least 90 of adr 1, and one of adr 2 or 3 where the disc has such a number at all.
Frames that fail their checksum are left out: a drive gives many of these. Source: ECMA-130 §22.
"""

import re
from collections.abc import Iterator

from imagefs.disc.cdtext import crc16
from imagefs.disc.model import SUBCHANNEL_BYTES
from imagefs.errors import ImageError
from imagefs.readers import Reader

_Q_BIT = bytes(0x30 + (value >> 6 & 1) for value in range(256))
"""A byte of interleaved subchannel -> its bit of Q, as a digit."""
_LINEAR_Q = slice(12, 24)
_FRAME_BYTES, _CHECKED_BYTES = 12, 10
_POSITION, _CATALOG, _ISRC = 1, 2, 3
_REPEATED_WITHIN = 100
"""Sectors in which every kind of frame that a disc has comes at least once."""
_WITHOUT_POSITION = 4
"""Sectors that are looked at for the position of the first: frames of another kind or damaged ones do not come in a row."""
_ISRC_CODE = re.compile(r"[A-Z]{2}[A-Z0-9]{3}\d{7}", re.ASCII)


def valid_isrc(code: str) -> str:
    """A recording code, empty when it is none."""
    return code if _ISRC_CODE.fullmatch(code) else ""


def q_of(raw: bytes, *, interleaved: bool = True) -> bytes | None:
    """The first 10 of Q's 12 bytes in the 96 of a sector, None when they fail their checksum."""
    if len(raw) < SUBCHANNEL_BYTES:
        return None
    frame = int(raw.translate(_Q_BIT), 2).to_bytes(_FRAME_BYTES, "big") if interleaved else raw[_LINEAR_Q]
    told = frame[:_CHECKED_BYTES]
    return told if crc16(told) == int.from_bytes(frame[_CHECKED_BYTES:], "big") else None


class QChannel:
    """What Q says in `reader`, which has 96 bytes for each sector. What cannot be read says nothing."""

    def __init__(self, reader: Reader, *, interleaved: bool = True) -> None:
        self._reader, self._interleaved = reader, interleaved

    def _frames(self, first: int, count: int) -> Iterator[bytes]:
        """The valid frames of a range of sectors."""
        try:
            data = self._reader.pread(first * SUBCHANNEL_BYTES, max(0, count) * SUBCHANNEL_BYTES)
        except (ImageError, OSError):  # a bad sector of a disk spoils no more than its own file
            return
        for at in range(0, len(data), SUBCHANNEL_BYTES):
            frame = q_of(data[at : at + SUBCHANNEL_BYTES], interleaved=self._interleaved)
            if frame is not None:
                yield frame

    def _is_pregap(self, sector: int, end: int, track: int) -> bool:
        """Whether the first position from a sector on, before `end`, is one of index 0 of a track."""
        for frame in self._frames(sector, min(_WITHOUT_POSITION, end - sector)):
            if frame[0] & 15 == _POSITION:
                return frame[1:3] == bytes((track // 10 << 4 | track % 10, 0))
        return False

    def pregap(self, track: int, begin: int, index1: int) -> int:
        """Sectors of a track's index 0, which end at sector `index1` and lie behind sector `begin`."""
        low, high = begin, index1  # no pregap at `low`, and one from `high` on to index 1
        while high - low > 1:
            middle = (low + high) // 2
            if self._is_pregap(middle, index1, track):
                high = middle
            else:
                low = middle
        return index1 - high

    def catalog(self, first: int, count: int) -> str:
        """The 13 digits of the catalogue number, empty when the first sectors have none."""
        for frame in self._frames(first, min(count, _REPEATED_WITHIN)):
            digits = frame[1:9].hex()[:13]
            if frame[0] & 15 == _CATALOG and digits.isdecimal() and digits.strip("0"):
                return digits
        return ""

    def isrc(self, first: int, count: int) -> str:
        """The recording code of the track that begins with these sectors, empty when the first ones have none."""
        for frame in self._frames(first, min(count, _REPEATED_WITHIN)):
            if frame[0] & 15 == _ISRC and (code := valid_isrc(_isrc_of(frame))):
                return code
        return ""


def _isrc_of(frame: bytes) -> str:
    letters = int.from_bytes(frame[1:5], "big") >> 2
    return "".join(chr(0x30 + (letters >> shift & 63)) for shift in range(24, -1, -6)) + frame[5:9].hex()[:7]
