"""The table of errors: each class's errno in a mount and exit status of a command."""

import errno

import pytest

from imagefs.errors import (
    ConfinedError,
    DamagedError,
    MissingPartError,
    NotAnImageError,
    NotFoundError,
    OutsideError,
    PasswordError,
    UnsupportedError,
    UsageError,
    errno_of,
    exit_status,
    message_of,
)


@pytest.mark.parametrize(
    ("error", "number", "status"),
    [
        (UsageError("x"), errno.EINVAL, 64),
        (NotAnImageError("x"), errno.EINVAL, 65),
        (DamagedError(5, "x"), errno.EIO, 65),
        (MissingPartError("a.bin"), errno.ENOENT, 66),
        (NotFoundError("x"), errno.ENOENT, 66),
        (UnsupportedError("x"), errno.EOPNOTSUPP, 69),
        (PasswordError("x"), errno.EACCES, 77),
        (OutsideError("x"), errno.EACCES, 77),
        (ConfinedError("x"), errno.EACCES, 77),
        (OSError(errno.ENOSPC, "full"), errno.ENOSPC, 71),
        (OSError(errno.EIO, "bad"), errno.EIO, 74),
        (ZeroDivisionError(), errno.EIO, 70),
    ],
)
def test_every_error_has_its_numbers(error: Exception, number: int, status: int) -> None:
    assert errno_of(error) == number
    assert exit_status(error) == status


def test_messages_are_one_line() -> None:
    assert message_of(OSError(errno.ENOENT, "No such file", "a.iso")) == "No such file: a.iso"
    assert message_of(OSError(errno.EACCES, "Permission denied", b"caf\xe9")) == "Permission denied: caf\udce9"
    assert message_of(NotFoundError("two\nlines")) == "two lines"
    assert message_of(ZeroDivisionError()) == "ZeroDivisionError"
    assert message_of(DamagedError(7, "torn")) == "damaged at byte 7: torn"
    assert message_of(DamagedError(None, "torn")) == "torn"
    missing = MissingPartError("a.bin", ["/x", "/y"])
    assert message_of(missing) == "its part 'a.bin' is missing (looked in /x, /y); put it beside the image"
