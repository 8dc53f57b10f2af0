"""miniaudio, the decoder of compressed audio: whole streams in memory to 16-bit samples."""

import array
import importlib.util
import sys
from typing import Literal

from imagefs.errors import DamagedError, UnsupportedError

CHANNELS = 2
SAMPLE_BYTES = 4
"""One sample of both channels."""
RATE = 44100
BLOCK_BYTES = 4096 * SAMPLE_BYTES
"""What readers of compressed audio decode and cache as one: a FLAC frame of the usual size."""

Codec = Literal["flac", "mp3", "vorbis"]
_FUNCTIONS: dict[Codec, str] = {"flac": "flac_read_s16", "mp3": "mp3_read_s16", "vorbis": "vorbis_read"}


def need(codec: Codec) -> None:
    """Raises UnsupportedError when there is nothing to decode with; looks without importing it."""
    if importlib.util.find_spec("miniaudio") is None:
        raise UnsupportedError(f"{codec.upper()} audio needs miniaudio: pip install 'imagefs[audio]'")


def decode(codec: Codec, stream: bytes, where: int, samples: int | None = None) -> "array.array[int]":
    """The samples of a whole stream, both channels in turn, `samples` of them where that is given.

    Raises DamagedError (for byte `where`) when there are none or not as many, UnsupportedError without miniaudio.
    """
    need(codec)
    import miniaudio

    try:
        sound = getattr(miniaudio, _FUNCTIONS[codec])(stream)
    except miniaudio.DecodeError as error:
        raise DamagedError(where, f"the {codec.upper()} data is broken ({error})") from error
    found: array.array[int] = sound.samples
    if sound.nchannels != CHANNELS or len(found) % CHANNELS:
        raise DamagedError(where, f"the {codec.upper()} data turns from {CHANNELS} to {sound.nchannels} channels")
    if samples is not None and len(found) != samples * CHANNELS:
        raise DamagedError(where, f"the {codec.upper()} data has {len(found) // CHANNELS} of {samples} samples")
    return found


def little_endian(samples: "array.array[int]", first: int, count: int) -> bytes:
    """`count` samples of both channels from sample `first` on, as bytes."""
    piece = samples[first * CHANNELS : (first + count) * CHANNELS]
    if sys.byteorder == "big":
        piece.byteswap()
    return piece.tobytes()
