"""The library by itself: the rules of a file system, names, opening and closing, without a kernel."""

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from imagefs.daemon import openings
from imagefs.daemon.entries import NoKernel, Signature, Stamp
from imagefs.daemon.library import Library
from imagefs.daemon.numbers import slot_of
from imagefs.errors import NotAnImageError, NotFoundError, UsageError
from imagefs.options import Options
from imagefs.readers import set_nowait
from tests.builders.iso import ROOT, SECTOR, descriptor, directory, record
from tests.contract import check_filesystem


def small_iso(content: bytes) -> bytes:
    """An ISO 9660 image with one file, A.TXT, laid by hand."""
    root = directory(ROOT, ROOT, record(b"A.TXT;1", ROOT + 1, len(content)))
    blocks = [bytes(SECTOR)] * 16 + [descriptor(1, ROOT), descriptor(255, ROOT), bytes(SECTOR), bytes(SECTOR)]
    return b"".join(blocks) + root + content.ljust(SECTOR, b"\0") + bytes(SECTOR) * 8


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disc.iso"
    path.write_bytes(small_iso(b"alpha"))
    return path


@pytest.fixture
def library() -> Library:
    return Library(idle_seconds=0.001)


def signature(path: Path) -> Signature:
    info = path.stat()
    return (Stamp(path.name, info.st_size, info.st_mtime_ns, info.st_ino),)


def names(library: Library) -> list[str]:
    return [os.fsdecode(name) for name, _ in library.entries(library.root)]


def content(library: Library, *path: bytes) -> bytes:
    node = library.root
    for name in path:
        found = library.lookup(node, name)
        assert found is not None
        node = found
    return library.open(node).pread(0, 100)


def close_idle(library: Library) -> None:
    library.sweep()
    time.sleep(0.01)
    library.sweep()


