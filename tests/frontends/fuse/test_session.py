"""The life of a mount in the background, seen by who starts and ends it."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagefs.frontends.fuse import attach, session
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


@pytest.mark.parametrize("sandbox", ["sandbox", "nosandbox"])
def test_a_signal_that_comes_too_late_changes_nothing(
    image: Path, folder: Path, run_imagefs: Run, sandbox: str
) -> None:
    """The mount is live and told so; the command is about to end, when Python has taken its handlers away already."""
    code = f"""
import os, sys
from imagefs.cli import main
class Late:
    def __del__(self, kill=os.kill, me=os.getpid()):
        kill(me, {int(signal.SIGTERM)})
late = Late()
sys.exit(main(["mount", "-o", "{sandbox}", *sys.argv[1:]]))
"""
    words = [sys.executable, "-c", code, str(image), str(folder)]
    assert subprocess.run(words, capture_output=True, timeout=20, check=False).returncode == 0
    assert (folder / "hello.txt").read_text() == "hello\n"
    assert run_imagefs("umount", folder).returncode == 0


@pytest.mark.parametrize("sandbox", ["sandbox", "nosandbox"])
def test_of_two_mounts_at_once_in_one_place_one_is_refused(image: Path, folder: Path, sandbox: str) -> None:
    """Each pauses between looking whether the place is free and mounting there."""
    code = f"""
import sys, time
from imagefs.frontends.fuse import attach
from imagefs.cli import main
mount = attach.attach
def mount_later(*words):
    time.sleep(0.5)
    return mount(*words)
attach.attach = mount_later
sys.exit(main(["mount", "-o", "{sandbox}", *sys.argv[1:]]))
"""
    words = [sys.executable, "-c", code, str(image), str(folder)]
    both = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=20)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 71]
    assert b"is already mounted on" in b"".join(said)
    assert len(mounts_below(folder.parent)) == 1


def test_who_holds_a_lock_for_ever_stops_no_mount(image: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody who can open a folder can lock it."""
    monkeypatch.setattr(session, "MOUNTING_SECONDS", 0.05)
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with session.prepared(str(folder)) as place:
        assert place == str(folder)
    os.close(held)


@needs_root
def test_root_makes_no_folder_where_others_could_put_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "runtime_folder", lambda: str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    (tmp_path / "home" / "images").mkdir(parents=True)
    image = str(tmp_path / "home" / "images" / "disc.iso")
    (tmp_path / "home" / "images" / "disc.iso").touch()
    assert session.make_mountpoint(image) == str(tmp_path / "home" / "images" / "disc")
    os.chown(tmp_path / "home", 1000, 1000)  # he can give the folder in it another name
    assert session.make_mountpoint(image) == str(tmp_path / "run" / "disc")
    os.chown(tmp_path / "home", 0, 0)
    (tmp_path / "home").chmod(0o777)
    assert session.make_mountpoint(image) == str(tmp_path / "run" / "disc (2)")
    (tmp_path / "home").chmod(0o1777)
    assert session.make_mountpoint(image) == str(tmp_path / "home" / "images" / "disc (2)")


def test_no_folder_is_made_beside_a_device_or_a_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "runtime_folder", lambda: str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    assert session.make_mountpoint("/dev/null") == str(tmp_path / "run" / "null")
    (tmp_path / "disc.iso").touch()
    with open(tmp_path / "disc.iso", "rb") as file:
        number = file.fileno()
        assert session.make_mountpoint(f"/dev/fd/{number}") == str(tmp_path / "run" / f"{number}")


@needs_root
def test_the_runtime_folder_is_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sudo may leave root another's XDG_RUNTIME_DIR; what is in there may be a link to anywhere."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert session.runtime_folder() == str(tmp_path / "imagefs")
    assert os.stat(tmp_path / "imagefs").st_mode & 0o777 == 0o755  # root's services show their mounts there
    (tmp_path / "imagefs").rmdir()
    (tmp_path / "imagefs").symlink_to("/etc")
    with pytest.raises(OSError, match="belongs to somebody else"):
        session.runtime_folder()
    os.chown(tmp_path, 1000, 1000)
    assert not session.runtime_folder().startswith(str(tmp_path))


# --- where ----------------------------------------------------------------------------------------------------------


def test_a_link_to_the_mount_point_is_the_mount_point(image: Path, folder: Path, run_imagefs: Run) -> None:
    link = folder.with_name("link")
    link.symlink_to(folder)
    assert run_imagefs("mount", image, link).returncode == 0
    for again in (link, folder):
        done = run_imagefs("mount", image, again)
        said = f"{image} is already mounted on {folder}; `imagefs umount` takes it away"
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


@pytest.mark.parametrize("sandbox", ["sandbox", "nosandbox"])
def test_what_is_wrong_with_an_image_is_said_as_by_other_commands(
    image: Path, folder: Path, run_imagefs: Run, sandbox: str
) -> None:
    os.truncate(image, image.stat().st_size - 160 * 2048)  # 150 of them are padding
    mounted = run_imagefs("mount", "-o", sandbox, image, folder)
    assert mounted.returncode == 0
    assert line(mounted) == line(run_imagefs("ls", image))
    assert line(mounted).startswith(f"imagefs: {image}: warning: the image ends ")
    assert run_imagefs("umount", folder).returncode == 0


def test_who_holds_a_busy_mount_is_named(image: Path, folder: Path, run_imagefs: Run) -> None:
    assert run_imagefs("mount", image, folder).returncode == 0
    with subprocess.Popen(["sleep", "60"], cwd=folder) as holder:
        refused = run_imagefs("umount", folder)
        said = f"busy; in use by sleep ({holder.pid}); leave it, or use --lazy"
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
@needs_root
def test_no_link_on_the_way_leads_root_to_another_mount(tmp_path: Path) -> None:
    """Somebody may exchange his folder for a link after it was looked where the mount is."""
    (tmp_path / "of root" / "place").mkdir(parents=True)
    place = tmp_path / "of root" / "place"
    subprocess.run(["mount", "-t", "tmpfs", "other", place], check=True)
    (tmp_path / "his").symlink_to(tmp_path / "of root")
    with pytest.raises(OSError, match="Not a directory") as refused:
        attach.detach(str(tmp_path / "his" / "place"), lazy=True)
    assert refused.value.filename == str(tmp_path / "his" / "place")
    assert [mount.mountpoint for mount in mounts_below(tmp_path)] == [str(place)]
    attach.detach(str(place))
    assert mounts_below(tmp_path) == []


def test_what_is_mounted_over_it_is_left_alone(image: Path, folder: Path, run_imagefs: Run) -> None:
    assert run_imagefs("mount", image, folder).returncode == 0
    subprocess.run(["mount", "-t", "tmpfs", "over", folder], check=True)
    done = run_imagefs("umount", folder)
    said = "over (tmpfs) is mounted over it; unmount that first"
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
