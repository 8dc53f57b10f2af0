"""From a parsed CUE sheet and its opened files to tracks with places in the files and addresses on the disc.

In a file, frames count sectors, each track's with its own size: a track begins where the sectors of those before it in that
file end, and its first index there (00, else 01) is the border. The first track of a file begins with the file, whatever
its first index says: what lies before is its pregap. A track may begin in one file (INDEX 00, the pregap at the end of the
track before) and go on in the next (INDEX 01).

On the disc, the first file begins at LBA 0, or at -150 when its first track has just the usual pregap of 150 sectors. Each
track follows the one before, with its PREGAP and POSTGAP between; a new session begins 11400 sectors (6900 from the third
on) behind the end of the last, or as many as the sheet's remarks make. What a data track's volume and its sector headers say
overrules that.

In some sheets (IsoBuster, UltraISO) the addresses in a file go on over the gap between two sessions, which is not in it. The
gap is taken out where the data track behind it is then found in its place.
"""

from dataclasses import replace
from typing import NamedTuple

from imagefs import limits
from imagefs.containers.cue.files import Part
from imagefs.containers.cue.sheet import Sheet, TrackEntry
from imagefs.disc import Session, Track, TrackKind
from imagefs.disc.address import first_lba
from imagefs.disc.layouts import Layout, by_sync, by_volume, header_lba
from imagefs.disc.model import FIRST_LEAD_OUT, HIGH_DENSITY_LBA, LATER_LEAD_OUT, LEAD_IN, LEAD_IN_LBA, texts_in
from imagefs.formats import Candidate
from imagefs.readers import Extent, Reader, joined, slice_of

# --- places in the files --------------------------------------------------------------------------------------------------


class _Piece(NamedTuple):
    """`sectors` stored sectors of a track in one file; the first is frame `first` of that file."""

    file: int
    first: int
    sectors: int
    stored: Reader


def stored_tracks(sheet: Sheet, parts: list[Part]) -> list[tuple[TrackEntry, Track]]:
    """The tracks whose files can be read, in the sheet's order, all of them at LBA 0. May correct `entry.layout`."""
    pieces: dict[int, list[_Piece]] = {entry.number: [] for entry in sheet.tracks}
    for number, part in enumerate(parts):
        if part.reader is not None:
            _cut(sheet, number, part.reader, pieces, is_audio=part.is_audio)
    return [
        (entry, _track(entry, pieces[entry.number], parts[entry.indexes[1].file].is_big_endian))
        for entry in sheet.tracks
        if parts[entry.indexes[1].file].reader is not None
    ]


def _cut(sheet: Sheet, file: int, reader: Reader, pieces: dict[int, list[_Piece]], *, is_audio: bool) -> None:
    """Cut one file into the pieces of its tracks. In an audio file no data track is looked for: that would decode it."""
    entries = [entry for entry in sheet.tracks if any(index.file == file for index in entry.indexes.values())]
    firsts = [min(index.frame for index in entry.indexes.values() if index.file == file) for entry in entries]
    firsts[:1] = [0]
    _take_out_gaps(sheet, entries, firsts, file, reader)
    offset, name = 0, sheet.files[file].name
    for place, entry in enumerate(entries):
        index1 = entry.indexes[1]
        to_index1 = max(0, index1.frame - entry.skipped - firsts[place]) if index1.file == file else 0
        if index1.file == file and not pieces[entry.number] and not is_audio:
            _check_layout(sheet, entry, reader, offset, to_index1)
        size = entry.layout.sector_bytes
        there = max(0, reader.size - offset) // size
        if not there and reader.size:
            sheet.warn(entry.line, f"track {entry.number} lies past the end of {name!r} and is empty")
            count = 0
        elif entry is entries[-1]:
            count = there
            if (reader.size - offset) % size:
                sheet.warn(
                    entry.line, f"{name!r} does not end with a whole sector of {size} bytes; the rest is left out"
                )
        else:
            count = _until_next(sheet, entries[place + 1], firsts[place + 1] - firsts[place], there)
        if to_index1 > count > 0:
            sheet.warn(index1.line, f"INDEX 01 of track {entry.number} lies behind all of the track")
        pieces[entry.number].append(_Piece(file, firsts[place], count, slice_of(reader, offset, count * size)))
        offset += count * size


_GAPS = (FIRST_LEAD_OUT + LEAD_IN, LATER_LEAD_OUT + LEAD_IN)
"""Lead-out and lead-in; some sheets count the pregap of 150 sectors as well."""


def _take_out_gaps(sheet: Sheet, entries: list[TrackEntry], firsts: list[int], file: int, reader: Reader) -> None:
    """Take gaps between sessions, over which the addresses go on, out of `firsts`; notes them as `skipped` of the tracks."""
    offset = skipped = 0
    for place, entry in enumerate(entries[1:], 1):
        firsts[place] -= skipped
        size, before = entry.layout.sector_bytes, entries[place - 1]
        count = firsts[place] - firsts[place - 1]
        if (
            entry.session != before.session
            and entry.indexes[1].file == file
            and entry.layout.kind is not TrackKind.AUDIO
        ):
            to_index1 = (entry.indexes[1].frame - skipped - firsts[place]) * size
            at = offset + count * before.layout.sector_bytes + to_index1
            for gap in (0, *_GAPS, *(each + LEAD_IN_LBA for each in _GAPS)):
                if gap <= count and _is_data(reader, at - gap * before.layout.sector_bytes):
                    skipped, count, firsts[place] = skipped + gap, count - gap, firsts[place] - gap
                    break
        entry.skipped = skipped
        offset += max(0, count) * before.layout.sector_bytes


