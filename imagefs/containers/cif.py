"""CIF images of Adaptec's and Roxio's Easy CD Creator: descriptor and sectors in one file. Integers are little-endian.

The file is RIFF chunks in a row: "RIFF", u32 length of what follows, a type of 4 letters, content; each at an even offset.

type    content
"imag"  comes first
"adio"  the sectors of an audio track, without headers
"info"  the sectors of a data track, without headers
"disc"  8 bytes, then descriptors: the disc; for each session that of the session, then those of its tracks
"ofs "  8 bytes, u16 number of entries, entries of 22 bytes; entry k tells where track k (over all sessions) lies

entry of "ofs "             disc                        track
0   4  "RIFF"               0   2  length               0   2   length
4   4  length, as above     2   2  sessions             4   4   sectors
8   4  type                 4   2  tracks               10  2   type: 0 audio, 1 mode 1, 2 form 1, 4 mixed forms
12  4  offset of the type   6   2  length of the title  18  2   0 track-at-once, 4 disc-at-once
       in its chunk         12  2  kind of disc         22  2   bytes of user data in a sector
                            16  n  title, artist, NUL   only of audio, whatever follows of data has no known meaning
                                                        229 12  isrc
session, 18 bytes                                       269 4   length of the fade-in
0   2  length                                           281 4   length of the fade-out
2   2  tracks                                           293     title, NUL
10  2  type: 0 audio, 1 CD-ROM, 3 CD-ROM XA

type of track   stored bytes   of them
audio           2352
mode 1          2048
form 1          2056           subheader 8, user data 2048
mixed forms     2332           subheader 8, user data 2324

Nothing has an address. Pregaps are in no file: the first track of a session has one, and a track of audio behind one of data
or the other way round, each of 150 sectors. A track has 300 sectors or more; where it is shorter, the file has the filling.
In the wild: a kind of track and a size of its sectors that contradict each other; the kind counts.
There is no specification and no sample that may be passed on; source: libMirage.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from imagefs import limits
from imagefs.containers._cursor import U16, Cursor
from imagefs.disc import Disc, TrackKind
from imagefs.disc.build import DiscBuilder, Stored
from imagefs.disc.chunks import LITTLE_ENDIAN, chunks
from imagefs.disc.layouts import Layout, layout_of
from imagefs.disc.model import FIRST_GAP, LATER_GAP, LEAD_IN_LBA, MAX_SESSION, MAX_TRACK
from imagefs.disc.subchannel import valid_isrc
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader

RIFF, IMAGE, DISC, OFFSETS = b"RIFF", b"imag", b"disc", b"ofs "
ENTRY = struct.Struct("<4sI4sI6x")
DISC_HEAD = struct.Struct("<2xHHH8x")  # sessions, tracks, length of the title
SESSION_HEAD = struct.Struct("<2xH")  # tracks
TRACK_HEAD = struct.Struct("<4xI2xH")  # sectors, type
_TYPE_BYTES = 4
_BEFORE_CONTENT = 8
"""Bytes at the beginning of "disc" and "ofs " of which the meaning is not known."""
_ISRC = slice(229, 241)
_TITLE = 293
_SHORTEST_TRACK = 300
_AUDIO = 0
_LAYOUTS: Mapping[int, Layout | None] = {
    _AUDIO: layout_of(TrackKind.AUDIO, 2352),
    1: layout_of(TrackKind.MODE1, 2048),
    2: layout_of(TrackKind.MODE2, 2056),
    4: layout_of(TrackKind.MODE2, 2332),
}


class _Track(NamedTuple):
    """A descriptor; `session` counts from 1."""

    session: int
    sectors: int
    type: int
    isrc: str
    title: bytes


class _Place(NamedTuple):
    """Where the sectors of a track lie."""

    offset: int
    size: int


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(12)
    return Match(95, "RIFF and imag of an Easy CD Creator image") if (head[:4], head[8:]) == (RIFF, IMAGE) else None


# --- chunks ---------------------------------------------------------------------------------------------------------------


def _content(candidate: Candidate) -> dict[bytes, Cursor]:
    """The contents of "disc" and "ofs " behind their first bytes. Raises DamagedError when one is not there, OSError."""
    found: dict[bytes, Cursor] = {}
    for chunk in chunks(candidate.reader, 0, candidate.reader.size, LITTLE_ENDIAN, align=2):
        if chunk.name != RIFF:
            raise DamagedError(chunk.offset - LITTLE_ENDIAN.size, "no chunk of a CIF image begins there")
        kind = candidate.exactly(chunk.offset, min(_TYPE_BYTES, chunk.size))
        if kind in (DISC, OFFSETS):
            begin = chunk.offset + _TYPE_BYTES + _BEFORE_CONTENT
            size = max(0, chunk.offset + min(chunk.size, limits.DESCRIPTOR_BYTES) - begin)
            found[kind] = Cursor(candidate.exactly(begin, size), begin)
    for kind in (DISC, OFFSETS):
        if kind not in found:
            raise DamagedError(None, f"a CIF image without its chunk {kind.decode()!r} (is it cut off?)")
    return found


def _places(cursor: Cursor) -> Iterator[_Place]:
    """Where the tracks lie, in their order. Raises DamagedError."""
    for _ in range(cursor.number(U16)):
        name, length, _, offset = ENTRY.unpack(cursor.raw(ENTRY.size))
        if name != RIFF:
            raise DamagedError(cursor.begin + cursor.at - ENTRY.size, "no entry of a CIF image's tracks is there")
        yield _Place(offset + _TYPE_BYTES, max(0, length - _TYPE_BYTES))


# --- descriptors ----------------------------------------------------------------------------------------------------------


def _descriptor(cursor: Cursor, least: int) -> bytes:
    """The next descriptor: as many bytes as its first two say. Raises DamagedError."""
    length = U16.unpack_from(cursor.data.ljust(cursor.at + U16.size, b"\0"), cursor.at)[0]
    if length < least:
        raise DamagedError(cursor.begin + cursor.at, f"a descriptor of {length} bytes; it has at least {least}")
    return cursor.raw(length)


def _text(raw: bytes, options: Options) -> str:
    return raw.split(b"\0")[0].decode(options.iocharset or "cp1252", "replace")


def _tracks(cursor: Cursor, sessions: int) -> Iterator[_Track]:
    """Raises DamagedError."""
    for session in range(1, sessions + 1):
        (count,) = SESSION_HEAD.unpack_from(_descriptor(cursor, SESSION_HEAD.size))
        for _ in range(count):
            told = _descriptor(cursor, TRACK_HEAD.size)
            sectors, kind = TRACK_HEAD.unpack_from(told)
            isrc = valid_isrc(told[_ISRC].decode("ascii", "replace")) if kind == _AUDIO else ""
            yield _Track(session, sectors, kind, isrc, told[_TITLE:] if kind == _AUDIO else b"")


def open_cif(candidate: Candidate, options: Options) -> Disc:
    """The disc. Raises DamagedError, UnsupportedError for an unknown kind of track, OSError."""
    content = _content(candidate)
    told = _descriptor(content[DISC], DISC_HEAD.size)
    sessions, _, title_bytes = DISC_HEAD.unpack_from(told)
    if not 1 <= sessions <= MAX_SESSION:
        raise DamagedError(content[DISC].begin, f"a CIF image with {sessions} sessions")
    places = _places(content[OFFSETS])
    builder = DiscBuilder()
    before: _Track | None = None
    end = 0
    for number, track in enumerate(_tracks(content[DISC], sessions), 1):
        place = next(places, None)
        if number > MAX_TRACK or place is None:
            raise DamagedError(None, f"a CIF image that does not say where its track {number} lies")
        if before is None or track.session != before.session:
            builder.begin_session()
        gap, pregap = _gaps(before, track)
        added = builder.add(
            number,
            end + gap,
            _stored(builder, candidate.reader, number, track, place),
            is_told=False,
            pregap=pregap,
            isrc=track.isrc,
            words={"title": _text(track.title, options)},
        )
        before, end = track, added.start + added.length
    if not builder.sessions:
        raise DamagedError(content[DISC].begin, "a CIF image without a track")
    title, artist = told[DISC_HEAD.size :][:title_bytes], told[DISC_HEAD.size :][title_bytes:]
    return Disc(
        builder.sessions,
        title=_text(title, options),
        performer=_text(artist, options),
        warnings=tuple(builder.warnings),
    )


# --- tracks ---------------------------------------------------------------------------------------------------------------


def _gaps(before: _Track | None, track: _Track) -> tuple[int, int]:
    """(sectors from the end of one track to index 1 of the next, those of them that are its pregap)."""
    if before is None:
        return 0, LEAD_IN_LBA
    if before.session != track.session:
        return FIRST_GAP if before.session == 1 else LATER_GAP, LEAD_IN_LBA
    pregap = LEAD_IN_LBA if (before.type == _AUDIO) != (track.type == _AUDIO) else 0
    return pregap, pregap


def _stored(builder: DiscBuilder, reader: Reader, number: int, track: _Track, place: _Place) -> Stored:
    """The sectors of a track: those of the disc, as far as they lie in its chunk."""
    layout = _LAYOUTS.get(track.type)
    if layout is None:
        raise UnsupportedError(f"track {number} of a CIF image, of type {track.type}, is not read")
    there = place.size // layout.sector_bytes
    if track.sectors > there:
        builder.warn(f"track {number} has {there} sectors in its chunk, not {track.sectors}")
    sectors = min(max(track.sectors, _SHORTEST_TRACK), there)
    return Stored(reader, layout, place.offset, sectors)


FORMAT = Format(
    name="cif",
    title="an Easy CD Creator image",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_cif,
    extensions=("cif",),
    mime=("application/x-cif",),
    reads="all track modes, sessions, pregaps, ISRC, titles",
)
