"""C2D images of CeQuadrat's, Adaptec's and Roxio's WinOnCD: descriptor and sectors in one file. Integers are little-endian.

header                                             track block, 44 bytes
0    32  signature    "Adaptec CeQuadrat           0   4  length        44
                      VirtualCD File", "Roxio      4   4  first         LBA
                      Image File Format 3.0"       8   4  last          LBA
32   2   length       of the header; CD-TEXT       12  8  offset        of the first sector in the file
                      packs follow it              20  4  sector_bytes  above 2352: with 96 of subchannel
34   2   has_catalog                               24  12 isrc
36   13  catalog      number                       36  1  flags         2 pre-emphasis, 4 data
50   2   blocks       track blocks                 37  1  session
52   4   packs_size   of CD-TEXT                   38  1  point         number of the track
56   4   blocks_at    offset                       39  1  index
64   128 description  ended by NUL                 40  1  mode          0 and 255 audio, 1, 2
                                                   41  1  compressed

A track is all blocks of one point; its sectors lie in a row from the offset of its first block on. The others, of index 2
and later, tell places in it alone.

Left out: compressed tracks, which no free reader understands.
There is no specification and no sample that may be passed on; source: libMirage.
"""

import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.disc import Disc, TrackKind, cdtext
from imagefs.disc.build import DiscBuilder, Stored, described_layout
from imagefs.disc.model import LEAD_IN_LBA, MAX_TRACK, texts_in
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader

SIGNATURES = (b"Adaptec CeQuadrat VirtualCD File", b"Roxio Image File Format 3.0")
HEADER = struct.Struct("<32xHH13sxHII4x128s")
BLOCK = struct.Struct("<4xIIQI12sBBBBBB2x")
_KINDS = {0: TrackKind.AUDIO, 0xFF: TrackKind.AUDIO, 1: TrackKind.MODE1, 2: TrackKind.MODE2}
_PRE_EMPHASIS = 2


class _Block(NamedTuple):
    """A track block with the names of its fields."""

    first: int
    last: int
    offset: int
    sector_bytes: int
    isrc: bytes
    flags: int
    session: int
    point: int
    number: int
    """of the index"""
    mode: int
    compressed: int


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(HEADER.size)
    if not head.startswith(SIGNATURES) or len(head) < HEADER.size:
        return None
    return Match(95, "signature of a C2D image")


def open_c2d(candidate: Candidate, options: Options) -> Disc:
    """The disc. Raises DamagedError, UnsupportedError for compressed tracks and other sectors, OSError."""
    length, has_catalog, catalog, count, packs_size, at, name = HEADER.unpack(candidate.exactly(0, HEADER.size))
    packs = cdtext.packs_in(candidate.at(length, min(packs_size, cdtext.MAX_BYTES)))
    words = cdtext.texts(packs)
    builder = DiscBuilder()
    session = None
    for track in _tracks(candidate, at, count):
        if track[0].session != session:
            session = track[0].session
            builder.begin_session()
        _add(builder, candidate.reader, track, words.get(track[0].point, {}))
    if not builder.sessions:
        raise DamagedError(at, "a C2D image without a track")
    description = name.split(b"\0")[0].decode(options.iocharset or "cp1252", "replace")
    return Disc(
        builder.sessions,
        catalog=catalog.decode() if has_catalog and catalog.isdigit() else "",
        **texts_in({"title": description} | words.get(0, {})),
        warnings=tuple(builder.warnings),
        cdtext=packs,
    )


def _tracks(candidate: Candidate, at: int, count: int) -> Iterator[Sequence[_Block]]:
    """The blocks of each track."""
    rows = BLOCK.iter_unpack(candidate.exactly(at, count * BLOCK.size))
    blocks = (_Block(*fields) for fields in rows)
    for _, track in itertools.groupby(blocks, lambda block: (block.session, block.point)):
        yield list(track)


def _add(builder: DiscBuilder, reader: Reader, track: Sequence[_Block], words: dict[str, str]) -> None:
    head, last = track[0], max(block.last for block in track)
    if not 1 <= head.point <= MAX_TRACK:
        raise DamagedError(None, f"a C2D image with a track {head.point}")
    if any(block.compressed for block in track):
        raise UnsupportedError(f"track {head.point} of a C2D image is compressed, which is not read")
    layout = described_layout(_KINDS[head.mode], head.sector_bytes) if head.mode in _KINDS else None
    if layout is None:
        raise UnsupportedError(
            f"track {head.point} of a C2D image, of mode {head.mode} in {head.sector_bytes} bytes a sector, is not read"
        )
    if max(last, *(block.first for block in track)) > limits.DISC_SECTORS:
        raise DamagedError(None, f"track {head.point} ends at LBA {last}, outside the disc")
    index1 = next((block.first for block in track if block.number == 1), head.first)
    begin = min(head.first, index1)
    builder.add(
        head.point,
        index1,
        Stored(reader, layout, head.offset, max(0, last + 1 - begin), index1 - begin),
        pregap=LEAD_IN_LBA if head.point == 1 else 0,
        flags=("PRE",) if head.flags & _PRE_EMPHASIS else (),
        isrc=head.isrc.decode("ascii", "replace").strip("\0 "),
        words=words,
        indexes=tuple(block.first for block in track if block.number > 1),
    )


FORMAT = Format(
    name="c2d",
    title="a WinOnCD image",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_c2d,
    extensions=("c2d",),
    mime=("application/x-c2d",),
    magic=tuple((0, signature) for signature in SIGNATURES),
    reads="all track modes, subchannel, sessions, CD-TEXT",
    lacks="compressed tracks",
)
