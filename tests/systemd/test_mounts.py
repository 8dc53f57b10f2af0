"""Mount units: written by hand, made from fstab, made by the generator; with and without an automount."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.box import ROOT, USER, Box
from tests.systemd.conftest import CONTENT, DISC, IMAGES

pytestmark = [pytest.mark.slow, pytest.mark.fuse]

IDLE = 1
"""Seconds after which an automount of these tests lets go."""


def hello(box: Box, place: str, user: str = "") -> bytes:
    return box.run("cat", f"{place}/hello.txt", user=user).stdout.encode()


def state(box: Box, unit: str) -> str:
    return box.show(unit, "ActiveState")


def check_automount(box: Box, place: str, unit: str) -> None:
    """The first look mounts, no look for a while unmounts, the next one mounts again; an ordinary user's look, too."""
    assert state(box, f"{unit}.automount") == "active"
    for user in ("", USER):
        assert not box.mounted(place)
        assert hello(box, place, user) == CONTENT
        assert box.mounted(place)
        box.wait(lambda: not box.mounted(place), "unmounted")
        box.wait(lambda: box.processes(f"{unit}.mount") == [], "the daemon is gone")


# --- by hand ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def units(box: Box) -> str:
    """The mount unit of the examples and its automount, which lets go sooner here."""
    for kind in ("mount", "automount"):
        text = (ROOT / f"systemd/examples/srv-disc.{kind}").read_text()
        box.write(f"/etc/systemd/system/srv-disc.{kind}", text.replace("=5min", f"={IDLE}"))
    box.systemctl("daemon-reload")
    return "/srv/disc"


@pytest.fixture
def example(box: Box, units: str) -> Iterator[str]:
    """The mount point of the examples; nothing is mounted there before and after."""
    yield units
    box.systemctl("stop", "srv-disc.automount", "srv-disc.mount")


def test_a_mount_unit(box: Box, example: str) -> None:
    box.systemctl("start", "srv-disc.mount")
    (mount,) = box.mounts()
    assert (mount.source, mount.mountpoint) == (DISC, example)
    assert hello(box, example, USER) == CONTENT
    assert box.processes("srv-disc.mount") != []  # the daemon is the unit's, and ends with it
    box.systemctl("stop", "srv-disc.mount")
    assert (box.mounts(), box.processes("srv-disc.mount")) == ([], [])
    assert box.show("srv-disc.mount", "Result") == "success"


def test_a_mount_unit_whose_daemon_was_killed(box: Box, example: str) -> None:
    """Nothing starts it again; unmounting it is enough for the next start."""
    box.systemctl("start", "srv-disc.mount")
    box.signal("srv-disc.mount", signal.SIGKILL)
    box.wait(lambda: "not connected" in box.run("ls", example, check=False).stderr, "dead")
    assert state(box, "srv-disc.mount") == "active"
    box.run("imagefs", "umount", "--dead")
    box.wait(lambda: state(box, "srv-disc.mount") == "inactive", "unmounted")
    box.systemctl("start", "srv-disc.mount")
    assert hello(box, example) == CONTENT


def test_a_mount_unit_that_is_in_use_is_not_torn_away(box: Box, example: str) -> None:
    box.systemctl("start", "srv-disc.mount")
    with box.running(f"cd {example} && echo there && exec sleep 60") as said:
        assert said == "there"
        assert box.systemctl("stop", "srv-disc.mount", check=False).returncode == 1
        assert hello(box, example) == CONTENT


def test_reload_of_a_mount_unit_is_a_remount(box: Box, example: str) -> None:
    box.systemctl("start", "srv-disc.mount")
    box.systemctl("reload", "srv-disc.mount")
    assert len(box.mounts()) == 1
    assert hello(box, example) == CONTENT


def test_an_automount_unit(box: Box, example: str) -> None:
    box.systemctl("start", "srv-disc.automount")
    check_automount(box, example, "srv-disc")
    box.systemctl("stop", "srv-disc.automount")
    assert box.mounts() == []


def test_an_automount_recovers_from_a_killed_daemon(box: Box, example: str) -> None:
    box.systemctl("start", "srv-disc.automount")
    assert hello(box, example) == CONTENT
    box.signal("srv-disc.mount", signal.SIGKILL)
    box.wait(lambda: box.run("imagefs", "umount", "--dead").returncode == 0 and not box.mounted(example), "unmounted")
    box.wait(lambda: state(box, "srv-disc.mount") == "inactive", "inactive")
    assert hello(box, example) == CONTENT


# --- fstab --------------------------------------------------------------------------------------------------------------


FSTAB = f"""
{DISC}              /mnt/plain    imagefs  ro,nofail,allow_other            0 0
{DISC}              /mnt/a\\040b   imagefs  ro,nofail,allow_other,umask=022  0 0
{DISC}              /mnt/auto     imagefs  noauto,nofail,allow_other,x-systemd.automount,x-systemd.idle-timeout={IDLE} 0 0
{IMAGES}/none.iso   /mnt/missing  imagefs  ro,nofail                        0 0
/etc/hostname       /mnt/text     imagefs  ro,nofail                        0 0
"""


