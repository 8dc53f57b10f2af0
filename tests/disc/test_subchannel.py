"""The Q channel: positions, recording codes, the catalogue number; interleaved and linear."""

import errno

import pytest

from imagefs.disc.subchannel import QChannel, q_of
from imagefs.errors import DamagedError
from imagefs.readers import BytesReader
from tests.builders.subchannel import catalog, interleaved, isrc, linear, position

KNOWN = bytes.fromhex("41 01 01 00 00 00 00 00 02 00 28 32")
"""LBA 0 of any disc that begins with a data track, its checksum as drives give it."""


def channel(frames: list[bytes], *, is_interleaved: bool = True) -> QChannel:
    pack = interleaved if is_interleaved else linear
    return QChannel(BytesReader(b"".join(map(pack, frames))), interleaved=is_interleaved)


def test_a_frame_that_is_known() -> None:
    assert position(0, 1, 1) == KNOWN
    assert q_of(interleaved(KNOWN, p=1)) == q_of(linear(KNOWN, p=1), interleaved=False) == KNOWN[:10]


@pytest.mark.parametrize("at", range(12))
def test_a_damaged_frame_is_none(at: int) -> None:
    broken = KNOWN[:at] + bytes((KNOWN[at] ^ 1,)) + KNOWN[at + 1 :]
    assert q_of(interleaved(broken)) is None


@pytest.mark.parametrize("raw", [b"", bytes(95), bytes(96), b"\xff" * 96])
def test_what_is_no_subchannel_is_none(raw: bytes) -> None:
    assert q_of(raw) is None


@pytest.mark.parametrize("is_interleaved", [True, False])
@pytest.mark.parametrize("length", [0, 1, 2, 75, 149, 150, 223])
def test_the_length_of_a_pregap(length: int, is_interleaved: bool) -> None:
    frames = [position(lba, 1, 1) for lba in range(300 - length)]
    frames += [position(lba, 2, 0) for lba in range(300 - length, 300)] + [position(300, 2, 1)]
    assert channel(frames, is_interleaved=is_interleaved).pregap(2, 50, 300) == length


def test_a_pregap_with_other_and_damaged_frames_in_it() -> None:
    frames = [position(lba, 10, 1) for lba in range(100)] + [position(lba, 11, 0) for lba in range(100, 250)]
    for lba in range(0, 249, 5):
        frames[lba] = bytes(12) if lba % 2 else isrc(lba, "ABCDE1234567")
    assert channel(frames).pregap(11, 0, 250) in (150, 151)


def test_a_pregap_belongs_to_its_own_track() -> None:
    frames = [position(lba, 2, 0) for lba in range(300)]
    assert channel(frames).pregap(3, 0, 300) == 0


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), DamagedError(0, "the image ends there")])
def test_what_cannot_be_read_says_nothing(error: Exception) -> None:
    class Spoilt(BytesReader):
        def pread(self, offset: int, length: int) -> bytes:
            if offset < 200 * 96:
                raise error
            return super().pread(offset, length)

    frames = [position(lba, 2, 0) for lba in range(300)]
    spoilt = QChannel(Spoilt(b"".join(map(interleaved, frames))))
    assert spoilt.pregap(2, 0, 300) == 100
    assert (spoilt.isrc(0, 100), spoilt.catalog(0, 100)) == ("", "")


def test_the_pregap_in_zeros_and_in_nothing() -> None:
    assert QChannel(BytesReader(bytes(96 * 300))).pregap(2, 0, 300) == 0
    assert QChannel(BytesReader(b"")).pregap(2, 0, 300) == 0


@pytest.mark.parametrize("code", ["ABCDE1234567", "DEF059200123", "ZZ0009999999", "USZ990000000"])
@pytest.mark.parametrize("is_interleaved", [True, False])
def test_a_recording_code(code: str, is_interleaved: bool) -> None:
    frames = [position(lba, 1, 1) for lba in range(200)]
    frames[60] = isrc(60, code)
    found = channel(frames, is_interleaved=is_interleaved)
    assert found.isrc(0, 200) == code
    assert (found.isrc(61, 139), found.isrc(0, 60), found.isrc(500, 10), found.isrc(0, -5)) == ("", "", "", "")


def test_a_code_of_zeros_is_none() -> None:
    assert channel([isrc(0, "000000000000"), catalog(1, "0" * 13)]).isrc(0, 2) == ""
    assert channel([isrc(0, "000000000000"), catalog(1, "0" * 13)]).catalog(0, 2) == ""


def test_the_catalogue_number() -> None:
    frames = [position(lba, 1, 1) for lba in range(100)]
    frames[99] = catalog(99, "1234567890123")
    assert channel(frames).catalog(0, 500) == "1234567890123"
