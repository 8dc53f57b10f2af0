"""A confined daemon: the keeper mounts and waits, the worker serves any number of images with no right to anything else.

It is as with one image (`imagefs.frontends.fuse.separate`), but that images are opened all the time: the worker keeps the
right to read what only root may (CAP_DAC_READ_SEARCH) and to ask whether somebody writes to it (CAP_LEASE), and Landlock
keeps both to the folders that the configuration names. What the worker cannot do itself it tells the keeper:

`notify`   that it reloads, or has done so: the service manager listens to the keeper alone
`images`   how many there are, for the service manager
`look`     to look up a name in the root, where a mount of root's lets nobody else in
"""

import contextlib
import logging
import os
import queue
import signal
import threading
import time
from _thread import interrupt_main
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from imagefs.confine import account_of, close_inherited, let_in, places_of
from imagefs.daemon.config import Config
from imagefs.daemon.places import Listener
from imagefs.daemon.starting import begin_to_listen, listen_or_warn, prepare_root, source_of
from imagefs.errors import ConfinedError
from imagefs.frontends.fuse import attach, mountinfo
from imagefs.frontends.fuse.keeper import Keeper, Line, WorkerEnded, ending_signals
from imagefs.frontends.fuse.notify import notify, speak_through, watchdog_seconds
from imagefs.frontends.fuse.separate import feed_watchdog
from imagefs.frontends.fuse.session import prepared, remove_folder
from imagefs.limits import NAME_BYTES

if TYPE_CHECKING:
    from imagefs.daemon.daemon import Daemon

MOST_LOOKS = 64
"""Names that may wait to be looked up; more are not."""
CALLS = ("accept4", "inotify_add_watch", "inotify_rm_watch")
"""System calls that a daemon takes beyond those of a mount."""
OF_ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf")
"""What the names of users in a configuration that is read again are looked up in."""

log = logging.getLogger("imagefs")


class Reach:
    """The places below which a confined daemon may read: what was there when it was confined."""

    def __init__(self, places: Iterable[str]) -> None:
        self._places = [os.path.realpath(place) for place in places]

    def check(self, path: str) -> None:
        """Raises ConfinedError, which names the remedy, for a path that lies, or leads, elsewhere."""
        real = os.path.realpath(path)
        if not any(real == place or real.startswith(place.rstrip("/") + "/") for place in self._places):
            folder = real if os.path.isdir(real) else os.path.dirname(real)
            raise ConfinedError(
                f"the sandbox keeps the daemon out of {folder}: name that folder in watch or allow of its configuration "
                "and start it again, or serve with --no-sandbox"
            )


