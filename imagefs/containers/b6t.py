"""BlindWrite 5 to 7: the descriptor (B5T, B6T); the sectors lie in B5I or B6I files beside it. Integers are little-endian.

0      16  "BWT5 STREAM SIGN"; the last 16 bytes of the file are "BWT5 STREAM FOOT"
16    112  disc                                       176  48  drive: vendor, product, revision, its own
144    32  -                                          224  32  volume identifier
                                                      256  20  lengths of: mode page 2A, -, data blocks, sessions, DPM
disc   32  2  profile: 8 to 10 CD, from 16 on DVD,    276      mode page 2A, -, PMA, ATIP, CD-TEXT (4 bytes and packs),
              from 64 on BD (MMC)                              BCA, structures, information on the CD or on the DVD
       34  2  sessions                                         data blocks, sessions, DPM, u32 length of the file
       48  14 whether the catalogue number is valid, it
       80  8  lengths of PMA, ATIP, CD-TEXT, CD       data block           session, 16 bytes
       88  4  length of the BCA                       0   4  type          0  2  number     12 2  first track
       104 4  length of the structures                4   4  bytes         2  1  entries    14 2  last track
       108 4  length of the DVD's information         24  4  offset        4  4  start LBA
                                                      40  4  first LBA     8  4  end LBA
data blocks    u32 number, u32 n, n bytes of a path,  44  4  sectors       then the entries
               then the blocks                        48  4  n
                                                      52  n  name, UTF-16; u32 0 behind it

entry, 64 bytes, and 8 more where the type is neither 0 nor 6
0   1  type: 0 no track, 1 audio, 2 mode 1, 3 to 5 mode 2 (4 form 1, 5 form 2), 6 DVD
10  1  control: 4 data, 1 pre-emphasis, 2 copying permitted, 8 four channels
12  1  point: the track's number
18  3  minute, second, frame of index 1, 150 sectors more than its LBA
22  4  pregap in sectors
42  4  first LBA, with the pregap
46  4  sectors, with the pregap

A data block holds sectors of one size (bytes / sectors) from its first LBA on, which may be before 0; above 2352 bytes the
rest is subchannel, 16 or 96 bytes. One may hold several tracks, and a track may go on over several (pieces of 2 GiB of a
DVD). Names are of the machine the image was made on: the file of that name beside the descriptor is taken.

Left out: the position measurements (DPM; also in BWA files). BlindWrite 4 has another format (`imagefs.containers.bwt`).
There is no specification and no sample that may be passed on; sources: libMirage and Aaru agree on all of it.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.containers._cursor import U32, Cursor
from imagefs.containers._parts import find_beside, find_named, open_found
from imagefs.disc import Disc, TrackKind, cdtext
from imagefs.disc.build import DiscBuilder, Stored, described_layout
from imagefs.disc.model import FRAMES_PER_SECOND, LEAD_IN_LBA, MAX_SESSION, MAX_TRACK, texts_in
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Extent, Reader, RunKind, joined

SIGNATURE = b"BWT5 STREAM SIGN"
DISC = struct.Struct("<32xHH12x?13s18xHHHHI12xII")
LENGTHS = struct.Struct("<5I")
BLOCK = struct.Struct("<II16xI12xiiI")
SESSION = struct.Struct("<HBxiiHH")
ENTRY = struct.Struct("<B9xB1xB5x3BxI16xii14x")
_BEFORE_LENGTHS = 32 + 48 + 32
_MORE_OF_A_TRACK = 8
_NO_TRACK, _DVD_TRACK = 0, 6
_KINDS = {1: TrackKind.AUDIO, 2: TrackKind.MODE1, 3: TrackKind.MODE2, 4: TrackKind.MODE2, 5: TrackKind.MODE2}
_KINDS[_DVD_TRACK] = TrackKind.MODE1
_FLAGS = ((1, "PRE"), (2, "DCP"), (8, "4CH"))
_CD_PROFILES, _BD_PROFILE = (8, 9, 10), 0x40
_MAX_BLOCKS = 1024
_DATA_EXTENSIONS = ("b6i", "b5i")
_SPLIT = tuple(f"b{number:02}" for number in range(20))


class _Block(NamedTuple):
    """Sectors in a file; `first` is an LBA."""

    size: int
    offset: int
    first: int
    sectors: int
    name: str

    @property
    def sector_bytes(self) -> int:
        return self.size // self.sectors


class _Entry(NamedTuple):
    """An entry of a session with the names of its fields."""

    type: int
    control: int
    point: int
    minute: int
    second: int
    frame: int
    pregap: int
    start: int
    sectors: int


class _Contents(NamedTuple):
    profile: int
    catalog: str
    packs: bytes
    blocks: Sequence[_Block]
    sessions: Sequence[Sequence[_Entry]]


def probe(candidate: Candidate) -> Match | None:
    return Match(95, "signature of a BlindWrite descriptor") if candidate.head(len(SIGNATURE)) == SIGNATURE else None


# --- the descriptor -------------------------------------------------------------------------------------------------------


def _contents(candidate: Candidate) -> _Contents:
    """What the descriptor says. Raises DamagedError."""
    cursor = Cursor(candidate.exactly(0, min(candidate.reader.size, limits.DESCRIPTOR_BYTES)))
    cursor.raw(len(SIGNATURE))
    profile, count, has_catalog, catalog, pma, atip, text, on_cd, bca, structures, on_dvd = DISC.unpack(
        cursor.raw(DISC.size)
    )
    if count > MAX_SESSION:
        raise DamagedError(50, f"{count} sessions; a disc has at most {MAX_SESSION}")
    cursor.raw(_BEFORE_LENGTHS)
    page, unknown, _, _, _ = cursor.take(LENGTHS)
    for length in (page, unknown, pma, atip):
        cursor.raw(length)
    packs = cdtext.packs_in(cursor.raw(text))
    for length in (bca, structures, on_cd if profile in _CD_PROFILES else on_dvd):
        cursor.raw(length)
    blocks = list(_blocks(cursor))
    sessions = [list(_entries(cursor)) for _ in range(count)]
    plain = catalog.decode("ascii", "replace") if has_catalog else ""
    return _Contents(profile, plain if plain.isdigit() else "", packs, blocks, sessions)


def _blocks(cursor: Cursor) -> Iterator[_Block]:
    count = cursor.number(U32)
    if count > _MAX_BLOCKS:
        raise DamagedError(cursor.at, f"{count} data blocks of a BlindWrite image")
    cursor.raw(cursor.number(U32))
    for _ in range(count):
        _, size, offset, first, sectors, length = cursor.take(BLOCK)
        name = cursor.raw(length).decode("utf-16-le", "replace").split("\0")[0]
        cursor.number(U32)
        yield _Block(size, offset, first, sectors, name)


def _entries(cursor: Cursor) -> Iterator[_Entry]:
    """The entries of the next session that are tracks."""
    _, count, *_ = cursor.take(SESSION)
    for _ in range(count):
        entry = _Entry(*cursor.take(ENTRY))
        if entry.type not in (_NO_TRACK, _DVD_TRACK):
            cursor.raw(_MORE_OF_A_TRACK)
        if entry.type != _NO_TRACK and 1 <= entry.point <= MAX_TRACK:
            yield entry


# --- files ----------------------------------------------------------------------------------------------------------------


def _find(candidate: Candidate, name: str, names: set[str]) -> str | None:
    """The file below the folder; where there is one alone, also the one with the descriptor's stem. Raises OutsideError."""
    found = find_named(candidate, name) if name else None
    return find_beside(candidate, _DATA_EXTENSIONS) if found is None and len(names) == 1 else found


