"""Landlock by itself, in processes that are made for it: it cannot be undone."""

import subprocess
import sys
from pathlib import Path

import pytest

from imagefs.confine import landlock


@pytest.mark.parametrize(
    ("abi", "rights"),
    [
        (1, ((1 << 13) - 1, 0, 0)),
        (2, ((1 << 14) - 1, 0, 0)),
        (3, ((1 << 15) - 1, 0, 0)),
        (4, ((1 << 15) - 1, 3, 0)),
        (5, ((1 << 16) - 1, 3, 0)),
        (6, ((1 << 16) - 1, 3, 3)),
        (7, ((1 << 16) - 1, 3, 3)),
        (8, ((1 << 16) - 1, 3, 3)),
        (9, ((1 << 17) - 1, 3, 3)),
        (20, ((1 << 17) - 1, 3, 3)),
    ],
)
def test_what_an_abi_version_knows_is_asked_of_it(abi: int, rights: tuple[int, int, int]) -> None:
    """landlock(7): the kernel refuses a ruleset with a right that it does not know."""
    assert landlock.handled(abi) == rights


PROGRAM = """
import os, sys
from imagefs.confine import landlock
abi, allowed, *paths = sys.argv[1:]
found = landlock.version()
landlock.version = lambda: min(int(abi), found)
print(landlock.restrict([allowed], ["/dev/null"]))
for path in paths:
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_TRUNC):
        try:
            os.close(os.open(path, flags))
            print("yes")
        except OSError as error:
            print(error.strerror)
"""


def restricted(abi: int, allowed: Path, *paths: Path) -> list[str]:
    """What a process gives that was restricted to a folder by a kernel of this ABI version: the version that holds it, then
    whether each path can be read, and written."""
    words = [sys.executable, "-c", PROGRAM, str(abi), str(allowed), *map(str, paths)]
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=20).stdout.splitlines()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """One inside, one outside."""
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    return tmp_path / "inside" / "file", tmp_path / "outside" / "file"


@pytest.mark.parametrize("abi", range(1, 8))
def test_every_version_of_a_kernel(abi: int, files: tuple[Path, Path]) -> None:
    inside, outside = files
    assert landlock.version() >= 1, "this kernel has no Landlock"
    held = str(min(abi, landlock.version()))
    no = "Permission denied"
    found = restricted(abi, inside.parent, inside, outside, Path("/dev/null"), inside.parent)
    assert found == [held, "yes", no, no, no, "yes", "yes", "yes", "Is a directory"]
    assert inside.read_text() == outside.read_text() == "x"


def test_a_file_alone_can_be_allowed(files: tuple[Path, Path]) -> None:
    inside, outside = files
    beside = inside.with_name("beside")
    beside.write_text("y")
    no = "Permission denied"
    assert restricted(7, inside, inside, beside, outside, Path("/dev/null"))[1:] == [
        "yes",
        no,
        no,
        no,
        no,
        no,
        "yes",
        "yes",
    ]


def test_what_is_not_there_is_passed_over(tmp_path: Path) -> None:
    assert restricted(7, tmp_path / "none", Path("/dev/null"))[1:] == ["yes", "yes"]


def test_a_kernel_without_it(files: tuple[Path, Path]) -> None:
    assert restricted(0, files[0].parent, files[1]) == ["0", "yes", "yes"]
