"""Mounting and unmounting: mount(2) where the process may, fusermount3 where it may not.

fusermount3 (fuse3, set-uid root) opens /dev/fuse with the user's rights, mounts, and hands the descriptor over through the
socket whose number is in _FUSE_COMMFD.
"""

import array
import ctypes
import errno
import logging
import os
import socket
import stat
import subprocess

from imagefs.errors import UsageError
from imagefs.frontends.fuse import mountinfo
from imagefs.frontends.fuse.mountinfo import TYPE, MountInfo
from imagefs.frontends.fuse.protocol import READ_AHEAD_BYTES
from imagefs.options import Options

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
FUSE_CONF = "/etc/fuse.conf"

log = logging.getLogger("imagefs")


def fsname_of(path: str) -> str:
    """What mountinfo shows as the source: the image's absolute path, whatever its characters."""
    return os.path.abspath(path)


def check_allow_other(options: Options) -> None:
    """fusermount3 refuses allow_other without a word that helps: say the reason before."""
    if not options.allow_other or os.geteuid() == 0:
        return
    try:
        with open(FUSE_CONF, encoding="utf-8", errors="replace") as file:
            allowed = any(line.split("#")[0].strip() == "user_allow_other" for line in file)
    except OSError:
        allowed = False
    if not allowed:
        raise UsageError(f"allow_other is for root, unless {FUSE_CONF} has the line user_allow_other")


def attach(image: str, mountpoint: str, options: Options) -> int:
    """Mount, and return the descriptor of /dev/fuse. Always read-only, nosuid, nodev, default_permissions.

    Raises OSError with the reason when it cannot be mounted.
    """
    check_allow_other(options)
    if os.geteuid() == 0:
        try:
            device = mount_directly(image, mountpoint, options)
        except PermissionError:
            pass  # root without the right to mount: a container; fusermount3 may still work
        else:
            _read_further_ahead(mountpoint)
            return device
    return _fusermount(fsname_of(image), mountpoint, options)


def _read_further_ahead(mountpoint: str) -> None:
    """Have the kernel ask for READ_AHEAD_BYTES at a time of files that are read in order: by itself it takes 128 KiB.

    A hop from one process to another and back costs as much as the copy of such a piece. Only root may say so, and before
    INIT is answered, which can only lower it.
    """
    there = mountinfo.mounted_at(mountpoint)
    if there is None:
        return
    try:
        with open(f"/sys/class/bdi/{there.device}/read_ahead_kb", "w", encoding="ascii") as file:
            file.write(str(READ_AHEAD_BYTES >> 10))
    except OSError as error:  # a container, where /sys cannot be written
        log.debug("the kernel reads ahead as it likes: %s", error)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _open_fuse() -> int:
    """A descriptor of /dev/fuse. Raises OSError that says what to do where there is none."""
    try:
        return os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            error.strerror = "there is no FUSE here: `modprobe fuse`, or give the container the device /dev/fuse"
        raise


def mount_directly(image: str, mountpoint: str, options: Options) -> int:
    """mount(2) with a descriptor of our own: for root, and inside a user namespace. Raises OSError."""
    source = fsname_of(image)
    device = _open_fuse()
    mode = stat.S_IFMT(os.stat(mountpoint).st_mode)
    words = f"fd={device},rootmode={mode:o},user_id={os.geteuid()},group_id={os.getegid()},default_permissions"
    words += ",allow_other" if options.allow_other else ""
    flags = MS_RDONLY | MS_NOSUID | MS_NODEV | (MS_NOEXEC if options.noexec else 0)
    arguments = (os.fsencode(source), os.fsencode(mountpoint), TYPE.encode(), ctypes.c_ulong(flags), words.encode())
    if _libc().mount(*arguments):
        number = ctypes.get_errno()
        os.close(device)
        raise OSError(number, os.strerror(number), mountpoint)
    return device


def escaped(text: str) -> str:
    """A value among fusermount3's options: it takes a comma and a backslash after a backslash."""
    return text.replace("\\", "\\\\").replace(",", "\\,")


