"""MP3 (MPEG-1 layer III): frames of 1152 samples, whose bits may lie in up to 511 bytes of the frames before.

frame       11 bits of ones, 2 bits 3 (MPEG-1), 2 bits 1 (layer III), 1 bit: no CRC behind the header
            4 bits bit rate (table), 2 bits rate (0: 44100 Hz), 1 bit: one byte longer, 1 bit; 2 bits mode (3: mono), 6 bits
side info   17 bytes for mono, else 32; its first 9 bits: how many bytes before this frame's own its bits begin
bytes       144 * bit rate / 44100, rounded down, and the one more

The first frame may hold no sound but a note, behind its side info:
0   4  "Xing" or "Info"
4   4  flags: 1 frames, 2 bytes, 4 a table of 100 bytes, 8 quality; what they name follows, 4 bytes each but the table
    9  the encoder's name ("LAME3.100"), 12 bytes more, then 12 bits delay, 12 bits of filling at the end

So the number of samples is known without reading on: 1152 a frame, without the delay, the decoder's own 529 samples, and
what of the filling is beyond these 529. mpg123 and ffmpeg count the same. Without a note the headers of all frames are read
through when the file is opened; with one, when first a sample is wanted. Where frames lie is kept, 8 bytes for each.

A piece is decoded from 12 frames before it on: after those the decoder is where it would be had it begun at the start, bit
by bit. Frames at the start of a file that was cut out of a longer one lack bits and are silent, as in mpg123: that silence
is nowhere in the file. Behind something else in the middle (a tag) frames go on where four stand in a row.
Sources: ISO 11172-3 §2.4; the LAME tag's specification (rev 1).
"""

import re
import struct
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.disc.audio.decoder import BLOCK_BYTES, RATE, SAMPLE_BYTES, decode, little_endian, need
from imagefs.disc.audio.id3 import behind_id3
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.lazy import cached_property
from imagefs.packed import PackedReader
from imagefs.readers import Reader

