"""The metadata of a CHD: what its content is.

offset  size  field (all big-endian)
0       4     tag
4       1     flags: 1 the entry is part of the file's SHA-1
5       3     length
8       8     offset of the next entry, 0 behind the last
16            the data; text is ASCII and ends with NUL

tag                     what the content is
CHTR, CHT2              a CD; each entry a track: "TRACK:1 TYPE:MODE1_RAW SUBTYPE:NONE FRAMES:600", CHT2 also
                        " PREGAP:150 PGTYPE:VAUDIO PGSUB:NONE POSTGAP:0"
CHGD, CHGT              a GD-ROM; the same with " PAD:0" behind FRAMES; CHGT has little-endian samples
CHCD                    a CD, in early files: u32 tracks, then 99 times u32 type, subtype, bytes of data, bytes of subcode,
                        frames, padding frames; in either byte order
DVD                     (with a blank) a DVD
GDDD                    a hard disk: "CYLS:1,HEADS:1,SECS:1,BPS:512"; IDNT, KEY and CIS belong to it
AVAV, AVLD              a laserdisc
none of these           whatever it is, as it is
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from imagefs import limits
from imagefs.disc.model import MAX_TRACK
from imagefs.errors import DamagedError
from imagefs.readers import Reader

_ENTRY = struct.Struct(">4sIQ")
_TEXT_BYTES = 512
"""A track's line has about 100."""
_WORD = re.compile(r"(\w+):(\w*)", re.ASCII)
_OLD_TRACK = struct.Struct(">6I")
_OLD_TYPES = ("MODE1", "MODE1_RAW", "MODE2", "MODE2_FORM1", "MODE2_FORM2", "MODE2_FORM_MIX", "MODE2_RAW", "AUDIO")

TRACK_TAGS = (b"CHTR", b"CHT2", b"CHGD", b"CHGT")
GD_TAGS = (b"CHGD", b"CHGT")
OLD_TRACKS_TAG = b"CHCD"
LASERDISC_TAGS = (b"AVAV", b"AVLD")


class Entry(NamedTuple):
    """`length` bytes of data from byte `offset` of the file on."""

    tag: bytes
    offset: int
    length: int


class TrackEntry(NamedTuple):
    """A track as the metadata have it. All lengths are in frames."""

    number: int
    type: str
    frames: int
    padding: int
    """stored behind it, so that the next track begins at its place"""
    fill: int = 0
    """the last of `frames` that are no part of the track"""
    pregap: int = 0
    is_pregap_stored: bool = False
    postgap: int = 0
    has_subchannel: bool = False


def entries(reader: Reader, offset: int) -> list[Entry]:
    """The chain of entries from byte `offset` on. Raises DamagedError for one that does not end or leaves the file."""
    found: list[Entry] = []
    seen = set()
    while offset:
        if offset in seen or len(found) == limits.METADATA:
            raise DamagedError(offset, "the chain of metadata does not end")
        seen.add(offset)
        tag, length, following = _ENTRY.unpack(reader.exactly(offset, _ENTRY.size))
        found.append(Entry(tag, offset + _ENTRY.size, length & 0xFF_FFFF))
        offset = following
    return found


def tracks(reader: Reader, metadata: list[Entry]) -> list[TrackEntry]:
    """The tracks in their order, numbered from 1 on. Raises DamagedError for what makes no sense."""
    found = [_track(reader, entry) for entry in metadata if entry.tag in TRACK_TAGS]
    if not found:
        found = [track for entry in metadata if entry.tag == OLD_TRACKS_TAG for track in _old_tracks(reader, entry)]
    for number, track in enumerate(found, 1):
        if track.number != number or number > MAX_TRACK:
            raise DamagedError(None, f"track {track.number} stands where track {number} should")
    return found


_PADDED_TO = 4
"""The frames of a track are padded to a multiple of this."""


def _track(reader: Reader, entry: Entry) -> TrackEntry:
    data = reader.exactly(entry.offset, min(entry.length, _TEXT_BYTES))
    text = data.split(b"\0")[0].decode("ascii", "replace")
    words = dict(_WORD.findall(text))
    if "TRACK" not in words or "FRAMES" not in words:
        raise DamagedError(entry.offset, f"{text[:60]!r} is no track")
    numbers = {name: _number(words.get(name, "0"), entry) for name in ("TRACK", "FRAMES", "PAD", "PREGAP", "POSTGAP")}
    frames = numbers["FRAMES"]
    return TrackEntry(
        numbers["TRACK"],
        words.get("TYPE", ""),
        frames,
        -frames % _PADDED_TO,
        min(numbers["PAD"], frames) if entry.tag in GD_TAGS else 0,
        numbers["PREGAP"],
        words.get("PGTYPE", "").startswith("V"),
        numbers["POSTGAP"],
        words.get("SUBTYPE", "NONE").startswith("RW"),
    )


def _number(text: str, entry: Entry) -> int:
    if not text.isdigit() or len(text) > 9 or int(text) > limits.DISC_SECTORS:
        raise DamagedError(entry.offset, f"a track with the number {text[:20]!r}")
    return int(text)


def _old_tracks(reader: Reader, entry: Entry) -> Iterator[TrackEntry]:
    size = 4 + MAX_TRACK * _OLD_TRACK.size
    if entry.length < size:
        raise DamagedError(entry.offset, f"a table of contents of {entry.length} bytes instead of {size}")
    data = reader.exactly(entry.offset, size)
    count = int.from_bytes(data[:4], "big")
    layout = _OLD_TRACK
    if count > MAX_TRACK:
        count, layout = int.from_bytes(data[:4], "little"), struct.Struct("<6I")
    if count > MAX_TRACK:
        raise DamagedError(entry.offset, f"a table of contents of {count} tracks")
    for number in range(count):
        kind, _, _, _, frames, padding = layout.unpack_from(data, 4 + number * layout.size)
        if kind >= len(_OLD_TYPES) or max(frames, padding) > limits.DISC_SECTORS:
            raise DamagedError(entry.offset, f"track {number + 1} is of type {kind} and has {frames} frames")
        yield TrackEntry(number + 1, _OLD_TYPES[kind], frames, padding)
