"""Bringing a running daemon from one configuration to the next, without touching what both have.

What a file no longer names is taken away first, then the settings change, then what is new comes. One image or folder that
fails stops nothing else, and is tried again by the next reload.
"""

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Protocol

from imagefs.daemon.config import Attached, Config, Watch
from imagefs.errors import ImageError, NotFoundError
from imagefs.options import OF_THE_MOUNT, Options

AT_START = ("root", "socket", "sandbox", "allow")
"""What is settled when the daemon starts, beside the options of the mount."""


class Target(Protocol):
    """What a configuration is applied to. Called in any thread, by one at a time. Raises ImageError and OSError."""

    def attach(self, path: str, name: str | None, options: Options | None) -> str:
        """Show an image; the name that it got."""

    def detach(self, name: str) -> None:
        """Show it no longer."""

    def watch(self, path: str, recursive: bool) -> None:
        """Show the images in a folder, those that are there and those that come."""

    def unwatch(self, path: str) -> None:
        """Show no longer what only this folder brought."""

    def configure(self, config: Config) -> None:
        """Take over the seconds, the size of the cache, and the options of images that are opened from now on."""


class Outcome(NamedTuple):
    """What came of a configuration, a line for each thing."""

    done: list[str]
    restart: list[str]
    """What the file says and only a restart can do."""
    failed: list[tuple[str, ImageError | OSError]]
    """What could not be done: with which image or folder, and why."""


class Reloader:
    """The configuration in force, and how the next one comes into force.

    `load` reads the file and puts over it what the command line said, so that the command line wins at a reload too.
    Both methods may be called in any thread.
    """

    def __init__(self, load: Callable[[], Config], target: Target) -> None:
        self._load, self._target = load, target
        self._lock = threading.Lock()
        self._names: dict[Attached, str] = {}  # what a configuration attached, by the name that it got
        self.config = Config()

    def start(self, config: Config) -> Outcome:
        """Apply the configuration that the daemon was started with, all of it."""
        with self._lock:
            self.config = replace(config, watch=(), images=())
            outcome = Outcome([], [], [])
            self._do(outcome, "", partial(self._target.configure, config))
            self._apply(config, outcome)
            return outcome

    def reload(self) -> Outcome:
        """Read the file again and apply what is different.

        Raises ImageError and OSError when it cannot be read; then everything stays as it was.
        """
        with self._lock:
            outcome = Outcome([], [], [])
            self._apply(self._kept(self._load(), outcome), outcome)
            return outcome

    def _apply(self, new: Config, outcome: Outcome) -> None:
        old = self.config
        staying = [image for image in old.images if image not in new.images and not self._detach(image, outcome)]
        for watch in (watch for watch in old.watch if watch not in new.watch):
            self._do(outcome, f"no longer watching {watch.path}", partial(self._target.unwatch, watch.path), watch.path)
        if changed := _difference(old, new):
            self._do(outcome, changed, partial(self._target.configure, new))
        self.config = replace(
            new,
            watch=tuple(watch for watch in new.watch if watch in old.watch or self._watch(watch, outcome)),
            images=(
                *staying,
                *(image for image in new.images if image in old.images or self._attach(image, staying, outcome)),
            ),
        )

    def _detach(self, image: Attached, outcome: Outcome) -> bool:
        """Whether it is gone; one that somebody detached by hand is."""
        name = self._names[image]

        def detach() -> None:
            with contextlib.suppress(NotFoundError):
                self._target.detach(name)

        if not self._do(outcome, f"detached {name}", detach, image.path):
            return False
        del self._names[image]
        return True

    def _attach(self, image: Attached, staying: Sequence[Attached], outcome: Outcome) -> bool:
        """Whether it is there. One that would be the same image once more waits until the other is gone."""
        if image.path in (other.path for other in staying):
            return False

        def attach() -> None:
            self._names[image] = self._target.attach(*image)

        if not self._do(outcome, "", attach, image.path):
            return False
        outcome.done.append(f"attached {self._names[image]}")
        return True

    def _watch(self, watch: Watch, outcome: Outcome) -> bool:
        return self._do(outcome, f"watching {watch.path}", partial(self._target.watch, *watch), watch.path)

    def _do(self, outcome: Outcome, said: str, act: Callable[[], None], about: str = "") -> bool:
        """Whether it could be done; either way there is a line."""
        try:
            act()
        except (ImageError, OSError) as error:
            outcome.failed.append((about, error))
            return False
        if said:
            outcome.done.append(said)
        return True

    def _kept(self, new: Config, outcome: Outcome) -> Config:
        """The new configuration with what cannot change now as it is; a line for each such thing."""
        old = self.config
        for keys, has, wants in ((AT_START, old, new), (OF_THE_MOUNT, old.options, new.options)):
            for key in keys:
                if getattr(has, key) != getattr(wants, key):
                    outcome.restart.append(f"{key} = {getattr(wants, key)} waits until the daemon is started again")
        of_the_mount = {key: getattr(old.options, key) for key in OF_THE_MOUNT}
        images = [
            image._replace(options=image.options and replace(image.options, **of_the_mount)) for image in new.images
        ]
        return replace(
            new,
            options=replace(new.options, **of_the_mount),
            images=tuple(images),
            **{key: getattr(old, key) for key in AT_START},
        )


def _settings(config: Config) -> dict[str, object]:
    """What is applied as a whole, by the names of the file."""
    return {
        "idle_seconds": config.idle_seconds,
        "deadline_seconds": config.deadline_seconds,
        "cache_size": config.cache_bytes,
        "options": config.options,
    }


def _difference(old: Config, new: Config) -> str:
    """The settings that differ, in words."""
    before, after = _settings(old), _settings(new)
    changed = [key for key in after if after[key] != before[key]]
    return ", ".join(key if key == "options" else f"{key} = {after[key]}" for key in changed)
