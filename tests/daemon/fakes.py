"""Stand-ins for the daemon's images, and a control server that runs beside the test."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import trio

from imagefs.daemon import places
from imagefs.daemon.config import Config
from imagefs.daemon.control import Control, serve_control
from imagefs.daemon.library import ImageStatus
from imagefs.daemon.metrics import Facts, Totals
from imagefs.daemon.reload import Reloader
from imagefs.errors import NotFoundError
from imagefs.options import Options


def image_status(
    name: str,
    path: str,
    state: str = "idle",
    error: str | None = None,
    container: str | None = None,
    opened_at: float | None = None,
    opens: int = 0,
    requests: int = 0,
    watched: bool = False,
) -> ImageStatus:
    return ImageStatus(name, path, state, error, container, opened_at, opens, requests, watched)


class FakeLibrary:
    """Images by name. `trouble` is what attaching raises, `waits` what status waits for."""

    def __init__(self) -> None:
        self.images: dict[str, ImageStatus] = {}
        self.options: dict[str, Options | None] = {}
        self.trouble: BaseException | None = None
        self.waits: threading.Event | None = None

    def attach(self, path: str, name: str | None = None, options: Options | None = None) -> str:
        if self.trouble is not None:
            raise self.trouble
        given = name or Path(path).name
        self.images[given] = image_status(given, path)
        self.options[given] = options
        return given

    def detach(self, name_or_path: str) -> None:
        for image in self.images.values():
            if name_or_path in (image.name, image.path):
                del self.images[image.name]
                return
        raise NotFoundError(f"no image {name_or_path!r} is attached")

    def status(self) -> list[ImageStatus]:
        if self.waits is not None:
            self.waits.wait(60)
        return list(self.images.values())

    def totals(self) -> Totals:
        return Totals(opens=7, failures=2, requests=1234)


class FakeTarget:
    """What a configuration was applied to: the calls, in order. Paths and names in `bad` fail with `error`."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.bad: set[str] = set()
        self.error: Exception = NotFoundError("it is not there")

    def attach(self, path: str, name: str | None, options: Options | None) -> str:
        self._call("attach", path, name, options)
        return name or Path(path).name

    def detach(self, name: str) -> None:
        self._call("detach", name)

    def watch(self, path: str, recursive: bool) -> None:
        self._call("watch", path, recursive)

    def unwatch(self, path: str) -> None:
        self._call("unwatch", path)

    def configure(self, config: Config) -> None:
        self._call("configure", config.idle_seconds, config.deadline_seconds, config.cache_bytes, config.options)

    def taken(self) -> list[tuple[Any, ...]]:
        """The calls since the last look."""
        calls, self.calls = self.calls, []
        return calls

    def _call(self, *words: Any) -> None:
        self.calls.append(words)
        if self.bad & set(words):
            raise self.error


STARTED = time.time() - 100


class Daemon(NamedTuple):
    """Everything behind one control socket."""

    socket: str
    library: FakeLibrary
    target: FakeTarget
    reloader: Reloader
    control: Control
    file: Path
    """The configuration."""


def make_daemon(folder: Path) -> Daemon:
    from imagefs.daemon.config import load

    file = folder / "imagefs.toml"
    file.write_text(f"root = '{folder}/root'\noptions = 'tree=rr'\n")
    library, target = FakeLibrary(), FakeTarget()
    reloader = Reloader(lambda: load(str(file)), target)
    reloader.start(load(str(file)))
    target.taken()
    control = Control(library, reloader, Facts(str(file), "none", STARTED))
    return Daemon(str(folder / "run" / "control.sock"), library, target, reloader, control, file)


@contextlib.contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    """The control served by trio in a thread, for as long as the block lasts."""
    listener = places.listen(daemon.socket)
    ready, scope = threading.Event(), trio.CancelScope()
    tokens: list[trio.lowlevel.TrioToken] = []

    async def main() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        with scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(serve_control, daemon.control, listener.socket)
                ready.set()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    try:
        assert ready.wait(10)
        yield daemon
    finally:
        if daemon.library.waits is not None:
            daemon.library.waits.set()
        tokens[0].run_sync_soon(scope.cancel)
        thread.join(10)
        listener.close()
        daemon.control.close()
    assert not thread.is_alive()
