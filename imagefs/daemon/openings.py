"""Which images of a library are open: each from when somebody looks into it until nobody has for a while.

An image that cannot be opened keeps its error, which is believed for FAILED_SECONDS. One that does not answer is `hang`: it
is given up, and tried again after HUNG_SECONDS, then less often. No fault of one image is felt in another.
"""

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

from imagefs.daemon import naming
from imagefs.daemon.entries import Entry, Opened, Opening, Trouble
from imagefs.daemon.numbers import slot_of
from imagefs.daemon.shelf import RELEASE_SECONDS, Shelf, signature_or
from imagefs.errors import ImageError, NotFoundError, errno_of, message_of
from imagefs.image import Image, open_image
from imagefs.options import Options
from imagefs.readers import is_nowait

MOST_OPEN = 512
"""Images that are open at once: each has descriptors and the listings that the kernel remembers."""
FAILED_SECONDS = 10.0
"""How long a failure is believed: what looks at everything (a file manager) does not try again each time."""
HUNG_SECONDS, MOST_HUNG_SECONDS = 30.0, 3600.0
"""How long an image is left alone that did not answer; twice as long each time it does not again."""
MOST_STUCK = 4
"""Threads that may be lost in one image before it is tried again."""
MOST_RELEASE_SECONDS = 10.0
"""How rarely it is asked whether a deleted image is still in use: twice as long each time it is, up to this."""

log = logging.getLogger("imagefs")


