"""BlindWrite 4: the descriptor (BWT); sectors lie in a BWI, the subchannel in a BWS beside it. Integers are little-endian.

A string is u32 n and n bytes, which a NUL may end.

0   19  "BLINDWRITE TOC FILE"                            entry: string (a file of its own), then 59 bytes
19  4   2                                                0   4  offset in bytes
23  8   time                                             13  1  session
31      strings: volume, system, comment                 15  1  adr (bits 4-7), control: 4 data, 1 pre-emphasis,
        u32 number of entries                                   2 copying permitted, 8 four channels
        strings: BWI, BWS (empty: none)                  17  1  mode: 0 audio, 1, 2
        5 bytes, of which the last is n, and n bytes     19  1  point: the track's number, 160 and more the disc
        entries                                          28  4  skipped sectors
                                                         38  4  end LBA
                                                         43  4  LBA of index 0, signed
                                                         47  4  LBA of index 1, signed
                                                         then 15 strings, of which the first is the title, the second the
                                                         performer, the last the ISRC or the disc's catalogue number

Index 1 lies 150 - skipped sectors behind the offset; where index 0 is at LBA 0 or before, it is LBA 0 that lies there. The
sectors have 2352 bytes each, those of index 0 come before index 1. Gaps between sessions are in no file. The subchannel has
96 bytes for each sector of the BWI, P to W one after the other.
Names are of the machine the image was made on: the file of that name beside the descriptor is taken.

There is no specification and no sample that may be passed on; source: Aaru, whose tests compare such images with other ones
of the same discs.
"""

import ntpath
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.containers._cursor import U32, Cursor
from imagefs.containers._parts import find_beside, find_named, open_found, stem_of
from imagefs.disc import Disc, TrackKind
from imagefs.disc.build import DiscBuilder, Stored
from imagefs.disc.layouts import layout_of
from imagefs.disc.model import AUDIO_BYTES, LEAD_IN_LBA, MAX_TRACK, SUBCHANNEL_BYTES, texts_in
from imagefs.disc.subchannel import valid_isrc
from imagefs.errors import DamagedError, ImageError, UnsupportedError, message_of
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader, slice_of

SIGNATURE = b"BLINDWRITE TOC FILE"
ENTRY = struct.Struct("<I9xBxBxBxB8xI6xIxii8x")
SECTOR_BYTES = AUDIO_BYTES
_AFTER_SIGNATURE = 4 + 8
_BEFORE_SKIPPED = 4
_STRINGS_OF_VOLUME, _STRINGS = 3, 15
_KINDS = {0: TrackKind.AUDIO, 1: TrackKind.MODE1, 2: TrackKind.MODE2}
_LAYOUTS = {mode: layout for mode, kind in _KINDS.items() if (layout := layout_of(kind, SECTOR_BYTES))}
_FLAGS = ((1, "PRE"), (2, "DCP"), (8, "4CH"))
_DISC_POINT = 0xA0
"""The first of the points that describe the disc."""
_CATALOG = re.compile(r"\d{13}", re.ASCII)
_DATA, _SUBCHANNEL = ("bwi",), ("bws",)


class _Place(NamedTuple):
    """The fields of fixed size; addresses are LBAs."""

    offset: int
    session: int
    adr_control: int
    mode: int
    point: int
    skipped: int
    end: int
    index0: int
    index1: int


class _Entry(NamedTuple):
    """A track, or the disc. `name` is that of a file of its own."""

    name: str
    place: _Place
    title: str
    performer: str
    code: str


class _Contents(NamedTuple):
    """The names of the common files, and what is in them."""

    image: str
    subchannel: str
    entries: Sequence[_Entry]

    @property
    def tracks(self) -> list[_Entry]:
        return [entry for entry in self.entries if entry.place.point < _DISC_POINT]


def probe(candidate: Candidate) -> Match | None:
    is_one = candidate.head(len(SIGNATURE)) == SIGNATURE
    return Match(95, "signature of a descriptor of BlindWrite 4") if is_one else None


# --- the descriptor -------------------------------------------------------------------------------------------------------


def _string(cursor: Cursor, options: Options) -> str:
    raw = cursor.raw(cursor.number(U32)).split(b"\0")[0]
    return raw.decode(options.iocharset or "cp1252", "replace").strip()


def _contents(candidate: Candidate, options: Options) -> _Contents:
    """What the descriptor says. Raises DamagedError, OSError."""
    cursor = Cursor(candidate.exactly(0, min(candidate.reader.size, limits.DESCRIPTOR_BYTES)))
    cursor.raw(len(SIGNATURE) + _AFTER_SIGNATURE)
    for _ in range(_STRINGS_OF_VOLUME):
        _string(cursor, options)
    count = cursor.number(U32)
    if count > limits.DISC_TRACKS:
        raise DamagedError(cursor.at - U32.size, f"{count} entries of a BlindWrite descriptor")
    image, subchannel = _string(cursor, options), _string(cursor, options)
    cursor.raw(_BEFORE_SKIPPED)
    cursor.string()
    contents = _Contents(image, subchannel, list(_entries(cursor, count, options)))
    if len(contents.tracks) > MAX_TRACK:
        raise DamagedError(
            None, f"{len(contents.tracks)} tracks of a BlindWrite descriptor; a disc has at most {MAX_TRACK}"
        )
    return contents


def _entries(cursor: Cursor, count: int, options: Options) -> Iterator[_Entry]:
    for _ in range(count):
        name, place = _string(cursor, options), _Place(*cursor.take(ENTRY))
        title, performer, *_, code = (_string(cursor, options) for _ in range(_STRINGS))
        yield _Entry(name, place, title, performer, code)


