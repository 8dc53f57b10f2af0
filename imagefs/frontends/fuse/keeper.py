"""The two processes of a confined mount: one reads the image and serves it, the other keeps the right to unmount.

The keeper forks the worker before anything of the image is read, mounts when the worker has opened it, hands the descriptors
of /dev/fuse over and lets go of them. From then on it waits: for signals, on which it unmounts; for the end of the mount;
and for the death of the worker, on which it says so and takes the dead mount away. The worker dies with its keeper.

They speak over a socket pair that keeps messages apart; whatever comes from the worker may come from who took it over:

worker: `opened` or `failed` and an error; `live`; `log`, a level and a line; the number of a signal, one byte; `ended`;
        words of its own, which the keeper was made to know
keeper: one byte with the descriptors; bytes of its own; the end of the connection, on which the worker leaves
"""

import array
import contextlib
import errno
import gc
import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from imagefs import errors
from imagefs.errors import ImageError, message_of

GRACE_SECONDS = 0.5
"""How long readers in flight may finish after a signal; then the connection is cut and they get an error."""
MESSAGE_BYTES = 8 << 10
MOST_DESCRIPTORS = 64
_TYPE = socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC

log = logging.getLogger("imagefs")


def ending_signals() -> list[signal.Signals]:
    """The signals that unmount: a terminal that is closed ends its mounts too, but not those under nohup."""
    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGTERM, signal.SIGINT, *hangup]


def listen_to_none() -> None:
    """Have the signals that unmount end this process: there is nothing to unmount yet."""
    for number in ending_signals():
        signal.signal(number, signal.SIG_DFL)


def listen_no_more() -> None:
    """Let the signals that unmount pass by, where the mount is live and this process has only to end.

    Python takes its handlers away before it ends. A signal then would be a failure told of a mount that stays.
    """
    for number in ending_signals():
        signal.signal(number, signal.SIG_IGN)


class WorkerEnded(ImageError):
    """The worker died, or failed in a way that is a fault of imagefs."""


def pack_error(error: BaseException) -> bytes:
    """An error as a message: its class, errno, words and file name."""
    if isinstance(error, OSError):
        fields = ["OSError", str(error.errno or 0), error.strerror or str(error), str(error.filename or "")]
    elif isinstance(error, ImageError):
        fields = [type(error).__name__, "", message_of(error), ""]
    else:
        what = f"{type(error).__name__}: {message_of(error)}"
        fields = [WorkerEnded.__name__, "", f"internal error, please report it, with what --verbose adds: {what}", ""]
    return "\0".join(fields).encode("utf-8", "surrogateescape")[: MESSAGE_BYTES - 100]


def unpack_error(data: bytes) -> Exception:
    """The error that a message tells. Of the package's own classes, or OSError: the message may be anything."""
    name, number, text, filename, *_ = [*data.decode("utf-8", "surrogateescape").split("\0"), "", "", ""]
    if name == "OSError":
        known = int(number) if number.isascii() and number.isdigit() else errno.EIO
        return OSError(known, text, filename) if filename else OSError(known, text)
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, ImageError):
        return kind.__new__(kind, text)  # not called: their arguments differ, their words are these
    return WorkerEnded(text or "it said nothing")


