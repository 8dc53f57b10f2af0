"""The C library's heap in a process that serves images for weeks.

glibc gives each thread a heap of its own. A mount has a dozen threads that decode and parse now and then, the daemon more:
what little of it stays in use keeps every heap from shrinking. On another C library both functions do nothing.
"""

import contextlib
import ctypes

_M_ARENA_MAX = -8  # malloc.h
_HEAPS = 2


def share() -> None:
    """Have all threads that are made from now on share a few heaps: one that allocates holds the interpreter's lock."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _HEAPS)


def trim() -> None:
    """Give what is free between what is in use back to the system."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
