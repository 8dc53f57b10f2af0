"""Audio samples as readers: 16-bit stereo at 44100 Hz, 588 samples of 4 bytes in a sector of 2352."""

import array
from collections.abc import Iterator
from typing import NamedTuple

from imagefs.readers import Reader, Run, RunKind


class Samples(NamedTuple):
    """What an audio file holds."""

    reader: Reader
    is_big_endian: bool = False


class SwappedReader(Reader):
    """16-bit samples with their two bytes exchanged. An odd last byte, which is no sample, is left out."""

    def __init__(self, base: Reader) -> None:
        self._base, self.size = base, base.size & ~1

    def pread(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        first, last = offset & ~1, (offset + length + 1) & ~1
        samples = array.array("H", self._base.exactly(first, last - first))
        samples.byteswap()
        return samples.tobytes()[offset - first : offset - first + length]

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        for run in self._base.runs(offset, min(length, self.size - offset)):
            yield run if run.kind in (RunKind.ZERO, RunKind.MISSING) else Run(RunKind.PACKED, run.length)