_FRAME_SAMPLES = 1152
_DECODER_DELAY = 529
_BIT_RATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_SIZES = {
    index << 4 | pad << 1 | private: 144_000 * rate // RATE + pad
    for index, rate in enumerate(_BIT_RATES)
    if rate
    for pad in (0, 1)
    for private in (0, 1)
}
"""Third byte of a header -> bytes of the frame."""
_LONGEST = max(_SIZES.values())
_HEADER_BYTES, _CRC_BYTES = 4, 2
_NO_CRC, _WITH_CRC = 0xFB, 0xFA
_MONO = 3
_SYNC = re.compile(rb"\xff[\xfa\xfb][" + re.escape(bytes(_SIZES)) + rb"]", re.DOTALL)
_ALL_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""MPEG-1, MPEG-2 and what is called MPEG-2.5, by the two bits."""
_LOW_BIT_RATES = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_IN_A_ROW = 4
"""Frames that follow each other where a file is taken for one of MP3."""
_WARM = 12
_RESERVOIR_BYTES = 511
_WINDOW_BYTES = 256 << 10
_ROW_BYTES = _IN_A_ROW * _LONGEST + _HEADER_BYTES
_STRANGE_BYTES, _STRANGE_SYNCS = 32 << 20, 1 << 14
"""What is passed over between two frames (pictures in a tag), and what of it in the whole file looks like a frame: chance
makes one in 140 KiB."""

_FLAGS = struct.Struct(">4sI")
_FRAMES, _NOTE_FIELDS = 1, ((1, 4), (2, 4), (4, 100), (8, 4))
_ENCODERS = (b"LAME", b"Lavf", b"Lavc", b"GOGO")
_GAPS_AT = 21
_NOTE_AT = 36


class _Note(NamedTuple):
    """What the first frame says: `frames` behind it, 0 when it does not; samples to leave out at both ends."""

    frames: int
    skip: int = 0
    filling: int = 0


def is_mp3(source: Reader) -> bool:
    """Whether frames of layer III follow each other from the beginning on, or one stands behind a tag."""
    at = behind_id3(source)
    for _ in range(1 if at else _IN_A_ROW):
        size = _any_size(source.pread(at, _HEADER_BYTES))
        if not size:
            return False
        at += size
        if at >= source.size:
            break
    return True


def _any_size(header: bytes) -> int:
    """The bytes of a frame of layer III at any rate, 0 when none begins so."""
    if len(header) < _HEADER_BYTES or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    rates, bit_rate, rate = _ALL_RATES.get(header[1] >> 3 & 3), header[2] >> 4, header[2] >> 2 & 3
    if rates is None or rate == 3 or bit_rate == 15:
        return 0
    if header[1] >> 3 & 3 == 3:
        return 144_000 * _BIT_RATES[bit_rate] // rates[rate] + (header[2] >> 1 & 1)
    return 72_000 * _LOW_BIT_RATES[bit_rate] // rates[rate] + (header[2] >> 1 & 1)


def samples_in_mp3(source: Reader) -> Reader:
    """The samples. Raises UnsupportedError for another coding than stereo at 44100 Hz, DamagedError."""
    need("mp3")
    begin = behind_id3(source)
    head = source.pread(begin, _HEADER_BYTES + _CRC_BYTES + 200)
    size = _size(head)
    if not size:
        raise UnsupportedError(
            "MP3 audio is not read at any other rate than 44100 Hz, nor in frames without a bit rate"
        )
    if head[3] >> 6 == _MONO:
        raise UnsupportedError("MP3 audio of 1 channel is not read; stereo at 44100 Hz is")
    note = _note(head)
    return _Mp3Reader(source, begin + (size if note else 0), note or _Note(0))


def _size(header: bytes) -> int:
    """The bytes of the frame that begins so, 0 when none does."""
    if len(header) < _HEADER_BYTES or header[0] != 0xFF or header[1] not in (_NO_CRC, _WITH_CRC):
        return 0
    return _SIZES.get(header[2], 0)


def _side_info(frame: bytes, at: int) -> tuple[int, int]:
    """(where the side information of the frame at byte `at` begins, its length)."""
    return at + _HEADER_BYTES + (0 if frame[at + 1] & 1 else _CRC_BYTES), 17 if frame[at + 3] >> 6 == _MONO else 32


def _note(frame: bytes) -> _Note | None:
    """The note in a first frame, None when it is sound. LAME leaves no room for the CRC in front of it, others do."""
    for at in (_NOTE_AT, _NOTE_AT + _CRC_BYTES):
        if frame[at : at + 4] in (b"Xing", b"Info") and len(frame) >= at + _FLAGS.size:
            break
    else:
        return None
    _, flags = _FLAGS.unpack_from(frame, at)
    frames = int.from_bytes(frame[at + 8 : at + 12], "big") if flags & _FRAMES else 0
    at += _FLAGS.size + sum(size for flag, size in _NOTE_FIELDS if flags & flag)
    gaps = frame[at + _GAPS_AT : at + _GAPS_AT + 3]
    if frame[at : at + 4] not in _ENCODERS or len(gaps) < 3:
        return _Note(frames)
    delay, filling = gaps[0] << 4 | gaps[1] >> 4, (gaps[1] & 15) << 8 | gaps[2]
    return _Note(frames, delay + _DECODER_DELAY, max(0, filling - _DECODER_DELAY))


class _Mp3Reader(PackedReader):
    """Any block is decoded from the frames that hold it and some before."""

    def __init__(self, source: Reader, begin: int, note: _Note) -> None:
        self._source, self._begin, self._skip = source, begin, note.skip
        frames = note.frames
        if not 0 < frames <= source.size // min(_SIZES.values()):
            frames = len(self._places) - 1
        samples = frames * _FRAME_SAMPLES - note.skip - note.filling
        if samples <= 0:
            raise DamagedError(begin, "an MP3 file without sound")
        super().__init__(samples * SAMPLE_BYTES, BLOCK_BYTES)

    @cached_property
    def _places(self) -> "array[int]":
        """The byte offsets of all frames, and of the end of the last one. Raises DamagedError where too much is none."""
        source, places, end = self._source, array("Q"), self._begin
        start, window, inside = self._begin, b"", 0
        syncs, is_lost = _STRANGE_SYNCS, False
        while len(places) <= limits.AUDIO_FRAMES:
            is_last = start + len(window) >= source.size
            if inside + _ROW_BYTES > len(window) and not is_last:
                start, inside = start + inside, 0
                window = source.pread(start, _WINDOW_BYTES)
                is_last = start + len(window) >= source.size
            if is_lost:
                found, syncs = _next_row(window, inside, syncs)
                if found is None and is_last:
                    break
                is_lost, inside = found is None, len(window) - _ROW_BYTES + 1 if found is None else found
                if start + inside - end > _STRANGE_BYTES or syncs <= 0:
                    raise DamagedError(end, "an MP3 file with something else between its frames, and too much of it")
                continue
            size = _size(window[inside : inside + _HEADER_BYTES])
            if not size or inside + size > len(window):
                is_lost, inside = True, inside + 1
                continue
            places.append(start + inside)
            inside += size
            end = start + inside
        else:
            raise DamagedError(end, f"an MP3 file of more than {limits.AUDIO_FRAMES} frames")
        places.append(end)
        return places

    def unpack(self, first: int, count: int) -> bytes:
        begin = self._skip + first * BLOCK_BYTES // SAMPLE_BYTES
        end = begin + min(count * BLOCK_BYTES, self.size - first * BLOCK_BYTES) // SAMPLE_BYTES
        places = self._places
        start = max(0, begin // _FRAME_SAMPLES - _WARM)
        stop = -(-end // _FRAME_SAMPLES)
        if stop > len(places) - 1:
            raise DamagedError(places[-1], f"frame {stop} is not there; the file has {len(places) - 1}")
        frames = self._frames(places[start : stop + 1])
        silent = _silent(frames)
        expected = (stop - start - silent) * _FRAME_SAMPLES
        samples = decode("mp3", b"".join(frames), places[start], expected) if expected else array("h")
        sound = (start + silent) * _FRAME_SAMPLES
        silence = max(0, min(end, sound) - begin)
        at = max(begin, sound) - sound
        return bytes(silence * SAMPLE_BYTES) + little_endian(samples, at, end - begin - silence)

    def _frames(self, places: "array[int]") -> list[bytes]:
        """The frames at all of the byte offsets but the last, where they end at the latest."""
        begin, end = places[0], places[-1]
        if end - begin <= len(places) * _LONGEST:
            stored = self._source.exactly(begin, end - begin)
            found = [stored[at - begin : at - begin + _LONGEST] for at in places[:-1]]
        else:  # there is a lot between them
            found = [self._source.pread(at, _LONGEST) for at in places[:-1]]
        self.count_in(sum(map(len, found)))
        return [frame[: _size(frame)] for frame in found]


def _next_row(window: bytes, begin: int, syncs: int) -> tuple[int | None, int]:
    """Where in a window some frames follow each other, None for nowhere; how many of `syncs` are left to be looked at."""
    for match in _SYNC.finditer(window, begin):
        at = match.start()
        for _ in range(_IN_A_ROW):
            size = _size(window[at : at + _HEADER_BYTES])
            at += size
            if not size:
                break
        else:
            return match.start(), syncs
        syncs -= 1
        if syncs <= 0:
            break
    return None, syncs


def _silent(frames: Sequence[bytes]) -> int:
    """How many of the frames lack bits that lie before the first; the decoder gives nothing for them."""
    kept = 0
    for number, frame in enumerate(frames):
        at, length = _side_info(frame, 0) if frame else (0, 0)
        if kept >= int.from_bytes(frame[at : at + 2], "big") >> 7:
            return number
        kept = min(_RESERVOIR_BYTES, kept + len(frame) - at - length)
    return len(frames)
