"""What both engines serve: nodes by number, packed listings, attributes, file data, error numbers.

A node's number in the kernel is its inode number (the root's is 1), which a file system can always find again. So nothing
is counted: when the kernel forgets a directory its listing is dropped, and whatever is asked for later is recomputed.

A directory is packed once, into the very bytes that READDIRPLUS sends, with tables of where each entry begins, its node
number, size and place: a listing is a slice, an attribute is a slice, and a file costs no Python object but a tuple.
"""

import errno
import os
import stat
import threading
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, dropwhile, islice, repeat
from struct import Struct
from typing import NamedTuple, TypeVar

from imagefs.errors import DamagedError, NotFoundError
from imagefs.frontends.fuse.protocol import ATTR, DIRENTPLUS, ENTRY_OUT, FOREVER, ROOT_ID
from imagefs.nodes import NOBODY, FileSystem, Node, Usage
from imagefs.options import Options
from imagefs.readers import MAX_VIEWS, Reader, RunKind

NAME_MAX = 255
BLOCK_BYTES = 1 << 17
"""st_blksize: what a reader should ask for at once."""
OPEN_READERS = 256
"""Readers kept for files that are not one plain run."""
AHEAD_LISTINGS, AHEAD_BYTES = 64, 16 << 20
"""Listings kept that nobody has asked for yet, and how long they may be together. The newest is always kept."""
INDEXED_DIRECTORIES = 16
"""Directories whose names are kept in a dictionary for look-ups."""
NAME_LENGTH = Struct("<I")
Buffer = bytes | memoryview
T = TypeVar("T")
_DIRECTORY, _REGULAR = 4, 8  # mode >> 12, which is also what a directory entry says
_SECOND = 1_000_000_000
_PADDING = tuple(bytes(-length & 7) for length in range(NAME_MAX + 1))
_U32 = 0xFFFF_FFFF


class Backing:
    """Where the plain files of an image lie: its file system's reader, and that mapped where it is one run of one source.

    While `view` is set, a read is a slice of it, `base` further on, as long as it ends before `bytes`. `reads` counts such
    reads; it may miss some when two threads count at once.
    """

    __slots__ = ("base", "bytes", "reader", "reads", "view")

    def __init__(self, reader: Reader) -> None:
        self.reader, self.reads = reader, 0
        self.view: memoryview | None = None
        self.base = self.bytes = 0
        runs = reader.runs(0, reader.size)
        first, second = next(runs, None), next(runs, None)
        if first is None or second is not None or first.kind is not RunKind.DATA or first.source is None:
            return
        if first.source.view is not None:
            self.base, self.bytes = first.offset, first.length
            self.view = first.source.view[: first.offset + first.length]


class Listing:
    """A directory as READDIRPLUS sends it. Entries 0 and 1 are `.` and `..`; immutable once made.

    `starts` has one more item than there are entries: entry k is packed[starts[k]:starts[k + 1]]. `places` are byte offsets
    in the reader of `backing`, -1 for what is not a plain file; the Node of such an entry is in `special`, and that of a
    directory in `directories`, by its number.
    """

    __slots__ = ("backing", "directories", "ids", "packed", "places", "sizes", "special", "starts")

    def __init__(
        self,
        packed: bytes,
        starts: "array[int]",
        ids: "array[int]",
        sizes: "array[int]",
        places: "array[int]",
        backing: Backing,
    ) -> None:
        self.packed, self.starts, self.ids, self.sizes, self.places = memoryview(packed), starts, ids, sizes, places
        self.backing = backing
        self.special: dict[int, Node] = {}
        self.directories: dict[int, Directory] = {}

    def attr(self, index: int) -> memoryview:
        """The packed attributes of an entry."""
        start = self.starts[index] + ENTRY_OUT.size
        return self.packed[start : start + ATTR.size]

    def __len__(self) -> int:
        return len(self.ids)

    def names(self) -> dict[bytes, int]:
        """The entry of each name, `.` and `..` left out."""
        packed, starts, head = self.packed, self.starts, DIRENTPLUS.size
        found = {}
        for index in range(2, len(self)):
            start = starts[index]
            length = NAME_LENGTH.unpack_from(packed, start + head - 8)[0]
            found[bytes(packed[start + head : start + head + length])] = index
        return found

    def directories_after(self, number: int, count: int) -> list[int]:
        """The numbers of up to `count` directories that follow one of them."""
        after = dropwhile(number.__ne__, self.directories)
        return list(islice(after, 1, 1 + count))

    def small_files_after(self, index: int, count: int, small: int, most: int) -> list[int]:
        """The entries of up to `count` plain files of at most `small` bytes, `most` together, that follow entry `index`."""
        found, total = [], 0
        for at in range(index + 1, min(len(self.ids), index + 1 + 4 * count)):
            size = self.sizes[at]
            if self.places[at] >= 0 and 0 < size <= small:
                found.append(at)
                total += size
                if len(found) >= count or total >= most:
                    break
        return found


