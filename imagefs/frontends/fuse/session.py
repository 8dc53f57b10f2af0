"""The life of a mount: open, attach, go to the background, tell readiness, serve, unmount.

The order matters. Everything that can fail for the user's reasons happens before the mount, with its words on the user's
terminal. Then: mount, fork (no thread may exist yet), setsid in the child, serve; when the kernel's first request (INIT) is
answered the child writes a byte to a pipe, on which the parent ends with 0. setsid must not come before the mount: under
autofs only the process group that systemd started may touch the path. trio is imported last, when the mount already answers.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from imagefs.errors import NotFoundError, UnsupportedError, UsageError
from imagefs.frontends.fuse import attach, heap, mountinfo
from imagefs.frontends.fuse.keeper import ending_signals, listen_no_more
from imagefs.frontends.fuse.locks import locked
from imagefs.frontends.fuse.mountinfo import MountInfo, mounts
from imagefs.frontends.fuse.notify import SystemLog, notify
from imagefs.options import Options

if TYPE_CHECKING:
    from imagefs.frontends.fuse.mount import Mount
    from imagefs.frontends.fuse.supervise import Supervisor
    from imagefs.image import Image

__all__ = ["MountInfo", "mount_image", "mounts", "unmount"]

BUSY_RETRIES, BUSY_PAUSE = 5, 0.2
"""A file manager looks into a mount for a moment at any time; what holds on for a second holds on."""
RELEASE_SECONDS = 5.0
"""How long `umount` waits for the daemon to let the image go."""
_NOT_BESIDE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)
"""Why no folder can be made beside an image; the last of them in /dev/fd."""
MOUNTING_SECONDS = 2.0
"""How long another mount in the same place may take."""

log = logging.getLogger("imagefs")


def session_of(options: Options) -> Callable[[Mount, Image, str, Options], Supervisor]:
    """The session of the engine that the options name. Raises UnsupportedError."""
    if options.engine == "pyfuse3":
        try:
            from imagefs.frontends.fuse.pyfuse3_engine import Pyfuse3Session
        except ImportError as error:
            raise UnsupportedError(
                f"engine=pyfuse3 needs pyfuse3 ({error}): pip install 'imagefs[pyfuse3]', with the packages gcc, pkg-config "
                "and libfuse3-dev; engine=direct needs none of it"
            ) from None
        return Pyfuse3Session
    from imagefs.frontends.fuse.direct_session import DirectSession

    return DirectSession


# --- mounting -----------------------------------------------------------------------------------------------------------


def mount_image(
    path: str,
    mountpoint: str | None,
    options: Options,
    *,
    foreground: bool = False,
    cache_bytes: int | None = None,
    remove: bool = False,
) -> int:
    """Mount an image; the exit status. Returns when the mount is live, or with `foreground` when it has ended.

    Raises ImageError and OSError before anything is mounted. A mount point chosen here is named on standard output and goes
    away with the mount; with `remove` one that was given does, too.
    """
    if cache_bytes is not None:
        from imagefs.cache import configure

        configure(cache_bytes)
    _fill_standard_descriptors()
    if options.sandbox is not False:
        from imagefs.frontends.fuse.separate import ConfinedMount

        confined = ConfinedMount(
            path, mountpoint, options, foreground=foreground, cache_bytes=cache_bytes, remove=remove
        )
        return confined.run()
    if options.run_as is not None:
        raise UsageError("run_as is for a confined mount, and nosandbox was asked for")
    return _mount_in_one_process(path, mountpoint, options, foreground, remove)


def check_image(path: str, options: Options) -> None:
    """Open an image as `mount_image` would, confined or not, and mount nothing. Raises ImageError, OSError."""
    if options.sandbox is not False:
        from imagefs.frontends.fuse.separate import ConfinedMount

        ConfinedMount(path, None, options, foreground=True, cache_bytes=None).check()
        return
    from imagefs.image import open_image

    with open_image(path, options) as image:
        image.tree.entries(image.tree.root)


def _mount_in_one_process(path: str, mountpoint: str | None, options: Options, foreground: bool, remove: bool) -> int:
    """Without confinement: who parses also unmounts."""
    from imagefs.frontends.fuse.mount import Mount
    from imagefs.image import open_image

    with contextlib.ExitStack() as undo:
        image = undo.enter_context(open_image(path, options))
        tree = image.tree
        tree.entries(tree.root)  # an image whose root cannot be read is refused, not mounted
        for line in image.warnings:
            log.warning("%s: warning: %s", path, line)
        pending = keep_signals(ending_signals())  # from here on, what was begun is undone
        made = None
        if mountpoint is None:
            mountpoint = made = make_mountpoint(path)
        if made or remove:
            undo.callback(remove_folder, mountpoint)
        with prepared(mountpoint) as place:
            session = session_of(options)(Mount(tree, options), image, place, options)
            session.attach()
        undo.callback(session.detach)
        if made is not None:
            tell_place(made)
        if not foreground:
            return _serve_in_background(session, pending, undo)
        _serve(session, pending, lambda: None)
    return 0


def _fill_standard_descriptors() -> None:
    """Open /dev/null where 0, 1 or 2 is closed: the image would get that number, and lose it in the background."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def keep_signals(numbers: Iterable[int]) -> list[int]:
    """Put signals by, for who will listen; where they are put."""
    pending: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        pending.append(number)

    for number in numbers:
        signal.signal(number, keep)
    return pending


