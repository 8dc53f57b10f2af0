"""PBP: a package of the PSP, EBOOT.PBP, whose part DATA.PSAR may hold PlayStation discs. All integers are little-endian.

header                                             DATA.PSAR begins with
0   4   magic    NUL, "PBP"                        "PSISOIMG0000"      one disc
4   4   version                                    "PSTITLEIMG000000"  several: at 0x200 five u32, where each begins
8   28  offsets  of seven other parts                                  in DATA.PSAR, 0 for none
36  4   psar     offset of DATA.PSAR               "NPUMDIMG"          an encrypted disc of the PSP itself

disc                                               entry of the table of contents, 10 bytes
0x0     12    magic    "PSISOIMG0000"              0  1  control   0x41 data, 0x01 audio
0x400   11    game     "_SLUS_01234"; or NUL,      2  1  point     track; 0xA0, 0xA1; 0xA2 the lead-out (BCD)
                       "PGD": it is encrypted      3  3  index 0   minute, second, frame (BCD)
0x800   1020  entries  of the table of contents    7  3  index 1   the same, or the place of the lead-out
0xBFC   4     content  offset of the first block
0x4000  32*n  blocks   u32 offset behind `content`, u16 length, u16, 16 bytes of a checksum, 8 of padding

A block is 16 sectors of 2352 bytes in raw deflate, or plain where its length is theirs; one of no length ends the table.
The first sector is LBA 0, later pregaps are stored, zeros fill up the last block.

In the wild: popstation and what came of it put the number of sectors where the address of the lead-out belongs, or leave the
one of another game there, so that it is believed only where it ends in the last block; index 0 is always two seconds before
index 1 there, or always 00:00:00 (a table out of CloneCD), or index 1 is 00:00:00 and index 0 is meant; tables without 0xA0
to 0xA2; a track listed twice, the last time right. Many files have zeros for checksums, so that these are not looked at.

Several discs become the sessions of one `Disc`, whose tracks are numbered on and on.

Left out: what is encrypted, as all that Sony sells is; and its audio tracks, which lie in ATRAC3 behind the sectors.
There is no specification; sources: DuckStation, psx-spx, PSXPackager and popstation.
"""

import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from imagefs import codecs
from imagefs.codecs import Content
from imagefs.containers.cso import longest_block, plain
from imagefs.disc import Disc, Session, TrackKind
from imagefs.disc.build import DiscBuilder, Stored, seen_layout
from imagefs.disc.layouts import Layout, lba_of_msf
from imagefs.disc.model import AUDIO_BYTES, LEAD_IN_LBA, MAX_TRACK
from imagefs.errors import DamagedError, ImageError, UnsupportedError, message_of
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.packed import PackedReader
from imagefs.readers import Reader

HEADER = struct.Struct("<4s32xI")
MAGIC = b"\0PBP"
ONE_DISC, SEVERAL, PSP_DISC, ENCRYPTED = b"PSISOIMG0000", b"PSTITLEIMG000000", b"NPUMDIMG", b"\0PGD"
DISCS_AT, DISCS = 0x200, struct.Struct("<5I")
GAME_AT, ENTRIES_AT, CONTENT_AT, TABLE_AT = 0x400, 0x800, 0xBFC, 0x4000
ENTRY, BLOCK = struct.Struct("<BxB3sx3s"), struct.Struct("<IH26x")
BLOCK_SECTORS = 16
BLOCK_BYTES = BLOCK_SECTORS * AUDIO_BYTES
MOST_BLOCKS = (0x10_0000 - TABLE_AT) // BLOCK.size
"""Of one disc: 114 minutes. The blocks themselves follow the room for them."""
_LEAD_OUT, _DATA = 0xA2, 0x40
_LAYOUTS = {True: Layout(TrackKind.MODE2, AUDIO_BYTES, 24), False: Layout(TrackKind.AUDIO, AUDIO_BYTES, 0)}


