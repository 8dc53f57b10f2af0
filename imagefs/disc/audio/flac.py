"""FLAC: frames that each decode alone and tell which sample they begin with. All integers are big-endian.

file       "fLaC" (behind an ID3v2 tag in some files), metadata blocks, frames
block      u8 type, its bit 7 set in the last one; u24 length; content
type 0     STREAMINFO, the first: u16 smallest and largest block in samples, u24 smallest and largest frame in bytes,
           20 bits rate, 3 channels - 1, 5 bits - 1, 36 samples (0: not known), 16 bytes MD5
frame      14 bits 0x3FFE, a 0, 1 bit: blocks have different sizes
           4 bits block size: 1 192; 2 to 5 576 << n - 2; 6 and 7 one less in 8 or 16 bits behind the number; 256 << n - 8
           4 bits rate: 0 as STREAMINFO says, 9 44100 Hz; 12, 13, 14 behind the block size, in 8, 16, 16 bits
           4 bits channels: 1 both, 8 to 10 stereo with differences; 3 bits a sample's: 0 STREAMINFO, 4 16; a 0
           the number, as UTF-8 has it, in 1 to 7 bytes: of the first sample, or of the block where all are of one size
           CRC-8 of all before (polynomial 7), the samples, CRC-16 of the frame

The number of samples is that of STREAMINFO, or that of the last frame where a writer to a pipe left 0. miniaudio checks the
CRC-16 and leaves a broken frame out: as many samples as the frames' places make must come out.
Source: RFC 9639 §8, §9.
"""

import itertools
import re
import struct
from typing import NamedTuple

from imagefs.disc.audio.decoder import BLOCK_BYTES, CHANNELS, RATE, SAMPLE_BYTES, decode, little_endian, need
from imagefs.disc.audio.id3 import behind_id3
from imagefs.disc.audio.seeking import last_at, scan
from imagefs.disc.flac import crc8
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.packed import PackedReader
from imagefs.readers import Reader

MAGIC = b"fLaC"
_STREAMINFO = struct.Struct(">HH6xQ16x")
_STREAMINFO_BYTES = _STREAMINFO.size
_LAST, _MAX_BLOCKS = 0x80, 1024
_LARGEST_BLOCK = 1 << 16
"""in samples"""
_MOST_SYNCS = 256
"""What is looked at in 32 KiB: chance makes one that is no frame."""
_LEAST_HEADER, _HEADER_BYTES = 6, 16
"""of a frame"""
_BITS = 16
_EVERY = 1 << 62
"""A sample behind the end of any file."""
_SYNC = re.compile(rb"\xff[\xf8\xf9][^\x00-\x0f\xf0-\xff][\x10-\x1f\x80-\xaf]", re.DOTALL)
_RATES = (0, 9, 12, 13, 14)
_SIZE_BYTES = {6: 1, 7: 2}
_RATE_BYTES = {12: 1, 13: 2, 14: 2}


class _Frame(NamedTuple):
    """A frame at byte `offset`, whose first sample is `sample`."""

    offset: int
    sample: int
    samples: int


class _Stream(NamedTuple):
    """What the header says. `samples` is 0 when it does not know."""

    least_block: int
    largest_block: int
    samples: int
    frames_at: int


def header(least_block: int, largest_block: int, samples: int) -> bytes:
    """A header for frames that are to be decoded alone."""
    rest = RATE << 44 | CHANNELS - 1 << 41 | _BITS - 1 << 36 | samples
    return MAGIC + b"\x80\0\0\x22" + _STREAMINFO.pack(least_block, largest_block, rest)


def is_flac(source: Reader) -> bool:
    """Whether it begins as a FLAC file, or does behind an ID3v2 tag."""
    return source.pread(behind_id3(source), len(MAGIC)) == MAGIC


def samples_in_flac(source: Reader) -> Reader:
    """The samples. Raises UnsupportedError for another coding than 16-bit stereo at 44100 Hz, DamagedError."""
    need("flac")
    return _FlacReader(source, _stream(source))


def _stream(source: Reader) -> _Stream:
    at = behind_id3(source) + len(MAGIC)
    least = largest = rest = 0
    for number in range(_MAX_BLOCKS):
        kind, *length = source.exactly(at, 4)
        if not number:
            if kind & ~_LAST:
                raise DamagedError(at, "a FLAC file that does not begin with STREAMINFO")
            least, largest, rest = _STREAMINFO.unpack(source.exactly(at + 4, _STREAMINFO_BYTES))
        at += 4 + int.from_bytes(bytes(length), "big")
        if kind & _LAST:
            break
    else:
        raise DamagedError(at, f"a FLAC file of more than {_MAX_BLOCKS} metadata blocks")
    rate, channels, bits = rest >> 44, (rest >> 41 & 7) + 1, (rest >> 36 & 31) + 1
    if (rate, channels, bits) != (RATE, CHANNELS, _BITS):
        raise UnsupportedError(
            f"FLAC audio of {channels} channels, {rate} Hz, {bits} bits is not read; 16-bit stereo at 44100 Hz is"
        )
    return _Stream(least, largest, rest & (1 << 36) - 1, at)


