"""What a mount shows: of a volume the richest tree; one volume at the root, or several in folders, and audio tracks.

A volume may describe its files in several trees, and in several file systems (a bridge disc has ISO 9660 and UDF). Shown is
the one that `-o tree=` names, else the first of RICHNESS whose root is whole; failing that, the one that shows most. Rock
Ridge comes before UDF, since the UDF side that mkisofs writes has no links and cuts names; UDF comes before Joliet, since an
installer's ISO 9660 side may be one README.TXT that says to use UDF: such a stub is never shown for a damaged UDF side.

The rules (`-o layout=`):
auto  one volume: its root is the root. Several: a folder each, `1-LABEL`, without a label `1-iso9660`. Audio tracks are
      `track02.wav` at the root.
flat  the first volume alone.
tree  each volume in a folder, also when there is only one.

One volume without extras is shown as it is, with no layer between. Otherwise a `Tree` puts the volume's number into the
top bits of the inode numbers, so that they stay unique.
"""

import stat
from collections.abc import Mapping, Sequence

from imagefs import limits
from imagefs.errors import DamagedError, ImageError, NotFoundError, message_of
from imagefs.formats import Format
from imagefs.nodes import INO_BITS, ROOT_INO, FileSystem, Node, Usage
from imagefs.readers import Reader, ZeroReader

RICHNESS = ("rr", "udf", "hfs", "joliet", "evd", "iso")
"""The trees that may describe the same files, the one that tells most of them first."""

_STUB_NAME, _STUB_BYTES = b"readme.txt", 2048

EXTRAS = 127
"""The volume number of the files that are made up here: the highest that keeps inode numbers positive."""


class Member:
    """A volume in a tree: its number for the inode numbers (1 to 126), its folder's name, its file system."""

    def __init__(self, number: int, name: bytes, filesystem: FileSystem) -> None:
        self.number, self.name, self.filesystem = number, name, filesystem


