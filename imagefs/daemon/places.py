"""Where the daemon and the commands meet: the control socket, made safely or taken over from systemd."""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from typing import NamedTuple

from imagefs.frontends.fuse.locks import locked

BACKLOG = 64
STARTING_SECONDS = 2.0
"""How long another daemon may take that makes its socket in the same folder."""
FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


class Listener(NamedTuple):
    """A socket that listens. `path` is what has to be removed at the end; None: it is systemd's."""

    socket: socket.socket
    path: str | None

    def close(self) -> None:
        """Stop listening; a socket file of our own goes away."""
        self.socket.close()
        if self.path is not None:
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def default_socket() -> str:
    """/run/imagefs/control.sock for root, else imagefs/control.sock in the user's runtime folder, else one under /tmp."""
    user = os.geteuid()
    if user == 0:
        return "/run/imagefs/control.sock"
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{user}"
    folder = os.path.join(base, "imagefs") if os.path.isdir(base) else f"/tmp/imagefs-{user}"  # noqa: S108 listen() looks
    return os.path.join(folder, "control.sock")


def listen(path: str | None = None) -> Listener:
    """The control socket: the one that systemd hands over, else a new one at `path`, mode 0600.

    To be called before any thread is started and before rights are given up: the file's mode comes from the process's umask.
    Raises OSError: EADDRINUSE when a daemon is there, EPERM when the folder is one that others can write to.
    """
    given = from_systemd()
    if given is not None:
        return Listener(given, None)
    path = os.path.abspath(path or default_socket())
    with _alone_in(os.path.dirname(path)):
        _remove_stale(path)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            made.bind(path)
            made.listen(BACKLOG)
        except OSError as error:
            made.close()
            raise OSError(error.errno or errno.EINVAL, _reason(error), path) from None
        finally:
            os.umask(mask)
    return Listener(made, path)


def from_systemd() -> socket.socket | None:
    """The listening socket that a socket unit hands over (sd_listen_fds(3)); None: there is none for this process.

    The variables are taken out of the environment, so that no child believes them to be its own. Raises OSError(EINVAL) when
    what is handed over is something else than one UNIX stream socket.
    """
    process, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()) or not count.isdigit() or count == "0":
        return None
    if count != "1":
        raise OSError(errno.EINVAL, f"systemd hands over {count} sockets, and imagefs has one")
    os.set_inheritable(FIRST_DESCRIPTOR, False)
    given = socket.socket(fileno=FIRST_DESCRIPTOR)
    listens = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if (given.family, given.type, listens) != (socket.AF_UNIX, socket.SOCK_STREAM, 1):
        given.detach()
        raise OSError(errno.EINVAL, "the socket that systemd hands over is no ListenStream= with a path")
    return given


@contextlib.contextmanager
def _alone_in(folder: str) -> Iterator[None]:
    """Hold the folder, made where it is missing: of two daemons that start at once one finds the other's socket."""
    private = os.geteuid() != 0
    os.makedirs(folder, 0o700 if private else 0o755, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        there = os.fstat(descriptor)
        if there.st_uid not in (0, os.geteuid()):
            raise OSError(errno.EPERM, "the folder of the control socket belongs to somebody else", folder)
        if there.st_mode & 0o022 and not there.st_mode & stat.S_ISVTX:
            raise OSError(errno.EPERM, "others can write to the folder of the control socket", folder)
        locked(descriptor, STARTING_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _remove_stale(path: str) -> None:
    """Remove the socket of a daemon that is gone. Raises OSError when it is not gone, or no socket."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "is there and no socket; remove it or choose another place", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(1)
        with contextlib.suppress(TimeoutError, BlockingIOError):  # it is there, and does not come to answer
            try:
                knock.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
                return
    raise OSError(errno.EADDRINUSE, "a daemon is running already; see imagefs status", path)


def _reason(error: OSError) -> str:
    """What is wrong; a path over 107 bytes does not fit a socket's address, for which Python has no errno."""
    return error.strerror or str(error)