def test_the_rules_of_a_file_system_hold(library: Library, image: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.iso"
    other.write_bytes(small_iso(b"beta"))
    library.attach(str(image))
    library.attach(str(other), "twin")
    found = check_filesystem(library)
    assert {path: text for path, text in found.items() if text} == {b"/disc/a.txt": b"alpha", b"/twin/a.txt": b"beta"}
    assert set(found) == {b"/disc", b"/disc/a.txt", b"/twin", b"/twin/a.txt"}


def test_listing_opens_nothing(library: Library, image: Path) -> None:
    library.attach(str(image))
    assert names(library) == ["disc"]
    assert [(row.state, row.opens) for row in library.status()] == [("idle", 0)]
    content(library, b"disc", b"a.txt")
    assert [(row.state, row.opens) for row in library.status()] == [("open", 1)]
    assert library.totals().opens == 1


def test_an_idle_image_is_closed_and_opened_again(library: Library, image: Path) -> None:
    library.attach(str(image))
    content(library, b"disc", b"a.txt")
    close_idle(library)
    assert [row.state for row in library.status()] == ["idle"]
    assert content(library, b"disc", b"a.txt") == b"alpha"
    assert [(row.state, row.opens) for row in library.status()] == [("open", 2)]


def test_an_image_in_use_is_not_closed(library: Library, image: Path) -> None:
    library.attach(str(image))
    found = library.lookup(library.root, b"disc")
    assert found is not None
    with library.using(found.ino):
        close_idle(library)
        assert [row.state for row in library.status()] == ["open"]


def test_only_so_many_are_open(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openings, "MOST_OPEN", 3)
    for number in range(6):
        (tmp_path / f"{number}.iso").write_bytes(small_iso(b"%d" % number))
        library.attach(str(tmp_path / f"{number}.iso"))
    for number in range(6):
        assert content(library, b"%d" % number, b"a.txt") == b"%d" % number
    assert [row.state for row in library.status()] == ["idle"] * 3 + ["open"] * 3


def test_a_thread_that_must_not_wait_asks_no_image(library: Library, image: Path) -> None:
    library.attach(str(image))
    before = set_nowait(True)
    try:
        folder = library.lookup(library.root, b"disc")
        assert folder is not None
        with pytest.raises(BlockingIOError):
            library.entries(folder)
    finally:
        set_nowait(before)
    assert library.totals().opens == 0


def test_two_who_look_at_once_open_it_once(library: Library, image: Path) -> None:
    library.attach(str(image))
    threads = [threading.Thread(target=content, args=(library, b"disc", b"a.txt")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert library.totals().opens == 1


def test_a_failure_is_believed_for_a_while(
    library: Library, image: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = image.read_bytes()
    image.write_bytes(b"rubbish" * 10_000)
    library.attach(str(image))
    folder = library.lookup(library.root, b"disc")
    assert folder is not None
    with pytest.raises(NotAnImageError):
        library.entries(folder)
    image.write_bytes(whole)
    with pytest.raises(OSError, match="known to imagefs") as caught:
        library.entries(folder)
    assert caught.value.errno == errno.EINVAL
    assert library.totals().failures == 1
    later = time.monotonic() + 60
    monkeypatch.setattr(openings.time, "monotonic", lambda: later)
    assert [name for name, _ in library.entries(folder)] == [b"a.txt"]
    assert library.status()[0].error is None
    assert len(caplog.records) == 1


def test_a_hung_image_is_left_alone_and_tried_again(
    library: Library, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.attach(str(image))
    folder = library.lookup(library.root, b"disc")
    assert folder is not None
    with library.using(folder.ino) as opened:  # the one who hangs
        library.hang(slot_of(folder.ino))
        assert library.status()[0].state == "hung"
        assert opened.image.source.pread(0, 1) == b"\0", "not closed under him"
    with pytest.raises(OSError, match="Bad file descriptor"):
        opened.image.source.pread(0, 1)
    with pytest.raises(OSError, match="no answer"):
        library.entries(folder)
    now = openings.time.monotonic()
    monkeypatch.setattr(openings.time, "monotonic", lambda: now + 31)
    library.stuck = lambda slot: openings.MOST_STUCK
    with pytest.raises(OSError, match="no answer"):
        library.entries(folder)
    library.stuck = lambda slot: 0
    monkeypatch.setattr(openings.time, "monotonic", lambda: now + 62)
    assert [name for name, _ in library.entries(folder)] == [b"a.txt"]


def test_names_stay_with_their_files(library: Library, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.iso", "a.img", "a.nrg")]
    for path in paths:
        path.write_bytes(b"x")
        library.put(str(path), signature(path))
    assert names(library) == ["a", "a (2)", "a (3)"]
    library.drop(str(paths[1]))
    library.sweep()
    assert names(library) == ["a", "a (3)"]
    paths[2].write_bytes(b"yy")
    library.put(str(paths[2]), signature(paths[2]))
    assert sorted(names(library)) == ["a", "a (3)"]
    library.put(str(paths[1]), signature(paths[1]))
    assert sorted(names(library)) == ["a", "a (2)", "a (3)"]


def test_what_is_waited_for_is_not_shown(library: Library, image: Path) -> None:
    library.put(str(image), signature(image), waiting=True)
    assert names(library) == []
    assert [(row.name, row.state) for row in library.status()] == [("disc", "waiting")]
    library.put(str(image), signature(image))
    assert names(library) == ["disc"]


def test_another_file_under_the_name_has_other_numbers(library: Library, image: Path) -> None:
    library.put(str(image), signature(image))
    before = library.lookup(library.root, b"disc")
    assert content(library, b"disc", b"a.txt") == b"alpha"
    image.write_bytes(small_iso(b"omega"))
    os.utime(image, ns=(1, 1))
    assert before is not None
    library.put(str(image), signature(image))
    after = library.lookup(library.root, b"disc")
    assert after is not None and after.ino != before.ino
    assert content(library, b"disc", b"a.txt") == b"omega"
    with pytest.raises(OSError, match=r"gone|another") as caught:
        library.entries(before)
    assert caught.value.errno == errno.ESTALE


def test_an_image_that_is_in_use_when_it_is_deleted_stays_until_it_is_not(library: Library, image: Path) -> None:
    class Kernel(NoKernel):
        used = True

        def is_used(self, number: int) -> bool:
            return self.used

        def release(self, name: bytes, number: int) -> bool:
            return not self.used

    library.kernel = kernel = Kernel()
    library.put(str(image), signature(image))
    content(library, b"disc", b"a.txt")
    image.unlink()
    library.drop(str(image))
    library.sweep()
    assert names(library) == ["disc"]
    assert content(library, b"disc", b"a.txt") == b"alpha"
    kernel.used = False
    for entry in library._leaving:
        library._leaving[entry] = (0.0, 1.0)
    library.sweep()
    assert names(library) == [] and library.status() == []


def test_attach_and_detach(library: Library, image: Path, tmp_path: Path) -> None:
    assert library.attach(str(image)) == library.attach(str(image)) == "disc"
    assert library.attach(str(image), "other") == "other"
    assert library.attach(str(image), None, Options(layout="tree")) == "disc (2)"
    library.detach("other")
    assert names(library) == ["disc", "disc (2)"]
    library.detach(str(image))
    assert names(library) == []
    with pytest.raises(NotFoundError):
        library.detach("disc")
    with pytest.raises(NotFoundError):
        library.attach(str(tmp_path / "nothing.iso"))
    with pytest.raises(NotAnImageError):
        library.attach(str(tmp_path))
    library.forbidden = str(tmp_path)
    with pytest.raises(UsageError):
        library.attach(str(image))


def test_one_that_is_in_use_is_not_detached(library: Library, image: Path) -> None:
    class Kernel(NoKernel):
        def is_used(self, number: int) -> bool:
            return True

        def release(self, name: bytes, number: int) -> bool:
            return False

    library.kernel = Kernel()
    library.attach(str(image))
    with pytest.raises(OSError, match="in use") as caught:
        library.detach("disc")
    assert caught.value.errno == errno.EBUSY
    assert names(library) == ["disc"]


def test_an_attached_image_is_looked_at_while_it_is_open(library: Library, image: Path) -> None:
    library.attach(str(image))
    before: Any = library.lookup(library.root, b"disc")
    content(library, b"disc", b"a.txt")
    library.check(slot_of(before.ino))
    assert library.lookup(library.root, b"disc") == before
    image.write_bytes(small_iso(b"omega"))
    os.utime(image, ns=(1, 1))
    library.check(slot_of(before.ino))
    assert library.lookup(library.root, b"disc") != before
    assert content(library, b"disc", b"a.txt") == b"omega"


def test_one_that_changed_while_it_was_closed_is_another_one(library: Library, image: Path) -> None:
    library.attach(str(image))
    before: Any = library.lookup(library.root, b"disc")
    content(library, b"disc", b"a.txt")
    close_idle(library)
    image.write_bytes(small_iso(b"omega"))
    os.utime(image, ns=(1, 1))
    with pytest.raises(OSError, match="another one"):
        library.entries(before)
    assert content(library, b"disc", b"a.txt") == b"omega"
