"""Directory records, read with care: one at a time, whatever is in them.

offset  size  field of a record                         High Sierra, where it differs
0       1     length of the record
1       1     length of the extended attribute record in blocks, before the data
2       8     extent, both                              (both: LE, then BE; LE counts, BE when LE is 0)
10      8     data length in bytes, both
18      7     recording time, short form                6 bytes, no zone
25      1     flags                                     24
26      1     interleave: file unit size in blocks
27      1     interleave: gap size in blocks
28      4     volume sequence number, both
32      1     length of the name
33      n     name, then a pad byte when n is even; the rest is the system use area
ECMA-119 9.1. Flags: 1 hidden (shown, as in Linux), 2 directory, 4 associated (a resource fork: not listed), 128 another
extent of this file follows.

On a CD-i disc (Green Book III) the LE halves are 0 and the system use area tells by its attributes (BE16 at 4, behind group
and user) what is a directory: 0x8000. Of the flags only 1 is used.

A record never crosses a sector; a zero length means that the next one begins in the next sector. The first two are named
00 and 01 and are `.` and `..`.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.filesystems.iso9660 import susp
from imagefs.filesystems.iso9660.dates import ShortTimes
from imagefs.filesystems.iso9660.descriptors import SECTOR_BYTES, Descriptor, both32
from imagefs.readers import Reader

HIDDEN, IS_DIRECTORY, ASSOCIATED, MULTI_EXTENT = 1, 2, 4, 128
RECORD_BYTES = 34
"""The least a record can have: a name of one byte."""
LONGEST_BYTES = 256
_CDI_DIRECTORY = b"\x80"
_FIXED = struct.Struct("<xBI4xI4x7sBHH")  # XAR length, extent, size, time, flags, interleave (unit, gap), volume
_FIXED_HIGH_SIERRA = struct.Struct("<xBI4xI4x6sBxHH")

_STRICT = re.compile(rb"[\x22-\xff].(.)(.)(.)(.)\4\3\2\1(.)(.)(.)(.)\8\7\6\5", re.DOTALL)
"""A record's length, and its extent and size in both byte orders."""


@dataclass(frozen=True, slots=True)
class Directory:
    """Where a directory is: the locator of its nodes.

    `address` and `size` are in bytes, `record` is the byte address of the record that led to it (-1: none did). `path` holds
    the addresses of the directories above, as far as they are known. With a `fault` it cannot be listed.
    """

    address: int
    size: int
    record: int = field(default=-1, compare=False)
    path: tuple[int, ...] = field(default=(), compare=False, repr=False)
    fault: str = ""


class Record(NamedTuple):
    """The fixed part of one record; addresses and sizes in bytes, `extent` behind its extended attribute record."""

    address: int
    length: int
    extent: int
    size: int
    time: int
    flags: int
    unit: int
    gap: int
    volume: int
    name: bytes
    system_use: bytes


class File(NamedTuple):
    """What the records of one file say of its content: its sections in order, and how it is packed."""

    sections: Sequence[Record]
    fields: susp.Fields | None
    is_fork: bool = False
    """An associated file, and the file that it belongs to follows."""

    @property
    def goes_on(self) -> bool:
        """Whether a record was announced that is not among these: another section, or the file that a fork belongs to."""
        return bool(self.sections[-1].flags & (MULTI_EXTENT | ASSOCIATED)) and not self.is_fork

    @property
    def stored_bytes(self) -> int:
        return sum(section.size for section in self.sections)

    @property
    def compressed(self) -> susp.Compressed | None:
        """How it is packed, when its size there can be true: its pointer table fits into what is stored."""
        packed = self.fields.compressed if self.fields else None
        if packed is None or len(self.sections) > 1 or not 15 <= packed.block_log2 <= 20:
            return None
        header, pointer = (16, 4) if packed.version == 1 else (24, 8)
        pointers = -(-packed.size >> packed.block_log2) + 1
        return packed if packed.header_bytes >= header and header + pointers * pointer <= self.stored_bytes else None

    @property
    def size(self) -> int:
        return self.compressed.size if self.compressed else self.stored_bytes

    @property
    def is_contiguous(self) -> bool:
        first = self.sections[0]
        return len(self.sections) == 1 and not (first.unit and first.gap) and not self.compressed


