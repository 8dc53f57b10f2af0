"""Reading ahead: what a forward reader will ask for next is decoded on a second thread.

A stream is a place in a reader that moves forward. A read that goes on where a stream stands doubles the stream's window, up
to a bound (small reads do so together, once for TASK_BYTES); a read elsewhere begins a new stream without a window. Several
streams are remembered, so that a look into a directory does not end the reading of a file, but only the one that was read
last is read ahead. Reads may come a little out of order (a kernel sends several at once): whatever lies inside the window
goes on.

A reader that catches up with the thread does not sleep: while the block it needs is being decoded it decodes the next ones
of its window itself (`help`). So two cores decode, and nobody waits for a thread to wake up.

There is one thread for the process, or one for each helper process (`helpers`), which then decodes in its place. They are
made when they are first needed and die with the process; a child made by fork makes its own. On one core there is none,
since it could only take turns with the reader.
"""

import logging
import os
import threading
from queue import SimpleQueue

from imagefs import helpers
from imagefs.cache import Cache, Decoder

WINDOW_BYTES = 4 << 20
"""The most that is read ahead: some 10 ms of inflating. Also at most a quarter of the cache."""
TASK_BYTES = 256 << 10
"""What is decoded in one go, and where a window begins. Measured with blocks of 2 KiB on two cores: less wakes threads more
often, 1 MiB is too coarse to share."""
HELPED_BYTES = helpers.SLOT_BYTES
"""The same where helpers decode: processes take longer to wake each other than threads."""
STREAMS = 4
"""Streams that are remembered for one reader."""

log = logging.getLogger(__name__)


class _Stream:
    """All positions count blocks of the cache."""

    __slots__ = ("doubled", "edge", "place", "target", "window")

    def __init__(self, place: int) -> None:
        self.place = place  # where it goes on
        self.window = 0  # how much is read ahead
        self.doubled = 0  # where the window was doubled last
        self.edge = place  # from here on nobody has begun to decode
        self.target = place  # up to here it should be decoded


class ReadAhead:
    """The streams of one reader that has `blocks` blocks of `block_bytes`. May be used by many threads at once."""

    def __init__(self, cache: Cache, decoder: Decoder, block_bytes: int, blocks: int) -> None:
        self._cache, self._decoder = cache, decoder
        self._block_bytes, self._blocks = block_bytes, blocks
        self._streams: list[_Stream] = []  # the one that was read last is the last

    def note(self, first: int, stop: int) -> None:
        """Somebody reads the blocks `first` to `stop` (not included)."""
        with _lock:
            stream = self._going_on_at(first)
            if stream is None:
                self._streams = [*self._streams[-STREAMS + 1 :], _Stream(stop)]
                return
            if stop <= stream.place:
                return
            stream.place = stop
            task = self._task()
            if not stream.window or stop - stream.doubled >= task:
                stream.window = min(max(2 * stream.window, task), self._most())
                stream.doubled = stop
            stream.edge = max(stream.edge, stop)
            stream.target = min(stop + stream.window, self._blocks)
            waiting = stream.target - stream.edge
            worth = waiting >= task or (waiting > 0 and stream.target == self._blocks)
        if worth:
            _submit(self)

    def help(self) -> bool:
        """Decode the next task while waiting for another, unless helper processes have the processors already."""
        return not helpers.count() and self.work()

    def work(self) -> bool:
        """Decode the next task of the stream that was read last; False when there is nothing to do."""
        with _lock:
            stream = self._streams[-1] if self._streams else None
            if stream is None or stream.edge >= stream.target:
                return False
            first = stream.edge
            stream.edge = stop = min(first + self._task(), stream.target)
            is_last = stop + self._task() > stream.target
        if not is_last:
            _submit(self)
        return self._cache.ahead(self._decoder, first, stop)

    def _going_on_at(self, block: int) -> _Stream | None:
        """The stream that a read at `block` continues, made the last of the list. The lock is held."""
        streams = self._streams
        for index in range(len(streams) - 1, -1, -1):
            stream = streams[index]
            if stream.place - 1 <= block <= stream.edge:
                if index + 1 < len(streams):
                    streams.append(streams.pop(index))
                return stream
        return None

    def _task(self) -> int:
        """Blocks that are decoded in one go."""
        return max(1, (HELPED_BYTES if helpers.count() else TASK_BYTES) // self._block_bytes)

    def _most(self) -> int:
        """The bound of a window: in a large cache one block at least, however large blocks are."""
        limit = self._cache.limit // 4
        return max(min(WINDOW_BYTES, limit) // self._block_bytes, int(self._block_bytes <= limit))


class _Worker:
    """The threads, and whom they work for."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[ReadAhead] = SimpleQueue()
        self._waiting: set[ReadAhead] = set()
        self._threads = 0
        self._start_threads()

    def submit(self, job: ReadAhead) -> None:
        """Have a thread work for `job`. It will wake the next one when there is more than one task."""
        if job not in self._waiting:
            self._waiting.add(job)
            self._start_threads()
            self._queue.put(job)

    def _start_threads(self) -> None:
        """As many as there are helpers, which may have been made since the image was opened."""
        while self._threads < max(1, helpers.count()):
            threading.Thread(target=self._run, name="imagefs-read-ahead", daemon=True).start()
            self._threads += 1

    def _run(self) -> None:
        while True:
            job = self._queue.get()
            self._waiting.discard(job)
            try:
                while job.work():
                    pass
            except Exception:  # the read that asks for the block meets the fault itself; the thread is for all readers
                log.debug("reading ahead failed unexpectedly", exc_info=True)
            del job  # while it sleeps it keeps no reader alive


_lock = threading.Lock()
_worker: _Worker | None = None
_one_core = False


def _submit(job: ReadAhead) -> None:
    global _worker, _one_core
    worker = _worker
    if worker is None:
        if _one_core:
            return
        with _lock:
            _one_core = cores() < 2
            if _one_core:
                return
            try:
                worker = _worker = _worker or _Worker()
            except RuntimeError:
                return  # no more threads are to be had, or the interpreter is ending: it is only a help
    worker.submit(job)


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def helpers_wanted() -> int:
    """How many helper processes a mount makes: one more than processors, since while one hands over another has begun."""
    processors = cores()
    return processors + 1 if processors > 1 else 0


def _after_fork() -> None:
    global _lock, _worker
    _lock, _worker = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
