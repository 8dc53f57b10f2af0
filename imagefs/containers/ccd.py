"""CloneCD images: a text NAME.ccd, the sectors in NAME.img, the subchannel in NAME.sub. The text names neither file.

section      keys
[CloneCD]    Version
[Disc]       TocEntries, Sessions, DataTracksScrambled, CDTextLength, CATALOG
[CDText]     Entries, `Entry k`: the first 16 bytes of a pack in hexadecimal (imagefs.disc.cdtext)
[Session n]  PreGapMode, PreGapSubC
[Entry n]    an entry of the table of contents: Session, Point, ADR, Control, PMin, PSec, PFrame, PLBA ...
[TRACK n]    MODE (0 audio, 1, 2), ISRC, FLAGS, `INDEX k`: an address

Point: 1 to 99 a track, 0xA2 the lead-out; 0xA0, 0xA1, 0xB0, 0xC0 and the like are not needed. Control: 4 data, 1
pre-emphasis, 2 copying permitted, 8 four channels. PLBA: LBA of index 1. Numbers are decimal or begin with 0x.

img: 2352 bytes a sector, the first is LBA 0. All pregaps are in it but the first one; the gaps between sessions (from the
lead-out of one to index 1 of the next) are not, unless it is as long as the disc with them.
sub: 96 bytes a sector, P to W one after the other.

In the wild: keys in any case, blanks around `=`; tracks without a [TRACK] section (version 2); MODE that is wrong, so
Control tells audio from data and the sectors tell the mode; .img files renamed to .bin.
There is no specification; sources: libMirage, Aaru, the images of CloneCD 4 and 5.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.containers._parts import find_beside, open_found, read_text, stem_of
from imagefs.containers.cue.sheet import decode
from imagefs.disc import Disc, TrackKind, cdtext
from imagefs.disc.build import DiscBuilder, Stored
from imagefs.disc.layouts import layout_of
from imagefs.disc.model import LEAD_IN_LBA, MAX_SESSION, MAX_TRACK, SUBCHANNEL_BYTES, texts_in
from imagefs.errors import DamagedError, ImageError, message_of
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader, slice_of

SECTOR_BYTES = 2352
_LAYOUTS = {kind: layout for kind in TrackKind if (layout := layout_of(kind, SECTOR_BYTES))}
_IMAGE, _SUBCHANNEL = ("img", "bin"), ("sub",)
_LEAD_OUT = 0xA2
_DATA = 4
_FLAGS = ((1, "PRE"), (2, "DCP"), (8, "4CH"))
_MOST_LBA = limits.DISC_SECTORS
_MAX_PACKS = 8 * 256
"""of 8 languages"""
_PACK_BYTES = 16
"""of a pack without its checksum"""
_MAX_SECTIONS = 1 << 14
"""99 tracks, 99 entries and a handful of points for each of 99 sessions."""

_LINE = re.compile(r"\r\n|\n|\r")
_SECTION = re.compile(r"\[([^\]]{1,40})\]")
_NUMBER = re.compile(r"-?(?:0x[0-9a-f]{1,8}|\d{1,10})", re.ASCII | re.IGNORECASE)
_CATALOG = re.compile(r"\d{13}", re.ASCII)

Section = Mapping[str, str]
"""key -> value of one section, the keys in lower case."""


def probe(candidate: Candidate) -> Match | None:
    if candidate.reader.size > limits.DESCRIPTOR_BYTES:
        return None
    text = decode(candidate.head(limits.PROBE_BYTES))[0].lstrip("\ufeff \t\r\n")
    return Match(60, "the section [CloneCD]") if text[:9].lower() == "[clonecd]" else None


def _sections(text: str) -> list[tuple[str, Section]]:
    """(name in lower case, keys) in the order of the text. Raises DamagedError when there are far too many."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in _LINE.split(text):
        plain = line.strip(" \t\0\x1a\ufeff")
        match = _SECTION.fullmatch(plain)
        if match:
            found.append((" ".join(match[1].lower().split()), {}))
        elif found and "=" in plain:
            key, _, value = plain.partition("=")
            found[-1][1].setdefault(" ".join(key.lower().split()), value.strip())
        if len(found) > _MAX_SECTIONS:
            raise DamagedError(None, f"more than {_MAX_SECTIONS} sections")
    return [*found]


