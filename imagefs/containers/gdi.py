"""GDI: a text that names the track files of a Dreamcast disc (GD-ROM).

line 1          the number of tracks
other lines     track  LBA  control  bytes  name  offset

control: 4 data, 0 audio (bits as in the Q subchannel). bytes: of a stored sector, 2352 or 2048. name: in quotes when it has
blanks, or always. offset: where the track begins in the file, in bytes.

A GD-ROM has two areas: tracks 1 and 2, which any drive reads, and from LBA 45000 on (track 3) the high-density area with the
program. They are shown as two sessions. Block addresses in the volume count from LBA 0 of the disc; it begins in track 3 and
may go on in the last track. Pregaps are in no file, so there are no sectors between the tracks.

In the wild: names with `\\`, offsets that are negative (0 is meant), sectors of another size than the line says.
There is no specification; sources: Aaru, Flycast, MAME.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.containers._parts import find_named, open_found, read_text
from imagefs.containers.cue.sheet import decode
from imagefs.disc import Disc, TrackKind
from imagefs.disc.build import DiscBuilder, Stored, described_layout
from imagefs.disc.layouts import Layout
from imagefs.disc.model import HIGH_DENSITY_LBA, MAX_TRACK
from imagefs.errors import DamagedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader

_LINE = re.compile(r"\r\n|\n|\r")
_COUNT = re.compile(r"\s*\d{1,3}\s*", re.ASCII)
_TRACK = re.compile(
    r"\s*(?P<number>\d{1,3})\s+(?P<lba>\d{1,8})\s+(?P<control>\d{1,3})\s+(?P<bytes>\d{1,5})\s+(?P<rest>\S.*)", re.ASCII
)
_OFFSET = re.compile(r"-?\d{1,18}", re.ASCII)
_DATA = 4
"""The bit of `control` that tells data from audio."""
_LAST_LBA = 549_150
"""The longest GD-ROM ends there: 504,150 sectors from LBA 45000 on."""


class _Entry(NamedTuple):
    """A track's line. `offset` is in bytes of the file `name`."""

    line: int
    number: int
    lba: int
    layout: Layout
    name: str
    offset: int


def _lines(text: str) -> list[tuple[int, str]]:
    """(number, line) of those that are not blank."""
    return [(number, line) for number, line in enumerate(_LINE.split(text), 1) if line.strip(" \t\0\x1a\ufeff")]


def probe(candidate: Candidate) -> Match | None:
    if candidate.reader.size > limits.DESCRIPTOR_BYTES:
        return None
    lines = _lines(decode(candidate.head(limits.PROBE_BYTES))[0])[:2]
    if len(lines) == 2 and _COUNT.fullmatch(lines[0][1]) and _TRACK.fullmatch(lines[1][1]):
        return Match(50, "the number of tracks and a track line of a GDI")
    return None


def _entries(text: str) -> tuple[int, list[_Entry]]:
    """(tracks that the first line announces, the track lines). Raises DamagedError that names the line."""
    lines = _lines(text)
    if len(lines) > 1 + MAX_TRACK:
        raise DamagedError(None, f"line {lines[1 + MAX_TRACK][0]}: a disc has at most {MAX_TRACK} tracks")
    return int(lines[0][1]), [_entry(number, line) for number, line in lines[1:]]


def _entry(line: int, text: str) -> _Entry:
    match = _TRACK.fullmatch(text)
    if not match:
        raise DamagedError(
            None, f"line {line}: {text.strip()[:40]!r} is no track (number, LBA, control, bytes, name, offset)"
        )
    size, lba = int(match["bytes"]), int(match["lba"])
    kind = TrackKind.MODE1 if int(match["control"]) & _DATA else TrackKind.AUDIO
    layout = described_layout(kind, size)
    if layout is None:
        raise DamagedError(None, f"line {line}: no track has sectors of {size} bytes")
    if lba > _LAST_LBA:
        raise DamagedError(None, f"line {line}: LBA {lba} lies outside the disc")
    return _Entry(line, int(match["number"]), lba, layout, *_name_and_offset(match["rest"].strip()))


def _name_and_offset(rest: str) -> tuple[str, int]:
    """What stands behind the numbers: a name, in quotes or not, and perhaps a byte offset."""
    end = rest.rfind('"')
    if rest.startswith('"') and end > 0:
        name, last = rest[1:end], rest[end + 1 :].strip()
    else:
        name, last = (*rest.rsplit(None, 1), "")[:2]
    if _OFFSET.fullmatch(last):
        return name, max(0, int(last))
    return (name if rest.startswith('"') else rest), 0


def parts(candidate: Candidate) -> Sequence[str]:
    """The tracks' files that are there. Raises DamagedError, OutsideError, OSError."""
    text, encoding = read_text(candidate, Options())
    return [found for entry in _entries(text)[1] if (found := find_named(candidate, entry.name, encoding))]


def open_gdi(candidate: Candidate, options: Options) -> Disc:
    """The disc. Raises DamagedError with the line, MissingPartError, OutsideError, UnsupportedError, OSError."""
    text, encoding = read_text(candidate, options)
    announced, entries = _entries(text)
    readers = [open_found(candidate, find_named(candidate, entry.name, encoding), entry.name) for entry in entries]
    builder = DiscBuilder()
    if announced != len(entries):
        builder.warn(f"line 1 announces {announced} tracks, {len(entries)} are there")
    is_high = None
    for entry, reader in zip(entries, readers, strict=True):
        if is_high != (entry.lba >= HIGH_DENSITY_LBA):
            is_high = entry.lba >= HIGH_DENSITY_LBA
            builder.begin_session()
        others = [other.offset for other, same in zip(entries, readers, strict=True) if same is reader]
        builder.add(entry.number, entry.lba, _stored(entry, reader, others, builder), line=entry.line)
    return Disc(builder.sessions, medium="GD-ROM", warnings=tuple(builder.warnings))


def _stored(entry: _Entry, reader: Reader, offsets: Sequence[int], builder: DiscBuilder) -> Stored:
    """All whole sectors up to the next track in the same file; `offsets` are those of the tracks in it."""
    layout = builder.seen(entry.number, entry.layout, reader, entry.offset, line=entry.line)
    end = min((offset for offset in offsets if offset > entry.offset), default=reader.size)
    count, rest = divmod(max(0, end - entry.offset), layout.sector_bytes)
    if rest:
        builder.warn(f"track {entry.number} does not end with a whole sector; the rest is left out", entry.line)
    if not count and reader.size:
        builder.warn(f"track {entry.number} lies past the end of {entry.name!r} and is empty", entry.line)
    return Stored(reader, layout, entry.offset, count)


FORMAT = Format(
    name="gdi",
    title="a GDI description of a GD-ROM",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_gdi,
    extensions=("gdi",),
    mime=("application/x-gd-rom-cue",),
    describes=("bin", "raw", "iso", "img"),
    parts=parts,
    reads="all track files, both areas as sessions, sectors of every size",
)
