"""XDVDFS volumes that are damaged anywhere: an error of ours or a tree with legal names and an end.

`target` takes an image's bytes and is all that another fuzzer needs. IMAGEFS_FUZZ_SECONDS makes it last longer than the
moment that it takes among the other tests.
"""

import contextlib
import os
import random
import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagefs.errors import DamagedError, NotFoundError
from imagefs.filesystems.xdvdfs import Xdvdfs
from imagefs.nodes import Node
from imagefs.options import Options
from imagefs.readers import BytesReader
from tests.builders.xdvdfs import SECTOR, Tree, descriptor, xdvdfs

SECONDS = float(os.environ.get("IMAGEFS_FUZZ_SECONDS", "1"))
SLOWEST_SECONDS = 2.0
TREE: Tree = {
    "a": b"a" * 3000, "sub": {"deep": {"er": {"leaf": b"x"}}, "b": b"b"}, "none": None, "empty": {},
    "many": {f"file {number}": b"" for number in range(100)},
}  # fmt: skip
SEED = xdvdfs(TREE)
HEAD = 32 * SECTOR


def target(data: bytes) -> None:
    """Open what may be a partition, and walk it."""
    begin = time.monotonic()
    with contextlib.suppress(DamagedError):
        walk(Xdvdfs(BytesReader(data), Options()))
    assert time.monotonic() - begin < SLOWEST_SECONDS


def walk(filesystem: Xdvdfs) -> None:
    filesystem.details()
    filesystem.usage()
    pending, left = [filesystem.root], 1000
    while pending and left > 0:
        directory = pending.pop()
        assert filesystem.parent(directory).is_directory
        try:
            entries = filesystem.entries(directory)
        except DamagedError:
            continue
        assert len({name for name, _ in entries}) == len(entries)
        for name, node in entries:
            left -= 1
            assert name not in (b"", b".", b"..") and len(name) <= 255 and not {0, 47} & set(name)
            pending += [node] if node.is_directory else []
            with contextlib.suppress(DamagedError):
                look_at(filesystem, node)


def look_at(filesystem: Xdvdfs, node: Node) -> None:
    filesystem.xattrs(node)
    if node.is_file:
        assert filesystem.node(node.ino).size == node.size
        for offset in (0, max(0, node.size - 3000)):
            assert len(filesystem.open(node).pread(offset, 3000)) == min(3000, node.size - offset)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(HEAD, len(SEED) - 1), st.binary(min_size=1, max_size=8)), max_size=12))
def test_changed_places(changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(SEED)
    for at, new in changes:
        data[at : at + len(new)] = new
    target(bytes(data))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=SECTOR), st.integers(0, (1 << 32) - 1))
def test_any_table(table: bytes, size: int) -> None:
    target(bytes(HEAD) + descriptor(33, size) + table)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 62))
def test_any_inode_number(number: int) -> None:
    filesystem = Xdvdfs(BytesReader(SEED), Options())
    for ino in (number, number % (len(SEED) // 4)):
        with contextlib.suppress(NotFoundError):
            assert filesystem.node(ino).ino == ino


def test_cut_off_anywhere() -> None:
    for length in range(0, len(SEED), 700):
        target(SEED[:length])


def test_for_a_while() -> None:
    end, number = time.monotonic() + SECONDS, 0
    busy = [at for at in range(HEAD, len(SEED)) if SEED[at] not in (0, 0xFF)]
    while time.monotonic() < end or number < 50:
        chance, data = random.Random(number), bytearray(SEED)
        for _ in range(chance.randrange(1, 30)):
            data[chance.choice(busy)] = chance.choice((0, 1, 0x10, 0x7F, 0xFF, chance.randrange(256)))
        target(bytes(data))
        number += 1
