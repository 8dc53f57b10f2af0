"""What runs beside the serving in every mount: trio in the main thread owns signals, the watchdog and the watch over the
image's file. Both engines' sessions are built on it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from imagefs.frontends.fuse import attach, mountinfo
from imagefs.frontends.fuse.keeper import GRACE_SECONDS, ending_signals
from imagefs.frontends.fuse.notify import notify, show_life, watchdog_seconds
from imagefs.frontends.fuse.threads import in_thread

if TYPE_CHECKING:
    import trio

    from imagefs.frontends.fuse.mount import Mount
    from imagefs.frontends.fuse.mountinfo import MountInfo
    from imagefs.image import Image
    from imagefs.options import Options

WATCH_SECONDS = 2.0
"""How often the image's file is looked at."""

log = logging.getLogger("imagefs")


async def unmount_on_signal(
    signals: Iterable[int], pending: list[int], detach: Callable[[], object], scope: trio.CancelScope
) -> None:
    """The first signal unmounts and lets reads finish for a moment; the second ends at once. `pending` came before."""
    import trio

    with trio.open_signal_receiver(*signals) as received:
        if not pending:
            await received.__anext__()
        notify("STOPPING=1")
        with trio.move_on_after(GRACE_SECONDS):
            await in_thread(detach)
            await received.__anext__()
    scope.cancel()


async def feed_watchdog(place: str) -> None:
    """Feed the service manager's watchdog, beside the serving."""
    import trio

    if seconds := watchdog_seconds():
        while True:
            await in_thread(show_life, place)
            await trio.sleep(seconds / 3)


class Supervisor:
    """Who speaks to the kernel, and the tasks beside that.

    `attach` mounts, `serve` returns when the mount is gone or told to end, `detach` takes away what is still mounted.
    `pending` holds signals that came before trio listened.
    """

    def __init__(self, mount: Mount, image: Image, mountpoint: str, options: Options) -> None:
        self.mount, self.image, self.mountpoint, self.options = mount, image, mountpoint, options
        self._mounted: MountInfo | None = None
        self.devices: Sequence[int] = ()
        """Descriptors of /dev/fuse, the first of which is mounted, where a keeper did that: it is he who unmounts, listens
        to signals and feeds the watchdog."""
        self.private: Sequence[int] = ()
        """Further descriptors that no helper process may hold."""
        self.on_settled: Callable[[], object] = lambda: None
        """Called by `serve` when it has made the processes that it wants, and no thread."""

    def attach(self) -> None:
        """Mount, or take over what a keeper has mounted. Raises OSError."""
        self.connect()
        if not self.devices:
            self._mounted = mountinfo.mounted_at(self.mountpoint)

    def connect(self) -> None:
        """Mount, in the way of the engine. Raises OSError."""
        raise NotImplementedError

    def serve(self, on_ready: Callable[[], None], pending: list[int]) -> None:
        """Serve until unmounted or told to end, in the way of the engine."""
        raise NotImplementedError

    def invalidate(self) -> None:
        """Have the kernel forget the content that it keeps, so that what is read from now on is read anew."""

    async def wait_for_signals(self, pending: list[int], scope: trio.CancelScope) -> None:
        """The first signal unmounts and lets reads finish for a moment; the second ends at once."""
        if not self.devices:
            await unmount_on_signal(ending_signals(), pending, self.detach, scope)

    def detach(self) -> None:
        """Lazily, wherever it is by now."""
        attach.detach_wherever(self._mounted)

    async def feed_watchdog(self) -> None:
        """Feed the service manager's watchdog, unless a keeper does."""
        if not self.devices:
            await feed_watchdog(self.mountpoint)

    async def watch_image(self) -> None:
        """An image does not change under a mount; when its file does all the same, say so and stop trusting the mapping."""
        import trio

        while not self.has_changed():
            await trio.sleep(WATCH_SECONDS)
        self.distrust()
        await in_thread(self.invalidate)

    def distrust(self) -> None:
        """Stop trusting the mapping of a file that has changed, and say so."""
        log.warning("%s changed while it is mounted: unmount it and mount it again", self.image.path)
        for source in self.image.sources:
            source.distrust()
        self.mount.unmap()

    def has_changed(self) -> bool:
        """Whether a file of the image is another now, or cannot be looked at."""
        try:
            return any(source.changed() for source in self.image.sources)
        except OSError as error:  # a file server that lost it, a device that is gone
            log.warning("%s: %s", self.image.path, error.strerror)
            return True
