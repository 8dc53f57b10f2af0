"""A library: any number of images as the folders of one file system.

The root is listed from what is known of the files, no image is opened for it; what is in an image is asked of the image
(`imagefs.daemon.openings`). Which images there are, `imagefs.daemon.shelf` knows; inode numbers are told apart by
`imagefs.daemon.numbers`.
"""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imagefs.daemon.entries import Entry, Opened
from imagefs.daemon.metrics import Totals
from imagefs.daemon.numbers import is_folder, slot_of
from imagefs.daemon.openings import Openings
from imagefs.errors import NotFoundError
from imagefs.nodes import ROOT_INO, FileSystem, Node, Usage
from imagefs.options import Options
from imagefs.readers import Reader, ZeroReader

BLOCK_BYTES = 2048


class ImageStatus(NamedTuple):
    """What is to be told of an image."""

    name: str
    path: str
    state: str  # idle, opening, open, failed, hung, waiting (for its files to be whole)
    error: str | None
    container: str | None  # the format that was taken off last, once it was open
    opened_at: float | None  # seconds since 1970 UTC
    opens: int
    requests: int
    watched: bool


class Inside(NamedTuple):
    """What the library's node of an inode has as its locator: the image's own node."""

    node: Node


class Library(Openings, FileSystem):
    """The images. What a frontend has to do when they change it is told by `kernel`.

    All methods may be called by many threads at once. In nowait mode no image is asked anything: BlockingIOError.
    """

    kind = "imagefs"
    has_xattrs = True

    def __init__(
        self, options: Options | None = None, *, idle_seconds: float = 300.0, deadline_seconds: float = 30.0
    ) -> None:
        super().__init__(options, idle_seconds, deadline_seconds)
        self.reader = ZeroReader(0)

    # --- what is told -------------------------------------------------------------------------------------------------

    def is_open(self, slot: int) -> bool:
        """Whether an image is open."""
        return slot in self._open

    def status(self) -> list[ImageStatus]:
        """Every image, by name; parts of others are none."""
        with self._lock:
            found = [_status(entry) for entry in self._names.values()]
        return sorted(found)

    def totals(self) -> Totals:
        """What happened so far."""
        with self._lock:
            requests = self._requests + sum(entry.count for entry in self._slots.values())
            return Totals(self._opens, self._failures, requests)

    def usage(self) -> Usage:
        with self._lock:
            size = sum(entry.size for entry in self._names.values() if entry.listed)
            return Usage(BLOCK_BYTES, -(-size // BLOCK_BYTES), 0, len(self._names))

    # --- as a file system ---------------------------------------------------------------------------------------------

    def _inner(self, opened: Opened, node: Node) -> Node:
        """The image's own node."""
        if isinstance(node.locator, Inside):
            return node.locator.node
        if is_folder(node.ino):
            return opened.filesystem.root
        return Node._make((opened.entry.numbers.inner(node.ino), *node[1:]))

    def _outer(self, opened: Opened, node: Node) -> Node:
        """The library's node of an image's."""
        if node.ino == ROOT_INO:
            return self._folder(opened.entry)
        return node._replace(ino=opened.entry.numbers.outer(node.ino), start=-1, locator=Inside(node))

    def placed_entries(self, directory: Node) -> list[tuple[bytes, Node]]:
        """As `entries`, with the places where plain files begin in the reader of the image."""
        if directory.ino == ROOT_INO:
            return self._root_entries()
        with self.using(directory.ino) as opened:
            outer, make = opened.entry.numbers.outer, Node._make
            inner = self._inner(opened, directory)
            return [(name, make((outer(node[0]), *node[1:]))) for name, node in opened.filesystem.entries(inner)]

    def entries(self, directory: Node) -> Sequence[tuple[bytes, Node]]:
        if directory.ino == ROOT_INO:
            return self._root_entries()
        with self.using(directory.ino) as opened:
            found = opened.filesystem.entries(self._inner(opened, directory))
            return [(name, self._outer(opened, node)) for name, node in found]

    def lookup(self, directory: Node, name: bytes) -> Node | None:
        if directory.ino == ROOT_INO:
            with self._lock:
                entry = self._names.get(name)
                return self._folder(entry) if entry and entry.listed else None
        with self.using(directory.ino) as opened:
            found = opened.filesystem.lookup(self._inner(opened, directory), name)
            return None if found is None else self._outer(opened, found)

    def node(self, ino: int) -> Node:
        if ino == ROOT_INO:
            return self.root
        entry = self._slots.get(slot_of(ino))
        if entry is None:
            raise NotFoundError("no image has this inode")
        if is_folder(ino):
            return self._folder(entry)
        with self.using(ino) as opened:
            found = opened.filesystem.node(entry.numbers.inner(ino))
            return self._outer(opened, found)

    def parent(self, directory: Node) -> Node:
        if directory.ino == ROOT_INO or is_folder(directory.ino):
            return self.root
        with self.using(directory.ino) as opened:
            return self._outer(opened, opened.filesystem.parent(self._inner(opened, directory)))

    def readlink(self, node: Node) -> bytes:
        with self.using(node.ino) as opened:
            return opened.filesystem.readlink(self._inner(opened, node))

    def open(self, node: Node) -> Reader:
        with self.using(node.ino) as opened:
            return opened.filesystem.open(self._inner(opened, node))

    def xattrs(self, node: Node) -> Mapping[str, bytes]:
        if is_folder(node.ino) or node.ino == ROOT_INO:
            return {}
        entry = self._slots.get(slot_of(node.ino))
        opened = entry.opened if entry else None
        if opened is not None and not opened.filesystem.has_xattrs:
            return {}
        with self.using(node.ino) as opened:
            return opened.filesystem.xattrs(self._inner(opened, node))


def _status(entry: Entry) -> ImageStatus:
    name, error = os.fsdecode(entry.name), entry.told or (entry.trouble.message if entry.trouble else None)
    state = entry.state
    return ImageStatus(
        name, entry.path, state, error, entry.container, entry.opened_at, entry.opens, entry.count, entry.watched
    )
