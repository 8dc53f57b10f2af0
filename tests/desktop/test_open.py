"""`imagefs open`: mounts under ~/imagefs, shown in the file manager, gone without a trace."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagefs.desktop import folder
from imagefs.frontends.fuse import mountinfo
from tests.cli.conftest import Result

pytestmark = pytest.mark.fuse
Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home folder; whatever is mounted in it at the end is taken away."""
    home = tmp_path / "home"
    home.mkdir()
    yield home
    for mount in mountinfo.all_mounts():
        if mount.mountpoint.startswith(f"{home}/"):
            subprocess.run([sys.executable, "-m", "imagefs", "umount", "--lazy", mount.mountpoint], check=False)


@pytest.fixture
def run(home: Path) -> Run:
    """run("open", image) on a machine without a screen; more variables may give it one."""

    def run(*words: object, **more: str) -> Result:
        environment = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
        environment |= {"HOME": str(home)} | more
        command = [sys.executable, "-m", "imagefs", *map(str, words)]
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, cwd="/"
        )
        assert b"Traceback" not in done.stderr
        return Result(done.returncode, done.stdout, done.stderr.decode().splitlines())

    return run


@pytest.fixture
def image(tree: Path, make_iso: Callable[..., Path]) -> Path:
    return make_iso(tree, "-R", name="My disc.iso")