class PbpReader(PackedReader):
    """The sectors of one disc, `size` bytes. Block k is `lengths[k]` bytes from `begin` + `offsets[k]` of `base` on."""

    def __init__(self, base: Reader, size: int, begin: int, offsets: "array[int]", lengths: "array[int]") -> None:
        super().__init__(size, BLOCK_BYTES)
        self.base, self.begin, self._offsets, self._lengths = base, begin, offsets, lengths

    def unpack(self, first: int, count: int) -> bytes:
        return b"".join(map(self._unpack_one, range(first, first + count)))

    def _unpack_one(self, block: int) -> Content:
        where, length, size = self.begin + self._offsets[block], self._lengths[block], self.block_size(block)
        if not length or not self._is_in_place(block):
            raise DamagedError(where, f"block {block} cannot lie there in {length} bytes")
        stored = self.base.pread(where, min(length, longest_block(BLOCK_BYTES)))
        self.count_in(len(stored))
        if length == BLOCK_BYTES:
            return plain(stored, size, where)
        return codecs.inflate(stored, BLOCK_BYTES, least=size, where=where)[:size]

    def _is_in_place(self, block: int) -> bool:
        """Whether a block lies between its neighbours, or right beside one of them.

        Deflate has no checksum, so that a wrong offset could give the content of another block.
        """
        start, last = self._offsets[block], block + 1 == len(self._offsets)
        end = start + self._lengths[block]
        before = self._offsets[block - 1] + self._lengths[block - 1] if block else 0
        after = self.base.size - self.begin if last else self._offsets[block + 1]
        return start == before or end == after or before <= start < end <= after


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(HEADER.size)
    if not head.startswith(MAGIC) or len(head) < HEADER.size:
        return None
    inside = candidate.at(HEADER.unpack(head)[1], len(SEVERAL))
    for magic in (ONE_DISC, SEVERAL, PSP_DISC):
        if inside.startswith(magic):
            return Match(95, f"PBP magic, and {magic.decode()} in it")
    return Match(70, "PBP magic, and no disc in it that is known")


def open_pbp(candidate: Candidate, options: Options) -> Disc:
    """The disc; where there are several, each is a session of it, and one that cannot be opened is left out with a warning.

    Raises UnsupportedError for encrypted discs and for a package without a disc, DamagedError, OSError.
    """
    _, psar = HEADER.unpack(candidate.exactly(0, HEADER.size))
    inside = candidate.at(psar, len(SEVERAL))
    if inside.startswith(ONE_DISC):
        builder = _disc(candidate.reader, psar)
        return Disc(builder.sessions, warnings=tuple(builder.warnings))
    if inside == SEVERAL:
        return _several(candidate.reader, psar)
    if inside.startswith(PSP_DISC):
        raise UnsupportedError("it is an encrypted disc of the PSP (NPUMDIMG), which imagefs has no keys for")
    if psar >= candidate.reader.size:
        raise DamagedError(HEADER.size - 4, f"DATA.PSAR would begin at byte {psar}, and the file ends before")
    raise UnsupportedError("it is a package of the PSP without the image of a disc")


def _several(reader: Reader, psar: int) -> Disc:
    raw = reader.exactly(psar + DISCS_AT, DISCS.size)
    if raw.startswith(ENCRYPTED):
        raise _encrypted()
    begins = [(number, psar + begin) for number, begin in enumerate(DISCS.unpack(raw), 1) if begin]
    sessions: list[Session] = []
    warnings: list[str] = []
    failed: ImageError | None = None
    tracks = 0
    for number, begin in begins:
        try:
            builder = _disc(reader, begin)
        except ImageError as error:
            failed = failed or error
            warnings.append(f"its disc {number} is left out: {message_of(error)}")
            continue
        (session,) = builder.sessions
        sessions.append(
            Session(number, [replace(track, number=tracks + place) for place, track in enumerate(session.tracks, 1)])
        )
        tracks += len(session.tracks)
        warnings += [f"disc {number}: {warning}" for warning in builder.warnings]
    if not sessions:
        raise failed or DamagedError(psar + DISCS_AT, "a package of several discs that names none")
    return Disc(sessions, warnings=tuple(warnings), is_set=True)


def _encrypted() -> UnsupportedError:
    return UnsupportedError("it is an encrypted PlayStation disc (PGD), which imagefs has no keys for")


# --- one disc -------------------------------------------------------------------------------------------------------------


def _disc(reader: Reader, begin: int) -> DiscBuilder:
    """The disc at byte `begin`, as the one session of a builder. Raises DamagedError, UnsupportedError, OSError."""
    if reader.exactly(begin, len(ONE_DISC)) != ONE_DISC:
        raise DamagedError(begin, f"a disc would begin there with {ONE_DISC.decode()}")
    if reader.exactly(begin + GAME_AT, len(ENCRYPTED)) == ENCRYPTED:
        raise _encrypted()
    content = int.from_bytes(reader.exactly(begin + CONTENT_AT, 4), "little")
    offsets, lengths = _blocks(reader, begin, content)
    tracks, lead_out = _contents(reader.exactly(begin + ENTRIES_AT, CONTENT_AT - ENTRIES_AT))
    sectors = _sectors(len(offsets), lead_out)
    builder = DiscBuilder()
    builder.begin_session()
    ends = (begin + content + offset + length for offset, length in zip(offsets, lengths, strict=True))
    if behind := sum(end > reader.size for end in ends):
        builder.warn(f"{behind} of the {len(offsets)} blocks of the disc are not in the file")
    kept = {number: entry for number, entry in tracks.items() if entry.start < sectors}
    if len(kept) < len(tracks):
        lost = ", ".join(str(number) for number in tracks if number not in kept)
        builder.warn(f"of its tracks {lost} there are no sectors (audio in ATRAC3 is not read); they are left out")
    if not kept:
        builder.warn("its table of contents names no track; all of it is taken as one")
    _add(builder, PbpReader(reader, sectors * AUDIO_BYTES, begin + content, offsets, lengths), kept)
    return builder


