"""Finding the place of a sample in a stream of frames, each of which tells its own place: bisection over the bytes."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from imagefs.readers import Reader


class Placed(Protocol):
    """A frame or page: byte `offset` in the file, and the sample that it stands for."""

    @property
    def offset(self) -> int: ...

    @property
    def sample(self) -> int: ...


Frame = TypeVar("Frame", bound=Placed)

_NEAR_BYTES = 64 << 10
"""Frames so close are looked at one after the other."""
_WINDOW_BYTES = 32 << 10
SCANNED_BYTES = 1 << 20
"""How far the next frame is looked for. The longest of FLAC has 256 KiB; more than that is damage. It is a hundred times
for a sample at the worst, and each costs what all places there that look like a frame cost."""


def scan(
    reader: Reader, begin: int, end: int, overlap: int, look: Callable[[bytes, int], Frame | None]
) -> Frame | None:
    """The first frame that `look(window, offset of the window)` finds from byte `begin` on; None before byte `end`.

    `overlap` bytes are the most that `look` needs of a frame to see that it is one.
    """
    end = min(end, begin + SCANNED_BYTES)
    while begin < end:
        window = reader.pread(begin, _WINDOW_BYTES + overlap)
        found = look(window, begin)
        if found is not None:
            return found if found.offset < end else None
        begin += _WINDOW_BYTES
    return None


def last_at(first: Frame, end: int, sample: int, find: Callable[[int, int], Frame | None]) -> Frame:
    """The last frame that stands for `sample` or one before it; `first` if there is none.

    `find(begin, end)` gives the first frame between two byte offsets. The samples of frames grow with their offsets.
    """
    while end - first.offset > _NEAR_BYTES:
        middle = (first.offset + end) // 2
        found = find(middle, end)
        if found is not None and first.sample < found.sample <= sample:
            first = found
        else:
            end = middle
    following = find(first.offset + 1, end)
    while following is not None and following.sample <= sample:
        if following.sample > first.sample:
            first = following
        following = find(following.offset + 1, end)
    return first
