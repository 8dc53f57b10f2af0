"""What media descriptors of version 1 and version 2 have in common; the pages of `mds` and `mdx` have the tables.

Offsets count from the beginning of the descriptor, so the candidate of a version 2 is its descriptor in the clear.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.containers._parts import find_beside, find_named, open_found, stem_of
from imagefs.disc.build import DiscBuilder
from imagefs.disc.model import MAX_SESSION, MAX_TRACK
from imagefs.errors import DamagedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import Reader

SIGNATURE = b"MEDIA DESCRIPTOR"
HEADER = struct.Struct("<16sBxHH58xI4x")
SESSION_1, SESSION_2 = struct.Struct("<10xB9xI"), struct.Struct("<10xB9xI8x")
TRACK = struct.Struct("<BBBxB7xIHB17xiQIIqQ8x")
SPLIT = tuple(f"md{number}" for number in range(10))
"""Extensions of the files that a large image is cut into."""

_EXTENSIONS = {"xmd": "xmf"}
"""Of the data, where it is not mdf."""
_MAX_FILES = 256
"""of one track, and by their names of all: a Blu-ray disc of two layers in pieces of 200 MB"""
_NAME_BYTES = 2 * limits.NAME_BYTES + 2
_FLAGS = ((1, "PRE"), (2, "DCP"), (8, "4CH"))


class Block(NamedTuple):
    """A track block, with the names of its fields. Those from `first` on are 0 in version 1."""

    mode: int
    subchannel: int
    control: int
    point: int
    extra: int
    sector_bytes: int
    indexes: int
    start: int
    offset: int
    files: int
    file_offset: int
    first: int
    length: int

    @property
    def flags(self) -> tuple[str, ...]:
        """As CUE sheets write them."""
        return tuple(flag for bit, flag in _FLAGS if self.control & bit)


def read_sessions(candidate: Candidate, session: struct.Struct) -> list[list[Block]]:
    """The track blocks of each session that are tracks; `session` gives their number and place. Raises DamagedError."""
    *_, count, at = HEADER.unpack(candidate.exactly(0, HEADER.size))
    if count > MAX_SESSION:
        raise DamagedError(20, f"{count} sessions; a disc has at most {MAX_SESSION}")
    found: list[list[Block]] = []
    for blocks, offset in session.iter_unpack(candidate.exactly(at, count * session.size)):
        found.append(list(_blocks(candidate, offset, blocks)))
        if sum(map(len, found)) > MAX_TRACK:
            raise DamagedError(offset, f"more tracks than a disc can have; it has at most {MAX_TRACK}")
    return found


def _blocks(candidate: Candidate, offset: int, count: int) -> Iterator[Block]:
    for fields in TRACK.iter_unpack(candidate.exactly(offset, count * TRACK.size)):
        block = Block(*fields)
        if 1 <= block.point <= MAX_TRACK:
            yield block


def check_start(block: Block, start: int) -> None:
    """Raises DamagedError for an LBA that no disc has."""
    if not -limits.DISC_SECTORS <= start <= limits.DISC_SECTORS:
        raise DamagedError(None, f"track {block.point} begins at LBA {start}, outside the disc")


# --- files ----------------------------------------------------------------------------------------------------------------


def file_rows(candidate: Candidate, block: Block, row: struct.Struct) -> list[tuple[int, ...]]:
    """What is said of the files of a track, in their order. Raises DamagedError."""
    if not block.files or not block.file_offset:
        return []
    if block.files > _MAX_FILES:
        raise DamagedError(block.file_offset, f"{block.files} files of track {block.point}")
    return list(row.iter_unpack(candidate.exactly(block.file_offset, block.files * row.size)))


def _extension(candidate: Candidate) -> str:
    return _EXTENSIONS.get(candidate.extension, "mdf")


def usual_name(candidate: Candidate) -> str:
    """That of the data, where the descriptor has none."""
    return f"{stem_of(candidate)}.{_extension(candidate)}"


def file_name(candidate: Candidate, at: int, options: Options, *, wide: bool) -> str:
    """The name at byte `at`, up to its NUL, with the descriptor's stem for `*`; the usual one where `at` is 0.

    One of 8-bit characters is in the code page of the machine it was made on.
    """
    raw = candidate.at(at, _NAME_BYTES) if at else b""
    return _text(raw, options, wide=wide).replace("*", stem_of(candidate)) or usual_name(candidate)


def _text(raw: bytes, options: Options, *, wide: bool) -> str:
    if wide:
        return raw[: len(raw) & ~1].decode("utf-16-le", "replace").split("\0")[0]
    raw = raw.split(b"\0")[0]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode(options.iocharset or "cp1252", "replace")


def parts_there(candidate: Candidate, names: Iterable[Sequence[str]]) -> list[str]:
    """The files that are there; `names` are those of each track. Raises DamagedError for too many, OutsideError."""
    sets = {tuple(each) for each in names}
    _check_files(sum(map(len, sets)))
    return [
        found for each in sorted(sets) for name in each if (found := _find(candidate, name, is_only=len(each) == 1))
    ]


def _check_files(count: int) -> None:
    """Each name that is not there costs as many looks into the folder as there are wrappers."""
    if count > _MAX_FILES:
        raise DamagedError(None, f"the descriptor names {count} files; the limit is {_MAX_FILES}")


def _find(candidate: Candidate, name: str, *, is_only: bool) -> str | None:
    """The file below the folder. The only one may also have the descriptor's stem, whatever it is called in there."""
    found = find_named(candidate, name)
    return find_beside(candidate, (_extension(candidate),)) if is_only and not found else found


class Files:
    """Opens the files that a descriptor names, each of them once; `builder` is told of other names."""

    def __init__(self, candidate: Candidate, builder: DiscBuilder) -> None:
        self._candidate, self._builder = candidate, builder
        self._opened: dict[str, Reader] = {}

    def open(self, names: Sequence[str]) -> list[Reader]:
        """The files of a track. Raises MissingPartError, OutsideError, DamagedError, OSError."""
        for name in names:
            if name not in self._opened:
                _check_files(len(self._opened) + 1)
                self._opened[name] = self._open(name, is_only=len(names) == 1)
        return [self._opened[name] for name in names]

    def _open(self, name: str, *, is_only: bool) -> Reader:
        found = _find(self._candidate, name, is_only=is_only)
        opened = open_found(self._candidate, found, name)
        if found and found.lower() != name.lower():
            self._builder.warn(f"{name!r} is not there; {found!r} is used instead")
        return opened
