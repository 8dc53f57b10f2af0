"""Chunks: an identifier, a length, that many bytes, the next chunk. NRG, RIFF, IFF and their kin.

One iterator walks them all. It only moves forward, never leaves the range it was given, and ends after a fixed number of
chunks: a length from the file can neither send it backwards nor past the end nor round in a circle.
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.readers import Reader

BIG_ENDIAN = Struct(">4sI")
"""NRG, IFF, AIFF: identifier, u32 length."""
LITTLE_ENDIAN = Struct("<4sI")
"""RIFF."""


class Chunk(NamedTuple):
    """`size` bytes of content at `offset`: what is there of the `declared` bytes."""

    name: bytes
    offset: int
    size: int
    declared: int

    @property
    def is_whole(self) -> bool:
        return self.size == self.declared


def chunks(reader: Reader, start: int, end: int, header: Struct, align: int = 1) -> Iterator[Chunk]:
    """The chunks between the bytes `start` and `end` of `reader`; each begins at a multiple of `align` after the last.

    A chunk that would pass `end` is given as far as it goes and is the last. Fewer bytes at the end than a header has are
    ignored. Raises DamagedError when there are more than `limits.CHUNKS`.
    """
    end = min(end, reader.size)
    for _ in range(limits.CHUNKS):
        if start < 0 or start + header.size > end:
            return
        name, declared = header.unpack(reader.exactly(start, header.size))
        offset = start + header.size
        yield Chunk(name, offset, min(declared, end - offset), declared)
        start = offset + declared + -declared % align
    raise DamagedError(start, f"more than {limits.CHUNKS} chunks")
