"""How `imagefs serve` begins: what is checked and made before anything serves, confined (`imagefs.daemon.confined`) or not
(`imagefs.daemon.daemon`). trio is not imported here: the process that keeps a confined daemon's mount needs none."""

import logging
import os
import signal
from collections.abc import Callable

from imagefs.daemon.config import Config
from imagefs.daemon.places import Listener, listen
from imagefs.errors import NotFoundError, UnsupportedError, UsageError, message_of
from imagefs.frontends.fuse.session import keep_signals, prepare

ENDING = (signal.SIGTERM, signal.SIGINT)
"""The signals that end a daemon; a hangup has it read its configuration again."""

log = logging.getLogger("imagefs")


def serve(load: Callable[[], Config], config_path: str | None = None) -> int:
    """Serve until unmounted or told to end; the exit status. `load` reads the configuration, also when it is read again.

    Raises ImageError and OSError for what is wrong at the start.
    """
    config = load()
    if config.root is None:
        raise UsageError("the folder under which the images shall appear is missing: imagefs serve ROOT")
    if config.options.engine != "direct":
        raise UnsupportedError("the daemon speaks to the kernel by engine=direct alone")
    if is_confined(config):
        from imagefs.daemon.confined import ConfinedDaemon

        return ConfinedDaemon(config, load, config_path).run()
    if config.options.run_as is not None:
        raise UsageError("run_as is for a confined daemon, and no sandbox was asked for")
    from imagefs.daemon.daemon import serve_in_one_process

    return serve_in_one_process(config, load, config_path)


def is_confined(config: Config) -> bool:
    """Whether a sandbox is wanted; the option goes before the key."""
    return config.sandbox if config.options.sandbox is None else config.options.sandbox


def begin_to_listen() -> list[int]:
    """Put the signals that end by until somebody listens; where they are put. A lease that is broken ends nothing."""
    for number in (signal.SIGHUP, signal.SIGIO):
        signal.signal(number, signal.SIG_IGN)
    return keep_signals(ENDING)


def prepare_root(root: str) -> tuple[str, bool]:
    """The root's path without links, and whether it was made. Raises UsageError, OSError."""
    is_new = False
    try:
        place = prepare(root)
    except NotFoundError:
        os.makedirs(root)
        is_new = True
        place = prepare(root)
    if os.listdir(place):
        raise UsageError(f"the folder {place} is not empty; choose another, which will be made, or an empty one")
    return place, is_new


def listen_or_warn(path: str | None) -> Listener | None:
    """The control socket; None where another daemon has the usual place."""
    try:
        return listen(path)
    except OSError as error:
        if path is not None:
            raise
        log.warning("no control socket: %s", message_of(error))
        return None


def source_of(config: Config, config_path: str | None, root: str) -> str:
    """What the system shows as the source of the mount."""
    return next((watch.path for watch in config.watch), config_path or root)
