"""Several file systems, and folders and files that are made up, as one tree.

An inode number has the number of a member (a file system) in the bits from INO_BITS on, and below them the member's own
number. What is made up here has EXTRAS there, and below the places on its way from the root, POSITION_BITS each, counted
from 1: so a number leads to its folder or file without a search, also into a folder whose content is made only when somebody
asks.
"""

import errno
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Union

from imagefs.errors import DamagedError, NotFoundError
from imagefs.lazy import cached_property
from imagefs.nodes import INO_BITS, ROOT_INO, FileSystem, Node, Usage
from imagefs.readers import Reader, ZeroReader, is_nowait

EXTRAS = 127
"""The member's number of what is made up here: the highest that keeps inode numbers positive."""
MOST_MEMBERS = EXTRAS - 1
POSITION_BITS = 14
MOST_ENTRIES = (1 << POSITION_BITS) - 1
"""of a folder that is made up"""

Content = Union["Folder", FileSystem, Reader]


class Folder:
    """A folder that is made up: names and what is there, in its order."""

    def __init__(self, items: Mapping[bytes, Content] | Iterable[tuple[bytes, Content]]) -> None:
        self._items = tuple(items.items() if isinstance(items, Mapping) else items)[:MOST_ENTRIES]

    @property
    def items(self) -> tuple[tuple[bytes, Content], ...]:
        return self._items


class LazyFolder(Folder):
    """A folder whose content `make` gives when it is asked for; it has no file systems in it.

    `make` reads what it needs, and need not care for nowait mode: it is never called in it.
    """

    def __init__(self, make: Callable[[], Mapping[bytes, Content]]) -> None:
        self._make = make

    @cached_property
    def items(self) -> tuple[tuple[bytes, Content], ...]:
        if is_nowait():
            raise BlockingIOError(errno.EAGAIN, "the folder is not made yet")
        return Folder(self._make()).items


class _Member(NamedTuple):
    """A file system, and the inode number of the folder that it stands in."""

    filesystem: FileSystem
    home: int


