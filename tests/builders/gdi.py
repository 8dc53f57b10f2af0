"""GDI sheets written for tests."""

from collections.abc import Sequence
from typing import NamedTuple


class Line(NamedTuple):
    """A track's line: number, LBA, control (4 data, 0 audio), bytes of a sector, file, byte offset in it."""

    number: int
    lba: int
    control: int
    sector_bytes: int
    name: str
    offset: int = 0


def gdi(lines: Sequence[Line]) -> str:
    """The text; names with blanks are in quotes."""
    rows = [
        " ".join(map(str, (*line[:4], f'"{line.name}"' if " " in line.name else line.name, line.offset)))
        for line in lines
    ]
    return "\n".join([str(len(rows)), *rows]) + "\n"
