"""Every error a user can meet, with its errno in a mount and its exit status on the command line.

class              errno        exit  when
UsageError         EINVAL       64    wrong words on the command line or in -o
NotAnImageError    EINVAL       65    nothing recognises it (empty, text, a directory that is no bundle)
DamagedError       EIO          65    bytes that break the format or its checksums; in a mount, for that read alone
MissingPartError   ENOENT       66    a BIN, parent or segment is not there
NotFoundError      ENOENT       66    no such image, or no such path in it
UnsupportedError   EOPNOTSUPP   69    recognised, and not readable by imagefs
internal           EIO          70    anything unexpected
OSError            its errno    71    the system's own; 74 when it is an I/O error
PasswordError      EACCES       77    needed, or wrong
OutsideError       EACCES       77    a reference that leaves the image's folder
ConfinedError      EACCES       77    the daemon has given up the right to read there

Every other place only raises. A message says what is wrong and, where there is one, the remedy; the command line puts
`imagefs: IMAGE: ` in front of it. Exit statuses are those of sysexits.h.
"""

import errno as _errno
import os
from collections.abc import Sequence


class ImageError(Exception):
    """What a user can meet. `errno` is the answer in a mount, `status` the exit status of a command."""

    errno: int = _errno.EIO
    status: int = 70


class UsageError(ImageError):
    """Wrong words on the command line or among the options."""

    errno = _errno.EINVAL
    status = 64


class NotAnImageError(ImageError):
    """Nothing recognises the bytes."""

    errno = _errno.EINVAL
    status = 65


class DamagedError(ImageError):
    """Bytes that break the format, are not there, or fail a checksum.

    `where` is the byte offset in the file or reader that was being read, None when there is no one place.
    """

    errno = _errno.EIO
    status = 65
    found = 0
    """Of a directory: how many of its entries were read for nothing."""

    def __init__(self, where: int | None, why: str) -> None:
        super().__init__(why if where is None else f"damaged at byte {where}: {why}")
        self.where, self.why = where, why


class MissingPartError(ImageError):
    """A file that the image consists of is not there. `looked` names the places that were searched."""

    errno = _errno.ENOENT
    status = 66

    def __init__(self, name: str, looked: Sequence[str] = ()) -> None:
        places = f" (looked in {', '.join(looked)})" if looked else ""
        super().__init__(f"its part {name!r} is missing{places}; put it beside the image")
        self.name, self.looked = name, tuple(looked)


class NotFoundError(ImageError):
    """No such image, or no such path in it."""

    errno = _errno.ENOENT
    status = 66


class UnsupportedError(ImageError):
    """Recognised, and not readable by imagefs; the message names the feature."""

    errno = _errno.EOPNOTSUPP
    status = 69


class PasswordError(ImageError):
    """A password is needed, or the one given is wrong."""

    errno = _errno.EACCES
    status = 77


class OutsideError(ImageError):
    """The image refers to a file outside its own folder."""

    errno = _errno.EACCES
    status = 77


class ConfinedError(ImageError):
    """A file that a confined daemon may not read; the message names what would let it."""

    errno = _errno.EACCES
    status = 77


INTERNAL_STATUS = 70
SYSTEM_STATUS = 71
IO_STATUS = 74


def exit_status(error: BaseException) -> int:
    """The exit status of a command that ends with `error`."""
    if isinstance(error, ImageError):
        return error.status
    if isinstance(error, OSError):
        return IO_STATUS if error.errno == _errno.EIO else SYSTEM_STATUS
    return INTERNAL_STATUS


def errno_of(error: BaseException) -> int:
    """The errno that a mount answers for `error`."""
    if isinstance(error, ImageError):
        return error.errno
    if isinstance(error, OSError) and error.errno:
        return error.errno
    return _errno.EIO


def message_of(error: BaseException) -> str:
    """One line for the user, without the image's name."""
    if isinstance(error, OSError) and error.strerror:
        name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
        text = f"{error.strerror}: {name}" if name else error.strerror
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())
