"""The states that a volume was in: its sessions, and in each the builds that its allocation tables make.

A session of a write-once disc begins with its own recognition sequence and anchor (256 blocks on), or adds to the volume of
the one before. In both cases it ends with a virtual allocation table (`vat`). With a table of contents the container
knows where sessions begin. Without one they are found

* from the end: each table tells where its partition begins, and some blocks before that lies its session's anchor;
* from the beginning: where a partition, or the ISO 9660 volume beside it, ends (rounded up, or after the lead-out and
  lead-in of a CD), the next anchor may have its session.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.filesystems.udf import tags, vat
from imagefs.filesystems.udf.descriptors import ANCHOR_BLOCK, Descriptors, block_at, find_volume, slot_sizes
from imagefs.filesystems.udf.space import Space
from imagefs.formats import Candidate
from imagefs.readers import Reader, Run

_SECTOR_BYTES = 2048
_ISO_BYTE = 16 * _SECTOR_BYTES
"""Where a bridge disc has the primary descriptor of ISO 9660; its size in sectors is at 80."""
_ALIGNMENTS = (1, 16, 32)
_MOST_PARTITIONS = 8
"""of a session in which a table is looked for: one is virtual, by the book"""
_CD_GAPS = (150, 6900, 11400)
"""Sectors between sessions on a CD: a pregap alone; lead-out and lead-in after a later and after the first session."""


class _Watched(Reader):
    """The image while it is searched. A search that has read too often can read nothing more, and so comes to its end."""

    def __init__(self, reader: Reader) -> None:
        self.size, self._reader, self._left = reader.size, reader, limits.SEARCH_READS

    def pread(self, offset: int, length: int) -> bytes:
        self._left -= 1 + length // limits.PROBE_BYTES
        self.check()
        return self._reader.pread(offset, length)

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        return self._reader.runs(offset, length)

    def is_far(self, offset: int) -> bool:
        return self._reader.is_far(offset)

    def check(self) -> None:
        """Raise DamagedError when that has come."""
        if self._left < 0:
            raise DamagedError(None, "too much has to be searched for its sessions and their former states")


class Build(NamedTuple):
    """A state of a volume that can be opened (`open_build`).

    `number` counts all of them from 1, the oldest first, `session` the sessions. `origin` is the byte at which the session
    begins, `vat` the sector of its allocation table (None: the volume has none), `time` when it was written, in ns since
    1970, 0 when that is not known.
    """

    number: int
    session: int
    origin: int
    vat: int | None
    time: int
    label: str


def builds(candidate: Candidate) -> Sequence[Build]:
    """All states of the volume, the oldest first; of the candidate's own session when its origin tells which.

    Raises DamagedError when there is no volume or they are not found in limits.SEARCH_READS, OSError, BlockingIOError.
    """
    watched = _Watched(candidate.reader)
    try:
        return _builds(Candidate(watched, candidate.name, candidate.folder, candidate.origin))
    finally:
        watched.check()


def _builds(candidate: Candidate) -> Sequence[Build]:
    origins = [candidate.origin] if candidate.origin else session_origins(candidate)
    found: list[Build] = []
    for session, origin in enumerate(origins, 1):
        following = origins[session] if session < len(origins) else None
        for number, (sector, time, label) in enumerate(_builds_of(candidate, origin, following), len(found) + 1):
            found.append(Build(number, session, origin, sector, time, label))
    return found


def session_origins(candidate: Candidate) -> list[int]:
    """The byte offsets at which the sessions of an image begin that have an anchor of their own, the oldest first."""
    volume = find_volume(candidate)
    found = {candidate.origin} | set(_from_the_end(candidate, volume)) | set(_from_the_beginning(candidate, volume))
    return sorted(origin for origin in found if origin >= candidate.origin)[: limits.SESSIONS]


def _from_the_end(candidate: Candidate, volume: Descriptors) -> Iterator[int]:
    """The sessions that end with a table, the newest first."""
    if not volume.is_virtual:
        return
    size, end = volume.block_bytes, None
    space = Space(candidate.reader, size)
    for _ in range(limits.SESSIONS):
        table = vat.find_vat(space, end=end)
        if table is None:
            return
        start = _start_before(candidate, size, table.partition_start)
        if start is None:
            return
        yield start * size
        end = start
        while end > 0 and not any(block_at(candidate.reader, size, end - 1)) and start - end < limits.VAT_BLOCKS:
            end -= 1


def _start_before(candidate: Candidate, size: int, partition_start: int) -> int | None:
    """The block at which the session of a partition begins."""
    for anchor in range(partition_start - 1, max(ANCHOR_BLOCK, partition_start - limits.VAT_BLOCKS) - 1, -1):
        if _is_session(candidate, size, anchor - ANCHOR_BLOCK):
            return anchor - ANCHOR_BLOCK
    return None


def _from_the_beginning(candidate: Candidate, volume: Descriptors) -> Iterator[int]:
    """The sessions that follow each other without a gap, or with those of a CD."""
    origin = candidate.origin
    for _ in range(limits.SESSIONS):
        following = next(_following(candidate, origin, volume), None)
        if following is None:
            return
        yield following
        origin = following
        try:
            volume = find_volume(Candidate(candidate.reader, origin=origin))
        except DamagedError:
            return


def _following(candidate: Candidate, origin: int, volume: Descriptors) -> Iterator[int]:
    """The sessions that begin where this one may end."""
    size = volume.block_bytes
    ends = [part.start + part.length for part in volume.partitions.values()]
    iso = candidate.at(origin + _ISO_BYTE, 84)
    if iso[1:6] == b"CD001" and size == _SECTOR_BYTES:
        ends.append(origin // size + int.from_bytes(iso[80:], "little"))
    starts = [-(-end // unit) * unit for end in ends for unit in _ALIGNMENTS]
    for start in dict.fromkeys(starts + [end + gap for end in ends for gap in _CD_GAPS]):
        if start * size > origin and _is_session(candidate, size, start):
            yield start * size


def _is_session(candidate: Candidate, size: int, start: int) -> bool:
    """Whether a session begins at a block: with an anchor and a recognition sequence."""
    tag = tags.tag_at(candidate.at((start + ANCHOR_BLOCK) * size, tags.TAG_BYTES))
    is_anchor = tag.identifier == tags.ANCHOR and tag.location == start + ANCHOR_BLOCK
    return is_anchor and bool(slot_sizes(Candidate(candidate.reader, origin=start * size)))


def _builds_of(candidate: Candidate, origin: int, following: int | None) -> list[tuple[int | None, int, str]]:
    """(sector of the table, time, label) of the states of one session, the oldest first."""
    volume = find_volume(Candidate(candidate.reader, origin=origin))
    space = Space(candidate.reader, volume.block_bytes)
    if not volume.is_virtual:
        return [(None, volume.recorded, volume.label)]
    tables: list[vat.VirtualTable] = []
    for start in sorted({part.start for part in volume.partitions.values()})[:_MOST_PARTITIONS]:
        newest = vat.find_vat(space, start, following and following // volume.block_bytes)
        if newest is not None:
            tables += [newest, *vat.earlier(space, newest)]
    tables.sort(key=lambda table: table.sector)
    found: list[tuple[int | None, int, str]] = [
        (table.sector, table.time, table.label or volume.label) for table in tables
    ]
    return found or [(None, volume.recorded, volume.label)]