_NOWHERE: tuple[Sequence[object], int] = ((), 0)


class Directory(NamedTuple):
    """A directory that the kernel may ask about: its node and the number of the one above.

    `loops`: it is one of its own ancestors. It is shown, and nothing in it is: the tree would have no end.
    """

    node: Node
    parent: int
    loops: bool = False


class Mount:
    """A file system as the kernel sees it. Safe for many threads: tables only grow by whole entries.

    Methods raise OSError, ImageError, and in nowait mode BlockingIOError: then the same call is made again in a worker.
    """

    def __init__(
        self, filesystem: FileSystem, options: Options | None = None, owner: tuple[int, int] | None = None
    ) -> None:
        self.filesystem = filesystem
        options = options or Options()
        self._uid, self._gid = options.uid, options.gid
        self._file_mask, self._directory_mask = options.file_mask, options.directory_mask
        self._owner = owner or (os.geteuid(), os.getegid())
        self._directories: dict[int, Directory] = {ROOT_ID: Directory(filesystem.root, ROOT_ID)}
        self._listings: dict[int, Listing] = {}
        self._ahead: dict[int, Listing] = {}
        self._ahead_bytes = 0
        self._indexes: dict[int, tuple[Listing, dict[bytes, int]]] = {}
        self._readers: dict[int, Reader] = {}
        self._lock = threading.Lock()  # of the tables below; never held while anything is read
        self._whole = Backing(filesystem.reader)
        root = self._pack([(b"", ROOT_ID, filesystem.root)])
        self.nodes: dict[int, tuple[Listing, int]] = {ROOT_ID: (root, 0)}
        self.most_views = MAX_VIEWS
        """Buffers of one answer, for an engine that would join them: what is joined must have been read, not mapped."""

    @property
    def view(self) -> memoryview | None:
        """The mapping in use, None when there is none."""
        return self._whole.view

    def unmap(self) -> None:
        """Use no mapping any more: the image's file has changed, and a page behind its end would read as zeros."""
        self._whole.view = None

    def backing(self) -> Backing:
        """Where the plain files lie that are being packed by this thread."""
        return self._whole

    def children(self, directory: Node) -> Sequence[tuple[bytes, Node]]:
        """The entries of a directory, places counting in the reader of `backing()`. Raises as FileSystem.entries does."""
        return self.filesystem.entries(directory)

    # --- attributes ---------------------------------------------------------------------------------------------------

    def _shown(self, node: Node) -> tuple[int, int, int]:
        """(mode, uid, gid) as the options and the mounting user have them."""
        mode = node.mode
        mode = mode & ~0o7777 | mode & (self._directory_mask if stat.S_ISDIR(mode) else self._file_mask)
        if stat.S_ISLNK(mode):
            mode = stat.S_IFLNK | 0o777
        uid = self._uid if self._uid is not None else self._owner[0] if node.uid == NOBODY else node.uid
        gid = self._gid if self._gid is not None else self._owner[1] if node.gid == NOBODY else node.gid
        return mode, uid & _U32, gid & _U32

    def _pack(self, entries: Sequence[tuple[bytes, int, Node]], dots: int = 0) -> Listing:
        """A listing of (name, number, node). The first `dots` entries are no look-ups: their node number is sent as 0."""
        pack, padding = DIRENTPLUS.pack, _PADDING
        parts: list[bytes] = []
        add = parts.extend
        places: list[int] = []
        special: dict[int, Node] = {}
        owned, stamped = (-1, -1, -1), None  # what the values below were made from: neighbours are often alike
        shown_mode = shown_uid = shown_gid = seconds = ns = 0
        for index, (name, number, node) in enumerate(entries):
            _, mode, size, mtime, atime, ctime, uid, gid, nlink, rdev, blocks, start, _ = node
            if (mode, uid, gid) != owned:
                owned = (mode, uid, gid)
                shown_mode, shown_uid, shown_gid = self._shown(node)
            if mtime != stamped:
                stamped = mtime
                seconds, ns = divmod(mtime, _SECOND)
            a, a_ns = (seconds, ns) if atime == mtime else divmod(atime, _SECOND)
            c, c_ns = (seconds, ns) if ctime == mtime else divmod(ctime, _SECOND)
            length, kind = len(name), mode >> 12
            head = pack(
                number if index >= dots else 0, 0, FOREVER, FOREVER, 0, 0,
                number, size, blocks, a, seconds, c, a_ns, ns, c_ns,
                shown_mode, nlink, shown_uid, shown_gid, _kernel_device(rdev) if rdev else 0, BLOCK_BYTES, 0,
                number, index + 1, length, kind,
            )  # fmt: skip
            add((head, name, padding[length]))
            if kind == _REGULAR and start >= 0:
                places.append(start)
            else:
                places.append(-1)
                if kind != _DIRECTORY:
                    special[index] = node
        lengths = map(len, parts)
        ends = accumulate(map(sum, zip(lengths, lengths, lengths, strict=True)), initial=0)
        ids, sizes = [number for _, number, _ in entries], [node[2] for _, _, node in entries]
        tables = array("I", ends), array("Q", ids), array("Q", sizes), array("q", places)
        listing = Listing(b"".join(parts), *tables, self.backing())
        listing.special = special
        return listing

    # --- nodes ----------------------------------------------------------------------------------------------------------

    def directory(self, number: int) -> Directory:
        """A directory by number. Raises NotADirectoryError, OSError(ESTALE)."""
        found = self._directories.get(number)
        if found is None:
            self.entry(number)  # finds it again if it can
            found = self._directories.get(number)
        if found is None:
            raise NotADirectoryError(errno.ENOTDIR, "not a directory")
        return found

    def entry(self, number: int) -> tuple[Listing, int]:
        """Where the attributes of a node are. A number not known (any more) is looked for in the file system."""
        found = self.nodes.get(number)
        if found is not None:
            return found
        try:
            node = self.filesystem.node(number)
        except NotFoundError:
            raise OSError(errno.ESTALE, "no such inode") from None
        if node.is_directory:
            parent = self.filesystem.parent(node)
            self._directories[number] = Directory(node, parent.ino)
        found = self.nodes[number] = (self._pack([(b"", number, node)]), 0)
        return found

    def node(self, number: int) -> Node:
        """The file system's node of a number."""
        directory = self._directories.get(number)
        if directory is not None:
            return directory.node
        listing, index = self.entry(number)
        node = listing.special.get(index)
        return self.filesystem.node(listing.ids[index]) if node is None else node

    def attr(self, number: int) -> memoryview:
        """The packed attributes of a node."""
        listing, index = self.entry(number)
        return listing.attr(index)

    def listing(self, number: int) -> Listing:
        """The packed listing of a directory; made at the first request. Raises NotADirectoryError, ImageError, OSError."""
        found = self._listings.get(number)
        while found is None:
            with self._lock:
                ahead = self._take_ahead(number)
            listing = ahead or self._make_listing(number)
            with self._lock:
                found = self._listings.get(number)
                if found is None and self._is_free(number, listing):
                    self._directories.update(listing.directories)
                    self.nodes.update(zip(listing.ids[2:], zip(repeat(listing), range(2, len(listing))), strict=True))
                    found = self._listings[number] = listing
        return found

    def _is_free(self, number: int, listing: Listing) -> bool:
        """Whether no child has got another parent since the listing was made: it is numbered anew then."""
        known = (self._directories.get(child) for child in listing.directories)
        return all(directory is None or directory.parent == number for directory in known)

    def known_listing(self, number: int) -> Listing | None:
        """The listing of a directory, if it was asked for."""
        return self._listings.get(number)

    def is_listed(self, number: int) -> bool:
        """Whether the listing of a directory is there, asked for or not."""
        return number in self._listings or number in self._ahead

    def list_ahead(self, number: int) -> None:
        """Make the listing of a directory that is likely to be asked for, and keep it aside. Raises as `listing` does."""
        if not self.is_listed(number):
            listing = self._make_listing(number)
            with self._lock:
                self._ahead[number] = listing
                self._ahead_bytes += len(listing.packed)
                while len(self._ahead) > AHEAD_LISTINGS or (self._ahead_bytes > AHEAD_BYTES and len(self._ahead) > 1):
                    self._take_ahead(next(iter(self._ahead)))

    def _take_ahead(self, number: int) -> Listing | None:
        listing = self._ahead.pop(number, None)
        if listing is not None:
            self._ahead_bytes -= len(listing.packed)
        return listing

    def _make_listing(self, number: int) -> Listing:
        directory = self.directory(number)
        if directory.loops:
            raise DamagedError(None, "the directory contains itself")
        children = self.children(directory.node)
        above = self.directory(directory.parent).node if number != ROOT_ID else directory.node
        numbered = [(b".", number, directory.node), (b"..", directory.parent, above)]
        ancestors: set[int] | None = None
        found: dict[int, Directory] = {}
        for name, node in children:
            own = node.ino
            if stat.S_ISDIR(node.mode):
                if ancestors is None:
                    ancestors = self._ancestors(number)
                own, child = self._place(node, number, ancestors, found)
                found[own] = child
            numbered.append((name, own, node))
        listing = self._pack(numbered, dots=2)
        listing.directories = found
        return listing

    def _ancestors(self, number: int) -> set[int]:
        """The inode numbers of a directory and all above it, as far as they are known."""
        found: set[int] = set()
        directory = self._directories.get(number)
        while directory is not None and directory.node.ino not in found:  # a damaged tree's parents may go in a circle
            found.add(directory.node.ino)
            directory = self._directories.get(directory.parent)
        return found

    def _place(
        self, node: Node, parent: int, ancestors: set[int], beside: Mapping[int, Directory]
    ) -> tuple[int, Directory]:
        """The number of a directory below `parent`, `beside` others there. The kernel allows a directory one parent and one
        name, so that one which stands in several places gets a number of its own in each further one."""
        known = self._directories.get(node.ino)
        loops = node.ino in ancestors
        if not loops and node.ino not in beside and (known is None or known.parent == parent):
            return node.ino, Directory(node, parent)
        number = self.spare_number(node.ino, node.ino * 31 + parent * 1009 + len(beside))
        placed = Directory(node, parent, loops)
        while number in beside or self._directories.get(number, placed) != placed:
            number += 1
        return number, placed

    def spare_number(self, ino: int, seed: int) -> int:
        """A number that no inode has, for a further place of a directory."""
        return seed & ((1 << 62) - 1) | 1 << 62

    def lookup(self, parent: int, name: bytes) -> tuple[Listing, int] | None:
        """The entry of a name, None when there is none. Raises OSError(ENAMETOOLONG)."""
        if len(name) > NAME_MAX:
            raise OSError(errno.ENAMETOOLONG, "name too long")
        if name == b".":
            return self.entry(parent)
        if name == b"..":
            return self.entry(self.directory(parent).parent)
        directory = self.directory(parent)
        if directory.loops:
            raise DamagedError(None, "the directory contains itself")
        try:
            listing = self.listing(parent)
        except DamagedError:  # the listing cannot be given whole, but this one file may be there
            node = self.filesystem.lookup(directory.node, name)
            return None if node is None else self._alone(node, parent)
        index = self._names(parent, listing).get(name)
        if index is not None:
            return listing, index
        node = self.filesystem.lookup(directory.node, name)  # it decides what else counts as equal (case, dots)
        if node is None:
            return None
        for index, number in enumerate(listing.ids):
            if number == node.ino and index > 1:
                return listing, index
        return self._alone(node, parent)

    def _names(self, number: int, listing: Listing) -> dict[bytes, int]:
        """Name -> index of a listing; kept for the directories looked into last."""
        found = self._indexes.get(number)
        if found is None or found[0] is not listing:
            found = listing, listing.names()
            with self._lock:
                _keep(self._indexes, number, found, INDEXED_DIRECTORIES)
        return found[1]

    def _alone(self, node: Node, parent: int) -> tuple[Listing, int]:
        """A node that stands in no listing."""
        number = node.ino
        if node.is_directory:
            number, directory = self._place(node, parent, self._ancestors(parent), {})
            self._directories[number] = directory
        if number not in self.nodes:
            self.nodes[number] = (self._pack([(b"", number, node)]), 0)
        return self.nodes[number]

    def forget(self, number: int, lookups: int = 1) -> None:
        """The kernel dropped a node, which it had looked up so often.

        A directory's children are gone then, so its listing is not needed.
        """
        if number == ROOT_ID:
            return
        with self._lock:
            self._readers.pop(number, None)
            if len(self.nodes.get(number, _NOWHERE)[0]) == 1:  # it stands in no listing that could be forgotten
                del self.nodes[number]
                self._directories.pop(number, None)
            listing = self._listings.pop(number, None)
            if listing is not None:
                self._indexes.pop(number, None)
                for child in listing.ids[2:]:
                    if self.nodes.get(child, _NOWHERE)[0] is listing:
                        del self.nodes[child]
                        if child not in self._listings:
                            self._directories.pop(child, None)

    # --- content --------------------------------------------------------------------------------------------------------

    def reader(self, number: int) -> Reader:
        """The content of a file. Raises IsADirectoryError, OSError(EINVAL) for what has none."""
        found = self._readers.get(number)
        if found is None:
            node = self.node(number)
            if node.is_directory:
                raise IsADirectoryError(errno.EISDIR, "is a directory")
            if not node.is_file:
                raise OSError(errno.EINVAL, "not a file")
            found = self.filesystem.open(node)
            with self._lock:
                _keep(self._readers, number, found, OPEN_READERS)
        return found

    def read(self, number: int, offset: int, length: int) -> Sequence[Buffer]:
        """Bytes of a file as buffers for a writev; short only at its end. The kernel alone may touch the views."""
        listing, index = self.entry(number)
        place, backing = listing.places[index], listing.backing
        reader, view = backing.reader, backing.view
        if place >= 0:
            length = min(length, listing.sizes[index] - offset)
            if length <= 0:
                return ()
            if view is not None and place + offset + length <= backing.bytes:
                start = backing.base + place + offset
                return (view[start : start + length],)
            offset += place
            if offset + length > reader.size:
                raise DamagedError(reader.size, "the image ends before the file does")
        else:
            reader = self.reader(number)
            length = min(length, reader.size - offset)
            if length <= 0:
                return ()
        views = reader.views(offset, length)
        if views is not None and len(views) <= self.most_views and sum(map(len, views)) == length:
            return views
        data = reader.pread(offset, length)
        if len(data) != length:
            raise DamagedError(offset + len(data), "the image ends there")
        return (data,)

    def seek(self, number: int, offset: int, whence: int) -> int:
        """SEEK_DATA and SEEK_HOLE of a file. Raises OSError(ENXIO) past the end and where no data follow."""
        listing, index = self.entry(number)
        plain = listing.places[index] >= 0
        size = listing.sizes[index] if plain else self.reader(number).size
        if whence not in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(errno.EINVAL, "unknown kind of seek")
        if offset < 0 or offset >= size:
            raise OSError(errno.ENXIO, "past the end of the file")
        runs = [] if plain else self.reader(number).runs(offset, size - offset)
        for run in runs:
            if (run.kind is RunKind.ZERO) == (whence == os.SEEK_HOLE):
                return offset
            offset += run.length
        if whence == os.SEEK_HOLE:
            return size
        if plain:
            return offset
        raise OSError(errno.ENXIO, "a hole to the end of the file")

    def readlink(self, number: int) -> bytes:
        """The target of a link. Raises OSError(EINVAL) for what is none."""
        node = self.node(number)
        if not node.is_link:
            raise OSError(errno.EINVAL, "not a link")
        return self.filesystem.readlink(node)

    def xattrs(self, number: int) -> Mapping[str, bytes]:
        """Extended attributes of a node."""
        return self.filesystem.xattrs(self.node(number))

    def usage(self) -> Usage:
        """What statfs answers."""
        return self.filesystem.usage()


def _keep(table: dict[int, T], number: int, value: T, most: int) -> None:
    """Add to a table of at most so many, in the place of the one added first."""
    while len(table) >= most:
        del table[next(iter(table))]
    table[number] = value


def _kernel_device(rdev: int) -> int:
    """A device number as the kernel encodes it in 32 bits (new_encode_dev)."""
    major, minor = os.major(rdev), os.minor(rdev)
    return (minor & 0xFF | (major & 0xFFF) << 8 | (minor & ~0xFF) << 12) & _U32


def listing_slice(listing: Listing, offset: int, size: int) -> memoryview:
    """The entries from number `offset` that fit `size` bytes."""
    starts = listing.starts
    if not 0 <= offset < len(starts) - 1:
        return listing.packed[:0]
    end = starts[bisect_right(starts, starts[offset] + size) - 1]
    return listing.packed[starts[offset] : end]
