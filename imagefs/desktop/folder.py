"""~/imagefs, where the desktop's mounts are: a folder for each image, named after it, there as long as the mount.

File managers list mounts below the home folder among the places, others not.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator

from imagefs.frontends.fuse import mountinfo

NAME = "imagefs"
_COPIES = 1000


def home() -> str:
    """The folder, made where it is not there. Raises OSError."""
    path = os.path.join(os.path.expanduser("~"), NAME)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    if (
        os.stat(path).st_uid != os.geteuid()
    ):  # sudo may leave root the home of another, who could exchange what is in it
        raise OSError(errno.EPERM, "belongs to somebody else", path)
    return os.path.realpath(path)  # as mountinfo names what is mounted in it


@contextlib.contextmanager
def alone(folder: str) -> Iterator[None]:
    """Nobody else chooses a place in the folder meanwhile: of two clicks on one image the second finds the first's mount."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Not by closing alone: the mount's own process has inherited the descriptor.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def mounted(folder: str, image: str) -> str | None:
    """Where in the folder an image is mounted by a daemon that is alive."""
    real = os.path.realpath(image)
    for mount in mountinfo.all_mounts():
        is_here = mount.kind == mountinfo.TYPE and os.path.dirname(mount.mountpoint) == folder
        if is_here and os.path.realpath(mount.source) == real and not mountinfo.is_dead(mount.mountpoint):
            return mount.mountpoint
    return None


def place_for(folder: str, image: str) -> str:
    """A folder of the image's name on which nothing is mounted: a new one, or one that a crash left. Raises OSError."""
    stem = os.path.splitext(os.path.basename(image))[0] or "image"
    for copy in range(1, _COPIES):
        path = os.path.join(folder, stem if copy == 1 else f"{stem} ({copy})")
        try:
            os.mkdir(path, 0o755)
            return path
        except FileExistsError:
            if _is_free(path):
                return path
    raise OSError(errno.EEXIST, "no free name for a mount point", os.path.join(folder, stem))


def _is_free(path: str) -> bool:
    """Whether a folder is there that is empty, with no mount on it but a dead one of an image."""
    there = mountinfo.mounted_at(path)
    if there is not None:
        return there.kind == mountinfo.TYPE and mountinfo.is_dead(path)
    try:
        return not os.path.islink(path) and not os.listdir(path)
    except OSError:
        return False
