"""The life of a mount in the background, seen by who starts and ends it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagefs.frontends.fuse import session
from imagefs.frontends.fuse.mountinfo import MountInfo, all_mounts

pytestmark = [pytest.mark.fuse, pytest.mark.foreign]
Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")


@pytest.fixture
def image(tmp_path: Path, tree: Path, make_iso: Callable[..., Path]) -> Path:
    (tmp_path / "images").mkdir()
    return make_iso(tree, "-R", name="images/disc.iso")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mount"
    folder.mkdir()
    return folder


def mounts_below(top: Path) -> list[MountInfo]:
    return [mount for mount in all_mounts() if mount.mountpoint.startswith(f"{top}/")]


@pytest.fixture(autouse=True)
def nothing_stays_mounted(tmp_path: Path) -> Iterator[None]:
    yield
    for mount in reversed(mounts_below(tmp_path)):
        words = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-uz"]
        subprocess.run([*words, mount.mountpoint], check=False)


def keeper_of(server: int) -> int:
    """The process that would unmount when the one that serves died, and with which that one dies."""
    return int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])


def line(done: "subprocess.CompletedProcess[bytes]") -> str:
    """The one line that was said on standard error."""
    (only,) = done.stderr.decode().splitlines()
    return only


# --- starting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors(image: Path, folder: Path, run_imagefs: Run, closed: str) -> None:
    """The image must not get their numbers: they are pointed to /dev/null in the background."""
    words = [sys.executable, "-m", "imagefs", "mount", str(image), str(folder)]
    assert subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *words], timeout=20, check=False).returncode == 0
    server = next(p for p in session._processes() if session._serves(p, str(image)))
    links = [os.readlink(f"/proc/{server}/fd/{number}") for number in range(3)]
    assert links == ["/dev/null"] * 3
    assert (folder / "random.bin").stat().st_size == 100_000
    assert run_imagefs("umount", folder).returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_what_cannot_be_told_is_undone(image: Path, run_imagefs: Run) -> None:
    """Nobody would know where the mount is."""
    with open("/dev/full", "wb") as full:
        done = run_imagefs("mount", image, stdout=full)
    assert (done.returncode, line(done)) == (71, f"imagefs: {image}: No space left on device")
    assert os.listdir(image.parent) == ["disc.iso"]
    assert mounts_below(image.parent) == []


def test_a_folder_is_made_named_and_removed(image: Path, run_imagefs: Run) -> None:
    odd = image.with_name(os.fsdecode(b"b\xffd\n.iso"))
    image.rename(odd)
    made = odd.with_suffix("")
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    done = run_imagefs("mount", odd, env=strict)
    assert (done.returncode, done.stdout, done.stderr) == (0, os.fsencode(made) + b"\n", b"")
    assert (made / "hello.txt").read_text() == "hello\n"
    assert run_imagefs("umount", odd).returncode == 0
    assert os.listdir(odd.parent) == [odd.name]


@pytest.mark.parametrize("sandbox", ["sandbox", "nosandbox"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_it_starts_undoes_it(image: Path, folder: Path, number: int, sandbox: str) -> None:
    """Sent from inside, where the mount has just been made."""
    code = f"""
import os, sys
from imagefs.frontends.fuse import attach
from imagefs.cli import main
mount = attach.attach
def mount_and_be_told_to_end(*words):
    device = mount(*words)
    os.kill(os.getpid(), {int(number)})
    return device
