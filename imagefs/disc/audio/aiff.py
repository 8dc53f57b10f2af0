"""AIFF and AIFC: the samples as they are, most significant byte first. All integers are big-endian.

offset  size  field              COMM chunk                          SSND chunk
0       4     "FORM"             0   2  channels                     0  4  offset of the samples in what follows
4       4     file size - 8      2   4  samples (of all channels)    4  4  block size, 0
8       4     "AIFF", "AIFC"     6   2  bits                         8     the samples
12            chunks             8   10 rate, 80-bit floating point
                                 18  4  AIFC: compression: "NONE" or "twos" big-endian, "sowt" little-endian

Chunks have any order, each begins at an even offset. 80-bit numbers: 1 bit sign, 15 exponent (bias 16383), 64 mantissa with
its leading one. Source: Apple, Audio Interchange File Format 1.3 (1989) and AIFF-C (draft, 1991).
"""

import struct

from imagefs.disc.chunks import BIG_ENDIAN, chunks
from imagefs.disc.samples import Samples
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.readers import Reader, slice_of

_COMMON = struct.Struct(">HIHHQ")  # channels, samples, bits, sign and exponent, mantissa
_COMPRESSION = slice(18, 22)
_SOUND = struct.Struct(">II")
_BIG_ENDIAN = {b"": True, b"NONE": True, b"twos": True, b"sowt": False}
_RATE, _CHANNELS, _BITS = 44100, 2, 16
_FRAME_BYTES = _CHANNELS * _BITS // 8
_BIAS, _MANTISSA_BITS = 16383, 63


def is_aiff(head: bytes) -> bool:
    """Whether a file that begins so is an AIFF or AIFC file."""
    return head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC")


def samples_in_aiff(reader: Reader) -> Samples:
    """The samples. Raises UnsupportedError for another coding than 16-bit stereo at 44100 Hz, DamagedError for none."""
    common, sound = b"", None
    for chunk in chunks(reader, 12, reader.size, BIG_ENDIAN, align=2):
        if chunk.name == b"COMM":
            common = reader.exactly(chunk.offset, min(chunk.size, _COMPRESSION.stop))
        elif chunk.name == b"SSND":
            sound = chunk
    if len(common) < _COMMON.size:
        raise DamagedError(12, "an AIFF file without a whole COMM chunk")
    if sound is None or sound.size < _SOUND.size:
        raise DamagedError(12, "an AIFF file without a whole SSND chunk")
    count, is_big_endian = _coding(common)
    offset, _ = _SOUND.unpack(reader.exactly(sound.offset, _SOUND.size))
    begin = sound.offset + _SOUND.size + offset
    there = max(0, sound.offset + sound.size - begin) // _FRAME_BYTES
    if not there:
        raise DamagedError(sound.offset, "an AIFF file without samples")
    return Samples(slice_of(reader, begin, min(count, there) * _FRAME_BYTES), is_big_endian)


def _coding(common: bytes) -> tuple[int, bool]:
    """(samples, whether they are big-endian)."""
    channels, count, bits, exponent, mantissa = _COMMON.unpack_from(common)
    rate = mantissa >> max(0, _MANTISSA_BITS - (exponent - _BIAS)) if exponent >= _BIAS else 0
    compression = common[_COMPRESSION]
    if (channels, rate, bits) != (_CHANNELS, _RATE, _BITS) or compression not in _BIG_ENDIAN:
        coding = f" ({compression.decode('ascii', 'replace')})" if compression not in _BIG_ENDIAN else ""
        raise UnsupportedError(
            f"AIFF audio{coding} of {channels} channels, {rate} Hz, {bits} bits is not read; 16-bit stereo at 44100 Hz is"
        )
    return count, _BIG_ENDIAN[compression]
