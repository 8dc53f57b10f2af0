"""mount.imagefs as mount(8) calls it: its words, its exit statuses, and mount(8) itself where this is root."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagefs.cli import mount_helper
from imagefs.cli.mount_helper import main
from imagefs.frontends.fuse import attach, mountinfo, session

HELPER = "/sbin/mount.imagefs"


@pytest.fixture
def image(tree: Path, make_iso: Callable[..., Path]) -> Path:
    return make_iso(tree, "-R")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mnt"
    folder.mkdir()
    return folder


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, object]]:
    """What would have been mounted; nothing really is."""
    calls: list[tuple[str, str, object]] = []

    def mount(path: str, folder: str, options: object) -> int:
        calls.append((path, folder, options))
        return 0

    monkeypatch.setattr(session, "mount_image", mount)
    return calls


def test_words_as_mount_passes_them(mounted: list[tuple[str, str, object]], capsys: pytest.CaptureFixture[str]) -> None:
    words = "rw,noexec,nosuid,nodev,tree=iso,uid=5,nofail,_netdev,user,helper=x"
    assert main(["/srv/a b.iso", "/mnt/a", "-n", "-v", "-o", words, "-t", "imagefs"]) == 0
    ((path, folder, options),) = mounted
    assert (path, folder) == ("/srv/a b.iso", "/mnt/a")
    assert (options.tree, options.uid, options.noexec) == ("iso", 5, True)  # type: ignore[attr-defined]
    assert capsys.readouterr().out == "mount.imagefs: /srv/a b.iso is mounted on /mnt/a, read-only\n"


def test_fake_checks_everything_and_mounts_nothing(
    image: Path, folder: Path, mounted: list[tuple[str, str, object]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(image), str(folder), "-f", "-o", "ro"]) == 0
    assert main([str(image), str(folder / "none"), "-f", "-o", "ro"]) == 32
    assert main([str(folder), str(folder), "-f", "-o", "ro"]) == 32
    assert mounted == []
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 1, "usage:"),
        (["source"], 1, "usage:"),
        (["source", ""], 32, "there is no such file"),
        (["source", "", "-o", "remount"], 1, "the name of the mount point is empty"),
        (["source", "dir", "-Z"], 1, "option -Z not recognized"),
        (["source", "dir", "-o", "colour=red"], 1, "'colour=red' is not known"),
        (["source", "dir", "-o", "tree=ntfs"], 1, "tree=ntfs is not understood"),
        (["/no/such.iso", "dir", "-o", "ro"], 32, "there is no such file"),
        (["a", "b", "-o", "remount,rw"], 32, "read-only"),
        (["a", "/", "-o", "remount,ro"], 32, "no imagefs is mounted there"),
    ],
)
def test_refusals_are_one_line(words: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("mount.imagefs: ") and said in line


def test_names_steer_no_terminal(
    mounted: list[tuple[str, str, object]], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["/srv/\x1b[2J\udce9.iso", "/mnt", "-f"]) == 32
    assert main(["/srv/\x1b[2J\udce9.iso", "/mnt", "-v"]) == 0
    said = capfdbinary.readouterr()
    assert said.err == rb"mount.imagefs: /srv/\x1b[2J\xe9.iso: there is no such file" + b"\n"
    assert said.out == rb"mount.imagefs: /srv/\x1b[2J\xe9.iso is mounted on /mnt, read-only" + b"\n"


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if an image were mounted wherever one looks."""
    info = mountinfo.MountInfo("/srv/a.iso", "/mnt", "ro,nosuid,nodev", of_fs="ro,user_id=0,group_id=0,allow_other")
    monkeypatch.setattr(mountinfo, "mounted_at", lambda place: info)


