"""What serves in `imagefs serve`: one process, one FUSE session, any number of images as folders under one root.

trio owns the main thread: signals, the watched folders, the control socket, what is done from time to time, the service
manager. Serving threads answer the kernel, workers ask the images (`imagefs.daemon.serving`). The folders are listed before
the mount is there, so that who looks into it sees all images at once.
"""

import contextlib
import gc
import logging
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import trio

from imagefs import cache
from imagefs.daemon.config import Config
from imagefs.daemon.control import Control, reload_on_hangup, serve_control
from imagefs.daemon.library import Library
from imagefs.daemon.metrics import Facts, Process
from imagefs.daemon.places import Listener
from imagefs.daemon.reload import Reloader
from imagefs.daemon.serving import LibraryEngine, LibraryMount
from imagefs.daemon.starting import ENDING, begin_to_listen, listen_or_warn, prepare_root, source_of
from imagefs.daemon.watching import Watcher
from imagefs.daemon.workers import Pool
from imagefs.errors import message_of
from imagefs.formats import all_formats
from imagefs.frontends.fuse import attach, heap, mountinfo
from imagefs.frontends.fuse.notify import notify
from imagefs.frontends.fuse.session import remove_folder, settle_memory
from imagefs.frontends.fuse.supervise import feed_watchdog, unmount_on_signal
from imagefs.frontends.fuse.threads import in_thread
from imagefs.options import Options

SWEEP_SECONDS, CHECK_SECONDS = 1.0, 2.0
"""How often idle images are looked for, and how often the files of open ones are looked at."""
COLLECT_SECONDS, COLLECT_CLOSINGS = 10.0, 32
"""How often it is seen whether so many images were closed that their remains are worth a collection."""
SWITCH_SECONDS = 0.001
"""How long one thread may keep the interpreter from the others: a decoder that computes delays every answer by this."""
DESCRIPTORS = 1 << 16
"""What is asked for where the limit of descriptors can be raised: an open image has as many as it has files."""

GATHER_SECONDS = 0.02
"""How long is waited for what happens together in a watched folder."""
T = TypeVar("T")

log = logging.getLogger("imagefs")


def serve_in_one_process(config: Config, load: Callable[[], Config], config_path: str | None) -> int:
    """Serve without confinement: who parses also unmounts. Raises ImageError and OSError for what is wrong at the start."""
    pending = begin_to_listen()
    with contextlib.ExitStack() as undo:
        place, is_new = prepare_root(config.root or "")
        if is_new:
            undo.callback(remove_folder, place)
        listener = listen_or_warn(config.socket)
        if listener is not None:
            undo.callback(listener.close)
        daemon = Daemon(config, load, place)
        daemon.start(config)
        undo.callback(daemon.unmount)
        daemon.mount(source_of(config, config_path, place))
        raise_limits()
        trio.run(daemon.run, pending, listener, Facts(config_path, "off", time.time()), os.geteuid())
    return 0


