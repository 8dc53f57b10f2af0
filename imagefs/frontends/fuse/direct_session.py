"""The direct engine's session: serving threads beside trio, which is imported when the mount already answers."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable

from imagefs.frontends.fuse import attach
from imagefs.frontends.fuse.direct import DirectEngine
from imagefs.frontends.fuse.supervise import Supervisor

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
    _engine: DirectEngine

    def connect(self) -> None:
        """Mount, and keep the descriptor. Raises OSError."""
        self.device = attach.attach(self.image.path, self.mountpoint, self.options)

    def serve(self, on_ready: Callable[[], None], pending: list[int]) -> None:
        """Serve until unmounted or told to end."""
        engine = DirectEngine(self.mount, self.device, threads=self.options.threads, on_ready=on_ready)
        engine.start()
        _wait_for_calm(engine, pending)
        import trio

        self._engine = engine
        trio.run(self._supervise, engine, pending)

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