def parts(candidate: Candidate) -> Sequence[str]:
    """The files that are there. Raises DamagedError, UnsupportedError, OutsideError."""
    names = {block.name for block in _contents(candidate).blocks}
    return [found for name in sorted(names) if (found := _find(candidate, name, names))]


def open_b6t(candidate: Candidate, options: Options) -> Disc:
    """The disc. Raises DamagedError, MissingPartError, OutsideError, UnsupportedError for a kind of track, OSError."""
    contents = _contents(candidate)
    builder = DiscBuilder()
    names = {block.name for block in contents.blocks}
    files = {name: open_found(candidate, _find(candidate, name, names), name) for name in sorted(names)}
    words = cdtext.texts(contents.packs)
    for session in contents.sessions:
        builder.begin_session()
        for entry in session:
            stored, start = _stored(entry, contents.blocks, files)
            if lost := _missing_sectors(stored):
                builder.warn(f"{lost} of the {stored.sectors} sectors of track {entry.point} are not in the files")
            builder.add(
                entry.point,
                start,
                stored,
                pregap=entry.pregap,
                flags=tuple(flag for bit, flag in _FLAGS if entry.control & bit),
                words=words.get(entry.point, {}),
            )
    if not builder.sessions:
        raise DamagedError(len(SIGNATURE), "a BlindWrite descriptor without a track")
    profile = contents.profile
    return Disc(
        builder.sessions,
        catalog=contents.catalog,
        **texts_in(words.get(0, {})),
        medium="CD" if profile in _CD_PROFILES else "BD" if profile >= _BD_PROFILE else "DVD",
        warnings=tuple(builder.warnings),
        cdtext=contents.packs,
    )


