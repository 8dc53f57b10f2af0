"""Watched folders without a mount: what the library is told, also when events are lost or cannot be had."""

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefs.daemon import watching
from imagefs.daemon.inotify import OVERFLOW, Inotify
from imagefs.daemon.library import Library
from imagefs.daemon.watching import Watcher, has_writers
from imagefs.errors import NotFoundError, UsageError
from tests.daemon.served import until


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def watcher(library: Library) -> Iterator[Watcher]:
    watcher = Watcher(library)
    yield watcher
    watcher.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def names(watcher: Watcher, library: Library) -> list[str]:
    """What is shown, once the watcher has done what there is to do."""
    watcher.work()
    library.sweep()
    return sorted(os.fsdecode(name) for name, _ in library.entries(library.root))


def test_what_is_there_and_what_comes(watcher: Watcher, library: Library, folder: Path) -> None:
    (folder / "a.iso").write_bytes(b"a")
    watcher.watch(str(folder))
    assert names(watcher, library) == ["a"]
    (folder / "b.iso").write_bytes(b"b")
    (folder / "notes.txt").write_bytes(b"no image")
    assert names(watcher, library) == ["a", "b"]
    (folder / "a.iso").rename(folder / "c.iso")
    assert names(watcher, library) == ["b", "c"]
    (folder / "b.iso").unlink()
    assert names(watcher, library) == ["c"]