class Daemon:
    """Everything that serves, put together. It is what a configuration is applied to (`imagefs.daemon.reload.Target`)."""

    def __init__(self, config: Config, load: Callable[[], Config], root: str) -> None:
        self.options, self.root = config.options, root
        self.library = Library(config.options)
        self.library.forbidden = root
        self.watcher = Watcher(self.library)
        self.pool = Pool(config.deadline_seconds, self.library.hang)
        self.library.stuck = self.pool.stuck
        self.reloader = Reloader(load, self)
        self.process = Process()
        self._engine: LibraryEngine | None = None
        self._mounted: mountinfo.MountInfo | None = None
        self._collected = 0

    def start(self, config: Config) -> None:
        """Apply the first configuration: folders are listed, nothing is opened."""
        list(all_formats())
        outcome = self.reloader.start(config)
        for about, error in outcome.failed:
            log.warning("%s: %s", about, message_of(error))

    # --- what a configuration is applied to -------------------------------------------------------------------------

    def attach(self, path: str, name: str | None, options: Options | None) -> str:
        return self.library.attach(path, name, options)

    def detach(self, name: str) -> None:
        self.library.detach(name)

    def watch(self, path: str, recursive: bool) -> None:
        self.watcher.watch(path, recursive)

    def unwatch(self, path: str) -> None:
        self.watcher.unwatch(path)

    def configure(self, config: Config) -> None:
        self.library.options = config.options
        self.library.idle_seconds = config.idle_seconds
        self.library.deadline_seconds = self.pool.deadline_seconds = config.deadline_seconds
        cache.configure(config.cache_bytes)

    # --- the mount --------------------------------------------------------------------------------------------------

    def mount(self, source: str) -> None:
        """Mount; `source` is what the system shows as its source. Raises OSError."""
        device = attach.attach(source, self.root, self.options)
        self._mounted = mountinfo.mounted_at(self.root)
        self.serve_on([device], (os.geteuid(), os.getegid()), on_ready=self._say_ready, look=self._look)

    def serve_on(
        self,
        devices: Sequence[int],
        owner: tuple[int, int],
        *,
        on_ready: Callable[[], None],
        look: Callable[[bytes], None],
    ) -> None:
        """Serve what is mounted on the first of these descriptors of /dev/fuse, as soon as `run` runs.

        `owner` is whose files are shown as, and `look` asks the kernel for what stands in the root under a name.
        """
        mount = LibraryMount(self.library, self.options, owner)
        self._engine = LibraryEngine(
            mount,
            devices[0],
            pool=self.pool,
            look=look,
            threads=self.options.threads,
            on_ready=on_ready,
            spares=devices[1:],
        )
        self.library.kernel = self._engine

    def unmount(self) -> None:
        """Lazily: nobody enters any more, who is in may finish."""
        attach.detach_wherever(self._mounted)

    def _look(self, name: bytes) -> None:
        with contextlib.suppress(OSError):
            os.lstat(os.path.join(os.fsencode(self.root), name))

    def _say_ready(self) -> None:
        notify(f"READY=1\nSTATUS=serving {len(self.library.status())} images")

    # --- beside the serving -----------------------------------------------------------------------------------------

    async def run(self, pending: list[int] | None, listener: Listener | None, facts: Facts, user: int) -> None:
        """Serve until unmounted or told to end. `user`, and root, may ask on the control socket.

        `pending` holds signals that came before; None: another process listens for them, and feeds the watchdog.
        """
        engine = self._engine
        assert engine is not None
        ended, token = trio.Event(), trio.lowlevel.current_trio_token()

        def tell() -> None:
            with contextlib.suppress(trio.RunFinishedError):  # by the other serving thread, a moment before
                token.run_sync_soon(ended.set)

        engine.when_ended(tell)
        settle_memory()
        sys.setswitchinterval(SWITCH_SECONDS)
        async with trio.open_nursery() as nursery:
            if pending is not None:
                nursery.start_soon(unmount_on_signal, ENDING, pending, self.unmount, nursery.cancel_scope)
                nursery.start_soon(feed_watchdog, self.root)
            await nursery.start(reload_on_hangup, self.reloader)
            engine.start()
            nursery.start_soon(self._watch_folders)
            nursery.start_soon(self._repeat, self.library.sweep, SWEEP_SECONDS)
            nursery.start_soon(self._repeat, self._check_images, CHECK_SECONDS)
            nursery.start_soon(self._repeat, self._collect_garbage, COLLECT_SECONDS)
            if listener is not None:
                control = Control(self.library, self.reloader, facts, self.process)
                nursery.start_soon(serve_control, control, listener.socket, user)
            await ended.wait()
            nursery.cancel_scope.cancel()

    async def _watch_folders(self) -> None:
        while True:
            with trio.move_on_after(self.watcher.wait() or math.inf):
                await trio.lowlevel.wait_readable(self.watcher)
            await trio.sleep(GATHER_SECONDS)  # few things happen alone
            pause = await _in_thread(self.watcher.work)
            await trio.sleep(GATHER_SECONDS if pause is None else pause)

    async def _repeat(self, call: Callable[[], None], seconds: float) -> None:
        while True:
            await trio.sleep(seconds)
            await _in_thread(call)

    def _collect_garbage(self) -> None:
        """What closed images leave: by itself the interpreter would hardly ever look at what is that old."""
        if self.library.closings - self._collected >= COLLECT_CLOSINGS:
            self._collected = self.library.closings
            gc.collect()
            heap.trim()

    def _check_images(self) -> None:
        """Have the workers look at the files of the images that are open: that may take long on a file server."""
        for slot in self.library.open_slots():
            self.pool.submit(slot, partial(self.library.check, slot))


async def _in_thread(call: Callable[[], T]) -> T | None:
    """What `call` returns, called in a thread; None when it fails: that is logged, and ends nothing else."""
    try:
        return await in_thread(call)
    except Exception:
        log.exception("%s failed unexpectedly", call)
        return None


def raise_limits() -> None:
    """Allow as many descriptors as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
