"""A confined mount: the keeper mounts and waits, the worker reads the image with no right to anything else.

Started by root, the worker is the user of `run_as`, or nobody, and has root's right to read until the image is open. In the
background a third process, the command itself, waits until the mount is live and passes on what the worker failed with:

    imagefs mount ─ fork ─ keeper ─ fork ─ worker: be nobody, confine itself, open the image, parse its root
                             mount, remember   ◄── opened ──
                             where it is       ── descriptors ──►   serve
    exit status 0  ◄─ live ─ ◄── live ──
"""

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from types import FrameType

from imagefs.confine import Account, account_of, close_inherited, let_in, named_by, places_of
from imagefs.frontends.fuse import attach, mountinfo
from imagefs.frontends.fuse.keeper import (
    MESSAGE_BYTES,
    Keeper,
    Line,
    LineLog,
    ending_signals,
    listen_no_more,
    listen_to_none,
    pack_error,
    unpack_error,
)
from imagefs.frontends.fuse.notify import notify, show_life, watchdog_seconds
from imagefs.frontends.fuse.session import (
    go_live,
    keep_signals,
    leave_terminal,
    make_mountpoint,
    prepared,
    remove_folder,
    settle_memory,
    tell_place,
)
from imagefs.options import Options

log = logging.getLogger("imagefs")


