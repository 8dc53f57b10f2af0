"""What a command says: bytes on standard output, one line for each error on standard error, and the exit status."""

import contextlib
import os
import sys
from collections.abc import Callable
from typing import BinaryIO

from imagefs.errors import exit_status, message_of

INTERRUPTED = 130
BROKEN_PIPE = 141
"""What a shell shows for a program that SIGPIPE ended; others of a pipeline end like this too."""


def stdout() -> BinaryIO:
    """Standard output as bytes. Raises OSError when it is closed."""
    if sys.stdout is None:
        raise OSError(9, "standard output is closed")
    return sys.stdout.buffer


def write(text: str) -> None:
    """Write text to standard output; bytes that are no text in a name come out as they were."""
    stdout().write(text.encode("utf-8", "surrogateescape"))


def printable(text: str) -> str:
    """The text with control characters and broken bytes escaped: a name in an image must not steer the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(letter: str) -> str:
    code = ord(letter)
    byte = code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code
    return f"\\x{byte:02x}" if byte < 0x100 else f"\\u{byte:04x}"


def is_terminal(stream: object) -> bool:
    """Whether somebody sees it on a terminal that knows control sequences."""
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty() and os.environ.get("TERM") != "dumb")


def is_plain(stream: object) -> bool:
    """Whether colours are out of place: no terminal, a dumb one, or NO_COLOR set."""
    return not is_terminal(stream) or bool(os.environ.get("NO_COLOR"))


class Report:
    """The lines on standard error that belong to one image, and the exit status that they amount to: the first error's."""

    def __init__(self, image: str, *, quiet: bool = False, verbose: bool = False) -> None:
        self.image, self.quiet, self.verbose = image, quiet, verbose
        self.status = 0

    def fail(self, error: BaseException, path: str | bytes = "") -> None:
        """One line for an error, at a path in the image where there is one."""
        self.status = self.status or exit_status(error)
        self._line(path, message_of(error).removesuffix(f": {self.image}"))

    def warn(self, text: str, path: str | bytes = "") -> None:
        """One line for something that does not spoil the result; --quiet leaves it out."""
        if not self.quiet:
            self._line(path, f"warning: {text}")

    def internal(self, error: BaseException) -> None:
        """One line for a fault of imagefs itself; --verbose adds where it happened."""
        if self.verbose:
            import traceback

            traceback.print_exception(error)
        self.status = exit_status(error)
        hint = "" if self.verbose else ", with what --verbose adds"
        self._line("", f"internal error, please report it{hint}: {type(error).__name__}: {message_of(error)}")

    def _line(self, path: str | bytes, text: str) -> None:
        where = [self.image, os.fsdecode(path)] if path else [self.image]
        line = ": ".join(printable(part) for part in ("imagefs", *where, text) if part)
        if sys.stderr is not None:
            with contextlib.suppress(OSError):  # nobody is left to be told
                print(line, file=sys.stderr, flush=True)


def guarded(run: Callable[[], int], report: Report | None = None) -> int:
    """The exit status of `run`: every exception becomes one line at most, never a traceback."""
    from imagefs.errors import ImageError

    report = report or Report("")
    try:
        status = run()
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:
        _forget_stdout()
        return BROKEN_PIPE
    except (ImageError, OSError) as error:
        report.fail(error)
        status = exit_status(error)
    except Exception as error:  # noqa: BLE001  the one place where the unexpected ends
        report.internal(error)
        status = exit_status(error)
    _forget_stdout()
    return status


def _forget_stdout() -> None:
    """Write out what is buffered; what cannot be written must not fail once more when the interpreter ends."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
