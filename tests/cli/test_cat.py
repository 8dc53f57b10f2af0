"""`imagefs cat`: files and decoded sectors on standard output."""

from pathlib import Path

import pytest

from imagefs.cli.cat import PIECE_BYTES, SECTOR_BYTES
from imagefs.errors import DamagedError
from imagefs.readers import BytesReader, Extent, ExtentReader
from tests.builders.memory import MemoryFileSystem
from tests.cli.conftest import Imagefs
from tests.conftest import RunImagefs


@pytest.mark.foreign
def test_files_come_out_byte_for_byte(imagefs: Imagefs, make_iso, tree: Path):
    image = make_iso(tree, "-R")
    both = (tree / "random.bin").read_bytes() + "Grüße\n".encode()
    assert imagefs("cat", image, "random.bin", "/docs/Grüße.txt") == (0, both, [])
    assert imagefs("cat", image, "empty") == (0, b"", [])


@pytest.mark.foreign
def test_links_are_followed_in_the_image(imagefs: Imagefs, make_iso, tree: Path):
    assert imagefs("cat", make_iso(tree, "-R"), "link") == (0, "Grüße\n".encode(), [])


@pytest.mark.foreign
def test_raw_of_a_plain_image_is_the_image(run_imagefs: RunImagefs, make_iso, tree: Path):
    image = make_iso(tree, "-R")
    done = run_imagefs("cat", "--raw", image)
    assert (done.returncode, done.stdout, done.stderr) == (0, image.read_bytes(), b"")


def test_raw_needs_no_file_system(imagefs: Imagefs, tmp_path: Path):
    data = bytes(range(256)) * 8192 + b"the end"
    (tmp_path / "x.bin").write_bytes(data)
    assert imagefs("cat", "--raw", tmp_path / "x.bin") == (0, data, [])


def test_a_folder_is_no_file(imagefs: Imagefs, shown, tmp_path: Path):
    shown(MemoryFileSystem({"d": {}, "a": b"a"}, tmp_path / "b"))
    line = "imagefs: disc: d: it is a folder, cat writes files"
    assert imagefs("cat", "disc", "d", "a") == (64, b"a", [line])


def test_what_can_be_read_before_the_damage_is_written(imagefs: Imagefs, shown, tmp_path: Path):
    size, good = 3 * PIECE_BYTES, 3 * PIECE_BYTES - 10 * SECTOR_BYTES
    torn = ExtentReader([Extent(0, good + 5, BytesReader(b"x" * size))], size)
    shown(MemoryFileSystem({"torn": torn, "whole": b"whole"}, tmp_path / "b"), raw=torn)
    where = f"damaged at byte {good}: the image has no data there"
    result = imagefs("cat", "disc", "torn", "whole")
    assert result == (65, b"x" * good + b"whole", [f"imagefs: disc: torn: {where}"])
    assert imagefs("cat", "--raw", "disc") == (65, b"x" * good, [f"imagefs: disc: {where}"])


def test_a_file_that_cannot_be_opened_does_not_hide_the_others(imagefs: Imagefs, shown, tmp_path: Path):
    class Torn(MemoryFileSystem):
        def open(self, node):
            if node.size == 3:
                raise DamagedError(2048, "its extent leaves the volume")
            return super().open(node)

    shown(Torn({"bad": b"bad", "good": b"good"}, tmp_path / "b"))
    line = "imagefs: disc: bad: damaged at byte 2048: its extent leaves the volume"
    assert imagefs("cat", "disc", "bad", "good") == (65, b"good", [line])