def _is_data(reader: Reader, at: int) -> bool:
    """Whether a data track begins at byte `at`."""
    begin = Candidate(reader)
    return any(see(lambda offset, length: begin.at(at + offset, length)) is not None for see in (by_sync, by_volume))


def _until_next(sheet: Sheet, following: TrackEntry, count: int, there: int) -> int:
    """The sectors up to the next track: what the sheet says, so that those a cut file has lost are missing, not absent."""
    if 0 <= count <= max(there, limits.DISC_SECTORS):
        return count
    sheet.warn(following.line, f"the first INDEX of track {following.number} is out of order or too large")
    return max(0, min(count, there))


def _track(entry: TrackEntry, pieces: list[_Piece], is_big_endian: bool) -> Track:
    """The track that its pieces make, one after the other."""
    kind, size, user_offset = entry.layout
    extents, total, index1_sector = [], 0, 0
    for piece in pieces:
        if piece.file == entry.indexes[1].file:
            frame = entry.indexes[1].frame - entry.skipped
            index1_sector = total + max(0, min(frame - piece.first, piece.sectors))
        extents.append(Extent(total * size, piece.sectors * size, piece.stored))
        total += piece.sectors
    return Track(
        number=entry.number,
        kind=kind,
        sector_bytes=size,
        start=0,
        length=total - index1_sector,
        stored=joined(extents, total * size),
        user_offset=user_offset,
        pregap=index1_sector + entry.pregap,
        pregap_stored=index1_sector,
        big_endian=is_big_endian,
        flags=entry.flags,
        isrc=entry.isrc,
        **texts_in(entry.text),
    )


def _check_layout(sheet: Sheet, entry: TrackEntry, reader: Reader, offset: int, to_index1: int) -> None:
    """Correct the layout of a track by its first sectors: sheets are often wrong about modes and sizes.

    The track's piece begins at byte `offset`, its index 1 is `to_index1` sectors further on.
    """
    told = _seen(entry.layout, reader, offset + to_index1 * entry.layout.sector_bytes)
    if told is None or told == entry.layout:
        return
    if to_index1 and told.sector_bytes != entry.layout.sector_bytes:
        return  # index 1 would lie elsewhere than where was looked
    sheet.warn(entry.line, f"track {entry.number} is {told.mode} by its sectors, not {entry.layout.mode}")
    entry.layout = told


def _seen(layout: Layout, reader: Reader, at: int) -> Layout | None:
    """The layout of the sectors from byte `at` on, None when nothing there contradicts `layout`."""
    begin = Candidate(reader)

    def peek(offset: int, length: int) -> bytes:
        return begin.at(at + offset, length)

    raw = by_sync(peek)
    if raw is not None or layout.kind is TrackKind.AUDIO:
        return raw
    told = by_volume(peek)
    # Without a sync, mode 1 and 2 of 2048 bytes are the same.
    return None if told is None or told.sector_bytes == layout.sector_bytes else told


# --- addresses on the disc ------------------------------------------------------------------------------------------------


def sessions_of(sheet: Sheet, stored: list[tuple[TrackEntry, Track]]) -> list[Session]:
    """The tracks with their addresses, in sessions that count from 1."""
    sessions: dict[int, list[Track]] = {}
    end = data_end = 0
    for entry, track in stored:
        is_new = entry.session not in sessions
        track = replace(track, start=_expected_start(entry, track, end, len(sessions) if is_new else -1))
        if track.is_data:
            track = _by_volume(sheet, entry, track, data_end, may_move=is_new)
            data_end = max(data_end, track.start + track.length)
        indexes = tuple(
            track.start + index.frame - entry.indexes[1].frame
            for number, index in sorted(entry.indexes.items())
            if number > 1 and index.file == entry.indexes[1].file
        )
        sessions.setdefault(entry.session, []).append(replace(track, indexes=indexes))
        end = track.start + track.length + entry.postgap
    return [Session(number, tracks) for number, tracks in enumerate(sessions.values(), 1)]


def _expected_start(entry: TrackEntry, track: Track, end: int, sessions_before: int) -> int:
    """LBA of index 1 by the sheet. `sessions_before` is -1 for a track that begins no session."""
    if entry.is_high_density:
        return HIGH_DENSITY_LBA
    if sessions_before > 0:
        lead_out = entry.between.get("LEAD-OUT", FIRST_LEAD_OUT if sessions_before == 1 else LATER_LEAD_OUT)
        pregap = entry.between.get("PREGAP", LEAD_IN_LBA)
        return (
            end + lead_out + entry.between.get("LEAD-IN", LEAD_IN) + max(pregap, entry.pregap if entry.between else 0)
        )
    if sessions_before == 0 and track.pregap == LEAD_IN_LBA:
        return 0
    return end + track.pregap


def _by_volume(sheet: Sheet, entry: TrackEntry, track: Track, data_end: int, *, may_move: bool) -> Track:
    """The track where its own volume says it is, as long as that is free. `may_move`: the sheet leaves it open anyway."""
    header = header_lba(Candidate(track.stored).at(track.pregap_stored * track.sector_bytes, 16))
    told = first_lba(track.user, [track.start] if header is None else [track.start, header])
    if told is None or told == track.start:
        return track
    if told < 0:  # the pregap is there, without an index
        pregap = min(-told, track.length)
        return replace(
            track,
            start=0,
            length=track.length - pregap,
            pregap=track.pregap + pregap,
            pregap_stored=track.pregap_stored + pregap,
        )
    if told < data_end:
        return track
    if not may_move:
        sheet.warn(entry.line, f"track {track.number} begins at LBA {told} by its volume, not at {track.start}")
    return replace(track, start=told)
