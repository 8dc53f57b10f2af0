"""What the tests of ISO 9660 share: opening, walking, and asking bsdtar what it sees in an image."""

import hashlib
import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple

from imagefs.errors import DamagedError
from imagefs.filesystems.iso9660 import FORMAT
from imagefs.filesystems.iso9660.filesystem import Iso9660
from imagefs.formats import Candidate
from imagefs.nodes import INO_BITS, ROOT_INO, Node
from imagefs.options import Options
from imagefs.readers import BytesReader
from imagefs.sources import open_source


class Seen(NamedTuple):
    """An entry as one reader shows it: its kind as `ls` writes it, permissions, hash or link's target, time in seconds."""

    kind: str
    mode: int
    size: int
    content: bytes
    mtime: int


def opened(image: Path | bytes, origin: int = 0, **options: object) -> Iso9660:
    """The volume in a file or in bytes, through the format's own door."""
    reader = BytesReader(image) if isinstance(image, bytes) else open_source(str(image))
    candidate = Candidate(reader, origin=origin)
    assert FORMAT.probe(candidate) is not None
    filesystem = FORMAT.open(candidate, Options(**options))  # type: ignore[arg-type]
    assert isinstance(filesystem, Iso9660)
    return filesystem


def find(filesystem: Iso9660, path: str) -> Node:
    """The node at a path, which is there."""
    node = filesystem.root
    for part in path.split("/"):
        child = filesystem.lookup(node, part.encode())
        assert child is not None, part
        node = child
    return node


def read(filesystem: Iso9660, path: str) -> bytes:
    """The content of a file."""
    reader = filesystem.open(find(filesystem, path))
    return reader.exactly(0, reader.size)


def names(filesystem: Iso9660, path: str = "") -> list[bytes]:
    """The names in a directory, in its order."""
    node = find(filesystem, path) if path else filesystem.root
    return [name for name, _ in filesystem.entries(node)]


def walk(filesystem: Iso9660) -> dict[str, Seen]:
    """Every entry by its path, after all that a file system promises was checked on it."""
    found: dict[str, Seen] = {}
    pending = [("", filesystem.root)]
    inos: dict[int, Node] = {}
    while pending:
        path, directory = pending.pop()
        entries = filesystem.entries(directory)
        assert len({name for name, _ in entries}) == len(entries)
        for name, node in entries:
            check_node(filesystem, directory, name, node)
            assert inos.setdefault(node.ino, node)[:3] == node[:3]
            full = path + name.decode("utf-8", "surrogateescape")
            found[full] = seen(filesystem, node)
            if node.is_directory:
                pending.append((full + "/", node))
    return found


def check_node(filesystem: Iso9660, directory: Node, name: bytes, node: Node) -> None:
    """One entry keeps the rules of `imagefs.nodes`."""
    assert name not in (b"", b".", b"..")
    assert b"/" not in name
    assert b"\0" not in name
    assert len(name) <= 255
    assert ROOT_INO < node.ino < 1 << INO_BITS
    assert filesystem.lookup(directory, name) == node
    again = filesystem.node(node.ino)
    assert again._replace(locator=None) == node._replace(locator=None)
    if node.is_directory:
        assert filesystem.parent(node).ino == directory.ino
        assert filesystem.entries(again) == filesystem.entries(node)
    if node.start >= 0:
        assert node.start + node.size <= filesystem.reader.size


def seen(filesystem: Iso9660, node: Node) -> Seen:
    content = b""
    if node.is_link:
        content = filesystem.readlink(node)
        assert len(content) == node.size
    elif node.is_file:
        reader = filesystem.open(node)
        assert reader.size == node.size
        content = hashlib.sha256(reader.exactly(0, reader.size)).digest()
    kind = "l" if node.is_link else stat.filemode(node.mode)[0]
    size = node.size if node.is_file else 0
    return Seen(kind, stat.S_IMODE(node.mode), size, content, node.mtime // 10**9)


def by_bsdtar(image: Path) -> dict[str, Seen]:
    """Every entry as libarchive reads it."""
    words = ["bsdtar", "--format=pax", "-cf", "-", f"@{image}"]
    output = subprocess.run(words, check=True, capture_output=True, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})
    found: dict[str, Seen] = {}
    with tarfile.open(fileobj=io.BytesIO(output.stdout)) as archive:
        for member in archive:
            path = member.name.removeprefix("./")
            if path in ("", "."):
                continue
            kinds = {tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.FIFOTYPE: "p", tarfile.CHRTYPE: "c"}
            if member.islnk():
                found[path] = found[member.linkname.removeprefix("./")]
                continue
            kind = kinds.get(member.type, "b" if member.type == tarfile.BLKTYPE else "-")
            content = member.linkname.encode("utf-8", "surrogateescape") if kind == "l" else b""
            if kind == "-":
                file = archive.extractfile(member)
                assert file is not None
                content = hashlib.sha256(file.read()).digest()
            size = member.size if kind == "-" else 0
            found[path] = Seen(kind, member.mode & 0o7777, size, content, int(member.mtime))
    return found


def by_source(top: Path) -> dict[str, Seen]:
    """Every entry of the folder that an image was made of."""
    found = {}
    for path in top.rglob("*"):
        info = path.lstat()
        kind = stat.filemode(info.st_mode)[0]
        content = os.fsencode(os.readlink(path)) if kind == "l" else b""
        if kind == "-":
            content = hashlib.sha256(path.read_bytes()).digest()
        size = info.st_size if kind == "-" else 0
        name = str(path.relative_to(top))
        found[name] = Seen(kind, stat.S_IMODE(info.st_mode), size, content, int(info.st_mtime // 1))
    return found


def survives(image: bytes, **options: object) -> bool:
    """Walk a damaged image and read at both ends of all files; whether it opens. Only DamagedError may come up."""
    try:
        filesystem = opened(image, **options)
    except DamagedError:
        return False
    pending, left = [filesystem.root], 2000
    while pending and left > 0:
        try:
            entries = filesystem.entries(pending.pop())
        except DamagedError:
            continue
        assert len({name for name, _ in entries}) == len(entries)
        for name, node in entries:
            left -= 1
            assert name not in (b"", b".", b"..")
            assert not {0, 47} & set(name)
            if node.is_directory:
                pending.append(node)
            try:
                seen_of(filesystem, node)
            except DamagedError:
                continue
    return True


def seen_of(filesystem: Iso9660, node: Node) -> None:
    filesystem.xattrs(node)
    if node.is_link:
        filesystem.readlink(node)
    elif node.is_file:
        reader = filesystem.open(node)
        assert reader.size == node.size
        for offset in (0, max(0, node.size - 3000)):
            assert len(reader.pread(offset, 3000)) == min(3000, node.size - offset)
