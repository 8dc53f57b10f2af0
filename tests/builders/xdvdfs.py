"""XDVDFS volumes written for tests: folders become balanced or lopsided trees, with gaps at the ends of sectors."""

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Union

SECTOR = 2048
MAGIC = b"MICROSOFT*XBOX*MEDIA"
FILETIME = 127_000_000_000_000_000
FILETIME_NS = 1_055_526_400 * 10**9
"""2003-06-13 17:46:40 UTC, as a FILETIME and in ns since 1970."""
DIRECTORY, ARCHIVE = 0x10, 0x20

Tree = Mapping[str, Union[bytes, "Tree", None]]
"""Name -> content, folder, or None for an empty folder without a table."""


class Item(NamedTuple):
    name: bytes
    sector: int
    size: int
    attributes: int = ARCHIVE


def entry(item: Item, left: int = 0, right: int = 0) -> bytes:
    """An entry; `left` and `right` count 4 bytes. Filled up to a multiple of 4."""
    name, sector, size, attributes = item
    raw = struct.pack("<HHIIBB", left, right, sector, size, attributes, len(name)) + name
    return raw + b"\xff" * (-len(raw) % 4)


def table(items: Sequence[Item], *, lopsided: bool = False) -> bytes:
    """A directory of these items, in any order; `lopsided` makes a list of the tree."""
    ordered = sorted(items, key=lambda item: item.name.upper())
    links: dict[int, tuple[int, int]] = {}
    root = _tree(links, 0, len(ordered), lopsided)
    order = [root, *(number for number in range(len(ordered)) if number != root)] if ordered else []
    places, end = {}, 0
    for number in order:
        size = len(entry(ordered[number]))
        end += -end % SECTOR if end % SECTOR + size > SECTOR else 0
        places[number] = end
        end += size
    data = bytearray(b"\xff" * max(end, 1))
    data += b"\xff" * (-len(data) % SECTOR)
    for number, place in places.items():
        left, right = (0 if child < 0 else places[child] // 4 for child in links[number])
        raw = entry(ordered[number], left, right)
        data[place : place + len(raw)] = raw
    return bytes(data)


def _tree(links: dict[int, tuple[int, int]], first: int, end: int, lopsided: bool) -> int:
    """The root of the items from `first` on, -1 for none."""
    if first == end:
        return -1
    middle = first if lopsided else (first + end) // 2
    links[middle] = _tree(links, first, middle, lopsided), _tree(links, middle + 1, end, lopsided)
    return middle


class _Writer:
    def __init__(self, lopsided: bool) -> None:
        self.sectors: list[bytes] = [bytes(SECTOR)] * 34
        self.lopsided = lopsided

    def put(self, content: bytes) -> int:
        """The sector where it lies."""
        begin = len(self.sectors)
        for at in range(0, len(content), SECTOR):
            self.sectors.append(content[at : at + SECTOR].ljust(SECTOR, b"\0"))
        return begin

    def folder(self, tree: Tree) -> tuple[int, int]:
        """(sector, size) of its table."""
        items = []
        for name, value in tree.items():
            raw = name.encode("cp1252")
            if value is None:
                items.append(Item(raw, 0, 0, DIRECTORY))
            elif isinstance(value, bytes):
                items.append(Item(raw, self.put(value), len(value)))
            else:
                items.append(Item(raw, *self.folder(value), DIRECTORY))
        raw_table = table(items, lopsided=self.lopsided)
        return self.put(raw_table), len(raw_table)


def descriptor(sector: int, size: int, time: int = FILETIME) -> bytes:
    head = struct.pack("<20sIIQ", MAGIC, sector, size, time)
    return head + bytes(0x7EC - len(head)) + MAGIC


def xdvdfs(tree: Tree, *, lopsided: bool = False) -> bytes:
    """A whole partition."""
    writer = _Writer(lopsided)
    sector, size = writer.folder(tree)
    writer.sectors[32] = descriptor(sector, size)
    return b"".join(writer.sectors)


def doubled(levels: int) -> bytes:
    """A partition in which each folder names the next one twice (A, B); in the last is a file F."""
    sectors = [bytes(SECTOR)] * 33

    def put(content: bytes) -> int:
        sectors.append(content.ljust(SECTOR, b"\0"))
        return len(sectors) - 1

    at = put(table([Item(b"F", put(b"leaf"), 4)]))
    for _ in range(levels):
        at = put(table([Item(name, at, SECTOR, DIRECTORY) for name in (b"A", b"B")]))
    sectors[32] = descriptor(at, SECTOR)
    return b"".join(sectors)
