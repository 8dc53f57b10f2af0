"""`imagefs serve` from outside, on real mounts: what appears, what goes, what is opened when."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefs.daemon.client import DaemonError
from imagefs.frontends.fuse import mountinfo
from tests.builders.sectors import stored
from tests.conftest import MakeIso, RunImagefs
from tests.daemon.served import Served, until

pytestmark = [pytest.mark.fuse, pytest.mark.foreign]


@pytest.fixture
def disc(make_iso: MakeIso, tree: Path) -> bytes:
    """An ISO 9660 image with `tree` in it."""
    return make_iso(tree, "-R").read_bytes()


@pytest.fixture
def other(make_iso: MakeIso, tmp_path: Path) -> bytes:
    """Another one."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "hello.txt").write_bytes(b"another hello\n" * 1000)
    return make_iso(tmp_path / "other", "-R", name="other.iso").read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


@pytest.fixture
def served(tmp_path: Path, folder: Path, disc: bytes) -> Iterator[Served]:
    """A daemon over a folder with one image, `one.iso`."""
    (folder / "one.iso").write_bytes(disc)
    with Served(tmp_path, "--idle", "1") as served:
        yield served


def same(left: Path, right: Path) -> bool:
    return subprocess.run(["diff", "-r", "--no-dereference", left, right], check=False).returncode == 0


# --- what is there ------------------------------------------------------------------------------------------------------


def test_images_are_folders_and_nothing_is_opened_before_somebody_looks_in(served: Served, tree: Path) -> None:
    assert served.names() == ["one"]
    info = os.lstat(served.root / "one")
    assert info.st_mtime_ns == (served.folder / "one.iso").stat().st_mtime_ns
    subprocess.run(["ls", "-lR", "--ignore=*", served.root], check=True, capture_output=True)
    assert served.status("one")["opens"] == 0
    assert served.states() == {"one": "idle"}
    assert same(served.root / "one", tree)
    assert (served.status("one")["opens"], served.states()) == (1, {"one": "open"})
    assert served.status("one")["container"] == "iso9660"


def test_a_sheet_and_its_data_are_one_image(tmp_path: Path, folder: Path, disc: bytes, tree: Path) -> None:
    (folder / "game.bin").write_bytes(stored(disc, "MODE1/2352"))
    (folder / "game.cue").write_text('FILE "game.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n')
    half = len(disc) // 2 // 2048 * 2048
    (folder / "cut.iso.001").write_bytes(disc[:half])
    (folder / "cut.iso.002").write_bytes(disc[half:])
    (folder / "readme.txt").write_text("no image")
    (folder / ".hidden.iso").write_bytes(disc)
    with Served(tmp_path) as served:
        assert served.names() == ["cut", "game"]
        assert same(served.root / "game", tree)
        assert same(served.root / "cut", tree)


def test_data_files_with_other_names_go_when_the_sheet_is_opened(tmp_path: Path, folder: Path, disc: bytes) -> None:
    (folder / "x.bin").write_bytes(disc)
    (folder / "game.cue").write_text('FILE "x.bin" BINARY\n  TRACK 01 MODE1/2048\n    INDEX 01 00:00:00\n')
    with Served(tmp_path) as served:
        assert served.names() == ["game", "x"]
        assert (served.root / "game" / "hello.txt").read_bytes() == b"hello\n"
        until(lambda: served.names() == ["game"])
        (folder / "game.cue").unlink()
        until(lambda: served.names() == ["x"])


def test_of_images_with_one_name_the_later_ones_get_a_number_that_stays(
    tmp_path: Path, folder: Path, disc: bytes
) -> None:
    for name in ("a.iso", "a.img", "a.udf"):
        (folder / name).write_bytes(disc)
    with Served(tmp_path) as served:
        assert served.names() == ["a", "a (2)", "a (3)"]
        assert [served.status(name)["path"][-3:] for name in served.names()] == ["img", "iso", "udf"]
        (folder / "a.iso").unlink()
        until(lambda: served.names() == ["a", "a (3)"])
        assert served.status("a (3)")["path"].endswith("a.udf")
    with Served(tmp_path) as served:
        assert served.names() == ["a", "a (2)"]