class Tree(FileSystem):
    """Several file systems and extra files as one.

    With `merged`, the one member's root is the tree's root and the extras stand in it; else each member has its folder.
    Nodes of members keep their own node in `locator`.
    """

    kind = "imagefs"

    def __init__(
        self, members: Sequence[Member], extras: Mapping[bytes, Reader], *, merged: bool, mtime: int = 0
    ) -> None:
        self._members = {member.number: member for member in members}
        self._merged = next(iter(self._members.values())) if merged and members else None
        self._extras = dict(extras)
        self.label = members[0].filesystem.label if members else ""
        self.uuid = members[0].filesystem.uuid if len(members) == 1 else None
        self.tree = members[0].filesystem.tree if len(members) == 1 else ""
        self.reader = ZeroReader(0)
        self.has_xattrs = any(member.filesystem.has_xattrs for member in members)
        self.warnings = tuple(line for member in members for line in member.filesystem.warnings)
        if self._merged:
            self.root = self._outer(self._merged, self._merged.filesystem.root)
        else:
            self.root = Node(ROOT_INO, stat.S_IFDIR | 0o555, 0, mtime, mtime, mtime, nlink=1)
        self._extra_nodes = self._number_extras(mtime)

    def _number_extras(self, mtime: int) -> dict[bytes, Node]:
        taken = (
            {name for name, _ in self._merged.filesystem.entries(self._merged.filesystem.root)}
            if self._merged
            else set()
        )
        nodes = {}
        for index, (name, reader) in enumerate(self._extras.items(), 1):
            unique, copy = name, 2
            while unique in taken or unique in nodes:
                stem, dot, extension = name.rpartition(b".")
                unique = b"%s (%d)%s%s" % (stem, copy, dot, extension)
                copy += 1
            ino = EXTRAS << INO_BITS | index
            blocks = -(-reader.size // 512)
            nodes[unique] = Node(
                ino, stat.S_IFREG | 0o444, reader.size, mtime, mtime, mtime, blocks=blocks, locator=reader
            )
        return nodes

    def _outer(self, member: Member, node: Node) -> Node:
        """A member's node as the tree shows it."""
        if member is self._merged and node.ino == ROOT_INO:
            return node._replace(locator=node)
        return node._replace(ino=member.number << INO_BITS | node.ino, start=-1, locator=node)

    def _inner(self, node: Node) -> tuple[Member, Node]:
        """The member that a node belongs to, and its own node."""
        number = node.ino >> INO_BITS
        member = self._merged if node.ino == ROOT_INO else self._members.get(number)
        if member is None or not isinstance(node.locator, Node):
            raise NotFoundError("no volume has this file")
        return member, node.locator

    def entries(self, directory: Node) -> Sequence[tuple[bytes, Node]]:
        if directory.ino == ROOT_INO and not self._merged:
            folders = [(m.name, self._outer(m, m.filesystem.root)) for m in self._members.values()]
            return [*folders, *self._extra_nodes.items()]
        member, inner = self._inner(directory)
        found = [(name, self._outer(member, node)) for name, node in member.filesystem.entries(inner)]
        return [*found, *self._extra_nodes.items()] if directory.ino == ROOT_INO else found

    def lookup(self, directory: Node, name: bytes) -> Node | None:
        if directory.ino == ROOT_INO:
            if name in self._extra_nodes:
                return self._extra_nodes[name]
            if not self._merged:
                return next((self._outer(m, m.filesystem.root) for m in self._members.values() if m.name == name), None)
        member, inner = self._inner(directory)
        node = member.filesystem.lookup(inner, name)
        return None if node is None else self._outer(member, node)

    def node(self, ino: int) -> Node:
        if ino == ROOT_INO:
            return self.root
        number, inner = ino >> INO_BITS, ino & ((1 << INO_BITS) - 1)
        if number == EXTRAS:
            for node in self._extra_nodes.values():
                if node.ino == ino:
                    return node
        if number not in self._members:
            raise NotFoundError("no volume has this inode")
        return self._outer(self._members[number], self._members[number].filesystem.node(inner))

    def parent(self, directory: Node) -> Node:
        if directory.ino == ROOT_INO:
            return self.root
        member, inner = self._inner(directory)
        if inner.ino == ROOT_INO:
            return self.root
        return self._outer(member, member.filesystem.parent(inner))

    def readlink(self, node: Node) -> bytes:
        member, inner = self._inner(node)
        return member.filesystem.readlink(inner)

    def open(self, node: Node) -> Reader:
        if isinstance(node.locator, Reader):
            return node.locator
        member, inner = self._inner(node)
        return member.filesystem.open(inner)

    def xattrs(self, node: Node) -> Mapping[str, bytes]:
        if isinstance(node.locator, Reader) or (node.ino == ROOT_INO and not self._merged):
            return {}
        member, inner = self._inner(node)
        return member.filesystem.xattrs(inner)

    def usage(self) -> Usage:
        block = 2048
        parts = [member.filesystem.usage() for member in self._members.values()]
        blocks = sum(u.blocks * u.block_bytes for u in parts) + sum(r.size for r in self._extras.values())
        free = sum(u.free_blocks * u.block_bytes for u in parts)
        return Usage(block, -(-blocks // block), free // block, sum(u.files for u in parts))


def richest(opened: Sequence[FileSystem], failed: Sequence[tuple[Format, ImageError]]) -> FileSystem:
    """The one of several file systems of a volume that is shown; `failed` are those that could not be opened.

    Raises the first error when none could, or when all that is left is a stub.
    """
    if not opened or (failed and all(map(_is_stub, opened))):
        raise failed[0][1]
    if len(opened) == 1 and not failed:
        return opened[0]
    states = {filesystem.tree: _state(filesystem) for filesystem in opened}
    shown = min(opened, key=lambda filesystem: (states[filesystem.tree], RICHNESS.index(filesystem.tree)))
    rank = RICHNESS.index(shown.tree)
    remarks = [
        f"its {entry.title} side cannot be read: {message_of(error)}"
        for entry, error in failed
        if RICHNESS.index(entry.trees[0]) < rank
    ]
    remarks += [
        f"its {other.kind} side ({other.tree}) is not shown: the root directory is damaged or empty"
        for other in opened
        if RICHNESS.index(other.tree) < rank
    ]
    shown.warnings = (*remarks, *shown.warnings)
    return shown


def _state(filesystem: FileSystem) -> int:
    """How much a tree's root shows, the best first: whole, damaged, empty, a stub."""
    try:
        entries = filesystem.entries(filesystem.root)
    except DamagedError:
        return 1
    return 2 if not entries else 3 if _is_stub(filesystem) else 0


def _is_stub(filesystem: FileSystem) -> bool:
    """Whether all that a tree holds is a file that says to use another one."""
    try:
        entries = filesystem.entries(filesystem.root)
    except DamagedError:
        return False
    if len(entries) != 1:
        return False
    name, node = entries[0]
    return name.lower() == _STUB_NAME and node.is_file and node.size <= _STUB_BYTES


def folder_name(number: int, filesystem: FileSystem) -> bytes:
    """`1-LABEL`, or `1-kind` without a label; never a `/` or NUL, at most 255 bytes."""
    label = filesystem.label.replace("/", "_").replace("\0", "_").strip() or filesystem.kind
    text = f"{number}-{label}"[: limits.NAME_BYTES]
    while len(raw := text.encode("utf-8", "surrogateescape")) > limits.NAME_BYTES:
        text = text[:-1]
    return raw


def show(
    volumes: Sequence[tuple[int, FileSystem]], extras: Mapping[bytes, Reader], layout: str, mtime: int = 0
) -> FileSystem:
    """The tree of an image from its volumes (number, file system) and extra files, by the rules above.

    `mtime` (ns) is shown of what has no time of its own.
    """
    if layout == "flat" and volumes:
        return volumes[0][1]
    if len(volumes) == 1 and layout != "tree":
        if not extras:
            return volumes[0][1]
        return Tree([Member(1, b"", volumes[0][1])], extras, merged=True, mtime=mtime)
    ordered = sorted(volumes, key=lambda volume: volume[0])
    members = [Member(i, folder_name(number, fs), fs) for i, (number, fs) in enumerate(ordered[: EXTRAS - 1], 1)]
    return Tree(members, extras, merged=False, mtime=mtime)
