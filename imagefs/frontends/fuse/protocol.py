"""The kernel's messages (include/uapi/linux/fuse.h, protocol 7.38), nothing else. Little-endian, natural alignment.

A request is IN_HEADER and the operation's struct; an answer is OUT_HEADER and its struct; a notification is OUT_HEADER with
unique 0 and the code in the place of the error.
"""

import enum
from struct import Struct
from typing import NamedTuple

MAJOR, MINOR = 7, 38
ROOT_ID = 1

IN_HEADER = Struct("<2I2Q4I")  # length opcode unique nodeid uid gid pid (extension length, padding)
OUT_HEADER = Struct("<IiQ")  # length, -errno or notification code, unique
INIT_IN = Struct("<4I")  # major minor max_readahead flags (flags2 and more follow)
INIT_OUT = Struct("<4I2H2I2H2I24x")  # see InitOut
READ_IN = Struct("<2QI")  # handle offset size (lock owner, flags follow); READDIRPLUS has the same
LSEEK_IN = Struct("<2QI4x")  # handle offset whence
LSEEK_OUT = Struct("<Q")
XATTR_IN = Struct("<I4x")  # size; GETXATTR's name follows
XATTR_OUT = Struct("<I4x")  # size, when the request's size is 0
OPEN_OUT = Struct("<Q2I")  # handle flags (padding)
ATTR = Struct("<3Q3q10I")  # ino size blocks atime mtime ctime, their ns, mode nlink uid gid rdev blksize flags
ATTR_OUT = Struct("<Q2I")  # valid seconds, ns, padding; then ATTR
ENTRY_OUT = Struct("<4Q2I")  # nodeid generation entry_valid attr_valid and their ns; then ATTR
DIRENT = Struct("<2Q2I")  # ino, offset of the next entry, name length, type; then the name, padded to 8 bytes
DIRENTPLUS = Struct("<4Q2I 3Q3q10I 2Q2I")  # ENTRY_OUT, ATTR and DIRENT in one
STATFS_OUT = Struct("<5Q4I24x")  # blocks bfree bavail files ffree bsize namelen frsize (padding)
STORE = Struct("<IiQ2Q2I")  # an OUT_HEADER, then nodeid offset size (padding); then the data
INVAL_INODE_OUT = Struct("<QqQ")  # nodeid, offset, length (0: to the end)
INVAL_ENTRY_OUT = Struct("<Q2I")  # directory, name length, flags; then the name and a NUL
DELETE_OUT = Struct("<2Q2I")  # directory, nodeid, name length (padding); then the name and a NUL

READ_AHEAD_BYTES = 1 << 20
"""The most that the kernel may ask for at a time, and ahead of a reader."""
FOREVER = 1 << 40
"""Seconds that an answer is valid: an image does not change."""

_SIZES = {
    IN_HEADER: 40, OUT_HEADER: 16, INIT_OUT: 64, ATTR: 88, ENTRY_OUT: 40, DIRENT: 24, STATFS_OUT: 80, ATTR_OUT: 16,
    OPEN_OUT: 16, DIRENTPLUS: 152, LSEEK_IN: 24, STORE: 40,
}  # fmt: skip
assert all(message.size == size for message, size in _SIZES.items())


class Op(enum.IntEnum):
    """Operations that a read-only mount meets."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    READLINK = 5
    OPEN = 14
    READ = 15
    STATFS = 17
    RELEASE = 18
    GETXATTR = 22
    LISTXATTR = 23
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    READDIRPLUS = 44
    LSEEK = 46


class Init(enum.IntFlag):
    """What is agreed in INIT."""

    ASYNC_READ = 1 << 0
    EXPORT_SUPPORT = 1 << 4
    DO_READDIRPLUS = 1 << 13
    ASYNC_DIO = 1 << 15
    NO_OPEN_SUPPORT = 1 << 17
    PARALLEL_DIROPS = 1 << 18
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23


WANTED = (
    Init.ASYNC_READ
    | Init.EXPORT_SUPPORT
    | Init.DO_READDIRPLUS
    | Init.ASYNC_DIO
    | Init.NO_OPEN_SUPPORT
    | Init.PARALLEL_DIROPS
    | Init.MAX_PAGES
    | Init.CACHE_SYMLINKS
)

OPEN_KEEP_CACHE, OPEN_CACHE_DIR = 1 << 1, 1 << 3
NOTIFY_INVAL_INODE, NOTIFY_INVAL_ENTRY, NOTIFY_STORE, NOTIFY_DELETE = 2, 3, 4, 6
DEV_IOC_CLONE = 0x8004_E500
"""ioctl on a second descriptor of /dev/fuse: join the connection of the first."""


class InitOut(NamedTuple):
    """The answer to INIT."""

    minor: int
    max_readahead: int
    flags: int

    def pack(self) -> bytes:
        """major minor max_readahead flags, max_background congestion, max_write time_gran, max_pages map_alignment, 0 0."""
        background, congestion, max_write, max_pages = 64, 48, 1 << 16, READ_AHEAD_BYTES >> 12
        limits = (background, congestion, max_write, 1, max_pages, 0, 0, 0)
        return INIT_OUT.pack(MAJOR, self.minor, self.max_readahead, self.flags, *limits)
