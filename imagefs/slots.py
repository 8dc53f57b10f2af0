"""Memory that forks share with their parent, in slots that come back when nobody looks at them any more.

What one process writes into a slot another shows without a copy: as a memoryview, of which parts may be cut as of any other.
The last of them to go gives the slot back, whichever thread that is in. Slots are reused last come, first served, so that no
more memory is ever touched than was in use at one time.
"""

import ctypes
import mmap
import os
import weakref


class Slots:
    """`count` slots of `slot_bytes`. To be made before the forks."""

    def __init__(self, count: int, slot_bytes: int) -> None:
        self._file = os.memfd_create("imagefs-slots")
        os.ftruncate(self._file, count * slot_bytes)
        self._memory = mmap.mmap(self._file, count * slot_bytes)
        self._slot_bytes = slot_bytes
        self._free = list(range(count))

    def take(self) -> int | None:
        """A slot that nobody else has; None when there is none."""
        try:
            return self._free.pop()
        except IndexError:
            return None

    def give(self, slot: int) -> None:
        """Give a slot back of which there is no view."""
        self._free.append(slot)

    def write(self, slot: int, content: bytes) -> None:
        """Fill a slot from its start.

        Written as a file: to fault new pages in one by one, zeroed and for each fork anew, takes longer than the copy.
        """
        os.pwrite(self._file, content, slot * self._slot_bytes)

    def view(self, slot: int, length: int) -> memoryview:
        """The first `length` bytes of a slot, which is given back when they and all parts of them are gone."""
        block = (ctypes.c_ubyte * length).from_buffer(self._memory, slot * self._slot_bytes)
        weakref.finalize(block, self.give, slot).atexit = False
        return memoryview(block).cast("B").toreadonly()
