"""Asking a running daemon, as the commands do: one connection, one request, one answer. docs/control.md has the protocol."""

import contextlib
import errno
import json
import os
import socket
import struct
from typing import Any

from imagefs.daemon.places import default_socket
from imagefs.errors import ImageError

ANSWER_SECONDS = 40.0
"""Longer than the daemon's own patience, so that its words arrive."""
ANSWER_BYTES = 64 << 20
"""10,000 images are 4 MiB."""
_PEER = struct.Struct("3i")


class DaemonError(ImageError):
    """An error that the daemon met: its words, errno and exit status; `kind` is its class there."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(str(said["message"]))
        self.kind, self.errno, self.status = str(said["class"]), int(said["errno"]), int(said["status"])


def ask(place: str | None, command: str, **fields: str | None) -> Any:
    """The daemon's result for a command, asked over the socket at `place`, or at the usual one.

    Raises DaemonError for what the daemon refuses, OSError when there is none (ECONNREFUSED) or it does not answer.
    """
    place = place or default_socket()
    said = {"command": command} | {key: value for key, value in fields.items() if value is not None}
    try:
        line = _exchange(place, json.dumps(said).encode("ascii") + b"\n")
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise OSError(errno.ECONNREFUSED, "no daemon is running; imagefs serve starts one", place) from None
    except TimeoutError:
        raise OSError(errno.ETIMEDOUT, "the daemon does not answer", place) from None
    except OSError as error:
        raise OSError(error.errno or errno.EINVAL, error.strerror or str(error), place) from None
    try:
        answer = json.loads(line)
        if answer["ok"]:
            return answer["result"]
        refusal = DaemonError(answer["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise OSError(errno.EPROTO, "the daemon broke off in its answer", place) from None
    raise refusal


def _exchange(place: str, request: bytes) -> bytes:
    """The line that answers. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(ANSWER_SECONDS)
        peer.connect(place)
        _, user, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if os.geteuid() not in (0, user) and user != 0:
            raise OSError(errno.EPERM, f"the daemon there is of user {user}, who is not trusted", place)
        with contextlib.suppress(BrokenPipeError):  # it has refused us already; its words are waiting
            peer.sendall(request)
        with peer.makefile("rb") as answer:
            return answer.readline(ANSWER_BYTES)
