"""Nero images (NRG), version 1 and 2: the sectors first, then chunks that describe them. All integers are big-endian.

end of file   version 1: "NERO", u32 offset of the first chunk; version 2: "NER5", u64 offset

chunk         u32 identifier, u32 length, content; "END!" is the last
CUES, CUEX    the table of contents of a session
DAOI, DAOX    its tracks, written disc-at-once
ETNF, ETN2    its tracks, written track-at-once (TINF: without addresses, of the first Nero versions)
CDTX          CD-TEXT packs
MTYP          u32 medium
Of each pair the first is version 1's. The k-th CUEx and DAOx, or the k-th ETNx, belong to session k. All others are left.

CUEX, CUES entry                               DAOX, DAOI: 22 bytes, then for each track 42 or 30
0  1  control (upper half) and ADR             0   4  length again, in either byte order
1  1  track, BCD; 0 lead-in, 0xAA lead-out     4   14 catalogue number, ended by NUL
2  1  index, BCD                               18  2  type of the table of contents, and 0 or 1
3  1  0                                        20  1  first track
4  4  CUEX: LBA, signed                        21  1  last track
      CUES: 0, minute, second, frame in BCD    track: 12 ISRC, u16 sector bytes, u8 mode, u8, u16, then three offsets
                                               (u64 or u32): pregap, index 1, end
ETN2: u64 offset, u64 length, u32 mode, u32 LBA, u64. ETNF: u32 offset, u32 length, u32 mode, u32 LBA, u32. TINF: the first
three.

mode 0 and 2: 2048 bytes of user data in mode 1 and 2; 3: 2336; 5, 6, 7: 2352 in mode 1, mode 2, audio; 0x0F, 0x11, 0x10: the
same with 96 bytes of subchannel. Where a sector size is given it counts: early versions stored all tracks in the largest.

In the wild: disc-at-once images hold the pregap of the first track too, so LBA 0 is 150 sectors in. Track-at-once ones hold
none, and their LBAs may be a plain sum that leaves out the 150 sectors before each track. MagicISO writes the footer some
bytes before the end, and last tracks that run into the chunks.
There is no specification; sources: libMirage, Aaru and libcdio agree on all of it.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from imagefs import limits
from imagefs.disc import Disc, TrackKind, cdtext
from imagefs.disc.build import DiscBuilder, Stored, described_layout
from imagefs.disc.chunks import BIG_ENDIAN, Chunk, chunks
from imagefs.disc.layouts import layout_of
from imagefs.disc.model import FIRST_GAP, FRAMES_PER_SECOND, LATER_GAP, LEAD_IN_LBA, MAX_SESSION, texts_in
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader, slice_of

_FOOTERS = ((b"NER5", struct.Struct(">4sQ")), (b"NERO", struct.Struct(">4sI")))
_KNOWN = frozenset((b"CUES", b"CUEX", b"DAOI", b"DAOX", b"ETNF", b"ETN2", b"TINF", b"SINF", b"CDTX", b"MTYP", b"TOCT"))
_FOOTER_SEARCHED = 2 * 2448
"""MagicISO's footers lie within the last two sectors."""

