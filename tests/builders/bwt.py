"""BlindWrite 4's descriptors written for tests, field by field."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

AUDIO, MODE1, MODE2 = 0, 1, 2


class Entry(NamedTuple):
    """A track, or the disc; addresses are LBAs. Index 1 lies 150 - `skipped` sectors behind byte `offset`."""

    point: int
    mode: int
    index0: int
    index1: int
    end: int
    offset: int = 0
    skipped: int = 0
    session: int = 1
    control: int = 4
    title: bytes = b""
    performer: bytes = b""
    code: bytes = b""
    name: bytes = b""


def _string(text: bytes) -> bytes:
    return struct.pack("<I", len(text)) + text


def _entry(entry: Entry) -> bytes:
    fixed = struct.pack(
        "<IB3xI8BIIIIHIBiiII",
        *(entry.offset, 8, 0, 0, entry.session, 0, 1 << 4 | entry.control, 0, entry.mode, 0, entry.point),
        *(0, 0, entry.skipped, 0, 0, entry.end, 0, entry.index0, entry.index1, 0, 0),
    )
    others = _string(b"unknown") * 12
    return _string(entry.name) + fixed + _string(entry.title) + _string(entry.performer) + others + _string(entry.code)


def bwt(entries: Sequence[Entry], image: bytes = b"C:\\CD\\disc.bwi\0", subchannel: bytes = b"") -> bytes:
    """The whole descriptor, with an entry that is no track before the others."""
    rows = [Entry(0xA0, 0, 0, 0, 0), *entries]
    head = b"BLINDWRITE TOC FILE" + struct.pack("<IQ", 2, 0x01C0FFEE)
    head += _string(b"VOLUME\0") + _string(b"SYSTEM") + _string(b"a comment") + struct.pack("<I", len(rows))
    head += _string(image) + _string(subchannel) + struct.pack("<IB", 1, 3) + b"abc"
    return head + b"".join(map(_entry, rows))
