"""A library as the kernel sees it: tables that follow what is open, numbers that lead back, counts of what is held."""

import errno
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imagefs.daemon import openings
from imagefs.daemon.entries import NoKernel
from imagefs.daemon.library import Library
from imagefs.daemon.numbers import is_place, slot_of
from imagefs.daemon.serving import LibraryMount
from imagefs.frontends.fuse.mount import Backing
from imagefs.nodes import ROOT_INO, Node
from imagefs.options import Options
from imagefs.readers import set_nowait
from tests.builders.memory import MemoryFileSystem


class TwoPlaces(MemoryFileSystem):
    """The folder `a` stands in the folder `b` as well."""

    def entries(self, directory: Node) -> Sequence[tuple[bytes, Node]]:
        found = list(super().entries(directory))
        if self._names.get(directory.ino) == b"b":
            found.append((b"again", dict(super().entries(self.root))[b"a"]))
        return found


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """One image, `x`, that is opened as often as one likes."""
    tree = {"file": b"content" * 100, "a": {"inner": b"in"}, "b": {}, "link": "file"}

    def open_image(path: str, options: Options) -> Any:
        filesystem = TwoPlaces(tree, tmp_path / "backing")
        source: Any = filesystem.reader
        source.mtime = 0  # it is written anew each time
        return SimpleNamespace(tree=filesystem, sources=[source], steps=[], close=source.close)

    monkeypatch.setattr(openings, "open_image", open_image)
    (tmp_path / "x.iso").write_bytes(b"x")
    library = Library(idle_seconds=1e-9)
    library.attach(str(tmp_path / "x.iso"))
    return library


class Kernel(NoKernel):
    def __init__(self, mount: LibraryMount) -> None:
        self.mount = mount

    def dropped(self, backing: Backing) -> None:
        self.mount.drop(backing)


@pytest.fixture
def mount(library: Library) -> LibraryMount:
    mount = LibraryMount(library, Options())
    library.kernel = Kernel(mount)
    return mount


def number(mount: LibraryMount, *path: bytes) -> int:
    at = ROOT_INO
    for name in path:
        found = mount.lookup(at, name)
        assert found is not None
        at = found[0].ids[found[1]]
    return at


def content(mount: LibraryMount, at: int) -> bytes:
    return b"".join(map(bytes, mount.read(at, 0, 10_000)))


def close_all(library: Library) -> None:
    while library.open_slots():
        library.sweep()


def test_plain_files_are_read_from_the_mapping_of_their_image(mount: LibraryMount) -> None:
    file = number(mount, b"x", b"file")
    before = set_nowait(True)
    try:
        (part,) = mount.read(file, 7, 7)
        assert (type(part), bytes(part)) == (memoryview, b"content")
    finally:
        set_nowait(before)


def test_a_serving_thread_answers_what_is_known_and_asks_no_image(mount: LibraryMount) -> None:
    known = number(mount, b"x", b"file")
    inner = number(mount, b"x", b"a")
    before = set_nowait(True)
    try:
        assert number(mount, b"x", b"file") == known
        assert mount.attr(known)
        for call in (
            lambda: mount.listing(inner),
            lambda: mount.lookup(inner, b"inner"),
            lambda: mount.seek(known, 0, 4),
        ):
            with pytest.raises(BlockingIOError):
                call()
    finally:
        set_nowait(before)


def test_what_was_read_is_forgotten_with_the_image_and_found_again(mount: LibraryMount, library: Library) -> None:
    paths = [
        (b"x",),
        (b"x", b"file"),
        (b"x", b"a"),
        (b"x", b"a", b"inner"),
        (b"x", b"b", b"again", b"inner"),
        (b"x", b"link"),
    ]
    before = [number(mount, *path) for path in paths]
    mount.listing(ROOT_INO)
    close_all(library)
    assert [known for known in mount.nodes if slot_of(known)] == [before[0]]
    assert content(mount, before[1]) == b"content" * 100
    assert content(mount, before[3]) == b"in"
    assert mount.readlink(before[5]) == b"file"
    assert [number(mount, *path) for path in paths] == before


def test_a_further_place_of_a_directory_is_found_again(mount: LibraryMount, library: Library) -> None:
    first, again = number(mount, b"x", b"a"), number(mount, b"x", b"b", b"again")
    assert first != again and is_place(again) and not is_place(first)
    parent = mount.directory(again).parent
    close_all(library)
    assert mount.lookup(again, b"inner") is not None
    assert mount.directory(again).parent == parent == number(mount, b"x", b"b")
    close_all(library)
    mount.forget(again)
    with pytest.raises(OSError, match="no such inode") as caught:
        mount.attr(again)
    assert caught.value.errno == errno.ESTALE


def test_what_the_kernel_holds_is_counted(mount: LibraryMount) -> None:
    folder, file = number(mount, b"x"), number(mount, b"x", b"file")
    slot = slot_of(folder)
    mount.hold({slot: 2}, of_folders=True)
    mount.hold({slot: 3}, of_folders=False)
    assert mount.held(slot) == (2, 3)
    mount.forget(file, 3)
    mount.forget(folder, 1)
    assert mount.held(slot) == (1, 0)


def test_the_root_follows_the_library(mount: LibraryMount, library: Library, tmp_path: Path) -> None:
    assert len(mount.listing(ROOT_INO)) == 3
    (tmp_path / "y.iso").write_bytes(b"y")
    assert mount.lookup(ROOT_INO, b"y") is None
    library.attach(str(tmp_path / "y.iso"))
    assert mount.lookup(ROOT_INO, b"y") is not None
    assert list(mount.listing(ROOT_INO).names()) == [b"x", b"y"]
    library.detach("x")
    assert list(mount.listing(ROOT_INO).names()) == [b"y"]


def test_a_guess_opens_no_image(mount: LibraryMount, library: Library) -> None:
    mount.list_ahead(number(mount, b"x"))
    assert library.open_slots() == []
