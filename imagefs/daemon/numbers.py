"""Inode numbers that are unique over all images of a library.

bits    field
47-62   slot: which image (0 is the library itself, with the root, number 1)
45-46   how the other 45 bits are meant:
        PLAIN   the image's own number, if it is below 2**45: all of most images
        VOLUME  7 bits number of the volume, 38 bits number in it (`imagefs.tree` puts the former above bit 56)
        PLACE   a further place of a directory that stands in several (made up by the mount)
        TABLE   anything else: an index of a table that lives as long as the image is in the library

So an image's root, number 1, is known without opening it, and a number leads back to its image and its inode by itself,
over a restart as well as long as the slot is the same, except for those of the table.
"""

from array import array

from imagefs import limits
from imagefs.errors import NotFoundError, UnsupportedError
from imagefs.nodes import INO_BITS, ROOT_INO

SLOT_SHIFT, SLOTS = 47, 1 << 16
KIND_SHIFT = 45
PLAIN, VOLUME, PLACE, TABLE = (kind << KIND_SHIFT for kind in range(4))
PLAIN_END = 1 << KIND_SHIFT
_VOLUME_SHIFT, _VOLUMES = 38, 1 << 7
_REST = (1 << KIND_SHIFT) - 1
_IN_VOLUME = (1 << INO_BITS) - 1
_KINDS = 3 << KIND_SHIFT
_INNER = (1 << SLOT_SHIFT) - 1


def slot_of(number: int) -> int:
    """The image that a number belongs to."""
    return number >> SLOT_SHIFT


def is_folder(number: int) -> bool:
    """Whether it is the number of an image's root."""
    return number & _INNER == ROOT_INO


def is_place(number: int) -> bool:
    """Whether it is a further place of a directory."""
    return number & _KINDS == PLACE


def place_number(number: int, seed: int) -> int:
    """A number of the kind PLACE in the image of `number`."""
    return number & ~_INNER | PLACE | seed & _REST


class Numbers:
    """The numbers of one image, to and fro. Safe for many threads: the table only grows."""

    def __init__(self, slot: int) -> None:
        self.base = slot << SLOT_SHIFT
        self._table = array("Q")
        self._index: dict[int, int] = {}

    def outer(self, ino: int) -> int:
        """The library's number of an image's inode. Raises UnsupportedError when the table is full."""
        if ino < PLAIN_END:
            return self.base | ino
        volume, inside = ino >> INO_BITS, ino & _IN_VOLUME
        if volume < _VOLUMES and inside < 1 << _VOLUME_SHIFT:
            return self.base | VOLUME | volume << _VOLUME_SHIFT | inside
        return self.base | TABLE | self._in_table(ino)

    def _in_table(self, ino: int) -> int:
        index = self._index.get(ino)
        if index is None:
            if len(self._table) >= limits.TABLED_INODES:
                raise UnsupportedError("its inode numbers are too many and too large for a library of images")
            self._table.append(ino)
            index = self._index.setdefault(ino, len(self._table) - 1)
        return index

    def inner(self, number: int) -> int:
        """The image's inode of a number. Raises NotFoundError for one that was not given."""
        kind, rest = number & _KINDS, number & _REST
        if kind == PLAIN:
            return rest
        if kind == VOLUME:
            return rest >> _VOLUME_SHIFT << INO_BITS | rest & (1 << _VOLUME_SHIFT) - 1
        if kind == TABLE and rest < len(self._table):
            return self._table[rest]
        raise NotFoundError("no image has this inode")