def _blocks(reader: Reader, begin: int, content: int) -> tuple["array[int]", "array[int]"]:
    """(offsets, lengths) of the blocks, up to the last that has a length. Raises DamagedError."""
    room = min(MOST_BLOCKS, max(0, content - TABLE_AT) // BLOCK.size)
    raw = reader.pread(begin + TABLE_AT, room * BLOCK.size)
    rows = list(BLOCK.iter_unpack(raw[: len(raw) // BLOCK.size * BLOCK.size]))
    while rows and not rows[-1][1]:
        rows.pop()
    if not rows:
        raise DamagedError(begin + TABLE_AT, "the disc has no blocks")
    return array("I", (offset for offset, _ in rows)), array("H", (length for _, length in rows))


class _Entry(NamedTuple):
    """A track of the table of contents: LBAs of its first stored sector and of index 1."""

    is_data: bool
    first: int
    start: int


def _contents(raw: bytes) -> tuple[Mapping[int, _Entry], int | None]:
    """(tracks by their numbers, in their order; LBA of the lead-out, if it is told)."""
    found: dict[int, tuple[bool, int | None, int]] = {}
    lead_out = None
    for control, point, msf0, msf1 in ENTRY.iter_unpack(raw):
        index0, index1 = (lba_of_msf(msf0), lba_of_msf(msf1)) if any(msf1) else (None, lba_of_msf(msf0))
        number = (point >> 4) * 10 + (point & 15)
        if index1 is None:
            continue
        if point == _LEAD_OUT:
            lead_out = index1
        elif 1 <= number <= MAX_TRACK and point & 15 <= 9 and index1 >= 0:
            found[number] = bool(control & _DATA), index0, index1
    entries, before = dict[int, _Entry](), 0
    for number, (is_data, index0, start) in sorted(found.items()):
        first = start if index0 is None or not before < index0 < start else index0
        entries[number] = _Entry(is_data, first if entries else 0, start)
        before = start
    return entries, lead_out


def _sectors(blocks: int, lead_out: int | None) -> int:
    """How many sectors the blocks hold: up to the lead-out if that is in the last block, else all."""
    most = blocks * BLOCK_SECTORS
    for count in () if lead_out is None else (lead_out + LEAD_IN_LBA, lead_out):
        if most - BLOCK_SECTORS < count <= most:
            return count
    return most


def _add(builder: DiscBuilder, stored: PbpReader, tracks: Mapping[int, _Entry]) -> None:
    entries: Sequence[tuple[int, _Entry]] = list(tracks.items()) or [(1, _Entry(is_data=True, first=0, start=0))]
    ends = [entry.first for _, entry in entries[1:]] + [stored.size // AUDIO_BYTES]
    for (number, entry), end in zip(entries, ends, strict=True):
        offset, layout = entry.first * AUDIO_BYTES, _LAYOUTS[entry.is_data]
        if entry.is_data:  # which of the two modes is not told
            layout = seen_layout(layout, stored, entry.start * AUDIO_BYTES)
        if layout.sector_bytes != AUDIO_BYTES:
            raise UnsupportedError(
                f"sectors of {layout.sector_bytes} bytes in a PSP package; a PlayStation has {AUDIO_BYTES}"
            )
        builder.add(
            number,
            entry.start,
            Stored(stored, layout, offset, end - entry.first, entry.start - entry.first),
            pregap=0 if entry.first else LEAD_IN_LBA + entry.start,
        )


FORMAT = Format(
    name="pbp",
    title="a PSP package of PlayStation discs",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_pbp,
    extensions=("pbp",),
    mime=("application/x-pbp",),
    magic=((0, MAGIC),),
    reads="one disc or several (PSISOIMG, PSTITLEIMG), deflated or plain, data and audio tracks",
    lacks="encrypted discs (PGD, NPUMDIMG), audio in ATRAC3",
)
