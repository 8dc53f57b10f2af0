"""Watched folders: the images in them are put into the library as they appear, and taken out as they go.

A folder in which something happened is listed again as a whole, and compared with what was there: so nothing depends on how
many events came, or in which order, or whether the queue ran over. Between two listings there is a pause, ten times as long
as the listing took, so that a folder of ten thousand files that is being filled does not keep a processor busy.

A file is whole when whoever wrote it has closed it. Where nobody was seen doing that it is when it is old, or nobody has it
open for writing (at the start), or its size and time have not changed for SETTLE_SECONDS besides (a link, a writer that was
missed); where that cannot be found out, SURE_SECONDS (a file server). An empty file is not whole.
"""

import contextlib
import errno
import fcntl
import logging
import os
import stat
import threading
import time

from imagefs.daemon import naming
from imagefs.daemon.entries import Signature, Stamp
from imagefs.daemon.inotify import (
    CLOSE_WRITE,
    CREATE,
    DELETE,
    IGNORED,
    ISDIR,
    MODIFY,
    MOVE_SELF,
    MOVED_FROM,
    MOVED_TO,
    OVERFLOW,
    Inotify,
)
from imagefs.daemon.library import Library
from imagefs.errors import NotFoundError, UsageError

SETTLE_SECONDS, SURE_SECONDS = 2.0, 10.0
PAUSE_SECONDS, PAUSE_SHARE = 0.05, 10.0
POLL_SECONDS = 5.0
"""How often a folder is listed that cannot be watched, or is not there."""

log = logging.getLogger("imagefs")


class _File:
    """A file of a watched folder: its stamp, since when (time.monotonic) it has it, and whether it is whole."""

    __slots__ = ("since", "stamp", "whole")

    def __init__(self, stamp: Stamp, whole: bool) -> None:
        self.stamp, self.whole, self.since = stamp, whole, time.monotonic()


class _Folder:
    """A watched folder, as it was when it was listed last."""

    def __init__(self, path: str, wd: int | None) -> None:
        self.path, self.wd = path, wd
        self.files: dict[str, _File] = {}
        self.bare: frozenset[str] = frozenset()  # the names without an extension that parts of its images may have
        self.sets: dict[str, tuple[Signature, bool]] = {}  # of each image: its stamps, and whether it waits
        self.written: set[str] = set()  # files that were written to, and not closed since
        self.closed: set[str] = set()  # files that were closed or renamed since the last listing
        self.again = 0.0  # when (time.monotonic) to list it again, 0 when there is no need


