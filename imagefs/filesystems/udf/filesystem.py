"""The tree of a UDF volume as a file system."""

import stat
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError, NotFoundError, UnsupportedError
from imagefs.filesystems._listings import ListedFileSystem, Listing, Listings, unique
from imagefs.filesystems.udf import attributes, names, tags
from imagefs.filesystems.udf.dates import Times
from imagefs.filesystems.udf.details import describe
from imagefs.filesystems.udf.directories import HIDDEN, IS_DIRECTORY, PARENT, Identifier, parent_of, read_identifiers
from imagefs.filesystems.udf.entries import (
    DIRECTORY,
    EMBEDDED,
    STRATEGY_WRITE_ONCE,
    FileEntry,
    entry_at,
    mode_of,
    owner_of,
)
from imagefs.filesystems.udf.plain import Modes, PlainFiles
from imagefs.filesystems.udf.volume import Volume
from imagefs.nodes import ROOT_INO, Node, Usage
from imagefs.readers import Reader

_SOUND, _REPEATED, _LOST_FILE, _LOST_DIRECTORY = range(4)
"""The low two bits of an inode number; above them stands one more than the address of the file entry, which is the partition
reference above 32 bits of block number. _REPEATED is a directory that contains itself; a file entry that cannot be read has
only what its identifier tells."""
_BLOCK_BITS, _MOST_REFERENCE = 32, 0xFFFF
_SPARE = b"\x08Non-Allocatable Space"
"""The hidden file that holds the spare packets of a sparable partition (UDF 1.50 2.3.13): not a file of the user's."""
_WINDOW_BYTES = 128 << 10
_LINK_EXTENTS = limits.LINK_RECORD_BYTES // 512

Address = tuple[int, int]
"""Partition reference and block of a file entry."""


class Directory(NamedTuple):
    """Where a directory is: the locator of its nodes. `path` holds the addresses of those above, as far as they are known.

    With a `fault` it cannot be listed.
    """

    address: Address
    path: tuple[Address, ...] = ()
    fault: str = ""