# --- tracks ---------------------------------------------------------------------------------------------------------------


def _stored(entry: _Entry, blocks: Sequence[_Block], files: dict[str, Reader]) -> tuple[Stored, int]:
    """(the sectors of a track in the data blocks that hold them, the LBA of index 1)."""
    begin, end = entry.start, entry.start + entry.sectors
    if not -limits.DISC_SECTORS <= begin <= end <= limits.DISC_SECTORS:
        raise DamagedError(None, f"track {entry.point} lies from LBA {begin} to {end}, outside the disc")
    mine = sorted(
        (block for block in blocks if block.sectors > 0 and block.first < end and begin < block.first + block.sectors),
        key=lambda block: block.first,
    )
    if not mine:
        raise DamagedError(None, f"no data block has the sectors of track {entry.point}")
    sizes = {block.sector_bytes for block in mine}
    size = min(sizes)
    layout = described_layout(_KINDS[entry.type], size) if entry.type in _KINDS and len(sizes) == 1 else None
    if layout is None:
        raise UnsupportedError(
            f"track {entry.point} of a BlindWrite image, of type {entry.type} in {size} bytes a sector, is not read"
        )
    index1 = _index1(entry)
    begin = min(max(begin, mine[0].first), index1)  # the pregap may be in no block
    extents, at = [], begin
    for block in mine:
        first = max(at, block.first)
        last = min(end, block.first + block.sectors)
        if first < last:
            offset = block.offset + (first - block.first) * size
            extents.append(Extent((first - begin) * size, (last - first) * size, files[block.name], offset))
            at = last
    return Stored(joined(extents, (end - begin) * size), layout, 0, end - begin, index1 - begin), index1


def _missing_sectors(stored: Stored) -> int:
    """Those that no block has, or a file that was cut off."""
    runs = stored.reader.runs(0, stored.reader.size)
    missing = sum(run.length for run in runs if run.kind is RunKind.MISSING)
    return -(-missing // stored.layout.sector_bytes)


def _index1(entry: _Entry) -> int:
    """The LBA of index 1: as the table of contents has it, where that lies in the track."""
    told = (entry.minute * 60 + entry.second) * FRAMES_PER_SECOND + entry.frame - LEAD_IN_LBA
    end = entry.start + entry.sectors
    if entry.type != _DVD_TRACK and entry.start <= told < end:
        return told
    return entry.start + entry.pregap if entry.start + entry.pregap < end else entry.start


FORMAT = Format(
    name="b6t",
    title="a BlindWrite 5, 6 or 7 image",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_b6t,
    extensions=("b6t", "b5t"),
    mime=("application/x-b6t",),
    magic=((0, SIGNATURE),),
    describes=(*_DATA_EXTENSIONS, *_SPLIT),
    parts=parts,
    reads="versions 5 to 7: all track modes, subchannel, sessions, split files, DVD, CD-TEXT",
)
