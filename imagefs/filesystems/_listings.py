"""Directories that were read, and the last few of them kept for look-ups by name."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.lazy import cached_property
from imagefs.nodes import Node

KEPT_LISTINGS = 64
LARGE_ENTRIES = 1024
"""A listing of more entries is let go once it was listed: whoever asked for it keeps it himself."""


class Listing:
    """A directory that was read, and its entries by name."""

    def __init__(self, entries: list[tuple[bytes, Node]], fault: DamagedError | None) -> None:
        self.entries, self.fault = entries, fault

    @cached_property
    def index(self) -> dict[bytes, Node]:
        return dict(self.entries)

    def check(self) -> None:
        """Raise the DamagedError that keeps this listing from being whole."""
        if self.fault:
            raise DamagedError(self.fault.where, self.fault.why)


class Listings:
    """The last few directories in which names were looked up. Safe for many threads; nothing is read under the lock."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Listing] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, read: Callable[[], Listing], *, keep: bool) -> Listing:
        """The listing of a directory, read when it is not kept; `keep` keeps it from now on. Raises what `read` does."""
        with self._lock:
            listing = self._kept.get(key)
            if listing is not None:
                self._kept.move_to_end(key)
                if not keep and len(listing.entries) > LARGE_ENTRIES:
                    del self._kept[key]
                return listing
        listing = read()
        if keep and len(listing.entries) <= limits.CACHED_ENTRIES:
            with self._lock:
                self._kept[key] = listing
                while len(self._kept) > KEPT_LISTINGS or self._entries() > limits.CACHED_ENTRIES:
                    self._kept.popitem(last=False)
        return listing

    def _entries(self) -> int:
        return sum(len(listing.entries) for listing in self._kept.values())