_DAO_HEADER = struct.Struct(">4x13sx2xBB")
_DAO_TRACKS = {b"DAOI": struct.Struct(">12sHBxHIII"), b"DAOX": struct.Struct(">12sHBxHQQQ")}
_TAO_TRACKS = {b"ETNF": struct.Struct(">III I4x"), b"ETN2": struct.Struct(">QQI I8x"), b"TINF": struct.Struct(">III")}
_CUEX_ENTRY, _CUES_ENTRY = struct.Struct(">BBBxi"), struct.Struct(">BBBxx3s")
_U32 = struct.Struct(">I")
_FLAGS = ((1, "PRE"), (2, "DCP"), (8, "4CH"))
_MODES = {
    # mode: (kind, stored bytes)
    0x00: (TrackKind.MODE1, 2048),
    0x02: (TrackKind.MODE2, 2048),
    0x03: (TrackKind.MODE2, 2336),
    0x05: (TrackKind.MODE1, 2352),
    0x06: (TrackKind.MODE2, 2352),
    0x07: (TrackKind.AUDIO, 2352),
    0x08: (TrackKind.AUDIO, 2352),
    0x0F: (TrackKind.MODE1, 2448),
    0x10: (TrackKind.AUDIO, 2448),
    0x11: (TrackKind.MODE2, 2448),
}
_LAYOUTS = {mode: layout for mode, stored in _MODES.items() if (layout := layout_of(*stored))}
_MEDIA = (
    # (bits of MTYP, medium)
    (0x0000_0401, "CD"),
    (0x000C_021C, "DVD"),
    (0x0070_0000, "BD"),
    (0x0380_0000, "HD DVD"),
)


# --- chunks ---------------------------------------------------------------------------------------------------------------


class _Footer(NamedTuple):
    """`first` is the offset of the first chunk, `end` that of the footer: both in bytes of the file."""

    version: int
    first: int
    end: int


def _footer(candidate: Candidate) -> _Footer | None:
    """The footer at the very end, or one near it that points at a chunk."""
    size = candidate.reader.size
    tail = candidate.tail(_FOOTER_SEARCHED)
    for magic, layout in _FOOTERS:
        if tail[-layout.size :].startswith(magic) and len(tail) >= layout.size:
            return _footer_at(tail, len(tail) - layout.size, layout, size)
    for magic, layout in _FOOTERS:
        at = tail.rfind(magic, 0, len(tail) - layout.size + len(magic))
        if at >= 0:
            footer = _footer_at(tail, at, layout, size)
            if footer.first < footer.end and candidate.at(footer.first, 4) in _KNOWN:
                return footer
    return None


def _footer_at(tail: bytes, at: int, layout: struct.Struct, size: int) -> _Footer:
    magic, first = layout.unpack_from(tail, at)
    return _Footer(2 if magic == b"NER5" else 1, first, size - len(tail) + at)


def probe(candidate: Candidate) -> Match | None:
    footer = _footer(candidate)
    return Match(90, f"footer of a Nero image, version {footer.version}") if footer else None


class _Table(NamedTuple):
    """The table of contents of a session: (track, index) -> LBA, and track -> control. Without lead-in and lead-out."""

    places: dict[tuple[int, int], int]
    controls: dict[int, int]


@dataclass
class _Contents:
    """What the chunks say. `tables` and `written` are the sessions', in their order."""

    tables: list["_Table"] = field(default_factory=list)
    written: list[tuple[bytes, bytes]] = field(default_factory=list)  # (identifier, content) of DAOx, ETNx
    packs: bytes = b""
    medium: str = "CD"


def _contents(reader: Reader, footer: _Footer, builder: DiscBuilder) -> _Contents:
    contents = _Contents()
    for chunk in chunks(reader, footer.first, footer.end, BIG_ENDIAN):
        if chunk.name == b"END!":
            break
        if not chunk.is_whole:
            builder.warn(f"the chunk {chunk.name!r} at byte {chunk.offset} is cut short")
            break
        if max(len(contents.tables), len(contents.written)) >= MAX_SESSION:
            raise DamagedError(chunk.offset, f"more than {MAX_SESSION} sessions")
        if chunk.name in (b"CUES", b"CUEX"):
            contents.tables.append(_table(_content(reader, chunk), is_v2=chunk.name == b"CUEX"))
        elif chunk.name in _DAO_TRACKS or chunk.name in _TAO_TRACKS:
            contents.written.append((chunk.name, _content(reader, chunk)))
        elif chunk.name == b"CDTX":
            contents.packs = cdtext.packs_in(_content(reader, chunk))
        elif chunk.name == b"MTYP" and chunk.size >= _U32.size:
            (bits,) = _U32.unpack(reader.exactly(chunk.offset, _U32.size))
            contents.medium = next((medium for mask, medium in _MEDIA if bits & mask), "CD")
    return contents