def _fusermount(source: str, mountpoint: str, options: Options) -> int:
    """fusermount3, and the descriptor it sends."""
    words = [f"fsname={escaped(source)}", "subtype=imagefs", "ro", "nosuid", "nodev", "default_permissions"]
    words += ["allow_other"] if options.allow_other else []
    words += ["noexec"] if options.noexec else []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        environment = os.environ | {"_FUSE_COMMFD": str(theirs.fileno())}
        try:
            done = subprocess.run(
                ["fusermount3", "-o", ",".join(words), "--", mountpoint],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                check=False,
            )
        except FileNotFoundError:
            raise OSError(errno.ENOENT, "fusermount3 is not there; install the package fuse3") from None
        if done.returncode:
            reason = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
            raise OSError(errno.EPERM, f"fusermount3 refuses: {reason[-1].removeprefix('fusermount3: ')}")
        theirs.close()
        return _receive(ours)


def _receive(sock: socket.socket) -> int:
    """The descriptor in a message of one byte (SCM_RIGHTS)."""
    numbers = array.array("i")
    _, ancillary, _, _ = sock.recvmsg(1, socket.CMSG_SPACE(numbers.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(data[: numbers.itemsize])
            os.set_inheritable(numbers[0], False)
            return numbers[0]
    raise OSError(errno.EPROTO, "fusermount3 sent no descriptor")


def detach(mountpoint: str, *, lazy: bool = False) -> None:
    """Unmount what is at a path as mountinfo has it, without links.

    Raises OSError: EBUSY while it is in use, unless `lazy`.
    """
    if os.geteuid() == 0:
        folder = _folder_of(mountpoint)
        try:
            place = f"/proc/self/fd/{folder}/{os.path.basename(mountpoint)}"
            if not _libc().umount2(os.fsencode(place), (MNT_DETACH if lazy else 0) | UMOUNT_NOFOLLOW):
                return
            number = ctypes.get_errno()
        finally:
            os.close(folder)
        if number != errno.EPERM:
            raise OSError(number, os.strerror(number), mountpoint)
    words = ["fusermount3", "-u", *(["-z"] if lazy else []), "--", mountpoint]
    try:
        done = subprocess.run(words, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise OSError(errno.ENOENT, "fusermount3 is not there; install the package fuse3") from None
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip()
        number = errno.EBUSY if "busy" in reason.lower() else errno.EPERM
        raise OSError(number, reason.removeprefix("fusermount3: ") or os.strerror(number))


def _folder_of(path: str) -> int:
    """A descriptor of the folder that a path without links lies in. Raises OSError.

    Who owns a folder on the way could have put a link there meanwhile, and have root unmount whatever he likes.
    """
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open("/", flags)
    for name in os.path.dirname(path).split("/"):
        above = folder
        try:
            folder = os.open(name or ".", flags, dir_fd=above)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
        finally:
            os.close(above)
    return folder


def detach_wherever(ours: MountInfo | None) -> None:
    """Unmount what was mounted as mountinfo had it then, lazily: nobody enters any more, who is in may finish.

    Wherever it is by now: a folder above may have a new name, and another mount may be at the old place. The number of a
    device is given to the next mount as soon as it is free, so the image has to be the same as well.
    """
    if ours is None:
        return
    known = mountinfo.all_mounts()
    topmost = {mount.mountpoint: mount for mount in known}
    for mount in reversed(known):
        if (mount.device, mount.source, mount.kind) != (ours.device, ours.source, ours.kind):
            continue
        if topmost[mount.mountpoint] is not mount:
            log.warning("cannot unmount %s: something else is mounted over it", mount.mountpoint)
            continue
        try:
            detach(mount.mountpoint, lazy=True)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):  # gone meanwhile
                log.warning("cannot unmount %s: %s", mount.mountpoint, error.strerror)


def more_devices(count: int) -> list[int]:
    """Open /dev/fuse so many times, for serving threads that take a share of a mount; fewer where that is not possible."""
    found: list[int] = []
    try:
        while len(found) < count:
            found.append(_open_fuse())
    except OSError as error:
        log.info("one serving thread less: %s", error)
    return found
