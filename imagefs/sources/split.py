"""Numbered splits: NAME.001, NAME.002 ... (also .01, .1 and .000), joined end to end."""

import os
import re

from imagefs import limits
from imagefs.errors import MissingPartError, NotAnImageError
from imagefs.readers import Extent, ExtentReader, Reader
from imagefs.sources.folder import Folder

_NUMBERED = re.compile(r"(.+\.)(\d{1,4})$", re.DOTALL)


def open_split(folder: Folder, name: str) -> Reader | None:
    """All parts of the split that the file `name` belongs to as one reader, or None when it is no split.

    The first part is number 0 or 1. A number that is missing while a later one is there raises MissingPartError: an image
    that ends early would look whole. A later part alone is refused with the name of the first one.
    """
    match = _NUMBERED.match(name)
    if not match:
        return None
    stem, digits = match.groups()
    width = len(digits)
    numbers = set()
    for other in folder.names():
        found = _NUMBERED.match(other)
        if found and found[1] == stem and len(found[2]) == width:
            numbers.add(int(found[2]))
    first = 0 if 0 in numbers else 1
    if int(digits) not in (0, 1) and first not in numbers:
        raise MissingPartError(f"{stem}{1:0{width}d}", [folder.path])
    if len(numbers) < 2 or max(numbers) - first >= limits.SPLIT_PARTS:
        return None
    extents, position = [], 0
    for number in range(first, max(numbers) + 1):
        part = f"{stem}{number:0{width}d}"
        if number not in numbers:
            raise MissingPartError(part, [folder.path])
        source = folder.open(part)
        extents.append(Extent(position, source.size, source))
        position += source.size
    if not position:
        raise NotAnImageError(f"the parts of {os.path.basename(name)} are empty")
    return ExtentReader(extents, position)
