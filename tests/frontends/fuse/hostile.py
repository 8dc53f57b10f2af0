"""A decoder that was taken over: a format whose code tries all that an attacker would, and shows how each try ended.

Run as `python -m tests.frontends.fuse.hostile WORDS`, it is imagefs with that format. An image of it is the line HOSTILE
and a JSON object that names the targets. Its folder `opening` lists what came of the tries made while the image was
opened, `now` what comes of them at the moment: names like `read a file=EACCES`, with `done` for what was possible.
"""

import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import sys
import termios
from collections.abc import Callable, Sequence
from typing import Any

from imagefs import formats
from imagefs.cli import main
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.nodes import Node
from imagefs.options import Options
from tests.builders.memory import MemoryFileSystem

MAGIC = b"HOSTILE\n"
Targets = dict[str, Any]
CLONE_NEWUSER, PTRACE_ATTACH, PTRACE_DETACH = 0x1000_0000, 16, 17
libc = ctypes.CDLL(None, use_errno=True)


def call(function: str, *arguments: object) -> None:
    """A function of the C library that gives -1 for an error."""
    if getattr(libc, function)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), function)


def make_a_process(targets: Targets) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


def run_a_program(targets: Targets) -> None:
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)


def connect(kind: int, address: Any) -> None:
    with socket.socket(kind, socket.SOCK_STREAM) as sock:
        sock.connect(address)


def send_a_datagram(targets: Targets) -> None:
    """From one of a pair, which needs no socket(2)."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    pair[0].sendto(b"x", targets["datagrams"])


def trace(targets: Targets) -> None:
    call("ptrace", PTRACE_ATTACH, targets["victim"], None, None)
    os.waitpid(targets["victim"], 0x4000_0000)  # __WALL
    call("ptrace", PTRACE_DETACH, targets["victim"], None, None)


TRIES: dict[str, Callable[[Targets], object]] = {
    "read a file": lambda t: os.open(t["outside"], os.O_RDONLY),
    "list a folder": lambda t: os.listdir(os.path.dirname(t["outside"])),
    "write a file": lambda t: os.open(t["outside"], os.O_WRONLY | os.O_APPEND),
    "write the image": lambda t: os.open(t["image"], os.O_WRONLY | os.O_APPEND),
    "make a file beside the image": lambda t: os.open(t["image"] + ".new", os.O_WRONLY | os.O_CREAT),
    "make a folder": lambda t: os.mkdir(t["image"] + ".folder"),
    "rename the image": lambda t: os.rename(t["image"], t["image"] + ".old"),
    "change a mode": lambda t: os.chmod(t["image"], 0o644),
    "make a process": make_a_process,
    "run a program": run_a_program,
    "TCP": lambda t: connect(socket.AF_INET, ("127.0.0.1", t["port"])),
    "UNIX socket": lambda t: connect(socket.AF_UNIX, t["socket"]),
    "abstract socket": lambda t: connect(socket.AF_UNIX, "\0" + t["abstract"]),
    "datagram": send_a_datagram,
    "signal": lambda t: os.kill(t["victim"], signal.SIGCONT),
    "signal the keeper": lambda t: os.kill(os.getppid(), signal.SIGCONT),
    "trace": trace,
    "memory of another": lambda t: os.open(f"/proc/{t['victim']}/mem", os.O_RDONLY),
    "limit another": lambda t: call("prlimit", t["victim"], 7, None, ctypes.create_string_buffer(16)),
    "mount": lambda t: call("mount", b"none", os.fsencode(t["place"]), b"tmpfs", 0, None),
    "unmount": lambda t: call("umount2", os.fsencode(t["place"]), 2),
    "namespace": lambda t: call("unshare", CLONE_NEWUSER),
    "type into the terminal": lambda t: fcntl.ioctl(2, termios.TIOCSTI, b"x"),
    "chroot": lambda t: os.chroot(os.path.dirname(t["image"])),
    "be root": lambda t: os.setresuid(0, 0, 0),
    "join a group": lambda t: os.setgroups([0]),
}


def outcome(attempt: Callable[[Targets], object], targets: Targets) -> str:
    try:
        attempt(targets)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


class Backing:
    """In the place of a file to write: nothing is written, the image is read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __str__(self) -> str:
        return self.path

    def write_bytes(self, data: bytes) -> None:
        pass


class Hostile(MemoryFileSystem):
    """Its listings are what came of the tries."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        skipped = targets.get("skipped", ())
        self._tries = {name: attempt for name, attempt in TRIES.items() if name not in skipped}
        opening = [f"{name}={outcome(attempt, targets)}" for name, attempt in self._tries.items()]
        tree = {"opening": dict.fromkeys(opening, b""), "now": {}, "innocent": "target"}
        super().__init__(tree, Backing(targets["image"]))  # type: ignore[arg-type]

    def entries(self, directory: Node) -> Sequence[tuple[bytes, Node]]:
        if self._names.get(directory.ino) != b"now":
            return super().entries(directory)
        found = [f"{name}={outcome(attempt, self._targets)}" for name, attempt in self._tries.items()]
        return [(name.encode(), self.root) for name in found]

    def parent(self, directory: Node) -> Node:
        return self.root


def probe(candidate: Candidate) -> Match | None:
    return Match(100, "HOSTILE") if candidate.head(len(MAGIC)) == MAGIC else None


def open_hostile(candidate: Candidate, options: Options) -> Hostile:
    head = candidate.exactly(0, candidate.reader.size)
    targets = json.loads(head[len(MAGIC) :])
    if "end" in targets:
        signal.raise_signal(targets["end"]) if targets["end"] > 0 else os._exit(-targets["end"])
    return Hostile(targets)


def set_environment() -> None:
    """As if there were no libseccomp, where HOSTILE_WITHOUT_SECCOMP is set."""
    if os.environ.get("HOSTILE_WITHOUT_SECCOMP"):
        from imagefs.confine import seccomp

        seccomp._library = lambda: None


FORMAT = Format("hostile tries", "a hostile image", Layer.FILESYSTEM, probe, open_hostile, reads="nothing")

if __name__ == "__main__":
    formats.register(FORMAT)
    set_environment()
    sys.exit(main(sys.argv[1:]))