def tell_place(folder: str) -> None:
    """Name a mount point that was made on standard output."""
    if sys.stdout is not None:
        sys.stdout.buffer.write(os.fsencode(folder) + b"\n")
        sys.stdout.flush()


def remove_folder(folder: str) -> None:
    """Take away a mount point that was made for a mount."""
    try:
        os.rmdir(folder)
    except OSError as error:
        log.warning("the folder %s stays: %s", folder, error.strerror)


def prepare(mountpoint: str) -> str:
    """See that something can be mounted there: a directory, on which no imagefs is mounted; its path without links.

    A dead mount is taken away. Raises NotFoundError, UsageError, OSError.
    """
    place = mountinfo.place_of(mountpoint)
    there = take_dead_away(place)
    if there is not None and there.kind == mountinfo.TYPE:
        raise OSError(errno.EBUSY, f"{there.source} is already mounted on {place}; `imagefs umount` takes it away")
    try:
        mode = os.stat(place).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"the mount point {place} does not exist; make the directory first") from None
    if not stat.S_ISDIR(mode):
        raise UsageError(f"the mount point {place} is not a directory")
    return place


@contextlib.contextmanager
def prepared(mountpoint: str) -> Iterator[str]:
    """`prepare`, with no other imagefs at it meanwhile: of two mounts at once in one place the second is refused."""
    place = prepare(mountpoint)
    try:
        folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # it may be closed to its own user, and be mounted on all the same
        yield place
        return
    try:
        locked(folder, MOUNTING_SECONDS)
        yield prepare(mountpoint)
    finally:
        os.close(folder)


def take_dead_away(place: str) -> MountInfo | None:
    """Unmount what has no daemon any more, and nothing else; what is mounted there then. Raises OSError."""
    there = mountinfo.mounted_at(place)
    while there is not None and there.kind.startswith("fuse") and mountinfo.is_dead(place):
        log.warning("%s held a dead mount of %s, which is taken away", place, there.source)
        attach.detach(place, lazy=True)
        there = mountinfo.mounted_at(place)
    return there


def runtime_folder() -> str:
    """The folder of the user's that goes away with the session (XDG_RUNTIME_DIR), or one like it."""
    user = os.getuid()
    for base in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{user}" if user else "/run"):
        if os.access(base, os.W_OK) and os.stat(base).st_uid == user:  # sudo may leave root the folder of another
            break
    else:
        import tempfile

        base = _own_folder(os.path.join(tempfile.gettempdir(), f"imagefs-{user}"), 0o700)
    # Root's is that of the services as well, which show images to everybody.
    return _own_folder(os.path.join(base, "imagefs"), 0o700 if user else 0o755)


def _own_folder(path: str, mode: int) -> str:
    """A folder of the user's, made where it is not there. Raises OSError when it is somebody else's, or a link."""
    os.makedirs(path, mode, exist_ok=True)
    there = os.lstat(path)
    if there.st_uid != os.getuid() or not stat.S_ISDIR(there.st_mode):
        raise OSError(errno.EPERM, "belongs to somebody else", path)
    return path


def make_mountpoint(image: str) -> str:
    """A new folder named after the image: beside it, or for a device or where that cannot be written, in the runtime folder.

    For root only where nobody else can put a link in its place before it is mounted on: who owns the image could have it
    mounted on /etc.
    """
    stem = os.path.splitext(os.path.basename(image))[0] or "image"
    beside = os.path.dirname(os.path.abspath(image))
    goes_beside = os.path.isfile(image) and (os.geteuid() or _is_roots(beside))
    for folder in (beside, runtime_folder) if goes_beside else (runtime_folder,):
        try:
            base = folder if isinstance(folder, str) else folder()
            for copy in range(1, 1000):
                path = os.path.join(base, stem if copy == 1 else f"{stem} ({copy})")
                try:
                    os.mkdir(path, 0o755)
                except FileExistsError:
                    continue
                return path
        except OSError as error:
            if not isinstance(folder, str) or error.errno not in _NOT_BESIDE:
                raise
    raise OSError(errno.EEXIST, "no free name for a mount point", stem)


def _is_roots(folder: str) -> bool:
    """Whether nobody but root can rename what root makes in a folder, or the folder itself."""
    place = os.path.realpath(folder)
    while True:
        there = os.stat(place)
        if there.st_uid or (there.st_mode & 0o022 and not there.st_mode & stat.S_ISVTX):
            return False
        if place == "/":
            return True
        place = os.path.dirname(place)


# --- serving ------------------------------------------------------------------------------------------------------------


def _serve(session: Supervisor, pending: list[int], on_ready: Callable[[], None]) -> None:
    """Serve until the mount is gone."""

    def ready() -> None:
        notify("READY=1\nSTATUS=serving")
        on_ready()

    settle_memory()
    session.serve(ready, pending)


