"""Memory that forks share with their parent, in slots that come back when nobody looks at them any more.

What one process writes into a slot another shows without a copy: as a memoryview, of which parts may be cut as of any other.
The last of them to go gives the slot back, whichever thread that is in. The memory of a few slots that came back is kept for
the next; that of others goes back to the system.
"""

import ctypes
import errno
import mmap
import os
import weakref

SPARE = 8
"""Slots whose memory is kept though nobody uses it."""


class Slots:
    """`count` slots of `slot_bytes`, whole pages. To be made before the forks. Raises OSError."""

    def __init__(self, count: int, slot_bytes: int) -> None:
        self._file = os.memfd_create("imagefs-slots")
        os.ftruncate(self._file, count * slot_bytes)
        self._memory = mmap.mmap(self._file, count * slot_bytes)
        self._slot_bytes = slot_bytes
        self._empty = list(range(count))  # without memory
        self._spare: list[int] = []

    def take(self) -> int | None:
        """A slot that nobody else has; None when there is none."""
        for free in (self._spare, self._empty):
            try:
                return free.pop()
            except IndexError:
                continue
        return None

    def give(self, slot: int) -> None:
        """Give a slot back of which there is no view."""
        if len(self._spare) < SPARE:
            self._spare.append(slot)
            return
        self._memory.madvise(mmap.MADV_REMOVE, slot * self._slot_bytes, self._slot_bytes)
        self._empty.append(slot)

    def write(self, slot: int, content: bytes) -> None:
        """Fill a slot from its start. Raises OSError where memory for all of it is not to be had.

        Written as a file: to fault new pages in one by one, zeroed and for each fork anew, takes longer than the copy.
        """
        if os.pwrite(self._file, content, slot * self._slot_bytes) != len(content):
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    def view(self, slot: int, length: int) -> memoryview:
        """The first `length` bytes of a slot, which is given back when they and all parts of them are gone."""
        block = (ctypes.c_ubyte * length).from_buffer(self._memory, slot * self._slot_bytes)
        weakref.finalize(block, self.give, slot).atexit = False
        return memoryview(block).cast("B").toreadonly()
