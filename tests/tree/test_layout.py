"""What a mount shows of an image with one volume, several, several trees and states, or audio tracks beside them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imagefs.errors import DamagedError, NotFoundError
from imagefs.nodes import INO_BITS, ROOT_INO, FileSystem, Node
from imagefs.readers import BytesReader, set_nowait
from imagefs.tree import Composed, Content, Folder, LazyFolder, Shown, arrange, folder_name, show
from tests.builders.memory import MemoryFileSystem
from tests.contract import check_filesystem

WAV: dict[bytes, Content] = {b"track02.wav": BytesReader(b"RIFF2"), b"track03.wav": BytesReader(b"RIFF3")}
AUDIO = {b"01 - One.wav": BytesReader(b"RIFF1")}


def memory(tmp_path: Path, name: str, tree: Mapping[str, Any], kind: str = "", label: str = "") -> MemoryFileSystem:
    filesystem = MemoryFileSystem(tree, tmp_path / name)
    filesystem.tree, filesystem.label = kind, label
    return filesystem


@pytest.fixture
def one(tmp_path: Path) -> MemoryFileSystem:
    return memory(tmp_path, "one", {"a": b"1", "d": {"x": b"2", "l": "x"}}, label="MEMORY")


@pytest.fixture
def other(tmp_path: Path) -> MemoryFileSystem:
    return memory(tmp_path, "other", {"a": b"other", "e": {}})


def files(tree: FileSystem) -> dict[str, bytes]:
    """Path -> content of every file and link; the tree keeps the contract of a file system."""
    return {path.decode(): content for path, content in check_filesystem(tree).items() if content}


def test_one_volume_is_shown_as_it_is(one: MemoryFileSystem) -> None:
    assert show([Shown(1, one)], {}) is one
    assert show([Shown(1, one)], {}, "flat") is one


def test_audio_tracks_lie_beside_the_data(one: MemoryFileSystem) -> None:
    tree = show([Shown(1, one)], WAV)
    assert files(tree) == {
        "/a": b"1", "/d/x": b"2", "/d/l": b"x", "/track02.wav": b"RIFF2", "/track03.wav": b"RIFF3",
    }  # fmt: skip
    assert (tree.root.ino, tree.label) == (ROOT_INO, one.label)


def test_audio_alone() -> None:
    assert files(show([], WAV)) == {"/track02.wav": b"RIFF2", "/track03.wav": b"RIFF3"}


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    data = memory(tmp_path, "b", {"track02.wav": b"data", ".imagefs": b"x"})
    extras: dict[bytes, Content] = {**WAV, b".imagefs": Folder({b"info": BytesReader(b"{}")})}
    assert files(show([Shown(1, data)], extras)) == {
        "/track02.wav": b"data", "/track02 (2).wav": b"RIFF2", "/track03.wav": b"RIFF3", "/.imagefs": b"x",
        "/.imagefs (2)/info": b"{}",
    }  # fmt: skip


def test_extras_are_seen_beside_a_root_that_is_damaged(tmp_path: Path) -> None:
    class Damaged(MemoryFileSystem):
        def lookup(self, directory: Node, name: bytes) -> Node | None:
            raise DamagedError(0, "who knows what else is there")

    tree = show([Shown(1, Damaged({"a": b"1"}, tmp_path / "b"))], WAV)
    node = tree.lookup(tree.root, b"track02.wav")
    assert node is not None and tree.open(node).pread(0, 9) == b"RIFF2"


def test_several_volumes_get_folders(one: MemoryFileSystem, other: MemoryFileSystem) -> None:
    tree = show([Shown(3, other), Shown(1, one)], WAV)
    assert files(tree) == {
        "/1-MEMORY/a": b"1", "/1-MEMORY/d/x": b"2", "/1-MEMORY/d/l": b"x", "/3-memory/a": b"other",
        "/track02.wav": b"RIFF2", "/track03.wav": b"RIFF3",
    }  # fmt: skip
    assert tree.usage().blocks >= one.usage().blocks + other.usage().blocks
    assert show([Shown(3, other), Shown(1, one)], {}, "flat") is other


def test_what_is_lazy_is_made_when_it_is_looked_into(one: MemoryFileSystem) -> None:
    made: list[str] = []

    def make() -> dict[bytes, Content]:
        made.append("outer")
        return {b"inner": LazyFolder(make_inner)}

    def make_inner() -> dict[bytes, Content]:
        made.append("inner")
        return {b"f": BytesReader(b"far")}

    tree = show([Shown(1, one)], {b".imagefs": LazyFolder(make)})
    assert [name for name, _ in tree.entries(tree.root)] == [b"a", b"d", b".imagefs"]
    outer = tree.lookup(tree.root, b".imagefs")
    assert outer is not None and made == []
    ((_, inner),) = tree.entries(outer)
    assert made == ["outer"]
    assert files(tree)["/.imagefs/inner/f"] == b"far" and made == ["outer", "inner"]
    again = show([Shown(1, one)], {b".imagefs": LazyFolder(make)})
    assert again.parent(again.node(inner.ino)).ino == outer.ino  # by the number alone, as after a remount


def test_a_thread_that_must_not_wait_makes_nothing() -> None:
    """What is read on the way may be caught and taken for damage there."""
    tree = show([], {b".imagefs": LazyFolder(lambda: pytest.fail("it is made"))})
    node = tree.lookup(tree.root, b".imagefs")
    assert node is not None
    set_nowait(True)
    try:
        with pytest.raises(BlockingIOError):
            tree.entries(node)
        with pytest.raises(BlockingIOError):
            tree.lookup(node, b"info.json")
    finally:
        set_nowait(False)


def test_numbers_of_nothing_are_not_found(one: MemoryFileSystem) -> None:
    tree = show([Shown(1, one)], {**WAV, b"d2": Folder({b"f": BytesReader(b"")})})
    for ino in (5 << INO_BITS | 3, 127 << INO_BITS, 127 << INO_BITS | 99, 127 << INO_BITS | 1 << 14 | 1):
        with pytest.raises(NotFoundError):
            tree.node(ino)


def test_more_file_systems_than_there_are_numbers(one: MemoryFileSystem) -> None:
    with pytest.raises(ValueError, match="127"):
        Composed(Folder([(b"%d" % number, one) for number in range(127)]))


def test_a_label_is_no_path(one: MemoryFileSystem) -> None:
    one.label = "a/../b\0" + "é" * 300
    name = folder_name(2, one)
    assert name == ("2-a_.._b_" + "é" * 123).encode()  # 255 bytes, and no letter cut in two


# --- everything at once ---------------------------------------------------------------------------------------------------


def test_the_trees_of_a_hybrid_disc_stand_side_by_side(tmp_path: Path) -> None:
    sides = [Shown(1, memory(tmp_path, kind, {"a": kind.encode()}, kind)) for kind in ("rr", "joliet", "iso", "udf")]
    want = {"/rr/a": b"rr", "/joliet/a": b"joliet", "/iso/a": b"iso", "/udf/a": b"udf"}
    assert files(arrange(sides, {}, {})) == want


def test_something_is_a_folder_always(one: MemoryFileSystem, tmp_path: Path) -> None:
    assert set(files(arrange([Shown(1, one)], {}, {}))) == {"/1-MEMORY/a", "/1-MEMORY/d/x", "/1-MEMORY/d/l"}
    assert set(files(arrange([Shown(1, memory(tmp_path, "b", {"f": b"1"}, "iso"))], {}, {}))) == {"/iso/f"}


def test_states_of_a_volume(tmp_path: Path) -> None:
    shown = [
        Shown(1, memory(tmp_path, f"{state}{kind}", {"f": b"%d" % state}, kind), 1, f"session{state}")
        for state in (1, 2)
        for kind in ("rr", "iso")
    ]
    want = {"/session1/rr/f": b"1", "/session1/iso/f": b"1", "/session2/rr/f": b"2", "/session2/iso/f": b"2"}
    assert files(arrange(shown, {}, {})) == want
    builds = [Shown(1, memory(tmp_path, f"b{n}", {"f": b"%d" % n}, "udf"), 1, f"build{n}") for n in (1, 2)]
    assert files(arrange(builds, {}, {})) == {"/build1/f": b"1", "/build2/f": b"2"}


def test_sessions_of_a_disc_with_their_volumes_and_tracks(tmp_path: Path) -> None:
    shown = [
        Shown(2, memory(tmp_path, "2", {"f": b"2"}, "rr", "TWO"), 2),
        Shown(3, memory(tmp_path, "3", {"f": b"3"}, "rr"), 2),
        Shown(3, memory(tmp_path, "3i", {"f": b"3i"}, "iso"), 2),
    ]
    info: dict[bytes, Content] = {b".imagefs": LazyFolder(lambda: {b"info.json": BytesReader(b"{}")})}
    assert files(arrange(shown, {1: AUDIO, 2: {}}, info)) == {
        "/session1/audio/01 - One.wav": b"RIFF1", "/session2/2-TWO/f": b"2", "/session2/3-memory/rr/f": b"3",
        "/session2/3-memory/iso/f": b"3i", "/.imagefs/info.json": b"{}",
    }  # fmt: skip


def test_trees_over_the_same_bytes_are_one_volume_to_df(tmp_path: Path) -> None:
    first, second = (memory(tmp_path, kind, {"f": b"1" * 9000}, kind) for kind in ("rr", "iso"))
    second.reader = first.reader
    assert arrange([Shown(1, first), Shown(1, second)], {}, {}).usage() == first.usage()