class Line:
    """The worker's end of the connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @property
    def number(self) -> int:
        """The descriptor."""
        return self._sock.fileno()

    def opened(self) -> list[int]:
        """Say that the image can be mounted; the descriptors of /dev/fuse, the first of which is mounted.

        Empty when nothing was mounted: the worker has to leave.
        """
        self._sock.send(b"opened")
        devices = array.array("i")
        _, ancillary, _, _ = self._sock.recvmsg(1, socket.CMSG_SPACE(MOST_DESCRIPTORS * devices.itemsize))
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                devices.frombytes(data[: len(data) - len(data) % devices.itemsize])
        for device in devices:
            os.set_inheritable(device, False)
        return list(devices)

    def live(self) -> None:
        self._sock.send(b"live")

    def failed(self, error: BaseException) -> None:
        with contextlib.suppress(OSError):  # the keeper is gone
            self._sock.send(b"failed\0" + pack_error(error))

    def ended(self) -> None:
        """Say that the mount is gone, and wait until the keeper has tidied up."""
        with contextlib.suppress(OSError):
            self._sock.send(b"ended")
            self._sock.recv(1)

    def say(self, word: bytes, text: str) -> None:
        """Tell the keeper something that it knows what to do with."""
        self._tell(word + b"\0" + text.encode("utf-8", "surrogateescape")[: MESSAGE_BYTES - 100])

    def leave_with_keeper(self, on_message: Callable[[], None] = lambda: None) -> None:
        """From now on end this process when the keeper ends, however that happens; `on_message`: it told something.

        The signal for a parent's death does not reach another user's process when the parent had no CAP_KILL.
        """

        def wait() -> None:
            with contextlib.suppress(OSError):
                while self._sock.recv(1):
                    on_message()
            os._exit(0)

        threading.Thread(target=wait, name="leave", daemon=True).start()

    def hand_on_signals(self, numbers: Sequence[int]) -> None:
        """From now on tell the keeper of these signals: it is he who can unmount."""
        for number in numbers:
            signal.signal(number, lambda number, _: self._tell(bytes([number])))

    def log_record(self, level: int, text: str) -> None:
        self._tell(b"log\0%d\0" % level + text.encode("utf-8", "replace")[: MESSAGE_BYTES - 100])

    def _tell(self, message: bytes) -> None:
        with contextlib.suppress(OSError):  # gone, or busy: never a reason to wait
            self._sock.send(message, socket.MSG_DONTWAIT)


class LineLog(logging.Handler):
    """Log records to the keeper, for a worker without a terminal."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        self._line.log_record(record.levelno, self.format(record))


