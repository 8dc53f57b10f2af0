"""Sector layouts recognised by looking."""

import pytest

from imagefs.disc import TrackKind
from imagefs.disc.layouts import (
    RAW_BYTES,
    Peek,
    by_sync,
    by_volume,
    by_volume_after_pregap,
    header_lba,
    is_scrambled,
    layout_of,
)
from tests.builders.sectors import SYNC, header, mode1, pattern, stored, tone, volume

RAW_MODES = [f"MODE{mode}/{size}" for mode in (1, 2) for size in (2352, 2368, 2448, 2646)]
BARE_MODES = [
    "MODE1/2048",
    "MODE1/2052",
    "MODE1/2340",
    "MODE2/2056",
    "MODE2/2060",
    "MODE2/2332",
    "MODE2/2336",
    "MODE2/2340",
]


def peek_at(data: bytes) -> Peek:
    return lambda offset, length: data[offset : offset + length]


@pytest.mark.parametrize("mode", RAW_MODES)
def test_raw_sectors_by_their_sync(mode: str) -> None:
    data = stored(volume(24), mode)
    layout = by_sync(peek_at(data))
    assert layout is not None
    assert layout.mode == mode.lower()
    first = 20 * layout.sector_bytes + layout.user_offset
    assert data[first : first + 2048] == volume(24)[20 * 2048 : 21 * 2048]


@pytest.mark.parametrize("mode", BARE_MODES)
def test_sectors_without_a_sync_by_their_volume(mode: str) -> None:
    data = stored(volume(24), mode)
    assert by_sync(peek_at(data)) is None
    layout = by_volume(peek_at(data))
    assert layout is not None
    assert layout.mode == mode.lower()
    assert data[16 * layout.sector_bytes + layout.user_offset :].startswith(b"\x01CD001")


@pytest.mark.parametrize("mode", BARE_MODES)
def test_the_same_behind_150_sectors_of_pregap(mode: str) -> None:
    data = stored(bytes(150 * 2048) + volume(24), mode, first_lba=-150)
    assert by_volume(peek_at(data)) is None
    layout = by_volume_after_pregap(peek_at(data))
    assert layout is not None
    assert layout.mode == mode.lower()


@pytest.mark.parametrize(
    ("identifier", "at"), [(b"BEA01", 1), (b"CD-I ", 1), (b"CDROM", 9)], ids=["udf", "cd-i", "high sierra"]
)
def test_other_volumes(identifier: bytes, at: int) -> None:
    data = bytearray(volume(24))
    for sector, name in ((16, identifier), (17, {b"BEA01": b"NSR02"}.get(identifier, identifier))):
        data[sector * 2048 : sector * 2048 + 20] = bytes(at) + name + bytes(15 - at)
    layout = by_volume(peek_at(stored(bytes(data), "MODE2/2336")))
    assert layout is not None
    assert layout.mode == "mode2/2336"


def test_two_damaged_sectors_do_not_hide_the_others() -> None:
    data = bytearray(stored(volume(24), "MODE1/2352"))
    data[1 * 2352 : 3 * 2352] = bytes(2 * 2352)
    layout = by_sync(peek_at(bytes(data)))
    assert layout is not None
    assert layout.sector_bytes == 2352


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SYNC,
        SYNC + bytes(100_000),
        tone(20),
        pattern(20),
        b"text " * 30_000,
        bytes(200_000),
        volume(24)[:-8000][:33_000],
    ],
    ids=["nothing", "one sync", "one sync in zeros", "audio", "data", "text", "zeros", "half a volume"],
)
def test_other_bytes_are_no_sectors(data: bytes) -> None:
    assert by_sync(peek_at(data)) is None
    assert by_volume(peek_at(data)) is None
    assert by_volume_after_pregap(peek_at(data)) is None


@pytest.mark.parametrize("lba", [-150, -1, 0, 16, 404_849])
def test_the_address_in_a_header(lba: int) -> None:
    assert header_lba(SYNC + header(lba, 1)) == lba


@pytest.mark.parametrize("msf", ["00027f", "006000", "0a0000", "000075", "a00000"])
def test_addresses_that_are_no_bcd(msf: str) -> None:
    assert header_lba(SYNC + bytes.fromhex(msf) + b"\x01") is None


def test_addresses_from_90_minutes_on_lie_in_the_lead_in() -> None:
    assert header_lba(SYNC + bytes.fromhex("99595901")) == (99 * 60 + 59) * 75 + 59 - 450_150


def test_scrambled_sectors_are_told_from_plain_ones() -> None:
    plain = mode1(1000, pattern(1))[:16]
    scrambled = SYNC + bytes(byte ^ key for byte, key in zip(plain[12:], b"\x01\x80\x00\x60", strict=True))
    assert is_scrambled(scrambled)
    assert not is_scrambled(plain)
    assert not is_scrambled(SYNC + b"\xff" * 4)


def test_every_raw_size_has_its_user_data_behind_the_headers() -> None:
    offsets = {TrackKind.AUDIO: 0, TrackKind.MODE1: 16, TrackKind.MODE2: 24}
    for kind, offset in offsets.items():
        for size in RAW_BYTES:
            layout = layout_of(kind, size)
            assert layout is not None
            assert layout.user_offset == offset


@pytest.mark.parametrize(
    ("kind", "size"), [(TrackKind.AUDIO, 2048), (TrackKind.MODE1, 2336), (TrackKind.MODE2, 2353), (TrackKind.MODE1, 0)]
)
def test_layouts_that_do_not_exist(kind: TrackKind, size: int) -> None:
    assert layout_of(kind, size) is None