class Composed(FileSystem):
    """The tree of a folder. With a `base`, its root is the tree's root, and what is in the folder stands there as well.

    `mtime` (ns) is shown of what is made up. Nodes of members keep their own node in `locator`, others their content.
    Raises ValueError for more than MOST_MEMBERS file systems.
    """

    kind = "imagefs"

    def __init__(self, folder: Folder, base: FileSystem | None = None, mtime: int = 0) -> None:
        self._base, self._mtime = base, mtime
        self._folder = folder if base is None else Folder(_apart(folder, base))
        self._members: list[_Member] = [] if base is None else [_Member(base, ROOT_INO)]
        self._numbers: dict[int, int] = {}
        """inode number of a place -> number of the member there"""
        self._files = 0
        """bytes of the files that are made up at once"""
        self._enter(ROOT_INO, self._folder)
        if len(self._members) > MOST_MEMBERS:
            raise ValueError(f"{len(self._members)} file systems in one tree")
        filesystems = [member.filesystem for member in self._members]
        self.label = filesystems[0].label if filesystems else ""
        self.uuid = filesystems[0].uuid if len(filesystems) == 1 else None
        self.tree = filesystems[0].tree if len(filesystems) == 1 else ""
        self.reader = ZeroReader(0)
        self.has_xattrs = any(filesystem.has_xattrs for filesystem in filesystems)
        self.warnings = tuple(dict.fromkeys(line for filesystem in filesystems for line in filesystem.warnings))
        rooms = [filesystem.room for filesystem in filesystems]
        self.room = sum(filter(None, rooms), self._files) if None not in rooms else None
        root = Node(ROOT_INO, stat.S_IFDIR | 0o555, 0, mtime, mtime, mtime, locator=self._folder)
        self.root = root if base is None else base.root._replace(locator=base.root)

    def _enter(self, ino: int, folder: Folder) -> None:
        """Number the file systems in a folder and those below it."""
        if isinstance(folder, LazyFolder):
            return
        for position, (_, content) in enumerate(folder.items, 1):
            place = _place(ino, position)
            if isinstance(content, FileSystem):
                self._members.append(_Member(content, ino))
                self._numbers[place] = len(self._members)
            elif isinstance(content, Folder):
                self._enter(place, content)
            else:
                self._files += content.size

    # --- nodes ------------------------------------------------------------------------------------------------------

    def _made(self, ino: int, content: Content) -> Node:
        """The node of what stands in a folder that is made up."""
        if isinstance(content, FileSystem):
            return self._outer(self._numbers[ino], content.root)
        time = self._mtime
        if isinstance(content, Folder):
            return Node(ino, stat.S_IFDIR | 0o555, 0, time, time, time, locator=content)
        size = content.size
        return Node(ino, stat.S_IFREG | 0o444, size, time, time, time, blocks=-(-size // 512), locator=content)

    def _items(self, ino: int, folder: Folder) -> Iterator[tuple[bytes, Node]]:
        for position, (name, content) in enumerate(folder.items, 1):
            yield name, self._made(_place(ino, position), content)

    def _outer(self, number: int, node: Node) -> Node:
        """A member's node as the tree shows it."""
        if self._base is not None and number == 1 and node.ino == ROOT_INO:
            return node._replace(locator=node)
        return node._replace(ino=number << INO_BITS | node.ino, start=-1, locator=node)

    def _inner(self, node: Node) -> tuple[int, Node]:
        """The number of the member that a node belongs to, and its own node."""
        number = 1 if node.ino == ROOT_INO else node.ino >> INO_BITS
        if not 1 <= number <= len(self._members) or not isinstance(node.locator, Node):
            raise NotFoundError("no volume has this file")
        return number, node.locator

    def _filesystem(self, number: int) -> FileSystem:
        return self._members[number - 1].filesystem

    def node(self, ino: int) -> Node:
        if ino == ROOT_INO:
            return self.root
        number, inner = ino >> INO_BITS, ino & (1 << INO_BITS) - 1
        if number == EXTRAS:
            return self._made(ino, self._content_at(inner))
        if not 1 <= number <= len(self._members):
            raise NotFoundError("no volume has this inode")
        return self._outer(number, self._filesystem(number).node(inner))

    def _content_at(self, places: int) -> Content:
        content: Content = self._folder
        while places:
            position, places = places & MOST_ENTRIES, places >> POSITION_BITS
            if not isinstance(content, Folder) or not 1 <= position <= len(content.items):
                raise NotFoundError("there is no such inode")
            content = content.items[position - 1][1]
        if isinstance(content, FileSystem) or content is self._folder:
            raise NotFoundError("there is no such inode")
        return content

    def parent(self, directory: Node) -> Node:
        if directory.ino == ROOT_INO:
            return self.root
        if isinstance(directory.locator, Folder):
            return self.node(_above(directory.ino))
        number, inner = self._inner(directory)
        if inner.ino == ROOT_INO:
            return self.node(self._members[number - 1].home)
        return self._outer(number, self._filesystem(number).parent(inner))

    # --- directories ------------------------------------------------------------------------------------------------

    def entries(self, directory: Node) -> Sequence[tuple[bytes, Node]]:
        if isinstance(directory.locator, Folder):
            return list(self._items(directory.ino, directory.locator))
        number, inner = self._inner(directory)
        found = [(name, self._outer(number, node)) for name, node in self._filesystem(number).entries(inner)]
        return [*found, *self._items(ROOT_INO, self._folder)] if directory.ino == ROOT_INO else found

    def lookup(self, directory: Node, name: bytes) -> Node | None:
        is_made_up = isinstance(directory.locator, Folder)
        if is_made_up or directory.ino == ROOT_INO:
            folder = directory.locator if isinstance(directory.locator, Folder) else self._folder
            for position, (other, content) in enumerate(folder.items, 1):
                if other == name:
                    return self._made(_place(directory.ino, position), content)
            if is_made_up:
                return None
        number, inner = self._inner(directory)
        node = self._filesystem(number).lookup(inner, name)
        return None if node is None else self._outer(number, node)

    # --- files ------------------------------------------------------------------------------------------------------

    def readlink(self, node: Node) -> bytes:
        number, inner = self._inner(node)
        return self._filesystem(number).readlink(inner)

    def open(self, node: Node) -> Reader:
        if isinstance(node.locator, Reader):
            return node.locator
        number, inner = self._inner(node)
        return self._filesystem(number).open(inner)

    def xattrs(self, node: Node) -> Mapping[str, bytes]:
        if isinstance(node.locator, (Reader, Folder)):
            return {}
        number, inner = self._inner(node)
        return self._filesystem(number).xattrs(inner)

    def usage(self) -> Usage:
        """Of all members together; trees over the same bytes count once, by the largest."""
        block, largest = 2048, dict[int, Usage]()
        for usage, reader in ((member.filesystem.usage(), member.filesystem.reader) for member in self._members):
            before = largest.setdefault(id(reader), usage)
            if usage.blocks * usage.block_bytes > before.blocks * before.block_bytes:
                largest[id(reader)] = usage
        parts = largest.values()
        used = sum(part.blocks * part.block_bytes for part in parts) + self._files
        free = sum(part.free_blocks * part.block_bytes for part in parts)
        return Usage(block, -(-used // block), free // block, sum(part.files for part in parts))


def _place(ino: int, position: int) -> int:
    """The inode number of an entry of a folder that is made up."""
    places = 0 if ino == ROOT_INO else ino & (1 << INO_BITS) - 1
    depth = -(-places.bit_length() // POSITION_BITS)
    return EXTRAS << INO_BITS | places | position << depth * POSITION_BITS


def _above(ino: int) -> int:
    """The inode number of the folder that an entry stands in."""
    places = ino & (1 << INO_BITS) - 1
    depth = -(-places.bit_length() // POSITION_BITS) - 1
    above = places & (1 << depth * POSITION_BITS) - 1
    return EXTRAS << INO_BITS | above if above else ROOT_INO


def _apart(folder: Folder, base: FileSystem) -> Iterator[tuple[bytes, Content]]:
    """The items of a folder under names that the root of `base` does not have: `name (2).wav`."""
    given: set[bytes] = set()
    for name, content in folder.items:
        unique, copy = name, 2
        while unique in given or _has(base, unique):
            stem, dot, extension = name.rpartition(b".") if b"." in name[1:] else (name, b"", b"")
            unique, copy = b"%s (%d)%s%s" % (stem, copy, dot, extension), copy + 1
        given.add(unique)
        yield unique, content


def _has(filesystem: FileSystem, name: bytes) -> bool:
    """Whether the root has an entry; in one that is damaged, whether it is known to have it."""
    try:
        return filesystem.lookup(filesystem.root, name) is not None
    except DamagedError:
        return False
