"""imagefs@.service and its path unit under a real systemd."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.box import USER, USER_ID, Box
from tests.systemd.conftest import CONTENT, DISC, IMAGES

pytestmark = [pytest.mark.slow, pytest.mark.fuse]

UNIT = "imagefs@srv-images-disc.iso.service"
PLACE = "/run/imagefs/srv-images-disc.iso"


@pytest.fixture
def unit(box: Box) -> Iterator[str]:
    """The service of the image, which is stopped at the end."""
    yield UNIT
    box.systemctl("stop", UNIT)
    box.systemctl("reset-failed", UNIT, check=False)


def hello(box: Box, place: str, user: str = "") -> bytes:
    return box.run("cat", f"{place}/hello.txt", user=user).stdout.encode()


def test_the_instance_is_the_escaped_path(box: Box, unit: str) -> None:
    assert box.run("systemd-escape", "--path", "--template=imagefs@.service", DISC).stdout.strip() == unit


def test_start_means_mounted_and_stop_means_gone(box: Box, unit: str) -> None:
    box.systemctl("start", unit)
    (mount,) = box.mounts()
    assert (mount.source, mount.mountpoint) == (DISC, PLACE)
    assert {"ro", "nosuid", "nodev"} <= set(mount.options.split(","))
    assert hello(box, PLACE) == CONTENT
    assert hello(box, PLACE, USER) == CONTENT
    box.systemctl("stop", unit)
    assert box.show(unit, "Result") == "success"
    assert box.mounts() == []
    assert not box.path(PLACE).exists()


@pytest.mark.parametrize("options", ["allow_other", "allow_other,engine=pyfuse3", "allow_other,nosandbox"])
def test_confined_or_not(box: Box, options: str) -> None:
    """The unit leaves the daemon the rights that it needs to give up its rights."""
    box.write("/etc/imagefs.d/rights.conf", f"IMAGE={DISC}\nOPTIONS={options}\n")
    try:
        box.systemctl("start", "imagefs@rights")
        status = [Path(f"/proc/{pid}/status").read_text() for pid in box.processes("imagefs@rights")]
        rights = {int(field, 16) for text in status for field in re.findall(r"^CapEff:\s*(\w+)", text, re.MULTILINE)}
        users = {int(field) for text in status for field in re.findall(r"^Uid:\s*(\d+)", text, re.MULTILINE)}
        if "nosandbox" in options:
            assert (0 in rights, users) == (False, {0})
        else:
            assert (0 in rights, users) == (True, {0, 65534})
        assert hello(box, "/run/imagefs/rights", USER) == CONTENT
    finally:
        box.systemctl("stop", "imagefs@rights")
        box.path("/etc/imagefs.d/rights.conf").unlink()
    assert box.mounts() == []


def test_a_short_name_is_looked_up_in_etc(box: Box) -> None:
    box.write(
        "/etc/imagefs.d/short.conf",
        f"IMAGE={DISC}\nMOUNTPOINT='/mnt/a short name'\nOPTIONS=allow_other,uid={USER_ID}\n",
    )
    try:
        box.systemctl("start", "imagefs@short")
        (mount,) = box.mounts()
        assert (mount.source, mount.mountpoint) == (DISC, "/mnt/a short name")
        assert box.run("stat", "-c", "%U", f"{mount.mountpoint}/hello.txt", user=USER).stdout == f"{USER}\n"
        box.systemctl("stop", "imagefs@short")
        assert box.mounts() == []
        assert list(box.path("/mnt/a short name").iterdir()) == []  # the folder is the administrator's, and stays
    finally:
        box.systemctl("stop", "imagefs@short")
        box.path("/etc/imagefs.d/short.conf").unlink()


def test_a_path_of_any_letters(box: Box, images: Path) -> None:
    name = "Grüße, 100% \\ 'so'.iso"
    (images / name).hardlink_to(images / "disc.iso")
    try:
        unit = box.run("systemd-escape", "--path", "--template=imagefs@.service", f"{IMAGES}/{name}").stdout.strip()
        box.systemctl("start", "--", unit)
        (mount,) = box.mounts()
        assert mount.source == f"{IMAGES}/{name}"
        assert hello(box, mount.mountpoint) == CONTENT
        box.systemctl("stop", "--", unit)
        assert box.mounts() == []
    finally:
        (images / name).unlink()


def test_a_killed_daemon_is_started_again(box: Box, unit: str) -> None:
    box.systemctl("start", unit)
    before = box.processes(unit)
    box.signal(unit, signal.SIGKILL)
    box.wait(lambda: box.show(unit, "NRestarts") == "1" and box.show(unit, "ActiveState") == "active", "started again")
    assert not set(before) & set(box.processes(unit))
    assert len(box.mounts()) == 1
    assert hello(box, PLACE) == CONTENT


def test_a_daemon_that_was_killed_for_good_leaves_no_dead_mount(box: Box, unit: str) -> None:
    box.write(f"/run/systemd/system/{unit}.d/once.conf", "[Service]\nRestart=no\n")
    box.systemctl("daemon-reload")
    try:
        box.systemctl("start", unit)
        box.signal(unit, signal.SIGKILL)
        box.wait(lambda: box.show(unit, "ActiveState") == "failed", "failed")
        assert box.mounts() == []
        assert not box.path(PLACE).exists()
    finally:
        box.path(f"/run/systemd/system/{unit}.d/once.conf").unlink()
        box.systemctl("daemon-reload")


def test_a_daemon_that_hangs_is_killed_and_started_again(box: Box, unit: str) -> None:
    box.write(f"/run/systemd/system/{unit}.d/hasty.conf", "[Service]\nWatchdogSec=1\n")
    box.systemctl("daemon-reload")
    try:
        box.systemctl("start", unit)
        before = box.processes(unit)
        box.signal(unit, signal.SIGSTOP)
        box.wait(
            lambda: box.show(unit, "NRestarts") == "1" and box.show(unit, "ActiveState") == "active", "started again"
        )
        assert not set(before) & set(box.processes(unit))
        assert "Watchdog timeout" in box.journal("-u", unit)
        assert hello(box, PLACE) == CONTENT
    finally:
        box.path(f"/run/systemd/system/{unit}.d/hasty.conf").unlink()
        box.systemctl("daemon-reload")


def test_stop_with_open_files(box: Box, unit: str) -> None:
    box.systemctl("start", unit)
    with box.running(f"cd {PLACE} && exec 3<hello.txt && echo open && exec sleep 60") as said:
        assert said == "open"
        box.systemctl("stop", unit, timeout=5)
        assert box.show(unit, "Result") == "success"
        assert box.mounts() == []
        assert box.processes(unit) == []


@pytest.mark.parametrize(("content", "status"), [(None, "66"), ("no image\n", "65")], ids=["missing", "text"])
def test_what_would_fail_again_is_not_tried_again(box: Box, images: Path, content: str | None, status: str) -> None:
    unit = f"imagefs@srv-images-bad{status}.iso.service"
    if content:
        (images / f"bad{status}.iso").write_text(content)
    assert box.systemctl("start", unit, check=False).returncode == 1
    assert (box.show(unit, "ExecMainStatus"), box.show(unit, "NRestarts")) == (status, "0")
    assert box.show(unit, "ActiveState") == "failed"
    assert f"imagefs: {IMAGES}/bad{status}.iso: " in box.journal("-u", unit)
    assert not box.path(f"/run/imagefs/srv-images-bad{status}.iso").exists()


def test_somebody_elses_mount_is_left_alone(box: Box, unit: str) -> None:
    """A start that fails cleans up after itself, not after others."""
    box.run("mkdir", "-p", PLACE)
    box.run("imagefs", "mount", DISC, PLACE)
    assert box.systemctl("start", unit, check=False).returncode == 1
    assert "is already mounted on" in box.journal("-u", unit)
    assert hello(box, PLACE) == CONTENT
    box.run("imagefs", "umount", PLACE)


def test_a_path_unit_mounts_what_appears(box: Box, images: Path) -> None:
    path, unit = "imagefs@srv-images-late.iso.path", "imagefs@srv-images-late.iso.service"
    box.systemctl("start", path)
    try:
        late, whole = images / "late.iso", (images / "disc.iso").read_bytes()
        with late.open("wb") as file:  # slowly: what is there first is no image yet
            file.write(whole[:1000])
            file.flush()
            box.wait(lambda: box.show(unit, "ActiveState") == "failed", "the first try")
            file.write(whole[1000:])
        box.wait(lambda: box.show(unit, "ActiveState") == "active", "mounted")
        assert hello(box, "/run/imagefs/srv-images-late.iso") == CONTENT
    finally:
        box.systemctl("stop", path, unit)
        late.unlink(missing_ok=True)


def test_the_manager_of_a_user(box: Box) -> None:
    """An ordinary user: fusermount3 mounts, under the user's runtime folder."""
    box.systemctl("start", f"user@{USER_ID}.service")
    place = f"/run/user/{USER_ID}/imagefs/srv-images-disc.iso"
    try:
        box.run("systemctl", "--user", "start", UNIT, user=USER)
        (mount,) = box.mounts()
        assert mount.mountpoint == place
        assert hello(box, place, USER) == CONTENT
        assert box.run("ls", place, check=False).returncode != 0  # not even root
        (pid,) = box.run("systemctl", "--user", "show", "--value", "-p", "MainPID", UNIT, user=USER).stdout.split()
        box.run("kill", "-KILL", pid)
        restarts = ["systemctl", "--user", "show", "--value", "-p", "NRestarts,ActiveState", UNIT]
        box.wait(lambda: box.run(*restarts, user=USER).stdout.split() == ["1", "active"], "started again")
        assert hello(box, place, USER) == CONTENT
        box.run("systemctl", "--user", "stop", UNIT, user=USER)
        assert box.mounts() == []
    finally:
        box.systemctl("stop", f"user@{USER_ID}.service")


def test_a_block_device(box: Box, images: Path) -> None:
    """A disc in a drive, a partition: here a loop device."""
    words = ["losetup", "--find", "--show", "--read-only", str(images / "disc.iso")]
    device = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    unit = f"imagefs@dev-{Path(device).name}.service"
    try:
        info = os.stat(device)
        os.mknod(box.path(device), info.st_mode, info.st_rdev)
        box.systemctl("start", unit)
        assert hello(box, f"/run/imagefs/dev-{Path(device).name}") == CONTENT
    finally:
        box.systemctl("stop", unit, check=False)
        subprocess.run(["losetup", "--detach", device], check=True)
