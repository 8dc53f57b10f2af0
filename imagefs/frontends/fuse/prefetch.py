"""Works ahead of a program that walks through a tree, on a thread of its own.

Small files are pushed into the page cache before they are asked for (NOTIFY_STORE). Two small files of one directory read
from their start, the second soon after the first, are a walk; then the files that follow are pushed in batches of 4, 8 ...
64. Each file is pushed once; a wrong guess costs a few microseconds and some page cache. The push must not run in a serving
thread: the store waits for pages that a reader has locked, and that reader may be waiting for an answer of that thread.

Listings are made before they are asked for: when a directory is listed soon after the one above it or beside it, so are its
own first directories and the next ones beside it. The program and the parsing then run on two cores at once.
"""

import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from imagefs.errors import ImageError
from imagefs.frontends.fuse.mount import Buffer, Listing, Mount
from imagefs.frontends.fuse.protocol import NOTIFY_STORE, STORE

SMALL_BYTES = 128 << 10
BURST_FILES, FIRST_BURST = 64, 4
BURST_BYTES = 1 << 20
REMEMBERED = 1 << 16
"""Files remembered as pushed; more than that, and it begins anew."""
LISTED_AHEAD = 4
"""Directories below and beside the one in hand whose listings are made ahead."""
RECENT = 8
"""Directories listed last: one whose parent is among them, or beside one of them, belongs to a walk."""

log = logging.getLogger(__name__)


class Prefetch:
    """Watches what is read and listed, and works ahead. `seen` and `listed` are called by serving threads."""

    def __init__(self, mount: Mount, device: int) -> None:
        self._mount, self._device = mount, device
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._pushed: set[int] = set()
        self._directory: Listing | None = None
        self._last, self._edge, self._burst = 0, 0, FIRST_BURST  # entries: read last, pushed last
        self._recent: deque[int] = deque(maxlen=RECENT)

    @property
    def busy(self) -> bool:
        """Whether work waits: then a serving thread should not poll beside it."""
        return not self._queue.empty()

    def start(self) -> None:
        """Start the thread (after the last fork)."""
        threading.Thread(target=self._work, name="prefetch", daemon=True).start()

    def stop(self) -> None:
        """Let the thread end after what it is doing."""
        self._queue.put(None)

    def _work(self) -> None:
        while task := self._queue.get():
            try:
                task()
            except (OSError, ImageError):
                # Damaged, or not known to the kernel (any more), or unmounted: whoever asks for it himself will be told.
                log.debug("work ahead failed", exc_info=True)
            except Exception:  # nor may a fault that one guess meets end the thread: the queue would grow
                log.debug("work ahead failed unexpectedly", exc_info=True)

    # --- directories ----------------------------------------------------------------------------------------------------

    def listed(self, number: int, listing: Listing) -> None:
        """A directory was listed from its start."""
        parent = listing.ids[1]
        walking = parent in self._recent
        self._recent.append(number)
        if not walking:
            return
        self._recent.append(parent)
        wanted = list(islice(listing.directories, LISTED_AHEAD))
        above = self._mount.known_listing(parent)
        if above is not None:
            wanted += above.directories_after(number, LISTED_AHEAD)
        for number in wanted:
            if not self._mount.is_listed(number):
                self.ahead(number)

    def ahead(self, number: int) -> None:
        """Have the listing of a directory made."""
        self._queue.put(lambda: self._mount.list_ahead(number))

    # --- small files ----------------------------------------------------------------------------------------------------

    def seen(self, listing: Listing, index: int) -> None:
        """A small plain file was read from its start: entry `index` of a listing."""
        same = listing is self._directory
        if same and self._last < index <= self._edge:
            self._last = index  # the reader is quicker than the pushes: what he has passed is left out
            return
        walking = same and 0 < index - self._edge <= self._burst + 1
        # A walk goes on in the next directory: its first files are enough to know.
        goes_on = not same and self._burst > FIRST_BURST and index <= FIRST_BURST + 2
        self._directory, self._last, self._edge = listing, index, index
        if not walking and not goes_on:
            self._burst = FIRST_BURST
            return
        found = listing.small_files_after(index, self._burst, SMALL_BYTES, BURST_BYTES)
        batch = [at for at in found if listing.ids[at] not in self._pushed]
        if batch:
            if len(self._pushed) > REMEMBERED:
                self._pushed.clear()
            self._pushed.update([listing.ids[at] for at in batch])
            self._edge = batch[-1]
            self._burst = min(BURST_FILES, self._burst * 2)
            self._queue.put(lambda: self._push_all(listing, batch))

    def _push_all(self, listing: Listing, batch: list[int]) -> None:
        mount, device, writev, pack = self._mount, self._device, os.writev, STORE.pack
        ids, sizes, places, backing = listing.ids, listing.sizes, listing.places, listing.backing
        for index in batch:
            if index <= self._last and listing is self._directory:
                continue
            size, start = sizes[index], places[index] + backing.base
            source = backing.view
            try:
                if source is not None and places[index] + size <= backing.bytes:
                    data: Sequence[Buffer] = (source[start : start + size],)
                else:
                    data = mount.read(ids[index], 0, size)
                writev(device, (pack(STORE.size + size, NOTIFY_STORE, 0, ids[index], 0, size, 0), *data))
            except (OSError, ImageError):
                log.debug("file %d not pushed", ids[index], exc_info=True)
