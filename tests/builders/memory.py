"""A file system made of a dict, its contents in one real file: what frontends are tested with.

Names map to bytes (a file), str (a link's target), a dict (a directory) or a Reader (a file with content of its own).
"""

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imagefs.errors import DamagedError, NotFoundError
from imagefs.nodes import ROOT_INO, FileSystem, Node, Usage
from imagefs.readers import Reader
from imagefs.sources import open_source

TIME = 1_600_000_000 * 10**9 + 123_456_789


class MemoryFileSystem(FileSystem):
    """`broken` are the names of directories whose listing is damaged; `calls` counts the listings made."""

    kind, label, has_xattrs = "memory", "MEMORY", True

    def __init__(self, tree: Mapping[str, Any], backing: Path, broken: Sequence[str] = ()) -> None:
        self._children: dict[int, list[tuple[bytes, Node]]] = {}
        self._parents: dict[int, int] = {ROOT_INO: ROOT_INO}
        self._nodes: dict[int, Node] = {}
        self._content: list[bytes] = [b"\xff" * 4096]
        self._broken, self.calls = {name.encode() for name in broken}, 0
        self._names: dict[int, bytes] = {}
        self.root = self._node(stat.S_IFDIR | 0o755, 0)
        self._fill(self.root, tree)
        backing.write_bytes(b"".join(self._content))
        self.reader = open_source(str(backing))

    def _node(self, mode: int, size: int, **more: Any) -> Node:
        ino = len(self._nodes) * 2 + 1 if self._nodes else ROOT_INO
        node = Node(ino, mode, size, TIME, TIME, TIME, 5, 6, 1, blocks=-(-size // 512), **more)
        self._nodes[ino] = node
        return node

    def _fill(self, directory: Node, tree: Mapping[str, Any]) -> None:
        found = self._children[directory.ino] = []
        for name, value in tree.items():
            if isinstance(value, bytes):
                start = sum(map(len, self._content))
                self._content.append(value)
                node = self._node(stat.S_IFREG | 0o640, len(value), start=start)
            elif isinstance(value, str):
                node = self._node(stat.S_IFLNK | 0o777, len(value), locator=value.encode())
            elif isinstance(value, Reader):
                node = self._node(stat.S_IFREG | 0o640, value.size, locator=value)
            else:
                node = self._node(stat.S_IFDIR | 0o755, 0)
                self._parents[node.ino] = directory.ino
                self._fill(node, value)
            self._names[node.ino] = name.encode()
            found.append((name.encode(), node))

    def entries(self, directory: Node) -> Sequence[tuple[bytes, Node]]:
        self.calls += 1
        if self._names.get(directory.ino) in self._broken:
            raise DamagedError(0, "a broken directory")
        return self._children[directory.ino]

    def lookup(self, directory: Node, name: bytes) -> Node | None:
        return dict(self._children[directory.ino]).get(name)

    def node(self, ino: int) -> Node:
        if ino not in self._nodes:
            raise NotFoundError("no such inode")
        return self._nodes[ino]

    def parent(self, directory: Node) -> Node:
        return self._nodes[self._parents[directory.ino]]

    def readlink(self, node: Node) -> bytes:
        return bytes(node.locator)

    def open(self, node: Node) -> Reader:
        return node.locator if isinstance(node.locator, Reader) else super().open(node)

    def xattrs(self, node: Node) -> Mapping[str, bytes]:
        return {"user.ino": str(node.ino).encode()}

    def usage(self) -> Usage:
        return Usage(2048, self.reader.size // 2048)