class Keeper:
    """The keeper's side. `start`, `wait_until_opened`, `give`, `wait_until_ended`, in this order; `close` at any time."""

    def __init__(
        self, what: str = "the process that reads the image", words: Mapping[bytes, Callable[[str], None]] | None = None
    ) -> None:
        """`what` names the worker in errors; `words` are those that it may say beyond what all workers do."""
        self._what, self._words = what, words or {}
        self._sock, self._theirs = socket.socketpair(socket.AF_UNIX, _TYPE)
        self._worker = 0
        self._cut_at: float | None = None
        self._live = self._is_stopping = False
        self.is_gone = False
        """Whether the kernel told the worker that the mount is no more: nothing is left to unmount then."""

    def start(self, work: Callable[[Line], None]) -> None:
        """Fork a process that does `work` and ends. Call while there is one thread."""
        gc.freeze()  # what is there is shared for as long as nobody writes to it
        parent = os.getpid()
        self._worker = os.fork()
        if not self._worker:
            self._sock.close()
            _be_worker(work, Line(self._theirs), parent)
        gc.disable()  # nothing is made here that holds itself
        self._theirs.close()

    def wait_until_opened(self) -> None:
        """Until the worker has opened the image. Raises the error that it failed with, WorkerEnded."""
        while (message := self._receive()) != b"opened":
            self._take(message)

    def give(self, devices: Sequence[int]) -> None:
        """Hand the descriptors over, and close them here: the kernel shall see the mount dead when the worker is."""
        numbers = array.array("i", devices)
        try:
            self._sock.sendmsg([b"m"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)])
        except BrokenPipeError:
            pass  # it died meanwhile, which the next thing that is received tells
        finally:
            for device in devices:
                os.close(device)

    def tell(self) -> None:
        """Send the worker a byte; never a reason to wait."""
        with contextlib.suppress(OSError):
            self._sock.send(b"t", socket.MSG_DONTWAIT)

    def wait_until_ended(self, pending: list[int], unmount: Callable[[], None], on_live: Callable[[], None]) -> None:
        """Until the mount is gone. `on_live` is called when it can be used, `unmount` when a signal came.

        `pending` is what a signal handler puts signals into. The first unmounts and lets readers finish for a moment, the
        second cuts them off. Raises WorkerEnded, or what the worker failed with.
        """
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        poll = select.poll()
        for descriptor in (self._sock.fileno(), reading):
            poll.register(descriptor, select.POLLIN)
        try:
            while True:
                if pending and not self._is_stopping:
                    self._stop(unmount)
                is_late = len(pending) > 1 or (self._cut_at and time.monotonic() >= self._cut_at)
                if is_late and not self._cut():
                    return
                rest = None if self._cut_at is None else max(0.0, self._cut_at - time.monotonic()) * 1000
                ready = {descriptor for descriptor, _ in poll.poll(rest)}
                if reading in ready:
                    os.read(reading, 64)
                if self._sock.fileno() in ready:
                    message = self._receive()
                    self.is_gone = message == b"ended"
                    if self.is_gone or (not message and self._is_stopping):
                        return
                    if len(message) == 1 and not self._is_stopping:
                        self._stop(unmount)
                    elif message == b"live" and not self._live and not self._is_stopping:
                        self._live = True
                        on_live()
                    else:
                        self._take(message)
        finally:
            signal.set_wakeup_fd(before)
            os.close(reading)
            os.close(writing)

    def close(self) -> None:
        """Let the worker go, and see that it goes."""
        self._sock.close()
        self._theirs.close()
        self._reap()

    def _receive(self) -> bytes:
        try:
            return self._sock.recv(MESSAGE_BYTES)
        except ConnectionResetError:
            return b""

    def _take(self, message: bytes) -> None:
        """What the worker may say at any time. Raises what it failed with."""
        word, _, rest = message.partition(b"\0")
        if not message:
            raise WorkerEnded(f"{self._what} {self._how_it_ended()}")
        if word == b"failed":
            raise unpack_error(rest)
        if word == b"log":
            level, _, text = rest.partition(b"\0")
            if level.isdigit():
                log.log(min(int(level[:3]), logging.CRITICAL), "%s", _plain(text))
        if word in self._words:
            self._words[word](rest.decode("utf-8", "surrogateescape"))

    def _how_it_ended(self) -> str:
        code = self._reap()
        if code is None or code >= 0:
            return f"ended with status {code or 0}"
        return f"was ended by {signal.Signals(-code).name if -code in set(signal.Signals) else f'signal {-code}'}"

    def _reap(self) -> int | None:
        """Wait a moment for the worker's end, then end it and what it has made; how it ended, None where that is unknown."""
        worker, end = self._worker, time.monotonic() + GRACE_SECONDS
        if not worker:
            return None
        with contextlib.suppress(ChildProcessError):
            while not os.waitid(os.P_PID, worker, os.WEXITED | os.WNOHANG | os.WNOWAIT) and time.monotonic() < end:
                time.sleep(0.002)
            may = self._cut()
            self._worker = 0
            found, status = os.waitpid(worker, 0 if may else os.WNOHANG)
            return os.waitstatus_to_exitcode(status) if found else None
        return None

    def _stop(self, unmount: Callable[[], None]) -> None:
        self._is_stopping = True
        unmount()
        self._cut_at = time.monotonic() + GRACE_SECONDS

    def _cut(self) -> bool:
        """End the worker and what it has made: the kernel then answers whom it still serves.

        False without CAP_KILL, which root needs for another user's processes: the service manager has it, and ends them all.
        """
        self._cut_at = None
        for end in (os.killpg, os.kill) if self._worker else ():
            try:
                end(self._worker, signal.SIGKILL)
                break
            except ProcessLookupError:
                continue  # it leads no group yet
            except PermissionError:
                return False
        return True


def _plain(text: bytes) -> str:
    """Text for a log; a control character in it could forge one."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text.decode("utf-8", "replace"))


def _be_worker(work: Callable[[Line], None], line: Line, parent: int) -> None:
    """In the worker: do the work and end. Never returns."""
    status = 70
    try:
        from imagefs.confine import end_with_parent

        end_with_parent(signal.SIGKILL, parent)
        listen_to_none()
        work(line)
        status = 0
    except Exception as error:
        if not isinstance(error, ImageError | OSError):
            log.debug("in the process that reads the image:", exc_info=True)
        line.failed(error)
    finally:
        os._exit(status)
