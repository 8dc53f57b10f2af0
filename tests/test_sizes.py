"""The check of sizes that `make corpus` makes of real images: that it finds what it is there for."""

import errno
import os
from pathlib import Path

import pytest

from tools import sizes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(b"x" * 3000)
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("nowhere")
    return tmp_path


def test_nothing_is_wrong_with_plain_files(folder: Path) -> None:
    assert list(sizes.walk(str(folder), may_fail=False)) == []


@pytest.mark.parametrize("given", [2999, 0])
def test_a_file_that_gives_less_than_its_size(folder: Path, monkeypatch: pytest.MonkeyPatch, given: int) -> None:
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, n, at: read(fd, min(n, max(0, given - at)), at))
    assert list(sizes.walk(str(folder), may_fail=True)) == [
        f"{os.fsencode(folder / 'sub' / 'file')!r}: its size is 3000, {given} can be read"
    ]


def test_what_cannot_be_read_is_wrong_in_images_that_are_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    assert list(sizes.walk(str(folder / "sub"), may_fail=True)) == []
    assert len(list(sizes.walk(str(folder / "sub"), may_fail=False))) == 1


def test_only_the_ends_of_large_files_are_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(sizes.MOST_BYTES + 1)
    assert sizes.check(str(tmp_path / "large")) == ""
