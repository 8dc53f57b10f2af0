"""One tree of an ISO 9660 volume as a file system."""

import contextlib
import enum
import itertools
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from imagefs import limits
from imagefs.errors import DamagedError, NotFoundError
from imagefs.filesystems._listings import ListedFileSystem, Listing, Listings
from imagefs.filesystems.iso9660 import attributes, names, susp
from imagefs.filesystems.iso9660.content import content
from imagefs.filesystems.iso9660.descriptors import SECTOR_BYTES, DescriptorSet
from imagefs.filesystems.iso9660.details import boot_images, describe
from imagefs.filesystems.iso9660.entries import (
    DIRECTORY,
    LINK,
    Entry,
    Naming,
    Parser,
    attributes_of,
    record_address,
)
from imagefs.filesystems.iso9660.paths import PathTable
from imagefs.filesystems.iso9660.records import ASSOCIATED, LONGEST_BYTES, RECORD_BYTES, Directory, File, Record
from imagefs.lazy import cached_property
from imagefs.nodes import ROOT_INO, BootImage, Node, Usage
from imagefs.options import Options
from imagefs.readers import Reader

_PLAIN_NAMES = {"normal": names.normal, "off": names.as_recorded, "acorn": names.normal}
_RELOCATED = (b"rr_moved", b".rr_moved")
_SAMPLE_BYTES = 1 << 20
_HEAD_BYTES = 64 << 10
"""What is read of a directory before it is known to be one: a record may state a large size of anything."""
_XATTR_ENTRY = re.compile(
    rb"AL[\x05-\xff]\x01[\x00\x01]|AA\x0e\x02|AA\x07\x01|BA[\x01-\x06]|AS[\x06-\xff]\x01[\x01-\x07]", re.DOTALL
)
_WITH_XATTRS = ("rr", "iso")
_XA_BYTES = 14


def naming(tree: str, options: Options, *, is_cdi: bool = False) -> Naming:
    """How names are made in a tree. Those of CD-i have no versions, and cases that are meant."""
    if tree == "joliet":
        return Naming(names.joliet, names.joliet_whole)
    decode: Callable[[bytes], bytes] = (
        names.enhanced if tree == "evd" else _PLAIN_NAMES["off" if is_cdi else options.map]
    )
    posix = None
    if options.iocharset:
        decode = names.charset_decoder(options.iocharset, decode)
        posix = names.charset_decoder(options.iocharset, bytes)
    return Naming(decode, None, posix, tree == "iso" and options.map == "acorn")


class RootState(enum.IntEnum):
    """How much a tree's root shows, the best first."""

    WHOLE = 0
    PARTIAL = 1
    EMPTY = 2
    LOST = 3


