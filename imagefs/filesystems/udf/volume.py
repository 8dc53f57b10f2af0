"""From a candidate to an open volume: descriptors, partitions, file set.

The file set descriptor (tag 256) is where the logical volume descriptor says (long_ad at 248); on write-once media newer
ones may follow it, up to a terminator, or be in its next extent (long_ad at 448). 40 LE32 number, 44 LE32 descriptor number,
16 recording time, 112 volume identifier, 304 identifier of the set (dstring of 32), 400 root directory (long_ad).
ECMA-167 4/14.1; UDF 2.60 2.3.2.
"""

import struct
from dataclasses import dataclass

from imagefs import limits
from imagefs.errors import DamagedError, NotFoundError
from imagefs.filesystems.udf import names, tags
from imagefs.filesystems.udf.builds import Build, builds
from imagefs.filesystems.udf.descriptors import Descriptors, Integrity, find_volume, integrity_of
from imagefs.filesystems.udf.partitions import open_partitions
from imagefs.filesystems.udf.space import Space
from imagefs.filesystems.udf.tags import LongAd
from imagefs.filesystems.udf.vat import VirtualTable
from imagefs.formats import Candidate
from imagefs.options import Options

_FILE_SET_NUMBERS = struct.Struct("<40xII")
_ROOT_AT, _NEXT_AT = 400, 448
_RUN_OUT_BLOCKS = 2
"""What is often missing at the end of a dump of a disc."""


@dataclass(frozen=True)
class Volume:
    """An open volume."""

    descriptors: Descriptors
    space: Space
    file_set: bytes
    integrity: Integrity | None
    virtual: VirtualTable | None
    warnings: tuple[str, ...]

    @property
    def root(self) -> LongAd:
        return tags.long_ad(self.file_set, _ROOT_AT)

    @property
    def label(self) -> str:
        return (self.virtual.label if self.virtual else "") or self.descriptors.label

    @property
    def uuid(self) -> str | None:
        """The beginning of the volume set identifier, which writers make unique, in the form that blkid gives it."""
        field = self.descriptors.primary[72:200] if self.descriptors.primary else b""
        raw = names.text_of(field[: field[-1]]).partition("\0")[0].encode() if field and field[-1] else b""
        if len(raw) < 8:
            return None
        head = raw[:16]
        hexadecimal = next((at for at, c in enumerate(head) if c not in b"0123456789abcdefABCDEF"), len(head))
        if hexadecimal < 8:
            return head[:8].hex()
        if hexadecimal < 16:
            return head[:8].decode().lower() + head[8:12].hex()
        return head.decode().lower()

    @property
    def free_blocks(self) -> int:
        return self.integrity.free_blocks if self.integrity and not self.virtual else 0

    @property
    def files(self) -> int:
        noted = self.virtual.files if self.virtual else None
        return noted if noted is not None else self.integrity.files if self.integrity else 0

    @property
    def directories(self) -> int:
        noted = self.virtual.directories if self.virtual else None
        return noted if noted is not None else self.integrity.directories if self.integrity else 0


def open_volume(candidate: Candidate, options: Options) -> Volume:
    """The volume of the candidate's session, in an image without a table of contents that of the session asked for.

    Raises DamagedError, NotFoundError (no such session).
    """
    if options.session is None:
        return volume_at(candidate)
    found = builds(candidate)
    if not 1 <= options.session <= len(found):
        raise NotFoundError(f"there is no session {options.session}; the volume has {len(found)}")
    return volume_at(candidate, found[options.session - 1])


def volume_at(candidate: Candidate, build: Build | None = None) -> Volume:
    """The volume as it is, or as it was. Raises DamagedError."""
    if build is not None:
        candidate = Candidate(candidate.reader, candidate.name, candidate.folder, build.origin)
    found = find_volume(candidate)
    space = Space(candidate.reader, found.block_bytes)
    virtual = open_partitions(space, found, build.vat if build else None)
    if found.is_virtual and not virtual and build is None:
        own = [each for each in builds(candidate) if each.origin == candidate.origin and each.vat is not None]
        if own:  # other sessions follow
            return volume_at(candidate, own[-1])
    file_set = _file_set(space, found.file_set)
    warnings = tuple(filter(None, (found.remark, "" if virtual else _missing(candidate, found))))
    return Volume(found, space, file_set, integrity_of(candidate.reader, found), virtual, warnings)


def _file_set(space: Space, where: LongAd) -> bytes:
    """The file set descriptor that was written last."""
    best: tuple[tuple[int, int], bytes] | None = None
    block, left = where.block, max(1, where.length // space.block_bytes)
    space.partition(where.reference).place(block)  # says what is wrong with the partition
    for _ in range(limits.DESCRIPTOR_JUMPS):
        if left <= 0:
            break
        data = next(
            (data for _, data in space.blocks(where.reference, block) if tags.tag_at(data).identifier == tags.FILE_SET),
            None,
        )
        if data is None:
            break
        numbers = _FILE_SET_NUMBERS.unpack_from(data)
        if best is None or numbers >= best[0]:
            best = numbers, data
        following = tags.long_ad(data, _NEXT_AT)
        if following.length:
            where, block, left = following, following.block, max(1, following.length // space.block_bytes)
        else:
            block, left = block + 1, left - 1
    if best is None:
        raise DamagedError(
            None, f"the file set descriptor at block {where.block} of partition {where.reference} is damaged"
        )
    return best[1]


def _missing(candidate: Candidate, volume: Descriptors) -> str:
    """A remark when the image ends before its partitions do."""
    end = max(part.start + part.length for part in volume.partitions.values()) * volume.block_bytes
    missing = end - candidate.reader.size
    if missing <= _RUN_OUT_BLOCKS * volume.block_bytes:
        return ""
    return f"the image ends {missing} bytes before the volume does; files there cannot be read"
