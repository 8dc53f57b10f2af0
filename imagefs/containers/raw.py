"""Raw sector images without a descriptor: BIN, IMG and their like, recognised by looking.

Looked for, in this order; the layouts themselves are in `imagefs.disc.layouts`:
1. The sync of raw sectors at offset 0 and again at equal distances: their distance is the stored size, the header of sector
   16 tells mode 1 from mode 2.
2. A volume descriptor (ISO 9660, High Sierra, UDF, CD-i) in sector 16 and another in sector 17 of one of the layouts.
3. The same behind 150 sectors of pregap.
4. The sync behind leading zeros (a pregap that was dumped as zeros).

An image of plain 2048-byte sectors needs no container, unless its volume says that it does not begin at LBA 0: the dump of
a later session, or of a disc with its pregap. Then the track is placed so that block addresses are right, and what lies
before it is missing.

Truncated files are common: a remainder that is no whole sector is left out.
Sources: ECMA-130 §14, §20-22; ECMA-119 §6.8.2.2, §8.4.
"""

from typing import NamedTuple

from imagefs import limits
from imagefs.disc import Disc, Session, Track, TrackKind
from imagefs.disc.address import first_lba
from imagefs.disc.layouts import SYNC, Layout, by_sync, by_volume, by_volume_after_pregap, header_lba, is_scrambled
from imagefs.disc.model import DATA_BYTES, LEAD_IN_LBA
from imagefs.errors import DamagedError, ImageError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader, slice_of

_PLAIN = Layout(TrackKind.MODE1, DATA_BYTES, 0)
_ZEROS_BYTES = 1 << 20
"""Leading zeros that are looked behind: 150 sectors of pregap are 345 KiB."""


class _Found(NamedTuple):
    """Sectors of a layout from byte `begin` on; the first is LBA `lba`. `score` and `why` are the probe's."""

    layout: Layout
    begin: int
    lba: int
    score: int
    why: str


def probe(candidate: Candidate) -> Match | None:
    if is_scrambled(candidate.head(16)):
        return Match(80, "sync and header of scrambled sectors")
    found = _look(candidate)
    return Match(found.score, found.why) if found else None


def _look(candidate: Candidate) -> _Found | None:
    layout = by_sync(candidate.at)
    if layout:
        return _placed(candidate, layout, 0, 80, f"sync every {layout.sector_bytes} bytes")
    layout = by_volume(candidate.at)
    if layout:
        return _placed(candidate, layout, 0, 70, f"volume descriptors {layout.sector_bytes} bytes apart")
    layout = by_volume_after_pregap(candidate.at)
    if layout and (layout != _PLAIN or not any(candidate.head(512))):
        return _placed(candidate, layout, 0, 65, "volume descriptors behind 150 sectors")
    begin = _first_sync(candidate)
    layout = by_sync(lambda offset, length: candidate.at(begin + offset, length)) if begin else None
    return _placed(candidate, layout, begin, 60, f"sync from byte {begin} on, behind zeros") if layout else None


def _first_sync(candidate: Candidate) -> int:
    """Where the first sync lies behind nothing but zeros, 0 when there is none."""
    for begin in range(0, min(_ZEROS_BYTES, candidate.reader.size), limits.PROBE_BYTES):
        piece = candidate.at(begin, limits.PROBE_BYTES)
        nonzero = len(piece) - len(piece.lstrip(b"\0"))
        if nonzero < len(piece):
            at = begin + nonzero - 1  # the sync's own first byte is zero
            return at if at > 0 and candidate.at(at, len(SYNC)) == SYNC else 0
    return 0


def _placed(candidate: Candidate, layout: Layout, begin: int, score: int, why: str) -> _Found | None:
    """With the LBA of the first sector; None when nothing has to be done."""
    lba = header_lba(candidate.at(begin, 16))
    guesses = [0] if lba is None else [lba, 0]
    try:
        told = first_lba(_track(candidate.reader, layout, begin, 0).user, guesses)
    except (ImageError, OSError):
        told = None  # a probe does not raise; what cannot be read now cannot be read later either
    if told is None:
        told = -LEAD_IN_LBA if lba == -LEAD_IN_LBA else 0
    if layout == _PLAIN and not told:
        return None
    place = f", first sector is LBA {told}" if told else ""
    return _Found(layout, begin, told, score, f"{why}: {layout.mode}{place}")


def _track(reader: Reader, layout: Layout, begin: int, lba: int) -> Track:
    """All whole sectors as one track; those before LBA 0 are its pregap."""
    count = (reader.size - begin) // layout.sector_bytes
    pregap = min(count, max(0, -lba))
    return Track(
        number=1,
        kind=layout.kind,
        sector_bytes=layout.sector_bytes,
        start=lba + pregap,
        length=count - pregap,
        stored=slice_of(reader, begin, count * layout.sector_bytes),
        user_offset=layout.user_offset,
        pregap=pregap,
        pregap_stored=pregap,
    )


def open_raw(candidate: Candidate, options: Options) -> Disc:
    """One session of one data track. Raises UnsupportedError for scrambled sectors."""
    if is_scrambled(candidate.head(16)):
        raise UnsupportedError("scrambled sectors; dump the disc descrambled")
    found = _look(candidate)
    if found is None:
        raise DamagedError(0, "no sectors of a known layout")
    return Disc([Session(1, [_track(candidate.reader, found.layout, found.begin, found.lba)])])


FORMAT = Format(
    name="raw",
    title="a raw sector image",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_raw,
    extensions=("bin", "img", "raw"),
    mime=("application/x-raw-cd-image",),
    magic=((0, SYNC),),
    reads="data tracks in sectors of 2048 to 2742 bytes, mode 1 and mode 2, with subchannel or C2 bytes, with the pregap, "
    "dumps of one session",
    lacks="scrambled sectors, audio without a descriptor",
)
