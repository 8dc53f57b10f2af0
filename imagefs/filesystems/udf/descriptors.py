"""Finding a volume: recognition sequence, anchors, and the volume descriptors that prevail.

recognition   from byte 32768 of the session on, slots of 2048 bytes or of a block where that is larger; at byte 1 of each an
              identifier: BEA01, NSR02 (UDF up to 1.50) or NSR03, TEA01, beside it what ISO 9660 has there
anchor        tag 2 at block 256 of the session, at the last block, 256 before it, or at 512 on open discs:
              16 main and 24 reserve sequence, each an extent_ad
sequence      one block each: 1 primary, 5 partition, 6 logical volume, 3 pointer to another extent, 8 end, others

offset  size  primary                     offset  size  logical volume             offset  size  partition
16      4     sequence number             16      4     sequence number            16      4     sequence number
24      32    volume identifier           84      128   identifier (dstring)       22      2     number
56      2     volume sequence number      212     4     block size                 24      32    contents (+NSR0x)
72      128   volume set identifier       216     32    domain, revision at 240    184     4     access type
376     12    recording time              248     16    file set (long_ad)         188     4     first sector
388     32    implementation              264     4     length of the maps          192     4     sectors
344     32    application                 268     4     count of the maps
                                          432     8     integrity sequence
                                          440           partition maps

The block size is written in none of the places that have to be found first, so each is tried. A volume counts when its own
block size is the tried one; those whose recognition sequence has slots of the right size come first (a disc that was
formatted anew may still have the former volume's anchors), the newest before the others.

Of descriptors of one kind the one with the highest sequence number prevails, before it one whose CRC is right. The reserve
sequence fills in what the main one lacks. Sources: ECMA-167 2/8, 3/8.4, 3/10; UDF 2.60 2.2; places of the anchor: Linux.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.filesystems.udf import dates, names, tags
from imagefs.formats import Candidate
from imagefs.readers import Reader

RECOGNITION_BYTE = 32768
BLOCK_SIZES = (2048, 512, 1024, 4096, 8192, 16384, 32768)
_SLOT_SIZES = (2048, 4096, 8192, 16384, 32768)
_KNOWN_SLOTS = (b"CD001", b"BEA01", b"NSR02", b"NSR03", b"TEA01", b"BOOT2", b"CDW02")
_NSR = (b"NSR02", b"NSR03")
ANCHOR_BLOCK, _OPEN_ANCHOR_BLOCK = 256, 512
_FROM_THE_END = (1, 2, 3, 151, 153)
_EXTENT = struct.Struct("<II")
_SEQUENCE_NUMBER = struct.Struct("<I")
_PARTITION = struct.Struct("<22xH160xIII")  # number, access type, first sector, sectors
_LOGICAL = struct.Struct("<212xI24xH6x16sII")  # block size, revision, file set, map bytes, map count
_INTEGRITY_AT, _MAPS_AT = 432, 440
_INTEGRITY = struct.Struct("<16x12sIII32xII")  # time, type, next extent (2), partitions, implementation bytes
_COUNTS = struct.Struct("<32xII")  # files, directories


class PartitionDescriptor(NamedTuple):
    """A part of the medium: sectors from `start` on."""

    number: int
    access: int
    start: int
    length: int


class Integrity(NamedTuple):
    """What was noted when the volume was last written; counts are 0 when they are not known."""

    time: bytes
    is_closed: bool
    free_blocks: int
    files: int
    directories: int


class Descriptors(NamedTuple):
    """The descriptors of one volume that prevail. `primary` may be missing."""

    block_bytes: int
    primary: bytes | None
    logical: bytes
    partitions: dict[int, PartitionDescriptor]
    remark: str = ""

    @property
    def label(self) -> str:
        return names.dstring(self.logical[84:212])

    @property
    def revision(self) -> int:
        """The UDF revision as binary coded decimals, 0x0201 for 2.01."""
        return int(_LOGICAL.unpack_from(self.logical)[1])

    @property
    def file_set(self) -> tags.LongAd:
        return tags.long_ad(self.logical, 248)

    @property
    def recorded(self) -> int:
        """When the volume was made, ns; 0 when that is not known."""
        return (dates.time_of(self.primary[376:388]) or 0) if self.primary else 0

    @property
    def is_virtual(self) -> bool:
        """Whether a virtual allocation table tells where blocks are. Raises DamagedError."""
        return any(each[0] == 2 and each[5:].startswith(b"*UDF Virtual Partition") for each in self.maps())

    def maps(self) -> list[bytes]:
        """The partition maps. Raises DamagedError when they overrun their table, or are too many."""
        _, _, _, size, count = _LOGICAL.unpack_from(self.logical)
        if count > limits.PARTITION_MAPS:
            raise DamagedError(None, f"the volume has {count} partition maps; {limits.PARTITION_MAPS} can be")
        table = self.logical[_MAPS_AT : _MAPS_AT + size]
        found: list[bytes] = []
        at = 0
        while len(found) < count:
            length = table[at + 1] if at + 1 < len(table) else 0
            if length < 6 or at + length > len(table):
                raise DamagedError(None, "the partition maps of the volume are broken")
            found.append(table[at : at + length])
            at += length
        return found


def slot_sizes(candidate: Candidate) -> list[int]:
    """The sizes of slots with which there is a recognition sequence that names UDF."""
    return [size for size in _SLOT_SIZES if _has_nsr(candidate, size)]


def _has_nsr(candidate: Candidate, slot: int) -> bool:
    for index in range(limits.RECOGNITION_SLOTS):
        head = candidate.at(candidate.origin + RECOGNITION_BYTE + index * slot, 6)[1:]
        if head in _NSR:
            return True
        if head not in _KNOWN_SLOTS:
            return False
    return False


def _anchor_places(candidate: Candidate, block_bytes: int, *, at_end: bool) -> Iterator[int]:
    """The blocks near the beginning or at the end where an anchor may be, the likeliest first."""
    start, blocks = candidate.origin // block_bytes, candidate.reader.size // block_bytes
    if not at_end:
        yield from (start + ANCHOR_BLOCK, start + _OPEN_ANCHOR_BLOCK)
        return
    for back in _FROM_THE_END:
        for place in (blocks - back, blocks - back - ANCHOR_BLOCK):
            if place > start:
                yield place


def anchors(candidate: Candidate, block_bytes: int, *, at_end: bool) -> Iterator[tuple[int, bytes]]:
    """(block, descriptor) of the anchors that are in their places.

    What is near the beginning comes first wherever there is a choice: the end may have to be unpacked.
    """
    for place in _anchor_places(candidate, block_bytes, at_end=at_end):
        data = candidate.at(place * block_bytes, 512)
        tag = tags.tag_at(data)
        if tag.identifier == tags.ANCHOR and tag.location == place and len(data) == 512:
            yield place, data


def find_volume(candidate: Candidate) -> Descriptors:
    """The descriptors of the volume. Raises DamagedError when there are none that are of use."""
    slots = slot_sizes(candidate)
    likely = [size for size in BLOCK_SIZES if max(size, _SLOT_SIZES[0]) in slots]
    for sizes in (likely, [size for size in BLOCK_SIZES if size not in likely]):
        for at_end in (False, True):
            found = [each for size in sizes for each in _volumes(candidate, size, at_end=at_end)]
            if found:
                return max(found, key=lambda each: each.recorded)
    raise DamagedError(candidate.origin, "no anchor leads to the descriptors of its UDF volume")


def _volumes(candidate: Candidate, block_bytes: int, *, at_end: bool) -> Iterator[Descriptors]:
    """The volume of the first anchor from which one can be read."""
    for place, anchor in anchors(candidate, block_bytes, at_end=at_end):
        found = volume_of(candidate.reader, block_bytes, anchor)
        if found is not None:
            if place != candidate.origin // block_bytes + ANCHOR_BLOCK:
                remark = "; ".join(filter(None, (found.remark, f"the anchor at sector {ANCHOR_BLOCK} is missing")))
                found = found._replace(remark=remark)
            yield found
            return


def volume_of(reader: Reader, block_bytes: int, anchor: bytes) -> Descriptors | None:
    """The volume to which an anchor leads, None when its descriptors are not there or of another block size."""
    best: dict[tuple[int, int], tuple[tuple[bool, int], bytes]] = {}
    remark = ""
    for at in (16, 24):
        length, block = _EXTENT.unpack_from(anchor, at)
        _read_sequence(reader, block_bytes, block, length, best)
        complete = (tags.LOGICAL, 0) in best and any(kind == tags.PARTITION for kind, _ in best)
        if complete and all(intact for (intact, _), _ in best.values()):
            break
        remark = "the main volume descriptors are damaged"
    logical = best.get((tags.LOGICAL, 0))
    partitions = {
        number: PartitionDescriptor(*_PARTITION.unpack_from(data))
        for (kind, number), (_, data) in best.items()
        if kind == tags.PARTITION
    }
    if logical is None or not partitions or _LOGICAL.unpack_from(logical[1])[0] != block_bytes:
        return None
    primary = best.get((tags.PRIMARY, 0))
    return Descriptors(block_bytes, primary and primary[1], logical[1], partitions, remark)


def _read_sequence(
    reader: Reader, block_bytes: int, block: int, length: int,
    best: dict[tuple[int, int], tuple[tuple[bool, int], bytes]],
) -> None:  # fmt: skip
    """Add the descriptors of a sequence to those that prevail, by (tag, partition number)."""
    jumps, left = 0, length // block_bytes
    for _ in range(limits.DESCRIPTOR_BLOCKS):
        if left <= 0:
            break
        data = block_at(reader, block_bytes, block)
        tag = tags.tag_at(data)
        block, left = block + 1, left - 1
        if tag.identifier in (0, tags.TERMINATING):
            if any(data) and tag.identifier == 0:
                continue  # a damaged one: those after it may be whole
            break
        if tag.identifier == tags.POINTER and jumps < limits.DESCRIPTOR_JUMPS:
            length, block = _EXTENT.unpack_from(data, 20)
            jumps, left = jumps + 1, length // block_bytes
        elif tag.identifier in (tags.PRIMARY, tags.PARTITION, tags.LOGICAL):
            number = _PARTITION.unpack_from(data)[0] if tag.identifier == tags.PARTITION else 0
            rank = tags.is_intact(data, tag), _SEQUENCE_NUMBER.unpack_from(data, 16)[0]
            key = tag.identifier, number
            if key not in best or rank >= best[key][0]:
                best[key] = rank, data


def block_at(reader: Reader, block_bytes: int, block: int) -> bytes:
    """A block, zeros where the image has none."""
    try:
        data = reader.pread(block * block_bytes, block_bytes)
    except DamagedError:
        data = b""
    return data if len(data) == block_bytes else bytes(block_bytes)


def integrity_of(reader: Reader, volume: Descriptors) -> Integrity | None:
    """The last descriptor of the integrity sequence, None when there is none."""
    size = volume.block_bytes
    length, block = _EXTENT.unpack_from(volume.logical, _INTEGRITY_AT)
    last, left = None, length // size
    for _ in range(limits.DESCRIPTOR_BLOCKS):
        if left <= 0:
            break
        data = block_at(reader, size, block)
        if tags.tag_at(data).identifier != tags.INTEGRITY:
            break
        last = data
        length, following = _EXTENT.unpack_from(data, 32)
        block, left = (following, length // size) if length else (block + 1, left - 1)
    if last is None:
        return None
    time, kind, _, _, partitions, use = _INTEGRITY.unpack_from(last)
    free_at, use_at = 80, 80 + partitions * 8
    if use_at + _COUNTS.size > size or use < _COUNTS.size:
        return Integrity(time, kind == 1, 0, 0, 0)
    free = struct.unpack_from(f"<{partitions}I", last, free_at)
    files, directories = _COUNTS.unpack_from(last, use_at)
    return Integrity(time, kind == 1, sum(n for n in free if n != 0xFFFF_FFFF), files, directories)
