"""Images mounted for one command alone: a mount namespace that nobody else sees and that ends with the command.

An ordinary user makes a user namespace around it, in which the kernel allows mount(2) of FUSE without any right outside
(since Linux 4.18); the command runs with the user's own number and without the rights of that namespace.

Three processes: the one that was called waits and takes the mount point away at the end; its child enters the namespace,
mounts, and serves; its grandchild becomes the command. The folder that holds the mount points is a tmpfs of the namespace.
"""

import ctypes
import errno
import os
import signal
import tempfile
from collections.abc import Iterable, Sequence

from imagefs.errors import ImageError, UnsupportedError, errno_of, message_of
from imagefs.frontends.fuse.attach import mount_directly
from imagefs.frontends.fuse.direct import DirectEngine
from imagefs.frontends.fuse.mount import Mount
from imagefs.image import Image
from imagefs.options import Options

CLONE_NEWNS, CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
MS_REC, MS_PRIVATE, MS_NOSUID, MS_NODEV = 0x4000, 1 << 18, 2, 4
VARIABLE = "IMAGEFS"
"""The environment variable that tells the command where the image is; of several images, where the folder of all is."""
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_AWAITED = {*_FORWARDED, signal.SIGCHLD}
NOT_FOUND, NOT_RUN = 127, 126
"""What a shell answers for a command that is not there, or cannot be run."""


def run_with(images: Sequence[Image], options: Options, command: Sequence[str]) -> int:
    """Run a command that alone sees the images mounted; its exit status, 128 + N when signal N ended it.

    Raises UnsupportedError where such a namespace cannot be made, OSError.
    """
    folder = tempfile.mkdtemp(prefix="imagefs-")
    told, tell = os.pipe()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    child = os.fork()
    if not child:
        os.close(told)
        status = 70
        try:
            status = _serve(images, options, command, folder, before)
        except (OSError, ImageError) as error:
            os.write(tell, f"{errno_of(error)}:{message_of(error)}".encode("utf-8", "replace")[:4000])
        finally:
            os._exit(status)
    os.close(tell)
    status = _wait_for(child)
    with open(told, "rb") as pipe:
        failure = pipe.read().decode("utf-8", "replace")
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.rmdir(folder)
    if failure:
        number, _, text = failure.partition(":")
        raise UnsupportedError(text) if int(number) == UnsupportedError.errno else OSError(int(number), text)
    return status


def _wait_for(child: int) -> int:
    """The exit status of a child, to which signals are handed on meanwhile; SIGINT from a terminal has reached it already.

    They are blocked: a handler could be called between a look at the child and the wait for it, and wait itself.
    """
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code
        number = signal.sigwait(_AWAITED)
        if number not in (signal.SIGCHLD, signal.SIGINT):
            os.kill(child, number)


def _serve(images: Sequence[Image], options: Options, command: Sequence[str], folder: str, mask: Iterable[int]) -> int:
    """In the child: mount all, start the command with this signal mask, serve until it ends."""
    enter_namespace()
    libc = _libc()
    data = ctypes.c_char_p(b"mode=755,size=1m")
    if libc.mount(b"imagefs", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(MS_NOSUID | MS_NODEV), data):
        raise _error("the folder for the images")
    engines, places = [], []
    for image, name in zip(images, _names(images), strict=True):
        place = os.path.join(folder, name)
        os.mkdir(place)
        device = mount_directly(image.path, place, options)
        engines.append(DirectEngine(Mount(image.tree, options), device, threads=options.threads))
        places.append(place)
    child = os.fork()  # before the first thread
    if not child:
        _become(command, places[0] if len(places) == 1 else folder, mask)
    for engine in engines:
        engine.start()
    return _wait_for(child)


def _names(images: Sequence[Image]) -> list[str]:
    """A folder name for each image. Told apart here: a look at the folder would ask a mount that does not serve yet."""
    names: list[str] = []
    for image in images:
        stem = os.path.splitext(os.path.basename(image.path))[0] or "image"
        name, copy = stem, 2
        while name in names:
            name, copy = f"{stem} ({copy})", copy + 1
        names.append(name)
    return names


def _become(command: Sequence[str], place: str, mask: Iterable[int]) -> None:
    """In the grandchild: be the command. Never returns."""
    status = NOT_RUN
    try:
        for number in _FORWARDED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.execvpe(command[0], list(command), os.environ | {VARIABLE: place})
    except OSError as error:
        status = NOT_FOUND if error.errno == errno.ENOENT else NOT_RUN
        os.write(2, f"imagefs: {command[0]}: {error.strerror}\n".encode("utf-8", "surrogateescape"))
    finally:
        os._exit(status)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def enter_namespace() -> None:
    """A mount namespace of our own, nothing of which reaches the outside; with a user namespace unless this is root.

    Raises UnsupportedError where the system forbids it.
    """
    libc, uid, gid = _libc(), os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWNS if uid == 0 else CLONE_NEWNS | CLONE_NEWUSER):
        raise UnsupportedError(
            f"a private namespace cannot be made here ({os.strerror(ctypes.get_errno())}); "
            "use imagefs mount, or allow unprivileged user namespaces"
        )
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            file = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(file, text.encode())
            finally:
                os.close(file)
    if libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None):
        raise _error("the mount namespace")