class RecordReader:
    """Reads the records of one tree. Immutable; all methods may run in many threads at once.

    `skip` is the number of bytes of each system use area before its Rock Ridge fields, None in a tree without them.
    """

    def __init__(self, reader: Reader, descriptor: Descriptor, skip: int | None) -> None:
        self._reader, self._skip, self._times = reader, skip, ShortTimes()
        self._block_bytes = descriptor.block_bytes
        self._fixed = _FIXED_HIGH_SIERRA if descriptor.high_sierra else _FIXED
        self._volume = descriptor.set_number if descriptor.set_size > 1 else 0
        self._is_cdi = descriptor.is_cdi
        self._continuations = susp.Continuations(reader, descriptor.block_bytes)
        self.sector_bytes = min(SECTOR_BYTES, descriptor.block_bytes)

    def record(self, data: bytes, at: int, base: int) -> Record | None:
        """The record at `at` in bytes that begin at byte `base` of the image; None when there is none or it is broken."""
        length = data[at] if at < len(data) else 0
        if length < RECORD_BYTES or at + length > len(data):
            return None
        name_length = data[at + 32]
        if 33 + name_length > length:
            return None
        xar, extent, size, stamp, flags, interleave, volume = self._fixed.unpack_from(data, at)
        extent, size = extent or both32(data, at + 2), size or both32(data, at + 10)
        system_use = data[at + 34 + name_length - (name_length & 1) : at + length]
        if self._is_cdi:
            flags = flags & HIDDEN | (IS_DIRECTORY if system_use[4:5] >= _CDI_DIRECTORY else 0)
        return Record(
            address=base + at,
            length=length,
            extent=(extent + xar) * self._block_bytes,
            size=size,
            time=self._times[stamp],
            flags=flags,
            unit=(interleave & 0xFF) * self._block_bytes,
            gap=(interleave >> 8) * self._block_bytes,
            volume=volume,
            name=data[at + 33 : at + 33 + name_length],
            system_use=system_use,
        )

    def records(self, data: bytes, at: int, base: int) -> Iterator[tuple[Record, int]]:
        """The records from `at` on, and where the next one is sought; ends at the first that is broken."""
        while at < len(data):
            if not data[at]:
                at = (at // self.sector_bytes + 1) * self.sector_bytes
                continue
            record = self.record(data, at, base)
            if record is None:
                return
            at += record.length
            yield record, at

    def is_joined(self, data: bytes, at: int) -> bool:
        """Whether a sound record lies at `at` that crosses a sector, as some writers have it, and is no false length."""
        record = self.record(data, at, 0)
        border = (at // SECTOR_BYTES + 1) * SECTOR_BYTES
        if record is None or at + record.length <= border:
            return False
        return self.sector_bytes < SECTOR_BYTES or not self.is_strict(data, border)

    def resume(self, data: bytes, at: int, *, search: bool = True) -> tuple[int, bool]:
        """Where to go on from `at`, where no sound record is, and whether that is more than the end of a sector.

        It is the next sector or, with `search`, the next place in this one where a record is beyond doubt.
        """
        border = min(len(data), (at // self.sector_bytes + 1) * self.sector_bytes)
        is_padding = not data[at]
        if is_padding and data.count(0, at, border) == border - at:
            return border, False
        if search:
            for match in _STRICT.finditer(data, at + 1, border):
                if self.is_strict(data, match.start()):
                    return match.start(), True
        return border, not is_padding

    def is_strict(self, data: bytes, at: int) -> bool:
        """Whether a record is at `at` beyond doubt: both byte orders agree, and the time may be one."""
        record = self.record(data, at, 0)
        if record is None or not record.name or not _STRICT.match(data, at):
            return False
        month, day = data[at + 19 : at + 21]
        is_date = (1 <= month <= 12 and 1 <= day <= 31) or not any(data[at + 18 : at + 24])
        return is_date and 0 < record.volume == int.from_bytes(data[at + 30 : at + 32], "big")

    def swallows(self, data: bytes, start: int, stop: int) -> bool:
        """Whether another record lies in what should be the system use area of one: that one's length is wrong then."""
        if data[start : start + 2].isupper() and data[start + 3] == 1:
            return False
        return any(self.is_strict(data, match.start()) for match in _STRICT.finditer(data, start, stop))

    def file(
        self, data: bytes, at: int, base: int, continuations: susp.Continuations | None = None
    ) -> tuple[File, int] | None:
        """The file whose first record is at `at`, and where the entry after it begins; None when the record is broken.

        `continuations` are those of a listing. Raises DamagedError when they are too long.
        """
        first = self.record(data, at, base)
        if first is None:
            return None
        sections, end = [first], at + first.length
        is_fork = False
        if first.flags & (MULTI_EXTENT | ASSOCIATED):
            for record, following in self.records(data, end, base):
                if record.name != first.name:
                    break  # it was announced that another extent follows, and none does
                if not sections[-1].flags & MULTI_EXTENT:
                    is_fork = not record.flags & ASSOCIATED
                    break
                end = following
                if len(sections) <= limits.FILE_EXTENTS:
                    sections.append(record)
        fields = None
        if self._skip is not None:
            skip = (
                0 if first.system_use.startswith(b"SP\7") else self._skip
            )  # the skip does not hold where it is stated
            fields = susp.read_fields(first.system_use[skip:], continuations or self._continuations)
        return File(sections, fields, is_fork), end

    def is_elsewhere(self, record: Record) -> bool:
        """Whether a record's data are on another volume of the set."""
        return bool(self._volume) and record.volume not in (0, self._volume)

    def dot(
        self, address: int, *, parent: bool = False, continuations: susp.Continuations | None = None
    ) -> File | None:
        """The `.` (or with `parent` the `..`) record of the directory at a byte address, None when there is none there."""
        try:
            data = self._reader.pread(address, 2 * LONGEST_BYTES)
        except DamagedError:
            return None
        parsed = self.file(data, 0, address, continuations)
        if parsed is None or parsed[0].sections[0].name != b"\0":
            return None
        if parent:
            parsed = self.file(data, parsed[1], address, continuations)
            if parsed is None or parsed[0].sections[0].name != b"\1":
                return None
        return parsed[0]