def settle_memory() -> None:
    """Have the interpreter look seldom for garbage, never among what lives as long as the mount; threads share a heap."""
    heap.share()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # listings are many tuples and no cycles


def _serve_in_background(session: Supervisor, pending: list[int], undo: contextlib.ExitStack) -> int:
    """Fork; the parent returns when the child says that the mount is live, and leaves the undoing to it."""
    if sys.stdout is not None:
        sys.stdout.flush()
    told, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        undo.pop_all()
        return _wait_until_live(child, told, pending)
    status = 70
    try:
        with undo:
            os.close(told)
            os.setsid()
            os.chdir("/")
            _serve(session, pending, lambda: go_live(tell))
        status = 0
    except Exception:
        log.exception("the mount ended")
    finally:
        # Not sys.exit: the parent's clean-up (buffers, atexit) is not ours to run twice.
        os._exit(status)
    return status


def go_live(tell: int) -> None:
    """Tell the command that the mount is live, and let its terminal go."""
    with contextlib.suppress(BrokenPipeError):  # it was killed; the mount is good all the same
        os.write(tell, b"1")
    os.close(tell)
    leave_terminal(os.open(os.devnull, os.O_RDWR), SystemLog())


def leave_terminal(null: int, handler: logging.Handler) -> None:
    """Let the terminal go: whoever reads from it waits for its end. What is logged goes to `handler` from now on."""
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
    logging.getLogger().handlers[:] = [handler]


def _wait_until_live(child: int, told: int, pending: list[int]) -> int:
    """The exit status for the user. A signal meanwhile is the child's: it unmounts."""
    live = os.read(told, 1)
    os.close(told)
    if live:
        listen_no_more()
        if not pending:
            return 0
    if live:
        os.kill(child, signal.SIGTERM)
    _, ended = os.waitpid(child, 0)
    if pending:
        return 128 + pending[0]
    status = os.waitstatus_to_exitcode(ended)
    return status if status > 0 else 70


# --- unmounting ---------------------------------------------------------------------------------------------------------


def unmount(target: str, *, lazy: bool = False) -> None:
    """Unmount by mount point or image. Returns when the image has no user left (lazily: at once).

    Raises NotFoundError when nothing is mounted there, OSError(EBUSY) that says who holds it.
    """
    mount = _find(target)
    image = os.path.realpath(mount.source)
    servers = [] if lazy else [process for process in _processes() if _serves(process, image)]
    for attempt in range(BUSY_RETRIES + 1):
        try:
            attach.detach(mount.mountpoint, lazy=lazy)
            break
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            if attempt == BUSY_RETRIES:
                holders = _holders(mount.mountpoint)
                who = f"; in use by {', '.join(holders)}" if holders else ""
                raise OSError(errno.EBUSY, f"busy{who}; leave it, or use --lazy", mount.mountpoint) from None
            time.sleep(BUSY_PAUSE)
    end = time.monotonic() + RELEASE_SECONDS
    while servers and all(_serves(process, image) for process in servers) and time.monotonic() < end:
        time.sleep(0.005)


def _find(target: str) -> MountInfo:
    """The mount that a mount point or an image names. Raises NotFoundError, UsageError, OSError(EBUSY)."""
    known = mountinfo.all_mounts()
    ours = [mount for mount in known if mount.kind == mountinfo.TYPE]
    place = mountinfo.place_of(target)
    found = [mount for mount in ours if mount.mountpoint == place]
    if not found:
        image = os.path.realpath(target)
        found = [mount for mount in ours if os.path.realpath(mount.source) == image]
    if not found:
        raise NotFoundError("no imagefs is mounted there, and no mount is of such an image; see imagefs list")
    places = sorted({mount.mountpoint for mount in found})
    if len(places) > 1:
        raise UsageError(f"it is mounted in several places, name one: {', '.join(places)}")
    top = [mount for mount in known if mount.mountpoint == places[0]][-1]
    if top.kind != mountinfo.TYPE:
        raise OSError(errno.EBUSY, f"{top.source} ({top.kind}) is mounted over it; unmount that first", places[0])
    return top


def _links_of(process: str) -> list[str]:
    """Where the descriptors, the working directory and the root of a process point; empty for others' processes."""
    found = []
    try:
        links = [f"/proc/{process}/cwd", f"/proc/{process}/root", *(e.path for e in os.scandir(f"/proc/{process}/fd"))]
    except OSError:
        return []
    for link in links:
        try:
            found.append(os.readlink(link))
        except OSError:
            continue
    return found


def _processes() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def _holders(mountpoint: str) -> list[str]:
    """`name (pid)` of the processes that use a mount, as far as one may see."""
    found = []
    for process in _processes():
        if any(link == mountpoint or link.startswith(mountpoint + "/") for link in _links_of(process)):
            try:
                with open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as file:
                    found.append(f"{file.read().strip()} ({process})")
            except OSError:
                continue
    return found


def _serves(process: str, image: str) -> bool:
    """Whether a process has both /dev/fuse and the image (its real path) open, as far as one may see."""
    return {"/dev/fuse", image} <= set(_links_of(process))
