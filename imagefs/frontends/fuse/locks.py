"""Waiting for others of us with a lock on a folder, which anybody who may look into it could hold for ever."""

import contextlib
import fcntl
import time

_PAUSE = 0.01


def locked(descriptor: int, seconds: float) -> bool:
    """Lock an open folder until it is closed (flock(2)), waiting for others for so long at most; whether that was so.

    Without the lock two who begin at the same moment do not see each other; with no end to the wait, any user who can open
    the folder could keep root waiting. False also where the file system has no locks.
    """
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(_PAUSE)
