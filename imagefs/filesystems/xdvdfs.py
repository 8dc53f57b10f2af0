"""XDVDFS, the file system of Xbox and Xbox 360 discs: a binary tree of entries for each directory, files in one piece.

All integers are little-endian; sectors have 2048 bytes and count from the beginning of the partition. Where the partition
lies on a disc is `imagefs.volumes.xbox`'s; an image that was made anew ("xiso") holds it from its beginning on.

volume descriptor, sector 32                      entry, at a multiple of 4 bytes in its directory
offset  size  field                               offset  size  field
0       20    magic      "MICROSOFT*XBOX*MEDIA"   0       2     left        of the entry, in 4 bytes from the
20      4     sector     of the root directory                              beginning of the directory; 0 none
24      4     size       of the root directory    2       2     right       the same
28      8     time       FILETIME                 4       4     sector      of the content
2028    20    magic      again                    8       4     size        in bytes
                                                  12      1     attributes  1 read-only, 2 hidden, 4 system,
                                                                            16 directory, 32 archive, 128 normal
                                                  13      1     length      of the name
                                                  14            name        Windows' code page 1252

A directory's first entry is the root of its tree, names order it without regard to case. An entry does not cross sectors:
what is left is filled with 0xFF, and so is all of an empty directory, unless that has no table (size 0, or sector 0, which
is none's). Some writers put 0xFFFF where no entry is.

Files have no times of their own: the volume's is shown. Attributes other than archive and normal are `user.dos.attributes`,
as a number. Not read: the security sectors of original discs, which are no part of the file system.
Sources: extract-xiso, xdvdfs (its documents), rom-properties; xboxdevwiki "XDVDFS" and "Xbox Game Disc".
"""

import stat
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any, NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError, NotFoundError
from imagefs.filesystems._listings import ListedFileSystem, Listing, Listings, unique
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.nodes import ROOT_INO, Node, Usage
from imagefs.options import Options
from imagefs.readers import Reader, slice_of

SECTOR_BYTES = 2048
MAGIC = b"MICROSOFT*XBOX*MEDIA"
DESCRIPTOR = Struct("<20sIIQ")
DESCRIPTOR_OFFSET = 32 * SECTOR_BYTES
_SECOND_MAGIC = 0x7EC
ENTRY = Struct("<HHIIBB")
_NONE = (0, 0xFFFF)
_READ_ONLY, _HIDDEN, _SYSTEM, _DIRECTORY = 1, 2, 4, 16
_ATTRIBUTES = _READ_ONLY | _HIDDEN | _SYSTEM | _DIRECTORY | 0xA0  # and 32 archive, 128 normal
_DVD_SECTORS = 1 << 22
_ALIGN = 4
_FIRST_NUMBER = ROOT_INO + 1
"""The inode number of an entry is this and its byte offset in the volume, divided by 4."""
_LONGEST_ENTRY = ENTRY.size + 255
_TABLE_BYTES = 0xFFFF * _ALIGN + _LONGEST_ENTRY
"""No entry of a directory can be further from its beginning."""
_EPOCH = 116_444_736_000_000_000
"""1970-01-01 as a FILETIME, which counts 100 ns from 1601 on."""
_LATEST = 2_650_467_744_000_000_000
"""The year 10000: a FILETIME from there on is none."""


def probe(candidate: Candidate) -> Match | None:
    sector = candidate.at(candidate.origin + DESCRIPTOR_OFFSET, SECTOR_BYTES)
    if not sector.startswith(MAGIC):
        return None
    twice = " at both its ends" if sector.startswith(MAGIC, _SECOND_MAGIC) else ""
    return Match(97 if twice else 90, f"magic of an Xbox volume descriptor at sector 32{twice}")


class Entry(NamedTuple):
    """An entry of a directory, at byte `at` of the volume."""

    at: int
    left: int
    right: int
    sector: int
    size: int
    attributes: int
    name: bytes


class Directory(NamedTuple):
    """The locator of a directory: its table. `path` are the inode numbers above it, the root's first."""

    start: int
    size: int
    path: tuple[int, ...] = ()
    fault: str = ""


