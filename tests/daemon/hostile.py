"""imagefs with one format more, whose images misbehave: `python -m tests.daemon.hostile serve ...`.

Such an image begins with `HOSTILE` and a word that says how: `sleep-open` never gets open, `burn-list` computes for ever
over the listing of its folder `trap`, `raise-read` fails unexpectedly over the content of its file `trap/file`; and so on.

The format of `tests.frontends.fuse.hostile`, which tries what is forbidden, is there, too.
"""

import sys
import time
from collections.abc import Iterator, Sequence

import imagefs
from imagefs.cli import main
from imagefs.formats import Candidate, Format, Layer, Match, register
from imagefs.nodes import Node
from imagefs.options import Options
from imagefs.readers import Reader, Run, RunKind
from tests.builders.memory import MemoryFileSystem
from tests.frontends.fuse import hostile
from tests.frontends.fuse.hostile import Backing

MAGIC, GOOD = b"HOSTILE ", b"good\n"
BEGIN = 4096
"""Where MemoryFileSystem has the content of its first file."""


def image(word: str) -> bytes:
    """The content of an image that misbehaves in this way."""
    return ((MAGIC + word.encode() + b"\n").ljust(BEGIN, b".") + GOOD).ljust(65536, b".")


def misbehave(how: str) -> None:
    if how == "raise":
        raise ZeroDivisionError("a fault of the decoder")
    while how == "burn":
        pass
    while how == "sleep":
        time.sleep(1000)


class HostileReader(Reader):
    """Eight bytes, or none."""

    size = 8

    def __init__(self, how: str) -> None:
        self._how = how

    def pread(self, offset: int, length: int) -> bytes:
        misbehave(self._how)
        return b"innocent"[offset : offset + length]

    def runs(self, offset: int, length: int) -> Iterator[Run]:
        yield Run(RunKind.PACKED, min(length, 8 - offset))


class HostileFileSystem(MemoryFileSystem):
    """A good file, and a folder that is a trap."""

    def __init__(self, reader: Reader, how: str, where: str) -> None:
        content = {"good": GOOD, "trap": {"file": HostileReader(how if where == "read" else "")}}
        super().__init__(content, Backing(imagefs.__file__))  # type: ignore[arg-type]
        self.reader.close()
        self.reader = reader
        self._how, self._where = how, where

    def entries(self, directory: Node) -> Sequence[tuple[bytes, Node]]:
        if self._where == "list" and directory.ino != self.root.ino:
            misbehave(self._how)
        return super().entries(directory)


def probe(candidate: Candidate) -> Match | None:
    return Match(100, "says so") if candidate.head(8) == MAGIC else None


def open_hostile(candidate: Candidate, options: Options) -> HostileFileSystem:
    how, _, where = candidate.head(64).split()[1].decode().partition("-")
    if where == "open":
        misbehave(how)
    return HostileFileSystem(candidate.reader, how, where)


FORMAT = Format("hostile", "a trap", Layer.FILESYSTEM, probe, open_hostile, reads="nothing")

if __name__ == "__main__":
    register(FORMAT)
    register(hostile.FORMAT)
    hostile.set_environment()
    sys.exit(main())
