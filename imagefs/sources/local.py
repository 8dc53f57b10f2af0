"""Local files and block devices."""

import errno
import mmap
import os
import stat

from imagefs.errors import DamagedError, NotAnImageError, NotFoundError
from imagefs.readers import Source, is_nowait

_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
# O_NONBLOCK: opening a FIFO that a descriptor names must not wait for a writer; files and devices ignore it.
_NOWAIT = getattr(os, "RWF_NOWAIT", 0) if hasattr(os, "preadv") else 0
_PIECE = 64 << 20
"""One system call reads at most 2 GiB; less bounds a single allocation."""


class FileSource(Source):
    """A regular file or block device, opened once. It owns its descriptor: `close` gives it back.

    In nowait mode `pread` answers from the page cache or raises BlockingIOError.
    """

    def __init__(self, fd: int, name: str) -> None:
        self.name = name
        info = os.fstat(fd)
        self.mtime = info.st_mtime_ns
        """of the file, in ns"""
        self.size = info.st_size if stat.S_ISREG(info.st_mode) else os.lseek(fd, 0, os.SEEK_END)
        self._nowait = _NOWAIT
        self._view: memoryview | None = None
        self._mapped = False
        self._fd = fd  # from here on it is closed by who is forgotten

    @property
    def view(self) -> memoryview | None:  # type: ignore[override]
        if not self._mapped:
            try:
                self._view = memoryview(mmap.mmap(self._fd, self.size, access=mmap.ACCESS_READ)) if self.size else None
            except (OSError, ValueError, OverflowError):
                self._view = None  # a file system without mmap: everything is read instead
            self._mapped = True
        return self._view

    def pread(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        if self._nowait and is_nowait():
            return self._pread_nowait(offset, length)
        data = os.pread(self._fd, min(length, _PIECE), offset)
        if len(data) == length:
            return data
        parts, done = [data], len(data)
        while done < length and data:
            data = os.pread(self._fd, min(length - done, _PIECE), offset + done)
            parts.append(data)
            done += len(data)
        if done < length:
            raise DamagedError(
                offset + done, f"{self.name} was {self.size} bytes long when it was opened and is shorter now"
            )
        return b"".join(parts)

    def _pread_nowait(self, offset: int, length: int) -> bytes:
        buffer = bytearray(min(length, _PIECE))
        try:
            done = os.preadv(self._fd, [buffer], offset, self._nowait)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            self._nowait = 0  # this file system cannot tell; its reads wait
            return self.pread(offset, length)
        if done < length:
            raise BlockingIOError(errno.EAGAIN, "not in the page cache")
        return bytes(buffer)

    def distrust(self) -> None:
        """Give no mapping any more: the file has changed, and a mapped page behind its new end would read as zeros."""
        self._view, self._mapped = None, True

    def changed(self) -> bool:
        """Whether the file has another size or modification time now than when it was opened."""
        info = os.fstat(self._fd)
        return stat.S_ISREG(info.st_mode) and (info.st_size, info.st_mtime_ns) != (self.size, self.mtime)

    def close(self) -> None:
        self.distrust()  # a mapping would keep the file open
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        """An image that is forgotten keeps no descriptor."""
        if hasattr(self, "_fd"):
            self.close()


def open_source(path: str, dir_fd: int | None = None, *, may_be_empty: bool = False) -> FileSource:
    """Open a regular file or block device. Raises NotFoundError, NotAnImageError, OSError.

    An image is not empty, but a part of one may be: dumps of discs with a track of no length have such files.
    """
    try:
        fd = os.open(path, _OPEN_FLAGS, dir_fd=dir_fd)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError("there is no such file") from error
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise NotAnImageError("it is a directory, not an image; name the file in it")
        if stat.S_ISFIFO(mode):
            raise NotAnImageError(
                "it is a pipe, which can only be read once; save what comes out of it to a file first"
            )
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise NotAnImageError("it is neither a file nor a block device")
        source = FileSource(fd, path)
    except BaseException:
        os.close(fd)
        raise
    if not source.size and not may_be_empty:
        source.close()
        if stat.S_ISBLK(mode):
            raise NotAnImageError("the device is empty: there is no medium in it")
        raise NotAnImageError("the file is empty, not an image")
    return source
