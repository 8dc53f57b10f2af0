"""FLAC files of audio tracks, of a size that is known before anything is read.

How well samples pack is known only when they have been packed, and a size that `ls` shows has to be right: so nothing is
packed. Every frame holds its samples as they are (verbatim subframes), which makes the size a matter of arithmetic, and a
read in the middle of a track makes the frames that it touches, and no others. What is gained over WAV are tags and a
checksum for each frame; `flac -8` packs such a file as it packs a WAV, and keeps the tags.

file        "fLaC", metadata blocks, frames
block       u8 type (bit 7: the last), u24 length
type 0      STREAMINFO: u16, u16 smallest and largest block of samples; u24, u24 smallest and largest frame (0: not told);
            rate << 44 | channels - 1 << 41 | bits - 1 << 36 | samples in 8 bytes; 16 bytes MD5 of the samples (0: not told,
            since they would all have to be read for it)
type 4      VORBIS_COMMENT: lengths in u32 little-endian: vendor, count of tags, "NAME=text" ...
frame       FF F8 (sync, blocks of one size), 79 (size of the block at the end of the header, 44100 Hz), 18 (two channels,
            16 bits), number of the frame coded like UTF-8, u16 samples - 1, CRC-8 of the header; for each channel 02
            (verbatim) and its samples; CRC-16 of the frame
All is big-endian but the comments. CRC-8: polynomial 0x07; CRC-16: polynomial 0x8005; both begin with 0. A block is seven
sectors of a CD: the most that is within the limit of 4608 samples for players of streams.
Source: RFC 9639.
"""

import errno
import functools
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from imagefs.readers import Reader, Run, RunKind, is_nowait

BLOCK_SAMPLES = 7 * 588
"""of one channel; the last block may have fewer"""
_SAMPLE_BYTES = 4
"""One sample of both channels."""
_RATE, _CHANNELS, _BITS = 44100, 2, 16
_STREAM_INFO = struct.Struct(">HH6xQ16x")
_LENGTH = struct.Struct("<I")
_BLOCK_SIZE = struct.Struct(">H")
_INFO_BLOCK, _COMMENT_BLOCK, _LAST_BLOCK = 0, 4, 0x80
_MOST_BLOCK_BYTES = (1 << 24) - 1
_FRAME_HEAD = b"\xff\xf8\x79\x18"
_VERBATIM = b"\x02"
_FRAME_OVERHEAD = len(_FRAME_HEAD) + _BLOCK_SIZE.size + 1 + _CHANNELS * len(_VERBATIM) + 2
"""of a frame besides its samples and its number"""
_VENDOR = b"imagefs"