class ConfinedDaemon:
    """`imagefs serve` in two processes."""

    def __init__(self, config: Config, load: Callable[[], Config], config_path: str | None) -> None:
        self._config, self._load, self._config_path = config, load, config_path
        self._account = account_of(config.options.run_as)
        self._root = ""
        self._listener: Listener | None = None
        self._images = 0
        self._looks: queue.Queue[str] = queue.Queue(MOST_LOOKS)

    # --- the keeper -------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Mount, and wait for the end; the exit status. Raises ImageError, OSError."""
        pending = begin_to_listen()
        os.environ.setdefault("HOME", os.path.expanduser("~"))  # ~ is whose daemon it is, whomever the worker becomes
        config = self._config
        with contextlib.ExitStack() as undo:
            self._root, is_new = prepare_root(config.root or "")
            if is_new:
                undo.callback(remove_folder, self._root)
            self._listener = listen_or_warn(config.socket)
            if self._listener is not None:
                undo.callback(self._listener.close)
            words = {b"notify": self._hand_on, b"images": self._count, b"look": self._look_up}
            keeper = Keeper("the process that reads the images", words)
            undo.callback(keeper.close)
            keeper.start(self._work)
            if self._listener is not None:
                self._listener.socket.close()
            try:
                keeper.wait_until_opened()
            except WorkerEnded:
                if not pending:
                    raise
                return 0  # the service manager, or a terminal, tells all processes at once
            with prepared(self._root) as place:
                device = attach.attach(source_of(config, self._config_path, place), place, config.options)
                there = mountinfo.mounted_at(place)
            undo.callback(lambda: None if keeper.is_gone else attach.detach_wherever(there))
            keeper.give([device, *attach.more_devices(config.options.threads - 1)])
            signal.signal(signal.SIGHUP, lambda number, frame: keeper.tell())

            def unmount() -> None:
                notify("STOPPING=1")
                attach.detach_wherever(there)

            keeper.wait_until_ended(pending, unmount, self._be_live)
        return 0

    def _be_live(self) -> None:
        notify(f"READY=1\nSTATUS=serving {self._images} images")
        threading.Thread(target=self._look, name="look", daemon=True).start()
        if watchdog_seconds():
            threading.Thread(target=feed_watchdog, args=(self._root,), daemon=True).start()

    def _hand_on(self, text: str) -> None:
        """Of what the worker may have the service manager hear, nothing is taken word by word."""
        if text.startswith("RELOADING=1\n"):
            notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        elif text == "READY=1":
            notify("READY=1")

    def _count(self, text: str) -> None:
        if text.isascii() and text.isdigit():
            self._images = int(text[:9])

    def _look_up(self, name: str) -> None:
        if "/" not in name and "\0" not in name and 0 < len(os.fsencode(name)) <= NAME_BYTES:
            with contextlib.suppress(queue.Full):
                self._looks.put_nowait(name)

    def _look(self) -> None:
        """In a thread of its own: who answers is the worker."""
        while True:
            name = self._looks.get()
            with contextlib.suppress(OSError):
                os.lstat(os.path.join(self._root, name))

    # --- the worker -------------------------------------------------------------------------------------------------

    def _work(self, line: Line) -> None:
        """Serve. Everything is imported and made before it is confined; every image is looked at afterwards."""
        import trio

        from imagefs import confine
        from imagefs.daemon.daemon import Daemon, raise_limits
        from imagefs.daemon.metrics import Facts
        from imagefs.formats import all_formats

        close_inherited({line.number, *([self._listener.socket.fileno()] if self._listener else [])})
        keeper, owner = os.getppid(), (os.geteuid(), os.getegid())
        os.setsid()  # away from the terminal
        list(all_formats())
        raise_limits()
        daemon = Daemon(self._config, self._load, self._root)
        places = [place for place in self._places() if os.path.exists(place)]
        for place in places:
            self._account = let_in(self._account, place)
        if not confine.become(self._account, [confine.CAP_DAC_READ_SEARCH, confine.CAP_LEASE]):
            log.info("this process may not become nobody: it serves as who it is")
        confine.end_with_parent(signal.SIGKILL, keeper)
        held = confine.confine([*places, *OF_ACCOUNTS], calls=(*CALLS, confine.LEASES))
        if held.landlock:
            daemon.library.check_reach = Reach(places).check
        speak_through(partial(line.say, b"notify"))
        daemon.start(self._config)
        devices = line.opened()
        if not devices:
            return
        line.hand_on_signals(ending_signals())
        facts = Facts(self._config_path, held.words, time.time())
        daemon.serve_on(
            devices,
            owner,
            on_ready=partial(self._tell_live, line, daemon),
            look=lambda name: line.say(b"look", os.fsdecode(name)),
        )
        trio.run(daemon.run, None, self._listener, facts, owner[0])
        line.ended()

    def _tell_live(self, line: Line, daemon: "Daemon") -> None:
        line.say(b"images", str(len(daemon.library.status())))
        line.live()
        line.leave_with_keeper(partial(interrupt_main, signal.SIGHUP))

    def _places(self) -> list[str]:
        """What may be read: the watched folders, those of the configured images, and that of the configuration."""
        config = self._config
        files = [image.path for image in config.images] + ([self._config_path] if self._config_path is not None else [])
        folders = [place for path in files for place in places_of(path) or [os.path.dirname(path)]]
        return [*(watch.path for watch in config.watch), *folders, *config.allow]
