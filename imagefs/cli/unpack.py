"""Writing a tree of an image into a folder of this machine.

An image may be hostile, so nothing is written by path: every folder is opened one component after the other, from the
target's descriptor, and never through a link (O_NOFOLLOW); a name is checked to be one component. Links are made last, when
no file can go through them any more, and say what the image says. A file is written under a name of its own and renamed
when it is whole, so that there is never half a file under a file's name.
"""

import contextlib
import errno
import math
import os
import stat
from collections.abc import Iterator

from imagefs import limits
from imagefs.cli.output import Report
from imagefs.cli.paths import join, walk
from imagefs.cli.progress import Progress
from imagefs.errors import DamagedError, ImageError, NotFoundError
from imagefs.nodes import FileSystem, Node
from imagefs.options import Options
from imagefs.readers import Reader, RunKind

PIECE_BYTES = 1 << 20
_RUNS_LOOKED_AT = 16
"""Of a file that is not sparse in the image: a run per sector would cost more than the holes that are found."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""The target's own troubles: every other file would fail as well."""


class Unpacker:
    """Copies files of `tree` into the folder `target`, which exists. What fails is reported, and the rest goes on.

    Modes are the image's less set-id bits, the user's umask and what the options take away; times are the image's, owners
    the user's. With `fresh` the target gets mode and times of the image's root. A context manager: links and the folders'
    own modes and times are made at a regular end.
    """

    def __init__(
        self,
        tree: FileSystem,
        target: str,
        report: Report,
        progress: Progress,
        options: Options,
        *,
        overwrite: bool = False,
        fresh: bool = False,
    ) -> None:
        self._tree, self._report, self._progress, self._overwrite = tree, report, progress, overwrite
        self._target = target
        self._top = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        umask = os.umask(0)
        os.umask(umask)
        self._file_mask, self._folder_mask = options.file_mask & ~umask, options.directory_mask & ~umask
        self._left = math.inf if tree.room is None else max(limits.COPIED_BYTES, limits.COPIED_RATIO * tree.room)
        self._part = b".imagefs-%d.part" % os.getpid()
        self._folders: dict[bytes, Node] = {b"": tree.root} if fresh else {}
        self._links: list[tuple[bytes, bytes, Node]] = []
        self._first: dict[int, bytes] = {}
        self._copied: set[bytes] = set()

    def __enter__(self) -> "Unpacker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._progress.clear()
            os.close(self._top)

    # --- walking ----------------------------------------------------------------------------------------------------

    def unpack(self, path: bytes) -> None:
        """Copy the file or folder at `path` and the folders above it; the root's path is empty.

        What lies in a folder that was copied before is not copied again.
        """
        try:
            *above_it, (whole, node) = self._chain(path)
            if any(above in self._copied for above, _ in above_it):
                return
            for above, folder in above_it:
                self._make_folder(above, folder)
            if node.is_directory:
                self._copied.add(whole)
                self._unpack_below(whole, node)
            else:
                above, name = above_it[-1][0], whole.rpartition(b"/")[2]
                with self._opened(above) as descriptor:
                    self._entry(descriptor, above, name, node)
        except (ImageError, OSError) as error:
            self._failed(error, path)

    def _chain(self, path: bytes) -> list[tuple[bytes, Node]]:
        """(path, node) of the root, of each folder on the way, and of what is at `path`. Raises NotFoundError."""
        chain = [(b"", self._tree.root)]
        for part in path.split(b"/") if path else []:
            above, folder = chain[-1]
            child = self._tree.lookup(folder, part) if folder.is_directory else None
            if child is None:
                raise NotFoundError("there is no such file in the image")
            chain.append((join(above, part), child))
        return chain

    def _unpack_below(self, top: bytes, node: Node) -> None:
        for path, folder, entries in walk(self._tree, node, top, self._failed):
            try:
                self._make_folder(path, folder)
                with self._opened(path) as descriptor:
                    entries[:] = [(n, child) for n, child in entries if self._entry(descriptor, path, n, child)]
            except OSError as error:
                self._failed(error, path)
                entries.clear()

    def _entry(self, folder: int, path: bytes, name: bytes, node: Node) -> bool:
        """Make one entry of an open folder, but no folder in it. False when it failed."""
        try:
            _component(name)
            if node.is_file:
                self._file(folder, path, name, node)
            elif node.is_link:
                self._links.append((path, name, node))
            elif not node.is_directory:
                self._special(folder, path, name, node)
        except (ImageError, OSError) as error:
            self._failed(error, join(path, name))
            return False
        return True

    def _failed(self, error: Exception, path: bytes) -> None:
        if isinstance(error, OSError):
            if error.errno in _HOPELESS or self._is_shut(error, path):
                raise OSError(error.errno, error.strerror, self._target) from error
            error.filename = None  # it may be a temporary one, and the path says more
        if self._left < 0:
            raise error
        self._progress.clear()
        self._report.fail(error, path)

    def _is_shut(self, error: OSError, path: bytes) -> bool:
        """Whether nothing can be made in the target, so that the other files would fail as well."""
        denied = error.errno == errno.EACCES and b"/" not in path
        return denied and not os.access(".", os.W_OK | os.X_OK, dir_fd=self._top, effective_ids=True)

    # --- folders ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self, path: bytes) -> Iterator[int]:
        """The descriptor of a folder below the target, reached without following a link."""
        descriptor = os.dup(self._top)
        try:
            for part in path.split(b"/") if path else []:
                outer, descriptor = descriptor, _open_folder(part, descriptor)
                os.close(outer)
            yield descriptor
        finally:
            os.close(descriptor)

    def _make_folder(self, path: bytes, node: Node) -> None:
        """Make a folder in one that is there, writable for now. One that was there before keeps its mode and times."""
        above, _, name = path.rpartition(b"/")
        if not path or path in self._folders:
            return
        with self._opened(above) as descriptor:
            try:
                os.mkdir(_component(name), 0o700, dir_fd=descriptor)
            except FileExistsError:
                os.close(_open_folder(name, descriptor))
            else:
                self._folders[path] = node

    # --- files ------------------------------------------------------------------------------------------------------

    def _file(self, folder: int, path: bytes, name: bytes, node: Node) -> None:
        self._check_vacant(folder, name)
        if node.nlink > 1 and self._hard_link(folder, name, self._first.get(node.ino)):
            return
        reader = self._tree.open(node)
        with self._named_when_whole(folder, name) as part:
            descriptor = os.open(part, _NEW_FILE, 0o600, dir_fd=folder)
            try:
                self._copy(reader, descriptor, name, sparse=node.blocks * 512 < node.size)
                os.fchmod(descriptor, self._mode(node))
                os.utime(descriptor, ns=(node.atime, node.mtime))
            finally:
                os.close(descriptor)
        if node.nlink > 1:
            self._first[node.ino] = join(path, name)

    def _hard_link(self, folder: int, name: bytes, first: bytes | None) -> bool:
        """Make `name` one more name of the file that was written as `first`; False where that cannot be."""
        if first is None:
            return False
        above, _, old = first.rpartition(b"/")
        try:
            with self._opened(above) as there, self._named_when_whole(folder, name) as part:
                os.link(old, part, src_dir_fd=there, dst_dir_fd=folder, follow_symlinks=False)
        except OSError:  # a file system without hard links, for one: a second copy says the same
            return False
        return True

    @contextlib.contextmanager
    def _named_when_whole(self, folder: int, name: bytes) -> Iterator[bytes]:
        """A temporary name: what is made under it is then called `name`, or is gone when something failed."""
        try:
            yield self._part
            os.rename(self._part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._part, dir_fd=folder)
            raise

    def _copy(self, reader: Reader, descriptor: int, name: bytes, *, sparse: bool) -> None:
        """Write all of a reader; its holes become holes."""
        hole = False
        for offset, length, hole in pieces(reader, None if sparse else _RUNS_LOOKED_AT):
            if not hole:
                self._left -= length
                if self._left < 0:
                    raise DamagedError(None, "its files come to far more than it can hold; the rest is left out")
                data = memoryview(reader.exactly(offset, length))
                while data:
                    done = os.pwrite(descriptor, data, offset)
                    data, offset = data[done:], offset + done
            self._progress.add(length, name)
        if hole:
            os.ftruncate(descriptor, reader.size)

    def _special(self, folder: int, path: bytes, name: bytes, node: Node) -> None:
        """A pipe or socket; a device node when this is root."""
        kind = stat.S_IFMT(node.mode)
        if kind not in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK):
            raise DamagedError(None, f"its type {kind:#o} means nothing")
        if kind in (stat.S_IFCHR, stat.S_IFBLK) and os.geteuid() != 0:
            self._progress.clear()
            self._report.warn("it is a device node, which only root can make: left out", join(path, name))
            return
        self._check_vacant(folder, name)
        with self._named_when_whole(folder, name) as part:
            os.mknod(part, kind | self._mode(node), node.rdev, dir_fd=folder)
            os.utime(part, ns=(node.atime, node.mtime), dir_fd=folder, follow_symlinks=False)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Links, then the modes and times of the folders, the innermost first."""
        for path, name, node in self._links:
            try:
                target = self._tree.readlink(node)
                with self._opened(path) as folder:
                    self._check_vacant(folder, name)
                    with self._named_when_whole(folder, name) as part:
                        os.symlink(target, part, dir_fd=folder)
                        os.utime(part, ns=(node.atime, node.mtime), dir_fd=folder, follow_symlinks=False)
            except (ImageError, OSError) as error:
                self._failed(error, join(path, name))
        for path, node in reversed(self._folders.items()):
            try:
                with self._opened(path) as folder:
                    os.utime(folder, ns=(node.atime, node.mtime))
                    os.fchmod(folder, self._mode(node))
            except OSError as error:
                self._failed(error, path)

    def _check_vacant(self, folder: int, name: bytes) -> None:
        if not self._overwrite and _exists(folder, name):
            raise FileExistsError(errno.EEXIST, "it is there already; --overwrite replaces it")

    def _mode(self, node: Node) -> int:
        """The image's permission bits less the masks; where the image has no owners, the owner may write as well."""
        mode = node.mode & 0o777 | (0o200 if node.uid < 0 else 0)
        return mode & (self._folder_mask if node.is_directory else self._file_mask)


