"""The files of a split DAA or GBI image.

first file      the others
x.part01.daa    x.part02.daa, x.part03.daa ...; as many digits, and in front of a zero whatever stands there
x.daa           x.d00, x.d01 ...; of x.gbi also x.g00, x.g01 ...

Numbers may count images just as well (disc01.daa, disc02.daa), so what a second part contains decides.

A chunk may begin in one part and end in the next. The parts are as long as one another, the last one perhaps shorter.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.containers.daa.header import PART_HEADER, PARTS, Split, data_of_part
from imagefs.errors import DamagedError, MissingPartError
from imagefs.formats import Candidate
from imagefs.readers import Extent, Reader, joined
from imagefs.sources import open_source

_NUMBERED = re.compile(r"(.*?)(0+1|(?<=\.part)1)(\.[^.]*)", re.DOTALL | re.IGNORECASE)

_Scheme = Callable[[int], str]
"""The name of the k-th part behind the first, k from 1."""


def _schemes(first: str) -> list[_Scheme]:
    """How the other parts may be called, the likeliest first."""
    stem, dot, extension = first.rpartition(".")
    letters = dict.fromkeys(("d", extension[:1] or "d")) if dot else {"d": None}
    found = [_lettered(stem if dot else first, letter) for letter in letters]
    match = _NUMBERED.fullmatch(first)
    return [_numbered(*match.groups()), *found] if match else found


def _numbered(stem: str, digits: str, end: str) -> _Scheme:
    return lambda part: f"{stem}{part + 1:0{len(digits)}}{end}"


def _lettered(stem: str, letter: str) -> _Scheme:
    return lambda part: f"{stem}.{letter}{part - 1:02}"


def _scheme_of(candidate: Candidate) -> _Scheme:
    """The one by which there is a second part, or what is called like it, else the likeliest."""
    schemes, folder = _schemes(candidate.name), candidate.folder
    found = [scheme for scheme in schemes if _is_part(candidate, scheme(1))]
    found += [scheme for scheme in schemes if folder and folder.find(scheme(1))]
    return (found or schemes)[0]


def is_split(candidate: Candidate) -> bool:
    """Whether there is a second part. Raises OutsideError, OSError."""
    return _is_part(candidate, _scheme_of(candidate)(1))


def _is_part(candidate: Candidate, name: str) -> bool:
    """Whether a file of that name is there that begins as a later part. It is not kept open: it may be another image."""
    found = candidate.folder.find(name) if candidate.folder else None
    if candidate.folder is None or found is None:
        return False
    with contextlib.closing(open_source(os.path.join(candidate.folder.path, found), may_be_empty=True)) as source:
        return source.pread(0, PART_HEADER.size).startswith(PARTS)


def names_beside(candidate: Candidate, split: Split) -> Iterator[str]:
    """The paths below the folder of the parts behind the first, up to one that is not there. Raises OutsideError."""
    scheme = _scheme_of(candidate)
    for part in range(1, min(split.parts or limits.SPLIT_PARTS, limits.SPLIT_PARTS)):
        found = candidate.folder.find(scheme(part)) if candidate.folder else None
        if found is None:
            return
        yield found


class _Part(NamedTuple):
    """A file, and the byte from which on it belongs to the image."""

    reader: Reader
    begin: int = 0


def join(candidate: Candidate, split: Split, end: int) -> Reader:
    """The first file and, behind it, the chunks in the others, which end at byte `end` of all that.

    Raises MissingPartError, DamagedError, OutsideError, OSError.
    """
    scheme = _scheme_of(candidate)
    parts, length = [_Part(candidate.reader)], candidate.reader.size
    while length < end and not _is_last(parts, split):
        part = _open(candidate, scheme(len(parts)))
        parts.append(part)
        length += part.reader.size - part.begin
    return _joined(parts, is_whole=length >= end)


def _is_last(parts: Sequence[_Part], split: Split) -> bool:
    """Whether no other part is to be expected: by the number that is told, else because the last is shorter."""
    if len(parts) >= limits.SPLIT_PARTS:
        return True
    return len(parts) >= split.parts if split.parts else len(parts) > 1 and parts[-1].reader.size < parts[0].reader.size


def _open(candidate: Candidate, name: str) -> _Part:
    if candidate.folder is None:
        raise MissingPartError(name)
    reader = candidate.folder.open(name)
    begin = data_of_part(reader.pread(0, PART_HEADER.size), name)
    if not PART_HEADER.size <= begin < reader.size:
        raise DamagedError(None, f"the chunks in its part {name!r} would begin at byte {begin} of {reader.size}")
    return _Part(reader, begin)


def _joined(parts: Sequence[_Part], *, is_whole: bool) -> Reader:
    """One after the other. When something is lost, and one part alone is shorter than the others, it is the end of that."""
    largest = max(part.reader.size for part in parts)
    shorter = [part for part in parts[:-1] if part.reader.size < largest and not is_whole]
    if len(shorter) > 1:
        raise DamagedError(None, f"{len(shorter)} of its parts are shorter than the others, and their ends are missing")
    extents, position = list[Extent](), 0
    for part in parts:
        length = part.reader.size - part.begin
        extents.append(Extent(position, length, part.reader, part.begin))
        position += largest - part.begin if part in shorter else length
    return joined(extents, position)
