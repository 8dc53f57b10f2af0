"""A disc put together from what a descriptor says of its tracks, checked against the sectors themselves.

Descriptors are wrong about modes, lengths and addresses, and the sectors know better: the header of a raw sector tells mode
1 from mode 2, a volume's block addresses tell where it begins (`imagefs.disc.address`). What is put right is a warning.
Sectors that are described and that the file has lost stay in their track: they are missing, and reading them is an error.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from imagefs import limits
from imagefs.disc.address import first_lba, stored_pregap
from imagefs.disc.layouts import Layout, Peek, by_sync, by_volume, header_lba, is_scrambled, layout_of
from imagefs.disc.model import MAX_TRACK, SUBCHANNEL_BYTES, Session, Track, TrackKind, texts_in
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.readers import Reader, slice_of


class Stored(NamedTuple):
    """`sectors` of `layout` from byte `offset` of `reader`, of which the first `pregap` lie before index 1.

    `subchannel` has 96 bytes for each of them, where it lies apart from the sectors. Samples may be `big_endian`. Sectors
    that are `is_decoded` come out of an audio file: no data are looked for in them, since that would decode them.
    """

    reader: Reader
    layout: Layout
    offset: int
    sectors: int
    pregap: int = 0
    subchannel: Reader | None = None
    big_endian: bool = False
    is_decoded: bool = False


def layout_with_subchannel(kind: TrackKind, sector_bytes: int) -> Layout | None:
    """The layout of sectors of `sector_bytes`, of which the last 96 are subchannel."""
    main = layout_of(kind, sector_bytes - SUBCHANNEL_BYTES)
    return main._replace(sector_bytes=sector_bytes) if main else None


def described_layout(kind: TrackKind, sector_bytes: int, *, has_subchannel: bool = False) -> Layout | None:
    """The layout that a descriptor means; data in sectors of a size that mode 1 does not have are mode 2."""
    of = layout_with_subchannel if has_subchannel else layout_of
    layout = of(kind, sector_bytes)
    return of(TrackKind.MODE2, sector_bytes) if layout is None and kind is TrackKind.MODE1 else layout


def seen_layout(told: Layout, reader: Reader, offset: int) -> Layout:
    """The layout of the sectors from byte `offset` on by what is in them; `told` when nothing there contradicts it."""
    peek = _peek(reader, offset)
    raw = by_sync(peek)
    if raw is not None:
        return raw
    if told.kind is TrackKind.AUDIO:
        return told
    seen = by_volume(peek)
    # Without a sync, mode 1 and mode 2 of one size are the same.
    return told if seen is None or seen.sector_bytes == told.sector_bytes else seen


def _peek(reader: Reader, begin: int) -> Peek:
    candidate = Candidate(reader)
    return lambda offset, length: candidate.at(begin + offset, length)


class DiscBuilder:
    """Takes the tracks in the order of the disc; `warnings` collects what was put right.

    Warnings of a track begin with the `line` of the descriptor that it comes from, where there is one.
    """

    def __init__(self, warnings: list[str] | None = None) -> None:
        self.warnings: list[str] = [] if warnings is None else warnings
        self._sessions: list[list[Track]] = []
        self._number = 0
        self._data_end = 0
        """LBA behind the last data track"""

    @property
    def sessions(self) -> list[Session]:
        """Those that have tracks, counted from 1."""
        return [Session(number, tracks) for number, tracks in enumerate(filter(None, self._sessions), 1)]

    def warn(self, text: str, line: int | None = None) -> None:
        if len(self.warnings) < limits.WARNINGS:
            self.warnings.append(text if line is None else f"line {line}: {text}")

    def begin_session(self) -> None:
        self._sessions.append([])

    def add(
        self,
        number: int,
        start: int,
        stored: Stored,
        *,
        is_told: bool = True,
        pregap: int = 0,
        flags: tuple[str, ...] = (),
        isrc: str = "",
        words: Mapping[str, str] | None = None,
        indexes: tuple[int, ...] = (),
        line: int | None = None,
    ) -> Track:
        """A track of the session that was begun last; the LBA `start` is that of index 1, `indexes` are those of later ones.

        A `start` that is not told but a guess may be corrected without a warning. `pregap` are all sectors before it,
        stored or not; `words` are its texts (`texts_in`). Raises DamagedError for more tracks than a disc can have,
        UnsupportedError for scrambled sectors.
        """
        number = self._next_number(number, line)
        stored = self._checked(number, stored, line)
        layout = stored.layout
        track = Track(
            number=number,
            kind=layout.kind,
            sector_bytes=layout.sector_bytes,
            start=start,
            length=stored.sectors - stored.pregap,
            stored=slice_of(stored.reader, stored.offset, stored.sectors * layout.sector_bytes),
            user_offset=layout.user_offset,
            pregap=max(stored.pregap, min(pregap, limits.DISC_SECTORS)),
            pregap_stored=stored.pregap,
            big_endian=stored.big_endian,
            flags=flags,
            isrc=isrc,
            **texts_in(words or {}),
            indexes=indexes,
            apart=stored.subchannel,
        )
        if track.is_data:
            track = self._placed(track, is_told, line)
            self._data_end = max(self._data_end, track.start + track.length)
        self._sessions[-1].append(track)
        return track

    def seen(
        self,
        number: int,
        told: Layout,
        reader: Reader,
        offset: int,
        *,
        may_resize: bool = True,
        line: int | None = None,
    ) -> Layout:
        """`seen_layout`, with a warning. Unless it may resize, sectors of another size do not contradict `told`."""
        layout = seen_layout(told, reader, offset)
        if layout == told or (layout.sector_bytes != told.sector_bytes and not may_resize):
            return told
        self.warn(f"track {number} is {layout.mode} by its sectors, not {told.mode}", line)
        return layout

    def _next_number(self, number: int, line: int | None) -> int:
        """A number that comes again would hide the track that had it first."""
        if number <= self._number:
            self.warn(f"track {number} after track {self._number} is taken as {self._number + 1}", line)
            number = self._number + 1
        if number > MAX_TRACK:
            raise DamagedError(None, f"track {number}: a disc has at most {MAX_TRACK}")
        self._number = number
        return number

    def _checked(self, number: int, stored: Stored, line: int | None) -> Stored:
        """With a count that is possible, and the layout that the sectors have."""
        reader, layout, size = stored.reader, stored.layout, stored.layout.sector_bytes
        offset = min(stored.offset, reader.size)  # one of 64 bits may be more than a file can have
        count, there = stored.sectors, max(0, reader.size - offset) // size
        if not 0 <= count <= max(there, limits.DISC_SECTORS):
            kept = 0 if count < 0 else there
            self.warn(f"track {number} cannot have {count} sectors; it has {kept}", line)
            count = kept
        elif count > there:
            self.warn(f"the last {count - there} of the {count} sectors of track {number} are not in the file", line)
        pregap = max(0, min(stored.pregap, count))
        if not stored.is_decoded:
            begin = offset + pregap * size
            if count > pregap:
                layout = self.seen(number, layout, reader, begin, may_resize=False, line=line)
            if layout.kind is not TrackKind.AUDIO and is_scrambled(Candidate(reader).at(begin, 16)):
                raise UnsupportedError(f"scrambled sectors in track {number}; dump the disc descrambled")
        return stored._replace(layout=layout, offset=offset, sectors=count, pregap=pregap)

    def _placed(self, track: Track, is_told: bool, line: int | None) -> Track:
        """The data track where its own volume says it is, as long as that is free; what it stores of a pregap apart."""
        header = header_lba(Candidate(track.stored).at(track.pregap_stored * track.sector_bytes, 16))
        first = first_lba(track.user, [track.start] if header is None else [track.start, header])
        if first is None:
            return track
        pregap = min(stored_pregap(track.user), track.length)
        if first + pregap < self._data_end:
            first = track.start
        start = first + pregap
        if pregap:
            self.warn(f"track {track.number} begins with {pregap} sectors of pregap by its volume", line)
        if is_told and first not in (track.start, track.start - pregap):
            self.warn(f"track {track.number} begins at LBA {start} by its volume, not at {track.start}", line)
        return replace(
            track,
            start=start,
            length=track.length - pregap,
            pregap=max(track.pregap, track.pregap_stored + pregap),
            pregap_stored=track.pregap_stored + pregap,
            indexes=tuple(lba + first - track.start for lba in track.indexes),
        )
