"""FLAC frames without a header, as CHD stores 16-bit stereo.

miniaudio decodes them behind a header that is made up: the marker, then STREAMINFO with the sizes that it asks for.

offset  size  field
0       4     "fLaC"
4       4     0x80 (the last block, STREAMINFO), u24 34
8       4     u16 smallest and largest block, in samples
12      6     0 (smallest and largest frame: not known)
18      8     rate << 44 | channels - 1 << 41 | bits - 1 << 36 | samples
26      16    0 (MD5: not known)

Where the frames end is found by the CRC-16 (polynomial 0x8005, initial 0) with which each of them ends.
Source: RFC 9639.
"""

import array
import functools
import struct
import sys
from collections.abc import Sequence

from imagefs.errors import DamagedError, UnsupportedError

SAMPLE_BYTES = 4
"""One sample of both channels."""

_HEADER = struct.Struct(">4s4sHH6xQ16x")
_RATE, _CHANNELS, _BITS = 44100, 2, 16
_LARGEST_BLOCK = 65535
_POLYNOMIAL = 0x8005


def decode(frames: bytes, samples: int, where: int) -> "array.array[int]":
    """`samples` samples of both channels, 16 bits each. Bytes behind the frames are let be.

    Raises DamagedError, UnsupportedError when miniaudio is not installed.
    """
    try:
        import miniaudio
    except ImportError:
        raise UnsupportedError("its blocks are packed with FLAC: pip install 'imagefs[audio]'") from None
    stream = _RATE << 44 | _CHANNELS - 1 << 41 | _BITS - 1 << 36 | samples
    header = _HEADER.pack(b"fLaC", b"\x80\0\0\x22", 16, _LARGEST_BLOCK, stream)
    try:
        sound = miniaudio.flac_read_s16(header + frames)
    except miniaudio.DecodeError as error:
        raise DamagedError(where, f"the FLAC data is broken ({error})") from error
    found: array.array[int] = sound.samples
    if len(found) != samples * _CHANNELS or sound.nchannels != _CHANNELS:
        raise DamagedError(where, f"the FLAC data has {len(found)} of {samples * _CHANNELS} samples")
    return found


def to_bytes(samples: "array.array[int]", byteorder: str) -> bytes:
    """The samples in "big" or "little" order. May change `samples`."""
    if byteorder != sys.byteorder:
        samples.byteswap()
    return samples.tobytes()


def ends(data: bytes) -> Sequence[int]:
    """Where the frames at the beginning of `data` may end, the likeliest first.

    The checksum, taken over any number of whole frames, is 0. It is also 0 at every 65536th place by chance: the caller
    tries what follows.
    """
    table, code = _crc_table(), 0
    found = []
    for at, byte in enumerate(data, 1):
        code = (code << 8 & 0xFF00) ^ table[code >> 8 ^ byte]
        if not code:
            found.append(at)
    return found[::-1]


@functools.cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        code = value << 8
        for _ in range(8):
            code = code << 1 & 0xFFFF ^ (_POLYNOMIAL if code & 0x8000 else 0)
        table.append(code)
    return tuple(table)
