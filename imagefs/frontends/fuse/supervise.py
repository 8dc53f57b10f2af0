"""What runs beside the serving in every mount: trio in the main thread owns signals, the watchdog and the watch over the
image's file. Both engines' sessions are built on it."""

from __future__ import annotations

import errno
import logging
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from imagefs.frontends.fuse import attach
from imagefs.frontends.fuse.mount import Mount
from imagefs.frontends.fuse.notify import notify, watchdog_seconds
from imagefs.image import Image
from imagefs.options import Options

if TYPE_CHECKING:
    import trio

GRACE_SECONDS = 0.7
"""How long readers in flight may finish after a signal; then the connection is cut and they get an error."""
WATCH_SECONDS = 2.0
"""How often the image's file is looked at."""

log = logging.getLogger("imagefs")


class Session(Protocol):
    """Who speaks to the kernel. `attach` raises OSError; `serve` returns when the mount is gone."""

    def attach(self) -> None: ...
    def serve(self, on_ready: Callable[[], None], pending: list[int]) -> None: ...


class Supervisor:
    """The tasks beside the serving. `pending` holds signals that came before trio listened."""

    def __init__(self, mount: Mount, image: Image, mountpoint: str, options: Options) -> None:
        self.mount, self.image, self.mountpoint, self.options = mount, image, mountpoint, options

    async def wait_for_signals(self, pending: list[int], scope: trio.CancelScope) -> None:
        """The first signal unmounts and lets reads finish for a moment; the second ends at once."""
        import trio

        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
            if not pending:
                await received.__anext__()
            notify("STOPPING=1")
            with trio.move_on_after(GRACE_SECONDS):
                await trio.to_thread.run_sync(self.detach, abandon_on_cancel=True)
                await received.__anext__()
        scope.cancel()

    def detach(self) -> None:
        """Lazily: nobody enters any more, who is in may finish. Gone already is fine: another mount may be there now."""
        try:
            attach.detach(self.mountpoint, lazy=True)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                log.warning("cannot unmount %s: %s", self.mountpoint, error.strerror)

    async def feed_watchdog(self) -> None:
        """A statvfs goes through the serving: a mount that hangs stops feeding."""
        import trio

        if seconds := watchdog_seconds():
            while True:
                await trio.to_thread.run_sync(os.statvfs, self.mountpoint, abandon_on_cancel=True)
                notify("WATCHDOG=1")
                await trio.sleep(seconds / 3)

    async def watch_image(self) -> None:
        """An image does not change under a mount; when its file does all the same, say so and stop trusting the mapping."""
        import trio

        while not any(source.changed() for source in self.image.sources):
            await trio.sleep(WATCH_SECONDS)
        log.warning("%s changed while it is mounted: unmount it and mount it again", self.image.path)
        for source in self.image.sources:
            source.distrust()
        self.mount.unmap()