CONF = {
    "boot": f"IMAGE={DISC}\nMOUNTPOINT=/srv/at boot\n",
    "auto": f"# comment\n\nIMAGE='{DISC}'\nOPTIONS=allow_other,umask=022\nAUTOMOUNT=yes\nIDLE_TIMEOUT={IDLE}s\n",
    "watched": f"IMAGE={DISC}\nMOUNTPOINT=/srv/watched\nSERVICE=yes\n",
    "missing": f"IMAGE={IMAGES}/none.iso\nMOUNTPOINT=/srv/missing\n",
    "broken": f"IMAGE={DISC}\nCOLOUR=red\n",
    "taken": f"IMAGE={DISC}\nMOUNTPOINT=/mnt/a b\n",
}


@pytest.fixture(scope="module")
def booted(images: Path) -> Iterator[Box]:
    """A machine that finds images in fstab and in /etc/imagefs.d when it boots."""
    files = {"/etc/fstab": FSTAB} | {f"/etc/imagefs.d/{name}.conf": text for name, text in CONF.items()}
    with Box(files, {IMAGES: images}) as box:
        yield box


def test_a_line_in_fstab(booted: Box) -> None:
    booted.wait(lambda: booted.mounted("/mnt/plain") and booted.mounted("/mnt/a b"), "mounted")
    assert hello(booted, "/mnt/plain", USER) == CONTENT
    assert hello(booted, "/mnt/a b", USER) == CONTENT


def test_a_line_in_fstab_with_an_automount(booted: Box) -> None:
    check_automount(booted, "/mnt/auto", "mnt-auto")


def test_a_boot_without_some_images_is_a_boot(booted: Box) -> None:
    assert booted.systemctl("is-active", "multi-user.target", "local-fs.target").stdout.split() == ["active", "active"]
    booted.wait(lambda: state(booted, "mnt-text.mount") == "failed", "given up")
    assert "mount.imagefs: /etc/hostname: " in booted.journal("-u", "mnt-text.mount")
    assert not booted.mounted("/mnt/missing")
    assert f"mount.imagefs: {IMAGES}/none.iso: there is no such file" in booted.journal("-u", "mnt-missing.mount")


def test_a_file_of_the_generator(booted: Box) -> None:
    booted.wait(lambda: booted.mounted("/srv/at boot"), "mounted")
    assert hello(booted, "/srv/at boot", USER) == CONTENT
    unit = booted.run("systemd-escape", "--path", "--suffix=mount", "/srv/at boot").stdout.strip()
    assert booted.show(unit, "SourcePath") == "/etc/imagefs.d/boot.conf"
    assert booted.show(unit, "Description") == f"Image {DISC}"


def test_a_file_of_the_generator_with_an_automount(booted: Box) -> None:
    check_automount(booted, "/run/imagefs/auto", "run-imagefs-auto")


def test_a_file_of_the_generator_with_a_service(booted: Box) -> None:
    unit = "imagefs@watched.service"
    booted.wait(lambda: state(booted, unit) == "active", "started")
    assert hello(booted, "/srv/watched", USER) == CONTENT
    assert IMAGES in booted.show(unit, "RequiresMountsFor")
    booted.signal(unit, signal.SIGKILL)
    booted.wait(lambda: booted.show(unit, "NRestarts") == "1" and state(booted, unit) == "active", "started again")
    assert hello(booted, "/srv/watched", USER) == CONTENT


def test_a_broken_file_is_told_and_stops_nothing(booted: Box) -> None:
    told = [line for line in booted.kmsg().splitlines() if "imagefs-generator" in line]
    assert [line.partition("]: ")[2] for line in told] == [
        "/etc/imagefs.d/broken.conf:2: key 'COLOUR' is not known; known are "
        "IMAGE, MOUNTPOINT, OPTIONS, AUTOMOUNT, IDLE_TIMEOUT, SERVICE",
        "/etc/imagefs.d/taken.conf: /etc/fstab has /mnt/a b already",
    ]
    assert {line.partition(">")[0] for line in told} == {"<27"}  # daemon.err
    assert state(booted, "srv-missing.mount") == "failed"
    assert f"mount.imagefs: {IMAGES}/none.iso: " in booted.journal("-u", "srv-missing.mount")


def test_a_changed_file_is_known_after_a_reload(booted: Box) -> None:
    booted.write("/etc/imagefs.d/later.conf", f"IMAGE={DISC}\nMOUNTPOINT=/srv/later\n")
    booted.systemctl("daemon-reload")
    booted.systemctl("start", "srv-later.mount")
    assert hello(booted, "/srv/later") == CONTENT
    booted.systemctl("stop", "srv-later.mount")
    booted.path("/etc/imagefs.d/later.conf").unlink()
    booted.systemctl("daemon-reload")
    assert booted.show("srv-later.mount", "LoadState") == "not-found"


def test_a_shutdown_is_not_held_up(booted: Box) -> None:
    """Last, since the box is off then: the daemons leave in time, and before the file systems that hold their images."""
    assert booted.mounts() != []
    booted.systemctl("poweroff")
    for _ in range(300):
        if not Path(f"/proc/{booted.init}").exists():
            break
        time.sleep(0.05)
    else:
        pytest.fail(f"still there after 15 s: {booted.systemctl('list-jobs').stdout}")
