"""Threads for what may take long, shared by all images in such a way that none of them can harm the others.

* An image has at most PER_KEY threads at once; what else it needs done waits in a line of its own.
* A thread that has been at one task for SLOW_SECONDS is not counted any more: another takes its place, and it ends when the
  task does.
* A task that is not done at its deadline is given up: `expire` is called, which answers whoever waits. If it was being done,
  its key is hung: what else waits for that key is given up as well, and `on_hung` is called.
* A thread that goes on past the deadline is interrupted: Python code that burns time ends with `Interrupted`. One that
  sleeps in the system or in a library cannot be ended; it is left behind.
"""

import ctypes
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

WORKERS = 8
"""Threads that are ready to do something: a decoder releases the interpreter, a disk queue is deeper than one."""
PER_KEY = 3
"""Of them, for one image: two decode on two cores while the third waits for a disk."""
SLOW_SECONDS = 0.2
TICK_SECONDS = 0.05
"""How often tasks are looked at, while there are any."""
MOST_THREADS = 512
"""All threads together: what hangs for ever keeps its thread, about 50 KiB."""
_KEEPS_LOCKS = (
    "imagefs.cache",
    "imagefs.readahead",
    "imagefs.frontends",
    "imagefs.daemon",
    "threading",
    "queue",
    "logging",
)
"""Modules whose code guards what all images share: a thread is not interrupted while it is in one of them."""

log = logging.getLogger("imagefs")


class Interrupted(BaseException):
    """Raised in a thread that does not end by itself. No decoder may catch it: it is not an Exception."""


class Task:
    """Something to be done for a key. `started` and `since` are of time.monotonic; `thread` does it."""

    __slots__ = ("expire", "expired", "in_line", "key", "replaced", "run", "since", "started", "thread")

    def __init__(self, key: int, run: Callable[[], None], expire: Callable[[], None]) -> None:
        self.key, self.run, self.expire = key, run, expire
        self.since, self.started, self.thread = time.monotonic(), 0.0, 0
        self.in_line = False  # its key has its share of threads, and others are before it
        self.expired = False  # given up: nobody waits for it
        self.replaced = False  # its thread is not counted any more


def nothing() -> None:
    """For a task that nobody waits for."""


class Pool:
    """The threads. `submit` may be called from any thread; `on_hung` is called from a thread of the pool's own."""

    def __init__(self, deadline_seconds: float, on_hung: Callable[[int], None] = lambda key: None) -> None:
        self.deadline_seconds, self._on_hung = deadline_seconds, on_hung
        self._lock = threading.Lock()  # of all below; never held while a task runs
        self._ready: SimpleQueue[Task | None] = SimpleQueue()
        self._waiting: dict[int, deque[Task]] = {}
        self._share: dict[int, int] = {}  # tasks of a key that are ready or being done, and not given up
        self._tasks: set[Task] = set()  # all that are not done
        self._threads = 0
        self._busy = threading.Event()
        self._stopped = False

    def start(self) -> None:
        """Start the threads (after the last fork)."""
        for _ in range(WORKERS):
            self._start_one()
        threading.Thread(target=self._watch, name="deadlines", daemon=True).start()

    def stop(self) -> None:
        """Let the threads end that have nothing to do."""
        self._stopped = True
        self._busy.set()
        for _ in range(self._threads):
            self._ready.put(None)

    def _start_one(self) -> None:
        self._threads += 1
        threading.Thread(target=self._work, name="worker", daemon=True).start()

    def submit(self, key: int, run: Callable[[], None], expire: Callable[[], None] = nothing) -> None:
        """Have something done for a key, after what was submitted for it before."""
        task = Task(key, run, expire)
        with self._lock:
            self._tasks.add(task)
            if self._share.get(key, 0) < PER_KEY:
                self._share[key] = self._share.get(key, 0) + 1
                self._ready.put(task)
            else:
                task.in_line = True
                self._waiting.setdefault(key, deque()).append(task)
        if not self._busy.is_set():
            self._busy.set()

    def is_busy(self, key: int) -> bool:
        """Whether something is to be done, or is being done, for a key."""
        with self._lock:
            return key in self._share or any(task.key == key for task in self._tasks)

    def stuck(self, key: int) -> int:
        """How many threads are at tasks of a key that were given up."""
        with self._lock:
            return sum(task.key == key and task.expired and task.thread != 0 for task in self._tasks)

    # --- the threads ------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        replaced = False
        while not replaced and (task := self._ready.get()):
            try:
                try:
                    if self._begin(task):
                        task.run()
                except Exception:  # nor may a task that fails end the thread
                    log.exception("a task failed unexpectedly")
                finally:
                    replaced = self._end(task)
            except Interrupted:
                log.debug("a thread was interrupted")
                replaced = self._end(task)
        with self._lock:
            self._threads -= 1

    def _begin(self, task: Task) -> bool:
        with self._lock:
            if not task.expired:
                task.started, task.thread = time.monotonic(), threading.get_ident()
            return not task.expired

    def _end(self, task: Task) -> bool:
        """Whether another thread has taken this one's place."""
        with self._lock:
            if task in self._tasks:
                self._tasks.remove(task)
                if not (task.expired and task.thread):  # else its share was given back when it was given up
                    self._give_back(task.key)
            return task.replaced

    def _give_back(self, key: int) -> None:
        """A share of a key is free: the next in its line takes it. The lock is held."""
        line = self._waiting.get(key)
        if line:
            task = line.popleft()
            task.in_line = False
            self._ready.put(task)
            return
        self._waiting.pop(key, None)
        self._share[key] -= 1
        if not self._share[key]:
            del self._share[key]

    # --- deadlines --------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._stopped:
            with self._lock:
                if not self._tasks:
                    self._busy.clear()
            self._busy.wait()
            time.sleep(TICK_SECONDS)
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        with self._lock:
            late = {task for task in self._tasks if not task.expired and now - task.since > self.deadline_seconds}
            hung = {task.key for task in late if task.thread}
            for key in hung:
                late.update(self._waiting.get(key, ()))
            for task in late:
                task.expired = True
                if task.in_line:
                    self._waiting[task.key].remove(task)
                    self._tasks.remove(task)
            for task in late:
                if task.thread:  # one that is only ready gives its share back when its turn comes
                    self._give_back(task.key)
            self._replace_slow(now)
        for key in hung:  # before anybody is answered: he may ask again at once
            self._on_hung(key)
        for task in late:
            task.expire()
        self._interrupt()

    def _replace_slow(self, now: float) -> None:
        """Start threads in the place of those that have been at one task for long. The lock is held."""
        for task in self._tasks:
            slow = task.thread and not task.replaced and now - task.started > SLOW_SECONDS
            if slow and self._threads < MOST_THREADS:
                task.replaced = True
                self._start_one()

    def _interrupt(self) -> None:
        """Interrupt the threads whose tasks were given up, except where they hold what others need."""
        with self._lock:
            for task in self._tasks:
                if task.expired and task.thread and task.replaced:
                    frame = sys._current_frames().get(task.thread)
                    if frame is not None and not frame.f_globals.get("__name__", "").startswith(_KEEPS_LOCKS):
                        kind = ctypes.py_object(Interrupted)
                        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(task.thread), kind)
