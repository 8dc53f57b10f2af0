"""The pyfuse3 engine: the portable reference, a thin adapter from pyfuse3's handlers to the shared Mount.

Handlers answer from memory without awaiting anything; what would wait (nowait mode raises BlockingIOError) runs again in a
trio worker thread. pyfuse3 ends its main loop on any exception that is not FUSEError, so every handler is wrapped.
It has no SEEK_HOLE and needs a real OPEN; what the two engines answer is otherwise the same.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import pyfuse3
import trio

from imagefs.errors import ImageError, errno_of
from imagefs.frontends.fuse import attach
from imagefs.frontends.fuse.mount import NAME_LENGTH, Listing, Mount
from imagefs.frontends.fuse.protocol import ATTR, DIRENTPLUS
from imagefs.frontends.fuse.supervise import Supervisor
from imagefs.readers import set_nowait

FOREVER_SECONDS = 1e9
_SECOND = 1_000_000_000

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


async def _run(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call something that may have to wait; every failure becomes a FUSEError."""
    try:
        try:
            return call(*args, **kwargs)
        except BlockingIOError:
            return await trio.to_thread.run_sync(functools.partial(call, *args, **kwargs))
    except pyfuse3.FUSEError:
        raise
    except (OSError, ImageError) as error:
        raise pyfuse3.FUSEError(errno_of(error)) from None
    except Exception:
        log.exception("a request failed unexpectedly")
        raise pyfuse3.FUSEError(errno.EIO) from None


def _entry(packed: memoryview) -> pyfuse3.EntryAttributes:
    """pyfuse3's attributes from the packed ones."""
    entry = pyfuse3.EntryAttributes()
    ino, size, blocks, atime, mtime, ctime, a_ns, m_ns, c_ns, mode, nlink, uid, gid, rdev, blksize, _ = ATTR.unpack(
        packed
    )
    entry.st_ino, entry.st_size, entry.st_blocks, entry.st_blksize = ino, size, blocks, blksize
    entry.st_atime_ns, entry.st_mtime_ns, entry.st_ctime_ns = (
        atime * _SECOND + a_ns,
        mtime * _SECOND + m_ns,
        ctime * _SECOND + c_ns,
    )
    entry.st_mode, entry.st_nlink, entry.st_uid, entry.st_gid = mode, nlink, uid, gid
    # pyfuse3 hands st_rdev to libfuse as a dev_t, which encodes it for the kernel itself.
    entry.st_rdev = os.makedev(rdev >> 8 & 0xFFF, rdev & 0xFF | rdev >> 12 & 0xFFF00)
    entry.entry_timeout = entry.attr_timeout = FOREVER_SECONDS
    return entry


