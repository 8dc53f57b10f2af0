"""What the tests of all file systems share: opening by the format, finding, reading, walking what is damaged."""

import contextlib
from pathlib import Path

from imagefs.errors import DamagedError
from imagefs.formats import Candidate, Format
from imagefs.nodes import FileSystem, Node
from imagefs.options import Options
from imagefs.readers import BytesReader
from imagefs.sources import open_source

ENTRIES = 2000
"""Entries of a damaged image that are looked at."""


def opened_by(entry: Format, image: Path | bytes, origin: int = 0, **options: object) -> FileSystem:
    """The volume in a file or in bytes, which the format recognises."""
    reader = BytesReader(image) if isinstance(image, bytes) else open_source(str(image))
    candidate = Candidate(reader, origin=origin)
    assert entry.probe(candidate) is not None
    filesystem = entry.open(candidate, Options(**options))  # type: ignore[arg-type]
    assert isinstance(filesystem, FileSystem)
    return filesystem


def find(filesystem: FileSystem, path: str) -> Node:
    """The node at a path, which is there."""
    node = filesystem.root
    for part in path.split("/"):
        child = filesystem.lookup(node, part.encode())
        assert child is not None, part
        node = child
    return node


def read(filesystem: FileSystem, path: str) -> bytes:
    """The content of a file."""
    reader = filesystem.open(find(filesystem, path))
    return reader.exactly(0, reader.size)


def names(filesystem: FileSystem, path: str = "") -> list[bytes]:
    """The names in a directory, in its order."""
    node = find(filesystem, path) if path else filesystem.root
    return [name for name, _ in filesystem.entries(node)]


def walk_damaged(filesystem: FileSystem) -> None:
    """Walk a tree and read at both ends of all files. Only DamagedError may come up, and names must be legal."""
    filesystem.usage()
    pending, left = [filesystem.root], ENTRIES
    while pending and left > 0:
        directory = pending.pop()
        with contextlib.suppress(DamagedError):
            filesystem.parent(directory)
        try:
            entries = filesystem.entries(directory)
        except DamagedError:
            continue
        assert len({name for name, _ in entries}) == len(entries)
        for name, node in entries:
            left -= 1
            assert name not in (b"", b".", b"..") and len(name) <= 255
            assert not {0, ord("/")} & set(name)
            if node.is_directory:
                pending.append(node)
            with contextlib.suppress(DamagedError):
                _look_at(filesystem, node)


def _look_at(filesystem: FileSystem, node: Node) -> None:
    filesystem.xattrs(node)
    if node.is_link:
        assert len(filesystem.readlink(node)) == node.size
    elif node.is_file:
        reader = filesystem.open(node)
        assert reader.size == node.size
        for offset in (0, max(0, node.size - 3000)):
            assert len(reader.pread(offset, 3000)) == min(3000, node.size - offset)
