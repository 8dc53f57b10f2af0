"""What the tests of UDF share: opening, finding, reading, and walking what is damaged."""

import contextlib
from pathlib import Path

from imagefs.errors import DamagedError
from imagefs.filesystems.udf import FORMAT
from imagefs.filesystems.udf.filesystem import Udf
from imagefs.formats import Candidate
from imagefs.nodes import Node
from imagefs.options import Options
from imagefs.readers import BytesReader
from imagefs.sources import open_source


def opened(image: Path | bytes, origin: int = 0, **options: object) -> Udf:
    """The volume in a file or in bytes, through the format's own door."""
    reader = BytesReader(image) if isinstance(image, bytes) else open_source(str(image))
    candidate = Candidate(reader, origin=origin)
    assert FORMAT.probe(candidate) is not None
    filesystem = FORMAT.open(candidate, Options(**options))  # type: ignore[arg-type]
    assert isinstance(filesystem, Udf)
    return filesystem


def find(filesystem: Udf, path: str) -> Node:
    """The node at a path, which is there."""
    node = filesystem.root
    for part in path.split("/"):
        child = filesystem.lookup(node, part.encode())
        assert child is not None, part
        node = child
    return node


def read(filesystem: Udf, path: str) -> bytes:
    """The content of a file."""
    reader = filesystem.open(find(filesystem, path))
    return reader.exactly(0, reader.size)


def names(filesystem: Udf, path: str = "") -> list[str]:
    """The names in a directory, in its order."""
    node = find(filesystem, path) if path else filesystem.root
    return [name.decode() for name, _ in filesystem.entries(node)]


def survives(image: bytes) -> bool:
    """Walk a damaged image and read at both ends of all files; whether it opens. Only DamagedError may come up."""
    try:
        filesystem = opened(image)
    except DamagedError:
        return False
    filesystem.details()
    filesystem.usage()
    pending, left = [filesystem.root], 2000
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
            assert not {0, 47} & set(name)
            if node.is_directory:
                pending.append(node)
            with contextlib.suppress(DamagedError):
                look_at(filesystem, node)
    return True


def look_at(filesystem: Udf, node: Node) -> None:
    if node.is_link:
        assert len(filesystem.readlink(node)) == node.size
    elif node.is_file:
        reader = filesystem.open(node)
        assert reader.size == node.size
        for offset in (0, max(0, node.size - 3000)):
            assert len(reader.pread(offset, 3000)) == min(3000, node.size - offset)
    filesystem.xattrs(node)
