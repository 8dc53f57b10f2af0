"""The life of a mount: open, attach, go to the background, tell readiness, serve, unmount.

The order matters. Everything that can fail for the user's reasons happens before the mount, with its words on the user's
terminal. Then: mount, fork (no thread may exist yet), setsid in the child, serve; when the kernel's first request (INIT) is
answered the child writes a byte to a pipe, on which the parent ends with 0. setsid must not come before the mount: under
autofs only the process group that systemd started may touch the path. trio is imported last, when the mount already answers.
"""

import errno
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from imagefs.errors import NotFoundError, UnsupportedError, UsageError
from imagefs.frontends.fuse import attach, mountinfo
from imagefs.frontends.fuse.mount import Mount
from imagefs.frontends.fuse.mountinfo import MountInfo, mounts
from imagefs.frontends.fuse.notify import notify
from imagefs.frontends.fuse.supervise import Session
from imagefs.image import Image, open_image
from imagefs.options import Options

__all__ = ["MountInfo", "mount_image", "mounts", "unmount"]

BUSY_RETRIES, BUSY_PAUSE = 5, 0.2
"""A file manager looks into a mount for a moment at any time; what holds on for a second holds on."""
RELEASE_SECONDS = 5.0
"""How long `umount` waits for the daemon to let the image go."""

log = logging.getLogger("imagefs")


def _session(mount: Mount, image: Image, mountpoint: str, options: Options) -> Session:
    """The session of the engine that the options name."""
    if options.engine == "pyfuse3":
        try:
            from imagefs.frontends.fuse.pyfuse3_engine import Pyfuse3Session
        except ImportError as error:
            raise UnsupportedError(
                f"engine=pyfuse3 needs pyfuse3 ({error}): pip install 'imagefs[pyfuse3]', with the packages gcc, pkg-config "
                "and libfuse3-dev; engine=direct needs none of it"
            ) from None
        return Pyfuse3Session(mount, image, mountpoint, options)
    from imagefs.frontends.fuse.direct_session import DirectSession

    return DirectSession(mount, image, mountpoint, options)


# --- mounting -----------------------------------------------------------------------------------------------------------


def mount_image(
    path: str, mountpoint: str | None, options: Options, *, foreground: bool = False, cache_bytes: int | None = None
) -> int:
    """Mount an image; the exit status. Returns when the mount is live, or with `foreground` when it has ended.

    Raises ImageError and OSError before anything is mounted. A mount point chosen here is named on standard output.
    """
    if cache_bytes is not None:
        from imagefs.cache import configure

        configure(cache_bytes)
    image = open_image(path, options)
    made = None
    try:
        tree = image.tree
        tree.entries(tree.root)  # an image whose root cannot be read is refused, not mounted
        for line in image.warnings:
            log.warning("%s: %s", path, line)
        if mountpoint is None:
            mountpoint = made = make_mountpoint(path)
        mountpoint = os.path.abspath(mountpoint)
        prepare(mountpoint)
        mountpoint = os.path.realpath(mountpoint)
        session = _session(Mount(tree, options), image, mountpoint, options)
        session.attach()
    except BaseException:
        image.close()
        if made is not None:
            os.rmdir(made)
        raise
    if made is not None:
        print(made, flush=True)
    if foreground:
        return _serve(session, image, made, lambda: None)
    return _serve_in_background(session, image, made)


def prepare(mountpoint: str) -> None:
    """See that something can be mounted there: a directory, on which no imagefs is mounted. A dead mount is replaced."""
    there = mountinfo.mounted_at(os.path.realpath(os.path.dirname(mountpoint)) + "/" + os.path.basename(mountpoint))
    if there is not None and there.kind.startswith("fuse") and mountinfo.is_dead(there.mountpoint):
        log.warning("%s held a dead mount of %s, which is replaced", mountpoint, there.source)
        attach.detach(there.mountpoint, lazy=True)
    elif there is not None and there.kind == mountinfo.TYPE:
        raise OSError(errno.EBUSY, f"{there.source} is already mounted there; imagefs umount it first", mountpoint)
    try:
        is_directory = os.path.isdir(mountpoint)
        exists = is_directory or os.path.lexists(mountpoint)
    except ValueError:
        raise UsageError("the mount point has a NUL in its name") from None
    if not exists:
        raise NotFoundError(f"the mount point {mountpoint} does not exist; make the directory first")
    if not is_directory:
        raise UsageError(f"the mount point {mountpoint} is not a directory")