class Watcher:
    """Watches folders for a library. Methods may be called in any thread; `wait` and `work` by one at a time."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._inotify = Inotify()
        self._lock = threading.Lock()
        self._roots: dict[str, bool] = {}  # folder -> whether with the folders in it
        self._folders: dict[str, _Folder] = {}
        self._by_wd: dict[int, _Folder] = {}
        self._told_of_watches = False
        self._told: set[str] = set()  # folders that could not be listed

    def fileno(self) -> int:
        """Readable when something happened."""
        return self._inotify.fileno()

    # --- which folders ------------------------------------------------------------------------------------------------

    def watch(self, path: str, recursive: bool = False) -> None:
        """Show the images in a folder, and those that come. Raises NotFoundError, ConfinedError, UsageError, OSError."""
        path = os.path.realpath(path)
        if not os.path.isdir(path):
            raise NotFoundError(f"there is no folder {path}")
        self._library.check_reach(path)
        if self._is_forbidden(path):
            raise UsageError(f"the folder {path} is the one that shows the images")
        with self._lock:
            self._roots[path] = recursive
            self._add(path)
            self._list_due()

    def unwatch(self, path: str) -> None:
        """Show no longer what only this folder brought."""
        path = os.path.realpath(path)
        with self._lock:
            self._roots.pop(path, None)
            for folder in list(self._folders.values()):
                if not self._is_covered(folder.path):
                    self._remove(folder)
                elif _is_in(folder.path, path):
                    folder.again = time.monotonic()

    def _is_forbidden(self, path: str) -> bool:
        return bool(self._library.forbidden) and _is_in(path, self._library.forbidden)

    def _is_covered(self, path: str) -> bool:
        """Whether some root wants a folder."""
        return any(path == root or (deep and _is_in(path, root)) for root, deep in self._roots.items())

    def _is_deep(self, path: str) -> bool:
        """Whether some root wants the folders in a folder as well."""
        return any(deep and _is_in(path, root) for root, deep in self._roots.items())

    def _add(self, path: str) -> None:
        """Watch a folder, and list it soon. The watch comes first, so that nothing is missed between."""
        folder = self._folders.get(path)
        if folder is None:
            folder = self._folders[path] = _Folder(path, None)
        if folder.wd is None:
            try:
                folder.wd = self._inotify.watch(path)
                self._by_wd[folder.wd] = folder
            except OSError as error:
                if error.errno == errno.ENOSPC and not self._told_of_watches:
                    self._told_of_watches = True
                    log.warning(
                        "%s and more are looked at every %g seconds: raise fs.inotify.max_user_watches",
                        path,
                        POLL_SECONDS,
                    )
        folder.again = time.monotonic()

    def _remove(self, folder: _Folder) -> None:
        """A folder is gone, or wanted no longer, and what is in it."""
        for leader in folder.sets:
            self._library.drop(os.path.join(folder.path, leader))
        if folder.wd is not None:
            self._by_wd.pop(folder.wd, None)
            self._inotify.unwatch(folder.wd)
        del self._folders[folder.path]

    # --- what happens in them -----------------------------------------------------------------------------------------

    def wait(self) -> float | None:
        """Seconds until there is something to do without anything happening; None: there is nothing."""
        with self._lock:
            due = [folder.again for folder in self._folders.values() if folder.again]
            if any(root not in self._folders for root in self._roots):
                due.append(time.monotonic() + POLL_SECONDS)
            return max(0.0, min(due) - time.monotonic()) if due else None

    def work(self) -> float:
        """Take in what happened, and list what has to be listed; how long (seconds) to leave the rest alone."""
        begin = time.monotonic()
        with self._lock:
            for event in self._inotify.read():
                self._note(event.wd, event.mask, event.name)
            for root in self._roots:
                if root not in self._folders and os.path.isdir(root):
                    self._add(root)
            self._list_due()
        return max(PAUSE_SECONDS, PAUSE_SHARE * (time.monotonic() - begin))

    def _note(self, wd: int, mask: int, name: str) -> None:
        if mask & OVERFLOW:
            for folder in self._folders.values():
                folder.again = time.monotonic()
            return
        if wd not in self._by_wd:
            return
        folder = self._by_wd[wd]
        if mask & IGNORED:  # the folder is gone: the next listing finds out
            del self._by_wd[wd]
            folder.wd = None
        elif mask & MOVE_SELF:  # its path leads elsewhere now
            self._inotify.unwatch(wd)
        elif mask & ISDIR:
            if not self._is_deep(folder.path):
                return
        elif name and not naming.is_relevant(name, folder.bare):
            return
        elif mask & (MODIFY | CREATE):
            folder.written.add(name)
            folder.closed.discard(name)
        elif mask & (CLOSE_WRITE | MOVED_TO):
            folder.written.discard(name)
            folder.closed.add(name)
        elif mask & (DELETE | MOVED_FROM):
            folder.written.discard(name)
            folder.closed.discard(name)
        folder.again = time.monotonic()

    def _list_due(self) -> None:
        """List all folders whose time it is, and those that are found by that."""
        while due := [each for each in self._folders.values() if each.again and each.again <= time.monotonic()]:
            for folder in due:
                if folder.path in self._folders:  # the one above may have been listed, and this one not found in it
                    self._list(folder)

    def _list(self, folder: _Folder) -> None:
        try:
            stamps, below, folder.bare = self._scan(folder.path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                self._tell(folder.path, error)
            for inner in [each for each in self._folders.values() if _is_in(each.path, folder.path)]:
                self._remove(inner)
            return
        self._told.discard(folder.path)
        folder.again = 0.0 if folder.wd is not None else time.monotonic() + POLL_SECONDS
        folder.files = {name: self._file(folder, name, stamp) for name, stamp in stamps.items()}
        folder.written &= stamps.keys()
        folder.closed.clear()
        self._compare(folder)
        known = {each.path for each in self._folders.values() if os.path.dirname(each.path) == folder.path}
        for path in below - known:
            self._add(path)
        for path in known - below:
            for inner in [each for each in self._folders.values() if _is_in(each.path, path)]:
                if inner.path not in self._roots:
                    self._remove(inner)

    def _tell(self, path: str, error: OSError) -> None:
        """Into the log, once for as long as a folder cannot be listed."""
        if path not in self._told:
            self._told.add(path)
            came = "; one that came back as another folder needs the folder above it in allow, or a restart"
            log.warning("%s: %s%s", path, error.strerror, came if error.errno == errno.EACCES else "")

    def _scan(self, path: str) -> tuple[dict[str, Stamp], set[str], frozenset[str]]:
        """(the files of a folder that may be images or parts of them, the folders in it, `bare_parts`). Raises OSError."""
        files, stamps, below = [], {}, set()
        deep = self._is_deep(path)
        with os.scandir(path) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    files.append(entry)
                    continue
                inner = os.path.join(path, entry.name)
                if deep and not entry.name.startswith(".") and not self._is_forbidden(inner):
                    below.add(inner)
        bare = naming.bare_parts(entry.name for entry in files)
        for entry in files:
            if naming.is_relevant(entry.name, bare):
                with contextlib.suppress(OSError):  # a link to nowhere, or gone meanwhile
                    info = entry.stat()
                    if stat.S_ISREG(info.st_mode):
                        stamps[entry.name] = Stamp(entry.name, info.st_size, info.st_mtime_ns, info.st_ino)
        return stamps, below, bare

    # --- whole or not -------------------------------------------------------------------------------------------------

    def _file(self, folder: _Folder, name: str, stamp: Stamp) -> _File:
        """What is known of a file now."""
        file = folder.files.get(name)
        is_written = name in folder.written
        if file is None or file.stamp != stamp:
            file = _File(stamp, not is_written and (name in folder.closed or self._is_left(folder, stamp)))
        elif is_written and file.whole:
            file = _File(stamp, False)
        elif not file.whole:
            file.whole = (name in folder.closed and not is_written) or self._is_settled(folder, file)
        if not stamp.size:
            file.whole = False  # what writes it tells when it does
        elif not file.whole:
            later = time.monotonic() + SETTLE_SECONDS / 2
            folder.again = min(folder.again, later) if folder.again else later
        if file.whole:
            folder.written.discard(name)
        return file

    def _is_left(self, folder: _Folder, stamp: Stamp) -> bool:
        """Whether a file in which nothing was seen to happen was left alone for a while, or has no writer."""
        if time.time() - stamp.mtime / 1e9 > SETTLE_SECONDS:
            return True
        return has_writers(os.path.join(folder.path, stamp.name)) is False

    def _is_settled(self, folder: _Folder, file: _File) -> bool:
        """Whether nobody writes a file that nobody was seen closing."""
        quiet = time.monotonic() - file.since
        if quiet < SETTLE_SECONDS:
            return False
        writers = has_writers(os.path.join(folder.path, file.stamp.name))
        return quiet >= SURE_SECONDS if writers is None else not writers

    def _compare(self, folder: _Folder) -> None:
        """Tell the library what is different from the last time."""
        found: dict[str, tuple[Signature, bool]] = {}
        for leader, parts in naming.sets(folder.files).items():
            files = [folder.files[name] for name in (leader, *parts)]
            found[leader] = tuple(file.stamp for file in files), not all(file.whole for file in files)
        before, folder.sets = folder.sets, found
        for leader in before.keys() - found.keys():
            self._library.drop(os.path.join(folder.path, leader))
        for leader, (signature, waiting) in found.items():
            if before.get(leader) != (signature, waiting):
                try:
                    self._library.put(os.path.join(folder.path, leader), signature, waiting=waiting)
                except OSError as error:  # too many
                    log.warning("%s: %s", os.path.join(folder.path, leader), error.strerror)

    def close(self) -> None:
        """Watch nothing any more."""
        self._inotify.close()


def _is_in(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def has_writers(path: str) -> bool | None:
    """Whether some process has a file open for writing; None when that cannot be found out.

    A read lease (fcntl(2), F_SETLEASE) is given only on a file that has no writer; it is given back at once.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    finally:
        os.close(fd)
    return False
