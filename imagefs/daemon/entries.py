"""What a library keeps for each image: an entry as long as the image is there, and what is open of it."""

import threading
from typing import NamedTuple, Protocol

from imagefs.daemon.numbers import SLOT_SHIFT, Numbers
from imagefs.frontends.fuse.mount import Backing
from imagefs.image import Image
from imagefs.nodes import ROOT_INO, FileSystem
from imagefs.options import Options


class Stamp(NamedTuple):
    """How one file of an image was when it was looked at: when any of it differs, the image is another one."""

    name: str
    size: int  # bytes
    mtime: int  # ns
    inode: int


Signature = tuple[Stamp, ...]
"""The stamps of all files of an image that are known without opening it, that of the file that stands for it first."""


class Trouble(NamedTuple):
    """Why an image cannot be used, and until when (time.monotonic) that is believed."""

    errno: int
    message: str
    until: float
    hung: bool = False


class Opened:
    """An image that is open. `pins` counts the threads that use it; what is `retired` is closed when none is left."""

    __slots__ = ("backing", "entry", "filesystem", "image", "pins", "retired")

    def __init__(self, entry: "Entry", image: Image, filesystem: FileSystem) -> None:
        self.entry, self.image, self.filesystem = entry, image, filesystem
        self.backing = Backing(filesystem.reader)
        self.pins, self.retired = 0, False

    def has_changed(self) -> bool:
        """Whether one of its files was written to, or is lost."""
        try:
            return any(source.changed() for source in self.image.sources)
        except OSError:
            return True

    def distrust(self) -> None:
        """Use no mapping any more: the files have changed, and what lies behind a new end would read as zeros."""
        self.backing.view = None
        for source in self.image.sources:
            source.distrust()

    def close(self) -> None:
        """Close the files; views that are being sent stay valid."""
        self.backing.view = None
        self.image.close()


class Opening:
    """That some thread is opening an image: others wait for it."""

    def __init__(self) -> None:
        self.done = threading.Event()


class Entry:
    """An image of the library. Its fields are guarded by the library's lock."""

    __slots__ = (
        "attached",
        "claimed_by",
        "container",
        "gone",
        "hangs",
        "last_count",
        "last_used",
        "listed",
        "name",
        "numbers",
        "opened",
        "opened_at",
        "opening",
        "opens",
        "options",
        "path",
        "removed",
        "requests",
        "signature",
        "slot",
        "stale",
        "stamps",
        "told",
        "trouble",
        "waiting",
        "watched",
    )  # fmt: skip

    def __init__(self, slot: int, name: bytes, path: str, signature: Signature, options: Options | None) -> None:
        self.slot, self.name, self.path, self.signature, self.options = slot, name, path, signature, options
        self.numbers = Numbers(slot)
        self.watched = self.attached = False  # what brought it
        self.listed = False  # whether the root shows it
        self.waiting = False  # some file of it is still being written
        self.gone = False  # its file is; it leaves when nobody uses it any more
        self.stale = False  # its file was written to while it was in use: what is read would be of two images
        self.removed = False  # out of the library
        self.claimed_by = ""  # the path of the descriptor that it turned out to be a part of
        self.opened: Opened | None = None
        self.opening: Opening | None = None
        self.trouble: Trouble | None = None
        self.told = ""  # what the log says of it
        self.hangs = 0  # in a row
        self.container: str | None = None
        self.opened_at: float | None = None
        self.opens = self.requests = 0
        self.last_used, self.last_count = 0.0, 0
        self.stamps: dict[str, tuple[int, int]] = {}  # of the files that were open: name -> size, mtime

    @property
    def number(self) -> int:
        """The inode number of its folder."""
        return self.slot << SLOT_SHIFT | ROOT_INO

    @property
    def size(self) -> int:
        """Bytes of all its files that are known."""
        return sum(stamp.size for stamp in self.signature)

    @property
    def mtime(self) -> int:
        """In ns."""
        return self.signature[0].mtime

    @property
    def count(self) -> int:
        """Requests so far, those that only the mapping answered included."""
        return self.requests + (self.opened.backing.reads if self.opened else 0)

    @property
    def state(self) -> str:
        """One of the words of ImageStatus."""
        if self.waiting:
            return "waiting"
        if self.opened is not None:
            return "open"
        if self.trouble is not None:
            return "hung" if self.trouble.hung else "failed"
        return "opening" if self.opening is not None else "idle"


class Kernel(Protocol):
    """Who shows a library's images, as far as the library has to tell him something."""

    def changed(self, name: bytes, gone: int | None) -> None:
        """The root has, has no longer, or has another image of that name; `gone`: the number of the folder that was it.

        Must not wait, and not call the library.
        """

    def dropped(self, backing: Backing) -> None:
        """An image was closed: nothing that was read of it may be used on. Must not wait, and not call the library."""

    def removed(self, number: int) -> None:
        """An image's folder is used by nobody any more."""

    def outdated(self, number: int) -> None:
        """The content of an image is another one than the kernel keeps. Must not wait."""

    def release(self, name: bytes, number: int) -> bool:
        """Make users that only remember an image forget it; whether none is left. May wait for a second."""

    def prune(self, number: int) -> None:
        """Make users that only remember an image which no name leads to any more forget it. May wait."""

    def is_used(self, number: int) -> bool:
        """Whether anybody knows something of what is in an image."""

    def is_known(self, number: int) -> bool:
        """Whether anybody knows anything of an image, be it its folder."""


class NoKernel:
    """Nobody shows the library yet."""

    def changed(self, name: bytes, gone: int | None) -> None:
        pass

    def dropped(self, backing: Backing) -> None:
        pass

    def removed(self, number: int) -> None:
        pass

    def outdated(self, number: int) -> None:
        pass

    def release(self, name: bytes, number: int) -> bool:
        return True

    def prune(self, number: int) -> None:
        pass

    def is_used(self, number: int) -> bool:
        return False

    def is_known(self, number: int) -> bool:
        return False
