"""Files as sources: sizes, errors, mappings, and what happens when the file changes."""

import gc
import os
from pathlib import Path

import pytest

from imagefs.errors import DamagedError, NotAnImageError, NotFoundError
from imagefs.readers import RunKind, slice_of
from imagefs.sources import open_source


def test_a_file_is_one_run_and_one_view(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    source = open_source(str(tmp_path / "a"))
    assert (source.size, source.pread(8, 5)) == (10, b"89")
    assert [(run.kind, run.offset, run.length) for run in source.runs(3, 100)] == [(RunKind.DATA, 3, 7)]
    assert [bytes(view) for view in source.views(2, 3) or ()] == [b"234"]


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda path: None, NotFoundError, "no such file"),
        (lambda path: path.mkdir(), NotAnImageError, "directory"),
        (lambda path: path.touch(), NotAnImageError, "empty"),
        (lambda path: os.mkfifo(path), NotAnImageError, "it is a pipe, .* save what comes out of it to a file first"),
        (lambda path: path.symlink_to("/dev/null"), NotAnImageError, "neither a file nor a block device"),
        (lambda path: path.symlink_to(f"{__file__}/"), NotFoundError, "no such file"),
    ],
    ids=["nothing", "directory", "empty", "pipe", "device", "below a file"],
)
def test_what_is_no_image_is_refused_without_waiting(tmp_path: Path, make, error, says) -> None:
    make(tmp_path / "a")
    with pytest.raises(error, match=says):
        open_source(str(tmp_path / "a"))


def test_an_empty_part_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    source = open_source(str(tmp_path / "a"), may_be_empty=True)
    assert (source.size, source.pread(0, 10), source.views(0, 10)) == (0, b"", [])


def test_a_file_that_shrinks_is_damaged_where_it_is_not_any_more(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(10_000))
    source = open_source(str(path))
    assert not source.changed()
    os.truncate(path, 5000)
    assert source.changed()
    assert source.pread(0, 5000) == bytes(5000)
    with pytest.raises(DamagedError, match="shorter now"):
        source.pread(4000, 2000)


def test_a_closed_source_does_not_read_another_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 100)
    source = open_source(str(tmp_path / "a"))
    source.close()
    with (tmp_path / "a").open("rb"), pytest.raises(OSError, match="descriptor"):
        source.pread(0, 10)


def test_a_file_written_over_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(100))
    source = open_source(str(path))
    path.write_bytes(b"x" * 100)
    os.utime(path, ns=(0, source.mtime + 1))
    assert source.changed()


def test_a_source_that_is_forgotten_keeps_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "disc.iso").write_bytes(b"x" * 5000)
    gc.collect()  # what other tests have forgotten is not counted
    before = len(os.listdir("/proc/self/fd"))
    readers = [slice_of(open_source(str(tmp_path / "disc.iso")), 10, 100) for _ in range(50)]
    assert len(os.listdir("/proc/self/fd")) == before + 50
    assert readers[7].pread(0, 3) == b"xxx"  # it is not forgotten while anything reads from it
    del readers
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
