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

TYPE = "fuse.imagefs"
HANGS_AFTER = 2.0
"""Seconds after which a mount that does not answer is called hanging."""
_OCTAL = re.compile(rb"\\([0-7]{3})")


class MountInfo(NamedTuple):
    """One mount: the image, where it is mounted, its options, and whether its daemon answers."""

    source: str
    mountpoint: str
    options: str
    alive: bool = True
    kind: str = TYPE


def _unescape(word: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), word))


def parse(text: bytes) -> list[MountInfo]:
    """All mounts of a mountinfo file, in mounting order; `alive` is not looked at."""
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(b" - ")
        fields, rest = before.split(b" "), after.split(b" ")
        if len(fields) < 6 or len(rest) < 2:
            continue
        kind, source = rest[0].decode("ascii", "replace"), _unescape(rest[1])
        found.append(MountInfo(source, _unescape(fields[4]), fields[5].decode("ascii", "replace"), True, kind))
    return found


def all_mounts() -> list[MountInfo]:
    """Every mount this process sees."""
    with open("/proc/self/mountinfo", "rb") as file:
        return parse(file.read())


def mounted_at(mountpoint: str) -> MountInfo | None:
    """The topmost mount at exactly this place (an absolute path), of whatever kind."""
    found = [mount for mount in all_mounts() if mount.mountpoint == mountpoint]
    return found[-1] if found else None


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