def runtime_folder() -> str:
    """The folder of the user's that goes away with the session (XDG_RUNTIME_DIR), or one like it."""
    base = os.environ.get("XDG_RUNTIME_DIR") or (f"/run/user/{os.getuid()}" if os.getuid() else "/run")
    if not os.access(base, os.W_OK):
        import tempfile

        base = os.path.join(tempfile.gettempdir(), f"imagefs-{os.getuid()}")
        os.makedirs(base, 0o700, exist_ok=True)
        if os.lstat(base).st_uid != os.getuid():
            raise OSError(errno.EPERM, "belongs to somebody else", base)
    folder = os.path.join(base, "imagefs")
    os.makedirs(folder, 0o700, exist_ok=True)
    return folder


def make_mountpoint(image: str) -> str:
    """A new folder named after the image: beside it, or where that cannot be written, in the runtime folder."""
    stem = os.path.splitext(os.path.basename(image))[0] or "image"
    for folder in (os.path.dirname(os.path.abspath(image)), runtime_folder):
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
            if not isinstance(folder, str) or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
    raise OSError(errno.EEXIST, "no free name for a mount point", stem)


# --- serving ------------------------------------------------------------------------------------------------------------


def _serve(session: Session, image: Image, made: str | None, on_ready: Callable[[], None]) -> int:
    """Serve until the mount is gone. Signals that come before the engine listens are kept for it."""
    pending: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        pending.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, keep)

    def ready() -> None:
        notify("READY=1\nSTATUS=serving")
        on_ready()

    gc.freeze()  # what exists now lives as long as the mount
    gc.set_threshold(50_000, 20, 50)  # listings are many tuples and no cycles
    try:
        session.serve(ready, pending)
    finally:
        image.close()
        if made is not None:
            try:
                os.rmdir(made)
            except OSError as error:
                log.warning("the folder %s stays: %s", made, error.strerror)
    return 0


def _serve_in_background(session: Session, image: Image, made: str | None) -> int:
    """Fork; the parent returns when the child says that the mount is live."""
    sys.stdout.flush()
    sys.stderr.flush()
    told, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        answer = os.read(told, 1)
        os.close(told)
        if answer:
            return 0
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status) or 70
    status = 70
    try:
        os.close(told)
        os.setsid()
        os.chdir("/")

        def on_ready() -> None:
            os.write(tell, b"1")
            os.close(tell)
            null = os.open(os.devnull, os.O_RDWR)
            for standard in (0, 1, 2):
                os.dup2(null, standard)
            os.close(null)

        status = _serve(session, image, made, on_ready)
    except Exception:
        log.exception("the mount ended")
    finally:
        # Not sys.exit: the parent's clean-up (buffers, atexit) is not ours to run twice.
        os._exit(status)
    return status


# --- unmounting ---------------------------------------------------------------------------------------------------------


def unmount(target: str, *, lazy: bool = False) -> None:
    """Unmount by mount point or image. Returns when the image has no user left (lazily: at once).

    Raises NotFoundError when nothing is mounted there, OSError(EBUSY) that says who holds it.
    """
    # Not realpath of the target itself: resolving it would ask a mount that may be dead or hang.
    absolute = os.path.abspath(target)
    place = os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute))
    known = [m for m in mountinfo.all_mounts() if m.kind == mountinfo.TYPE]
    found = [m for m in known if m.mountpoint in (place, absolute)] or [
        m for m in known if m.source == absolute or m.source == os.path.realpath(absolute)
    ]
    if not found:
        raise NotFoundError("no imagefs is mounted there, and no mount is of such an image; see imagefs list")
    if len({m.mountpoint for m in found}) > 1:
        places = ", ".join(sorted({m.mountpoint for m in found}))
        raise UsageError(f"it is mounted in several places, name one: {places}")
    mount = found[-1]
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
    if not lazy:
        _wait_for_release(mount.source)


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


def _wait_for_release(image: str) -> None:
    """Until no daemon has both /dev/fuse and the image open."""
    servers = [p for p in _processes() if {"/dev/fuse", image} <= set(_links_of(p))]
    end = time.monotonic() + RELEASE_SECONDS
    while servers and time.monotonic() < end:
        time.sleep(0.005)
        servers = [p for p in servers if {"/dev/fuse", image} <= set(_links_of(p))]
