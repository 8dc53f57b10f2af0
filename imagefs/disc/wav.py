"""Audio tracks as WAV files: a 44-byte header and the samples, of a size that is known before anything is read.

offset  size  field           value
0       4     chunk id        "RIFF"
4       4     chunk size      file size - 8 (0xFFFFFFFF when it does not fit)
8       8     form, chunk id  "WAVE", "fmt "
16      4     chunk size      16
20      2     format          1 (PCM)
22      2     channels        2
24      4     sample rate     44100
28      4     bytes a second  176400
32      2     block align     4
34      2     bits            16
36      4     chunk id        "data"
40      4     chunk size      bytes of samples
Source: Microsoft, Multimedia Programming Interface and Data Specifications 1.0 (1991), "Waveform Audio File Format".
"""

import array
import struct
from collections.abc import Iterator

from imagefs.readers import BytesReader, Extent, ExtentReader, Reader, Run, RunKind

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_RATE, _CHANNELS, _BITS = 44100, 2, 16
_FRAME_BYTES = _CHANNELS * _BITS // 8


def wav_header(samples_bytes: int) -> bytes:
    """The 44 bytes before `samples_bytes` bytes of 16-bit stereo at 44100 Hz."""
    data = min(samples_bytes, 0xFFFF_FFFF)
    whole = min(samples_bytes + _HEADER.size - 8, 0xFFFF_FFFF)
    rate = _RATE * _FRAME_BYTES
    fields = (b"RIFF", whole, b"WAVE", b"fmt ", 16, 1, _CHANNELS, _RATE, rate, _FRAME_BYTES, _BITS, b"data", data)
    return _HEADER.pack(*fields)


class SwappedReader(Reader):
    """16-bit samples with their two bytes exchanged. The size is even: sectors of audio are."""

    def __init__(self, base: Reader) -> None:
        self._base, self.size = base, base.size

    def pread(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        first, last = offset & ~1, min(self.size, (offset + length + 1) & ~1)
        samples = array.array("H", self._base.pread(first, last - first))
        samples.byteswap()
        return samples.tobytes()[offset - first : offset - first + length]

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        for run in self._base.runs(offset, length):
            yield run if run.kind in (RunKind.ZERO, RunKind.MISSING) else Run(RunKind.PACKED, run.length)


def wav_of(samples: Reader, big_endian: bool = False) -> Reader:
    """A WAV file of a track's samples (bytes as stored in the image)."""
    header = wav_header(samples.size)
    body = SwappedReader(samples) if big_endian else samples
    return ExtentReader(
        [Extent(0, len(header), BytesReader(header)), Extent(len(header), body.size, body)], len(header) + body.size
    )