def test_folders_in_folders_are_followed_as_they_come_and_go(tmp_path: Path, folder: Path, disc: bytes) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "one.iso").write_bytes(disc)
    with Served(tmp_path, "--recursive") as served:
        assert served.names() == ["one"]
        (folder / "new" / "est").mkdir(parents=True)
        (folder / "new" / "est" / "two.iso").write_bytes(disc)
        until(lambda: served.names() == ["one", "two"])
        (folder / "new").rename(folder / "renamed")
        until(lambda: served.status("two")["path"].endswith("renamed/est/two.iso"))
        (folder / "renamed" / "est" / "three.iso").write_bytes(disc)
        until(lambda: served.names() == ["one", "three", "two"])
        (folder / "deep").rename(tmp_path / "away")
        until(lambda: served.names() == ["three", "two"])


# --- what comes and goes ------------------------------------------------------------------------------------------------


def test_an_image_appears_when_it_is_whole(served: Served, disc: bytes, tree: Path) -> None:
    """The kernel had kept that it is not there."""
    assert not (served.root / "two").exists()
    with (served.folder / "two.iso").open("wb") as file:
        file.write(disc[:100_000])
        file.flush()
        until(lambda: served.states().get("two") == "waiting")
        time.sleep(2.5)  # a writer that pauses
        assert served.names() == ["one"]
        file.write(disc[100_000:])
    until((served.root / "two").exists)
    assert served.names() == ["one", "two"]
    assert same(served.root / "two", tree)


def test_a_deleted_image_goes_away(served: Served) -> None:
    assert (served.root / "one" / "hello.txt").read_bytes() == b"hello\n"
    (served.folder / "one.iso").unlink()
    until(lambda: served.names() == [])
    with pytest.raises(FileNotFoundError):
        os.stat(served.root / "one")


def test_a_deleted_image_stays_as_long_as_it_is_used(served: Served, tree: Path) -> None:
    with (served.root / "one" / "random.bin").open("rb") as file:
        start = file.read(10)
        (served.folder / "one.iso").unlink()
        time.sleep(2.5)
        assert served.names() == ["one"]
        assert start + file.read() == (tree / "random.bin").read_bytes()
        assert (served.root / "one" / "docs" / "Grüße.txt").read_bytes() == "Grüße\n".encode()
    until(lambda: served.names() == [])
    (served.folder / "one.iso").write_bytes(b"")


@pytest.mark.parametrize("in_place", [False, True])
def test_a_replaced_image_is_shown_anew(served: Served, other: bytes, tmp_path: Path, in_place: bool) -> None:
    assert (served.root / "one" / "hello.txt").read_bytes() == b"hello\n"
    before = os.stat(served.root / "one").st_ino
    if in_place:
        (served.folder / "one.iso").write_bytes(other)
    else:
        (tmp_path / "new").write_bytes(other)
        (tmp_path / "new").rename(served.folder / "one.iso")

    def is_other() -> bool:
        try:
            return (served.root / "one" / "hello.txt").read_bytes() == b"another hello\n" * 1000
        except OSError:
            return False

    until(is_other)
    assert served.names() == ["one"]
    assert os.listdir(served.root / "one") == ["hello.txt"]
    assert os.stat(served.root / "one").st_ino != before


def test_who_uses_a_replaced_image_reads_on(served: Served, other: bytes, tree: Path, tmp_path: Path) -> None:
    with (served.root / "one" / "random.bin").open("rb") as file:
        file.read(10)
        (tmp_path / "new").write_bytes(other)
        (tmp_path / "new").rename(served.folder / "one.iso")
        until(lambda: os.listdir(served.root / "one") == ["hello.txt"])
        time.sleep(1.5)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        assert file.read() == (tree / "random.bin").read_bytes()


