"""The control socket: what the commands ask of a running daemon. docs/control.md is the page of the protocol.

A request is one line of JSON, an object with `command` and what the command takes; the answer is one line of JSON:
`{"ok": true, "result": ...}` or `{"ok": false, "error": {"class", "message", "errno", "status"}}`, where the error has the
class, numbers and words that the same fault has on the command line. A connection may ask any number of times.

The daemon makes the socket before it starts threads or gives up rights, and serves it beside everything else. Confined, it
needs the system call accept4, and the folder of its configuration to be readable:

    listener = places.listen(config.socket)
    process = Process()
    reloader = Reloader(load, target)
    control = Control(library, reloader, Facts(config_path, sandbox, time.time()), process)
    reloader.start(config)
    nursery.start_soon(serve_control, control, listener.socket)
    nursery.start_soon(reload_on_hangup, reloader)
    ...
    listener.close()

What a request does runs in a worker thread; only the speaking is asynchronous. A client may be slow, wrong or gone: each has
its own task, bounded in bytes and in time, and who it is the kernel says.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import trio

from imagefs.daemon.config import image_options, is_name
from imagefs.daemon.metrics import Facts, Process, Totals, record, render, summary
from imagefs.daemon.reload import Outcome, Reloader
from imagefs.errors import ImageError, NotFoundError, UsageError, errno_of, exit_status, message_of
from imagefs.frontends.fuse.notify import notify
from imagefs.frontends.fuse.threads import in_thread
from imagefs.options import Options

if TYPE_CHECKING:
    from imagefs.daemon.library import ImageStatus

REQUEST_BYTES = 64 << 10
"""One request: a path of 4096 bytes takes 24 KiB when every byte of it is escaped."""
CLIENTS = 64
"""Connections at once; one more is told so and closed."""
PATIENCE_SECONDS = 30.0
"""For a request to arrive, for it to be done, and for its answer to be taken."""
WORKERS = 8
"""Requests that are done at once. One that hangs keeps its worker until it hangs no longer."""
_PEER = struct.Struct("3i")
"""struct ucred of unix(7): pid, uid, gid of whom the socket is connected to."""

log = logging.getLogger("imagefs")


class Library(Protocol):
    """The images of the daemon, as far as the control needs them. All methods may run in many threads at once."""

    def attach(self, path: str, name: str | None = None, options: Options | None = None) -> str: ...
    def detach(self, name_or_path: str) -> None: ...
    def status(self) -> Sequence[ImageStatus]: ...
    def totals(self) -> Totals: ...


Fields = dict[str, str]
"""What a request says beside its command."""


class _Command(NamedTuple):
    run: Callable[[Control, Fields], object]
    takes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


class Control:
    """What can be asked. All methods may run in many threads at once."""

    def __init__(self, library: Library, reloader: Reloader, facts: Facts, process: Process | None = None) -> None:
        """`process` was made by the process that serves, before it was confined. Raises OSError where there is no /proc."""
        self._library, self._reloader, self._facts = library, reloader, facts
        self._process = process or Process()

    def close(self) -> None:
        """Let go what is open; nothing may be asked any more."""
        self._process.close()

    def answer(self, line: bytes) -> bytes:
        """The line that answers a line; never raises."""
        try:
            said: dict[str, object] = {"ok": True, "result": self._result(line)}
        except Exception as error:  # a fault in one request ends nothing else
            if not isinstance(error, ImageError | OSError):
                log.exception("a request on the control socket failed")
            said = failure(error)
        return encoded(said)

    def _result(self, line: bytes) -> object:
        """What a request gives. Raises ImageError, OSError."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            raise UsageError("the request is not a line of JSON") from None
        if not isinstance(request, dict) or not isinstance(request.get("command"), str):
            raise UsageError("a request is an object with a command")
        name = request.pop("command")
        command = _COMMANDS.get(name)
        if command is None:
            raise UsageError(f"there is no command {name!a}; known are {', '.join(_COMMANDS)}")
        return command.run(self, _fields(name, command, request))

    # --- the commands ---------------------------------------------------------------------------------------------------

    def attach(self, fields: Fields) -> object:
        """Show an image: the name that it got and the folder that shows it."""
        path, name = _absolute(fields["path"]), fields.get("name")
        if name is not None and not is_name(name):
            raise UsageError(f"{name!a} cannot be the name of a folder")
        config = self._reloader.config
        options = image_options([fields["options"]], config.options) if "options" in fields else None
        given = self._library.attach(path, name, options)
        return {"name": given, "folder": os.path.join(config.root or "", given)}

    def detach(self, fields: Fields) -> object:
        """Show an image no longer, by its name if it is one, else by its path."""
        words = [fields["name"]] if "name" in fields else []
        words += [_absolute(fields["path"])] if "path" in fields else []
        if not words:
            raise UsageError("detach takes a name or a path")
        for word in words[:-1]:
            try:
                self._library.detach(word)
                return {}
            except NotFoundError:
                continue
        self._library.detach(words[-1])
        return {}

    def list(self, fields: Fields) -> object:
        """Every image with its counters."""
        return [record(image, self._reloader.config.root) for image in self._library.status()]

    def status(self, fields: Fields) -> object:
        """The daemon itself, with the images in numbers and those that are in trouble."""
        return self._summary()

    def metrics(self, fields: Fields) -> object:
        """The same for Prometheus."""
        return render(self._summary())

    def reload(self, fields: Fields) -> object:
        """Read the configuration again: what was done, what waits for a restart, what failed."""
        outcome = reload_and_log(self._reloader)
        failed = [{"about": about, **described(error)} for about, error in outcome.failed]
        return outcome._asdict() | {"failed": failed}

    def _summary(self) -> Mapping[str, Any]:
        config, numbers = self._reloader.config, self._process.numbers()
        return summary(self._facts, config, self._library.status(), self._library.totals(), numbers)


