"""The direct engine's session: serving threads beside trio, which is imported when the mount already answers.

Where a keeper has the right to unmount, signals and the watchdog are his, and what is left needs no trio.
"""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from collections.abc import Callable

from imagefs import helpers
from imagefs.frontends.fuse import attach
from imagefs.frontends.fuse.direct import DirectEngine
from imagefs.frontends.fuse.supervise import WATCH_SECONDS, Supervisor
from imagefs.readahead import helpers_wanted

START_SECONDS, LOOK_SECONDS = 3.0, 0.05
BUSY_SHARE, BUSY_SWITCHES = 0.1, 10
"""trio is imported when less than a tenth of a look's time was spent serving and few requests came, or at last after
START_SECONDS. A thread that waits for requests or for the disk takes no time, but gives the processor away each time."""


def _wait_for_calm(engine: DirectEngine, pending: list[int]) -> None:
    """Until whoever mounted has had his first look: an import takes 0.1 s of the interpreter that serves him, and more of
    a disk that he reads from."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and not pending:
        spent, switches = time.process_time(), _switches()
        if engine.wait_until_ended(LOOK_SECONDS):
            return
        if time.process_time() - spent < LOOK_SECONDS * BUSY_SHARE and _switches() - switches < BUSY_SWITCHES:
            return


def _switches() -> int:
    """How often threads of this process have waited for something."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


class DirectSession(Supervisor):
    """Mounts and serves with the direct engine."""

    device = -1
    _spares: list[int]
    _engine: DirectEngine

    def connect(self) -> None:
        """Mount, and keep the descriptor. Raises OSError."""
        self.device, *self._spares = self.devices or [attach.attach(self.image.path, self.mountpoint, self.options)]

    def serve(self, on_ready: Callable[[], None], pending: list[int]) -> None:
        """Serve until unmounted or told to end."""
        helpers.start(helpers_wanted(), forget=[self.device, *self._spares, *self.private])
        self.on_settled()
        threads = self.options.threads
        engine = DirectEngine(self.mount, self.device, threads=threads, on_ready=on_ready, spares=self._spares)
        self._engine = engine
        engine.start()
        try:
            if self.devices:
                self._watch(engine)
                return
            _wait_for_calm(engine, pending)
            import trio

            trio.run(self._supervise, engine, pending)
        finally:
            helpers.stop()

    def _watch(self, engine: DirectEngine) -> None:
        """Look at the image's file from time to time until the mount is gone."""
        is_trusted = True
        while not engine.wait_until_ended(WATCH_SECONDS):
            if is_trusted and self.has_changed():
                is_trusted = False
                self.distrust()
                threading.Thread(target=self.invalidate, name="invalidate", daemon=True).start()  # may wait for readers

    def invalidate(self) -> None:
        self._engine.invalidate()

    async def _supervise(self, engine: DirectEngine, pending: list[int]) -> None:
        import trio

        ended = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def tell() -> None:
            with contextlib.suppress(trio.RunFinishedError):  # by the other serving thread, a moment before
                token.run_sync_soon(ended.set)

        engine.when_ended(tell)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.wait_for_signals, pending, nursery.cancel_scope)
            nursery.start_soon(self.feed_watchdog)
            nursery.start_soon(self.watch_image)
            await ended.wait()
            nursery.cancel_scope.cancel()