def _number(name: str, section: Section, key: str, default: int | None = None) -> int:
    """A number. Raises DamagedError that names the section and the key, without a default also when it is not there."""
    value = section.get(key)
    if value is None and default is not None:
        return default
    if value is None or not _NUMBER.fullmatch(value):
        raise DamagedError(None, f"[{name}] {key}: {(value or 'nothing')[:40]!r} is no number")
    return int(value, 16 if "x" in value.lower() else 10)


class _Entry(NamedTuple):
    """An entry of the table of contents. `lba` is the address that it points to."""

    session: int
    point: int
    control: int
    lba: int


def _entry(name: str, section: Section) -> _Entry:
    minute, second, frame = (_number(name, section, key, 0) for key in ("pmin", "psec", "pframe"))
    lba = _number(name, section, "plba", (minute * 60 + second) * 75 + frame - LEAD_IN_LBA)
    entry = _Entry(
        _number(name, section, "session", 1),
        _number(name, section, "point"),
        _number(name, section, "control", 0),
        lba,
    )
    if not 1 <= entry.session <= MAX_SESSION:
        raise DamagedError(None, f"[{name}]: a disc has at most {MAX_SESSION} sessions, this is {entry.session}")
    if (entry.point <= MAX_TRACK or entry.point == _LEAD_OUT) and not 0 <= lba <= _MOST_LBA:
        raise DamagedError(None, f"[{name}]: LBA {lba} lies outside the disc")
    return entry


class _Span(NamedTuple):
    """A track: where index 1 lies, where its sectors begin and end. `gaps` sectors before it are not in the image."""

    entry: _Entry
    begin: int
    end: int
    gaps: int
    told: Section


def _spans(sections: Sequence[tuple[str, Section]]) -> list[_Span]:
    """The tracks by session and number, with the sectors that belong to each."""
    entries = [_entry(name, keys) for name, keys in sections if name.startswith("entry ")]
    told = {name: keys for name, keys in reversed(sections) if name.startswith("track ")}
    spans: list[_Span] = []
    gaps = lead_out = 0
    for number in sorted({entry.session for entry in entries}):
        mine = [entry for entry in entries if entry.session == number]
        tracks = sorted((entry for entry in mine if 1 <= entry.point <= MAX_TRACK), key=lambda entry: entry.point)
        if not tracks:
            continue
        keys = [told.get(f"track {entry.point}", {}) for entry in tracks]
        if spans:
            gaps += max(0, tracks[0].lba - lead_out)
            begins = [tracks[0].lba]
        else:
            begins = [0]  # what lies before index 1 of the first track is in the image
        begins += [entry.lba - _pregap(entry, told) for entry, told in zip(tracks[1:], keys[1:], strict=True)]
        lead_out = max((entry.lba for entry in mine if entry.point == _LEAD_OUT), default=-1)
        if lead_out < 0:
            raise DamagedError(None, f"session {number} has no entry for its lead-out (point 0xA2)")
        ends = [*begins[1:], lead_out]
        spans += map(_Span, tracks, begins, ends, [gaps] * len(tracks), keys)
    return spans


def _pregap(entry: _Entry, told: Section) -> int:
    """Sectors from index 0 to index 1: the distance holds, wherever the addresses of a [TRACK] section count from."""
    name = f"track {entry.point}"
    if "index 0" not in told or "index 1" not in told:
        return 0
    distance = _number(name, told, "index 1") - _number(name, told, "index 0")
    return distance if 0 <= distance <= entry.lba else 0


def parts(candidate: Candidate) -> Sequence[str]:
    """The image and the subchannel, where they are there. Raises OutsideError."""
    found = (find_beside(candidate, _IMAGE), find_beside(candidate, _SUBCHANNEL))
    return [name for name in found if name]