@pytest.fixture
def desktop(tmp_path: Path) -> dict[str, str]:
    """Variables of a desktop whose programs write down their words and their name."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("xdg-open", "notify-send", "zenity", "kdialog"):
        (tools / name).write_text(
            f'#!{sys.executable}\nimport sys\nopen("{tmp_path}/shown", "a").write(repr(sys.argv) + "\\n")\n'
        )
        (tools / name).chmod(0o755)
    return {"DISPLAY": ":7", "PATH": f"{tools}:{os.environ['PATH']}"}


def shown(tmp_path: Path) -> list[list[str]]:
    path = tmp_path / "shown"
    return [eval(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.foreign
def test_there_and_back(image: Path, home: Path, run: Run) -> None:
    place = home / "imagefs" / "My disc"
    assert run("open", image) == (0, f"{place}\n".encode(), [])
    assert (place / "hello.txt").read_bytes() == b"hello\n"
    assert run("open", "--unmount", image) == (0, b"", [])
    assert list((home / "imagefs").iterdir()) == []
    assert (home / "imagefs").stat().st_mode & 0o777 == 0o700


@pytest.mark.foreign
def test_an_image_that_is_open_is_shown_again(image: Path, home: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "link.iso").symlink_to(image)
    first = run("open", image)
    assert run("open", image) == first
    assert run("open", tmp_path / "link.iso") == first
    assert len(list((home / "imagefs").iterdir())) == 1
    assert run("open", "-u", home / "imagefs" / "My disc").status == 0


@pytest.mark.foreign
def test_images_of_one_name_stand_side_by_side(image: Path, home: Path, run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other" / image.name
    other.parent.mkdir()
    other.write_bytes(image.read_bytes())
    run("open", image)
    assert run("open", other).out == f"{home}/imagefs/My disc (2)\n".encode()
    for path in (image, other):
        assert run("umount", path).status == 0
    assert list((home / "imagefs").iterdir()) == []


@pytest.mark.foreign
def test_two_clicks_are_one_mount(image: Path, home: Path, run: Run) -> None:
    results: list[Result] = []
    clicks = [threading.Thread(target=lambda: results.append(run("open", image))) for _ in range(3)]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    assert results == [(0, f"{home}/imagefs/My disc\n".encode(), [])] * 3


@pytest.mark.foreign
def test_a_folder_with_files_in_it_is_left_alone(image: Path, home: Path, run: Run) -> None:
    kept = home / "imagefs" / "My disc" / "file"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    assert run("open", image).out == f"{home}/imagefs/My disc (2)\n".encode()
    assert run("umount", image).status == 0
    assert kept.read_text() == "mine"


@pytest.mark.foreign
def test_an_empty_folder_of_a_crash_is_taken_again(image: Path, home: Path, run: Run) -> None:
    (home / "imagefs" / "My disc").mkdir(parents=True)
    assert run("open", image).out == f"{home}/imagefs/My disc\n".encode()


@pytest.mark.foreign
def test_a_file_manager_shows_it(image: Path, home: Path, run: Run, tmp_path: Path, desktop: dict[str, str]) -> None:
    assert run("open", image, **desktop) == (0, b"", [])
    (words,) = shown(tmp_path)
    assert words[1:] == [f"{home}/imagefs/My disc"]


@pytest.mark.foreign
def test_no_file_manager_is_no_failure(
    image: Path, home: Path, run: Run, tmp_path: Path, desktop: dict[str, str]
) -> None:
    (tmp_path / "tools" / "xdg-open").write_text("#!/bin/sh\nexit 3\n")
    assert run("open", image, **desktop) == (0, f"{home}/imagefs/My disc\n".encode(), [])


HOSTILE = "<b>x & \x1b[2J.iso"


def test_what_goes_wrong_is_one_line_and_leaves_nothing(home: Path, run: Run, tmp_path: Path) -> None:
    path = tmp_path / HOSTILE
    path.write_text("no image at all\n" * 9000)
    done = run("open", path)
    assert (done.status, done.out, len(done.errors)) == (65, b"", 1)
    assert list((home / "imagefs").iterdir()) == []
    assert run("open", tmp_path / "missing.iso").status == 66
    assert run("open", "-o", "colour=red", path).status == 64
    assert run("open", "--unmount", path).status == 66


@pytest.mark.parametrize("first", ["notify-send", "zenity", "kdialog"])
def test_what_goes_wrong_is_shown_where_there_is_no_terminal(
    home: Path, run: Run, tmp_path: Path, desktop: dict[str, str], first: str
) -> None:
    """By the first program that can; nothing in a name is taken for markup or moves a terminal."""
    path = tmp_path / HOSTILE
    path.write_text("no image at all\n" * 9000)
    for name in ("notify-send", "zenity", "kdialog"):
        if name == first:
            break
        (tmp_path / "tools" / name).write_text("#!/bin/sh\nexit 5\n" if name == "zenity" else "#!/bin/sh\nexit 1\n")
    done = run("open", path, **desktop)
    assert (done.status, len(done.errors)) == (65, 1)
    (words,) = shown(tmp_path)
    assert os.path.basename(words[0]) == first
    assert "nothing in it is known to imagefs" in words[-1]
    assert "\x1b" not in words[-1] and "\\x1b" in words[-1]
    if first == "zenity":
        assert "--no-markup" in words
    else:
        assert "&lt;b&gt;x &amp; " in words[-1]


def test_nothing_is_shown_on_success_or_without_a_screen(
    home: Path, run: Run, tmp_path: Path, desktop: dict[str, str]
) -> None:
    run("open", tmp_path / "missing.iso", PATH=desktop["PATH"])
    assert shown(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_home_of_another_is_refused(image: Path, home: Path, run: Run) -> None:
    """As under sudo with HOME kept: he could put a link to anywhere in the place of what root is about to mount on."""
    (home / "imagefs").mkdir()
    os.chown(home / "imagefs", 1000, 1000)
    done = run("open", image)
    assert (done.status, done.errors) == (71, [f"imagefs: {image}: belongs to somebody else: {home}/imagefs"])


def test_a_place_is_never_a_link(tmp_path: Path) -> None:
    """Whoever may write there must not lead a mount elsewhere."""
    (tmp_path / "target").mkdir()
    (tmp_path / "disc").symlink_to(tmp_path / "target")
    assert folder.place_for(str(tmp_path), "/srv/disc.iso") == f"{tmp_path}/disc (2)"


@pytest.mark.foreign
def test_a_dead_mount_is_replaced(image: Path, home: Path, run: Run) -> None:
    """A daemon that was killed leaves its mount; the same image comes back at the same place."""
    place = run("open", "-o", "nosandbox", image).out.decode().rstrip("\n")
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            links = {os.readlink(entry.path) for entry in os.scandir(f"/proc/{process}/fd")}
        except OSError:
            continue
        if {"/dev/fuse", str(image)} <= links:
            os.kill(int(process), 9)
    done = run("open", image)
    assert (done.status, done.out.decode()) == (0, f"{place}\n")
    assert Path(place, "hello.txt").read_bytes() == b"hello\n"
    assert run("umount", image).status == 0
    assert list((home / "imagefs").iterdir()) == []
