"""The direct engine over a socket pair in the place of /dev/fuse: requests in, answers out, no kernel needed."""

import errno
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefs.frontends.fuse import protocol as p
from imagefs.frontends.fuse.direct import DirectEngine
from imagefs.frontends.fuse.mount import Mount
from imagefs.frontends.fuse.prefetch import Prefetch
from imagefs.frontends.fuse.protocol import ROOT_ID, Op
from imagefs.nodes import Node
from imagefs.readers import is_nowait
from tests.builders.memory import MemoryFileSystem


class Kernel:
    """The kernel's end: sends requests, reads answers."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.unique = sock, 0

    def send(self, opcode: int, node: int, body: bytes = b"") -> int:
        self.unique += 2
        self.sock.send(p.IN_HEADER.pack(p.IN_HEADER.size + len(body), opcode, self.unique, node, 0, 0, 0, 0) + body)
        return self.unique

    def receive(self) -> tuple[int, int, bytes]:
        """(unique, error, body)."""
        data = self.sock.recv(1 << 20)
        length, error, unique = p.OUT_HEADER.unpack_from(data)
        assert length == len(data)
        return unique, error, data[p.OUT_HEADER.size :]

    def ask(self, opcode: int, node: int, body: bytes = b"") -> tuple[int, bytes]:
        sent = self.send(opcode, node, body)
        unique, error, answer = self.receive()
        while unique == 0:  # a notification
            unique, error, answer = self.receive()
        assert unique == sent
        return error, answer

    def lookup(self, parent: int, name: bytes) -> int:
        error, answer = self.ask(Op.LOOKUP, parent, name + b"\0")
        assert error == 0
        return int(p.ENTRY_OUT.unpack_from(answer)[0])

    def read(self, node: int, offset: int, size: int) -> tuple[int, bytes]:
        return self.ask(Op.READ, node, p.READ_IN.pack(0, offset, size) + bytes(20))


class Slow(MemoryFileSystem):
    """Listings of `slow` would wait; those of `bug` are a programming error."""

    def entries(self, directory: Node) -> list[tuple[bytes, Node]]:
        name = self._names.get(directory.ino)
        if name == b"slow" and is_nowait():
            raise BlockingIOError(errno.EAGAIN, "would wait")
        if name == b"bug":
            raise ZeroDivisionError
        return list(super().entries(directory))


@pytest.fixture
def ends() -> tuple[socket.socket, socket.socket]:
    """The kernel's and the engine's end of a device."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


@pytest.fixture
def engine(tmp_path: Path, ends: tuple[socket.socket, socket.socket]) -> DirectEngine:
    tree = {"a": b"alpha", "big": bytes(range(256)) * 4096, "slow": {"s": b"1"}, "bug": {}, "broken": {}, "link": "a"}
    filesystem = Slow(tree, tmp_path / "backing", broken=["broken"])
    for sock in ends:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return DirectEngine(Mount(filesystem), ends[1].detach(), threads=1)


@pytest.fixture
def kernel(engine: DirectEngine, ends: tuple[socket.socket, socket.socket]) -> Iterator[Kernel]:
    ours = ends[0]
    engine.start()
    kernel = Kernel(ours)
    ours.settimeout(5)
    error, answer = kernel.ask(Op.INIT, 0, p.INIT_IN.pack(7, 45, 131072, 0xFFFF_FFFF) + bytes(48))
    assert error == 0
    major, minor, readahead, flags = struct.unpack_from("<4I", answer)
    assert (major, minor, readahead, flags) == (7, 38, 1 << 20, int(p.WANTED))
    yield kernel
    ended = threading.Event()
    engine.when_ended(ended.set)
    ours.close()
    assert ended.wait(5)
    engine.close()


def test_lookup_and_read(kernel: Kernel) -> None:
    a = kernel.lookup(ROOT_ID, b"a")
    assert kernel.read(a, 0, 4096) == (0, b"alpha")
    assert kernel.read(a, 2, 2) == (0, b"ph")
    assert kernel.read(a, 5, 10) == (0, b"")
    big = kernel.lookup(ROOT_ID, b"big")
    assert kernel.read(big, 1000, 100_000) == (0, (bytes(range(256)) * 4096)[1000:101_000])


def test_a_missing_name_is_remembered_by_the_kernel(kernel: Kernel) -> None:
    error, answer = kernel.ask(Op.LOOKUP, ROOT_ID, b"nothing\0")
    assert error == 0
    node, _, valid, *_ = p.ENTRY_OUT.unpack_from(answer)
    assert (node, valid) == (0, p.FOREVER)


@pytest.mark.parametrize(
    ("opcode", "body", "error"),
    [
        (Op.OPEN, bytes(8), errno.ENOSYS),
        (Op.FLUSH, bytes(24), errno.ENOSYS),
        (9999, b"", errno.ENOSYS),
        (Op.READDIRPLUS, p.READ_IN.pack(0, 0, 4096) + bytes(20), errno.ENOTDIR),
        (Op.READLINK, b"", errno.EINVAL),
        (Op.LSEEK, p.LSEEK_IN.pack(0, 100, os.SEEK_DATA), errno.ENXIO),
        (Op.GETXATTR, p.XATTR_IN.pack(100) + b"user.none\0", errno.ENODATA),
        (Op.LISTXATTR, p.XATTR_IN.pack(1), errno.ERANGE),
    ],
)
def test_refusals(kernel: Kernel, opcode: int, body: bytes, error: int) -> None:
    a = kernel.lookup(ROOT_ID, b"a")
    assert kernel.ask(opcode, a, body) == (-error, b"")


