"""The registry of formats and the probing that chooses among them.

A format is one module in `wrappers/`, `containers/`, `volumes/` or `filesystems/` that exports `FORMAT`; nothing else has
to be touched. Content beats name, the highest score wins, and a format that matches but cannot be read ends the search
with its own error: a weaker guess would show rubbish.

Scores: 90 to 100 a long magic and consistent fields; 60 to 89 a short magic or a structure found by looking; 30 to 59 a
text that parses; below 30 a guess.
"""

import enum
import functools
import importlib
import pkgutil
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError, ImageError
from imagefs.options import Options
from imagefs.readers import Reader

if TYPE_CHECKING:
    from imagefs.sources import Folder


class Layer(enum.Enum):
    """Where a format stands on the way from the file to the tree; the value is its package."""

    WRAPPER = "imagefs.wrappers"  # open() gives a Reader
    CONTAINER = "imagefs.containers"  # open() gives a Reader or a Disc
    VOLUME = "imagefs.volumes"  # open() gives a list of Volume
    FILESYSTEM = "imagefs.filesystems"  # open() gives a FileSystem


class Match(NamedTuple):
    """A probe's yes: how sure, and why, in words for `info --why`."""

    score: int
    why: str


class Candidate:
    """Bytes that are to be recognised, and what lies around them.

    `name` is a file name without a folder (may be empty), `folder` the only place where parts may be opened (None when
    there is none), `origin` the byte offset in `reader` at which this volume's session begins: structures with a fixed
    place are sought from there, while block addresses count from 0.
    """

    def __init__(self, reader: Reader, name: str = "", folder: "Folder | None" = None, origin: int = 0) -> None:
        self.reader, self.name, self.folder, self.origin = reader, name, folder, origin
        self._head: bytes | None = None

    @property
    def extension(self) -> str:
        """The name's last extension in lower case, without its dot."""
        return self.name.rpartition(".")[2].lower() if "." in self.name else ""

    def head(self, length: int) -> bytes:
        """The first `length` bytes, fewer when there are no more or they cannot be read."""
        if self._head is None or (length > len(self._head) and len(self._head) == _HEAD_BYTES):
            self._head = self.at(0, max(length, _HEAD_BYTES))
        return self._head[:length]

    def at(self, offset: int, length: int) -> bytes:
        """What there is of a range; never raises for what is not there. For probes."""
        if offset < 0:
            return b""
        try:
            return self.reader.pread(offset, min(length, limits.PROBE_BYTES))
        except (ImageError, OSError):
            return b""

    def tail(self, length: int) -> bytes:
        """The last `length` bytes, fewer when there are no more.

        None at all where the whole of a long stream would have to be decoded for them and the name is one of an image that
        has nothing there: looking for a footer would cost more than all that follows.
        """
        start = max(0, self.reader.size - length)
        if self.extension in _WITHOUT_FOOTER and self.reader.is_far(start):
            return b""
        return self.at(start, length)

    def exactly(self, offset: int, length: int) -> bytes:
        """A range that must be there. Raises DamagedError."""
        return self.reader.exactly(offset, length)

    def table(self, item: str, offset: int, count: int) -> Sequence[Any]:
        """`count` items of the struct format `item` (one field, "<I"), checked against the file before they are read."""
        size = struct.calcsize(item) * count
        if offset < 0 or count < 0 or offset + size > self.reader.size or size > limits.TABLE_BYTES:
            raise DamagedError(offset, f"a table of {count} entries cannot lie there in {self.reader.size} bytes")
        return struct.unpack(f"{item[0]}{count}{item[1:]}", self.reader.exactly(offset, size))


_HEAD_BYTES = 4096
_WITHOUT_FOOTER = ("iso", "img", "bin", "raw", "dd", "udf")


class State(NamedTuple):
    """One of the states that a volume was in: its name, `session1` or `build1` and so on.

    `open` opens its file system and searches nothing anew, however many states there are; `-o session=` means nothing to it.
    """

    name: str
    open: Callable[[Options], Any]


@dataclass(frozen=True)
class Format:
    """One format: how it is recognised, opened and described."""

    name: str
    title: str
    layer: Layer
    probe: Callable[[Candidate], Match | None]
    """Looks at bytes, never at the name alone; reads at most 64 KiB around its offsets; never raises."""
    open: Callable[[Candidate, Options], Any]
    extensions: tuple[str, ...] = ()
    mime: tuple[str, ...] = ()
    magic: tuple[tuple[int, bytes], ...] = ()
    """(offset, bytes) that stand at the start of such files, any of them, for the type databases of desktops; offsets are
    small, because a desktop reads that far into every file it looks at."""
    reads: str = ""
    lacks: str = ""
    trees: tuple[str, ...] = ()
    """Of a file system that may share its volume with others, which describe the same files: the trees it may show, the
    richest first, as `-o tree=` names them."""
    states: Callable[[Candidate], Sequence[State]] | None = None
    """Of a file system whose volumes keep earlier states: all of them, the oldest first, as `-o session=` counts them; none
    where there is one state alone. Raises ImageError, OSError."""
    describes: tuple[str, ...] = ()
    """Extensions of data files that a descriptor of this format may stand beside (cue: bin, img ...); empty for none."""
    parts: Callable[[Candidate], Sequence[str]] | None = None
    """The names of the data files that a descriptor names, as written."""


class Answer(NamedTuple):
    """What one probe said of one candidate, for `info --why`. `error` is why a match could not be opened."""

    candidate: str
    format: Format
    match: Match | None
    error: str | None = None


@functools.cache
def formats(layer: Layer) -> tuple[Format, ...]:
    """All formats of a layer, by name."""
    package = importlib.import_module(layer.value)
    found = []
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            found.append(importlib.import_module(f"{layer.value}.{module.name}").FORMAT)
    found += [entry for entry in _registered if entry.layer is layer]
    return tuple(sorted(found, key=lambda entry: entry.name))


_registered: list[Format] = []


def register(entry: Format) -> None:
    """Add a format that lives outside the package, for this process."""
    _registered.append(entry)
    formats.cache_clear()


def all_formats() -> Iterator[Format]:
    """Every format, from the outside in."""
    for layer in Layer:
        yield from formats(layer)


def matches(candidate: Candidate, layer: Layer, answers: list[Answer] | None = None) -> list[tuple[Match, Format]]:
    """The formats of a layer that recognise the candidate, the surest first."""
    found = []
    for entry in formats(layer):
        match = entry.probe(candidate)
        if answers is not None:
            answers.append(Answer(candidate.name, entry, match))
        if match:
            found.append((match, entry))
    return sorted(found, key=lambda pair: -pair[0].score)


def find_part(folder: "Folder", name: str) -> str | None:
    """The path below the folder of the part that `name` means, as it is or in a wrapper: x.bin, else x.bin.ecm.

    None when neither is there. Raises OutsideError.
    """
    found = folder.find(name)
    if found is None:
        extensions = [extension for entry in formats(Layer.WRAPPER) for extension in entry.extensions]
        found = next((path for each in extensions if (path := folder.find(f"{name}.{each}"))), None)
    return found


def open_part(folder: "Folder", path: str, options: Options) -> Reader:
    """A part that was found, out of its wrapper if it has one by its name and its content.

    Raises MissingPartError, OutsideError, DamagedError, UnsupportedError, OSError.
    """
    candidate = Candidate(folder.open(path), path, folder)
    for _, entry in matches(candidate, Layer.WRAPPER):
        if candidate.extension in entry.extensions:
            opened: Reader = entry.open(candidate, options)
            return opened
    return candidate.reader
