"""imagefsd.service and its socket: a folder of images as folders, for the system and for a user."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.box import USER, USER_ID, Box
from tests.systemd.conftest import CONTENT, DISC, IMAGES

pytestmark = [pytest.mark.slow, pytest.mark.fuse]

UNIT, SOCKET = "imagefsd.service", "imagefsd.socket"
ROOT = "/srv/library"
CONFIG = "/etc/imagefs/imagefs.toml"
TEXT = f"""
root = "{ROOT}"
options = "allow_other"
watch = ["{IMAGES}"]
"""


@pytest.fixture(scope="module")
def box(images: Path) -> Iterator[Box]:
    with Box({CONFIG: TEXT}, {IMAGES: images}) as box:
        yield box


@pytest.fixture
def unit(box: Box) -> Iterator[str]:
    """The service, which is not running before and after."""
    yield UNIT
    box.systemctl("stop", SOCKET, UNIT)
    box.systemctl("reset-failed", check=False)
    box.write(CONFIG, TEXT)


def hello(box: Box, name: str, user: str = "", root: str = ROOT) -> bytes:
    return box.run("cat", f"{root}/{name}/hello.txt", user=user).stdout.encode()


def names(box: Box) -> list[str]:
    return box.run("ls", ROOT).stdout.split()


def test_start_means_that_all_images_are_there_and_stop_that_none_is(box: Box, unit: str) -> None:
    box.systemctl("start", unit)
    assert [mount.mountpoint for mount in box.mounts()] == [ROOT]
    assert names(box) == ["disc"]
    assert hello(box, "disc", USER) == CONTENT
    assert box.show(unit, "StatusText").startswith("serving 1 image")
    assert box.run("stat", "-c", "%a %U", "/run/imagefs/control.sock").stdout == "600 root\n"
    box.systemctl("stop", unit)
    assert (box.mounts(), box.show(unit, "Result")) == ([], "success")


def test_an_image_that_appears_while_it_runs(box: Box, unit: str, images: Path) -> None:
    box.systemctl("start", unit)
    (images / "later.iso").hardlink_to(images / "disc.iso")
    try:
        box.wait(lambda: "later" in names(box), "later is there")
        assert hello(box, "later") == CONTENT
    finally:
        (images / "later.iso").unlink()
    box.wait(lambda: "later" not in names(box), "later is gone")


def test_reload(box: Box, unit: str) -> None:
    box.systemctl("start", unit)
    box.write(CONFIG, f'{TEXT}[[image]]\npath = "{DISC}"\nname = "twice"\n')
    box.systemctl("reload", unit)
    assert hello(box, "twice") == CONTENT
    box.write(CONFIG, f"{TEXT}colour = 1\n")
    assert box.systemctl("reload", unit, check=False).returncode == 1
    assert f"{CONFIG}:5: key 'colour' is not known" in box.journal("-u", unit)
    assert hello(box, "twice") == CONTENT


def test_a_broken_configuration_is_told_and_not_tried_again(box: Box, unit: str) -> None:
    box.write(CONFIG, "root = 1\n")
    assert box.systemctl("start", unit, check=False).returncode == 1
    assert (box.show(unit, "ExecMainStatus"), box.show(unit, "NRestarts")) == ("64", "0")
    assert f"{CONFIG}:1: root takes a path" in box.journal("-u", unit)


def test_a_command_starts_the_daemon_by_its_socket(box: Box, unit: str) -> None:
    box.systemctl("start", SOCKET)
    assert box.show(unit, "ActiveState") == "inactive"
    assert box.run("imagefs", "attach", DISC, "mine").stdout == f"{ROOT}/mine\n"
    assert box.show(unit, "ActiveState") == "active"
    assert hello(box, "mine") == CONTENT
    assert f"{DISC} on {ROOT}/mine " in box.run("imagefs", "list").stdout
    box.run("imagefs", "detach", "mine")
    assert "mine" not in names(box)
    refused = box.run("imagefs", "attach", DISC, user=USER, check=False)
    assert refused.returncode != 0
    assert names(box) == ["disc"]


def test_a_killed_daemon_is_started_again(box: Box, unit: str) -> None:
    box.systemctl("start", unit)
    box.signal(unit, signal.SIGKILL)
    box.wait(lambda: box.show(unit, "NRestarts") == "1" and box.show(unit, "ActiveState") == "active", "started again")
    assert len(box.mounts()) == 1
    assert hello(box, "disc") == CONTENT
    assert box.run("imagefs", "list").returncode == 0  # the socket outlived it


def test_the_death_of_either_process_leaves_no_mount_behind(box: Box, unit: str) -> None:
    """The keeper's is cleared up after by ExecStopPost, the worker's by the keeper, which says so."""
    for number, whom in enumerate((1, 0), 1):
        box.systemctl("start", unit)
        pids = sorted(box.processes(unit))
        assert len(pids) == 2
        os.kill(pids[whom], signal.SIGKILL)
        box.wait(
            lambda: box.show(unit, "NRestarts") == str(number) and box.show(unit, "ActiveState") == "active",  # noqa: B023
            "started again",
        )
        assert set(box.processes(unit)).isdisjoint(pids)
        assert len(box.mounts()) == 1
        assert hello(box, "disc") == CONTENT
    assert "the process that reads the images was ended by SIGKILL" in box.journal("-u", unit)


def test_it_is_confined_and_reads_what_root_alone_may(box: Box, unit: str, images: Path) -> None:
    (images / "closed.iso").write_bytes((images / "disc.iso").read_bytes())
    (images / "closed.iso").chmod(0o600)
    try:
        box.systemctl("start", unit)
        assert hello(box, "closed") == CONTENT
        assert "sandbox  landlock+seccomp\n" in box.run("imagefs", "status").stdout
        worker = max(box.processes(unit))
        lines = Path(f"/proc/{worker}/status").read_text().splitlines()
        found = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
        assert (found["NoNewPrivs"], found["Seccomp"], found["CapBnd"]) == (["1"], ["2"], ["0" * 16])
        assert int(found["CapEff"][0], 16) == 1 << 2 | 1 << 28  # reading and searching, leases
        refused = box.run("imagefs", "attach", "/etc/hostname", check=False)
        assert (refused.returncode, "the sandbox keeps the daemon out of /etc" in refused.stderr) == (77, True)
    finally:
        (images / "closed.iso").unlink()


def test_a_daemon_that_hangs_is_killed_and_started_again(box: Box, unit: str) -> None:
    box.write(f"/run/systemd/system/{unit}.d/hasty.conf", "[Service]\nWatchdogSec=1\n")
    box.systemctl("daemon-reload")
    try:
        box.systemctl("start", unit)
        box.signal(unit, signal.SIGSTOP)
        box.wait(lambda: box.show(unit, "NRestarts") == "1" and box.show(unit, "ActiveState") == "active", "again")
        assert hello(box, "disc") == CONTENT
    finally:
        box.path(f"/run/systemd/system/{unit}.d/hasty.conf").unlink()
        box.systemctl("daemon-reload")


def test_stop_with_open_files(box: Box, unit: str) -> None:
    box.systemctl("start", unit)
    with box.running(f"cd {ROOT}/disc && exec 3<hello.txt && echo open && exec sleep 60") as said:
        assert said == "open"
        box.systemctl("stop", unit, timeout=5)
        assert (box.mounts(), box.processes(unit), box.show(unit, "Result")) == ([], [], "success")


def test_the_daemon_of_a_user(box: Box) -> None:
    root = f"/home/{USER}/library"
    box.write(f"/home/{USER}/.config/imagefs/imagefs.toml", f'root = "{root}"\nwatch = ["{IMAGES}"]\n')
    box.systemctl("start", f"user@{USER_ID}.service")
    try:
        box.run("systemctl", "--user", "start", SOCKET, user=USER)
        assert f"{root}/disc" in box.run("imagefs", "list", user=USER).stdout
        assert hello(box, "disc", USER, root) == CONTENT
        assert [mount.mountpoint for mount in box.mounts()] == [root]
        assert box.run("systemctl", "--user", "is-active", UNIT, user=USER).stdout == "active\n"
        assert "sandbox  landlock+seccomp\n" in box.run("imagefs", "status", user=USER).stdout
        box.run("systemctl", "--user", "stop", SOCKET, UNIT, user=USER)
        assert box.mounts() == []
    finally:
        box.systemctl("stop", f"user@{USER_ID}.service")


def test_without_a_configuration_nothing_listens(box: Box, unit: str) -> None:
    box.path(CONFIG).unlink()
    box.systemctl("start", SOCKET)
    assert box.show(SOCKET, "ActiveState") == "inactive"
    assert box.systemctl("start", unit, check=False).returncode == 1
