"""An MDX image without its descriptor: sectors that lie as they are, and tell what they are, for one data track."""

from imagefs.containers import raw
from imagefs.containers._mds import usual_name
from imagefs.containers._parts import find_beside, open_found
from imagefs.containers.mdx.descriptor import HEADER, PLACE, SECTORS_AT, is_one_file
from imagefs.disc import Disc, Session, Track, TrackKind
from imagefs.disc.layouts import by_volume
from imagefs.disc.model import DATA_BYTES
from imagefs.errors import ImageError, message_of
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import Reader, slice_of

_CD_BYTES = 1 << 30
"""No CD holds as much."""


def open_plain(candidate: Candidate, options: Options, error: ImageError) -> Disc:
    """The disc as one data track; `error` is why its descriptor is not read, and raised where that cannot be.

    Raises MissingPartError, OSError.
    """
    sectors = _sectors(candidate)
    track = _track(sectors, options)
    if track is None:
        raise error
    warning = f"its descriptor is not read ({message_of(error)}): all of the image is taken for one data track"
    return Disc([Session(1, [track])], medium="DVD" if sectors.size > _CD_BYTES else "CD", warnings=(warning,))


def _sectors(candidate: Candidate) -> Reader:
    """All of them, of an MDX up to the descriptor, or to the end where that is said to be outside the file."""
    if not is_one_file(candidate):
        return open_found(candidate, find_beside(candidate, ("mdf",)), usual_name(candidate))
    at, _ = PLACE.unpack(candidate.exactly(HEADER.size, PLACE.size))
    end = at if SECTORS_AT <= at <= candidate.reader.size else candidate.reader.size
    return slice_of(candidate.reader, SECTORS_AT, end - SECTORS_AT)


def _track(sectors: Reader, options: Options) -> Track | None:
    """All sectors as one track, None when they are not what they should be."""
    candidate = Candidate(sectors)
    if raw.probe(candidate) is not None:
        return raw.open_raw(candidate, options).tracks[0]
    layout = by_volume(candidate.at)
    if layout is None or layout.sector_bytes != DATA_BYTES:
        return None
    count = sectors.size // DATA_BYTES
    return Track(1, TrackKind.MODE1, DATA_BYTES, 0, count, slice_of(sectors, 0, count * DATA_BYTES))
