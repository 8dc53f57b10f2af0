"""mount.imagefs as mount(8) calls it, by root and by an ordinary user, on a machine where all of it is installed."""

from collections.abc import Iterator

import pytest

from tests.systemd.box import USER, Box
from tests.systemd.conftest import CONTENT, DISC, IMAGES

pytestmark = [pytest.mark.slow, pytest.mark.fuse]

PLACE = "/mnt/disc"
MOUNT = ("mount", "-t", "imagefs")


@pytest.fixture
def place(box: Box) -> Iterator[str]:
    """A mount point that is empty at the beginning and at the end."""
    box.run("mkdir", "-p", PLACE)
    yield PLACE
    while box.mounted(PLACE):
        box.run("umount", "-l", PLACE)


def hello(box: Box, place: str, user: str = "") -> bytes:
    return box.run("cat", f"{place}/hello.txt", user=user).stdout.encode()


@pytest.mark.parametrize("kind", ["imagefs", "fuse.imagefs"])
def test_mount_and_umount(box: Box, place: str, kind: str) -> None:
    done = box.run("mount", "-t", kind, DISC, place)
    assert (done.stdout, done.stderr) == ("", "")  # that it is read-only is not worth a word, as rw was not asked for
    (mount,) = box.mounts()
    assert (mount.source, mount.mountpoint) == (DISC, place)
    assert {"ro", "nosuid", "nodev"} <= set(mount.options.split(","))
    assert hello(box, place) == CONTENT
    box.run("umount", place)
    assert box.mounts() == []


def test_fake_sloppy_and_verbose(box: Box, place: str) -> None:
    fake = box.run(*MOUNT, "-f", "-v", DISC, place)
    assert box.mounts() == []
    assert fake.stdout == f"mount.imagefs: {DISC} can be mounted on {place}, read-only\n"
    assert box.run(*MOUNT, "-f", DISC, f"{place}/none", check=False).returncode == 32
    assert box.run(*MOUNT, "-o", "colour=red", DISC, place, check=False).returncode == 1
    done = box.run(*MOUNT, "-s", "-v", "-o", "colour=red,umask=222", DISC, place)
    assert done.stdout == f"mount.imagefs: {DISC} is mounted on {place}, read-only\n"
    assert box.mounted(place)


def test_a_remount_changes_nothing_or_says_so(box: Box, place: str) -> None:
    """mount(8) knows the mount by its type, and so calls mount.fuse.imagefs."""
    box.run(*MOUNT, DISC, place)
    box.run("mount", "-o", "remount,ro,noatime", place)
    writable = box.run("mount", "-o", "remount,rw", place, check=False)
    assert (writable.returncode, writable.stderr) == (32, "mount.imagefs: imagefs mounts are read-only\n")
    other = box.run("mount", "-o", "remount,ro,map=off", place, check=False)
    assert other.returncode == 32
    assert other.stderr == "mount.imagefs: a mount cannot be changed (map=off): unmount it and mount it again\n"
    assert len(box.mounts()) == 1
    box.run("umount", place)
    assert box.run("mount", "-t", "imagefs", "-o", "remount,ro", DISC, place, check=False).returncode == 32


def test_a_second_mount_is_refused(box: Box, place: str) -> None:
    box.run(*MOUNT, DISC, place)
    again = box.run(*MOUNT, DISC, place, check=False)
    assert again.returncode == 32
    assert "already mounted" in again.stderr
    assert len(box.mounts()) == 1


def test_only_the_dead_are_taken_away(box: Box, place: str) -> None:
    box.run("mkdir", "-p", "/mnt/live")
    box.run(*MOUNT, DISC, "/mnt/live")
    script = f"imagefs mount -f {DISC} {place} & while ! test -e {place}/hello.txt; do sleep 0.05; done; echo $!; wait"
    with box.running(script) as daemon:
        box.run("kill", "-KILL", daemon)
        box.wait(lambda: "not connected" in box.run("ls", place, check=False).stderr, "dead")
        assert [mount.mountpoint for mount in box.mounts()] == ["/mnt/live", place]
        box.run("imagefs", "umount", "--dead", "/mnt/live")
        assert len(box.mounts()) == 2
        box.run("imagefs", "umount", "--dead")
        assert [mount.mountpoint for mount in box.mounts()] == ["/mnt/live"]
    assert box.run("imagefs", "umount", "--dead", place).returncode == 0
    assert box.run("imagefs", "umount", check=False).returncode == 64
    box.run("imagefs", "umount", "/mnt/live")


