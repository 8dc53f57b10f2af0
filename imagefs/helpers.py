"""Helpers: processes that decode for this one.

Threads that decode blocks of 2 KiB spend as much time on the interpreter's lock as on the blocks, and keep those waiting who
answer the kernel. A helper is a fork of this process that has the same readers over the same open files, and a lock of its
own. It decodes what it is asked for into memory that both have (`slots`), so that all that crosses the socket are two short
messages:

    request   owner u64  first u64  count u64  slot u64   the number of the reader, the blocks, where the content goes
    answer    length i64  stored u64                      its length, -1 when it cannot be had; stored bytes read for it

What fills a slot is the cache's just as it lies there; what does not, by a quarter and more, is copied out.

What a helper cannot decode is decoded again by whoever asked, who then meets the error himself; so is what was asked of a
helper that died or takes longer than DEADLINE_SECONDS, and that one is not asked again. A reader that was made after the
fork is not known to the helpers, and decodes by itself.

A helper ends with the process that made it, by the end of its socket, and takes no signals meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import os
import weakref
from collections.abc import Iterable
from struct import Struct
from typing import TYPE_CHECKING, Protocol

from imagefs import cache
from imagefs.errors import ImageError

if TYPE_CHECKING:
    import socket

    from imagefs.slots import Slots

REQUEST, ANSWER = Struct("<4Q"), Struct("<qQ")
TIMEVAL = Struct("@ll")
SLOT_BYTES = 512 << 10
"""The most that is decoded for one request."""
KEPT_BYTES = SLOT_BYTES * 3 // 4
"""Of what takes less the cache would have too little for the memory that it holds."""
WORTH_BYTES = 64 << 10
"""What is less is decoded in less time than two processes need to take turns."""
CACHE_BYTES = 8 << 20
"""The sector cache of a helper, for readers below the one that it decodes for."""
DEADLINE_SECONDS = 30.0
MOST = 4
"""Helpers of one process: an image is read by few at a time."""
IN_HAND = 16
"""Slots that are in use beside those whose content is in the cache."""

log = logging.getLogger("imagefs")


class Decodable(Protocol):
    """What helpers decode for. `unpack_groups` gives the content of `count` groups of blocks from `first` on."""

    def unpack_groups(self, first: int, count: int) -> bytes: ...


_readers: weakref.WeakValueDictionary[int, Decodable] = weakref.WeakValueDictionary()
_all: list[_Helper] = []
_idle: list[_Helper] = []
_closed = False
_newest = -1  # the newest reader that the helpers know
_slots: Slots


def register(owner: int, reader: Decodable | None) -> None:
    """Let helpers that are made from now on decode for a reader, whose number is `owner`.

    None is one that only this process can decode for, and with it all that are made later: they may read from it.
    """
    global _closed
    _closed = _closed or reader is None
    if reader is not None and not _closed:
        _readers[owner] = reader


def start(count: int, forget: Iterable[int] = ()) -> None:
    """Make `count` helpers, or as many as the system lets, if they can decode for a reader. No thread may run yet.

    `forget` are descriptors that a helper must not hold, /dev/fuse above all: the mount would outlive its server.
    """
    global _newest, _slots
    if not _readers or not count or not hasattr(os, "memfd_create"):  # Linux, which has fork too
        return
    from imagefs.slots import Slots

    _newest = max(_readers)
    try:
        _slots = Slots(cache.shared().limit // KEPT_BYTES + IN_HAND, SLOT_BYTES)
        for _ in range(min(count, MOST)):
            helper = _Helper(forget)
            _all.append(helper)
            _idle.append(helper)
    except OSError as error:
        log.info("%d helper processes, no more: %s", len(_all), error)


def stop() -> None:
    """Let the helpers end, and wait for it: then none of them has the image open any more."""
    helpers, _all[:], _idle[:] = [*_all], [], []
    for helper in helpers:
        helper.end()


def count() -> int:
    """How many there are."""
    return len(_all)


def decode(owner: int, first: int, count: int, length: int) -> bytes | memoryview | None:
    """`count` groups of a reader from `first` on, together at most `length` bytes; None when no helper can give them."""
    if owner > _newest or not WORTH_BYTES <= length <= SLOT_BYTES:
        return None
    try:
        helper = _idle.pop()
    except IndexError:
        return None
    slot = _slots.take()
    if slot is None:
        _idle.append(helper)
        return None
    try:
        found = helper.ask(owner, first, count, slot)
    except OSError as error:
        log.warning("a helper process is lost (%s): its work is done without it", error)
        _all.remove(helper)
        helper.kill()
        return None  # the slot is left alone: it may yet write there
    _idle.append(helper)
    if found < 0:
        _slots.give(slot)
        return None
    content = _slots.view(slot, found)
    return content if found >= KEPT_BYTES else bytes(content)


class _Helper:
    """A process, and the socket to it."""

    def __init__(self, forget: Iterable[int]) -> None:
        import socket

        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if not self._pid:
            try:
                self._socket.close()
                for descriptor in forget:
                    os.close(descriptor)
                _serve(theirs)
            finally:
                os._exit(0)  # nothing of the process that it was forked from is its own to clean up
        theirs.close()
        # The kernel's deadline, not Python's, which asks it before each call whether that would wait.
        deadline = TIMEVAL.pack(int(DEADLINE_SECONDS), int(DEADLINE_SECONDS % 1 * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, deadline)

    def ask(self, owner: int, first: int, count: int, slot: int) -> int:
        """The length of what it decodes into a slot; -1 when it cannot. Raises OSError when it does not answer."""
        self._socket.send(REQUEST.pack(owner, first, count, slot))
        answer = self._socket.recv(ANSWER.size)
        if len(answer) != ANSWER.size:
            raise ConnectionResetError("it has ended")
        length, stored = ANSWER.unpack(answer)
        if length > SLOT_BYTES:
            raise ConnectionResetError("it gives more than there is room for")
        if length >= 0:
            cache.shared().count_in(stored)
        return int(length)

    def kill(self) -> None:
        """End it at once."""
        import signal

        try:
            os.kill(self._pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        except PermissionError:  # confined by a kernel that cannot tell it from others': it ends when it looks up
            self._socket.close()
            return
        self.end()

    def end(self) -> None:
        """Let it end, and wait for that."""
        self._socket.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _serve(server: socket.socket) -> None:
    """A helper's life."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # whoever reads from the terminal or pipe of a mount must not wait for its helpers
        os.dup2(null, standard)
    os.close(null)
    for other in _all:
        other._socket.close()
    _all.clear()
    _idle.clear()
    cache.configure(CACHE_BYTES)
    while request := server.recv(REQUEST.size):
        owner, first, count, slot = REQUEST.unpack(request)
        before = cache.shared().counters().bytes_in
        try:
            content = _readers[owner].unpack_groups(first, count)
            length = len(content)
            _slots.write(slot, content)
        except (ImageError, OSError, KeyError, ValueError):
            length = -1
        server.send(ANSWER.pack(length, cache.shared().counters().bytes_in - before))
