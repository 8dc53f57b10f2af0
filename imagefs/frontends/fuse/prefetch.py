"""Pushes the next small files of a walk into the page cache before they are asked for (NOTIFY_STORE).

The push runs in a thread of its own, and must: the store waits for pages that a reader has locked, and that reader may be
waiting for an answer of the serving thread. Two small files of one directory read from their start, the second soon after
the first, are a walk; then the files that follow are pushed in batches of 4, 8 ... 64. Each file is pushed once; a wrong
guess costs a few microseconds and some page cache.
"""

import logging
import os
import queue
import threading

from imagefs.errors import ImageError
from imagefs.frontends.fuse.mount import Listing, Mount
from imagefs.frontends.fuse.protocol import NOTIFY_STORE, OUT_HEADER, STORE_OUT

SMALL_BYTES = 128 << 10
BURST_FILES, FIRST_BURST = 64, 4
BURST_BYTES = 1 << 20
REMEMBERED = 1 << 16
"""Files remembered as pushed; more than that, and it begins anew."""

log = logging.getLogger(__name__)


class Prefetch:
    """Watches the small files that are read, and pushes those that follow. `seen` is called by serving threads."""

    def __init__(self, mount: Mount, device: int) -> None:
        self._mount, self._device = mount, device
        self._queue: queue.SimpleQueue[tuple[Listing, list[int]] | None] = queue.SimpleQueue()
        self._pushed: set[int] = set()
        self._directory: Listing | None = None
        self._last, self._burst = 0, FIRST_BURST

    @property
    def busy(self) -> bool:
        """Whether pushes wait: then a serving thread should not poll beside them."""
        return not self._queue.empty()

    def start(self) -> None:
        """Start the pushing thread (after the last fork)."""
        threading.Thread(target=self._push_all, name="prefetch", daemon=True).start()

    def stop(self) -> None:
        """Let the thread end after what it is doing."""
        self._queue.put(None)

    def seen(self, listing: Listing, index: int) -> None:
        """A small plain file was read from its start: entry `index` of a listing."""
        same = listing is self._directory
        walking = same and 0 < index - self._last <= self._burst + 1
        # A walk goes on in the next directory: its first files are enough to know.
        goes_on = not same and self._burst > FIRST_BURST and index <= FIRST_BURST + 2
        self._directory, self._last = listing, index
        if not walking and not goes_on:
            self._burst = FIRST_BURST
            return
        found = listing.small_files_after(index, self._burst, SMALL_BYTES, BURST_BYTES)
        batch = [at for at in found if listing.ids[at] not in self._pushed]
        if batch:
            if len(self._pushed) > REMEMBERED:
                self._pushed.clear()
            self._pushed.update([listing.ids[at] for at in batch])
            self._queue.put((listing, batch))
            self._burst, self._last = min(BURST_FILES, self._burst * 2), batch[-1]

    def _push_all(self) -> None:
        while task := self._queue.get():
            listing, batch = task
            for index in batch:
                try:
                    self._push(listing.ids[index], listing.sizes[index])
                except (OSError, ImageError):
                    # The kernel does not know the node (any more), the image is damaged there, or it was unmounted: the
                    # file's own reader will be told, if there is one.
                    log.debug("file %d not pushed", listing.ids[index], exc_info=True)

    def _push(self, number: int, size: int) -> None:
        data = self._mount.read(number, 0, size)
        header = OUT_HEADER.pack(OUT_HEADER.size + STORE_OUT.size + size, NOTIFY_STORE, 0)
        os.writev(self._device, [header, STORE_OUT.pack(number, 0, size, 0), *data])