_COMMANDS = {
    "attach": _Command(Control.attach, ("path", "name", "options"), ("path",)),
    "detach": _Command(Control.detach, ("name", "path")),
    "list": _Command(Control.list),
    "status": _Command(Control.status),
    "metrics": _Command(Control.metrics),
    "reload": _Command(Control.reload),
}


def _fields(name: str, command: _Command, request: Mapping[str, object]) -> Fields:
    """What a request says, checked; null is the same as nothing. Raises UsageError."""
    fields = {}
    for key, value in request.items():
        if key not in command.takes:
            raise UsageError(f"{name} takes no {key!a}")
        if value is None:
            continue
        if not isinstance(value, str) or "\0" in value or not _is_encodable(value):
            raise UsageError(f"{key} is not a text")
        fields[key] = value
    for key in command.needs:
        if key not in fields:
            raise UsageError(f"{name} takes a {key}")
    return fields


def _is_encodable(text: str) -> bool:
    """Whether it can be a name: of the surrogates only those that stand for bytes can."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _absolute(path: str) -> str:
    """The path, which the daemon opens with its own rights and from no folder of the client's. Raises UsageError."""
    if not os.path.isabs(path):
        raise UsageError(f"the path {path!a} is not absolute")
    return os.path.normpath(path)


def encoded(said: Mapping[str, object]) -> bytes:
    """A line. Bytes of names that are no text come as lone surrogates, U+DC80 to U+DCFF, and as such back."""
    return json.dumps(said).encode("ascii") + b"\n"


def failure(error: BaseException) -> dict[str, object]:
    """The answer for an error."""
    return {"ok": False, "error": described(error)}


def described(error: BaseException) -> dict[str, object]:
    """An error with what the command line needs to say and to end as if it were its own."""
    text = message_of(error)
    if isinstance(error, ImageError):
        kind = type(error).__name__
    elif isinstance(error, OSError):
        kind = "OSError"
    else:
        kind = "internal"
        text = f"internal error of the daemon, please report it: {type(error).__name__}: {text}"
    return {"class": kind, "message": text, "errno": errno_of(error), "status": exit_status(error)}


# --- reloading ----------------------------------------------------------------------------------------------------------


