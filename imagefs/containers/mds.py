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
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.containers._parts import find_beside, find_named, open_found, stem_of
from imagefs.disc import Disc, TrackKind
from imagefs.disc.build import DiscBuilder, Stored, described_layout
from imagefs.disc.layouts import Layout
from imagefs.disc.model import MAX_SESSION, MAX_TRACK
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Extent, Reader, joined

SIGNATURE = b"MEDIA DESCRIPTOR"
HEADER = struct.Struct("<16sBxHH58xI4x")
SESSION = struct.Struct("<iiHB9xI")
TRACK = struct.Struct("<BBBxB7xIH18xiQII24x")
EXTRA = struct.Struct("<II")
FILE = struct.Struct("<IB11x")

_KINDS = {1: TrackKind.AUDIO, 2: TrackKind.MODE1}
_FLAGS = ((1, "PRE"), (2, "DCP"), (8, "4CH"))
_DVD = 0x10
_EXTENSIONS = {"xmd": "xmf"}
"""Of the data, where it is not mdf."""
_MAX_FILES = 256
"""of one track: a Blu-ray disc of two layers in pieces of 200 MB"""
_NAME_BYTES = 2 * limits.NAME_BYTES + 2
_SPLIT = tuple(f"md{number}" for number in range(10))


class _Block(NamedTuple):
    """A track block, with the names of its fields."""

    mode: int
    subchannel: int
    control: int
    point: int
    extra: int
    sector_bytes: int
    start: int
    offset: int
    files: int
    file_offset: int


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(HEADER.size)
    if not head.startswith(SIGNATURE) or len(head) < HEADER.size or head[len(SIGNATURE)] == 2:
        return None  # version 2 is another format
    return Match(95, f"signature of an MDS descriptor, version {head[16]}.{head[17]}")


def _sessions(candidate: Candidate) -> tuple[int, list[list[_Block]]]:
    """(medium, the track blocks of each session that are tracks). Raises DamagedError, UnsupportedError."""
    _, major, medium, count, at = HEADER.unpack(candidate.exactly(0, HEADER.size))
    if major != 1:
        raise UnsupportedError(f"MDS version {major}; version 1 is read, and MDX")
    if count > MAX_SESSION:
        raise DamagedError(20, f"{count} sessions; a disc has at most {MAX_SESSION}")
    sessions = SESSION.iter_unpack(candidate.exactly(at, count * SESSION.size))
    found: list[list[_Block]] = []
    for _, _, _, blocks, offset in sessions:
        found.append(list(_blocks(candidate, offset, blocks)))
        if sum(map(len, found)) > MAX_TRACK:
            raise DamagedError(offset, f"more tracks than a disc can have; it has at most {MAX_TRACK}")
    return medium, found


def _blocks(candidate: Candidate, offset: int, count: int) -> Iterator[_Block]:
    for fields in TRACK.iter_unpack(candidate.exactly(offset, count * TRACK.size)):
        block = _Block(*fields)
        if 1 <= block.point <= MAX_TRACK:
            yield block


# --- files ----------------------------------------------------------------------------------------------------------------


def _names(candidate: Candidate, block: _Block, options: Options) -> list[str]:
    """The names of a track's files, with the descriptor's stem for `*`."""
    stem = stem_of(candidate)
    usual = f"{stem}.{_EXTENSIONS.get(candidate.extension, 'mdf')}"
    if not block.files or not block.file_offset:
        return [usual]
    if block.files > _MAX_FILES:
        raise DamagedError(block.file_offset, f"{block.files} files of track {block.point}")
    rows = FILE.iter_unpack(candidate.exactly(block.file_offset, block.files * FILE.size))
    return [_text(candidate.at(at, _NAME_BYTES), wide, options).replace("*", stem) or usual for at, wide in rows]


def _text(raw: bytes, wide: int, options: Options) -> str:
    """A name up to its NUL. One of 8-bit characters is in the code page of the machine it was made on."""
    if wide:
        return raw[: len(raw) & ~1].decode("utf-16-le", "replace").split("\0")[0]
    raw = raw.split(b"\0")[0]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode(options.iocharset or "cp1252", "replace")


