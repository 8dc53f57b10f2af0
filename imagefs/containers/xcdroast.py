"""X-CD-Roast's images: a text that names a file for each track, and a text beside each of these files.

NAME.toc begins with a comment that names X-CD-Roast. Lines are `key = number` or `key = "text"`; `#` begins a comment.

key        of the disc                     key        of a track
cdtitle    title                           track      number
cdsize     sectors                         type       0 data, 1 audio
discid     of CDDB                         size       sectors
                                           startsec   LBA of index 1
                                           file       name; ends the track

key        in TRACKFILE.xinf (its name with that extension): as above, and
title      of the track                    copyperm   1: copying is permitted
artist     of the track                    stereo     0: four channels
preemp     1: pre-emphasis                 cd_title, cd_artist, cd_discid, track (`n of m`), rec_type

Data are sectors of 2048 bytes (mode 1), audio is a WAV file or samples without a header, little-endian. A file is a track
from index 1 on; pregaps are in none. Before a track of the other kind the data are shorter than `size` says, by its pregap
and the two run-out sectors of a disc written track by track.

cdrdao's TOC files have the same extension and other words.
There is no specification and no sample that may be passed on; source: libMirage.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.containers._parts import find_named, open_found, read_text
from imagefs.containers.cue.sheet import decode
from imagefs.disc import Disc, TrackKind
from imagefs.disc.audio import AUDIO_EXTENSIONS, samples_of, whole_sectors
from imagefs.disc.build import DiscBuilder, Stored
from imagefs.disc.layouts import Layout
from imagefs.disc.model import AUDIO_BYTES, DATA_BYTES, LEAD_IN_LBA, MAX_TRACK
from imagefs.errors import DamagedError, ImageError, message_of
from imagefs.formats import Candidate, Format, Layer, Match, open_part
from imagefs.options import Options
from imagefs.readers import Reader

_LINE_END = re.compile(r"\r\n|\n|\r")
_MARK = re.compile(r"^#.*X-CD-Roast", re.MULTILINE)
_LINE = re.compile(
    r'\s*(?P<key>[a-z_]{1,20})\s*=\s*(?:"(?P<text>.*)"|(?P<number>\d{1,10})(?:\s+of\s*\d{1,10})?)\s*', re.ASCII
)
_NUMBER = re.compile(r"\d{1,10}", re.ASCII)
_EXTENSION = re.compile(r"\.[^./\\]*\Z")
_DATA, _AUDIO = 0, 1
_RUN_OUT = 2
"""Sectors behind a data track that was written by itself; they cannot be read and count as its own."""
_LAYOUTS = {_DATA: Layout(TrackKind.MODE1, DATA_BYTES, 0), _AUDIO: Layout(TrackKind.AUDIO, AUDIO_BYTES, 0)}
_FLAGS = (("preemp", 1, "PRE"), ("copyperm", 1, "DCP"), ("stereo", 0, "4CH"))
"""A key of the text beside a track, the value that means something, what it means."""

Values = dict[str, str]
"""key -> value, numbers as digits."""


class _Entry(NamedTuple):
    """A track of the text; `start` is an LBA, None where the text has none."""

    line: int
    number: int
    type: int
    sectors: int
    start: int | None
    name: str


def _values(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, key, value) of the lines that have one."""
    for line, plain in enumerate(_LINE_END.split(text), 1):
        match = _LINE.fullmatch(plain)
        if match:
            yield line, match["key"], match["number"] or match["text"] or ""


def _number(line: int, values: Values, key: str) -> int | None:
    value = values.get(key)
    if value is not None and not _NUMBER.fullmatch(value):
        raise DamagedError(None, f"line {line}: {key} is {value[:40]!r}, not a number")
    return None if value is None else int(value)


def _parsed(text: str) -> tuple[Values, list[_Entry]]:
    """(what is said of the disc, the tracks). Raises DamagedError that names the line."""
    disc: Values = {}
    entries: list[_Entry] = []
    now: Values = {}
    for line, key, value in _values(text):
        if key in ("cdtitle", "cdsize", "discid"):
            disc[key] = value
        elif key != "file":
            now[key] = value
        else:
            entries.append(_entry(line, now, value, len(entries) + 1))
            now = {}
    if not entries:
        raise DamagedError(None, "an X-CD-Roast text that names no track")
    return disc, entries


def _entry(line: int, values: Values, name: str, expected: int) -> _Entry:
    number, kind, sectors = (_number(line, values, key) for key in ("track", "type", "size"))
    if kind not in _LAYOUTS:
        raise DamagedError(None, f"line {line}: a track of type {'nothing' if kind is None else kind}")
    start = _number(line, values, "startsec")
    if max(sectors or 0, start or 0) > limits.DISC_SECTORS:
        raise DamagedError(None, f"line {line}: a track of {sectors} sectors at LBA {start}, outside the disc")
    number = expected if number is None or expected > MAX_TRACK else number  # of more entries the numbers do not count
    if not 1 <= number <= MAX_TRACK:
        raise DamagedError(None, f"line {line}: a track {number}; a disc has 1 to {MAX_TRACK}")
    return _Entry(line, number, kind or 0, sectors or 0, start, name)


