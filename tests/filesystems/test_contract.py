"""Every tree of every file system keeps the contract, and what it shows is what it was made from."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import imagefs
from imagefs.options import Options
from imagefs.readers import BytesReader
from imagefs.tree import Shown, show
from tests.builders.memory import MemoryFileSystem
from tests.contract import check_filesystem

pytestmark = pytest.mark.foreign


def source(top: Path) -> dict[bytes, bytes]:
    """Path -> content of a folder, as `check_filesystem` tells it."""
    found = {}
    for path in top.rglob("*"):
        name = b"/" + os.fsencode(path.relative_to(top))
        found[name] = (
            os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        )
    return found


@pytest.mark.parametrize("tool", ["xorriso", "genisoimage"])
def test_rock_ridge(tree: Path, make_iso: Callable[..., Path], tool: str) -> None:
    os.link(tree / "hello.txt", tree / "docs" / "second name")
    with imagefs.open_image(str(make_iso(tree, "-R", "-J", tool=tool))) as image:
        assert check_filesystem(image.tree) == source(tree)


def test_joliet_has_no_links(tree: Path, make_iso: Callable[..., Path]) -> None:
    with imagefs.open_image(str(make_iso(tree, "-R", "-J", "-joliet-long")), Options(tree="joliet")) as image:
        expected = source(tree)
        del expected[b"/link"]
        assert check_filesystem(image.tree) == expected


@pytest.mark.parametrize("level", ["1", "3", "4"])
def test_plain_names(tmp_path: Path, make_iso: Callable[..., Path], level: str) -> None:
    top = tmp_path / "plain"
    (top / "sub" / "deep").mkdir(parents=True)
    (top / "a.txt").write_bytes(b"a" * 5000)
    (top / "sub" / "b.bin").write_bytes(b"b")
    (top / "sub" / "deep" / "c").write_bytes(b"")
    with imagefs.open_image(str(make_iso(top, "-iso-level", level, tool="genisoimage"))) as image:
        assert check_filesystem(image.tree) == source(top)


def test_deep_directories_that_were_moved(tmp_path: Path, make_iso: Callable[..., Path]) -> None:
    deep = tmp_path / "top" / "/".join("abcdefghijkl")
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"far down")
    with imagefs.open_image(str(make_iso(tmp_path / "top", "-R", tool="genisoimage"))) as image:
        assert check_filesystem(image.tree) == source(tmp_path / "top")


def test_several_volumes_and_tracks(tmp_path: Path) -> None:
    one = MemoryFileSystem({"a": b"1", "d": {"x": b"2", "l": "x"}}, tmp_path / "one")
    other = MemoryFileSystem({"a": b"other", "e": {}}, tmp_path / "other")
    wav = {b"track02.wav": BytesReader(b"RIFF")}
    assert check_filesystem(one) == {b"/a": b"1", b"/d": b"", b"/d/x": b"2", b"/d/l": b"x"}
    assert check_filesystem(show([Shown(1, one)], wav, "auto")) == {
        b"/a": b"1", b"/d": b"", b"/d/x": b"2", b"/d/l": b"x", b"/track02.wav": b"RIFF",
    }  # fmt: skip
    assert set(check_filesystem(show([Shown(1, one), Shown(2, other)], wav, "auto"))) == {
        b"/1-MEMORY", b"/1-MEMORY/a", b"/1-MEMORY/d", b"/1-MEMORY/d/x", b"/1-MEMORY/d/l",
        b"/2-MEMORY", b"/2-MEMORY/a", b"/2-MEMORY/e", b"/track02.wav",
    }  # fmt: skip
