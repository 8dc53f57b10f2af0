"""What reading one image takes: the folders to reach, whom to be there, no descriptors of others."""

import contextlib
import errno
import logging
import os
import stat

from imagefs.confine.privileges import Account, is_let_in

log = logging.getLogger("imagefs")


def places_of(path: str) -> list[str]:
    """What opening an image may need: the folders that it and what it is a link to lie in; of a device, it alone."""
    real = os.path.realpath(path)
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return []  # the error is for who opens it
    if not stat.S_ISREG(mode):
        return [os.path.abspath(path), real]
    return [os.path.dirname(os.path.abspath(path)), os.path.dirname(real)]


def let_in(account: Account | None, path: str) -> Account | None:
    """Whom to become for what lies there: root's number, without its rights, where nobody else is let in.

    Raises OSError for a user that was chosen.
    """
    if account is None or not account.uid or is_let_in(account, path):
        return account
    if account.chosen:
        raise OSError(errno.EACCES, f"the user {account.uid} is not let in there, even with root's right to read", path)
    log.info("only root is let in to %s: it is served as root, without capabilities", path)
    return Account(0, 0, chosen=False)


def named_by(path: str) -> list[int]:
    """The descriptor that a path like /dev/fd/7 means."""
    folder, number = os.path.split(path)
    return [int(number)] if folder in ("/dev/fd", "/proc/self/fd") and number.isdigit() else []


def close_inherited(kept: set[int]) -> None:
    """Close what whoever started this left open, but for the standard ones: he may wait for its end."""
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number not in kept:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(number)
