"""What every Reader and every FileSystem must keep, whatever its format.

`check_reader(reader, content)` and `check_filesystem(filesystem)` in a format's test check all of it.
"""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagefs.errors import DamagedError, NotFoundError
from imagefs.nodes import ROOT_INO, FileSystem, Node
from imagefs.readers import Reader, RunKind, set_nowait
from imagefs.sources import FileSource, open_source

Range = tuple[int, int]
"""(first byte, byte after the last)"""


def source_of(path: Path, content: bytes) -> FileSource:
    """A file with this content, opened."""
    path.write_bytes(content)
    return open_source(str(path), may_be_empty=True)


def check_reader(reader: Reader, content: bytes, block: int = 2048, missing: Sequence[Range] = ()) -> None:
    """`reader` has `content`, except for the `missing` ranges, whatever stands there in `content`.

    Reads are smaller than, equal to and larger than `block`, across its borders and at the ends, in a shuffled order, and
    from several threads.
    """
    assert reader.size == len(content)
    ranges = _ranges(reader.size, block)
    for offset, length in ranges:
        _check_range(reader, content, offset, length, missing)
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(_check_range, reader, content, offset, length, missing) for offset, length in ranges[:40]]
        for each in done:
            each.result()
    for beyond in (reader.size, reader.size + 1, reader.size + 10 * block):
        assert reader.pread(beyond, block) == b""
        assert list(reader.runs(beyond, block)) == []


def _ranges(size: int, block: int) -> list[Range]:
    """(offset, length) of reads that are likely to go wrong, shuffled."""
    borders = [0, 1, block - 1, block, block + 1, 2 * block, size // 2, size - block, size - 1, size]
    lengths = [0, 1, 5, block - 1, block, block + 1, 3 * block + 7, size, size + 1]
    chance = random.Random(size)
    found = {(offset, length) for offset in borders if 0 <= offset <= size for length in lengths}
    found |= {(chance.randrange(size + 1), chance.randrange(4 * block)) for _ in range(30)}
    return chance.sample(sorted(found), len(found))


def _check_range(reader: Reader, content: bytes, offset: int, length: int, missing: Sequence[Range]) -> None:
    end = min(offset + length, reader.size)
    is_missing = any(first < end and offset < last for first, last in missing)
    if is_missing and offset < end:
        with pytest.raises(DamagedError):
            reader.pread(offset, length)
        assert reader.views(offset, length) is None
    else:
        assert reader.pread(offset, length) == content[offset:end]
        views = reader.views(offset, length)
        assert views is None or b"".join(views) == content[offset:end]
        assert _nowait(reader, offset, length) in (None, content[offset:end])
    _check_runs(reader, content, offset, end, missing)


def _nowait(reader: Reader, offset: int, length: int) -> bytes | None:
    """What a thread that must not wait reads; None when it would have to."""
    before = set_nowait(True)
    try:
        return reader.pread(offset, length)
    except BlockingIOError:
        return None
    finally:
        set_nowait(before)


def _check_runs(reader: Reader, content: bytes, offset: int, end: int, missing: Sequence[Range]) -> None:
    for run in reader.runs(offset, end - offset):
        assert run.length > 0
        expected = content[offset : offset + run.length]
        if run.kind is RunKind.DATA:
            assert run.source is not None
            assert run.source.pread(run.offset, run.length) == expected
        elif run.kind is RunKind.ZERO:
            assert not any(expected)
        is_missing = any(first <= offset and offset + run.length <= last for first, last in missing)
        assert (run.kind is RunKind.MISSING) == is_missing
        offset += run.length
    assert offset == end


# --- file systems -----------------------------------------------------------------------------------------------------


def check_filesystem(filesystem: FileSystem) -> dict[bytes, bytes]:
    """An undamaged tree keeps the rules of `imagefs.nodes`, also with several threads.

    Returns path -> content, or target of a link.
    """
    found = _walk(filesystem)
    with ThreadPoolExecutor(4) as pool:
        for other in [pool.submit(_walk, filesystem) for _ in range(4)]:
            assert other.result() == found
    usage = filesystem.usage()
    assert usage.block_bytes > 0 and usage.blocks >= usage.free_blocks >= 0
    with pytest.raises(NotFoundError):
        filesystem.node((1 << 55) + 12_345)
    return found


def _walk(filesystem: FileSystem) -> dict[bytes, bytes]:
    root = filesystem.root
    assert root.ino == ROOT_INO and root.is_directory
    assert filesystem.parent(root) == root
    found: dict[bytes, bytes] = {}
    inodes: dict[int, Node] = {ROOT_INO: root}
    pending = [(b"", root)]
    while pending:
        path, directory = pending.pop()
        entries = list(filesystem.entries(directory))
        assert list(filesystem.entries(directory)) == entries, "the order changes"
        assert len({name for name, _ in entries}) == len(entries), "a name stands twice"
        assert filesystem.lookup(directory, b"no such name") is None
        for name, node in entries:
            assert name not in (b"", b".", b"..") and len(name) <= 255 and not {0, ord("/")} & set(name)
            assert filesystem.lookup(directory, name) == node
            assert 0 < node.ino < 1 << 63
            if node.ino in inodes:
                assert node.nlink > 1 and node.size == inodes[node.ino].size, "an inode number stands for two things"
            inodes[node.ino] = node
            _check_node(filesystem, directory, node)
            whole = path + b"/" + name
            if node.is_directory:
                pending.append((whole, node))
            found[whole] = _content(filesystem, node)
    return found


def _check_node(filesystem: FileSystem, directory: Node, node: Node) -> None:
    """The number alone leads back to the node, and a directory to the one above it."""
    again = filesystem.node(node.ino)
    assert again[: Node._fields.index("locator")] == node[: Node._fields.index("locator")]
    if node.is_directory:
        assert filesystem.parent(node).ino == filesystem.parent(again).ino == directory.ino
        assert [name for name, _ in filesystem.entries(again)] == [name for name, _ in filesystem.entries(node)]


def _content(filesystem: FileSystem, node: Node) -> bytes:
    if node.is_link:
        target = filesystem.readlink(node)
        assert len(target) == node.size
        return target
    if not node.is_file:
        return b""
    reader = filesystem.open(node)
    assert reader.size == node.size
    content = reader.pread(0, node.size)
    assert len(content) == node.size
    if node.start >= 0:
        assert filesystem.reader.pread(node.start, node.size) == content
    return content