_CONTENT_BYTES = 1 << 16
"""99 tracks of 42 bytes, or 99 indexes of each in 8 bytes: 79 KiB at most, and never all of it."""


def _content(reader: Reader, chunk: Chunk) -> bytes:
    return reader.exactly(chunk.offset, min(chunk.size, 2 * _CONTENT_BYTES))


def _bcd(byte: int) -> int:
    return 10 * (byte >> 4) + (byte & 15)


def _table(data: bytes, *, is_v2: bool) -> _Table:
    entry = _CUEX_ENTRY if is_v2 else _CUES_ENTRY
    found = _Table({}, {})
    for control, track, index, place in entry.iter_unpack(data[: len(data) - len(data) % entry.size]):
        if track not in (0, 0xAA):
            found.places[_bcd(track), _bcd(index)] = place if is_v2 else _lba_of_msf(place)
            found.controls[_bcd(track)] = control >> 4
    return found


def _lba_of_msf(msf: bytes) -> int:
    minute, second, frame = map(_bcd, msf)
    return (minute * 60 + second) * FRAMES_PER_SECOND + frame - LEAD_IN_LBA


# --- tracks ---------------------------------------------------------------------------------------------------------------


class _Written(NamedTuple):
    """A track as a chunk has it: byte offsets in the file. `lba` is of index 1, None when it is not told."""

    number: int
    mode: int
    sector_bytes: int  # 0: as the mode has it
    pregap: int
    start: int
    end: int
    lba: int | None
    isrc: str = ""


def _disc_at_once(name: bytes, data: bytes, table: _Table) -> Iterator[_Written]:
    if len(data) < _DAO_HEADER.size:
        return
    _, first, _ = _DAO_HEADER.unpack_from(data)
    layout = _DAO_TRACKS[name]
    body = data[_DAO_HEADER.size :]
    for number, fields in enumerate(layout.iter_unpack(body[: len(body) - len(body) % layout.size]), max(1, first)):
        isrc, sector_bytes, mode, _, pregap, start, end = fields
        yield _Written(number, mode, sector_bytes, pregap, start, end, table.places.get((number, 1)), _text(isrc))


def _track_at_once(name: bytes, data: bytes, first: int) -> Iterator[_Written]:
    layout = _TAO_TRACKS[name]
    for number, fields in enumerate(layout.iter_unpack(data[: len(data) - len(data) % layout.size]), first):
        offset, length, mode, *lba = fields
        yield _Written(number, mode & 0xFF, 0, offset, offset, offset + length, lba[0] if lba else None)


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("ascii", "replace").strip()


