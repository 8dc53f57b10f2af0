"""DiscJuggler images (CDI), versions 2, 3, 3.5 and 4: the sectors first, then a descriptor. All integers are little-endian.

end of file   u32 version: 0x80000004 (2), 0x80000005 (3), 0x80000006 (3.5 and 4); u32 where the descriptor begins: its
              offset, from 3.5 on its distance from the end of the file

descriptor    u16 sessions; for each: u16 tracks, the tracks, 12 bytes (13 from version 3 on). From 3.5 on: u16 0, the disc.

track                                                    where
some bytes    0, in version 3 also 8 more                all
mark          20 bytes: twice 00 00 01 00 00 00 and      all
              four FF
4             -                                          all
1 + n         name of the image, with its length         all
19            -                                          all
4 (+ 8)       0x80000000, then u32 capacity, u16,        3.5 on; 4 bytes before
              u16 medium (0x98 CD, 0x38 DVD)
2             number of indexes, 2 at least              3.5 on; it is always 2 before
4 * indexes   sectors of the pregap, of index 1 ...      all
4             CD-TEXT blocks, each of 18 strings that    3.5 on; 4 bytes before
              have their length in a byte before them
2             -                                          all
4             mode: 0 audio, 1, 2                        all
12            -, session, track                          all
4             start: of the pregap, 0 is LBA -150        all
4             length: sectors with the pregap            all
16            -                                          all
4             read mode: 0 to 4 for 2048, 2336, 2352,    all
              2352 + 16 and 2352 + 96 bytes a sector
4             control: 4 data, 1 pre-emphasis,           all
              2 copying permitted, 8 four channels
9             -                                          all
12 + 4        ISRC, whether it is valid                  all
5 + 4 (+ 78)  -, 0xFFFFFFFF when 78 bytes follow         3 on

disc          as a track up to the capacity; u32 length, u8 n, n bytes volume identifier, 9 bytes, 13 bytes catalogue number,
              u32 whether it is valid, u32 n, n bytes of CD-TEXT packs

The tracks lie back to back from the beginning of the file, each with its pregap, also the 150 sectors before LBA 0. The gaps
between sessions are in no file.

There is no specification; sources: cdirip (all versions), libMirage, Aaru and psx-spx (3.5 and 4).
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from imagefs import limits
from imagefs.containers._cursor import U16, Cursor
from imagefs.disc import Disc, TrackKind, cdtext
from imagefs.disc.build import DiscBuilder, Stored, described_layout
from imagefs.disc.model import LEAD_IN_LBA, MAX_SESSION, MAX_TRACK, texts_in
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader, slice_of

VERSION_2, VERSION_3, VERSION_35 = 0x8000_0004, 0x8000_0005, 0x8000_0006
_NAMES = {VERSION_2: "2", VERSION_3: "3", VERSION_35: "3.5 or 4"}
MARK = bytes.fromhex("00000100 0000ffffffff") * 2
_MARK_WITHIN = 64
"""DiscJuggler writes it 4 or 12 bytes behind the number of tracks, other programs somewhat later."""

_TAIL = struct.Struct("<II")
_BODY = struct.Struct("<2xI12xiI16xII9x12sI")  # mode, start, length, read mode, control, ISRC, whether it is valid
_CAPACITY = struct.Struct("<I2xH")  # capacity, medium
_CATALOG = struct.Struct("<9x13sI")

_CD_TEXT_STRINGS = 18
_KINDS = {0: TrackKind.AUDIO, 1: TrackKind.MODE1, 2: TrackKind.MODE2}
_SECTOR_BYTES = (2048, 2336, 2352, 2368, 2448)
_FLAGS = ((1, "PRE"), (2, "DCP"), (8, "4CH"))
_DVD = 0x38


class _Tail(NamedTuple):
    """`begin` is the offset of the descriptor in the file, `end` that of what stands behind it."""

    version: int
    begin: int
    end: int


def _tail(candidate: Candidate) -> _Tail | None:
    """Where the descriptor lies, which may be outside; None for a file that does not end as images do."""
    raw = candidate.tail(_TAIL.size)
    if len(raw) < _TAIL.size:
        return None
    version, place = _TAIL.unpack(raw)
    if version not in _NAMES:
        return None
    size = candidate.reader.size
    return _Tail(version, size - place if version == VERSION_35 else place, size - _TAIL.size)


def probe(candidate: Candidate) -> Match | None:
    tail = _tail(candidate)
    if tail is None:
        return None
    head = candidate.at(tail.begin, U16.size * 2 + _MARK_WITHIN) if tail.begin < tail.end else b""
    if MARK in head and 1 <= head[0] <= MAX_SESSION:
        return Match(90, f"descriptor of a DiscJuggler image, version {_NAMES[tail.version]}")
    if candidate.extension == "cdi":
        return Match(70, f"the end of a DiscJuggler image, version {_NAMES[tail.version]}")
    return None


class _Cursor(Cursor):
    """Takes fields from the descriptor, one after the other."""

    def past_mark(self) -> None:
        """To what stands behind the mark."""
        found = self.data.find(MARK, self.at, self.at + _MARK_WITHIN)
        if found < 0:
            raise DamagedError(self.begin + self.at, "the mark before a track is not there")
        self.at = found + len(MARK)


class _Entry(NamedTuple):
    """A track as the descriptor has it, in sectors; `start` is the LBA of its pregap, `length` is with the pregap."""

    medium: int
    indexes: tuple[int, ...]
    mode: int
    start: int
    length: int
    read_mode: int
    control: int
    isrc: str


def _header(cursor: _Cursor) -> int:
    """What tracks and the disc begin with, up to the capacity; the medium, 0 where it is not told."""
    cursor.past_mark()
    cursor.raw(4)
    cursor.string()
    cursor.raw(19)
    return cursor.take(_CAPACITY)[1] if cursor.number() == 0x8000_0000 else 0


def _track(cursor: _Cursor, version: int) -> _Entry:
    medium = _header(cursor)
    count = cursor.number(U16)
    if version != VERSION_35:
        count = 2
    if not 2 <= count <= MAX_TRACK + 1:
        raise DamagedError(None, f"a track with {count} indexes in the descriptor of a DiscJuggler image")
    indexes = tuple(cursor.number() for _ in range(count))
    blocks = cursor.number()
    if version == VERSION_35:
        for _ in range(blocks * _CD_TEXT_STRINGS):  # the cursor's end is theirs
            cursor.string()
    mode, start, length, read_mode, control, isrc, has_isrc = _BODY.unpack(cursor.raw(_BODY.size))
    if version != VERSION_2:
        cursor.raw(5)
        if cursor.number() == 0xFFFF_FFFF:
            cursor.raw(78)
    text = isrc.decode("ascii", "replace").strip("\0 ") if has_isrc else ""
    return _Entry(medium, indexes, mode, start - LEAD_IN_LBA, length, read_mode, control, text)


def _sessions(cursor: _Cursor, version: int) -> Iterator[list[_Entry]]:
    """The tracks of each session. The cursor is left behind the last one."""
    count, tracks = cursor.number(U16), 0
    if not 1 <= count <= MAX_SESSION:
        raise DamagedError(None, f"a DiscJuggler image of {count} sessions; a disc has 1 to {MAX_SESSION}")
    for _ in range(count):
        mine = cursor.number(U16)
        tracks += mine
        if tracks > MAX_TRACK:
            raise DamagedError(
                None, f"{tracks} tracks in the descriptor of a DiscJuggler image; a disc has at most {MAX_TRACK}"
            )
        yield [_track(cursor, version) for _ in range(mine)]
        cursor.raw(12 if version == VERSION_2 else 13)


class _About(NamedTuple):
    catalog: str = ""
    packs: bytes = b""


def _about_disc(cursor: _Cursor, builder: DiscBuilder) -> _About:
    """Catalogue number and CD-TEXT of the disc. They are not needed: trouble is a warning."""
    try:
        cursor.number(U16)
        _header(cursor)
        cursor.number()
        cursor.string()
        raw, is_valid = _CATALOG.unpack(cursor.raw(_CATALOG.size))
        packs = cdtext.packs_in(cursor.raw(cursor.number()))
    except DamagedError as error:
        builder.warn(f"what is said of the disc as a whole is not understood: {error.why}")
        return _About()
    return _About(raw.decode("ascii") if is_valid and re.fullmatch(rb"\d{13}", raw) else "", packs)


def _stored(data: Reader, entry: _Entry, number: int, offset: int) -> Stored:
    """The sectors of a track from byte `offset` on. Raises UnsupportedError, DamagedError."""
    if entry.mode not in _KINDS or entry.read_mode >= len(_SECTOR_BYTES):
        raise UnsupportedError(
            f"track {number} of a DiscJuggler image in mode {entry.mode}, read in mode {entry.read_mode}, is not read"
        )
    kind, size = _KINDS[entry.mode], _SECTOR_BYTES[entry.read_mode]
    layout = described_layout(kind, size)
    if layout is None:
        raise UnsupportedError(
            f"track {number} of a DiscJuggler image in {kind.value} sectors of {size} bytes is not read"
        )
    if max(entry.start, *entry.indexes) > limits.DISC_SECTORS:
        raise DamagedError(None, f"track {number} of a DiscJuggler image lies outside the disc")
    # Rips that were cut short have a smaller length than the indexes make.
    return Stored(data, layout, offset, min(entry.length, sum(entry.indexes)), entry.indexes[0])


def open_cdi(candidate: Candidate, options: Options) -> Disc:
    """The disc. Raises DamagedError, UnsupportedError for a mode that is not known, OSError."""
    tail = _tail(candidate)
    if tail is None or not 0 <= tail.begin < tail.end:
        raise DamagedError(candidate.reader.size, "the descriptor of a DiscJuggler image lies outside the file")
    size = min(tail.end - tail.begin, limits.DESCRIPTOR_BYTES)
    cursor = _Cursor(candidate.exactly(tail.begin, size), tail.begin)
    sessions = list(_sessions(cursor, tail.version))
    builder = DiscBuilder()
    about = _about_disc(cursor, builder) if tail.version == VERSION_35 else _About()
    words = cdtext.texts(about.packs)
    data = slice_of(candidate.reader, 0, tail.begin)
    offset, number = 0, 1
    for session in sessions:
        builder.begin_session()
        for entry in session:
            stored = _stored(data, entry, number, offset)
            builder.add(
                number,
                entry.start + entry.indexes[0],
                stored,
                flags=tuple(flag for bit, flag in _FLAGS if entry.control & bit),
                isrc=entry.isrc,
                words=words.get(number, {}),
                indexes=tuple(entry.start + sum(entry.indexes[:k]) for k in range(2, len(entry.indexes))),
            )
            offset += entry.length * stored.layout.sector_bytes
            number += 1
    if not builder.sessions:
        raise DamagedError(tail.begin, "a DiscJuggler image without a track")
    medium = "DVD" if any(entry.medium == _DVD for session in sessions for entry in session) else "CD"
    return Disc(
        builder.sessions,
        catalog=about.catalog,
        **texts_in(words.get(0, {})),
        medium=medium,
        warnings=tuple(builder.warnings),
        cdtext=about.packs,
    )


FORMAT = Format(
    name="cdi",
    title="a DiscJuggler image",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_cdi,
    extensions=("cdi",),
    mime=("application/x-discjuggler-cd-image",),
    reads="versions 2, 3, 3.5 and 4, all track modes, subchannel, several sessions, CD-TEXT",
)
