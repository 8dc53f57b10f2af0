"""Audio tracks as WAV files, and WAV files as audio tracks, beside Python's wave module."""

import io
import struct
import wave

import pytest

from imagefs.disc.samples import SwappedReader
from imagefs.disc.wav import samples_in_wav, wav_header, wav_of
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.readers import BytesReader
from tests.builders.sectors import tone
from tests.contract import check_reader

SAMPLES = tone(3)


def written(channels: int = 2, width: int = 2, rate: int = 44100) -> bytes:
    """A WAV file of SAMPLES as the wave module writes it."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(SAMPLES)
    return file.getvalue()


def test_a_track_is_the_file_that_the_wave_module_writes() -> None:
    check_reader(wav_of(BytesReader(SAMPLES)), written())


def test_a_track_is_read_by_the_wave_module() -> None:
    whole = wav_of(BytesReader(SAMPLES))
    with wave.open(io.BytesIO(whole.pread(0, whole.size))) as read:
        assert (read.getnchannels(), read.getsampwidth(), read.getframerate()) == (2, 2, 44100)
        assert read.readframes(10**6) == SAMPLES


def test_sizes_above_4_gib_are_marked_as_unknown() -> None:
    header = wav_header(5 << 30)
    assert struct.unpack_from("<I", header, 4) == struct.unpack_from("<I", header, 40) == (0xFFFF_FFFF,)


def test_samples_of_a_wav_file() -> None:
    check_reader(samples_in_wav(BytesReader(written())), SAMPLES)


def test_other_chunks_before_and_after_the_samples_are_passed_over() -> None:
    plain = written()
    more = (
        plain[:36] + struct.pack("<4sI", b"LIST", 3) + b"abc\0" + plain[36:] + struct.pack("<4sI", b"id3 ", 4) + b"tags"
    )
    assert samples_in_wav(BytesReader(more)).pread(0, 10**6) == SAMPLES


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF])
def test_streamed_files_end_with_the_file(size: int) -> None:
    plain = written()
    streamed = plain[:40] + struct.pack("<I", size) + plain[44:]
    assert samples_in_wav(BytesReader(streamed)).pread(0, 10**6) == SAMPLES


def test_extensible_pcm_is_pcm() -> None:
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 2, 44100, 176400, 4, 16, 22, 16, 3) + struct.pack("<H14x", 1)
    body = (
        b"WAVE" + struct.pack("<4sI", b"fmt ", len(form)) + form + struct.pack("<4sI", b"data", len(SAMPLES)) + SAMPLES
    )
    file = struct.pack("<4sI", b"RIFF", len(body)) + body
    assert samples_in_wav(BytesReader(file)).pread(0, 10**6) == SAMPLES


@pytest.mark.parametrize("form", [{"channels": 1}, {"width": 1}, {"rate": 48000}])
def test_other_codings_are_named(form: dict[str, int]) -> None:
    with pytest.raises(UnsupportedError, match="WAV audio of format 1"):
        samples_in_wav(BytesReader(written(**form)))


@pytest.mark.parametrize("cut", [12, 20, 36])
def test_a_file_that_ends_before_its_samples_is_damaged(cut: int) -> None:
    with pytest.raises(DamagedError):
        samples_in_wav(BytesReader(written()[:cut]))


def test_big_endian_samples_are_swapped() -> None:
    swapped = bytes(byte for pair in zip(SAMPLES[1::2], SAMPLES[::2], strict=True) for byte in pair)
    check_reader(SwappedReader(BytesReader(SAMPLES)), swapped, block=2352)
    check_reader(SwappedReader(BytesReader(SAMPLES + b"x")), swapped, block=2352)
