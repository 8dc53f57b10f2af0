"""What `readcd -clone` and `readom -clone` write: the sectors in NAME, the table of contents in NAME.toc. Big-endian.

NAME.toc, the answer of a drive to READ TOC/PMA/ATIP of format 2 and what readcd adds

offset  size  field           meaning
0       2     length          of what follows, without the types of sectors
2       1     first session   1
3       1     last session
4       11*n  entries
        1, 1  types           of the first sectors and the last (cdrecord's numbers); cdrtools may have a byte before them

entry   0  1  session
        1  1  adr (bits 4-7), control (bits 0-3): 4 data, 1 pre-emphasis, 2 copying permitted, 8 four channels
        2  1  0
        3  1  point           1 to 99 a track, 0xA2 the lead-out; 0xA0, 0xA1, 0xB0, 0xC0 and the like are not needed
        4  3  a time
        7  1  0
        8  3  minute, second, frame of index 1 or of the lead-out, 150 sectors more than the LBA

NAME has 2448 bytes a sector, 2352 and P to W as the drive gives them (interleaved), and begins with LBA 0; gaps between
sessions are in it. Where a pregap begins, recording codes and the catalogue number are only in the Q channel
(`imagefs.disc.subchannel`). The mode of data tracks stands in their sectors.

cdrdao's TOC files have the same extension and are texts.
Sources: MMC-3 §6.26.3.4 (READ TOC, format 0010b); README.clone of cdrtools; libMirage and K3b.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.containers._parts import find_beside, open_found, stem_of
from imagefs.disc import Disc, TrackKind
from imagefs.disc.build import DiscBuilder, Stored, seen_layout
from imagefs.disc.layouts import Layout, by_sync, by_volume, layout_of
from imagefs.disc.model import (
    AUDIO_BYTES,
    FRAMES_PER_SECOND,
    LEAD_IN_LBA,
    MAX_SESSION,
    MAX_TRACK,
    SUBCHANNEL_BYTES,
)
from imagefs.disc.subchannel import QChannel
from imagefs.errors import DamagedError
from imagefs.formats import Candidate, Format, Layer, Match, find_part
from imagefs.options import Options
from imagefs.readers import Reader, SectorReader

HEADER = struct.Struct(">HBB")
ENTRY = struct.Struct(">BBxB4x3B")
SECTOR_BYTES = AUDIO_BYTES + SUBCHANNEL_BYTES
_LAYOUTS = {kind: layout for kind in TrackKind if (layout := layout_of(kind, SECTOR_BYTES))}
_COUNTED_BYTES = 2
"""The length does not count itself."""
_AFTER_ENTRIES = (0, 1, 2, 3)
"""Bytes behind the entries: types of sectors, a byte of filling, both or none (`-fulltoc`)."""
_LEAD_OUT = 0xA2
_POSITION_ADR = 1
_DATA = 4
_FLAGS = ((1, "PRE"), (2, "DCP"), (8, "4CH"))
_RENAMED = ("bin", "img", "iso", "raw")
"""What people append to NAME."""


class _Entry(NamedTuple):
    """An entry of the table of contents; `lba` is what it points to."""

    session: int
    point: int
    control: int
    lba: int


def _entries(data: bytes) -> list[_Entry] | None:
    """The tracks and lead-outs of a table of contents in its order, None for bytes that are none."""
    if len(data) < HEADER.size + ENTRY.size:
        return None
    length, first, last = HEADER.unpack_from(data)
    end = _COUNTED_BYTES + length
    if (end - HEADER.size) % ENTRY.size or len(data) - end not in _AFTER_ENTRIES or not 1 <= first <= last:
        return None
    found = []
    for session, adr_control, point, minute, second, frame in ENTRY.iter_unpack(data[HEADER.size : end]):
        if not first <= session <= min(last, MAX_SESSION):
            return None
        if adr_control >> 4 == _POSITION_ADR and (1 <= point <= MAX_TRACK or point == _LEAD_OUT):
            if second >= 60 or frame >= FRAMES_PER_SECOND:
                return None
            lba = (minute * 60 + second) * FRAMES_PER_SECOND + frame - LEAD_IN_LBA
            found.append(_Entry(session, point, adr_control & 15, lba))
    has_track, has_lead_out = (any((e.point == _LEAD_OUT) == is_end for e in found) for is_end in (False, True))
    return found if has_track and has_lead_out else None


def probe(candidate: Candidate) -> Match | None:
    if candidate.reader.size > limits.PROBE_BYTES:
        return None
    found = _entries(candidate.at(0, limits.PROBE_BYTES))
    return Match(80, f"a table of contents of {len(found)} tracks and lead-outs, as long as it says") if found else None


def _find(candidate: Candidate) -> str | None:
    """The data file: NAME, else NAME with an extension. Raises OutsideError."""
    found = find_part(candidate.folder, stem_of(candidate)) if candidate.folder else None
    return found if found and found != candidate.name else find_beside(candidate, _RENAMED)


def parts(candidate: Candidate) -> Sequence[str]:
    """The data file, where it is there. Raises OutsideError."""
    found = _find(candidate)
    return [found] if found else []


class _Span(NamedTuple):
    """A track: its sectors are those from `begin` to `end` of the data file, index 1 is at `entry.lba`."""

    entry: _Entry
    begin: int
    end: int


def _spans(entries: Sequence[_Entry]) -> list[_Span]:
    """The tracks by session and number, with what lies between them. Raises DamagedError."""
    spans: list[_Span] = []
    for session in sorted({entry.session for entry in entries}):
        mine = sorted((entry for entry in entries if entry.session == session), key=lambda entry: entry.point)
        tracks = [entry for entry in mine if entry.point != _LEAD_OUT]
        if not tracks:
            continue
        if mine[-1].point != _LEAD_OUT:
            raise DamagedError(None, f"session {session} has no entry for its lead-out (point 0xA2)")
        if any(entry.lba < 0 for entry in mine):
            raise DamagedError(None, f"session {session} has an entry for an address before LBA 0")
        # What lies before index 1 of the first track of all is in the file.
        begins = [tracks[0].lba if spans else 0, *(entry.lba for entry in tracks[1:])]
        spans += map(_Span, tracks, begins, [*begins[1:], mine[-1].lba])
    return spans


def open_readcd(candidate: Candidate, options: Options) -> Disc:
    """The disc. Raises DamagedError, MissingPartError, OutsideError, UnsupportedError for scrambled sectors, OSError."""
    entries = _entries(candidate.exactly(0, min(candidate.reader.size, limits.PROBE_BYTES)))
    if entries is None:
        raise DamagedError(None, "it is no table of contents of readcd")
    spans = _spans(entries)
    image = open_found(candidate, _find(candidate), stem_of(candidate))
    _check_sectors(image, spans)
    subcode = QChannel(SectorReader(image, 0, SECTOR_BYTES, AUDIO_BYTES, SUBCHANNEL_BYTES, image.size // SECTOR_BYTES))
    builder = DiscBuilder()
    session = None
    for span in _with_pregaps(spans, subcode):
        if span.entry.session != session:
            session = span.entry.session
            builder.begin_session()
        _add(builder, span, image, subcode)
    first = spans[0]
    return Disc(
        builder.sessions,
        catalog=subcode.catalog(first.entry.lba, first.end - first.entry.lba),
        warnings=tuple(builder.warnings),
    )


def _check_sectors(image: Reader, spans: Sequence[_Span]) -> None:
    """Raises DamagedError for a data file that visibly has other sectors: an ISO beside the answer of `-fulltoc`."""
    at = next((span.entry.lba for span in spans if span.entry.control & _DATA), 0) * SECTOR_BYTES
    begin = Candidate(image)
    for start in (at, 0):
        seen = _seen(begin, start)
        if seen and seen.sector_bytes == SECTOR_BYTES:
            return
    if seen:
        raise DamagedError(
            None, f"its data file has sectors of {seen.sector_bytes} bytes, not the {SECTOR_BYTES} of readcd -clone"
        )


def _seen(image: Candidate, start: int) -> Layout | None:
    def peek(offset: int, length: int) -> bytes:
        return image.at(start + offset, length)

    return by_sync(peek) or by_volume(peek)


def _with_pregaps(spans: Sequence[_Span], subcode: QChannel) -> list[_Span]:
    """With the sectors of index 0 taken from the end of one track to the next of its session, where Q has them."""
    found = list(spans)
    for place in range(1, len(found)):
        before, span = found[place - 1], found[place]
        if before.entry.session == span.entry.session and before.begin < span.begin:
            pregap = subcode.pregap(span.entry.point, max(before.begin, before.entry.lba), span.begin)
            found[place - 1] = before._replace(end=before.end - pregap)
            found[place] = span._replace(begin=span.begin - pregap)
    return found


def _add(builder: DiscBuilder, span: _Span, image: Reader, subcode: QChannel) -> None:
    entry = span.entry
    is_audio = not entry.control & _DATA
    layout = _LAYOUTS[TrackKind.AUDIO] if is_audio else _data_layout(image, entry.lba)
    builder.add(
        entry.point,
        entry.lba,
        Stored(image, layout, span.begin * SECTOR_BYTES, span.end - span.begin, entry.lba - span.begin),
        pregap=0 if span.begin else LEAD_IN_LBA + entry.lba,
        flags=tuple(flag for bit, flag in _FLAGS if entry.control & bit),
        isrc=subcode.isrc(entry.lba, span.end - entry.lba) if is_audio else "",
    )


def _data_layout(image: Reader, lba: int) -> Layout:
    """Mode 1 or 2 by the sectors: a table of contents does not tell it."""
    told = _LAYOUTS[TrackKind.MODE1]
    seen = seen_layout(told, image, lba * SECTOR_BYTES)
    return seen if seen.sector_bytes == SECTOR_BYTES else told


FORMAT = Format(
    name="readcd",
    title="an image of readcd -clone",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_readcd,
    extensions=("toc",),
    describes=("", *_RENAMED, "cdr", "clone", "dat", "image"),
    parts=parts,
    reads="all track modes, sessions, pregaps, ISRC and catalogue number of the subchannel",
    lacks="scrambled sectors",
)