def test_readers_do_not_notice_what_happens_to_other_images(served: Served, disc: bytes, tree: Path) -> None:
    wanted = (tree / "random.bin").read_bytes()
    end, wrong, reads = time.monotonic() + 3, list[object](), [0]

    def read() -> None:
        while time.monotonic() < end:
            try:
                with (served.root / "one" / "random.bin").open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    if file.read() != wanted or "one" not in os.listdir(served.root):
                        wrong.append("content")
                for name in os.listdir(served.root):
                    if name != "one":
                        os.listdir(served.root / name)
                reads[0] += 1
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno not in (errno.ESTALE, errno.EINVAL, errno.EIO):
                    wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    while time.monotonic() < end:
        for name in ("a.iso", "b.iso", "c.img"):
            (served.folder / name).write_bytes(disc)
        time.sleep(0.1)
        (served.folder / "a.iso").write_bytes(disc[:40_000])
        for name in ("a.iso", "b.iso", "c.img"):
            (served.folder / name).unlink()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert reads[0] > 50
    assert served.process.poll() is None


# --- opening and closing ------------------------------------------------------------------------------------------------


def test_an_idle_image_is_closed_and_opened_again_with_the_same_numbers(served: Served, tree: Path) -> None:
    def numbers() -> dict[str, int]:
        return {str(path): os.lstat(path).st_ino for path in [served.root / "one", *(served.root / "one").rglob("*")]}

    before = numbers()
    directory = os.open(served.root / "one" / "docs", os.O_RDONLY)
    until(lambda: served.states() == {"one": "idle"})
    links = Path(f"/proc/{served.worker}/fd").iterdir()
    assert not [link for link in links if os.path.realpath(link).endswith("one.iso")]
    assert os.listdir(directory) == os.listdir(tree / "docs") or sorted(os.listdir(directory)) == ["Grüße.txt", "deep"]
    subprocess.run(["sh", "-c", "echo 2 > /proc/sys/vm/drop_caches"], check=False, capture_output=True)
    assert same(served.root / "one", tree)
    assert numbers() == before
    assert served.status("one")["opens"] == 2
    os.close(directory)


def test_numbers_are_unique_over_images_and_the_same_after_a_restart(tmp_path: Path, folder: Path, disc: bytes) -> None:
    for name in ("a.iso", "b.iso", "c.iso"):
        (folder / name).write_bytes(disc)

    def numbers(served: Served) -> list[int]:
        return [path.lstat().st_ino for path in sorted(served.root.rglob("*"))]

    with Served(tmp_path) as served:
        found = numbers(served)
        assert len(set(found)) == len(found) > 20
    with Served(tmp_path) as served:
        assert numbers(served) == found


def test_an_image_that_cannot_be_opened_stays_and_says_why_once(served: Served) -> None:
    (served.folder / "bad.iso").write_bytes(b"no image at all" * 1000)
    until(lambda: served.names() == ["bad", "one"])
    for _ in range(3):
        with pytest.raises(OSError, match="Invalid argument"):
            os.listdir(served.root / "bad")
        with pytest.raises(OSError, match="Invalid argument"):
            os.stat(served.root / "bad" / "file")
    assert served.names() == ["bad", "one"]
    assert served.status("bad")["state"] == "failed"
    assert "nothing in it is known" in served.status("bad")["error"]
    assert served.log.read_text().count("bad.iso") == 1


# --- its life -----------------------------------------------------------------------------------------------------------


def test_a_signal_unmounts_and_takes_away_what_was_made(served: Served) -> None:
    file = os.open(served.root / "one" / "hello.txt", os.O_RDONLY)
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(5) == 0
    with pytest.raises(OSError, match="not connected"):
        os.close(file)
    assert not os.path.ismount(served.root)
    assert not served.root.exists()
    assert not served.socket.exists()


def test_unmounting_from_outside_ends_it(served: Served, run_imagefs: RunImagefs) -> None:
    assert run_imagefs("umount", served.root).returncode == 0
    assert served.process.wait(5) == 0


