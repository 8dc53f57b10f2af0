"""Numbered splits: NAME.001, NAME.002 ... (also .01, .1 and .000), joined end to end."""

import re

from imagefs import limits
from imagefs.errors import DamagedError, MissingPartError
from imagefs.readers import Extent, ExtentReader, Reader
from imagefs.sources.folder import Folder
from imagefs.sources.local import FileSource

_NUMBERED = re.compile(r"(.+\.)(\d{1,4})$", re.DOTALL | re.ASCII)
_USUAL_DIGITS = 3
"""What every splitting program writes. Other widths are also version numbers, years and rotated backups."""


def open_split(folder: Folder, name: str) -> Reader | None:
    """All parts of the split that the file `name` belongs to as one reader, or None when it is no split.

    The first part is number 0 or 1. A number that is missing while a later one is there raises MissingPartError: an image
    that ends early would look whole. A later part alone (.002 and up) is refused with the name of the first one. An empty
    part before the last raises DamagedError; what a part has lost at its end is missing (`_whole_size`). Files with more or
    fewer than three digits are a split only when they are of one size, as programs cut them, the last one perhaps shorter.
    """
    match = _NUMBERED.match(name)
    if not match:
        return None
    stem, digits = match.groups()
    width = len(digits)
    numbers = _numbers_beside(folder, stem, width)
    first = 0 if 0 in numbers else 1
    is_usual = width == _USUAL_DIGITS
    if first not in numbers:
        if is_usual:
            raise MissingPartError(f"{stem}{1:0{width}d}", [folder.path])
        return None
    last = max(numbers)
    if len(numbers) < 2 or last - first >= limits.SPLIT_PARTS:
        return None
    wanted = [f"{stem}{number:0{width}d}" for number in range(first, last + 1)]
    missing = [part for number, part in enumerate(wanted, first) if number not in numbers]
    if missing:
        if is_usual:
            raise MissingPartError(missing[0], [folder.path])
        return None
    sources = [folder.open_file(part) for part in wanted]
    return _joined(wanted, sources) if is_usual or _are_cut_evenly(sources) else None


def _numbers_beside(folder: Folder, stem: str, width: int) -> set[int]:
    """The numbers of the files that have this stem and as many digits."""
    found = (_NUMBERED.match(name) for name in folder.names())
    return {int(match[2]) for match in found if match and match[1] == stem and len(match[2]) == width}


def _are_cut_evenly(sources: list[FileSource]) -> bool:
    *cut, rest = (source.size for source in sources)
    return len(set(cut)) == 1 and 0 < rest <= cut[0]


def _joined(names: list[str], sources: list[FileSource]) -> Reader:
    extents, position = [], 0
    whole = _whole_size([source.size for source in sources[:-1]])
    for name, source in zip(names, sources, strict=True):
        if not source.size and source is not sources[-1]:
            raise DamagedError(None, f"its part {name!r} is empty")
        extents.append(Extent(position, source.size, source))
        position += source.size if source is sources[-1] else max(source.size, whole)
    return ExtentReader(extents, position)


def _whole_size(sizes: list[int]) -> int:
    """The size that all parts but the last were cut to, 0 where they were not cut evenly.

    When one alone is shorter than all the others, its end was lost (a download that stopped): joined as it is, it would
    move all bytes behind it. A size of whole MiB is one that somebody chose.
    """
    largest = max(sizes)
    shorter = [size for size in sizes if size < largest]
    is_cut = len(shorter) == 1 and len(sizes) >= 3 and shorter[0] % (1 << 20) != 0
    return largest if is_cut else 0