@pytest.mark.parametrize(
    "options",
    [
        "remount,ro",
        "ro,remount,noexec,relatime,nofail",
        "remount",
        "remount,ro,nosuid,nodev,relatime,user_id=0,group_id=0,allow_other,x-systemd.automount",
    ],
)
def test_a_remount_that_changes_nothing_succeeds(
    options: str, mounted: list[tuple[str, str, object]], there: None
) -> None:
    assert main(["/srv/a.iso", "/mnt", "-o", options]) == 0
    assert mounted == []


@pytest.mark.parametrize("option", ["tree=iso", "uid=5", "user_id=5"])
def test_a_remount_that_would_change_something(option: str, there: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/srv/a.iso", "/mnt", "-o", f"remount,ro,{option}"]) == 32
    said = f"mount.imagefs: a mount cannot be changed ({option}): unmount it and mount it again\n"
    assert capsys.readouterr().err == said


def test_fake_leaves_a_dead_mount_to_the_mount_itself(
    image: Path, folder: Path, there: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    detached: list[str] = []
    monkeypatch.setattr(mountinfo, "is_dead", lambda place: True)
    monkeypatch.setattr(attach, "detach", lambda place, lazy: detached.append(place))
    assert main([str(image), str(folder), "-f", "-o", "ro"]) == 0
    assert detached == []


def test_a_signal_before_the_mount_is_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "mount_image", lambda path, folder, options: 128 + 15)
    assert main(["a", "b", "-o", "ro"]) == mount_helper.INTERRUPTED


def test_a_namespace_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a", "b", "-N", "/dev/null", "-o", "ro"]) == mount_helper.SYSTEM
    assert capsys.readouterr().err.startswith("mount.imagefs: cannot enter the namespace: ")


def test_sloppy_lets_unknown_options_pass(mounted: list[tuple[str, str, object]]) -> None:
    assert main(["a", "b", "-s", "-o", "ro,colour=red,uid=7"]) == 0
    assert mounted[0][2].uid == 7  # type: ignore[attr-defined]


def test_nofail_and_no_image_is_no_failure(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.iso"), str(folder), "-o", "ro,nofail"]) == 0
    assert capsys.readouterr().err == ""
    (tmp_path / "text.iso").write_text("not an image\n")
    assert main([str(tmp_path / "text.iso"), str(folder), "-o", "ro,nofail"]) == 32


def test_no_device_is_an_error_of_the_system(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*words: object) -> int:
        raise FileNotFoundError(2, "No such file or directory", "/dev/fuse")

    monkeypatch.setattr(session, "mount_image", fail)
    assert main(["a", "b", "-o", "ro"]) == mount_helper.SYSTEM
    assert "/dev/fuse" in capsys.readouterr().err


@pytest.fixture
def installed() -> Iterator[None]:
    """The helper where mount(8) looks for it."""
    if os.path.lexists(HELPER):
        yield
        return
    root = Path(__file__).parents[2]
    Path(HELPER).write_text(
        f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -m imagefs.cli.mount_helper "$@"\n'
    )
    try:
        Path(HELPER).chmod(0o755)
        yield
    finally:
        Path(HELPER).unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="mount(8) is root's")
def test_mount_itself(image: Path, folder: Path, tree: Path, installed: None) -> None:
    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=30)

    try:
        done = run("mount", "-t", "imagefs", "-o", "noexec,nofail,x-gvfs-show", image, folder)
        assert (done.returncode, done.stderr) == (0, "")
        assert (folder / "hello.txt").read_bytes() == (tree / "hello.txt").read_bytes()
        mounts = map(str.split, Path("/proc/mounts").read_text().splitlines())
        (line,) = [words for words in mounts if words[1] == str(folder)]
        assert line[2] == "fuse.imagefs" and {"ro", "nosuid", "nodev", "noexec"} <= set(line[3].split(","))
        again = run("mount", "-t", "imagefs", image, folder)
        assert again.returncode == 32 and "already mounted" in again.stderr
        assert run("mount", "-t", "imagefs", "-o", "remount,rw", image, folder).returncode == 32
    finally:
        assert run("umount", folder).returncode == 0
    assert list(folder.iterdir()) == []