# --- files ----------------------------------------------------------------------------------------------------------------


def _find(candidate: Candidate, name: str, extensions: Sequence[str]) -> str | None:
    """The file of a name, else the one with the descriptor's stem. Raises OutsideError."""
    found = find_named(candidate, name) if name else None
    return found or find_beside(candidate, extensions)


def _find_all(candidate: Candidate, contents: _Contents) -> dict[str, str | None]:
    """Name -> what was found, of the files of sectors; an empty name is the common one's. Raises OutsideError."""
    own = {track.name: find_named(candidate, track.name) for track in contents.tracks if track.name}
    found: dict[str, str | None] = {name: path for name, path in own.items() if path}
    if any(track.name not in found for track in contents.tracks):
        found[""] = _find(candidate, contents.image, _DATA)
    return found


def parts(candidate: Candidate) -> Sequence[str]:
    """The files that are there. Raises DamagedError, OutsideError, OSError."""
    contents = _contents(candidate, Options())
    found = [*_find_all(candidate, contents).values(), _find(candidate, contents.subchannel, _SUBCHANNEL)]
    return [name for name in found if name]


def _open_subchannel(candidate: Candidate, contents: _Contents, builder: DiscBuilder) -> Reader | None:
    """The file of the subchannel, where it is there. Only `.imagefs` shows it: trouble is a warning. Raises OSError."""
    try:
        found = _find(candidate, contents.subchannel, _SUBCHANNEL)
        return open_found(candidate, found, found) if found else None
    except ImageError as error:
        builder.warn(f"its subchannel is left out: {message_of(error)}")
        return None


# --- tracks ---------------------------------------------------------------------------------------------------------------


def open_bwt(candidate: Candidate, options: Options) -> Disc:
    """The disc. Raises DamagedError, MissingPartError, OutsideError, UnsupportedError for a mode of a track, OSError."""
    contents = _contents(candidate, options)
    common = ntpath.basename(contents.image) or f"{stem_of(candidate)}.{_DATA[0]}"
    files = {
        name: open_found(candidate, found, name or common) for name, found in _find_all(candidate, contents).items()
    }
    builder = DiscBuilder()
    subchannel = _open_subchannel(candidate, contents, builder)
    session = None
    for track in contents.tracks:
        place = track.place
        if place.session != session:
            session = place.session
            builder.begin_session()
        name = track.name if track.name in files else ""
        if not name and ntpath.basename(track.name) not in ("", ntpath.basename(contents.image)):
            builder.warn(
                f"track {place.point} is taken from {common!r}, since its own file {track.name!r} is not there"
            )
        builder.add(
            place.point,
            place.index1,
            _stored(place, files[name], None if name else subchannel),
            pregap=place.index1 - place.index0,
            flags=tuple(flag for bit, flag in _FLAGS if place.adr_control & bit),
            isrc=valid_isrc(track.code),
            words={"title": track.title, "performer": track.performer},
        )
    if not builder.sessions:
        raise DamagedError(None, "a BlindWrite descriptor without a track")
    catalog, words = _of_disc(contents)
    return Disc(builder.sessions, catalog=catalog, **texts_in(words), warnings=tuple(builder.warnings))


def _stored(place: _Place, reader: Reader, subchannel: Reader | None) -> Stored:
    """The sectors of a track, those of index 0 first. Raises DamagedError, UnsupportedError."""
    number, index0, index1, end = place.point, place.index0, place.index1, place.end
    if not 1 <= number <= MAX_TRACK:
        raise DamagedError(None, f"a BlindWrite descriptor with a track {number}")
    if place.mode not in _LAYOUTS:
        raise UnsupportedError(f"track {number} of a BlindWrite image, of mode {place.mode}, is not read")
    if not (-limits.DISC_SECTORS <= index0 <= index1 and 0 <= index1 <= end <= limits.DISC_SECTORS):
        raise DamagedError(None, f"track {number} lies from LBA {index0} over {index1} to {end}, outside the disc")
    begin = max(0, index0)
    told = index1 if index0 > 0 else 0  # the LBA that the offset places
    offset = place.offset + (LEAD_IN_LBA - place.skipped - (told - begin)) * SECTOR_BYTES
    if offset < 0:
        raise DamagedError(None, f"track {number} begins {-offset} bytes before its file")
    first = offset // SECTOR_BYTES * SUBCHANNEL_BYTES
    apart = subchannel and slice_of(subchannel, first, (end - begin) * SUBCHANNEL_BYTES)
    return Stored(reader, _LAYOUTS[place.mode], offset, end - begin, index1 - begin, apart)


def _of_disc(contents: _Contents) -> tuple[str, Mapping[str, str]]:
    """(the catalogue number, the texts of the disc): what the first entries for the disc have."""
    entries = [entry for entry in contents.entries if entry.place.point >= _DISC_POINT]
    catalog = next((entry.code for entry in entries if _CATALOG.fullmatch(entry.code)), "")
    return catalog, {
        "title": next((entry.title for entry in entries if entry.title), ""),
        "performer": next((entry.performer for entry in entries if entry.performer), ""),
    }


FORMAT = Format(
    name="bwt",
    title="a BlindWrite 4 image",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_bwt,
    extensions=("bwt",),
    mime=("application/x-bwt",),
    magic=((0, SIGNATURE),),
    describes=(*_DATA, *_SUBCHANNEL),
    parts=parts,
    reads="all track modes, subchannel, sessions, pregaps, ISRC, titles",
)