def test_a_dead_mount_is_replaced(served: Served, tmp_path: Path) -> None:
    served.process.kill()
    served.process.wait()
    until(lambda: mountinfo.is_dead(str(served.root)))
    with Served(tmp_path) as again:
        assert again.names() == ["one"]


def test_a_folder_with_something_in_it_is_no_root(folder: Path, run_imagefs: RunImagefs) -> None:
    (folder / "file").touch()
    done = run_imagefs("serve", "--watch", folder, folder)
    assert (done.returncode, b"is not empty" in done.stderr) == (64, True)
    done = run_imagefs("serve", "--watch", folder / "nowhere", folder / "mnt")
    assert (done.returncode, b"there is no folder" in done.stderr) == (66, True)


def test_the_service_manager_is_told(tmp_path: Path, folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        told: list[str] = []

        def hear(word: str) -> None:
            while not any(word in each for each in told):
                told.append(manager.recv(4096).decode())

        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
        config = tmp_path / "imagefs.toml"
        config.write_text("")
        with Served(tmp_path, "--config", str(config), environment=environment) as served:
            hear("READY=1\nSTATUS=serving 0 images")
            hear("WATCHDOG=1")
            told.clear()
            config.write_text("idle_seconds = 7")
            served.process.send_signal(signal.SIGHUP)
            hear("RELOADING=1")
            hear("READY=1")
            config.write_text("[[image]]\npath = '/nowhere.iso'")
            served.process.send_signal(signal.SIGTERM)
            hear("STOPPING=1")
            assert served.process.wait(5) == 0


def test_a_reload_brings_and_takes_folders_and_images(tmp_path: Path, folder: Path, disc: bytes) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "two.iso").write_bytes(disc)
    (tmp_path / "single.iso").write_bytes(disc)
    (folder / "one.iso").write_bytes(disc)
    config = tmp_path / "imagefs.toml"
    config.write_text("")
    with Served(tmp_path, "--config", str(config)) as served:
        assert served.names() == ["one"]
        config.write_text(f"watch = ['{tmp_path}/more']\nimage = ['{tmp_path}/single.iso']")
        served.process.send_signal(signal.SIGHUP)
        until(lambda: served.names() == ["one", "single", "two"])
        assert (served.root / "single" / "hello.txt").read_bytes() == b"hello\n"
        config.write_text("")
        served.process.send_signal(signal.SIGHUP)
        until(lambda: served.names() == ["one"])


def test_images_are_attached_and_detached_unless_in_use(served: Served, tmp_path: Path, disc: bytes) -> None:
    (tmp_path / "x.iso").write_bytes(disc)
    assert served.ask("attach", path=str(tmp_path / "x.iso"), name="mine")["name"] == "mine"
    with (served.root / "mine" / "random.bin").open("rb"):
        with pytest.raises(DaemonError, match="in use") as caught:
            served.ask("detach", name="mine")
        assert caught.value.errno == errno.EBUSY
        assert served.names() == ["mine", "one"]
    served.ask("detach", name="mine")
    assert served.names() == ["one"]


@pytest.mark.slow
def test_ten_thousand_images_are_listed_within_two_seconds_and_150_mb(
    tmp_path: Path, folder: Path, disc: bytes
) -> None:
    for number in range(10_000):
        (folder / f"Image number {number:05d} of a large collection.iso").write_bytes(b"x")
    (folder / "one.iso").write_bytes(disc)
    begin = time.monotonic()
    with Served(tmp_path) as served:
        assert len(served.names()) == 10_001
        listed = time.monotonic() - begin
        subprocess.run(["ls", "-l", served.root], check=True, capture_output=True)
        print(f"10,000 images: listed {listed:.2f} s after the start, {served.resident() >> 20} MiB", file=sys.stderr)
        assert (served.root / "one" / "hello.txt").read_bytes() == b"hello\n"
        assert served.resident() < 150 << 20
        assert served.cpu_seconds() < 2  # what it takes where nothing else runs
