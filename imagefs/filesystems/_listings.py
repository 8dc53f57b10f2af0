"""Directories that are read whole: listed and looked into from what was read, the last few of them kept."""

import itertools
import threading
import weakref
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Container, Hashable, Iterable, Sequence
from typing import ClassVar

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.lazy import cached_property
from imagefs.nodes import FileSystem, Node

KEPT_LISTINGS = 64
_LARGEST_NUMBER = 9_999_999
"""More entries no directory has (limits.DIRECTORY_BYTES)."""
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
    """The last few directories of a file system in which names were looked up.

    All file systems of a process share what they may keep: one image may have a hundred. Safe for many threads; nothing is
    read under the lock.
    """

    _all: ClassVar["weakref.WeakSet[Listings]"] = weakref.WeakSet()
    _lock: ClassVar = threading.Lock()
    _clock: ClassVar = itertools.count()

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Listing] = OrderedDict()
        self._entries = self._used = 0
        with self._lock:
            self._all.add(self)

    def get(self, key: Hashable, read: Callable[[], Listing], *, keep: bool) -> Listing:
        """The listing of a directory, read when it is not kept; `keep` keeps it from now on. Raises what `read` does."""
        with self._lock:
            listing = self._kept.get(key)
            if listing is not None:
                self._used = next(self._clock)
                self._kept.move_to_end(key)
                if not keep and len(listing.entries) > LARGE_ENTRIES:
                    self._drop(key)
                return listing
        listing = read()
        if keep and len(listing.entries) <= limits.CACHED_ENTRIES:
            with self._lock:
                self._put(key, listing)
        return listing

    def _put(self, key: Hashable, listing: Listing) -> None:
        if key in self._kept:
            self._drop(key)
        self._kept[key] = listing
        self._entries += len(listing.entries)
        self._used = next(self._clock)
        if len(self._kept) > KEPT_LISTINGS:
            self._drop(next(iter(self._kept)))
        while sum(each._entries for each in self._all) > limits.CACHED_ENTRIES:
            idlest = min((each for each in self._all if each._entries), key=lambda each: each._used)
            idlest._drop(next(iter(idlest._kept)))

    def _drop(self, key: Hashable) -> None:
        self._entries -= len(self._kept.pop(key).entries)


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


def numbered(name: bytes, number: int) -> bytes:
    """`name (2).txt`: the name of the second entry that is called `name.txt`."""
    stem, dot, extension = name.rpartition(b".")
    if not stem:
        stem, dot, extension = name, b"", b""
    tail = b" (%d)%s%s" % (number, dot, extension)
    if len(tail) > limits.NAME_BYTES // 2:
        stem, tail = name, b" (%d)" % number
    return stem[: limits.NAME_BYTES - len(tail)] + tail


class Doubles:
    """The names of entries that are called like others of their directory."""

    def __init__(self) -> None:
        self._following: dict[bytes, int] = {}

    def name(self, name: bytes, known: Container[bytes]) -> bytes:
        """The name with the next number with which it is not known.

        Names that differ only where a long one is cut for its number share their numbers, so that each is tried once.
        """
        cut = numbered(name, _LARGEST_NUMBER)
        number = self._following.get(cut, 2)
        while (shown := numbered(name, number)) in known:
            number += 1
        self._following[cut] = number + 1
        return shown


def unique(entries: Iterable[tuple[bytes, Node]]) -> list[tuple[bytes, Node]]:
    """The entries without those that stand twice; others of one name get a number: `name (2).txt`."""
    entries = list(entries)
    index = dict(entries)
    if len(index) == len(entries):
        return entries
    index, doubles = {}, Doubles()
    for name, node in entries:
        if name not in index:
            index[name] = node
        elif index[name].ino != node.ino:
            index[doubles.name(name, index)] = node
    return list(index.items())
