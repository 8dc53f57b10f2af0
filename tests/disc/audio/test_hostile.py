"""Audio files that are made to keep a reader busy, or to fill its memory: an error instead, soon."""

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefs import limits
from imagefs.disc.audio import mp3, samples_of
from imagefs.disc.audio.flac import header
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.readers import BytesReader, Reader
from tests.builders.audio import crc, music, run, write_wav

MP3_FRAME = b"\xff\xfb\x10\x00".ljust(104, b"\0")
"""Silence, 32000 bits a second: the shortest that there is."""
SAMPLES = mp3._FRAME_SAMPLES
JPEG_LIKE = bytes(range(1, 250)) * 2000


def reader_of(content: bytes) -> Reader:
    found = samples_of(BytesReader(content))
    assert found is not None
    return found.reader


@pytest.fixture(autouse=True)
def soon() -> Iterator[None]:
    """A tenth of what these took before there were limits."""
    begin = time.process_time()
    yield
    assert time.process_time() - begin < 5


# --- FLAC -----------------------------------------------------------------------------------------------------------------


def flac_frame(sample: int) -> bytes:
    """The header of a frame of 4096 samples, in a stream whose blocks have different sizes."""
    head = b"\xff\xf9\xc9\x18" + chr(sample).encode("utf-8", "surrogatepass")
    return head + bytes((crc(head, 8, 7),))


def test_flac_of_nothing_but_the_beginnings_of_frames() -> None:
    reader = reader_of(header(4096, 4096, 1 << 30) + flac_frame(0) + b"\xff\xf9\xc9\x18" * (2 << 20))
    with pytest.raises(DamagedError):
        reader.pread(1 << 20, 4096)


def test_flac_whose_next_frame_says_that_it_is_far_away() -> None:
    """As if one frame had a million samples, so that what lies between may be as long as that needs."""
    content = header(4096, 4096, 1 << 30) + flac_frame(0) + bytes(900_000) + flac_frame(1 << 20)
    with pytest.raises(DamagedError, match="no frames of samples 0 to 4096"):
        reader_of(content).pread(0, 100)


# --- MP3 ------------------------------------------------------------------------------------------------------------------


def test_mp3_of_nothing_but_the_beginnings_of_frames() -> None:
    with pytest.raises(DamagedError, match="something else between"):
        reader_of(MP3_FRAME * 4 + b"\xff\xfb\x10" * (1 << 20))


def test_mp3_that_is_interrupted_everywhere() -> None:
    """No window is read anew for each row of frames."""
    reader = reader_of((MP3_FRAME * 4 + b"?") * 20_000)
    assert reader.size == 80_000 * SAMPLES * 4


@pytest.mark.parametrize("strange", [JPEG_LIKE, JPEG_LIKE[:1], JPEG_LIKE[:4181], JPEG_LIKE[:262_144]])
def test_mp3_goes_on_behind_something_else_of_any_length(strange: bytes) -> None:
    """More than a window of 256 KiB, and what ends at its border."""
    frames = MP3_FRAME * 2600
    reader = reader_of(frames + strange + frames + strange)
    assert reader.size == 5200 * SAMPLES * 4
    assert reader.pread(reader.size - 4, 4) == bytes(4)


def test_what_is_between_frames_of_mp3_is_not_read_with_them() -> None:
    most = 0

    class Watched(BytesReader):
        def pread(self, offset: int, length: int) -> bytes:
            nonlocal most
            most = max(most, length)
            return super().pread(offset, length)

    frames = MP3_FRAME * 40
    found = samples_of(Watched((frames + bytes(1 << 20)) * 8 + frames))
    assert found is not None
    most = 0
    assert found.reader.pread(0, found.reader.size) == bytes(360 * SAMPLES * 4)
    assert most < 1 << 19


def test_mp3_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mp3, "_STRANGE_BYTES", 1 << 20)
    with pytest.raises(DamagedError, match="too much of it"):
        reader_of(MP3_FRAME * 4 + bytes(2 << 20) + MP3_FRAME * 4)


def test_mp3_of_more_frames_than_there_can_be_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUDIO_FRAMES", 100)
    assert reader_of(MP3_FRAME * 100).size == 100 * SAMPLES * 4
    with pytest.raises(DamagedError, match="more than 100 frames"):
        reader_of(MP3_FRAME * 101)


# --- Ogg Vorbis -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ogg(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    wav = write_wav(tmp_path_factory.mktemp("music") / "music.wav", music(1))
    return run("oggenc", "-Q", "-s", "1", "-o", "-", wav)


def page(position: int, packets: list[bytes], flags: int = 0) -> bytes:
    raw = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, position, 1, 9, 0, len(packets))
    raw += bytes(map(len, packets)) + b"".join(packets)
    return raw[:22] + crc(raw, 32, 0x04C11DB7).to_bytes(4, "little") + raw[26:]


def headers(ogg: bytes) -> bytes:
    """The pages before the sound: the first two."""
    return ogg[: ogg.index(b"OggS", ogg.index(b"\x05vorbis"))]


@pytest.mark.foreign
def test_ogg_of_packets_that_are_all_sound(ogg: bytes) -> None:
    """Two bytes give up to 4096 samples, which is silence: 100 KiB would be decoded to 400 MiB at once."""
    packets = [b"\xfe\xff"] * 255
    middle = page(-1, packets) * 100
    reader = reader_of(headers(ogg) + page(0, packets) + middle + page(50_000, packets, 4))
    with pytest.raises(DamagedError, match="far more samples"):
        reader.pread(0, 100)


@pytest.mark.foreign
def test_ogg_of_magics(ogg: bytes) -> None:
    """Each says that a long page begins, of which the checksum has to be computed."""
    magic = page(0, [bytes(255)] * 255)[:27]
    with pytest.raises(DamagedError):
        reader_of(headers(ogg) + page(0, [b"\xfe\xff"]) + (magic + b"\xff" * 3) * 40_000 + bytes(70_000)).pread(0, 100)


@pytest.mark.foreign
def test_ogg_of_two_streams_is_not_shown_as_the_first_alone(tmp_path: Path, ogg: bytes) -> None:
    other = run("oggenc", "-Q", "-s", "2", "-o", "-", write_wav(tmp_path / "other.wav", music(0.5)))
    with pytest.raises(UnsupportedError, match="several streams"):
        reader_of(ogg + other)
