"""Which images a library has, under which names: they come from watched folders and by command, change, and go.

* What is known of an image's files without opening it is its signature. When that changes, or the image is found to be
  another one when it is opened, it is another one for everybody: it keeps its name and gets other inode numbers. Who still
  uses the old one reads on, unless its bytes were written over: he gets ESTALE.
* An image whose file is deleted is shown as long as somebody uses it.
"""

import errno
import itertools
import os
import stat
import struct
import threading
import time
import zlib
from collections.abc import Callable

from imagefs.daemon import naming
from imagefs.daemon.entries import Entry, Kernel, NoKernel, Signature, Stamp
from imagefs.daemon.numbers import SLOTS
from imagefs.errors import ImageError, NotAnImageError, NotFoundError, UsageError
from imagefs.nodes import ROOT_INO, Node
from imagefs.options import Options

RELEASE_SECONDS = 1.0
"""How soon it is asked whether a deleted image is still in use."""
_MODE = stat.S_IFDIR | 0o555


class Shelf:
    """The images. All methods may be called by many threads at once."""

    def __init__(self, options: Options | None) -> None:
        self.options = options or Options()
        """Those of images that have none of their own, when they are opened the next time."""
        self.kernel: Kernel = NoKernel()
        """Whom to tell what changes."""
        self.forbidden = ""
        """The folder that shows the library: what is in it is no image for it."""
        self.check_reach: Callable[[str], None] = lambda path: None
        """Raises ConfinedError for what this process may not read."""
        self.version = 0
        """Counts the changes of the root."""
        self._lock = threading.RLock()
        self._slots: dict[int, Entry] = {}
        self._names: dict[bytes, Entry] = {}
        self._watched: dict[str, Entry] = {}
        self._attached: dict[str, Entry] = {}  # those with their own name and the options of all
        self._parts: dict[str, list[str]] = {}  # descriptor -> the watched files that turned out to be parts of it
        self._leaving: dict[Entry, tuple[float, float]] = {}  # when it is asked again, and the pause after that
        self._children: tuple[int, list[tuple[bytes, Node]]] = (-1, [])
        self._touch_root()

    # --- the root -----------------------------------------------------------------------------------------------------

    def _touch_root(self) -> None:
        now = time.time_ns()
        self.version += 1
        self.root = Node(ROOT_INO, _MODE, 0, now, now, now)

    def _folder(self, entry: Entry) -> Node:
        return Node(entry.number, _MODE, 0, entry.mtime, entry.mtime, entry.mtime)

    def _root_entries(self) -> list[tuple[bytes, Node]]:
        with self._lock:
            version, found = self._children
            if version != self.version:
                found = [(entry.name, self._folder(entry)) for entry in self._names.values() if entry.listed]
                self._children = self.version, found
            return found

    def _list(self, entry: Entry) -> None:
        """Show an entry in the root, under its name or the next that is free. The lock is held."""
        if entry.listed:
            return
        if self._names.get(entry.name) not in (None, entry):
            entry.name = self._free_name(naming.folder_name(os.path.basename(entry.path)))
        self._names[entry.name] = entry
        entry.listed = True
        self._touch_root()
        self.kernel.changed(entry.name, None)

    def _hide(self, entry: Entry) -> None:
        """Show it no longer; it keeps its name. The lock is held."""
        if entry.listed:
            entry.listed = False
            self._touch_root()
            self.kernel.changed(entry.name, entry.number)

    def _unlist(self, entry: Entry) -> None:
        """Show it no longer; its name is free. The lock is held."""
        self._hide(entry)
        if self._names.get(entry.name) is entry:
            del self._names[entry.name]

    def _free_name(self, wanted: str) -> bytes:
        for copy in itertools.count(1):
            name = os.fsencode(naming.numbered_name(wanted, copy))
            if name not in self._names:
                return name
        raise AssertionError

    # --- images come and go -------------------------------------------------------------------------------------------

    def put(self, path: str, signature: Signature, *, waiting: bool = False) -> None:
        """There is an image in a watched folder, or it is another one now; `waiting`: not all of its files are whole."""
        known = self._watched.get(path)
        opened = known.opened if known else None
        overwritten = opened is not None and opened.has_changed()
        with self._lock:
            entry = self._watched.get(path) or self._attached.get(path)
            if entry is None:
                entry = self._new_entry(path, signature, None)
            elif entry.signature != signature or overwritten or entry.gone:
                entry = self._renew(entry, signature, overwritten)
                if leader := self._watched.get(entry.claimed_by):
                    self._renew(leader, leader.signature, overwritten)
            entry.watched, entry.waiting = True, waiting
            self._watched[path] = entry
            if waiting:
                self._hide(entry)
            elif not entry.claimed_by:
                self._list(entry)

    def drop(self, path: str) -> None:
        """An image is no longer in a watched folder."""
        with self._lock:
            entry = self._watched.pop(path, None)
            for part in self._parts.pop(path, ()):
                if (other := self._watched.get(part)) and other.claimed_by == path:
                    other.claimed_by = ""
                    if not other.waiting:
                        self._list(other)
            if entry is None:
                return
            entry.watched = False
            if entry.attached:
                return
            entry.gone = True
            if entry.opened is None or not entry.listed:
                self._withdraw(entry)
            self._leaving[entry] = (0.0, RELEASE_SECONDS)

    def attach(self, path: str, name: str | None = None, options: Options | None = None) -> str:
        """Show an image, under a name or its own; the name that it got. It is not opened.

        Raises NotFoundError, NotAnImageError for what is no file, ConfinedError, UsageError, OSError.
        """
        path = os.path.abspath(path)
        if self.forbidden and (os.path.realpath(path) + "/").startswith(self.forbidden + "/"):
            raise UsageError("it lies in the folder that the daemon itself shows")
        signature = signature_of(path)
        self.check_reach(path)
        options = None if options == self.options else options
        with self._lock:
            for entry in self._names.values():
                if entry.path == path and options in (None, entry.options) and name in (None, os.fsdecode(entry.name)):
                    break
            else:
                entry = self._new_entry(path, signature, options, name)
            entry.attached = True
            if options is None and name is None:
                self._attached[path] = entry
            if not entry.waiting:
                self._list(entry)
            return os.fsdecode(entry.name)

    def _new_entry(self, path: str, signature: Signature, options: Options | None, name: str | None = None) -> Entry:
        """Raises OSError when there are too many. The lock is held."""
        if len(self._slots) >= SLOTS - 1:
            raise OSError(errno.ENFILE, f"a library has at most {SLOTS - 1} images", path)
        first = signature[0]
        seed = zlib.crc32(os.fsencode(path) + struct.pack("<Qq", first.size, first.mtime))
        slot = 1 + seed % (SLOTS - 1)
        while slot in self._slots:
            slot = slot % (SLOTS - 1) + 1
        wanted = name if name is not None else naming.folder_name(os.path.basename(path))
        entry = Entry(slot, self._free_name(wanted), path, signature, options)
        self._slots[slot] = entry
        self._names[entry.name] = entry
        return entry

    def _renew(self, old: Entry, signature: Signature, overwritten: bool) -> Entry:
        """An image is another one now. The old one is served to those who have it, unless it is lost. The lock is held."""
        self._unlist(old)
        new = self._new_entry(old.path, signature, old.options, os.fsdecode(old.name))
        new.watched, new.attached, new.claimed_by = old.watched, old.attached, old.claimed_by
        for table in (self._watched, self._attached):
            if table.get(old.path) is old:
                table[old.path] = new
        old.watched = old.attached = False
        old.gone = True
        if overwritten:
            old.stale = True
            if old.opened is not None:
                old.opened.distrust()
            self.kernel.outdated(old.number)
        old.removed = old.opened is None
        self._leaving[old] = (0.0, RELEASE_SECONDS)
        if not new.claimed_by and not old.waiting:
            self._list(new)
        return new

    def _withdraw(self, entry: Entry) -> None:
        """Take an entry out of everybody's sight. The lock is held."""
        entry.gone = entry.removed = True
        entry.watched = entry.attached = False
        for table in (self._watched, self._attached):
            if table.get(entry.path) is entry:
                del table[entry.path]
        self._unlist(entry)


def signature_of(path: str) -> Signature:
    """The stamp of one file. Raises NotFoundError, NotAnImageError, OSError."""
    try:
        info = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError("there is no such file") from None
    if not (stat.S_ISREG(info.st_mode) or stat.S_ISBLK(info.st_mode)):
        raise NotAnImageError("it is neither a file nor a block device")
    return (Stamp(os.path.basename(path), info.st_size, info.st_mtime_ns, info.st_ino),)


def signature_or(entry: Entry) -> Signature:
    """The same of an entry's file, or what was known when it is not there."""
    try:
        return signature_of(entry.path)
    except (ImageError, OSError):
        return entry.signature
