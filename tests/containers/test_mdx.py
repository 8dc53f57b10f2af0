"""MDX, and MDS of version 2: the sectors that can be read without the descriptor, which is encrypted."""

import random
import struct
from pathlib import Path

import pytest

from imagefs.containers.mdx import FORMAT
from imagefs.disc import Disc
from imagefs.errors import DamagedError, MissingPartError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.image import open_image
from imagefs.readers import BytesReader
from tests.builders.descriptors import open_path, table
from tests.builders.discs import write_cue
from tests.builders.sectors import stored, tone, volume
from tests.contract import check_reader

NOISE = random.Random(1).randbytes(3000)
"""What is encrypted."""
MODES = ["MODE1/2048", "MODE1/2352", "MODE2/2352", "MODE1/2448", "MODE2/2336"]


def mdx(sectors: bytes) -> bytes:
    head = struct.pack(
        "<16sBB26sIQQ", b"MEDIA DESCRIPTOR", 2, 1, b"(C) 2000-2015 Disc Soft Ltd.", 0xFFFFFFFF, 64 + len(sectors), 3000
    )
    return head + sectors + NOISE


def mds2() -> bytes:
    return struct.pack("<16sBB26sI", b"MEDIA DESCRIPTOR", 2, 0, b"(C) 2000-2010 DT Soft Ltd.", 2536) + NOISE


def opened(path: Path) -> Disc:
    return open_path(FORMAT, path)


@pytest.mark.parametrize("mode", MODES)
def test_mdx_with_plain_sectors(tmp_path: Path, mode: str) -> None:
    disc = opened(write_cue(tmp_path, mdx(stored(volume(40), mode)), {}, "disc.mdx"))
    assert table(disc) == [(1, mode.lower(), 0, 40)]
    (warning,) = disc.warnings
    assert "descriptor is encrypted" in warning
    check_reader(disc.space, volume(40))


@pytest.mark.parametrize("mode", MODES)
def test_mds_with_plain_sectors(tmp_path: Path, mode: str) -> None:
    path = write_cue(tmp_path, mds2(), {"disc.mdf": stored(volume(40), mode)}, "disc.mds")
    check_reader(opened(path).space, volume(40))
    for name in ("disc.mds", "disc.mdf"):
        with open_image(str(tmp_path / name)) as image:
            assert [step.name for step in image.steps] == ["mdx"]


@pytest.mark.parametrize("sectors", [NOISE * 50, tone(100), b""], ids=["encrypted", "audio", "nothing"])
def test_what_needs_the_descriptor_is_refused(tmp_path: Path, sectors: bytes) -> None:
    with pytest.raises(UnsupportedError, match="compressed, encrypted"):
        opened(write_cue(tmp_path, mdx(sectors), {}, "disc.mdx"))


def test_data_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match=r"'disc\.mdf'"):
        opened(write_cue(tmp_path, mds2(), {}, "disc.mds"))


def test_a_cut_file(tmp_path: Path) -> None:
    image = mdx(stored(volume(40), "MODE1/2352"))
    with pytest.raises(DamagedError, match="outside the file"):
        opened(write_cue(tmp_path, image[:50_000], {}, "disc.mdx"))


@pytest.mark.parametrize("data", [b"", b"MEDIA DESCRIPTOR\2", b"MEDIA DESCRIPTOR\1" + bytes(100)])
def test_other_files_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.mdx")) is None