class _FlacReader(PackedReader):
    """Any block is decoded from the frames that hold it."""

    def __init__(self, source: Reader, stream: _Stream) -> None:
        self._source, self._stream = source, stream
        first = self._find(stream.frames_at, source.size)
        if first is None:
            raise DamagedError(stream.frames_at, "a FLAC file without a frame")
        self._first = first._replace(sample=0) if first.offset == stream.frames_at else first
        samples = stream.samples
        if not samples:
            last = last_at(self._first, source.size, _EVERY, self._find)
            samples = last.sample + last.samples
        super().__init__(samples * SAMPLE_BYTES, BLOCK_BYTES)

    def _find(self, begin: int, end: int) -> _Frame | None:
        """The first frame between two byte offsets."""
        return scan(self._source, begin, end, _HEADER_BYTES, self._look)

    def _look(self, window: bytes, start: int) -> _Frame | None:
        for match in itertools.islice(_SYNC.finditer(window), _MOST_SYNCS):
            frame = self._frame(window[match.start() : match.start() + _HEADER_BYTES], start + match.start())
            if frame is not None:
                return frame
        return None

    def _frame(self, raw: bytes, offset: int) -> _Frame | None:
        """The frame whose header begins `raw`, None when it is none of this stream."""
        if len(raw) < _LEAST_HEADER:
            return None
        has_sizes, size_code, rate_code = raw[1] & 1, raw[2] >> 4, raw[2] & 15
        if rate_code not in _RATES or raw[3] & 15 not in (0, 8):
            return None
        number, at = _number(raw, 4)
        more = _SIZE_BYTES.get(size_code, 0)
        end = at + more + _RATE_BYTES.get(rate_code, 0)
        if number is None or end >= len(raw) or crc8(raw[: end + 1]):
            return None
        if more:
            count = int.from_bytes(raw[at : at + more], "big") + 1
        else:
            count = 192 if size_code == 1 else 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
        if count > max(self._stream.largest_block, 1):
            return None
        sample = number if has_sizes else number * self._stream.least_block
        return None if self._stream.samples and sample >= self._stream.samples else _Frame(offset, sample, count)

    def unpack(self, first: int, count: int) -> bytes:
        begin = first * BLOCK_BYTES // SAMPLE_BYTES
        end = min(begin + count * BLOCK_BYTES // SAMPLE_BYTES, self.size // SAMPLE_BYTES)
        source = self._source
        frame = last_at(self._first, source.size, begin, self._find)
        last = last_at(frame, source.size, end - 1, self._find)
        following = self._find(last.offset + 1, source.size)
        stop, samples = (following.offset, following.sample) if following else (source.size, last.sample + last.samples)
        wanted = samples - frame.sample
        if (
            not frame.sample <= begin < end <= samples
            or wanted > end - begin + 2 * _LARGEST_BLOCK
            or stop - frame.offset > _longest(wanted)
        ):
            raise DamagedError(frame.offset, f"no frames of samples {begin} to {end} lie there")
        frames = source.exactly(frame.offset, stop - frame.offset)
        self.count_in(len(frames))
        stream = header(self._stream.least_block, self._stream.largest_block, wanted) + frames
        return little_endian(decode("flac", stream, frame.offset, wanted), begin - frame.sample, end - begin)


def _longest(samples: int) -> int:
    """More bytes than frames of so many samples take: writers keep a block plain when it does not shrink."""
    return samples * SAMPLE_BYTES * 2 + (64 << 10)


def _number(raw: bytes, at: int) -> tuple[int | None, int]:
    """(the number that is coded there, the byte behind it); None for no such number."""
    lead = raw[at]
    if lead < 0x80:
        return lead, at + 1
    more = 7 - (lead ^ 0xFF).bit_length()  # one less than the ones it begins with
    if not 1 <= more <= 6 or at + more >= len(raw):
        return None, at
    value = lead & (0x3F >> more)
    for byte in raw[at + 1 : at + 1 + more]:
        if byte >> 6 != 2:
            return None, at
        value = value << 6 | byte & 0x3F
    return value, at + 1 + more
