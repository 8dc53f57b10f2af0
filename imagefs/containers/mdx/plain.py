"""The sectors of an MDX image without its descriptor."""

from imagefs.containers._mds import usual_name
from imagefs.containers._parts import find_beside, open_found
from imagefs.containers.mdx.descriptor import HEADER, PLACE, SECTORS_AT, is_one_file
from imagefs.formats import Candidate
from imagefs.readers import Reader, slice_of


def plain_sectors(candidate: Candidate) -> Reader:
    """All of them, of an MDX up to the descriptor, or to the end where that is said to be outside the file.

    Raises DamagedError, MissingPartError, OutsideError, OSError.
    """
    if not is_one_file(candidate):
        return open_found(candidate, find_beside(candidate, ("mdf",)), usual_name(candidate))
    at, _ = PLACE.unpack(candidate.exactly(HEADER.size, PLACE.size))
    end = at if SECTORS_AT <= at <= candidate.reader.size else candidate.reader.size
    return slice_of(candidate.reader, SECTORS_AT, end - SECTORS_AT)