def probe(candidate: Candidate) -> Match | None:
    if candidate.reader.size > limits.DESCRIPTOR_BYTES:
        return None
    text = decode(candidate.head(limits.PROBE_BYTES))[0].replace("\r", "\n")
    if _MARK.search(text) and any(key in ("cdtitle", "cdsize", "track") for _, key, _ in _values(text)):
        return Match(60, "a comment that names X-CD-Roast, and its keys")
    return None


# --- files ----------------------------------------------------------------------------------------------------------------


def _beside(name: str) -> str:
    """The name of the text that says more of the track in a file."""
    return _EXTENSION.sub("", name) + ".xinf"


def parts(candidate: Candidate) -> Sequence[str]:
    """The tracks' files and the texts beside them, those that are there. Raises DamagedError, OutsideError, OSError."""
    text, encoding = read_text(candidate, Options())
    names = [name for entry in _parsed(text)[1] for name in (entry.name, _beside(entry.name))]
    return [found for name in names if (found := find_named(candidate, name, encoding))]


def _more(candidate: Candidate, entry: _Entry, encoding: str, builder: DiscBuilder, options: Options) -> Values:
    """What stands in the text beside a track. It is not needed: trouble is a warning."""
    name = _beside(entry.name)
    try:
        found = find_named(candidate, name, encoding)
        if found is None or candidate.folder is None:
            return {}
        text, _ = read_text(Candidate(open_part(candidate.folder, found, Options()), found), options)
    except ImageError as error:
        builder.warn(f"{name!r} is left out: {message_of(error)}", entry.line)
        return {}
    return {key: value for _, key, value in _values(text)}


def open_xcdroast(candidate: Candidate, options: Options) -> Disc:
    """The disc. Raises DamagedError with the line, MissingPartError, OutsideError, UnsupportedError, OSError."""
    text, encoding = read_text(candidate, options)
    disc, entries = _parsed(text)
    readers = [open_found(candidate, find_named(candidate, entry.name, encoding), entry.name) for entry in entries]
    builder = DiscBuilder()
    builder.begin_session()
    performer, end, expected = "", 0, 0
    for place, (entry, reader) in enumerate(zip(entries, readers, strict=True)):
        more = _more(candidate, entry, encoding, builder, options)
        performer = performer or more.get("cd_artist", "")
        following = entries[place + 1] if place + 1 < len(entries) else entry
        start = max(end, expected if entry.start is None else entry.start)
        track = builder.add(
            entry.number,
            start,
            _stored(entry, reader, builder, changes=following.type != entry.type),
            is_told=entry.start is not None,
            pregap=start - end + (LEAD_IN_LBA if place == 0 else 0),
            flags=tuple(flag for key, value, flag in _FLAGS if _says(more, key, value) and _may_have(entry, flag)),
            words={"title": more.get("title", ""), "performer": more.get("artist", "")},
            line=entry.line,
        )
        end = track.start + track.length
        expected = track.start + max(track.length, entry.sectors)
    return Disc(builder.sessions, title=disc.get("cdtitle", ""), performer=performer, warnings=tuple(builder.warnings))


def _says(values: Values, key: str, value: int) -> bool:
    return values.get(key) == str(value)


def _may_have(entry: _Entry, flag: str) -> bool:
    """Data have no channels and no emphasis."""
    return entry.type == _AUDIO or flag == "DCP"


def _stored(entry: _Entry, reader: Reader, builder: DiscBuilder, *, changes: bool) -> Stored:
    """The sectors of a track; it `changes` where the next one is of another kind."""
    layout = _LAYOUTS[entry.type]
    samples = samples_of(reader) if entry.type == _AUDIO else None
    stored = reader if entry.type == _DATA else whole_sectors(samples.reader if samples else reader)
    there, rest = divmod(stored.size, layout.sector_bytes)
    if rest:
        builder.warn(f"track {entry.number} does not end with a whole sector; the rest is left out", entry.line)
    left_out = 0 if entry.type == _AUDIO else _RUN_OUT + (LEAD_IN_LBA if changes else 0)
    return Stored(
        stored,
        layout,
        0,
        max(there, entry.sectors - left_out),
        big_endian=samples is not None and samples.is_big_endian,
        is_decoded=samples is not None,
    )


FORMAT = Format(
    name="xcdroast",
    title="an X-CD-Roast image",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_xcdroast,
    extensions=("toc",),
    describes=("img", "iso", "bin", "raw", "xinf", *AUDIO_EXTENSIONS),
    parts=parts,
    reads="data and audio tracks in files, titles, flags",
)
