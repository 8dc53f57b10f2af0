"""MDS, version 1: the descriptor of Alcohol 120% and of Daemon Tools 4; the sectors lie in MDF files beside it. GameJack's
XMD with XMF is the same. All integers are little-endian, all offsets count from the beginning of the descriptor.

header, 88 bytes                                     session, 24 bytes
0   16  signature       "MEDIA DESCRIPTOR"           0   4  start           LBA; -150 of the first
16  2   version         major, minor: 1, 3 to 5      4   4  end             LBA of the lead-out
18  2   medium          0 to 2 CD, from 0x10 on DVD  8   2  number
20  2   sessions                                     10  1  blocks          track blocks
80  4   session_offset  of the first                 20  4  track_offset    of the first

track block, 80 bytes
0   1   mode            low 3 bits: 1 audio, 2 mode 1, others mode 2 (4 form 1, 5 form 2)
1   1   subchannel      8: 96 bytes of P-W at the end of each sector
2   1   control         low 4 bits: 4 data, 1 pre-emphasis, 2 copying permitted, 8 four channels
4   1   point           1 to 99 a track; 0xA0, 0xA2, 0xB0 and the like are not needed
12  4   extra           CD: offset of u32 pregap, u32 length; DVD: the length itself, in sectors
16  2   sector_bytes    stored, with the subchannel
36  4   start           LBA of index 1
40  8   offset          of index 1 in the data
48  4   files           number of files
52  4   file_offset     of u32 offset of a name, u8 1 for UTF-16; 16 bytes for each file

A name ends with NUL and is usually `*.mdf`: `*` is the descriptor's own stem. Files are joined in their order. Pregaps and
the gaps between sessions are in no file.

In the wild: 2448 bytes a sector without the mark for the subchannel; DVDs without a length; names of the machine the image
was made on, so that the file with the descriptor's stem is taken where the one named is not there.
Left out: the disc structures of DVDs, the position measurements at the end. Version 2 is `mdx`.
There is no specification; sources: libMirage, Aaru, psx-spx.
"""

import struct
from collections.abc import Sequence

from imagefs import limits
from imagefs.containers._mds import (
    HEADER,
    SESSION_1,
    SIGNATURE,
    SPLIT,
    Block,
    Files,
    check_start,
    file_name,
    file_rows,
    parts_there,
    read_sessions,
    usual_name,
)
from imagefs.disc import Disc, TrackKind
from imagefs.disc.build import DiscBuilder, Stored, described_layout
from imagefs.disc.layouts import Layout
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Extent, Reader, joined

EXTRA = struct.Struct("<II")
FILE = struct.Struct("<IB11x")

_KINDS = {1: TrackKind.AUDIO, 2: TrackKind.MODE1}
_DVD = 0x10


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(HEADER.size)
    if not head.startswith(SIGNATURE) or len(head) < HEADER.size or head[len(SIGNATURE)] == 2:
        return None  # version 2 is another format
    return Match(95, f"signature of an MDS descriptor, version {head[16]}.{head[17]}")


def _sessions(candidate: Candidate) -> tuple[int, list[list[Block]]]:
    """(medium, the track blocks of each session that are tracks). Raises DamagedError, UnsupportedError."""
    _, major, medium, _, _ = HEADER.unpack(candidate.exactly(0, HEADER.size))
    if major != 1:
        raise UnsupportedError(f"MDS version {major}; version 1 is read, and MDX")
    return medium, read_sessions(candidate, SESSION_1)


def _names(candidate: Candidate, block: Block, options: Options) -> list[str]:
    """The names of a track's files."""
    rows = file_rows(candidate, block, FILE)
    return [file_name(candidate, at, options, wide=bool(wide)) for at, wide in rows] or [usual_name(candidate)]


def parts(candidate: Candidate) -> Sequence[str]:
    """The files that are there. Raises DamagedError, UnsupportedError, OutsideError."""
    blocks = (block for session in _sessions(candidate)[1] for block in session)
    return parts_there(candidate, (_names(candidate, block, Options()) for block in blocks))


def _joined(names: Sequence[str], files: Sequence[Reader]) -> Reader:
    """The files of a track end to end. Raises DamagedError."""
    extents, end = [], 0
    for name, source in zip(names, files, strict=True):
        if not source.size and name != names[-1]:
            raise DamagedError(None, f"its part {name!r} is empty")
        extents.append(Extent(end, source.size, source))
        end += source.size
    return joined(extents, end)


def _layout(block: Block) -> Layout:
    kind = _KINDS.get(block.mode & 7, TrackKind.MODE2)
    layout = described_layout(kind, block.sector_bytes, has_subchannel=bool(block.subchannel))
    if layout is None:
        raise UnsupportedError(
            f"track {block.point} of an MDS image in {kind.value} sectors of {block.sector_bytes} bytes is not read"
        )
    return layout


def open_mds(candidate: Candidate, options: Options) -> Disc:
    """The disc. Raises DamagedError, MissingPartError, OutsideError, UnsupportedError, OSError."""
    medium, sessions = _sessions(candidate)
    builder = DiscBuilder()
    files = Files(candidate, builder)
    readers: dict[tuple[str, ...], Reader] = {}
    ends = sorted(block.offset for session in sessions for block in session)
    for session in sessions:
        builder.begin_session()
        for block in session:
            names = tuple(_names(candidate, block, options))
            if names not in readers:
                readers[names] = _joined(names, files.open(names))
            _add(builder, candidate, block, readers[names], ends, is_dvd=medium >= _DVD)
    if not builder.sessions:
        raise DamagedError(HEADER.size, "an MDS descriptor without a track")
    return Disc(builder.sessions, medium="DVD" if medium >= _DVD else "CD", warnings=tuple(builder.warnings))


def _add(
    builder: DiscBuilder, candidate: Candidate, block: Block, reader: Reader, offsets: Sequence[int], *, is_dvd: bool
) -> None:
    pregap, length = 0, block.extra
    if not is_dvd:
        pregap, length = EXTRA.unpack(candidate.exactly(block.extra, EXTRA.size)) if block.extra else (0, 0)
    layout = _layout(block)
    if not length:  # up to the next track, or to the end
        end = min((offset for offset in offsets if offset > block.offset), default=reader.size)
        length = max(0, end - block.offset) // layout.sector_bytes
    check_start(block, block.start)
    builder.add(
        block.point,
        block.start,
        Stored(reader, layout, block.offset, length),
        pregap=min(pregap, limits.DISC_SECTORS),
        flags=block.flags,
    )


FORMAT = Format(
    name="mds",
    title="an MDS/MDF image",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_mds,
    extensions=("mds", "xmd"),
    mime=("application/x-mds",),
    magic=((0, SIGNATURE),),
    describes=("mdf", "xmf", *SPLIT, "bin", "img", "iso"),
    parts=parts,
    reads="version 1 (Alcohol 120%, Daemon Tools 4) and XMD: all track modes, subchannel, sessions, split files, DVD",
)
