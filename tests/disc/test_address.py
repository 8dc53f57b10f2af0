"""Where a track begins, told by its volume."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.disc.address import first_lba, stored_pregap
from imagefs.readers import BytesReader, SliceReader
from tests.builders.sectors import pattern, volume


@pytest.mark.parametrize("lba", [0, 11702, 45000, 300_000])
def test_a_volume_tells_its_first_sector(lba: int) -> None:
    assert first_lba(BytesReader(volume(40, lba)), []) == lba


def test_a_stored_pregap_is_seen() -> None:
    reader = BytesReader(bytes(150 * 2048) + volume(40))
    assert (first_lba(reader, []), stored_pregap(reader)) == (-150, 150)
    assert (stored_pregap(BytesReader(volume(40))), stored_pregap(BytesReader(bytes(400 * 2048)))) == (0, 0)


def test_a_right_guess_is_taken_and_a_wrong_one_is_not() -> None:
    reader = BytesReader(volume(40, 5000))
    assert first_lba(reader, [5000]) == 5000
    assert first_lba(reader, [5001, 4999, 0, 10**9, -5]) == 5000


@pytest.mark.parametrize(
    "data",
    [b"", bytes(100_000), pattern(40), volume()[: 17 * 2048], volume()[: 20 * 2048], volume()[: 20 * 2048 + 10]],
    ids=["nothing", "zeros", "no volume", "no root", "no root yet", "half a root"],
)
def test_what_does_not_tell_tells_nothing(data: bytes) -> None:
    assert first_lba(BytesReader(data), [0]) is None


def test_a_root_behind_the_end_of_a_cut_image_is_no_error() -> None:
    assert first_lba(SliceReader(BytesReader(volume()[: 18 * 2048]), 0, 40 * 2048), [0]) is None


@pytest.mark.foreign
def test_the_second_session_that_genisoimage_makes(tmp_path: Path, need: Callable[..., None]) -> None:
    need("genisoimage")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_text(name)
    first, second = tmp_path / "first.iso", tmp_path / "second.iso"
    subprocess.run(["genisoimage", "-quiet", "-R", "-o", first, tmp_path / "one"], check=True)
    begin = (first.stat().st_size // 2048 + 11_400 + 31) // 32 * 32
    # What -M reads is the disc: the first session where it was written.
    command = ["genisoimage", "-quiet", "-R", "-C", f"0,{begin}", "-M", first, "-o", second, tmp_path / "two"]
    subprocess.run(command, check=True)
    assert first_lba(BytesReader(second.read_bytes()), []) == begin
    assert first_lba(BytesReader(first.read_bytes()), []) == 0
