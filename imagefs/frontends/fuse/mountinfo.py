"""Which imagefs mounts there are: /proc/self/mountinfo is the truth, no state is kept anywhere.

A line of it (proc_pid_mountinfo(5)): `36 35 0:50 / /mnt ro,nosuid shared:1 - fuse.imagefs /srv/a.iso ro,user_id=0`.
Space, tab, newline and backslash are written as a backslash and three octal digits.
"""

import errno
import os
import re
import subprocess
import sys
from typing import NamedTuple

from imagefs.errors import UsageError

TYPE = "fuse.imagefs"
HANGS_AFTER = 2.0
"""Seconds after which a mount that does not answer is called hanging."""
_OCTAL = re.compile(rb"\\([0-7]{3})")


class MountInfo(NamedTuple):
    """One mount: the image, where it is mounted, its options, and whether its daemon answers.

    `device` is the major:minor of the mounted file system: the same wherever it is moved or bound to. `of_fs` are the
    options of the file system itself (allow_other, user_id=N), beside those of this mount of it.
    """

    source: str
    mountpoint: str
    options: str
    alive: bool = True
    kind: str = TYPE
    device: str = ""
    of_fs: str = ""


def _unescape(word: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), word))


def parse(text: bytes) -> list[MountInfo]:
    """All mounts of a mountinfo file, in mounting order; `alive` is not looked at."""
    found = []
    for line in text.split(b"\n"):  # not splitlines: a carriage return in a name is not escaped
        before, _, after = line.partition(b" - ")
        fields, rest = before.split(b" "), after.split(b" ")
        if len(fields) < 6 or len(rest) < 2:
            continue
        words = (rest[0], fields[5], fields[2], b"".join(rest[2:3]))
        kind, options, device, of_fs = (word.decode("ascii", "replace") for word in words)
        found.append(MountInfo(_unescape(rest[1]), _unescape(fields[4]), options, True, kind, device, of_fs))
    return found


def all_mounts() -> list[MountInfo]:
    """Every mount this process sees."""
    with open("/proc/self/mountinfo", "rb") as file:
        return parse(file.read())


def mounted_at(mountpoint: str) -> MountInfo | None:
    """The topmost mount at exactly this place (an absolute path), of whatever kind."""
    found = [mount for mount in all_mounts() if mount.mountpoint == mountpoint]
    return found[-1] if found else None


def place_of(path: str) -> str:
    """A mount point's path as mountinfo has it: absolute, links in it resolved.

    What is mounted there is not asked, as far as that goes: it may be dead, or hang. Raises UsageError for the empty name
    that a shell's unset variable leaves: it is not the folder one is in.
    """
    if not path:
        raise UsageError("the name of the mount point is empty")
    folder, name = os.path.split(path.rstrip("/"))
    if name in ("", ".", ".."):
        return os.path.realpath(path)
    place = os.path.join(os.path.realpath(folder), name)
    return place if mounted_at(place) else os.path.realpath(place)


def is_dead(mountpoint: str) -> bool:
    """Whether the daemon of a FUSE mount is gone.

    Only statvfs tells: stat, listdir and ismount may be answered from the kernel's caches. It is done in a child, because a
    daemon that hangs would block it for ever; a hanging mount is not dead.
    """
    code = "import os,sys\ntry: os.statvfs(sys.argv[1])\nexcept OSError as e: sys.exit(e.errno)"
    try:
        words = [sys.executable, "-I", "-S", "-c", code, mountpoint]
        done = subprocess.run(words, timeout=HANGS_AFTER, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == errno.ENOTCONN


def mounts() -> list[MountInfo]:
    """The imagefs mounts, each with whether it is alive."""
    return [m._replace(alive=not is_dead(m.mountpoint)) for m in all_mounts() if m.kind == TYPE]
