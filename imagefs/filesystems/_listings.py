"""Directories that are read whole: listed and looked into from what was read, the last few of them kept."""

import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.lazy import cached_property
from imagefs.nodes import FileSystem, Node

KEPT_LISTINGS = 64
LARGE_ENTRIES = 1024
"""A listing of more entries is let go once it was listed: whoever asked for it keeps it himself."""


class Listing:
    """A directory that was read, and its entries by name."""

    def __init__(self, entries: list[tuple[bytes, Node]], fault: DamagedError | None) -> None:
        # Another than was caught: that one holds the stack that it came from, and with it all that was read.
        self.entries, self.fault = entries, fault and DamagedError(fault.where, fault.why)

    @cached_property
    def index(self) -> dict[bytes, Node]:
        return dict(self.entries)

    def check(self) -> None:
        """Raise the DamagedError that keeps this listing from being whole."""
        if self.fault:
            error = DamagedError(self.fault.where, self.fault.why)
            error.found = len(self.entries)
            raise error


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


class ListedFileSystem(FileSystem):
    """A file system whose directories are read whole."""

    @abstractmethod
    def _listed(self, directory: Node, *, keep: bool = False) -> Listing:
        """The listing of a directory; `keep` keeps it for look-ups. Raises DamagedError where none of it can be had."""

    def entries(self, directory: Node) -> Sequence[tuple[bytes, Node]]:
        """All entries; DamagedError for a directory of which not all can be read (`lookup` still finds the others)."""
        listing = self._listed(directory)
        listing.check()
        return listing.entries

    def lookup(self, directory: Node, name: bytes) -> Node | None:
        """The entry of that name; None only where the directory is whole, else DamagedError."""
        listing = self._listed(directory, keep=True)
        node = listing.index.get(name)
        if node is None:
            listing.check()
        return node


def unique(entries: Iterable[tuple[bytes, Node]]) -> list[tuple[bytes, Node]]:
    """The entries without those that stand twice; others of one name get a number: `name (2).txt`."""
    entries = list(entries)
    index = dict(entries)
    if len(index) == len(entries):
        return entries
    index = {}
    following: dict[bytes, int] = {}
    for name, node in entries:
        if name in index and index[name].ino == node.ino:
            continue
        shown = name
        while shown in index:
            number = following[name] = following.get(name, 1) + 1
            tail = b" (%d)" % number
            stem, dot, extension = name.rpartition(b".")
            if stem and len(extension) < limits.NAME_BYTES // 2:
                shown = stem[: limits.NAME_BYTES - len(tail) - len(extension) - 1] + tail + dot + extension
            else:
                shown = name[: limits.NAME_BYTES - len(tail)] + tail
        index[shown] = node
    return list(index.items())