def reload_and_log(reloader: Reloader) -> Outcome:
    """Reload, with the outcome in the log; the service manager knows meanwhile. Raises what Reloader.reload raises."""
    _tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        outcome = reloader.reload()
    except (ImageError, OSError) as error:
        log.error("%s; the configuration stays as it was", message_of(error))  # noqa: TRY400  a line, not a stack
        raise
    finally:
        _tell("READY=1")
    for line in outcome.done:
        log.info("%s", line)
    for line in outcome.restart:
        log.warning("%s", line)
    for about, failed in outcome.failed:
        log.warning("%s: %s", about, message_of(failed))
    return outcome


def _tell(text: str) -> None:
    """Tell the service manager, which a confined process may not be able to do."""
    with contextlib.suppress(OSError):
        notify(text)


async def reload_on_hangup(
    reloader: Reloader, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Reload at every SIGHUP, for ever."""
    with trio.open_signal_receiver(signal.SIGHUP) as received:
        task_status.started()
        async for _ in received:
            try:
                await trio.to_thread.run_sync(reload_and_log, reloader)
            except (ImageError, OSError):
                continue  # it is in the log, and nothing has changed


# --- serving ------------------------------------------------------------------------------------------------------------


async def serve_control(
    control: Control,
    listener: socket.socket,
    user: int | None = None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on a listening UNIX socket, for ever. Cancelled, it closes its connections; the listener stays its owner's.

    Root is listened to, and `user`; None: whom this process runs as.
    """
    server = _Server(control, os.geteuid() if user is None else user)
    async with (
        trio.SocketListener(trio.socket.from_stdlib_socket(listener.dup())) as own,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(trio.serve_listeners, server.converse, [own])
        task_status.started()


class _Server:
    """All connections. What is counted here is counted in trio's thread alone."""

    def __init__(self, control: Control, user: int) -> None:
        self._control = control
        self._clients = 0
        self._workers = trio.CapacityLimiter(WORKERS)
        self._user = user

    async def converse(self, stream: trio.SocketStream) -> None:
        """One connection, until either side has enough of it."""
        self._clients += 1
        try:
            await self._converse(stream)
        except (trio.BrokenResourceError, trio.TooSlowError):
            log.debug("a client of the control socket went away")
        except Exception:
            log.exception("a connection of the control socket failed")  # that one alone
        finally:
            self._clients -= 1

    async def _converse(self, stream: trio.SocketStream) -> None:
        try:
            self._admit(stream.socket)
            lines = _Lines(stream)
            while (line := await lines.next()) is not None:
                await _send(stream, await self._answer(line))
        except (ImageError, OSError) as error:
            await _send(stream, encoded(failure(error)))

    def _admit(self, peer: trio.socket.SocketType) -> None:
        """Raises OSError for whom the daemon does not listen to."""
        _, user, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if user not in (0, self._user):
            log.warning("user %d was refused on the control socket", user)
            raise OSError(errno.EPERM, f"user {user} may not control the daemon of user {self._user}")
        if self._clients > CLIENTS:
            raise OSError(errno.EAGAIN, f"the daemon has {CLIENTS} clients already; try again")

    async def _answer(self, line: bytes) -> bytes:
        """The answer to a request, or that it takes too long; what was asked for goes on in its thread then."""
        answer = self._control.answer
        with trio.move_on_after(PATIENCE_SECONDS):
            return await in_thread(answer, line, limiter=self._workers)
        return encoded(failure(OSError(errno.ETIMEDOUT, f"not done within {PATIENCE_SECONDS:g} seconds")))


class _Lines:
    """The lines of a client."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def next(self) -> bytes | None:
        """The next one, None at the end. Raises UsageError when it is too long, trio.TooSlowError when it does not end."""
        buffer = self._buffer
        with trio.fail_after(PATIENCE_SECONDS):
            while (end := buffer.find(b"\n")) < 0 and len(buffer) <= REQUEST_BYTES:
                more = await self._stream.receive_some(REQUEST_BYTES)
                if not more:
                    return None
                buffer += more
        if not 0 <= end <= REQUEST_BYTES:
            raise UsageError(f"a request has at most {REQUEST_BYTES} bytes")
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        return line


async def _send(stream: trio.SocketStream, line: bytes) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        await stream.send_all(line)
