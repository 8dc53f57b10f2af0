"""The nodes of plain files, many at a time.

This loop runs for every file of a volume, so it calls nothing and makes no objects but its results: it takes the file
entries that nearly all files have (strategy 4, content in the entry or in one extent of a partition whose blocks lie one
after the other) out of a buffer that holds many of them, and leaves all others to `FileEntry`, which takes its time.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from zlib import adler32

from imagefs import limits
from imagefs.filesystems.udf import tags
from imagefs.filesystems.udf.dates import Times
from imagefs.filesystems.udf.directories import Identifier
from imagefs.filesystems.udf.entries import (
    EMBEDDED,
    FILE,
    HEADER_BYTES,
    LONG,
    NOT_SET,
    SHORT,
    STRATEGY_DIRECT,
    file_mode,
)
from imagefs.nodes import NOBODY, Node

_PLAIN = struct.Struct("<H2xB15xH5xB6xHIIIH6xQQ12s12s12s60xII")
_EXTENDED = struct.Struct("<H2xB15xH5xB6xHIIIH6xQ8xQ12s12s12x12s80xII")
_FIRST_BYTE = tags.FILE_ENTRY & 0xFF
_SHORT = struct.Struct("<II")
_LONG = struct.Struct("<IIH")
_RECORDED_END = 1 << 30
"""Lengths from here on are those of extents that are not recorded."""


class Modes(dict[int, int]):
    """The modes of regular files by permissions and flags, `permissions << 16 | flags`: most files share a few."""

    def __missing__(self, key: int) -> int:
        if len(self) >= limits.CACHED_TIMES:
            self.clear()
        mode = self[key] = file_mode(key >> 16, key & 0xFFFF)
        return mode


class PlainFiles(NamedTuple):
    """What the loop needs of a volume: its size and that of a block in bytes, caches, and the byte offset of block 0 of
    those partitions, by reference, whose blocks lie one after the other."""

    volume_bytes: int
    block_bytes: int
    linear: dict[int, int]
    times: Times
    modes: Modes

    def read(
        self, window: bytes, first: int, offsets: Sequence[int], named: Mapping[int, Identifier]
    ) -> tuple[dict[int, Node], list[int]]:
        """(nodes of the plain files by the offset of their entry, the offsets of those that are something else).

        `window` are the bytes of the volume from offset `first` on; in it lie, with their whole blocks, the file entries at
        `offsets`, to which `named` leads.
        """
        end, size, linear, times, modes = self
        found: dict[int, Node] = {}
        others: list[int] = []
        new, plain, extended, short, long = tuple.__new__, _PLAIN.unpack_from, _EXTENDED.unpack_from, _SHORT, _LONG
        for offset in offsets:
            at = offset - first
            (
                identifier, checksum, strategy, kind, flags, uid, gid, permissions, links, length, blocks,
                accessed, modified, changed, ea_bytes, ad_bytes,
            ) = (plain if window[at] == _FIRST_BYTE else extended)(window, at)  # fmt: skip
            header = HEADER_BYTES.get(identifier, size)
            body = header + ea_bytes
            _, _, block, reference = named[offset]
            # The low bytes of Adler-32 are one more than the sum of all bytes, in half the time that sum() takes.
            if (
                body + ad_bytes > size or (adler32(window[at : at + 16]) - 1 - 2 * checksum) & 0xFF
                or strategy != STRATEGY_DIRECT or kind != FILE
            ):  # fmt: skip
                others.append(offset)
                continue
            form, start = flags & 7, 0
            if form == EMBEDDED:
                start, blocks = offset + body if length else 0, 0
                if ad_bytes < length:
                    others.append(offset)
                    continue
            elif length:
                if form == SHORT and ad_bytes >= 8:
                    extent, where = short.unpack_from(window, at + body)
                    base = linear.get(reference)
                elif form == LONG and ad_bytes >= 16:
                    extent, where, other = long.unpack_from(window, at + body)
                    base = linear.get(other)
                else:
                    base = None
                if base is None or not length <= extent < _RECORDED_END:
                    others.append(offset)
                    continue
                start = base + where * size
            found[offset] = new(Node, (
                (reference << 32 | block) + 1 << 2, modes[permissions << 16 | flags], length,
                times[modified], times[accessed], times[changed],
                NOBODY if uid == NOT_SET else uid, NOBODY if gid == NOT_SET else gid, links or 1, 0, blocks * size >> 9,
                start if start + length <= end else -1, None,
            ))  # fmt: skip
        return found, others
