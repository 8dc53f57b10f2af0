"""DiscJuggler images of all versions written for tests: the sectors, then the descriptor, field by field."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

MARK = bytes.fromhex("0000010000 00ffffffff")
AUDIO, MODE1, MODE2 = 0, 1, 2
VERSIONS = {"2": 0x8000_0004, "3": 0x8000_0005, "3.5": 0x8000_0006}


class Cut(NamedTuple):
    """A track. `data` are its sectors with the pregap, `read_mode` 0 to 4 is their size, `start` the pregap's LBA.

    `length` (sectors with the pregap) and `more`, indexes behind index 1, are told in the descriptor alone.
    """

    data: bytes
    mode: int
    read_mode: int
    start: int
    length: int
    pregap: int = 150
    more: Sequence[int] = ()
    control: int = 4
    isrc: bytes = b""
    texts: Sequence[bytes] = ()


def _header(version: str, medium: int) -> bytes:
    name = b"C:\\disc.cdi"
    body = MARK * 2 + b"\xab\0\x10\2" + bytes([len(name)]) + name + bytes(11) + b"\2" + bytes(7)
    if version != "3.5":
        return body + bytes(4)
    return body + struct.pack("<IIHH", 0x8000_0000, 360_000, 0, medium)


def _track(cut: Cut, version: str, session: int, number: int, medium: int) -> bytes:
    indexes = [cut.pregap, cut.length - cut.pregap - sum(cut.more), *cut.more]
    texts = b"".join(bytes([len(text)]) + text for text in cut.texts)
    filler = bytes(8 if version == "3" else 0)  # from DiscJuggler 3.00.780 on
    front = (b"\1\0\0\0" + filler if filler else bytes(4)) + _header(version, medium)
    body = struct.pack("<H", len(indexes)) + struct.pack(f"<{len(indexes)}I", *indexes)
    body += struct.pack("<I", len(cut.texts) // 18) + texts + bytes(2)
    body += struct.pack(
        "<I4xIIII16xII", cut.mode, session, number, cut.start + 150, cut.length, cut.read_mode, cut.control
    )
    body += struct.pack("<xII12sI", cut.length, 0, cut.isrc, bool(cut.isrc))
    if version != "2":
        body += (
            b"\0" + b"\xff" * 8 + struct.pack("<IIII", 1, 0x80, 2, 0x10) + struct.pack("<I42x4s12x", 44100, b"\xff" * 4)
        )
    return front + body


def cdi(
    sessions: Sequence[Sequence[Cut]],
    version: str = "3.5",
    medium: int = 0x98,
    catalog: bytes = b"",
    packs: bytes = b"",
) -> bytes:
    """A whole image."""
    data = b"".join(cut.data for session in sessions for cut in session)
    gap = bytes(12 if version == "2" else 13)
    body = struct.pack("<H", len(sessions))
    for number, session in enumerate(sessions):
        body += struct.pack("<H", len(session))
        body += b"".join(_track(cut, version, number, k, medium) for k, cut in enumerate(session)) + gap
    if version == "3.5":
        body += bytes(2) + bytes(4) + _header(version, medium) + struct.pack("<IB4s", 12345, 4, b"NAME")
        body += struct.pack("<xII13sII", 1, 1, catalog, bool(catalog), len(packs)) + packs + bytes(8)
    place = len(body) + 8 if version == "3.5" else len(data)
    return data + body + struct.pack("<II", VERSIONS[version], place)
