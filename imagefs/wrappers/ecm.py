"""ECM: an image of a CD without what can be computed: sync, error detection and correction codes.

offset  size   field        meaning
0       4      magic        "ECM", 0
4       *      records
end-4   4      edc          EDC of the whole image, little-endian; nothing here needs it

A record begins with its kind (bits 0-1 of the first byte) and a number less by one than its count: bits 2-6 of the first
byte, then, as long as bit 7 is set, 7 bits of each following byte, the lowest first. A number of 32 ones ends the records.

kind    an item in the file                 an item in the image
0       1 byte                              the same
1       3 header + 2048 user data           a sector of mode 1, 2352 bytes
2       4 subheader + 2048 user data        bytes 16 to 2351 of a sector of form 1
3       4 subheader + 2324 user data        bytes 16 to 2351 of a sector of form 2

Sync and header of a sector of mode 2 are a record of kind 0 with 16 bytes before it. So the image of an XA disc has two
records for each sector; a row of such pairs is one entry of the index here.

The file says nothing about the size of the image: its records are passed over once, reading no more than it has to find
them. A file that ends early has the image up to there.
Sources: the ECM format as libMirage and psx-spx have it; ECMA-130 §14 and annex A for the codes.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import NamedTuple

from imagefs import limits
from imagefs.disc import ecc
from imagefs.disc.layouts import SYNC
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.packed import PackedReader
from imagefs.readers import Extent, Reader, SectorReader, joined
from imagefs.wrappers._streams import before_damage

MAGIC = b"ECM"
HEADER_BYTES = 4
EDC_BYTES = 4
END = 0xFFFF_FFFF
HEAD_BYTES = 5
"""The longest head of a record: 5 + 4 * 7 bits."""
BLOCK_BYTES = 32 * ecc.SECTOR_BYTES
MOST_PAIRS = 512
"""Pairs that are read at once where a row of them is followed."""
RECORD_OF_16 = bytes([15 << 2])
"""The head of a record with the sync and header of one sector."""


class _Made(NamedTuple):
    """An item of the image: its bytes without parity, and what the parity is over where it has one."""

    content: bytes
    body: bytes | None


def _mode1(stored: bytes) -> _Made:
    sector = SYNC + stored[:3] + b"\1" + stored[3:]
    sector += ecc.edc(sector) + bytes(8)
    return _Made(sector, sector[12:])


def _form1(stored: bytes) -> _Made:
    content = stored[:4] + stored
    content += ecc.edc(content)
    return _Made(content, bytes(4) + content)


def _form2(stored: bytes) -> _Made:
    content = stored[:4] + stored
    return _Made(content + ecc.edc(content), None)


def _form1_pair(stored: bytes) -> _Made:
    made = _form1(stored[18:])
    return _Made(stored[1:17] + made.content, made.body)


def _form2_pair(stored: bytes) -> _Made:
    return _Made(stored[1:17] + _form2(stored[18:]).content, None)


class _Kind(NamedTuple):
    """Items of a record, or pairs of records: their bytes in the file and in the image."""

    stored: int
    content: int
    make: Callable[[bytes], _Made]


_PLAIN = 0
_SECONDS = {4: b"\x02", 5: b"\x03"}
"""The head of the second record of a pair: one sector."""
_PAIRS = {head: kind for kind, head in _SECONDS.items()}
_KINDS = (
    _Kind(1, 1, lambda stored: _Made(stored, None)),
    _Kind(3 + 2048, 2352, _mode1),
    _Kind(4 + 2048, 2336, _form1),
    _Kind(4 + 2324, 2336, _form2),
    _Kind(17 + 1 + 4 + 2048, 2352, _form1_pair),
    _Kind(17 + 1 + 4 + 2324, 2352, _form2_pair),
)

_USER_DATA = {1: (16, 3, 2048), 4: (24, 22, 2048), 5: (24, 22, 2324)}
"""Where the user data of a kind lie: from which byte of the sector, of the item in the file, and how many they are."""
MOST_EXTENTS = 4096
"""Pieces of user data; a disc that changes its kind more often is made sector by sector."""


class _Runs:
    """Rows of items of one kind: where each begins in the file and in the image."""

    def __init__(self) -> None:
        self.kinds, self.stored, self.starts = bytearray(), array("Q"), array("Q")
        self.size = 0
        """of the image"""

    def add(self, kind: int, stored: int, count: int) -> None:
        if len(self.kinds) >= limits.PIECES:
            raise DamagedError(stored, f"more than {limits.PIECES} records")
        if count > 0:
            self.kinds.append(kind)
            self.stored.append(stored)
            self.starts.append(self.size)
            self.size += count * _KINDS[kind].content


class EcmReader(PackedReader):
    """The image in an ECM file."""

    def __init__(self, stored: Reader, runs: _Runs) -> None:
        super().__init__(runs.size, BLOCK_BYTES)
        self._reader, self._kinds, self._stored = stored, runs.kinds, runs.stored
        self._starts = array("Q", [*runs.starts, runs.size])

    def unpack(self, first: int, count: int) -> bytes:
        start = first * self.block_bytes
        end = min(start + count * self.block_bytes, self.size)
        run = bisect_right(self._starts, start) - 1
        skip = (start - self._starts[run]) % _KINDS[self._kinds[run]].content
        made: list[_Made] = []
        at = start
        while at < end:
            stop = min(end, self._starts[run + 1])
            made += self._items(run, at, stop)
            run, at = run + 1, stop
        return _joined(made)[skip : skip + end - start]

    def user_data(self, start: int, stride: int, user_offset: int, user_bytes: int, count: int) -> Reader | None:
        """The user data of sectors straight from the file, where they lie in it: nothing has to be computed for them."""
        if stride != ecc.SECTOR_BYTES:
            return None
        extents: list[Extent] = []
        done = 0
        while done < count and (at := start + done * stride) < self.size:
            if len(extents) == MOST_EXTENTS:
                return None
            take, reader = self._stored_user_data(at, user_offset, user_bytes, count - done)
            extents.append(Extent(done * user_bytes, take * user_bytes, reader))
            done += take
        return joined(extents, count * user_bytes)

    def _stored_user_data(self, at: int, user_offset: int, user_bytes: int, most: int) -> tuple[int, Reader]:
        """(sectors, their user data) from the sector at byte `at` of the image on, as far as its run goes."""
        run = bisect_right(self._starts, at) - 1
        first, odd = divmod(at - self._starts[run], ecc.SECTOR_BYTES)
        whole, rest = divmod(self._starts[run + 1] - at, ecc.SECTOR_BYTES)
        kind = self._kinds[run]
        offset, place, length = _USER_DATA.get(kind, (0, 0, 0))
        if odd or not whole or user_offset < offset or user_offset + user_bytes > offset + length:
            take = min(most, whole + bool(rest))
            return take, SectorReader(self, at, ecc.SECTOR_BYTES, user_offset, user_bytes, take)
        take, item = min(most, whole), _KINDS[kind].stored
        begin = self._stored[run] + first * item
        return take, SectorReader(self._reader, begin, item, place + user_offset - offset, user_bytes, take)

    def _items(self, run: int, start: int, stop: int) -> Iterator[_Made]:
        """The items of a run that have the bytes `start` to `stop` of the image."""
        kind = _KINDS[self._kinds[run]]
        first, last = (start - self._starts[run]) // kind.content, -((self._starts[run] - stop) // kind.content)
        stored = self._reader.exactly(self._stored[run] + first * kind.stored, (last - first) * kind.stored)
        self.count_in(len(stored))
        if kind is _KINDS[_PLAIN]:
            return iter([_Made(stored, None)])
        return (kind.make(stored[at : at + kind.stored]) for at in range(0, len(stored), kind.stored))


def _joined(made: list[_Made]) -> bytes:
    """The items with their parity, which is computed for all of them at once."""
    parity = BytesIO(ecc.parity(b"".join([item.body for item in made if item.body])))
    parts = []
    for content, body in made:
        parts.append(content)
        if body:
            parts.append(parity.read(ecc.PARITY_BYTES))
    return b"".join(parts)


# --- the first pass -------------------------------------------------------------------------------------------------


def _add_records(reader: Reader, runs: _Runs) -> None:
    """Pass over the file once. Raises DamagedError where it is damaged; `runs` then has what lies before."""
    at = HEADER_BYTES
    while True:
        raw = reader.pread(at, 17 + 1)
        if raw[:1] == RECORD_OF_16 and raw[17:] in _PAIRS:
            kind = _PAIRS[raw[17:]]
            count = _count_pairs(reader, at, kind)
            if count:
                runs.add(kind, at, count)
                at += count * _KINDS[kind].stored
                continue
        kind, number, length = _head(raw, at)
        at += length
        if number == END:
            if at + EDC_BYTES > reader.size:
                raise DamagedError(reader.size, "the ECM file ends early: it was cut off")
            return
        item = _KINDS[kind]
        there = min(number + 1, (reader.size - at) // item.stored)
        runs.add(kind, at, there)
        if there <= number:
            raise DamagedError(reader.size, "the ECM file ends early: it was cut off")
        at += there * item.stored


def _head(raw: bytes, where: int) -> tuple[int, int, int]:
    """(kind, number, length of the head) of a record."""
    number = shift = 0
    for length, byte in enumerate(raw[:HEAD_BYTES], 1):
        number |= (byte >> 2 & 0x1F) if length == 1 else (byte & 0x7F) << shift
        shift += 5 if length == 1 else 7
        if byte < 0x80:
            if number > END:
                break
            return raw[0] & 3, number, length
    if len(raw) < HEAD_BYTES:
        raise DamagedError(where, "the ECM file ends early: it was cut off")
    raise DamagedError(where, "a count of more than 32 bits")


def _count_pairs(reader: Reader, at: int, kind: int) -> int:
    """How many whole pairs of a kind lie from byte `at` on."""
    unit, second = _KINDS[kind].stored, _SECONDS[kind]
    count, step = 0, 8
    while True:
        data = reader.pread(at + count * unit, step * unit)
        units = len(data) // unit
        more = min(
            _leading(data[: units * unit : unit], RECORD_OF_16), _leading(data[17 : units * unit : unit], second)
        )
        count += more
        if more < step:
            return count
        step = min(2 * step, MOST_PAIRS)


def _leading(data: bytes, byte: bytes) -> int:
    return len(data) - len(data.lstrip(byte))


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(HEADER_BYTES + 1)
    if len(head) <= HEADER_BYTES or head[:3] != MAGIC or head[3] >= 0x20:
        return None
    return Match(70 if head[3] else 90, f"ECM magic, version {head[3]}")


def open_ecm(candidate: Candidate, options: Options) -> Reader:
    """The image; what a file that was cut off lacks is missing. Raises DamagedError when that is all, UnsupportedError."""
    version = candidate.exactly(3, 1)[0]
    if version:
        raise UnsupportedError(f"ECM version {version} is not read")
    runs, damage = _Runs(), None
    try:
        _add_records(candidate.reader, runs)
    except DamagedError as error:
        damage = error
    return before_damage(EcmReader(candidate.reader, runs), damage)


FORMAT = Format(
    name="ecm",
    title="an ECM file",
    layer=Layer.WRAPPER,
    extensions=("ecm",),
    mime=("application/x-ecm",),
    magic=((0, MAGIC + b"\0"),),
    probe=probe,
    open=open_ecm,
    reads="all records, sync, EDC and ECC made again; the image before the end of a cut file",
    lacks="the formats of later programs with other versions",
)