class FlacReader(Reader):
    """A FLAC file of little-endian stereo samples, with tags (name, text).

    Frames take 2 ms for 128 KiB and are not kept: in nowait mode they are never made.
    """

    def __init__(self, samples: Reader, tags: Sequence[tuple[str, str]] = ()) -> None:
        self._samples, self._count = samples, samples.size // _SAMPLE_BYTES
        self._head = _metadata(self._count, tags)
        self._frames = -(-self._count // BLOCK_SAMPLES)
        self.size = self._start(self._frames) if self._frames else len(self._head)

    def _start(self, frame: int) -> int:
        """The byte offset at which a frame begins; of the one behind the last, where the file ends."""
        samples = min(frame * BLOCK_SAMPLES, self._count)
        return len(self._head) + frame * _FRAME_OVERHEAD + _numbers_bytes(frame) + samples * _SAMPLE_BYTES

    def pread(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        parts, end = [], offset + length
        if offset < len(self._head):
            parts.append(self._head[offset:end])
        if end > len(self._head):
            parts.append(self._read_frames(max(offset, len(self._head)), end))
        return b"".join(parts)

    def _frame_at(self, offset: int) -> int:
        return bisect_right(range(self._frames), offset, key=self._start) - 1

    def _read_frames(self, offset: int, end: int) -> bytes:
        if is_nowait():
            raise BlockingIOError(errno.EAGAIN, "frames have to be made")
        first, last = self._frame_at(offset), self._frame_at(end - 1)
        block = BLOCK_SAMPLES * _SAMPLE_BYTES
        begin = first * block
        samples = self._samples.exactly(begin, min((last + 1) * block, self._count * _SAMPLE_BYTES) - begin)
        frames = b"".join(
            encode_frame(first + index, samples[at : at + block])
            for index, at in enumerate(range(0, len(samples), block))
        )
        start = self._start(first)
        return frames[offset - start : end - start]

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        length = min(length, self.size - offset)
        while length > 0:
            kind, stop = RunKind.PACKED, len(self._head)
            if offset >= stop:
                frame = self._frame_at(offset)
                kind, stop = self._kind_of(frame), self._start(frame + 1)
            taken = min(length, stop - offset)
            yield Run(kind, taken)
            offset, length = offset + taken, length - taken

    def _kind_of(self, frame: int) -> RunKind:
        block = BLOCK_SAMPLES * _SAMPLE_BYTES
        runs = self._samples.runs(frame * block, block)
        return RunKind.MISSING if any(run.kind is RunKind.MISSING for run in runs) else RunKind.PACKED


def _metadata(samples: int, tags: Sequence[tuple[str, str]]) -> bytes:
    """Everything before the first frame. Tags that no block has room for are left out."""
    stream = _RATE << 44 | _CHANNELS - 1 << 41 | _BITS - 1 << 36 | samples
    info = _STREAM_INFO.pack(BLOCK_SAMPLES, BLOCK_SAMPLES, stream)
    lines = [f"{name}={text}".encode("utf-8", "replace") for name, text in tags]
    comment = b"".join(_LENGTH.pack(len(part)) + part for part in lines)
    comment = _LENGTH.pack(len(_VENDOR)) + _VENDOR + _LENGTH.pack(len(lines)) + comment
    if len(comment) > _MOST_BLOCK_BYTES:
        return _metadata(samples, ())
    return b"fLaC" + _block(_INFO_BLOCK, info) + _block(_COMMENT_BLOCK | _LAST_BLOCK, comment)


def _block(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + len(content).to_bytes(3, "big") + content


# --- frames ---------------------------------------------------------------------------------------------------------------


def encode_frame(number: int, samples: bytes) -> bytes:
    """A frame of little-endian stereo samples."""
    count = len(samples) // _SAMPLE_BYTES
    header = _FRAME_HEAD + _coded(number) + _BLOCK_SIZE.pack(count - 1)
    left, right = bytearray(2 * count), bytearray(2 * count)
    left[0::2], left[1::2] = samples[1::4], samples[0::4]
    right[0::2], right[1::2] = samples[3::4], samples[2::4]
    frame = b"".join((header, bytes([crc8(header)]), _VERBATIM, left, _VERBATIM, right))
    return frame + crc16(frame).to_bytes(2, "big")


_CODED_LIMITS = (1 << 7, 1 << 11, 1 << 16, 1 << 21, 1 << 26, 1 << 31)
"""Numbers below the n-th of these take n bytes."""


def _coded(number: int) -> bytes:
    """A number as UTF-8 codes one, with up to six bytes."""
    length = next(size for size, limit in enumerate(_CODED_LIMITS, 1) if number < limit)
    if length == 1:
        return bytes([number])
    lead = (0xFF00 >> length & 0xFF) | number >> 6 * (length - 1)
    return bytes([lead, *(0x80 | number >> 6 * place & 0x3F for place in range(length - 2, -1, -1))])


def _numbers_bytes(count: int) -> int:
    """What the first `count` numbers take, coded."""
    return count + sum(max(0, count - limit) for limit in _CODED_LIMITS)


def _crc8_of(byte: int) -> int:
    for _ in range(8):
        byte = (byte << 1 ^ 0x107) if byte & 0x80 else byte << 1
    return byte


_CRC8 = bytes(map(_crc8_of, range(256)))


def crc8(data: bytes) -> int:
    """Of a frame's header: polynomial x^8 + x^2 + x + 1, begins with 0."""
    code = 0
    for byte in data:
        code = _CRC8[code ^ byte]
    return code


_POLYNOMIAL = 0x1_8005
_FOLDED_BITS = 64


def crc16(data: bytes) -> int:
    """Of a frame: polynomial x^16 + x^15 + x^2 + 1, begins with 0.

    A loop over bytes would cost more than all else. The data are one number, a polynomial over GF(2), of which the upper
    half is multiplied with what x^half leaves, by shifts, and added to the lower half, until little is left.
    """
    value, bits = int.from_bytes(data, "big"), 8 * len(data)
    while bits > _FOLDED_BITS:
        half = bits + 1 >> 1
        mask, shifts = _folding(half)
        upper, value = value >> half, value & mask
        for shift in shifts:
            value ^= upper << shift
        bits = max(half, bits - half + 16)
    return _remainder(value << 16)


@functools.lru_cache(256)
def _folding(half: int) -> tuple[int, tuple[int, ...]]:
    """(mask of the lower bits, the exponents of x in what x^half leaves)."""
    left = _remainder(1 << half)
    return (1 << half) - 1, tuple(bit for bit in range(16) if left >> bit & 1)


def _remainder(value: int) -> int:
    """A polynomial modulo that of the CRC-16."""
    for bit in range(value.bit_length() - 1, 15, -1):
        if value >> bit & 1:
            value ^= _POLYNOMIAL << bit - 16
    return value
