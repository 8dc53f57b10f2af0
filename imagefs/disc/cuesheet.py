"""CUE sheets written for files that hold the tracks of a disc.

REM ORIGINAL MEDIA-TYPE: DVD    where it is no CD
REM SESSION nn                  where the disc has several; of a GD-ROM its areas, SINGLE-DENSITY and HIGH-DENSITY
CATALOG, TITLE, PERFORMER, SONGWRITER   of the disc
FILE "track00.wav" WAVE         what lies before index 1, where that is a file of its own
  TRACK 01 AUDIO
    FLAGS, ISRC, TITLE, PERFORMER, SONGWRITER
    PREGAP mm:ss:ff             sectors before the track that are in no file
    INDEX 00 00:00:00           in the file, before index 1
FILE "track01.wav" WAVE
    INDEX 01 mm:ss:ff           and those after it

Strings have no way to write a `"`, so it is written as `'`; control characters become blanks. UTF-8, lines ended by CRLF.
Sources: Jeff Arnold, CDRWin user's guide, "CUE sheet commands"; what EAC and cdrdao read and write.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imagefs.disc.model import FRAMES_PER_SECOND, Disc, Track

_CATALOG = re.compile(r"\d{13}", re.ASCII)
_ISRC = re.compile(r"[A-Z0-9]{5}\d{7}", re.ASCII)
_GD_ROM, _AREAS = "GD-ROM", ("SINGLE-DENSITY", "HIGH-DENSITY")
_FLAGS = ("DCP", "4CH", "PRE", "SCMS")


class TrackFile(NamedTuple):
    """A track of a session, and the file it is in; `pregap` sectors in the file come before index 1.

    `before` is a file of its own that holds what comes before index 1, `gap` the sectors before the track that are in none.
    """

    session: int
    track: Track
    mode: str  # AUDIO, MODE1/2352 ...
    name: str
    kind: str  # BINARY, WAVE
    pregap: int = 0
    gap: int = 0
    before: str = ""


def clock(sectors: int) -> str:
    """Sectors as minutes:seconds:frames; an address as MSF is that of `lba + 150`."""
    seconds, frames = divmod(sectors, FRAMES_PER_SECOND)
    return f"{seconds // 60:02}:{seconds % 60:02}:{frames:02}"


def sheet_of(disc: Disc, files: Sequence[TrackFile]) -> bytes:
    """The text of a sheet."""
    return "".join(f"{line}\r\n" for line in _lines(disc, files)).encode("utf-8", "replace")


def _lines(disc: Disc, files: Sequence[TrackFile]) -> Iterator[str]:
    if disc.medium not in ("CD", _GD_ROM):
        yield f"REM ORIGINAL MEDIA-TYPE: {disc.medium}"
    if _CATALOG.fullmatch(disc.catalog):
        yield f"CATALOG {disc.catalog}"
    yield from _texts(disc)
    several, session = len({file.session for file in files}) > 1, 0
    for file in files:
        if several and file.session != session:
            session = file.session
            yield f"REM {_AREAS[session > 1]} AREA" if disc.medium == _GD_ROM else f"REM SESSION {session:02}"
        yield from _track_lines(file)


def _track_lines(file: TrackFile) -> Iterator[str]:
    track = file.track
    yield f"FILE {_string(file.before or file.name)} {file.kind}"
    yield f"  TRACK {track.number:02} {file.mode}"
    flags = [flag for flag in track.flags if flag in _FLAGS]
    if flags:
        yield f"    FLAGS {' '.join(flags)}"
    if _ISRC.fullmatch(track.isrc):
        yield f"    ISRC {track.isrc}"
    yield from (f"    {line}" for line in _texts(track))
    if file.gap:
        yield f"    PREGAP {clock(file.gap)}"
    if file.before or file.pregap:
        yield "    INDEX 00 00:00:00"
    if file.before:
        yield f"FILE {_string(file.name)} {file.kind}"
    yield f"    INDEX 01 {clock(file.pregap)}"
    for number, lba in enumerate(track.indexes, 2):
        if track.start < lba < track.start + track.length:
            yield f"    INDEX {number:02} {clock(file.pregap + lba - track.start)}"


def _texts(of: Disc | Track) -> Iterator[str]:
    for name, text in of.texts.items():
        yield f"{name.upper()} {_string(text)}"


def _string(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return '"' + plain.replace('"', "'").strip() + '"'