def test_xattrs_tell_their_size_first(kernel: Kernel) -> None:
    a = kernel.lookup(ROOT_ID, b"a")
    error, answer = kernel.ask(Op.LISTXATTR, a, p.XATTR_IN.pack(0))
    assert (error, p.XATTR_OUT.unpack(answer)[0]) == (0, len(b"user.ino\0"))
    assert kernel.ask(Op.LISTXATTR, a, p.XATTR_IN.pack(64)) == (0, b"user.ino\0")
    assert kernel.ask(Op.GETXATTR, a, p.XATTR_IN.pack(64) + b"user.ino\0") == (0, str(a).encode())


def test_an_unknown_number_is_stale(kernel: Kernel) -> None:
    assert kernel.ask(Op.GETATTR, 123_456_789, bytes(16)) == (-errno.ESTALE, b"")


def test_what_would_wait_is_answered_by_a_worker(kernel: Kernel) -> None:
    slow = kernel.lookup(ROOT_ID, b"slow")
    error, answer = kernel.ask(Op.READDIRPLUS, slow, p.READ_IN.pack(0, 0, 4096) + bytes(20))
    assert error == 0
    assert answer.count(b"s") >= 1
    assert p.DIRENTPLUS.size * 3 <= len(answer)


def test_without_a_second_serving_thread_there_are_workers_all_the_same(tmp_path: Path) -> None:
    """The descriptor cannot be cloned: here it is none of the kernel's, elsewhere there may be no more descriptors."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.settimeout(5)
        engine = DirectEngine(Mount(Slow({"slow": {"s": b"1"}}, tmp_path / "b")), theirs.detach(), threads=2)
        engine.start()
        kernel = Kernel(ours)
        assert kernel.ask(Op.INIT, 0, p.INIT_IN.pack(7, 45, 131072, 0xFFFF_FFFF) + bytes(48))[0] == 0
        slow = kernel.lookup(ROOT_ID, b"slow")
        assert kernel.ask(Op.READDIRPLUS, slow, p.READ_IN.pack(0, 0, 4096) + bytes(20))[0] == 0
    assert engine.wait_until_ended(5)
    engine.close()


def test_a_fault_in_work_ahead_does_not_end_it(tmp_path: Path) -> None:
    """A guess may be listed that a request has not met yet."""
    tree = {"walked": {"bug": {}, "good": {}}}
    mount = Mount(Slow(tree, tmp_path / "b"))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        prefetch = Prefetch(mount, theirs.fileno())
        prefetch.start()
        walked = mount.listing(ROOT_ID).ids[2]
        good = mount.listing(walked).ids[3]
        prefetch.listed(ROOT_ID, mount.listing(ROOT_ID))
        prefetch.listed(walked, mount.listing(walked))
        end = time.monotonic() + 5
        while not mount.is_listed(good) and time.monotonic() < end:
            time.sleep(0.001)
        prefetch.stop()
        assert mount.is_listed(good)


def test_damage_is_eio_and_so_is_a_bug_and_the_mount_lives(kernel: Kernel, caplog: pytest.LogCaptureFixture) -> None:
    for name in (b"broken", b"bug", b"bug"):
        node = kernel.lookup(ROOT_ID, name)
        assert kernel.ask(Op.READDIRPLUS, node, p.READ_IN.pack(0, 0, 4096) + bytes(20)) == (-errno.EIO, b"")
    assert kernel.read(kernel.lookup(ROOT_ID, b"a"), 0, 10) == (0, b"alpha")
    unexpected = [record for record in caplog.records if "unexpectedly" in record.message]
    assert len(unexpected) == 1  # logged with its stack, once for each place
    assert unexpected[0].exc_info


def test_forget_and_interrupt_get_no_answer(kernel: Kernel) -> None:
    kernel.send(Op.FORGET, 5, struct.pack("<Q", 1))
    kernel.send(Op.BATCH_FORGET, 0, struct.pack("<IIQQ", 1, 0, 7, 1))
    kernel.send(Op.INTERRUPT, 0, struct.pack("<Q", 3))
    assert kernel.ask(Op.READLINK, kernel.lookup(ROOT_ID, b"link")) == (0, b"a")


def test_random_requests_never_end_the_mount(kernel: Kernel) -> None:
    dice = random.Random(7)
    silent = {Op.FORGET, Op.BATCH_FORGET, Op.INTERRUPT}
    for _ in range(2000):
        opcode = dice.choice([*Op, 0, 4, 99, 0xFFFF])
        if opcode in (Op.INIT, *silent):
            continue
        body = dice.randbytes(dice.choice([0, 3, 8, 16, 24, 40]))
        error, _ = kernel.ask(opcode, dice.choice([0, 1, 3, 5, 7, 9, 1 << 63]), body)
        assert -200 < error <= 0
    assert kernel.read(kernel.lookup(ROOT_ID, b"a"), 0, 10) == (0, b"alpha")


def test_a_change_makes_the_kernel_forget_what_it_keeps(kernel: Kernel, engine: DirectEngine) -> None:
    a = kernel.lookup(ROOT_ID, b"a")
    engine.invalidate()
    told = set()
    while not {a, ROOT_ID} <= told:
        unique, code, body = kernel.receive()
        assert (unique, code) == (0, p.NOTIFY_INVAL_INODE)
        number, offset, length = p.INVAL_INODE_OUT.unpack(body)
        assert (offset, length) == (0, 0)
        told.add(number)
