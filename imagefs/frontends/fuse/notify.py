"""What a mount tells the system: systemd's readiness and watchdog protocol (sd_notify(3), a datagram with lines of
NAME=value), and the system's log, where a mount in the background has no terminal to write to."""

import logging
import os
import socket
from collections.abc import Callable

log = logging.getLogger("imagefs")

_address = os.environ.get("NOTIFY_SOCKET", "")
_for_us = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
_watchdog = (
    int(os.environ.get("WATCHDOG_USEC", "0")) if _for_us and os.environ.get("WATCHDOG_USEC", "").isdigit() else 0
)


_through: Callable[[str], None] | None = None


def speak_through(tell: Callable[[str], None]) -> None:
    """Have `notify` hand what it is told to `tell`, in a process to which the manager does not listen."""
    global _through
    _through = tell


def notify(text: str) -> None:
    """Tell the service manager; nothing happens outside a Type=notify unit."""
    if _through is not None:
        _through(text)
        return
    if not _address:
        return
    name = "\0" + _address[1:] if _address.startswith("@") else _address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(text.encode(), name)
        except OSError:
            return  # the manager is gone or does not listen: the mount serves on


def watchdog_seconds() -> float:
    """How often the manager wants to hear WATCHDOG=1; 0 when it does not."""
    return _watchdog / 1e6


def show_life(place: str) -> None:
    """Feed the watchdog once a statvfs has gone through the serving: a mount that hangs stops feeding."""
    try:
        os.statvfs(place)
    except OSError as error:  # an answer all the same; who is in a detached mount is served on
        log.debug("%s: %s", place, error)
    notify("WATCHDOG=1")


class SystemLog(logging.Handler):
    """Log records to syslog(3); nothing happens where none listens."""

    def emit(self, record: logging.LogRecord) -> None:
        import syslog

        bad, odd = record.levelno >= logging.ERROR, record.levelno >= logging.WARNING
        level = syslog.LOG_ERR if bad else syslog.LOG_WARNING if odd else syslog.LOG_INFO
        text = f"imagefs: {self.format(record)}".replace("\0", "").encode("utf-8", "replace").decode()
        syslog.syslog(syslog.LOG_DAEMON | level, text)
