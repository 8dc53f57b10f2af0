"""Easy CD Creator's images written for tests, field by field."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

AUDIO, MODE1, FORM1, MIXED = 0, 1, 2, 4
_USER_BYTES = {AUDIO: 2352, MODE1: 2048, FORM1: 2048, MIXED: 2336}


class Track(NamedTuple):
    """`data` are its stored sectors; fewer than 300 of them are filled up, unless `filling` says otherwise."""

    type: int
    data: bytes
    sectors: int
    isrc: bytes = b""
    title: bytes = b""
    filling: bool = True


def _riff(kind: bytes, content: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(content)) + kind + content + bytes(len(content) % 2)


def _disc(sessions: Sequence[Sequence[Track]], title: bytes, artist: bytes) -> bytes:
    text = title + artist + b"\0"
    length, tracks = 16 + len(text), sum(map(len, sessions))
    rows = [struct.pack("<8H", length, len(sessions), tracks, len(title), length, 0, 1, 0) + text]
    for session in sessions:
        kind = 0 if all(track.type == AUDIO for track in session) else 1
        rows.append(struct.pack("<9H", 18, len(session), 1, 1, 0, kind, 0, 0, 0))
        rows += map(_track, session)
    return bytes(8) + b"".join(rows)


def _track(track: Track) -> bytes:
    body = bytes(272)
    if track.type == AUDIO:
        fades = struct.pack("<6I", 0, 0, 0, 150, 0, 0)
        body = bytes(205) + track.isrc.ljust(12, b"\0") + bytes(28) + fades + track.title + b"\0"
    head = (24 + len(body), 0, track.sectors, 0, track.type, 0, 0, 0, 4, 0, _USER_BYTES[track.type])
    return struct.pack("<HHI8H", *head) + body


def cif(sessions: Sequence[Sequence[Track]], title: bytes = b"", artist: bytes = b"") -> bytes:
    """imag, the tracks, disc, ofs."""
    whole = _riff(b"imag", bytes(4))
    entries = []
    for track in (track for session in sessions for track in session):
        size = len(track.data) // track.sectors if track.sectors else 0
        data = track.data + bytes(size * max(0, 300 - track.sectors)) if track.filling else track.data
        kind = b"adio" if track.type == AUDIO else b"info"
        entries.append(struct.pack("<4sI4sI6x", b"RIFF", 4 + len(data), kind, len(whole) + 8))
        whole += _riff(kind, data)
    whole += _riff(b"disc", _disc(sessions, title, artist))
    return whole + _riff(b"ofs ", bytes(8) + struct.pack("<H", len(entries)) + b"".join(entries))
