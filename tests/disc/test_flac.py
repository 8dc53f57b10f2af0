"""FLAC files of a known size, beside the decoders of flac and miniaudio."""

import math
import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import miniaudio
import pytest

from imagefs.disc.flac import BLOCK_SAMPLES, FlacReader, crc8, crc16
from imagefs.readers import BytesReader, Extent, ExtentReader, set_nowait
from tests.builders.sectors import tone
from tests.contract import check_reader

TAGS = [("TITLE", "Ünï / 音"), ("ARTIST", "A=B"), ("TRACKNUMBER", "2")]
BLOCK_BYTES = 4 * BLOCK_SAMPLES


def music(sectors: int) -> bytes:
    """Samples at both ends of what 16 bits can hold, and between."""
    chance = random.Random(sectors)
    wave = [int(32767 * math.sin(at / 9)) for at in range(588 * sectors)]
    noise = [chance.choice((-32768, 32767, 0, chance.randrange(-32768, 32768))) for _ in wave]
    return struct.pack(f"<{2 * len(wave)}h", *(sample for pair in zip(wave, noise, strict=True) for sample in pair))


def whole(reader: FlacReader) -> bytes:
    return reader.pread(0, reader.size)


@pytest.mark.foreign
@pytest.mark.parametrize("sectors", [1, 7, 8, 7 * 130])
def test_other_programs_get_the_same_samples(tmp_path: Path, need: Callable[..., None], sectors: int) -> None:
    """Less than a frame, a frame, more than one, and numbers of frames that take two bytes."""
    need("flac")
    samples = music(sectors)
    file = tmp_path / "track.flac"
    file.write_bytes(whole(FlacReader(BytesReader(samples), TAGS)))
    subprocess.run(["flac", "-t", "-s", file], capture_output=True, check=True)
    words = ["flac", "-d", "-c", "-s", "--force-raw-format", "--endian=little", "--sign=signed", file]
    assert subprocess.run(words, capture_output=True, check=True).stdout == samples
    assert miniaudio.flac_read_file_s16(str(file)).samples.tobytes() == samples


@pytest.mark.foreign
def test_tags_and_sizes(tmp_path: Path, need: Callable[..., None]) -> None:
    need("metaflac")
    file = tmp_path / "track.flac"
    file.write_bytes(whole(FlacReader(BytesReader(tone(10)), TAGS)))
    words = ["--show-total-samples", "--show-sample-rate", "--show-channels", "--show-bps", "--show-max-blocksize"]
    shown = [
        subprocess.run(["metaflac", word, file], capture_output=True, check=True, text=True).stdout for word in words
    ]
    assert [int(text) for text in shown] == [5880, 44100, 2, 16, BLOCK_SAMPLES]
    tags = subprocess.run(
        ["metaflac", "--export-tags-to=-", "--no-utf8-convert", file], capture_output=True, check=True
    )
    assert tags.stdout.decode().splitlines() == [f"{name}={text}" for name, text in TAGS]


@pytest.mark.parametrize("sectors", [1, 14, 7 * 130 + 3])
def test_every_part_of_it_is_the_same_however_it_is_read(sectors: int) -> None:
    reader = FlacReader(BytesReader(tone(sectors)), TAGS)
    content = whole(reader)
    assert len(content) == reader.size
    check_reader(reader, content, block=BLOCK_BYTES + 13)


def test_who_must_not_wait_makes_no_frames() -> None:
    reader = FlacReader(BytesReader(tone(14)), TAGS)
    begin = whole(reader).index(b"\xff\xf8\x79\x18")
    before = set_nowait(True)
    try:
        assert len(reader.pread(0, begin)) == begin
        with pytest.raises(BlockingIOError):
            reader.pread(begin, 1)
    finally:
        set_nowait(before)


def test_silence_of_no_length() -> None:
    reader = FlacReader(BytesReader(b""))
    assert whole(reader)[:4] == b"fLaC" and len(whole(reader)) == reader.size


def test_what_the_image_lacks_spoils_the_frames_that_need_it() -> None:
    samples = tone(21)
    there = ExtentReader([Extent(0, BLOCK_BYTES, BytesReader(samples))], len(samples))
    content = whole(FlacReader(BytesReader(samples)))
    first = content.index(b"\xff\xf8\x79\x18\x01")  # the second frame
    check_reader(FlacReader(there), content, block=BLOCK_BYTES, missing=[(first, len(content))])


def test_tags_that_no_block_has_room_for_are_left_out() -> None:
    large = FlacReader(BytesReader(tone(1)), [("TITLE", "x" * (1 << 24))])
    assert whole(large) == whole(FlacReader(BytesReader(tone(1))))


def test_checksums() -> None:
    """Of "123456789": CRC-8/SMBUS and CRC-16/UMTS of the catalogue of parametrised CRC algorithms."""
    assert (crc8(b"123456789"), crc16(b"123456789")) == (0xF4, 0xFEE8)


@pytest.mark.parametrize("length", [0, 1, 2, 8, 9, 63, 64, 1000, 16_487])
def test_the_folded_checksum_is_the_plain_one(length: int) -> None:
    data = random.Random(length).randbytes(length)
    code = 0
    for byte in data:
        code ^= byte << 8
        for _ in range(8):
            code = (code << 1 ^ 0x8005 if code & 0x8000 else code << 1) & 0xFFFF
    assert crc16(data) == code