attach.attach = mount_and_be_told_to_end
sys.exit(main(["mount", "-o", "{sandbox}", *sys.argv[1:]]))
"""
    words = [sys.executable, "-c", code, str(image), str(folder)]
    done = subprocess.run(words, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (128 + number, b"")
    assert mounts_below(folder.parent) == []
    assert subprocess.run([*words[:3], "-f", *words[3:]], timeout=20, check=False).returncode == 0
    assert mounts_below(folder.parent) == []


# --- where ----------------------------------------------------------------------------------------------------------


def test_a_link_to_the_mount_point_is_the_mount_point(image: Path, folder: Path, run_imagefs: Run) -> None:
    link = folder.with_name("link")
    link.symlink_to(folder)
    assert run_imagefs("mount", image, link).returncode == 0
    for again in (link, folder):
        done = run_imagefs("mount", image, again)
        said = f"{image} is already mounted there; imagefs umount it first: {folder}"
        assert (done.returncode, line(done)) == (71, f"imagefs: {image}: {said}")
    assert len(mounts_below(folder.parent)) == 1
    assert run_imagefs("umount", link).returncode == 0
    assert mounts_below(folder.parent) == []


def test_relative_paths(image: Path, folder: Path, run_imagefs: Run) -> None:
    assert run_imagefs("mount", "../images/disc.iso", ".", cwd=folder).returncode == 0
    assert (folder / "hello.txt").read_text() == "hello\n"
    assert [mount.source for mount in mounts_below(folder.parent)] == [str(image)]
    assert run_imagefs("umount", "../images/../mount/", cwd=image.parent).returncode == 0


def test_a_folder_with_something_in_it_is_covered_for_the_time(image: Path, run_imagefs: Run) -> None:
    """As mount(8) has it; here the image itself is what is covered."""
    before = os.listdir(image.parent)
    assert run_imagefs("mount", image, image.parent).returncode == 0
    assert "hello.txt" in os.listdir(image.parent)
    assert run_imagefs("umount", image.parent).returncode == 0
    assert os.listdir(image.parent) == before


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("nothing", 66, "the mount point {} does not exist; make the directory first"),
        ("dangling", 66, "the mount point {}-target does not exist; make the directory first"),
        ("file", 64, "the mount point {} is not a directory"),
        ("file/x", 66, "the mount point {} does not exist; make the directory first"),
    ],
)
def test_mount_points_that_are_none(
    image: Path, tmp_path: Path, run_imagefs: Run, name: str, status: int, said: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("dangling-target")
    done = run_imagefs("mount", image, tmp_path / name)
    assert (done.returncode, line(done)) == (status, f"imagefs: {image}: {said.format(tmp_path / name)}")


# --- ending ---------------------------------------------------------------------------------------------------------


def test_umount_waits_for_its_own_daemon_alone(image: Path, folder: Path, run_imagefs: Run) -> None:
    other = folder.with_name("other")
    other.mkdir()
    for place in (folder, other):
        assert run_imagefs("mount", image, place).returncode == 0
    refused = run_imagefs("umount", image)
    assert refused.returncode == 64
    assert line(refused).endswith(f"it is mounted in several places, name one: {folder}, {other}")
    began = time.monotonic()
    assert run_imagefs("umount", folder).returncode == 0
    assert time.monotonic() - began < session.RELEASE_SECONDS
    assert [mount.mountpoint for mount in mounts_below(folder.parent)] == [str(other)]
    assert run_imagefs("umount", image).returncode == 0


def test_umount_by_another_name_of_the_image(image: Path, folder: Path, run_imagefs: Run) -> None:
    link = image.with_name("link.iso")
    link.symlink_to(image)
    for mounted, named in ((image, link), (link, image)):
        assert run_imagefs("mount", mounted, folder).returncode == 0
        assert [mount.source for mount in mounts_below(folder.parent)] == [str(mounted)]
        assert run_imagefs("umount", named).returncode == 0
        assert not any(session._serves(process, str(image)) for process in session._processes())


def test_who_holds_a_busy_mount_is_named(image: Path, folder: Path, run_imagefs: Run) -> None:
    assert run_imagefs("mount", image, folder).returncode == 0
    with subprocess.Popen(["sleep", "60"], cwd=folder) as holder:
        refused = run_imagefs("umount", folder)
        said = f"busy; in use by sleep ({holder.pid}); leave it, or use --lazy: {folder}"
        assert (refused.returncode, line(refused)) == (71, f"imagefs: {folder}: {said}")
        assert run_imagefs("umount", "--lazy", folder).returncode == 0
        assert mounts_below(folder.parent) == []
        holder.kill()


def test_a_dead_mount_is_listed_as_dead_and_taken_away(image: Path, folder: Path, run_imagefs: Run) -> None:
    assert run_imagefs("mount", image, folder).returncode == 0
    server = next(int(p) for p in session._processes() if session._serves(p, str(image)))
    os.kill(keeper_of(server), signal.SIGKILL)
    end = time.monotonic() + 5
    while session._serves(str(server), str(image)) and time.monotonic() < end:
        time.sleep(0.005)
    (found,) = (m for m in json.loads(run_imagefs("list", "--json").stdout) if m["mountpoint"] == str(folder))
    assert (found["source"], found["alive"]) == (str(image), False)
    assert "ro" in found["options"].split(",")
    assert run_imagefs("umount", folder).returncode == 0
    assert mounts_below(folder.parent) == []


@needs_root
def test_what_is_mounted_over_it_is_left_alone(image: Path, folder: Path, run_imagefs: Run) -> None:
    assert run_imagefs("mount", image, folder).returncode == 0
    subprocess.run(["mount", "-t", "tmpfs", "over", folder], check=True)
    done = run_imagefs("umount", folder)
    said = f"over (tmpfs) is mounted over it; unmount that first: {folder}"
    assert (done.returncode, line(done)) == (71, f"imagefs: {folder}: {said}")
    assert [mount.kind for mount in mounts_below(folder.parent)] == ["fuse.imagefs", "tmpfs"]


@needs_root
def test_a_signal_unmounts_also_under_a_new_name(image: Path, tmp_path: Path, run_imagefs: Run) -> None:
    """A folder above it was renamed meanwhile."""
    (tmp_path / "above" / "m").mkdir(parents=True)
    assert run_imagefs("mount", image, tmp_path / "above" / "m").returncode == 0
    (tmp_path / "above").rename(tmp_path / "renamed")
    server = next(int(p) for p in session._processes() if session._serves(p, str(image)))
    os.kill(server, signal.SIGTERM)
    end = time.monotonic() + 5
    while time.monotonic() < end and session._serves(str(server), str(image)):
        time.sleep(0.005)
    assert mounts_below(tmp_path) == []
    assert os.listdir(tmp_path / "renamed" / "m") == []
