"""FLAC frames without a header, as CHD stores 16-bit stereo: they are decoded behind one that is made up.

Where the frames end is found by the CRC-16 (polynomial 0x8005, initial 0) with which each of them ends.
Source: RFC 9639.
"""

import array
import functools
import sys
from collections.abc import Sequence

from imagefs.disc.audio import decoder
from imagefs.disc.audio.decoder import SAMPLE_BYTES
from imagefs.disc.audio.flac import header

__all__ = ["SAMPLE_BYTES", "decode", "ends", "to_bytes"]

_LEAST_BLOCK, _LARGEST_BLOCK = 16, 65535
_POLYNOMIAL = 0x8005


def decode(frames: bytes, samples: int, where: int) -> "array.array[int]":
    """`samples` samples of both channels, 16 bits each. Bytes behind the frames are let be.

    Raises DamagedError, UnsupportedError when miniaudio is not installed.
    """
    return decoder.decode("flac", header(_LEAST_BLOCK, _LARGEST_BLOCK, samples) + frames, where, samples)


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