def test_statuses(box: Box, place: str) -> None:
    missing = box.run(*MOUNT, f"{IMAGES}/none.iso", place, check=False)
    assert missing.returncode == 32
    assert missing.stderr.startswith(f"mount.imagefs: {IMAGES}/none.iso: ")
    assert box.run(*MOUNT, "-o", "nofail", f"{IMAGES}/none.iso", place).stderr == ""
    assert box.run(*MOUNT, "/etc/hostname", place, check=False).returncode == 32
    assert box.run(*MOUNT, "-o", "tree=ntfs", DISC, place, check=False).returncode == 1
    fuse = box.path("/dev/fuse")
    fuse.rename(fuse.with_name("hidden"))
    try:
        broken = box.run(*MOUNT, DISC, place, check=False)
    finally:
        fuse.with_name("hidden").rename(fuse)
    assert broken.returncode == 2
    assert "/dev/fuse" in broken.stderr
    assert box.mounts() == []


def test_a_descriptor_names_the_image_and_is_not_kept(box: Box, place: str) -> None:
    """The pipe at descriptor 8 ends with the caller: a daemon that kept it would keep its reader waiting."""
    script = f"{' '.join(MOUNT)} /dev/fd/7 {place} 7<{DISC} 8>&1 && echo mounted"
    assert box.run("sh", "-c", f"({script}) | cat", timeout=10).stdout == "mounted\n"
    (mount,) = box.mounts()
    assert mount.source == DISC


def test_an_image_without_a_name(box: Box, place: str) -> None:
    """A file that was removed is still what its descriptor says; a user calls the helper himself."""
    script = (
        f"cp {DISC} /tmp/gone.iso && exec 7</tmp/gone.iso && rm /tmp/gone.iso && exec mount.imagefs /dev/fd/7 {place}"
    )
    box.run("sh", "-c", script)
    assert hello(box, place) == CONTENT


def test_another_mount_namespace(box: Box, place: str) -> None:
    with box.running("exec unshare --mount --propagation private sh -c 'echo $$; exec sleep 60'") as pid:
        box.run("mount", "-N", pid, "-t", "imagefs", DISC, place)
        assert box.mounts() == []
        assert place in box.run("cat", f"/proc/{pid}/mounts").stdout


def test_an_ordinary_user(box: Box) -> None:
    """fusermount3 mounts where the folder is the user's own, and nowhere else; nobody else looks in."""
    own = f"/home/{USER}/disc"
    box.run("mkdir", own, user=USER)
    assert box.run("imagefs", "mount", DISC, "/mnt", user=USER, check=False).returncode == 71
    box.run("imagefs", "mount", DISC, own, user=USER)
    (mount,) = box.mounts()
    assert {"ro", "nosuid", "nodev"} <= set(mount.options.split(","))
    assert hello(box, own, USER) == CONTENT
    assert "Permission denied" in box.run("ls", own, check=False).stderr  # not even root
    listed = box.run("imagefs", "list", user=USER).stdout
    assert f"{DISC} on {own} " in listed
    box.run("imagefs", "umount", own, user=USER)
    assert box.mounts() == []
    refused = box.run("imagefs", "mount", "-o", "allow_other", DISC, own, user=USER, check=False)
    assert (refused.returncode, "user_allow_other" in refused.stderr) == (64, True)


def test_an_ordinary_users_line_in_fstab(box: Box) -> None:
    own = f"/home/{USER}/fstab"
    box.run("mkdir", own, user=USER)
    box.write("/etc/fstab", f"{DISC} {own} imagefs ro,noauto,user 0 0\n")
    try:
        box.run("mount", own, user=USER)
        (mount,) = box.mounts()
        assert (mount.mountpoint, "noexec" in mount.options.split(",")) == (own, True)
        assert hello(box, own, USER) == CONTENT
        box.run("umount", own, user=USER)
        assert box.mounts() == []
    finally:
        box.write("/etc/fstab", "")


def test_an_image_for_one_command(box: Box) -> None:
    """A user namespace in the box, whose root is no chroot."""
    done = box.run("imagefs", "run", DISC, "--", "sh", "-c", 'cat "$IMAGEFS/hello.txt"', user=USER)
    assert done.stdout.encode() == CONTENT
    assert box.mounts() == []
