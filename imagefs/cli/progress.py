"""One line on a terminal that says how far long work is: share, rate, time left."""

import shutil
import sys
import time

from imagefs.cli.output import is_terminal, printable

_EVERY_SECONDS = 0.2
_FIRST_SECONDS = 0.5
"""Work that is done sooner shows nothing."""


class Progress:
    """Counts bytes and keeps a line on standard error; silent when that is no terminal, or `quiet`."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.shown = not quiet and is_terminal(sys.stderr)
        self.total = 0
        """Bytes in all, 0 when unknown."""
        self._done, self._start = 0, time.monotonic()
        self._next = self._start + _FIRST_SECONDS

    def add(self, count: int, name: bytes) -> None:
        """`count` more bytes are done, of the file `name`."""
        self._done += count
        if self.shown and time.monotonic() >= self._next:
            now = time.monotonic()
            self._next = now + _EVERY_SECONDS
            line = line_of(self._done, self.total, now - self._start)
            text = f"{line}  {printable(name.decode('utf-8', 'replace'))}"
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r{text[:width]}\033[K")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, before any other line and at the end."""
        if self.shown and self._next > self._start + _FIRST_SECONDS:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def line_of(done: int, total: int, seconds: float) -> str:
    """` 42%  1.3 GiB of 3.0 GiB  120.0 MiB/s  0:14 left`; without a total only what is known."""
    rate = done / seconds if seconds > 0 else 0.0
    speed = f"{size_text(done)}  {size_text(int(rate))}/s"
    if total <= 0:
        return speed
    left = max(0, total - done) / rate if rate else 0
    share = min(100, done * 100 // total)
    return f"{share:3}%  {size_text(done)} of {size_text(total)}  {size_text(int(rate))}/s  {clock(left)} left"


def clock(seconds: float) -> str:
    """0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size_text(count: int) -> str:
    """Bytes for people: 512 B, 1.5 KiB, 3.0 GiB."""
    if count < 1024:
        return f"{count} B"
    size, units = count / 1024, iter(("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"))
    unit = next(units)
    while size >= 1023.95 and unit != "EiB":
        size, unit = size / 1024, next(units)
    return f"{size:.1f} {unit}"
