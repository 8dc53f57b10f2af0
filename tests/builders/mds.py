"""MDS descriptors written for tests, field by field."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

AUDIO, MODE1, MODE2, FORM1, FORM2 = 0xA9, 0xAA, 0xAB, 0xAC, 0xAD


class Block(NamedTuple):
    """A track. `length` None: there is no place that tells it. `subchannel` is the byte of the field."""

    point: int
    mode: int
    sector_bytes: int
    start: int
    offset: int
    length: int | None
    pregap: int = 0
    subchannel: int = 0
    control: int = 0x14


def mds(
    sessions: Sequence[Sequence[Block]],
    names: Sequence[str] = ("*.mdf",),
    medium: int = 0,
    version: int = 1,
    wide: bool = True,
    encoding: str = "cp1252",
) -> bytes:
    """The descriptor: header, sessions, track blocks, extra blocks, files, names. Every session has its point 0xA0."""
    blocks = [block for session in sessions for block in session]
    tracks_at = 88 + 24 * len(sessions)
    extras_at = tracks_at + 80 * (len(blocks) + len(sessions))
    files_at = extras_at + 8 * len(blocks)
    names_at = files_at + 16 * len(names)
    is_dvd = medium >= 0x10
    head = struct.pack("<16sBBHH58xII", b"MEDIA DESCRIPTOR", version, 4, medium, len(sessions), 88, 0)
    rows, tracks = [], []
    extra_at = extras_at
    for number, session in enumerate(sessions, 1):
        at = tracks_at + 80 * len(tracks)
        rows.append(struct.pack("<iiHBBHH4xI", -150, 0, number, len(session) + 1, 1, 1, 1, at))
        tracks.append(struct.pack("<BBBxB75x", 0, 0, 0x14, 0xA0))
        for block in session:
            extra = extra_at if block.length is not None else 0
            tracks.append(_track(block, (block.length or 0) if is_dvd else extra, len(names), files_at))
            extra_at += 8
    extras = [struct.pack("<II", block.pregap, block.length or 0) for block in blocks]
    raw = [(name + "\0").encode("utf-16-le" if wide else encoding) for name in names]
    places = [names_at + sum(map(len, raw[:number])) for number in range(len(raw))]
    files = [struct.pack("<IB11x", place, wide) for place in places]
    return b"".join([head, *rows, *tracks, *extras, *files, *raw])


def _track(block: Block, extra: int, files: int, files_at: int) -> bytes:
    frames = block.start + 150
    return struct.pack(
        "<BBBBB4xBBBIHB17xiQII24x",
        *(block.mode, block.subchannel, block.control, 0, block.point),
        *(frames // 4500 & 0xFF, frames // 75 % 60, frames % 75),
        *(extra, block.sector_bytes, 2, block.start, block.offset, files, files_at),
    )
