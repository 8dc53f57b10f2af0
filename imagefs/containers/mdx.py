"""MDX, and MDS of version 2: Daemon Tools since 2010. All integers are little-endian.

offset  size  field
0       16    signature    "MEDIA DESCRIPTOR"
16      1     major        2 (version 1 is `mds`)
17      1     minor        0, 1
18      26    copyright    "(C) 2000-2010 DT Soft Ltd." and the like
44      4     key_offset   of the keys in the file; 0xFFFFFFFF: an MDX, which has descriptor and sectors in one file
48      8     at           MDX: offset of the descriptor
56      8     length       MDX: of the descriptor
64            sectors      MDX: up to the descriptor; of an MDS they are in the MDF beside it

The descriptor is encrypted always, by a key that is hidden beside it; so are the sectors where the user gave a password;
they may be compressed as well. Read is what needs none of it: sectors that lie as they are, and tell by their sync or by
their volume what they are. They are taken for one data track, and that is said: audio, a second session, or the tracks'
borders are in the descriptor alone.
There is no specification; sources: libMirage and mdsx.
"""

import struct
from collections.abc import Sequence

from imagefs.containers import raw
from imagefs.containers._parts import find_beside, open_found, stem_of
from imagefs.disc import Disc, Session, Track, TrackKind
from imagefs.disc.layouts import by_volume
from imagefs.disc.model import DATA_BYTES
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader, slice_of

SIGNATURE = b"MEDIA DESCRIPTOR"
HEADER = struct.Struct("<16sBB26sIQQ")
_ONE_FILE = 0xFFFF_FFFF
_EXTENSIONS = ("mdf",)
_CD_BYTES = 1 << 30
"""No CD holds as much."""


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(HEADER.size)
    if not head.startswith(SIGNATURE) or len(head) < HEADER.size or head[16] != 2:
        return None
    return Match(95, f"signature of an MDX or MDS descriptor, version {head[16]}.{head[17]}")


def parts(candidate: Candidate) -> Sequence[str]:
    """The MDF, where it is there. Raises OutsideError."""
    found = find_beside(candidate, _EXTENSIONS)
    return [found] if found and not _is_one_file(candidate) else []


def _is_one_file(candidate: Candidate) -> bool:
    return bool(HEADER.unpack(candidate.exactly(0, HEADER.size))[4] == _ONE_FILE)


def open_mdx(candidate: Candidate, options: Options) -> Disc:
    """The disc as one data track. Raises DamagedError, MissingPartError, UnsupportedError where that cannot be, OSError."""
    *_, at, _ = HEADER.unpack(candidate.exactly(0, HEADER.size))
    if _is_one_file(candidate):
        if not HEADER.size <= at <= candidate.reader.size:
            raise DamagedError(48, f"the descriptor is said to lie at byte {at}, outside the file")
        sectors = slice_of(candidate.reader, HEADER.size, at - HEADER.size)
    else:
        name = f"{stem_of(candidate)}.{_EXTENSIONS[0]}"
        sectors = open_found(candidate, find_beside(candidate, _EXTENSIONS), name)
    track = _track(sectors, options)
    if track is None:
        raise UnsupportedError(
            "an MDX or MDS image of version 2 whose sectors are compressed, encrypted with a password, or audio; "
            "only plain data sectors are read"
        )
    warning = "its descriptor is encrypted and not read: all of the image is taken for one data track"
    return Disc([Session(1, [track])], medium="DVD" if sectors.size > _CD_BYTES else "CD", warnings=(warning,))


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


FORMAT = Format(
    name="mdx",
    title="an MDX image",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_mdx,
    extensions=("mdx", "mds"),
    mime=("application/x-mdx",),
    magic=((0, SIGNATURE),),
    describes=_EXTENSIONS,
    parts=parts,
    reads="MDX and MDS of version 2 with plain data sectors, as one data track",
    lacks="their descriptors, so all tracks but the first; compressed and encrypted sectors",
)
