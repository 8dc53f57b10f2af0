"""What the tests of ISO 9660 share beside `tests.filesystems.images`: a careful walk, and what bsdtar sees in an image."""

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
from imagefs.nodes import INO_BITS, ROOT_INO, Node
from tests.filesystems import images
from tests.filesystems.images import find, names, read

__all__ = ["Seen", "by_bsdtar", "by_source", "find", "names", "opened", "read", "seen", "survives", "walk"]


class Seen(NamedTuple):
    """An entry as one reader shows it: its kind as `ls` writes it, permissions, hash or link's target, time in seconds."""

    kind: str
    mode: int
    size: int
    content: bytes
    mtime: int


def opened(image: Path | bytes, origin: int = 0, **options: object) -> Iso9660:
    """The volume in a file or in bytes."""
    filesystem = images.opened_by(FORMAT, image, origin, **options)
    assert isinstance(filesystem, Iso9660)
    return filesystem


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
    """Walk a damaged image; whether it opens. Only DamagedError may come up."""
    try:
        filesystem = opened(image, **options)
    except DamagedError:
        return False
    images.walk_damaged(filesystem)
    return True
