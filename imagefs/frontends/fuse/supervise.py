"""What runs beside the serving in every mount: trio in the main thread owns signals, the watchdog and the watch over the
image's file. Both engines' sessions are built on it."""

from __future__ import annotations

import errno
import logging
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from imagefs.frontends.fuse import attach, mountinfo
from imagefs.frontends.fuse.mount import Mount
from imagefs.frontends.fuse.notify import notify, watchdog_seconds
from imagefs.image import Image
from imagefs.options import Options

if TYPE_CHECKING:
    import trio

GRACE_SECONDS = 0.5
"""How long readers in flight may finish after a signal; then the connection is cut and they get an error."""
WATCH_SECONDS = 2.0
"""How often the image's file is looked at."""

log = logging.getLogger("imagefs")


def ending_signals() -> list[signal.Signals]:
    """The signals that unmount: a terminal that is closed ends its mounts too, but not those under nohup."""
    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGTERM, signal.SIGINT, *hangup]


class Session(Protocol):
    """Who speaks to the kernel. `attach` raises OSError; `serve` returns when the mount is gone or told to end; `detach`
    takes away what is still mounted."""

    def attach(self) -> None: ...
    def serve(self, on_ready: Callable[[], None], pending: list[int]) -> None: ...
    def detach(self) -> None: ...


class Supervisor:
    """The tasks beside the serving. `pending` holds signals that came before trio listened."""

    def __init__(self, mount: Mount, image: Image, mountpoint: str, options: Options) -> None:
        self.mount, self.image, self.mountpoint, self.options = mount, image, mountpoint, options
        self._mounted_device = ""

    def attach(self) -> None:
        """Mount. Raises OSError."""
        self.connect()
        there = mountinfo.mounted_at(self.mountpoint)
        self._mounted_device = there.device if there else ""

    def connect(self) -> None:
        """Mount, in the way of the engine. Raises OSError."""
        raise NotImplementedError

    def invalidate(self) -> None:
        """Have the kernel forget the content that it keeps, so that what is read from now on is read anew."""

    async def wait_for_signals(self, pending: list[int], scope: trio.CancelScope) -> None:
        """The first signal unmounts and lets reads finish for a moment; the second ends at once."""
        import trio

        with trio.open_signal_receiver(*ending_signals()) as received:
            if not pending:
                await received.__anext__()
            notify("STOPPING=1")
            with trio.move_on_after(GRACE_SECONDS):
                await trio.to_thread.run_sync(self.detach, abandon_on_cancel=True)
                await received.__anext__()
        scope.cancel()

    def detach(self) -> None:
        """Lazily: nobody enters any more, who is in may finish.

        Wherever it is by now: a folder above may have a new name, and another mount may be at the old place.
        """
        known = mountinfo.all_mounts()
        topmost = {mount.mountpoint: mount for mount in known}
        for mount in reversed(known):
            if mount.device != self._mounted_device:
                continue
            if topmost[mount.mountpoint] is not mount:
                log.warning("cannot unmount %s: something else is mounted over it", mount.mountpoint)
                continue
            try:
                attach.detach(mount.mountpoint, lazy=True)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT):  # gone meanwhile
                    log.warning("cannot unmount %s: %s", mount.mountpoint, error.strerror)

    async def feed_watchdog(self) -> None:
        """A statvfs goes through the serving: a mount that hangs stops feeding."""
        import trio

        if seconds := watchdog_seconds():
            while True:
                try:
                    await trio.to_thread.run_sync(os.statvfs, self.mountpoint, abandon_on_cancel=True)
                except OSError as error:  # an answer all the same; who is in a detached mount is served on
                    log.debug("%s: %s", self.mountpoint, error)
                notify("WATCHDOG=1")
                await trio.sleep(seconds / 3)

    async def watch_image(self) -> None:
        """An image does not change under a mount; when its file does all the same, say so and stop trusting the mapping."""
        import trio

        while not self._has_changed():
            await trio.sleep(WATCH_SECONDS)
        log.warning("%s changed while it is mounted: unmount it and mount it again", self.image.path)
        for source in self.image.sources:
            source.distrust()
        self.mount.unmap()
        await trio.to_thread.run_sync(self.invalidate, abandon_on_cancel=True)

    def _has_changed(self) -> bool:
        try:
            return any(source.changed() for source in self.image.sources)
        except OSError as error:  # a file server that lost it, a device that is gone
            log.warning("%s: %s", self.image.path, error.strerror)
            return True