class Xdvdfs(ListedFileSystem):
    """The tree of a partition. Raises DamagedError for a volume descriptor whose root lies outside."""

    kind, label, uuid, has_xattrs = "xdvdfs", "", None, True

    def __init__(self, reader: Reader, options: Options) -> None:
        self.reader = reader
        _, sector, size, time = DESCRIPTOR.unpack(reader.exactly(DESCRIPTOR_OFFSET, DESCRIPTOR.size))
        if size and sector * SECTOR_BYTES >= reader.size:
            raise DamagedError(
                DESCRIPTOR_OFFSET, f"the root directory is said to lie in sector {sector}, behind the end"
            )
        self._charset = options.iocharset or "cp1252"
        self._time = (time - _EPOCH) * 100 if 0 < time < _LATEST else 0
        self._listings = Listings()
        self.room = reader.size
        self.root = self._directory(ROOT_INO, Directory(sector * SECTOR_BYTES, size if sector else 0))

    # --- nodes ------------------------------------------------------------------------------------------------------

    def _directory(self, ino: int, directory: Directory) -> Node:
        time = self._time
        blocks = -(-directory.size // SECTOR_BYTES) * (SECTOR_BYTES // 512)
        mode = stat.S_IFDIR | 0o555
        return Node(ino, mode, directory.size, time, time, time, blocks=blocks, locator=directory)

    def _node(self, entry: Entry, path: tuple[int, ...]) -> Node:
        """The node of an entry in the directory that `path` ends with."""
        ino, start = entry.at // _ALIGN + _FIRST_NUMBER, entry.sector * SECTOR_BYTES
        if entry.attributes & _DIRECTORY:
            fault = ""
            if entry.size and (ino in path or start == self.root.locator.start):
                fault = "the directory contains itself"
            elif len(path) >= limits.DIRECTORY_DEPTH:
                fault = f"directories are nested more than {limits.DIRECTORY_DEPTH} deep"
            return self._directory(ino, Directory(start, entry.size if start else 0, path, fault))
        time, size = self._time, entry.size
        is_whole = start + size <= self.reader.size
        return Node(
            ino, stat.S_IFREG | 0o444, size, time, time, time,
            blocks=-(-size // SECTOR_BYTES) * (SECTOR_BYTES // 512), start=start if is_whole else -1, locator=start,
        )  # fmt: skip

    def _entry(self, ino: int) -> Entry:
        """The entry that an inode number stands for. Raises NotFoundError."""
        at = (ino - _FIRST_NUMBER) * _ALIGN
        raw = self.reader.pread(at, _LONGEST_ENTRY) if 0 <= at < self.reader.size else b""
        entry = _entry_at(raw, 0, at)
        if entry is None:
            raise NotFoundError("there is no such inode")
        return entry

    def node(self, ino: int) -> Node:
        if ino == ROOT_INO:
            return self.root
        entry = self._entry(ino)
        return self._node(entry, self._path_to(entry) if entry.attributes & _DIRECTORY else ())

    def _path_to(self, entry: Entry) -> tuple[int, ...]:
        """The directories above an entry, which the entry itself does not tell. Raises NotFoundError."""
        pending, seen, met = [self.root], 0, set[int]()
        while pending and seen < limits.SEARCHED_ENTRIES:
            directory = pending.pop()
            start, size, path, fault = _locator(directory)
            if start <= entry.at < start + size:
                return (*path, directory.ino)
            if not fault and start not in met:
                met.add(start)
                found = self._listed(directory).entries
                seen += len(found) + 1
                pending += [node for _, node in found if node.is_directory]
        raise NotFoundError("no directory has this inode")

    def parent(self, directory: Node) -> Node:
        path = _locator(directory).path
        if not path or path[-1] == ROOT_INO:
            return self.root
        return self._node(self._entry(path[-1]), path[:-1])

    # --- directories ------------------------------------------------------------------------------------------------

    def _listed(self, directory: Node, *, keep: bool = False) -> Listing:
        where = _locator(directory)
        if where.fault:
            raise DamagedError(where.start, where.fault)
        return self._listings.get(directory.ino, lambda: self._read(directory.ino, where), keep=keep)

    def _read(self, ino: int, where: Directory) -> Listing:
        if not where.size:
            return Listing([], None)
        table = self.reader.pread(where.start, min(where.size, _TABLE_BYTES))
        entries, fault = read_table(table, where.start)
        path = (*where.path, ino)
        named = ((self._name(entry.name), self._node(entry, path)) for entry in entries)
        return Listing(unique(named), fault)

    def _name(self, raw: bytes) -> bytes:
        """The name in UTF-8, without what no file system may show; letters that the character set lacks stay bytes."""
        if not raw.isascii():
            raw = raw.decode(self._charset, "surrogateescape").encode("utf-8", "surrogateescape")
        name = raw.replace(b"/", b"_").replace(b"\0", b"_")
        if len(name) > limits.NAME_BYTES:
            name = name[: _border(name, limits.NAME_BYTES)]
        return b"_" * len(name) if name in (b".", b"..") else name

    # --- files and the volume ---------------------------------------------------------------------------------------

    def readlink(self, node: Node) -> bytes:
        raise NotFoundError("it is no link")

    def open(self, node: Node) -> Reader:
        if not node.is_file:
            return super().open(node)
        return slice_of(self.reader, node.locator, node.size)  # what lies behind the end is missing

    def xattrs(self, node: Node) -> Mapping[str, bytes]:
        if node.ino == ROOT_INO:
            return {}
        attributes = self._entry(node.ino).attributes
        return {"user.dos.attributes": b"%#x" % attributes} if attributes & (_READ_ONLY | _HIDDEN | _SYSTEM) else {}

    def usage(self) -> Usage:
        return Usage(SECTOR_BYTES, -(-self.reader.size // SECTOR_BYTES))

    def details(self) -> Mapping[str, Any]:
        return {
            "format": "XDVDFS",
            "dates": {"created": _iso8601(self._time) if self._time else None},
            "root_sector": self.root.locator.start // SECTOR_BYTES,
            "root_size": self.root.locator.size,
        }


def _border(name: bytes, end: int) -> int:
    """`end`, or less so that no letter of UTF-8 is cut in two; bytes that are none may stand anywhere in the name."""
    for _ in range(3):
        end -= name[end] >> 6 == 2
    return end


def _locator(node: Node) -> Directory:
    """Where a directory of this file system is."""
    if not isinstance(node.locator, Directory):
        raise NotADirectoryError(f"inode {node.ino} is no directory")
    return node.locator


def _iso8601(nanoseconds: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)
    return moment.isoformat().replace("+00:00", "Z")


# --- tables ---------------------------------------------------------------------------------------------------------------


def _entry_at(table: bytes, place: int, start: int) -> Entry | None:
    """The entry at byte `place` of a table that lies at byte `start` of the volume; None where there is none whole."""
    if place + ENTRY.size > len(table):
        return None
    left, right, sector, size, attributes, length = ENTRY.unpack_from(table, place)
    name = table[place + ENTRY.size : place + ENTRY.size + length]
    if not length or len(name) != length or (left == right == 0xFFFF and attributes == length == 0xFF):
        return None
    return Entry(start + place, left, right, sector, size, attributes, name)


def read_table(table: bytes, start: int) -> tuple[list[Entry], DamagedError | None]:
    """The entries of a directory in the order of its tree, and what is wrong with it: the other entries are sound.

    Each place is looked at once at most.
    """
    if table[: ENTRY.size] == b"\xff" * ENTRY.size:
        return [], _unreached(table, start, [])  # an empty one is filled up like every gap
    found: list[Entry] = []
    fault: DamagedError | None = None
    seen: set[int] = set()
    above: list[Entry] = []
    place: int | None = 0
    while above or place is not None:
        while place is not None:
            entry = None if place in seen else _entry_at(table, place, start)
            if entry is None:
                what = "linked to twice" if place in seen else "missing or broken"
                fault = fault or DamagedError(start + place, f"an entry of a directory is {what}")
                break
            seen.add(place)
            above.append(entry)
            place = _place(entry.left)
        if not above:
            break
        found.append(above.pop())
        place = _place(found[-1].right)
    return found, fault or _unreached(table, start, found)


def _unreached(table: bytes, start: int, found: list[Entry]) -> DamagedError | None:
    """An entry that lies between those that were found, or behind them: the link to it is lost, and so are those below it.

    Gaps are filled with 0xFF. What is in them besides may be anything, so only what can be an entry counts.
    """
    ordered = sorted(found)
    begins = [*(entry.at - start for entry in ordered), len(table)]
    ends = [0, *(entry.at - start + ENTRY.size + len(entry.name) for entry in ordered)]
    for end, begin in zip(ends, begins, strict=True):
        place = -(-end // _ALIGN) * _ALIGN
        gap = table[place:begin]
        place += (len(gap) - len(gap.lstrip(b"\xff"))) // _ALIGN * _ALIGN
        entry = _entry_at(table, place, start) if place + ENTRY.size < begin else None
        if entry and entry.sector < _DVD_SECTORS and not entry.attributes & ~_ATTRIBUTES:
            return DamagedError(entry.at, "no link in the directory leads to the entry there")
    return None


def _place(link: int) -> int | None:
    """The byte in the table that a link leads to."""
    return None if link in _NONE else link * _ALIGN


def open_xdvdfs(candidate: Candidate, options: Options) -> Xdvdfs:
    """The partition's tree. Raises DamagedError."""
    reader, origin = candidate.reader, candidate.origin
    return Xdvdfs(slice_of(reader, origin, reader.size - origin), options)


FORMAT = Format(
    name="xdvdfs",
    title="XDVDFS",
    layer=Layer.FILESYSTEM,
    probe=probe,
    open=open_xdvdfs,
    extensions=("xiso", "iso"),
    reads="Xbox and Xbox 360 discs (with the partition that videos are in as a volume of its own) and rebuilt xiso images",
)