def _find(candidate: Candidate, names: Sequence[str]) -> list[str | None]:
    """The files below the folder. The only one may also have the descriptor's stem, whatever it is called in there."""
    found = [find_named(candidate, name) for name in names]
    if len(found) == 1 and not found[0]:
        return [find_beside(candidate, (_EXTENSIONS.get(candidate.extension, "mdf"),))]
    return found


def parts(candidate: Candidate) -> Sequence[str]:
    """The files that are there. Raises DamagedError, UnsupportedError, OutsideError."""
    sets = {tuple(_names(candidate, block, Options())) for session in _sessions(candidate)[1] for block in session}
    return [found for names in sorted(sets) for found in _find(candidate, names) if found]


def _open_files(candidate: Candidate, names: Sequence[str], builder: DiscBuilder) -> Reader:
    """The files of a track end to end. Raises MissingPartError, OutsideError, DamagedError, OSError."""
    extents, end = [], 0
    for name, found in zip(names, _find(candidate, names), strict=True):
        source = open_found(candidate, found, name)
        if found and found.lower() != name.lower():
            builder.warn(f"{name!r} is not there; {found!r} is used instead")
        if not source.size and name != names[-1]:
            raise DamagedError(None, f"its part {name!r} is empty")
        extents.append(Extent(end, source.size, source))
        end += source.size
    return joined(extents, end)


# --- tracks ---------------------------------------------------------------------------------------------------------------


def _layout(block: _Block) -> Layout:
    kind = _KINDS.get(block.mode & 7, TrackKind.MODE2)
    layout = described_layout(kind, block.sector_bytes, has_subchannel=bool(block.subchannel))
    if layout is None:
        raise UnsupportedError(
            f"track {block.point} of an MDS image in {kind.value} sectors of {block.sector_bytes} bytes"
        )
    return layout


def open_mds(candidate: Candidate, options: Options) -> Disc:
    """The disc. Raises DamagedError, MissingPartError, OutsideError, UnsupportedError, OSError."""
    medium, sessions = _sessions(candidate)
    builder = DiscBuilder()
    readers: dict[tuple[str, ...], Reader] = {}
    ends = sorted(block.offset for session in sessions for block in session)
    for session in sessions:
        builder.begin_session()
        for block in session:
            names = tuple(_names(candidate, block, options))
            if names not in readers:
                readers[names] = _open_files(candidate, names, builder)
            _add(builder, candidate, block, readers[names], ends, is_dvd=medium >= _DVD)
    if not builder.sessions:
        raise DamagedError(HEADER.size, "an MDS descriptor without a track")
    return Disc(builder.sessions, medium="DVD" if medium >= _DVD else "CD", warnings=tuple(builder.warnings))


def _add(
    builder: DiscBuilder, candidate: Candidate, block: _Block, reader: Reader, offsets: Sequence[int], *, is_dvd: bool
) -> None:
    pregap, length = 0, block.extra
    if not is_dvd:
        pregap, length = EXTRA.unpack(candidate.exactly(block.extra, EXTRA.size)) if block.extra else (0, 0)
    layout = _layout(block)
    if not length:  # up to the next track, or to the end
        end = min((offset for offset in offsets if offset > block.offset), default=reader.size)
        length = max(0, end - block.offset) // layout.sector_bytes
    if not -limits.DISC_SECTORS <= block.start <= limits.DISC_SECTORS:
        raise DamagedError(None, f"track {block.point} begins at LBA {block.start}, outside the disc")
    builder.add(
        block.point,
        block.start,
        Stored(reader, layout, block.offset, length),
        pregap=min(pregap, limits.DISC_SECTORS),
        flags=tuple(flag for bit, flag in _FLAGS if block.control & bit),
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
    describes=("mdf", "xmf", *_SPLIT, "bin", "img", "iso"),
    parts=parts,
    reads="version 1 (Alcohol 120%, Daemon Tools 4) and XMD: all track modes, subchannel, sessions, split files, DVD",
)
