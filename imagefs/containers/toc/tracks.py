"""From the statements of a TOC file to tracks with addresses on the disc.

A track is what its statements give, one after the other. Each addresses its file from the beginning, whatever came before.
Samples in files without a header are big-endian, unless SWAP says the other; those of audio files have the order of their
format, and byte offsets count from the first sample.

The first statement of track 1 is LBA 0. Each track follows the one before; PREGAP lies between them.
"""

from collections.abc import Callable

from imagefs import limits
from imagefs.containers.toc.sheet import Part, Sheet, TrackEntry
from imagefs.disc import Session, TrackKind
from imagefs.disc.audio import samples_of
from imagefs.disc.build import DiscBuilder, Stored
from imagefs.disc.model import DATA_BYTES
from imagefs.disc.samples import Samples, SwappedReader
from imagefs.readers import Extent, Reader, joined, slice_of

Open = Callable[[str], Reader]
"""Opens a file by the name that the sheet gives it."""

_MOST_BYTES = limits.DISC_SECTORS * DATA_BYTES
"""of one track"""


def sessions_of(sheet: Sheet, open_file: Open) -> list[Session]:
    """The one session. Adds to the sheet's warnings. Raises what `open_file` raises, and DamagedError of a bad WAV file."""
    builder = DiscBuilder(sheet.warnings)
    builder.begin_session()
    end = 0
    for entry in sheet.tracks:
        stored, index1 = _stored(sheet, entry, open_file)
        begin = end + entry.pregap
        start = begin + index1
        end = begin + stored.sectors
        builder.add(
            entry.number,
            start,
            stored,
            pregap=index1 + entry.pregap,
            flags=tuple(entry.flags),
            isrc=entry.isrc,
            words=entry.text,
            indexes=tuple(start + frame for frame in entry.indexes),
            line=entry.line,
        )
    return builder.sessions


def _stored(sheet: Sheet, entry: TrackEntry, open_file: Open) -> tuple[Stored, int]:
    """(the track's sectors, the sector of index 1 in them)."""
    extents: list[Extent] = []
    end = bare_start = 0
    is_decoded = False
    for number, part in enumerate(entry.parts):
        if number == entry.starts_after:
            bare_start = end
        extent, is_of_audio_file = _extent(sheet, entry, part, end, open_file)
        extents.append(extent)
        is_decoded |= is_of_audio_file
        end += extent.length
    if entry.starts_after == len(entry.parts):
        bare_start = end
    size = entry.layout.sector_bytes
    sectors, rest = divmod(end, size)
    if rest and entry.layout.kind is TrackKind.AUDIO:
        extents.append(Extent(end, size - rest, None))  # cdrdao fills the last sector up with silence
        sectors += 1
    elif rest:
        sheet.warn(
            entry.line, f"track {entry.number} does not end with a whole sector of {size} bytes; the rest is left out"
        )
    if not sectors:
        sheet.warn(entry.line, f"track {entry.number} is empty")
    index1 = entry.start if entry.starts_after is None else bare_start // size
    if index1 > sectors:
        sheet.warn(entry.line, f"START of track {entry.number} lies behind all of the track and is ignored")
        index1 = 0
    whole = joined(extents, max(end, sectors * size))
    return Stored(whole, entry.layout, 0, sectors, index1, is_decoded=is_decoded), index1


def _extent(sheet: Sheet, entry: TrackEntry, part: Part, position: int, open_file: Open) -> tuple[Extent, bool]:
    """(the bytes of one statement as an extent that begins at `position` of the track, whether an audio file has them)."""
    if not part.name:
        length = _bounded(sheet, entry, part, part.length or 0, position)
        return Extent(position, length, None), False
    reader = open_file(part.name)
    is_audio = entry.layout.kind is TrackKind.AUDIO
    found = samples_of(reader) if is_audio else None
    samples, is_big_endian = found or Samples(reader, is_big_endian=True)
    there = max(0, samples.size - part.offset)
    length = there if part.length is None else part.length
    if length > there:
        sheet.warn(part.line, f"{part.name!r} ends {length - there} bytes early")
    piece = slice_of(samples, part.offset, _bounded(sheet, entry, part, length, position))
    if is_audio and is_big_endian != part.swap:
        piece = SwappedReader(piece)
    return Extent(position, piece.size, piece), found is not None


def _bounded(sheet: Sheet, entry: TrackEntry, part: Part, length: int, position: int) -> int:
    """A length that leaves the track at most as long as a track can be."""
    most = max(0, _MOST_BYTES - position)
    if length > most:
        sheet.warn(part.line, f"track {entry.number} is too long and is cut")
    return min(length, most)
