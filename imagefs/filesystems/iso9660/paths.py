"""The path table: every directory of a tree in one list, kept apart from the tree.

offset  size  field of a record                                    High Sierra
0       1     length of the name                                   5
1       1     length of the extended attribute record in blocks    4
2       4     extent                                               0
6       2     number of the parent directory, counted from 1       6
8       n     name, then a pad byte when n is odd

The first record is the root, with the name 00 and itself as its parent; parents come before their children. There is one
table in little-endian (L) and one in big-endian order (M), each perhaps twice. ECMA-119 9.4.

Several writers leave the table empty or wrong, it has 16-bit numbers, and it knows no files: so the tree is what counts.
Where a directory of the tree is damaged, its subdirectories are found again by the table, under their plain names and only
where there is a directory in that place. Files that were recorded in it stay lost, so it still cannot be listed without an
error. On a CD-i disc the table alone leads to the root.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.filesystems.iso9660.descriptors import Descriptor
from imagefs.lazy import cached_property
from imagefs.readers import Reader

_HEAD_BYTES = 8
_MOST_RECORDS = 0xFFFF
"""What 16-bit numbers can tell."""


class PathRecord(NamedTuple):
    """A directory: byte address, number of its parent, name as recorded."""

    address: int
    parent: int
    name: bytes


class PathTable:
    """The path table of a tree, read when it is needed."""

    def __init__(self, reader: Reader, descriptor: Descriptor) -> None:
        self._reader, self._descriptor = reader, descriptor

    @cached_property
    def records(self) -> list[PathRecord]:
        """The directories in the order of the first table that is sound, none when no table is."""
        size = self._descriptor.path_table_bytes
        for block, order in self._descriptor.path_tables:
            start = block * self._descriptor.block_bytes
            if not block or not 0 < size <= min(limits.PATH_TABLE_BYTES, self._reader.size - start):
                continue
            try:
                found = self._parsed(self._reader.exactly(start, size), order)
            except DamagedError:
                continue
            if found:
                return found
        return []

    def _parsed(self, data: bytes, order: str) -> list[PathRecord]:
        """The records of a table; none when it does not begin with the root or has a parent behind its child."""
        found: list[PathRecord] = []
        head = struct.Struct(order + ("IBBH" if self._descriptor.high_sierra else "BBIH"))
        at = 0
        while at + _HEAD_BYTES < len(data) and len(found) < _MOST_RECORDS:
            fields = head.unpack_from(data, at)
            extent, xar, length, parent = (
                fields if self._descriptor.high_sierra else (fields[2], fields[1], fields[0], fields[3])
            )
            name = data[at + _HEAD_BYTES : at + _HEAD_BYTES + length]
            if not length:
                break
            if len(name) != length or not 1 <= parent <= max(1, len(found)) or (not found and name != b"\0"):
                return []
            found.append(PathRecord((extent + xar) * self._descriptor.block_bytes, parent, name))
            at += _HEAD_BYTES + length + length % 2
        return found

    @property
    def root(self) -> int | None:
        """The byte address of the root directory."""
        return self.records[0].address if self.records else None

    def children(self, address: int) -> Iterator[PathRecord]:
        """The subdirectories of the directory at a byte address."""
        yield from self._children.get(address, ())

    @cached_property
    def _children(self) -> Mapping[int, Sequence[PathRecord]]:
        """The directories by the byte addresses of those that they are in: each damaged one is looked up."""
        found: dict[int, list[PathRecord]] = {}
        for record in self.records[1:]:
            found.setdefault(self.records[record.parent - 1].address, []).append(record)
        return found