class ConfinedMount:
    """What is to be mounted, where and how. `foreground` keeps it on the terminal; `remove`: the mount point goes, too."""

    def __init__(
        self,
        path: str,
        mountpoint: str | None,
        options: Options,
        *,
        foreground: bool,
        cache_bytes: int | None,
        remove: bool = False,
    ) -> None:
        self.path, self.mountpoint, self.options = path, mountpoint, options
        self.foreground, self.cache_bytes, self.remove = foreground, cache_bytes, remove
        self.account: Account | None = account_of(options.run_as)
        self._tell = -1

    def run(self) -> int:
        """Mount; the exit status, once the mount is live, or has ended in the foreground. Raises ImageError, OSError."""
        if self.foreground:
            self._keep()
            return 0
        return self._run_in_background()

    def check(self) -> None:
        """Open the image as a mount would, confined, and mount nothing. Raises ImageError, OSError."""
        with contextlib.closing(Keeper()) as keeper:
            keeper.start(self._work)
            gc.enable()
            keeper.wait_until_opened()

    # --- the command, for a mount in the background -----------------------------------------------------------------

    def _run_in_background(self) -> int:
        if sys.stdout is not None:
            sys.stdout.flush()
        told, self._tell = os.pipe()
        parent, child = os.getpid(), os.fork()
        if not child:
            os.close(told)
            self._be_keeper(parent)
        os.close(self._tell)
        pending = _hand_on_signals(child)
        with open(told, "rb", buffering=0) as pipe:
            said = pipe.read(MESSAGE_BYTES)
        if said == b"1":
            listen_no_more()
            if not pending:
                return 0
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if pending:
            return 128 + pending[0]
        if said and said != b"1":
            raise unpack_error(said)
        return 128 - status if status < 0 else status or 70

    def _be_keeper(self, parent: int) -> None:
        """In the keeper: keep the mount until it ends. Never returns."""
        from imagefs.confine import end_with_parent

        status = 70
        try:
            listen_to_none()
            end_with_parent(signal.SIGTERM, parent)
            close_inherited({self._tell, *named_by(self.path)})
            status = self._keep()
        except Exception as error:
            if self._tell < 0:  # nobody reads from the command any more
                log.exception("%s: the mount ended", self.path)
            else:
                with contextlib.suppress(OSError):
                    os.write(self._tell, pack_error(error))
        finally:
            os._exit(status)

    # --- the keeper -------------------------------------------------------------------------------------------------

    def _keep(self) -> int:
        """Mount and wait for the end; 128 + N when signal N came before the mount was live. Raises ImageError, OSError."""
        with contextlib.ExitStack() as undo:
            keeper = Keeper()
            undo.callback(keeper.close)
            keeper.start(self._work)
            keeper.wait_until_opened()
            pending = keep_signals(ending_signals())  # from here on, what was begun is undone
            made = None
            if self.mountpoint is None:
                self.mountpoint = made = make_mountpoint(self.path)
            if made or self.remove:
                undo.callback(remove_folder, os.path.abspath(self.mountpoint))
            with prepared(self.mountpoint) as place:
                device = attach.attach(self.path, place, self.options)
                there = mountinfo.mounted_at(place)
            undo.callback(lambda: None if keeper.is_gone else attach.detach_wherever(there))
            keeper.give([device, *attach.more_devices(self.options.threads - 1)])
            if made is not None:
                tell_place(made)
            if not self.foreground:
                os.setsid()  # not before the mount is there (autofs)
                os.chdir("/")

            def unmount() -> None:
                notify("STOPPING=1")
                attach.detach_wherever(there)

            keeper.wait_until_ended(pending, unmount, lambda: self._be_live(place))
        return 128 + pending[0] if pending and self._tell >= 0 else 0

    def _be_live(self, place: str) -> None:
        notify("READY=1\nSTATUS=serving")
        if watchdog_seconds():
            threading.Thread(target=feed_watchdog, args=(place,), daemon=True).start()
        if self._tell >= 0:
            from imagefs.confine import outlive_parent

            outlive_parent()
            go_live(self._tell)
            self._tell = -1

    # --- the worker -------------------------------------------------------------------------------------------------

    def _work(self, line: Line) -> None:
        """Open the image and serve it. Everything is imported before it is confined, everything is read afterwards."""
        from imagefs import confine, packed
        from imagefs.formats import all_formats
        from imagefs.frontends.fuse import session
        from imagefs.frontends.fuse.mount import Mount
        from imagefs.image import open_image

        close_inherited({line.number, *named_by(self.path)})
        if self.cache_bytes is not None:
            from imagefs.cache import configure

            configure(self.cache_bytes)
        keeper = os.getppid()
        os.setsid()  # away from the terminal; all that may be made here ends together
        null = os.open(os.devnull, os.O_RDWR)
        make_session = session.session_of(self.options)
        list(all_formats())
        owner = os.geteuid(), os.getegid()
        places = places_of(self.path)
        self.account = let_in(self.account, self.path)
        out_of_reach = confine.preload(self.account)
        if not confine.become(self.account, [confine.CAP_DAC_READ_SEARCH]):
            log.info("this process may not become nobody: it serves as who it is, without capabilities")
        confine.end_with_parent(signal.SIGKILL, keeper)
        confine.confine(places, calls=confine.PROCESSES)
        with open_image(self.path, self.options) as image:
            tree = image.tree
            tree.entries(tree.root)  # an image whose root cannot be read is refused, not mounted
            for warning in image.warnings:
                log.warning("%s: warning: %s", self.path, warning)
            served = make_session(Mount(tree, self.options, owner), image, "", self.options)
            if out_of_reach and packed.in_use():
                confine.preload_decoders()
            confine.keep_capabilities(())
            if not self.foreground:
                os.chdir("/")
            served.devices, served.private, served.on_settled = line.opened(), [line.number], confine.forbid_processes
            if not served.devices:
                return
            line.hand_on_signals(ending_signals())

            def ready() -> None:
                if not self.foreground:
                    leave_terminal(null, LineLog(line))
                line.live()
                line.leave_with_keeper()

            settle_memory()
            served.attach()
            served.serve(ready, [])
            line.ended()


def _hand_on_signals(child: int) -> list[int]:
    """Have the signals that unmount reach a child as well; where those that came are put."""
    pending: list[int] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        pending.append(number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in ending_signals():
        signal.signal(number, hand_on)
    return pending


def feed_watchdog(place: str) -> None:
    """Feed the service manager's watchdog for ever, in a thread of a process that serves nothing."""
    while True:
        show_life(place)
        time.sleep(watchdog_seconds() / 3)