class _Tracks:
    """Makes the sessions' tracks of what the chunks say of them; addresses run on from track to track."""

    def __init__(self, builder: DiscBuilder, data: Reader, packs: bytes) -> None:
        self.builder = builder
        self.data = data  # what lies before the chunks
        self.words = cdtext.texts(packs)
        self.number = 1  # of the next track
        self.end = 0  # LBA where the last track ends
        self.plain_sum = 0  # the same if there were no gaps at all

    def add_session(self, name: bytes, data: bytes, table: _Table) -> None:
        is_dao = name in _DAO_TRACKS
        written = _disc_at_once(name, data, table) if is_dao else _track_at_once(name, data, self.number)
        before = len(self.builder.sessions)
        self.builder.begin_session()
        for place, entry in enumerate(written):
            self._add(entry, table, sessions_before=None if place else before, is_dao=is_dao)

    def _add(self, entry: _Written, table: _Table, *, sessions_before: int | None, is_dao: bool) -> None:
        stored = self._stored(entry)
        told = self._told_start(entry, is_dao=is_dao)
        start = self._expected_start(stored, sessions_before, is_dao=is_dao) if told is None else told
        index1 = table.places.get((entry.number, 1), 0)
        later = sorted((index, lba) for (number, index), lba in table.places.items() if number == entry.number)
        track = self.builder.add(
            entry.number,
            start,
            stored,
            is_told=told is not None,
            flags=tuple(flag for bit, flag in _FLAGS if table.controls.get(entry.number, 0) & bit),
            isrc=entry.isrc,
            words=self.words.get(max(entry.number, self.number)),
            indexes=tuple(start + lba - index1 for index, lba in later if index > 1),
        )
        self.number = track.number + 1
        self.end = track.start + track.length
        self.plain_sum += track.length

    def _stored(self, entry: _Written) -> Stored:
        """The track's sectors. Raises DamagedError, UnsupportedError for a mode that is not known."""
        if entry.mode not in _LAYOUTS:
            raise UnsupportedError(f"track {entry.number} of an NRG image in mode {entry.mode:#x} is not read")
        usual = _LAYOUTS[entry.mode]
        layout = described_layout(usual.kind, entry.sector_bytes) or usual
        begin, end = min(entry.pregap, entry.start), min(entry.end, self.data.size)
        if entry.start > entry.end:
            raise DamagedError(self.data.size, f"track {entry.number} ends before it begins")
        if end < entry.end:
            self.builder.warn(f"track {entry.number} runs into the chunks and is cut there")
        size = layout.sector_bytes
        count = max(0, end - begin) // size
        return Stored(self.data, layout, begin, count, min((entry.start - begin) // size, count))

    def _told_start(self, entry: _Written, *, is_dao: bool) -> int | None:
        """LBA of index 1 as it is told. A track-at-once one that is a plain sum of lengths, without the gaps, is none."""
        if entry.lba is None or (not is_dao and entry.lba == self.plain_sum):
            return None
        if abs(entry.lba) > limits.DISC_SECTORS:
            self.builder.warn(f"track {entry.number} cannot begin at LBA {entry.lba}")
            return None
        return entry.lba

    def _expected_start(self, stored: Stored, sessions_before: int | None, *, is_dao: bool) -> int:
        """LBA of index 1 where it is not told. `sessions_before` is None for a track that begins no session."""
        if sessions_before:
            return self.end + (FIRST_GAP if sessions_before == 1 else LATER_GAP)
        if sessions_before == 0:
            return max(0, stored.pregap - LEAD_IN_LBA)
        return self.end + (stored.pregap if is_dao else LEAD_IN_LBA)


def open_nrg(candidate: Candidate, options: Options) -> Disc:
    """The disc. Raises DamagedError when no track is described, UnsupportedError for a mode that is not known."""
    footer = _footer(candidate)
    if footer is None or footer.first >= footer.end:
        raise DamagedError(candidate.reader.size, "the footer of a Nero image points past the end of the file")
    builder = DiscBuilder()
    contents = _contents(candidate.reader, footer, builder)
    tracks = _Tracks(builder, slice_of(candidate.reader, 0, footer.first), contents.packs)
    for number, (name, data) in enumerate(contents.written):
        tracks.add_session(name, data, contents.tables[number] if number < len(contents.tables) else _Table({}, {}))
    if not builder.sessions:
        raise DamagedError(footer.first, "a Nero image whose chunks describe no track")
    return Disc(
        builder.sessions,
        catalog=_catalog(contents),
        **texts_in(tracks.words.get(0, {})),
        medium=contents.medium,
        warnings=tuple(builder.warnings),
        cdtext=contents.packs,
    )


def _catalog(contents: _Contents) -> str:
    for name, data in contents.written:
        if name in _DAO_TRACKS and len(data) >= _DAO_HEADER.size:
            raw, _, _ = _DAO_HEADER.unpack_from(data)
            return _text(raw) if re.fullmatch(rb"\d{13}", raw) else ""
    return ""


FORMAT = Format(
    name="nrg",
    title="a Nero image",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_nrg,
    extensions=("nrg",),
    mime=("application/x-nrg",),
    reads="version 1 and 2, disc-at-once and track-at-once, several sessions, all track modes, CD-TEXT",
)