def open_ccd(candidate: Candidate, options: Options) -> Disc:
    """The disc. Raises DamagedError, MissingPartError, OutsideError, UnsupportedError for scrambled sectors, OSError."""
    sections = _sections(read_text(candidate, options)[0])
    spans = _spans(sections)
    if not spans:
        raise DamagedError(None, "no [Entry] of it is a track")
    image = open_found(candidate, find_beside(candidate, _IMAGE), f"{stem_of(candidate)}.{_IMAGE[0]}")
    whole = dict(reversed(sections))
    packs = _packs(whole.get("cdtext", {}))
    words = cdtext.texts(packs)
    builder = DiscBuilder()
    subchannel = _subchannel(candidate, builder)
    # An image as long as the disc holds the gaps between the sessions too.
    has_gaps = image.size >= max(span.end for span in spans) * SECTOR_BYTES
    session = None
    for span in spans:
        if span.entry.session != session:
            session = span.entry.session
            builder.begin_session()
        _add(builder, span, image, subchannel, 0 if has_gaps else span.gaps, words.get(span.entry.point, {}))
    catalog = whole.get("disc", {}).get("catalog", "")
    return Disc(
        builder.sessions,
        catalog=catalog if _CATALOG.fullmatch(catalog) else "",
        **texts_in(words.get(0, {})),
        warnings=tuple(builder.warnings),
        cdtext=packs,
    )


def _subchannel(candidate: Candidate, builder: DiscBuilder) -> Reader | None:
    """The file of the subchannel, where it is there. Only `.imagefs` shows it: trouble is a warning. Raises OSError."""
    try:
        found = find_beside(candidate, _SUBCHANNEL)
        return open_found(candidate, found, found) if found else None
    except ImageError as error:
        builder.warn(f"its subchannel is left out: {message_of(error)}")
        return None


def _add(
    builder: DiscBuilder, span: _Span, image: Reader, subchannel: Reader | None, gaps: int, words: Mapping[str, str]
) -> None:
    entry, name = span.entry, f"track {span.entry.point}"
    kind = TrackKind.AUDIO
    if entry.control & _DATA:
        kind = TrackKind.MODE2 if _number(name, span.told, "mode", 1) == 2 else TrackKind.MODE1
    index1 = _number(name, span.told, "index 1", 0)
    later = [
        _number(name, span.told, f"index {k}") - index1 for k in range(2, MAX_TRACK + 1) if f"index {k}" in span.told
    ]
    first, count = max(0, span.begin - gaps), span.end - span.begin
    beside = subchannel and slice_of(subchannel, first * SUBCHANNEL_BYTES, count * SUBCHANNEL_BYTES)
    builder.add(
        entry.point,
        entry.lba,
        Stored(image, _LAYOUTS[kind], first * SECTOR_BYTES, count, entry.lba - span.begin, beside),
        flags=tuple(flag for bit, flag in _FLAGS if entry.control & bit),
        isrc=span.told.get("isrc", ""),
        words=words,
        indexes=tuple(entry.lba + distance for distance in later),
    )


def _packs(section: Section) -> bytes:
    """The CD-TEXT packs, with the checksums that are not in the text; those that are no bytes are left out."""
    found = []
    for key, value in section.items():
        try:
            raw = bytes.fromhex(value) if key.startswith("entry ") else b""
        except ValueError:
            continue
        if len(raw) == _PACK_BYTES:
            found.append(cdtext.with_checksum(raw))
    return b"".join(found[:_MAX_PACKS])


FORMAT = Format(
    name="ccd",
    title="a CloneCD image",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_ccd,
    extensions=("ccd",),
    mime=("application/x-ccd",),
    magic=((0, b"[CloneCD]"),),
    describes=(*_IMAGE, *_SUBCHANNEL),
    parts=parts,
    reads="all track modes, several sessions with and without the gaps between them, CD-TEXT",
    lacks="scrambled sectors",
)