def pieces(reader: Reader, look: int | None) -> Iterator[tuple[int, int, bool]]:
    """(offset, length, whether it is a hole) of all of a reader, in pieces that fit in memory.

    Of each piece at most `look` runs are looked at (None: all); a hole behind them is read like data.
    """
    offset = 0
    while offset < reader.size:
        length, room = 0, min(PIECE_BYTES, reader.size - offset)
        # Of the piece alone: to find the end of a run a reader may have to look at every block in it.
        for index, run in enumerate(reader.runs(offset, room)):
            if run.kind is RunKind.ZERO:
                break
            length += run.length
            if index + 1 == look:
                length = room
                break
        is_hole = not length
        if is_hole:
            length = next(reader.runs(offset, reader.size - offset)).length
        yield offset, length, is_hole
        offset += length


def _component(name: bytes) -> bytes:
    """The name itself. Raises DamagedError when it is no name of one file in one folder."""
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        raise DamagedError(None, "its name is not one that a file can have")
    return name


def _open_folder(name: bytes, above: int) -> int:
    """The descriptor of a folder in the open folder `above`. Raises OSError when a link or file stands there."""
    try:
        return os.open(_component(name), _FOLDER, dir_fd=above)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise NotADirectoryError(errno.ENOTDIR, "a file or link is there already, not a folder") from error
        raise


def _exists(folder: int, name: bytes) -> bool:
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True