class Handlers(pyfuse3.Operations):
    """pyfuse3's interface over a Mount. `ready` is called when the kernel's INIT has come."""

    supports_dot_lookup = True
    enable_writeback_cache = False
    enable_acl = False

    def __init__(self, mount: Mount, ready: Callable[[], None]) -> None:
        super().__init__()
        self._mount, self._ready = mount, ready
        mount.most_views = 1

    def init(self) -> None:
        self._ready()

    async def lookup(self, parent_inode: int, name: bytes, ctx: Any = None) -> pyfuse3.EntryAttributes:
        found = await _run(self._mount.lookup, parent_inode, name)
        if found is None:
            negative = pyfuse3.EntryAttributes()
            negative.st_ino, negative.entry_timeout = 0, FOREVER_SECONDS
            return negative
        listing, index = found
        return _entry(listing.attr(index))

    async def getattr(self, inode: int, ctx: Any = None) -> pyfuse3.EntryAttributes:
        return _entry(await _run(self._mount.attr, inode))

    async def readlink(self, inode: int, ctx: Any = None) -> bytes:
        return await _run(self._mount.readlink, inode)

    async def opendir(self, inode: int, ctx: Any = None) -> int:
        return inode

    async def readdir(self, fh: int, start_id: int, token: Any) -> None:
        listing = await _run(self._mount.listing, fh)
        for index in range(start_id, len(listing)):
            if not pyfuse3.readdir_reply(token, _name(listing, index), _entry(listing.attr(index)), index + 1):
                break

    async def releasedir(self, fh: int) -> None:
        return None

    async def open(self, inode: int, flags: int, ctx: Any = None) -> pyfuse3.FileInfo:
        return pyfuse3.FileInfo(fh=inode, keep_cache=True)

    async def read(self, fh: int, off: int, size: int) -> Any:
        parts: Sequence[Any] = await _run(self._mount.read, fh, off, size)  # one at most
        return parts[0] if parts else b""

    async def flush(self, fh: int) -> None:
        raise pyfuse3.FUSEError(errno.ENOSYS)  # never asked again

    async def release(self, fh: int) -> None:
        return None

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        for inode, _ in inode_list:
            self._mount.forget(inode)

    async def statfs(self, ctx: Any = None) -> pyfuse3.StatvfsData:
        usage = await _run(self._mount.usage)
        answer = pyfuse3.StatvfsData()
        answer.f_bsize = answer.f_frsize = usage.block_bytes
        answer.f_blocks, answer.f_bfree, answer.f_bavail = usage.blocks, usage.free_blocks, usage.free_blocks
        answer.f_files, answer.f_ffree, answer.f_favail, answer.f_namemax = usage.files, 0, 0, 255
        return answer

    async def getxattr(self, inode: int, name: bytes, ctx: Any = None) -> bytes:
        if not self._mount.filesystem.has_xattrs:
            raise pyfuse3.FUSEError(errno.ENOSYS)
        value = (await _run(self._mount.xattrs, inode)).get(os.fsdecode(name))
        if value is None:
            raise pyfuse3.FUSEError(errno.ENODATA)
        return value

    async def listxattr(self, inode: int, ctx: Any = None) -> Sequence[bytes]:
        if not self._mount.filesystem.has_xattrs:
            raise pyfuse3.FUSEError(errno.ENOSYS)
        return [os.fsencode(name) for name in await _run(self._mount.xattrs, inode)]


def _name(listing: Listing, index: int) -> bytes:
    start = listing.starts[index] + DIRENTPLUS.size
    (length,) = NAME_LENGTH.unpack_from(listing.packed, start - 8)
    return bytes(listing.packed[start : start + length])


class Pyfuse3Session(Supervisor):
    """Mounts and serves with pyfuse3."""

    _on_ready: Callable[[], None] = staticmethod(lambda: None)

    def connect(self) -> None:
        """Mount through libfuse, or have it take over what is mounted. Raises OSError."""
        if not self.devices:
            attach.check_allow_other(self.options)
        # pyfuse3 encodes options as ASCII: other characters of the image's name become `?`.
        name = attach.escaped(attach.fsname_of(self.image.path)).encode("ascii", "replace").decode()
        words = {f"fsname={name}", "subtype=imagefs", "ro", "nosuid", "nodev", "default_permissions"}
        words |= {word for word in ("allow_other", "noexec") if getattr(self.options, word)}
        place = f"/dev/fd/{self.devices[0]}" if self.devices else self.mountpoint  # libfuse's word for what is mounted
        try:
            pyfuse3.init(Handlers(self.mount, lambda: self._on_ready()), place, words)
        except RuntimeError as error:
            raise OSError(errno.EPERM, f"libfuse cannot mount: {error}") from None

    def serve(self, on_ready: Callable[[], None], pending: list[int]) -> None:
        """Serve until unmounted or told to end."""
        self._on_ready = on_ready
        self.on_settled()
        set_nowait(True)  # this thread is the one that answers
        try:
            trio.run(self._serve, pending)
        finally:
            # Never unmounts here: it is done, or the place may hold another mount by now.
            pyfuse3.close(unmount=False)

    def invalidate(self) -> None:
        for number in list(self.mount.nodes):
            try:
                pyfuse3.invalidate_inode(number)
            except OSError as error:
                if error.errno != errno.ENOENT:  # the kernel does not know it (any more)
                    return

    async def _serve(self, pending: list[int]) -> None:
        async with trio.open_nursery() as nursery:
            for task in (self.feed_watchdog, self.watch_image):
                nursery.start_soon(task)
            nursery.start_soon(self.wait_for_signals, pending, nursery.cancel_scope)
            main: Callable[[], Awaitable[None]] = pyfuse3.main
            await main()
            nursery.cancel_scope.cancel()
