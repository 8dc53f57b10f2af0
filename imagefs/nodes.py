"""What a file system is made of: nodes, and the interface by which every frontend walks them."""

import stat
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from imagefs.errors import NotFoundError
from imagefs.readers import Reader, slice_of

ROOT_INO = 1
"""The inode number of every file system's root (FUSE's own number for it)."""

INO_BITS = 56
"""A file system's inode numbers are below 2**56: the bits above tell volumes apart."""

NOBODY = -1
"""uid or gid that the image does not say: the mounting user's is shown."""


class Node(NamedTuple):
    """One file, directory or link; small, immutable, made anew whenever a directory is read.

    Frontends rely on the order of the fields no more than on their names: make it with keywords, or with positions in this
    order where it is hot.
    """

    ino: int  # stable over remounts; 1 is the root
    mode: int  # st_mode: type and permission bits
    size: int  # bytes of content; of a link: of its target
    mtime: int  # ns since 1970, UTC, may be negative
    atime: int
    ctime: int
    uid: int = NOBODY
    gid: int = NOBODY
    nlink: int = 1
    rdev: int = 0  # as os.makedev gives it
    blocks: int = 0  # of 512 bytes, as stored
    start: int = -1  # byte offset in FileSystem.reader where the content lies raw and whole, else -1
    locator: Any = None  # private to the file system

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)


class Usage(NamedTuple):
    """What `df` shows. `files` is 0 when the file system does not count them."""

    block_bytes: int
    blocks: int
    free_blocks: int = 0
    files: int = 0


class BootImage(NamedTuple):
    """What a firmware of that platform ("bios", "efi" ...) starts from a disc."""

    platform: str
    content: Reader


class FileSystem(ABC):
    """A tree of nodes. Names are bytes without `/` and NUL, never empty, `.` or `..`, at most 255, unique in a directory.

    All methods are pure reads, safe for many threads at once. They raise DamagedError for what the image cannot give (that
    answer alone is spoilt), UnsupportedError, OSError, and BlockingIOError in nowait mode.
    """

    kind: str  # "iso9660", as blkid names it
    tree: str = ""  # which of several trees of one volume: "rr", "joliet", "iso", "evd", "udf"
    trees: Sequence[str] = ()  # all that the volume has of them, the richest first; `-o tree=` opens another
    label: str  # as the volume says, may be empty
    uuid: str | None = None  # as blkid shows it
    root: Node  # its ino is ROOT_INO
    reader: Reader  # the volume's bytes; Node.start counts in it
    has_xattrs: bool = False  # whether a node may have extended attributes: False saves a request for every `ls -l`
    warnings: Sequence[str] = ()  # one line each: what was found wrong at open and lived with
    room: int | None = None  # bytes that all of it lies in, which bounds a walk; None: that cannot be told

    @abstractmethod
    def entries(self, directory: Node) -> Sequence[tuple[bytes, Node]]:
        """All entries of a directory but `.` and `..`, in its order, which is the same each time."""

    def lookup(self, directory: Node, name: bytes) -> Node | None:
        """The entry of that name, or None."""
        for other, node in self.entries(directory):
            if other == name:
                return node
        return None

    @abstractmethod
    def node(self, ino: int) -> Node:
        """The node of an inode number that this file system gave, in this mount or an earlier one (NFS handles).

        Raises NotFoundError when there is none.
        """

    @abstractmethod
    def parent(self, directory: Node) -> Node:
        """The directory above; the root's is the root."""

    @abstractmethod
    def readlink(self, node: Node) -> bytes:
        """The target of a symbolic link, without NUL."""

    def open(self, node: Node) -> Reader:
        """The content of a file: a reader of exactly `node.size` bytes."""
        if node.start < 0:
            raise NotFoundError("it has no content")
        return slice_of(self.reader, node.start, node.size)

    def xattrs(self, node: Node) -> Mapping[str, bytes]:
        """Extended attributes by name, `user.` and the like included."""
        return {}

    @abstractmethod
    def usage(self) -> Usage:
        """Sizes of the volume."""

    def boot_images(self) -> Sequence[BootImage]:
        """The boot images of the volume, in the order of its catalog; their content may be in no file."""
        return ()

    def details(self) -> Mapping[str, Any]:
        """What `info` shows besides: labels, dates, boot entries; values that JSON can hold, keys that stay."""
        return {}