def test_files_without_an_extension_cost_nothing_beside_no_descriptor_of_their_name(
    watcher: Watcher, library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even an image: what `serve` shows is told by names."""
    opened: list[str] = []
    monkeypatch.setattr(watching, "has_writers", lambda path: bool(opened.append(path)))
    (folder / "a.iso").write_bytes(b"a")
    os.utime(folder / "a.iso", (0, 0))
    for number in range(100):
        (folder / f"file{number}").write_bytes(b"x")
    watcher.watch(str(folder))
    assert (names(watcher, library), opened, watcher.wait()) == (["a"], [], None)
    (folder / "file1").write_bytes(b"more")
    watcher.work()
    assert (opened, watcher.wait()) == ([], None)


def test_the_data_of_a_set_may_lack_an_extension(watcher: Watcher, library: Library, folder: Path) -> None:
    (folder / "disc").write_bytes(b"sectors")
    watcher.watch(str(folder))
    assert names(watcher, library) == []
    (folder / "disc.toc").write_bytes(b"contents")
    assert names(watcher, library) == ["disc"]
    (leader,) = watcher._folders[str(folder)].sets.values()
    assert [stamp.name for stamp in leader[0]] == ["disc.toc", "disc"]
    with (folder / "disc").open("ab") as data:
        data.write(b"more")
        data.flush()
        watcher.work()
        assert [waiting for _, waiting in watcher._folders[str(folder)].sets.values()] == [True]


def test_an_event_queue_that_ran_over_is_made_up_for(watcher: Watcher, library: Library, folder: Path) -> None:
    (folder / "deep").mkdir()
    watcher.watch(str(folder), recursive=True)
    (folder / "a.iso").write_bytes(b"a")
    (folder / "deep" / "b.iso").write_bytes(b"b")
    (folder / "new").mkdir()
    (folder / "new" / "c.iso").write_bytes(b"c")
    assert list(watcher._inotify.read())  # and lost
    assert names(watcher, library) == []
    watcher._note(-1, OVERFLOW, "")
    assert names(watcher, library) == ["a", "b", "c"]


def test_a_folder_that_cannot_be_watched_is_looked_at_now_and_then(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: Inotify, path: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Inotify, "watch", full)
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.05)
    watcher = Watcher(library)
    watcher.watch(str(folder))
    assert "max_user_watches" in caplog.text
    (folder / "a.iso").write_bytes(b"a")
    waited = watcher.wait()
    assert waited is not None and waited <= 0.05
    until(lambda: names(watcher, library) == ["a"])


def test_a_folder_that_goes_and_comes_back(watcher: Watcher, library: Library, folder: Path, tmp_path: Path) -> None:
    (folder / "a.iso").write_bytes(b"a")
    watcher.watch(str(folder))
    folder.rename(tmp_path / "away")
    assert names(watcher, library) == []
    assert watcher.wait() is not None
    (tmp_path / "away").rename(folder)
    assert names(watcher, library) == ["a"]
    (folder / "b.iso").write_bytes(b"b")
    assert names(watcher, library) == ["a", "b"]


def test_what_another_watch_covers_stays(watcher: Watcher, library: Library, folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "a.iso").write_bytes(b"a")
    (folder / "deep" / "b.iso").write_bytes(b"b")
    watcher.watch(str(folder), recursive=True)
    watcher.watch(str(folder / "deep"))
    watcher.unwatch(str(folder))
    assert names(watcher, library) == ["b"]
    watcher.unwatch(str(folder / "deep"))
    assert names(watcher, library) == []


def test_a_link_to_an_image_is_one(
    watcher: Watcher, library: Library, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SETTLE_SECONDS", 0.1)
    (tmp_path / "a.iso").write_bytes(b"a")
    watcher.watch(str(folder))
    (folder / "link.iso").symlink_to(tmp_path / "a.iso")
    (folder / "hard.iso").hardlink_to(tmp_path / "a.iso")
    (folder / "nowhere.iso").symlink_to(tmp_path / "nothing")
    until(lambda: names(watcher, library) == ["hard", "link"])


def test_a_set_waits_for_all_of_its_files(watcher: Watcher, library: Library, folder: Path) -> None:
    watcher.watch(str(folder))
    (folder / "x.cue").write_text("FILE x.bin BINARY")
    with (folder / "x.bin").open("wb") as file:
        file.write(b"half")
        file.flush()
        assert names(watcher, library) == []
        assert [(row.name, row.state) for row in library.status()] == [("x", "waiting")]
    assert names(watcher, library) == ["x"]


def test_an_empty_file_is_not_whole(watcher: Watcher, library: Library, folder: Path) -> None:
    watcher.watch(str(folder))
    (folder / "a.iso").touch()
    assert names(watcher, library) == []
    (folder / "a.iso").write_bytes(b"a")
    assert names(watcher, library) == ["a"]


def test_files_of_the_moment_before_the_start_are_there_unless_somebody_writes_them(
    watcher: Watcher, library: Library, folder: Path
) -> None:
    (folder / "a.iso").write_bytes(b"a")
    with (folder / "b.iso").open("wb") as file:
        file.write(b"b")
        file.flush()
        watcher.watch(str(folder))
        assert names(watcher, library) == ["a"]


def test_whether_a_file_has_writers_is_found_out(folder: Path) -> None:
    path = folder / "a.iso"
    path.write_bytes(b"a")
    assert has_writers(str(path)) is False
    with path.open("r+b"):
        assert has_writers(str(path)) is True
    assert has_writers(str(path)) is False
    assert has_writers(str(folder / "nothing")) is None


def test_what_cannot_be_watched(watcher: Watcher, library: Library, folder: Path) -> None:
    with pytest.raises(NotFoundError):
        watcher.watch(str(folder / "nothing"))
    library.forbidden = str(folder)
    with pytest.raises(UsageError):
        watcher.watch(str(folder))


def test_the_folder_that_shows_the_images_is_not_searched(watcher: Watcher, library: Library, folder: Path) -> None:
    (folder / "mnt").mkdir()
    (folder / "mnt" / "a.iso").write_bytes(b"a")
    library.forbidden = str(folder / "mnt")
    watcher.watch(str(folder), recursive=True)
    assert names(watcher, library) == []


def test_ten_thousand_files_do_not_keep_a_processor_busy(watcher: Watcher, library: Library, folder: Path) -> None:
    for number in range(2000):
        (folder / f"{number}.iso").write_bytes(b"x")
    watcher.watch(str(folder))
    (folder / "more.iso").write_bytes(b"x")
    begin = time.monotonic()
    pause = watcher.work()
    assert pause >= watching.PAUSE_SHARE * (time.monotonic() - begin) * 0.5
    assert len(names(watcher, library)) == 2001
