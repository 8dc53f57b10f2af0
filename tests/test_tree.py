"""What a mount shows of an image with one volume, several, or audio tracks beside them."""

from pathlib import Path

import pytest

from imagefs.errors import NotFoundError
from imagefs.nodes import INO_BITS, ROOT_INO, FileSystem
from imagefs.readers import BytesReader
from imagefs.tree import folder_name, show
from tests.builders.memory import MemoryFileSystem

WAV = {b"track02.wav": BytesReader(b"RIFF2"), b"track03.wav": BytesReader(b"RIFF3")}


@pytest.fixture
def one(tmp_path: Path) -> MemoryFileSystem:
    return MemoryFileSystem({"a": b"1", "d": {"x": b"2", "l": "x"}}, tmp_path / "one")


@pytest.fixture
def other(tmp_path: Path) -> MemoryFileSystem:
    filesystem = MemoryFileSystem({"a": b"other", "e": {}}, tmp_path / "other")
    filesystem.label = ""
    return filesystem


def walk(tree: FileSystem) -> dict[str, bytes]:
    """Path -> content of every file, checking on the way what every file system must keep."""
    found, inodes, pending = {}, set(), [("", tree.root)]
    while pending:
        path, node = pending.pop()
        assert node.ino not in inodes, "an inode number stands for two things"
        inodes.add(node.ino)
        assert tree.node(node.ino)._replace(locator=None) == node._replace(locator=None)
        if node.is_directory:
            entries = tree.entries(node)
            for name, child in entries:
                assert tree.lookup(node, name) == child
                if child.is_directory:
                    assert tree.parent(child).ino == node.ino
                pending.append((f"{path}/{name.decode()}", child))
        elif node.is_link:
            found[path] = b"-> " + tree.readlink(node)
        else:
            reader = tree.open(node)
            assert reader.size == node.size
            found[path] = reader.pread(0, node.size)
    return found


def test_one_volume_is_shown_as_it_is(one: MemoryFileSystem) -> None:
    assert show([(1, one)], {}, "auto") is one
    assert show([(1, one)], WAV, "flat") is one


def test_audio_tracks_lie_beside_the_data(one: MemoryFileSystem) -> None:
    tree = show([(1, one)], WAV, "auto")
    assert walk(tree) == {
        "/a": b"1", "/d/x": b"2", "/d/l": b"-> x", "/track02.wav": b"RIFF2", "/track03.wav": b"RIFF3",
    }  # fmt: skip
    assert tree.root.ino == ROOT_INO
    assert tree.label == one.label


def test_audio_alone(one: MemoryFileSystem) -> None:
    assert walk(show([], WAV, "auto")) == {"/track02.wav": b"RIFF2", "/track03.wav": b"RIFF3"}


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    data = MemoryFileSystem({"track02.wav": b"data"}, tmp_path / "b")
    assert walk(show([(1, data)], WAV, "auto")) == {
        "/track02.wav": b"data", "/track02 (2).wav": b"RIFF2", "/track03.wav": b"RIFF3",
    }  # fmt: skip


def test_several_volumes_get_folders(one: MemoryFileSystem, other: MemoryFileSystem) -> None:
    tree = show([(1, one), (3, other)], WAV, "auto")
    assert walk(tree) == {
        "/1-MEMORY/a": b"1", "/1-MEMORY/d/x": b"2", "/1-MEMORY/d/l": b"-> x", "/3-memory/a": b"other",
        "/track02.wav": b"RIFF2", "/track03.wav": b"RIFF3",
    }  # fmt: skip
    assert tree.usage().blocks >= one.usage().blocks + other.usage().blocks


def test_layout_tree_gives_one_volume_its_folder(one: MemoryFileSystem) -> None:
    assert set(walk(show([(1, one)], {}, "tree"))) == {"/1-MEMORY/a", "/1-MEMORY/d/x", "/1-MEMORY/d/l"}


def test_numbers_of_no_volume_are_not_found(one: MemoryFileSystem) -> None:
    tree = show([(1, one)], WAV, "auto")
    for ino in (5 << INO_BITS | 3, 127 << INO_BITS | 99):
        with pytest.raises(NotFoundError):
            tree.node(ino)


def test_a_label_is_no_path(one: MemoryFileSystem) -> None:
    one.label = "a/../b\0" + "é" * 300
    name = folder_name(2, one)
    assert name == ("2-a_.._b_" + "é" * 123).encode()  # 255 bytes, and no letter cut in two
