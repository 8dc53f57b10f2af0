"""Partition tables and volume managers: one module each, opens to a list of Volume."""

from typing import NamedTuple

from imagefs.readers import Reader


class Volume(NamedTuple):
    """A part of an image that may hold a file system.

    `number` is the user's for it (partition, track); `reader` is addressed from 0 and `origin` (bytes) is where the volume's
    session begins in it, 0 for all but the sessions of a disc.
    """

    number: int
    reader: Reader
    origin: int = 0
    kind: str = ""
    session: int = 1