class Iso9660(ListedFileSystem):
    """One tree of a volume. `reader` is addressed by the volume's own (absolute) addresses.

    All that it holds besides are the last few directories in which names were looked up; a lock guards them.

    Raises DamagedError when the root directory cannot be read.
    """

    kind = "iso9660"

    def __init__(self, reader: Reader, volume: DescriptorSet, tree: str, skip: int | None, options: Options) -> None:
        descriptor = {"joliet": volume.joliet, "evd": volume.enhanced}.get(tree, volume.primary)
        if descriptor is None:
            raise NotFoundError(f"the volume has no tree {tree}")
        self.reader, self.tree, self._volume, self._descriptor = reader, tree, volume, descriptor
        self.label, self.uuid = descriptor.label, (volume.primary or descriptor).uuid
        self._skip = skip
        self._parser = Parser(reader, descriptor, naming(tree, options, is_cdi=descriptor.is_cdi), skip)
        self._paths = PathTable(reader, descriptor)
        self._listings = Listings()
        self.root = self._root_node()
        self.has_xattrs = tree in _WITH_XATTRS and self._has_xattrs()

    def _root_node(self) -> Node:
        descriptor, parser = self._descriptor, self._parser
        address = descriptor.root_block * descriptor.block_bytes
        if not address or address + RECORD_BYTES > self.reader.size:
            raise DamagedError(address, "the root directory lies outside the image")
        dot = parser.dot(address)
        own = parser.record(descriptor.root, 0, 0)
        assert own is not None
        mode, mtime, atime, ctime, uid, gid = attributes_of(*((dot.sections[0], dot.fields) if dot else (own, None)))
        mode = stat.S_IFDIR | stat.S_IMODE(mode)
        size = descriptor.root_bytes
        locator = Directory(address, size, address)
        blocks = (size + 511) >> 9
        return Node(ROOT_INO, mode, size, mtime, atime, ctime, uid, gid, blocks=blocks, locator=locator)

    # --- directories ------------------------------------------------------------------------------------------------

    def _listed(self, directory: Node, *, keep: bool = False) -> Listing:
        return self._listing(_locator(directory), keep=keep)

    @cached_property
    def root_state(self) -> RootState:
        """How much the root shows."""
        try:
            listing = self._listing(_locator(self.root), keep=True)
        except DamagedError:
            return RootState.LOST
        if listing.fault:
            return RootState.PARTIAL if listing.entries else RootState.LOST
        return RootState.WHOLE if listing.entries else RootState.EMPTY

    def _listing(self, directory: Directory, *, keep: bool = False) -> Listing:
        if directory.fault:
            raise DamagedError(directory.address, directory.fault)
        key = directory.address, directory.path
        return self._listings.get(key, lambda: self._read(directory), keep=keep)

    def _read(self, directory: Directory) -> Listing:
        try:
            data, cut = self._bytes_of(directory)
        except DamagedError as error:
            data, cut = b"", error
        entries, fault = self._parser.listing(data, directory)
        if self._skip is not None and directory.address == _locator(self.root).address:
            entries = [entry for entry in entries if not self._is_emptied(*entry)]
        if cut or fault:
            entries = names.unique([*entries, *self._recovered(directory, entries)])
        return Listing(entries, cut or fault)

    def _recovered(self, directory: Directory, entries: Sequence[Entry]) -> Iterator[Entry]:
        """The subdirectories of a damaged directory that are not among its entries, by the path table."""
        known = {node.locator.address for _, node in entries if isinstance(node.locator, Directory)}
        for record in itertools.islice(self._paths.children(directory.address), limits.RECOVERED_DIRECTORIES):
            entry = self._parser.recovered(record, directory) if record.address not in known else None
            if entry is not None:
                yield entry

    def recovered_in_root(self) -> list[bytes]:
        """The names in a damaged root that are known by the path table alone."""
        data, root = b"", _locator(self.root)
        with contextlib.suppress(DamagedError):
            data, _ = self._bytes_of(root)
        entries, _ = self._parser.listing(data, root)
        return [name for name, _ in self._recovered(root, entries)]

    def _is_emptied(self, name: bytes, node: Node) -> bool:
        """Whether an entry of the root is the folder of moved directories, all of which are shown in their own places."""
        if name not in _RELOCATED or not node.is_directory or _locator(node).fault:
            return False
        try:
            data, cut = self._bytes_of(_locator(node))
        except DamagedError:
            return False
        entries, fault = self._parser.listing(data, _locator(node))
        return b"RE\4" in data and not (entries or fault or cut)

    def _bytes_of(self, directory: Directory) -> tuple[bytes, DamagedError | None]:
        """The bytes of a directory, and what is wrong with them when there are fewer than there should be.

        Its `.` knows its size best, as in Linux, when both byte orders agree. A size that cannot be (beyond the volume, or
        that of a copy protection) is not believed: then the directory goes on as long as its sectors begin with records.
        """
        address, parser = directory.address, self._parser
        end = max(self.reader.size, self._descriptor.space_blocks * self._descriptor.block_bytes)
        most = min(limits.DIRECTORY_BYTES, end - address)
        stated = believed = directory.size if 0 < directory.size <= most else 0
        data = self._sectors(address, min(stated, _HEAD_BYTES) or 1)
        dot = parser.record(data, 0, address)
        if dot is None or dot.name != b"\0":
            if not parser.is_strict(data, 0):
                start = self._resumed(address, data)
                data = data if stated <= _HEAD_BYTES else self._sectors(address, stated)
                return bytes(start) + data[start:], DamagedError(address, "the directory has lost its beginning")
        elif dot.size != stated and 0 < dot.size <= most and dot.extent == address and parser.is_strict(data, 0):
            believed = dot.size
        if not believed:
            return self._without_size(address, most), None
        if believed != stated or stated > _HEAD_BYTES:
            data = self._sectors(address, believed)
        cut = DamagedError(self.reader.size, "the image ends inside a directory") if len(data) < believed else None
        return data, cut

    def _sectors(self, address: int, size: int) -> bytes:
        """As many whole sectors as `size` bytes take, as far as the image goes."""
        sector = self._parser.sector_bytes
        return self.reader.pread(address, min(-(-size // sector) * sector, self.reader.size - address))

    def _resumed(self, address: int, data: bytes) -> int:
        """Where the next sound record is in a directory whose first one is broken. Raises DamagedError."""
        start, is_sound = self._parser.resume(data, 0)
        if not is_sound or start >= len(data):
            raise DamagedError(address, "there is no directory there")
        return start

    def _without_size(self, address: int, most: int) -> bytes:
        sectors: list[bytes] = []
        while len(sectors) * SECTOR_BYTES < most:
            sector = self.reader.pread(address + len(sectors) * SECTOR_BYTES, SECTOR_BYTES)
            if not self._parser.is_strict(sector, 0) or (sectors and sector[32:34] == b"\1\0"):
                break
            sectors.append(sector)
        return b"".join(sectors)

    # --- from a number to a node ------------------------------------------------------------------------------------

    def node(self, ino: int) -> Node:
        if ino == ROOT_INO:
            return self.root
        kind, address = ino & 3, ino >> 2
        if kind == DIRECTORY:
            return self._directory_at(address)
        if kind == LINK:
            return self._search(ino)
        file = self._file_at(address)
        found = self._parser.entry(file, Directory(address, 0)) if file.sections[0].name not in (b"\0", b"\1") else None
        node = found[1] if found else None
        if node is not None and node.ino != ino and isinstance(node.locator, Directory):
            # The number of a record says that the directory could not be listed where it stands.
            return node._replace(ino=ino, locator=replace(node.locator, fault="the directory contains itself"))
        if node is None or node.ino != ino:
            raise NotFoundError("there is no such inode")
        return node

    def parent(self, directory: Node) -> Node:
        path = _locator(directory).path
        return self._directory_at(path[-1]) if path else self.root

    def _directory_at(self, address: int) -> Node:
        """The node of the directory at a byte address, found in the directory above it."""
        if address == _locator(self.root).address:
            return self.root
        above = self._parser.dot(address, parent=True)
        if above is not None:
            moved = above.fields.parent if above.fields else None
            first = above.sections[0]
            where = first.extent if moved is None else moved * self._descriptor.block_bytes
            dot = self._parser.dot(where)
            if dot is not None and where != address:
                listing = self._listing(Directory(where, dot.sections[0].size), keep=True)
                for _, node in listing.entries:
                    if node.ino == address << 2 | DIRECTORY:
                        return node
        return self._search(address << 2 | DIRECTORY)

    def _search(self, ino: int) -> Node:
        """The node of that number, found by walking the tree. Raises NotFoundError."""
        for _, node in self._walk():
            if node.ino == ino:
                return node
        raise NotFoundError("there is no such inode")

    def _walk(self) -> Iterator[Entry]:
        """Every entry of the tree that can be read, up to a limit; those of a directory with several names once.

        More than the image has room for are in directories that overlap.
        """
        pending, met = [self.root], {self.root.ino}
        left = min(limits.SEARCHED_ENTRIES, self.reader.size // RECORD_BYTES)
        while pending and left > 0:
            left -= 1
            try:
                listing = self._listing(_locator(pending.pop()))
            except DamagedError:
                continue
            left -= len(listing.entries)
            for _, node in listing.entries:
                if node.is_directory and node.ino not in met:
                    met.add(node.ino)
                    pending.append(node)
            yield from listing.entries

    # --- files ------------------------------------------------------------------------------------------------------

    def _file_at(self, address: int) -> File:
        """The records of the file whose first one is at a byte address. Raises NotFoundError."""
        sector = self._parser.sector_bytes
        first = address // sector * sector
        # No sector more than the records need, since the next one may be damaged.
        for length in (SECTOR_BYTES, 2 * SECTOR_BYTES, limits.FILE_EXTENTS * LONGEST_BYTES):
            data = self.reader.pread(first, min(length, max(0, self.reader.size - first)))
            parsed = self._parser.file(data, address - first, first)
            if parsed is None and length > SECTOR_BYTES:
                raise NotFoundError("there is no such inode")
            if parsed is not None and not parsed[0].goes_on:
                break
        assert parsed is not None
        return parsed[0]

    def readlink(self, node: Node) -> bytes:
        file = self._file_at(record_address(node))
        target = file.fields.target if file.fields else None
        if not target:
            raise DamagedError(file.sections[0].address, "the target of the link is not recorded whole")
        return target

    def open(self, node: Node) -> Reader:
        if node.start >= 0 or not node.is_file:
            return super().open(node)
        file = self._file_at(record_address(node))
        if self._parser.is_elsewhere(file.sections[0]):
            raise DamagedError(None, f"its content is on volume {file.sections[0].volume} of the set")
        return content(self.reader, file)

    # --- extended attributes ----------------------------------------------------------------------------------------

    def _has_xattrs(self) -> bool:
        """Whether entries with attributes are seen in the first MiB from the root on, where writers put directories."""
        start = _locator(self.root).address
        try:
            sample = self.reader.pread(start, min(_SAMPLE_BYTES, self.reader.size - start))
        except DamagedError:
            return False
        return _XATTR_ENTRY.search(sample) is not None

    def xattrs(self, node: Node) -> Mapping[str, bytes]:
        if self.tree not in _WITH_XATTRS:
            return {}
        file = self._file_at(record_address(node))
        fields = file.fields or self._fields_without_rock_ridge(file.sections[0])
        found = attributes.aaip(fields.aaip)
        if fields.finder:
            found[attributes.FINDER_INFO] = attributes.finder_info(fields.finder)
        if fields.protection:
            found[attributes.AMIGA_PROTECTION] = fields.protection
        if fields.comment:
            found[attributes.AMIGA_COMMENT] = fields.comment
        fork = self._fork_of(file.sections[0]) if node.is_file else None
        if fork is not None and fork.size > limits.XATTR_BYTES:
            found[attributes.FORK_SIZE] = b"%d" % fork.size
        elif fork is not None and fork.size:
            found[attributes.RESOURCE_FORK] = content(self.reader, File([fork], None)).exactly(0, fork.size)
        return found

    def _fields_without_rock_ridge(self, record: Record) -> susp.Fields:
        """What other systems put into the system use area, perhaps behind that of XA."""
        use = record.system_use
        use = use[_XA_BYTES:] if use[6:8] == b"XA" else use
        return susp.read_fields(use, susp.Continuations(self.reader, self._descriptor.block_bytes))

    def _fork_of(self, record: Record) -> Record | None:
        """The associated file of a file: the record just before its own, in its sector or at the end of the one before."""
        sector = record.address // SECTOR_BYTES * SECTOR_BYTES
        for first in (sector, sector - SECTOR_BYTES):
            data = self.reader.pread(first, SECTOR_BYTES)
            before = [other for other, _ in self._parser.records(data, 0, first) if other.address < record.address]
            if before:
                fork = before[-1]
                return fork if fork.flags & ASSOCIATED and fork.name == record.name else None
        return None

    # --- the volume -------------------------------------------------------------------------------------------------

    def usage(self) -> Usage:
        block = self._descriptor.block_bytes
        return Usage(block, self._descriptor.space_blocks or self.reader.size // block)

    def boot_images(self) -> Sequence[BootImage]:
        return boot_images(self.reader, self._volume, (node for _, node in self._walk()))

    def details(self) -> Mapping[str, Any]:
        nodes = (node for _, node in self._walk())
        return describe(self.reader, self._volume, self._descriptor, self.trees, nodes)


def _locator(node: Node) -> Directory:
    """Where a directory of this file system is."""
    if not isinstance(node.locator, Directory):
        raise NotADirectoryError(f"inode {node.ino} is no directory")
    return node.locator
