"""WAV files: audio tracks are shown as them, and CUE sheets name them.

Written: a 44-byte header and the samples, of a size that is known before anything is read.

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

Read: chunks of any number and order, each at an even offset; WAVE_FORMAT_EXTENSIBLE (0xFFFE) when its sub-format is PCM.
Programs that write to a pipe leave 0 or 0xFFFFFFFF as the size of `data`: it then ends with the file.
Source: Microsoft, Multimedia Programming Interface and Data Specifications 1.0 (1991), "Waveform Audio File Format", and
Multiple Channel Audio Data and WAVE Files (2001).
"""

import struct

from imagefs.disc.chunks import LITTLE_ENDIAN, chunks
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.readers import BytesReader, Extent, ExtentReader, Reader, slice_of

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FORMAT = struct.Struct("<HHIIHH")  # format, channels, rate, bytes a second, block align, bits
_SUB_FORMAT = struct.Struct("<H")  # the first two bytes of the sub-format's GUID
_SUB_FORMAT_OFFSET = 24
_PCM, _EXTENSIBLE = 1, 0xFFFE
_RATE, _CHANNELS, _BITS = 44100, 2, 16
_FRAME_BYTES = _CHANNELS * _BITS // 8
_STREAMED = (0, 0xFFFF_FFFF)


def wav_header(samples_bytes: int) -> bytes:
    """The 44 bytes before `samples_bytes` bytes of 16-bit stereo at 44100 Hz."""
    data = min(samples_bytes, 0xFFFF_FFFF)
    whole = min(samples_bytes + _HEADER.size - 8, 0xFFFF_FFFF)
    rate = _RATE * _FRAME_BYTES
    fields = (b"RIFF", whole, b"WAVE", b"fmt ", 16, _PCM, _CHANNELS, _RATE, rate, _FRAME_BYTES, _BITS, b"data", data)
    return _HEADER.pack(*fields)


def wav_of(samples: Reader) -> Reader:
    """A WAV file of a track's samples (little-endian)."""
    header = wav_header(samples.size)
    extents = [Extent(0, len(header), BytesReader(header)), Extent(len(header), samples.size, samples)]
    return ExtentReader(extents, len(header) + samples.size)


def is_wav(head: bytes) -> bool:
    """Whether a file that begins so is a WAV file."""
    return head[:4] == b"RIFF" and head[8:12] == b"WAVE"


def samples_in_wav(reader: Reader) -> Reader:
    """The samples of a WAV file: 16-bit stereo at 44100 Hz.

    Raises UnsupportedError for any other coding, DamagedError when there are no samples.
    """
    coding = b""
    for chunk in chunks(reader, 12, reader.size, LITTLE_ENDIAN, align=2):
        if chunk.name == b"fmt ":
            coding = reader.exactly(chunk.offset, min(chunk.size, 40))
        elif chunk.name == b"data":
            _check_coding(coding)
            size = reader.size - chunk.offset if chunk.declared in _STREAMED else chunk.size
            return slice_of(reader, chunk.offset, size - size % _FRAME_BYTES)
    raise DamagedError(reader.size, "a WAV file without a data chunk")


def _check_coding(coding: bytes) -> None:
    if len(coding) < _FORMAT.size:
        raise DamagedError(12, "a WAV file whose data come before a whole fmt chunk")
    kind, channels, rate, _, _, bits = _FORMAT.unpack_from(coding)
    if kind == _EXTENSIBLE and len(coding) >= _SUB_FORMAT_OFFSET + _SUB_FORMAT.size:
        (kind,) = _SUB_FORMAT.unpack_from(coding, _SUB_FORMAT_OFFSET)
    if (kind, channels, rate, bits) != (_PCM, _CHANNELS, _RATE, _BITS):
        raise UnsupportedError(
            f"WAV audio of format {kind}, {channels} channels, {rate} Hz, {bits} bits is not read; "
            "16-bit stereo at 44100 Hz is"
        )
