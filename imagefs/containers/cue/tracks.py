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

from typing import NamedTuple

from imagefs import limits
from imagefs.containers.cue.files import Part
from imagefs.containers.cue.sheet import Sheet, TrackEntry
from imagefs.disc import Session, TrackKind
from imagefs.disc.build import DiscBuilder, Stored
from imagefs.disc.layouts import by_sync, by_volume
from imagefs.disc.model import FIRST_LEAD_OUT, HIGH_DENSITY_LBA, LATER_LEAD_OUT, LEAD_IN, LEAD_IN_LBA
from imagefs.formats import Candidate
from imagefs.readers import Extent, Reader, joined


def sessions_of(sheet: Sheet, parts: list[Part]) -> list[Session]:
    """The tracks whose files can be read, with their addresses, in sessions that count from 1.

    Adds to the sheet's warnings. Raises UnsupportedError for scrambled sectors.
    """
    builder = DiscBuilder(sheet.warnings)
    pieces = _pieces(sheet, parts, builder)
    session = end = 0
    for entry in sheet.tracks:
        index1 = entry.indexes[1]
        part = parts[index1.file]
        if part.reader is None:
            continue
        is_first = entry.session != session
        sessions_before = len(builder.sessions) if is_first else None
        if is_first:
            session = entry.session
            builder.begin_session()
        stored = _stored(entry, pieces[entry.number], part)
        pregap = stored.pregap + entry.pregap
        start = _expected_start(entry, pregap, end, sessions_before)
        later = [index for number, index in sorted(entry.indexes.items()) if number > 1 and index.file == index1.file]
        track = builder.add(
            entry.number,
            start,
            stored,
            is_told=not is_first,
            pregap=pregap,
            flags=entry.flags,
            isrc=entry.isrc,
            words=entry.text,
            indexes=tuple(start + index.frame - index1.frame for index in later),
            line=entry.line,
        )
        end = track.start + track.length + entry.postgap
    return builder.sessions


# --- places in the files --------------------------------------------------------------------------------------------------


class _Piece(NamedTuple):
    """`sectors` stored sectors of a track from byte `offset` of a file; the first is frame `first` of that file."""

    file: int
    first: int
    sectors: int
    reader: Reader
    offset: int


def _pieces(sheet: Sheet, parts: list[Part], builder: DiscBuilder) -> dict[int, list[_Piece]]:
    """The pieces of each track by its number, as far as the files can be read. May correct `entry.layout`."""
    pieces: dict[int, list[_Piece]] = {entry.number: [] for entry in sheet.tracks}
    for number, part in enumerate(parts):
        if part.reader is not None:
            _cut(sheet, number, part.reader, pieces, builder, is_audio=part.is_audio)
    return pieces


def _cut(
    sheet: Sheet,
    file: int,
    reader: Reader,
    pieces: dict[int, list[_Piece]],
    builder: DiscBuilder,
    *,
    is_audio: bool,
) -> None:
    """Cut one file into the pieces of its tracks. In an audio file no data track is looked for: that would decode it."""
    entries = [entry for entry in sheet.tracks if any(index.file == file for index in entry.indexes.values())]
    firsts = [min(index.frame for index in entry.indexes.values() if index.file == file) for entry in entries]
    firsts[:1] = [0]
    _take_out_gaps(entries, firsts, file, reader)
    offset, name = 0, sheet.files[file].name
    for place, entry in enumerate(entries):
        index1 = entry.indexes[1]
        to_index1 = max(0, index1.frame - entry.skipped - firsts[place]) if index1.file == file else 0
        # Behind a pregap of sectors of another size, index 1 would lie elsewhere than where is looked.
        if index1.file == file and not to_index1 and not pieces[entry.number] and not is_audio:
            entry.layout = builder.seen(entry.number, entry.layout, reader, offset, line=entry.line)
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
        pieces[entry.number].append(_Piece(file, firsts[place], count, reader, offset))
        offset += count * size


_GAPS = (FIRST_LEAD_OUT + LEAD_IN, LATER_LEAD_OUT + LEAD_IN)
"""Lead-out and lead-in; some sheets count the pregap of 150 sectors as well."""


def _take_out_gaps(entries: list[TrackEntry], firsts: list[int], file: int, reader: Reader) -> None:
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


def _stored(entry: TrackEntry, pieces: list[_Piece], part: Part) -> Stored:
    """The sectors of a track that its pieces make, one after the other; `part` is the file of its index 1."""
    size, index1 = entry.layout.sector_bytes, entry.indexes[1]
    extents: list[Extent] = []
    sectors = pregap = end = 0
    for piece in pieces:
        if piece.file == index1.file:
            pregap = sectors + max(0, min(index1.frame - entry.skipped - piece.first, piece.sectors))
        there = max(0, min(piece.sectors * size, piece.reader.size - piece.offset))
        extents.append(Extent(sectors * size, there, piece.reader, piece.offset))
        end = sectors * size + there
        sectors += piece.sectors
    return Stored(
        joined(extents, end),
        entry.layout,
        0,
        sectors,
        pregap,
        big_endian=part.is_big_endian,
        is_decoded=part.is_audio,
    )


# --- addresses on the disc ------------------------------------------------------------------------------------------------


def _expected_start(entry: TrackEntry, pregap: int, end: int, sessions_before: int | None) -> int:
    """LBA of index 1 by the sheet, behind a track that ends at `end`.

    `pregap` is all of it, `sessions_before` is None for a track that begins no session.
    """
    if entry.is_high_density:
        return HIGH_DENSITY_LBA
    if sessions_before:
        lead_out = entry.between.get("LEAD-OUT", FIRST_LEAD_OUT if sessions_before == 1 else LATER_LEAD_OUT)
        gap = max(entry.between.get("PREGAP", LEAD_IN_LBA), entry.pregap if entry.between else 0)
        return end + lead_out + entry.between.get("LEAD-IN", LEAD_IN) + gap
    if sessions_before == 0 and pregap == LEAD_IN_LBA:
        return 0
    return end + pregap