class Openings(Shelf):
    """The images that are open, and how they are opened and closed.

    In nowait mode no image is asked anything: BlockingIOError.
    """

    def __init__(self, options: Options | None, idle_seconds: float, deadline_seconds: float) -> None:
        super().__init__(options)
        self.idle_seconds, self.deadline_seconds = idle_seconds, deadline_seconds
        self.stuck: Callable[[int], int] = lambda slot: 0
        """How many threads are lost in an image."""
        self._open: dict[int, Entry] = {}
        self.closings = 0
        """How many images were closed: each leaves objects that only a collection of garbage takes away."""
        self._here = threading.local()
        self._opens = self._failures = self._requests = 0

    # --- opening and closing ------------------------------------------------------------------------------------------

    def _entry(self, number: int) -> Entry:
        """The image of an inode number. Raises OSError(ESTALE)."""
        entry = self._slots.get(slot_of(number))
        if entry is None:
            raise OSError(errno.ESTALE, "the image is gone")
        return entry

    def _check(self, entry: Entry) -> None:
        """Raises OSError when the image cannot be used now. The lock is held."""
        if entry.removed or entry.stale:
            raise OSError(errno.ESTALE, "the image is gone, or another one now")
        trouble = entry.trouble
        if trouble is None:
            return
        now = time.monotonic()
        if now >= trouble.until and trouble.hung and self.stuck(entry.slot) >= MOST_STUCK:
            trouble = entry.trouble = trouble._replace(until=now + HUNG_SECONDS)
        if now < trouble.until:
            raise OSError(trouble.errno, trouble.message)

    def refuse(self, number: int) -> NoReturn:
        """Raise what a thread gets that may not wait: the image's trouble, else BlockingIOError."""
        entry = self._entry(number)
        with self._lock:
            self._check(entry)
        raise BlockingIOError(errno.EAGAIN, "an image has to be asked")

    @property
    def current(self) -> Opened | None:
        """The image that this thread is inside of."""
        return getattr(self._here, "opened", None)

    @contextlib.contextmanager
    def using(self, number: int) -> Iterator[Opened]:
        """Keep the image of an inode number open. Raises what opening it raises; in nowait mode BlockingIOError."""
        outer, entry = self.current, self._entry(number)
        if outer is not None and outer.entry is entry:
            yield outer
            return
        opened = self._enter(entry)
        self._here.opened = opened
        try:
            yield opened
        except (OSError, ImageError):
            raise
        except Exception as error:
            self._tell(entry, f"unexpected {type(error).__name__}: {message_of(error)}")
            raise
        finally:
            self._here.opened = outer
            self._leave(opened)

    def _enter(self, entry: Entry) -> Opened:
        while True:
            with self._lock:
                self._check(entry)
                if is_nowait():
                    raise BlockingIOError(errno.EAGAIN, "an image has to be asked")
                if entry.opened is not None:
                    entry.opened.pins += 1
                    entry.requests += 1
                    return entry.opened
                opening = entry.opening
                mine = opening is None
                if opening is None:
                    opening = entry.opening = Opening()
            if mine:
                return self._open_entry(entry, opening)
            if not opening.done.wait(self.deadline_seconds):
                raise OSError(errno.EIO, "the image is not open in time")

    def _leave(self, opened: Opened) -> None:
        with self._lock:
            opened.pins -= 1
            last = opened.retired and not opened.pins
            if last:
                self.kernel.dropped(opened.backing)  # with what was read since it was retired
        if last:
            opened.close()

    def _open_entry(self, entry: Entry, opening: Opening) -> Opened:
        """Open an image, pinned. Raises ImageError, OSError."""
        try:
            opened = self._opened(entry)
        except (ImageError, OSError) as error:
            self._failed(entry, opening, errno_of(error), message_of(error))
            raise
        except Exception as error:
            log.exception("%s: opening it failed unexpectedly", entry.path)
            self._failed(entry, opening, errno.EIO, f"unexpected {type(error).__name__}: {message_of(error)}")
            raise OSError(errno.EIO, "opening it failed unexpectedly") from error
        except BaseException:  # the thread was interrupted: the image was called hung already
            self._failed(entry, opening, errno.EIO, "opening it was interrupted")
            raise
        stamps = {source.name: (source.size, source.mtime) for source in opened.image.sources}
        with self._lock:
            wanted = entry.opening is opening and not entry.removed and not entry.stale
            same = all(stamps[name] == stamp for name, stamp in entry.stamps.items() if name in stamps)
            if wanted and same:
                self._take(entry, opened, stamps)
            elif wanted:
                entry.opening = None
                self._renew(entry, signature_or(entry), overwritten=True)
        opening.done.set()
        if not (wanted and same):
            opened.close()
            raise OSError(errno.ESTALE, "the image is another one now")
        self._claim_parts(entry, opened.image)
        self._close_excess()
        return opened

    def _opened(self, entry: Entry) -> Opened:
        try:
            image = open_image(entry.path, entry.options or self.options)
        except PermissionError:
            self.check_reach(entry.path)  # which says more: a link may lead anywhere
            raise
        try:
            tree = image.tree
            tree.entries(tree.root)  # one whose root cannot be read shows nothing
            return Opened(entry, image, tree)
        except BaseException:
            image.close()
            raise

    def _take(self, entry: Entry, opened: Opened, stamps: dict[str, tuple[int, int]]) -> None:
        """An image is open. The lock is held."""
        entry.opening, entry.opened, entry.trouble, entry.told = None, opened, None, ""
        opened.pins = 1
        entry.requests += 1
        entry.opens += 1
        self._opens += 1
        entry.opened_at, entry.last_used = time.time(), time.monotonic()
        entry.stamps = stamps
        steps = opened.image.steps
        entry.container = steps[-1].name if steps else opened.filesystem.kind
        self._open[entry.slot] = entry

    def _failed(self, entry: Entry, opening: Opening, number: int, message: str) -> None:
        with self._lock:
            if entry.opening is opening:
                entry.opening = None
                entry.trouble = Trouble(number, message, time.monotonic() + FAILED_SECONDS)
                self._failures += 1
                self._tell(entry, message)
        opening.done.set()

    def _tell(self, entry: Entry, message: str) -> None:
        """Into the log, once for each trouble."""
        if entry.told != message:
            entry.told = message
            log.warning("%s: %s", entry.path, message)

    def hang(self, slot: int) -> None:
        """An image does not answer: give it up for a while."""
        with self._lock:
            entry = self._slots.get(slot)
            if entry is None:
                return
            pause = min(HUNG_SECONDS * 2**entry.hangs, MOST_HUNG_SECONDS)
            entry.hangs += 1
            message = f"no answer within {self.deadline_seconds:g} seconds"
            entry.trouble = Trouble(errno.EIO, message, time.monotonic() + pause, hung=True)
            self._failures += 1
            self._tell(entry, message)
            opening, entry.opening = entry.opening, None
            self._retire(entry)
        if opening is not None:
            opening.done.set()

    def _retire(self, entry: Entry) -> Opened | None:
        """Let an image go: what is to be closed now, None when its last user will do it. The lock is held."""
        opened, count = entry.opened, entry.count
        if opened is None:
            return None
        entry.opened, opened.retired = None, True
        self.closings += 1
        entry.removed |= entry.gone  # its path leads to another file by now
        entry.requests = count
        self._open.pop(entry.slot, None)
        self.kernel.dropped(opened.backing)
        return None if opened.pins else opened

    def _claim_parts(self, entry: Entry, image: Image) -> None:
        """Data files that turn out to be parts of this image are no images of their own."""
        first = image.steps[0] if image.steps else None
        if (
            first is None
            or first.parts is None
            or naming.parse(os.path.basename(entry.path)).extension not in first.extensions
        ):
            return
        paths = {os.path.realpath(source.name) for source in image.sources}
        with self._lock:
            for path in paths - {os.path.realpath(entry.path)}:
                part = self._watched.get(path)
                if part is not None and part is not entry and part.opened is None and not part.claimed_by:
                    part.claimed_by = entry.path
                    self._parts.setdefault(entry.path, []).append(path)
                    self._unlist(part)

    def detach(self, name_or_path: str) -> None:
        """Show an image no longer. Raises NotFoundError, OSError(EBUSY) while somebody uses it."""
        with self._lock:
            entry = self._names.get(os.fsencode(name_or_path))
            path = os.path.abspath(name_or_path)
            found = [entry] if entry else [each for each in self._names.values() if each.path == path]
        if not found:
            raise NotFoundError("no such image is attached; see imagefs list")
        for each in found:
            if self.kernel.is_used(each.number) and not self.kernel.release(each.name, each.number):
                raise OSError(errno.EBUSY, "in use; leave its folder first", os.fsdecode(each.name))
            with self._lock:
                self._withdraw(each)
                self._leaving[each] = (0.0, RELEASE_SECONDS)
        self.sweep()

    # --- from time to time --------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Close what is idle, let go what is gone and unused. To be called about once a second; may wait for users."""
        now = time.monotonic()
        with self._lock:
            closing = [self._retire(entry) for entry in list(self._open.values()) if self._is_idle(entry, now)]
            leaving = [entry for entry, (when, _) in self._leaving.items() if now >= when]
        for opened in closing:
            if opened is not None:
                opened.close()
        for entry in leaving:
            self._let_go(entry)

    def _is_idle(self, entry: Entry, now: float) -> bool:
        """Whether nobody has asked for long. The lock is held."""
        if entry.count != entry.last_count:
            entry.last_count, entry.last_used = entry.count, now
        quiet = entry.opened is not None and not entry.opened.pins and self.idle_seconds > 0
        if not quiet or entry.gone or now - entry.last_used < self.idle_seconds:
            return False
        entry.hangs = 0
        return True

    def _let_go(self, entry: Entry) -> None:
        """Forget an entry that is gone, unless somebody uses it: then ask again later."""
        if not entry.listed and self.kernel.is_known(entry.number):
            self.kernel.prune(entry.number)
        used = self.kernel.is_used(entry.number)
        if used and entry.listed:
            used = not self.kernel.release(entry.name, entry.number)
        opened = None
        with self._lock:
            if not used:
                self._withdraw(entry)
                opened = self._retire(entry)
            if used or self.kernel.is_known(entry.number):  # its number is not free for another
                pause = self._leaving.get(entry, (0.0, RELEASE_SECONDS))[1]
                self._leaving[entry] = (time.monotonic() + pause, min(2 * pause, MOST_RELEASE_SECONDS))
            else:
                self._leaving.pop(entry, None)
                if self._slots.pop(entry.slot, None) is not None:
                    self._requests += entry.requests
                    self.kernel.removed(entry.number)
        if opened is not None:
            opened.close()

    def _close_excess(self) -> None:
        """Close the images that were used longest ago when too many are open."""
        closing = []
        with self._lock:
            excess = len(self._open) - MOST_OPEN
            if excess > 0:
                idle = [e for e in self._open.values() if e.opened and not e.opened.pins and not e.gone]
                oldest = sorted(idle, key=lambda entry: entry.last_used)[:excess]
                closing = [self._retire(entry) for entry in oldest]
        for opened in closing:
            if opened is not None:
                opened.close()

    def open_slots(self) -> list[int]:
        """The images that are open."""
        return list(self._open)

    def check(self, slot: int) -> None:
        """See whether the files of an open image are what they were; it is another one if not."""
        with self._lock:
            entry = self._slots.get(slot)
            opened = entry.opened if entry else None
            if entry is None or opened is None or entry.gone:
                return
            opened.pins += 1
        try:
            if opened.has_changed():
                signature = signature_or(entry)
                with self._lock:
                    if entry.opened is opened and not entry.gone:
                        self._renew(entry, signature, overwritten=True)
        finally:
            self._leave(opened)
