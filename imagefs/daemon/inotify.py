"""inotify(7): what happens in folders, through ctypes, since Python has no binding of its own.

offset  size  field   of struct inotify_event
0       4     wd      the watch, -1 for an overflow of the queue
4       4     mask    what happened
8       4     cookie  ties the two halves of a renaming together
12      4     len     bytes of the name that follows, padded with NULs
"""

import ctypes
import os
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

MODIFY, CLOSE_WRITE, MOVED_FROM, MOVED_TO = 0x2, 0x8, 0x40, 0x80
CREATE, DELETE, DELETE_SELF, MOVE_SELF = 0x100, 0x200, 0x400, 0x800
OVERFLOW, IGNORED = 0x4000, 0x8000
ONLYDIR, ISDIR = 0x0100_0000, 0x4000_0000
WATCHED = MODIFY | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF
_EVENT = Struct("<iIII")
_BUFFER_BYTES = 1 << 16
_NONBLOCK, _CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC


class Event(NamedTuple):
    """Something happened to `name` in the folder of the watch `wd`; to the folder itself when there is no name."""

    wd: int
    mask: int
    name: str


class Inotify:
    """A queue of events. `fileno` is readable when there are some."""

    def __init__(self) -> None:
        """Raises OSError: EMFILE when the user has max_user_instances of them."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._checked(self._libc.inotify_init1(_NONBLOCK | _CLOEXEC))

    def fileno(self) -> int:
        return self._fd

    def _checked(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def watch(self, folder: str) -> int:
        """Watch a folder; the number of the watch. Raises OSError: ENOSPC when the user has max_user_watches of them."""
        path, mask = os.fsencode(folder), ctypes.c_uint32(WATCHED | ONLYDIR)
        return self._checked(self._libc.inotify_add_watch(self._fd, path, mask))

    def unwatch(self, wd: int) -> None:
        """Watch it no longer; nothing happens when it is gone."""
        self._libc.inotify_rm_watch(self._fd, wd)

    def read(self) -> Iterator[Event]:
        """What happened since the last time."""
        while True:
            try:
                raw = os.read(self._fd, _BUFFER_BYTES)
            except BlockingIOError:
                return
            at = 0
            while at < len(raw):
                wd, mask, _, length = _EVENT.unpack_from(raw, at)
                at += _EVENT.size + length
                yield Event(wd, mask, os.fsdecode(raw[at - length : at].rstrip(b"\0")))

    def close(self) -> None:
        os.close(self._fd)