class Udf(ListedFileSystem):
    """The file set of a volume. All that it holds besides are the last few directories in which names were looked up.

    Raises DamagedError when the file entry of the root cannot be read.
    """

    kind, tree = "udf", "udf"

    def __init__(self, volume: Volume) -> None:
        self._volume, self._space = volume, volume.space
        self.reader, self.label, self.uuid = volume.space.reader, volume.label, volume.uuid
        self.warnings = volume.warnings
        self.room = self.reader.size
        self.has_xattrs = volume.descriptors.revision >= 0x200
        self._times = Times()
        self._listings = Listings()
        partitions = enumerate(volume.space.partitions)
        linear = {reference: each.linear for reference, each in partitions if each.linear is not None}
        self._plain = PlainFiles(self.reader.size, volume.space.block_bytes, linear, self._times, Modes())
        self._root_address: Address = (volume.root.reference, volume.root.block)
        entry = self._space.entry(*self._root_address)
        if entry.kind != DIRECTORY:
            raise DamagedError(entry.offset, "the root of the volume is no directory")
        self.root = self._node(entry, self._root_address, ())

    # --- nodes ------------------------------------------------------------------------------------------------------

    def _node(self, entry: FileEntry, address: Address, path: tuple[Address, ...]) -> Node:
        """The node of a file entry; `path` are the directories above it."""
        mode, times, locator = mode_of(entry), self._times, None
        kind, size, start, links, device = stat.S_IFMT(mode), entry.size, -1, entry.links, 0
        ino = (address[0] << _BLOCK_BITS | address[1]) + 1 << 2 | _SOUND
        if kind == stat.S_IFREG:
            start = self._space.start_of(entry)
        elif kind == stat.S_IFDIR:
            links, fault = 1, ""
            if address in path or (path and address == self._root_address):
                fault, ino = "the directory contains itself", ino | _REPEATED
            elif len(path) >= limits.DIRECTORY_DEPTH:
                fault = f"directories are nested more than {limits.DIRECTORY_DEPTH} deep"
            elif address == self._root_address:
                ino = ROOT_INO
            locator = Directory(address, path, fault)
        elif kind == stat.S_IFLNK:
            size = len(self._target(entry) or b"")
        else:
            size = 0
            if kind in (stat.S_IFCHR, stat.S_IFBLK):
                device = attributes.device_of(self._space, entry)
        blocks = 0 if entry.form == EMBEDDED else entry.recorded_blocks * self._space.block_bytes >> 9
        return Node(
            ino, mode, size, times[entry.mtime], times[entry.atime], times[entry.ctime],
            owner_of(entry.uid), owner_of(entry.gid), links or 1, device, blocks, start, locator,
        )  # fmt: skip

    def _lost(self, address: Address, path: tuple[Address, ...], *, is_directory: bool) -> Node:
        """The node of a file entry that cannot be read: what it stands for can be seen, not what is in it.

        A file gets a size that is not 0: of an empty one the kernel reads nothing, and nobody would be told.
        """
        ino = (address[0] << _BLOCK_BITS | address[1]) + 1 << 2
        if not is_directory:
            return Node(ino | _LOST_FILE, stat.S_IFREG | 0o444, 1, 0, 0, 0)
        locator = Directory(address, path, "the file entry of the directory is damaged")
        return Node(ino | _LOST_DIRECTORY, stat.S_IFDIR | 0o555, 0, 0, 0, 0, locator=locator)

    def _found(self, address: Address, path: tuple[Address, ...], *, is_directory: bool) -> Node:
        """The node at an address, or that of a file entry that cannot be read."""
        try:
            entry = self._space.entry(*address)
            if entry.format:
                return self._node(entry, address, path)
        except (DamagedError, UnsupportedError):
            pass
        return self._lost(address, path, is_directory=is_directory)

    def node(self, ino: int) -> Node:
        if ino == ROOT_INO:
            return self.root
        state, number = ino & 3, (ino >> 2) - 1
        address = number >> _BLOCK_BITS, number & (1 << _BLOCK_BITS) - 1
        if not 0 <= address[0] <= _MOST_REFERENCE:  # one that the volume lacks is that of an entry that is lost
            raise NotFoundError("there is no such inode")
        path = (address,) if state == _REPEATED else ()
        found = self._found(address, path, is_directory=state == _LOST_DIRECTORY)
        if found.ino != ino:
            raise NotFoundError("there is no such inode")
        return found

    def parent(self, directory: Node) -> Node:
        address, path, _ = _locator(directory)
        if directory.ino == ROOT_INO:
            return self.root
        if path:
            return self._found(path[-1], path[:-1], is_directory=True)
        above = parent_of(self._identifiers(self._space.entry(*address))[0])
        if above is None:
            raise DamagedError(None, "the directory does not tell which one it is in")
        return self._found((above.reference, above.block), (), is_directory=True)

    # --- directories ------------------------------------------------------------------------------------------------

    def _listed(self, directory: Node, *, keep: bool = False) -> Listing:
        return self._listing(_locator(directory), keep=keep)

    def _listing(self, directory: Directory, *, keep: bool = False) -> Listing:
        if directory.fault:
            raise DamagedError(None, directory.fault)
        key = directory.address
        return self._listings.get(key, lambda: self._read(directory), keep=keep)

    def _read(self, directory: Directory) -> Listing:
        entry = self._space.entry(*directory.address)
        identifiers, fault = self._identifiers(entry)
        if not entry.size and not tags.is_intact(entry.data, tags.tag_at(entry.data)):  # by the book none is empty
            fault = DamagedError(None, "the size in the file entry of the directory is lost")
        return Listing(unique(self._named(identifiers, directory)), _placed(fault, entry))

    def _identifiers(self, entry: FileEntry) -> tuple[list[Identifier], DamagedError | None]:
        """What is in a directory, by the first copy of it that is whole, else by the one that has most."""
        best: tuple[list[Identifier], DamagedError | None] = [], None
        for copy in range(self._space.partition(entry.reference).copies):
            data, missing = self._bytes_of(entry, copy)
            identifiers, fault = read_identifiers(data, entry.size)
            fault = missing or fault
            if not copy or not fault or len(identifiers) > len(best[0]):
                best = identifiers, fault
            if not fault:
                break
        return best

    def _bytes_of(self, entry: FileEntry, copy: int) -> tuple[bytes, DamagedError | None]:
        """The bytes of a directory that are there, and what is missing; lost blocks among them are zeros."""
        most = min(entry.size, limits.DIRECTORY_BYTES, self.reader.size)
        content = self._space.content(entry, copy, most // self._space.block_bytes + limits.SPARE_ALLOCATIONS)
        try:
            return content.pread(0, most), None
        except DamagedError as error:
            missing = error
        step = self._space.block_bytes
        parts = []
        for offset in range(0, most, step):
            try:
                parts.append(content.pread(offset, min(step, most - offset)))
            except DamagedError:
                parts.append(bytes(min(step, most - offset)))
        return b"".join(parts), missing

    def _named(self, identifiers: Sequence[Identifier], directory: Directory) -> Iterator[tuple[bytes, Node]]:
        """Names and nodes of a directory's entries."""
        path = (*directory.path, directory.address)
        wanted = [each for each in identifiers if not each.flags & PARENT]
        if directory.address == self._root_address:
            wanted = [each for each in wanted if not (each.flags & HIDDEN and each.name == _SPARE)]
        places = [self._place(each.reference, each.block) for each in wanted]
        nodes = self._nodes({place: each for place, each in zip(places, wanted, strict=True) if place >= 0}, path)
        shown = names.names_of([each.name for each in wanted])
        for name, place, (_, flags, block, reference) in zip(shown, places, wanted, strict=True):
            if name:
                node = nodes.get(place)
                yield name, node or self._found((reference, block), path, is_directory=bool(flags & IS_DIRECTORY))

    def _place(self, reference: int, block: int) -> int:
        """The byte offset of a block, -1 when it has none."""
        base = self._plain.linear.get(reference)
        if base is not None:
            return base + block * self._plain.block_bytes
        try:
            return self._space.partition(reference).place(block)[0]
        except (DamagedError, UnsupportedError):
            return -1

    def _nodes(self, wanted: Mapping[int, Identifier], path: tuple[Address, ...]) -> dict[int, Node]:
        """The nodes of the file entries that are sound where they are, by byte offset.

        They are read many at a time where they lie close.
        """
        found: dict[int, Node] = {}
        size, placed, index = self._space.block_bytes, sorted(wanted), 0
        while index < len(placed):
            first = placed[index]
            last = bisect_right(placed, first + _WINDOW_BYTES - size, index)
            length = placed[last - 1] + size - first
            try:
                window = self.reader.pread(first, length)
            except DamagedError:
                window = b""  # each on its own
            if len(window) == length:
                nodes, others = self._plain.read(window, first, placed[index:last], wanted)
                found |= nodes
                for offset in others:
                    _, _, block, reference = wanted[offset]
                    entry = entry_at(window[offset - first : offset - first + size], block, reference, offset)
                    if entry and entry.format and entry.strategy != STRATEGY_WRITE_ONCE:
                        found[offset] = self._node(entry, (reference, block), path)
            index = last
        return found

    # --- files ------------------------------------------------------------------------------------------------------

    def _entry_of(self, node: Node) -> FileEntry:
        if node.ino == ROOT_INO:
            return self._space.entry(*self._root_address)
        number = (node.ino >> 2) - 1
        return self._space.entry(number >> _BLOCK_BITS, number & (1 << _BLOCK_BITS) - 1)

    def _target(self, entry: FileEntry) -> bytes | None:
        if entry.size > limits.LINK_RECORD_BYTES:
            return None
        try:
            data = self._space.content(entry, most=_LINK_EXTENTS).pread(0, entry.size)
        except (DamagedError, UnsupportedError):
            return None
        return names.link_target(data) if len(data) == entry.size else None

    def readlink(self, node: Node) -> bytes:
        entry = self._entry_of(node)
        target = self._target(entry)
        if target is None:
            raise DamagedError(entry.offset, "the target of the link is not recorded whole")
        return target

    def open(self, node: Node) -> Reader:
        if node.start >= 0 or not node.is_file:
            return super().open(node)
        entry = self._entry_of(node)
        if node.ino & 3 == _LOST_FILE:
            raise DamagedError(entry.offset, f"the file entry is of type {entry.kind}, which is no file")
        return self._space.content(entry)

    def xattrs(self, node: Node) -> Mapping[str, bytes]:
        if not self.has_xattrs or (node.ino & 3 in (_LOST_FILE, _LOST_DIRECTORY) and node.ino != ROOT_INO):
            return {}
        return attributes.streams_of(self._space, self._entry_of(node))

    # --- the volume -------------------------------------------------------------------------------------------------

    def usage(self) -> Usage:
        volume = self._volume
        blocks = sum(part.length for part in volume.descriptors.partitions.values())
        return Usage(
            self._space.block_bytes, blocks, min(volume.free_blocks, blocks), volume.files + volume.directories
        )

    def details(self) -> Mapping[str, Any]:
        return describe(self._volume)


def _locator(node: Node) -> Directory:
    """Where a directory of this file system is."""
    if not isinstance(node.locator, Directory):
        raise NotADirectoryError(f"inode {node.ino} is no directory")
    return node.locator


def _placed(fault: DamagedError | None, entry: FileEntry) -> DamagedError | None:
    """The fault with the place of the directory's file entry, where it has no place of its own."""
    return DamagedError(entry.offset, fault.why) if fault and fault.where is None else fault
