"""The entries of a directory: from its bytes to names and nodes.

Two loops read the common case, one for Rock Ridge and one for names alone. They run for every file of a disc, so they
call nothing, make no objects but the result, and leave whatever is not common (links, devices, continuation areas, several
extents, moved directories ...) to `Parser.entry`, which takes its time.

Hidden files are shown, as in Linux; associated files are not listed (they are attributes of the file after them), nor are
moved directories in the place to which they were moved. A directory has the time and owner that the record above it tells:
its own `.`, which Linux asks, is recorded alike by all writers but for folders of moved directories, and to look there for
each would cost a read for every directory in a listing. A record that is broken spoils the listing as a whole, but what
can be read after it is there to be looked up.
"""

import stat
import struct
from collections.abc import Callable
from typing import NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.filesystems.iso9660 import names, susp
from imagefs.filesystems.iso9660.descriptors import SECTOR_BYTES, Descriptor, both32
from imagefs.filesystems.iso9660.paths import PathRecord
from imagefs.filesystems.iso9660.records import (
    HIDDEN,
    IS_DIRECTORY,
    RECORD_BYTES,
    Directory,
    File,
    Record,
    RecordReader,
)
from imagefs.nodes import NOBODY, Node
from imagefs.readers import Reader

RECORD, DIRECTORY, LINK = 0, 1, 2
"""The low two bits of an inode number. Above them stands, for RECORD, the byte address of the (first) directory record; for
DIRECTORY, the byte address of the directory's extent, whichever record leads there; for LINK (a Rock Ridge file with several
names), the block of its data and above that the low 22 bits of its serial number, if it has one."""
_SERIAL_BITS = 22

_ENTRY = struct.Struct("<HB")  # signature, length
_SERIAL_AT = 36


def _signature(text: bytes) -> int:
    return int.from_bytes(text, "little")


_PX_ENTRY, _NM_ENTRY, _TF_ENTRY = map(_signature, (b"PX", b"NM", b"TF"))
_UNCOMMON = frozenset(map(_signature, (b"CE", b"SL", b"PN", b"CL", b"RE", b"ZF", b"Z2", b"ST", b"BA")))
_USUAL_TIMES = susp.MODIFIED | susp.ACCESSED | susp.ATTRIBUTES  # what mkisofs, genisoimage and libisofs record

_IN_SECTOR = SECTOR_BYTES - 1
_SEARCHES = 64
"""Broken places of one directory after which the next record is looked for byte by byte."""

_AREAS_PER_BYTE = 64
"""Bytes of continuation areas for each byte of a directory, besides what one record may have: a link of 4 KiB on every
short record needs 60."""

_DIRECTORY_MODE = stat.S_IFDIR | 0o555
_FILE_MODE = stat.S_IFREG | 0o555
_LINK_MODE = stat.S_IFLNK | 0o777
_TYPES = (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFREG, stat.S_IFLNK, stat.S_IFSOCK)

Entry = tuple[bytes, Node]


class Naming(NamedTuple):
    """How the names of a tree are made from the identifiers in its records."""

    decode: Callable[[bytes], bytes]
    whole: Callable[[bytes], bytes] | None = None
    """The same without what `decode` leaves out for looks."""
    posix: Callable[[bytes], bytes] | None = None
    """What is done with a Rock Ridge name."""
    acorn: bool = False


class Attributes(NamedTuple):
    """What a record says of an entry besides its content; times in ns."""

    mode: int
    mtime: int
    atime: int
    ctime: int
    uid: int = NOBODY
    gid: int = NOBODY


class _Found:
    """What was found in a directory so far: its entries, the first thing that is wrong with it, and how many things are."""

    def __init__(self, directory: Directory, continuations: susp.Continuations) -> None:
        self.entries: list[Entry] = []
        self.fault: DamagedError | None = None
        self.faults = 0
        self.continuations = continuations
        self._base = directory.address

    def add_fault(self, at: int, why: str) -> None:
        """Something is wrong with the record at byte `at` of the directory."""
        self.fault = self.fault or DamagedError(self._base + at, why)
        self.faults += 1


class Parser(RecordReader):
    """Makes the nodes of one tree from its records. Immutable; all methods may run in many threads at once."""

    def __init__(self, reader: Reader, descriptor: Descriptor, naming: Naming, skip: int | None) -> None:
        super().__init__(reader, descriptor, skip)
        self._naming = naming
        self._root = descriptor.root_block * descriptor.block_bytes

    # --- whole directories ------------------------------------------------------------------------------------------

    def listing(self, data: bytes, directory: Directory) -> tuple[list[Entry], DamagedError | None]:
        """The entries in the bytes of a directory, and what is wrong with it when those are not all."""
        most = limits.CE_BYTES + _AREAS_PER_BYTE * len(data)
        found = _Found(directory, susp.Continuations(self._reader, self._block_bytes, most))
        read = self._read_names if self._skip is None else self._read_rock_ridge
        read(data, directory, found)
        return self._named(found.entries, data, directory), found.fault

    def _read_rock_ridge(self, data: bytes, directory: Directory, found: _Found) -> None:
        fixed, entry_at, px_at, times = self._fixed.unpack_from, _ENTRY.unpack_from, susp.PX.unpack_from, self._times
        new, append = tuple.__new__, found.entries.append
        block, skip, volume_number, image_end = self._block_bytes, self._skip or 0, self._volume, self._reader.size
        base, at, end = directory.address, 0, len(data)
        while at < end:
            length = data[at]
            stop = at + length
            if (
                length < RECORD_BYTES or stop > end or (at & _IN_SECTOR) + length > SECTOR_BYTES
                or data[at + 32] + 33 > length
            ) and not self.is_joined(data, at):  # fmt: skip
                at = self._after_broken(data, at, found)
                continue
            name_length = data[at + 32]
            if name_length == 1 and data[at + 33] < 2:
                at = stop
                continue
            name, mode, time = b"", 0, None
            use = at + 34 + name_length - (name_length & 1) + skip
            while use + 4 <= stop:
                signature, entry_length = entry_at(data, use)
                following = use + entry_length
                if following > stop or entry_length < 4:
                    break
                if signature == _NM_ENTRY:
                    if name or data[use + 4]:
                        name = b""
                        break
                    name = data[use + 5 : following]
                elif signature == _PX_ENTRY:
                    if entry_length < 36:
                        break
                    mode, links, uid, gid = px_at(data, use + 4)
                    serial_at = use + _SERIAL_AT if entry_length >= 44 else 0
                elif signature == _TF_ENTRY:
                    if data[use + 4] != _USUAL_TIMES or entry_length < 26:
                        break
                    time = times[data[use + 5 : use + 12]]
                    accessed = times[data[use + 12 : use + 19]]
                    changed = times[data[use + 19 : use + 26]]
                elif signature in _UNCOMMON:
                    name = b""
                    break
                use = following
            if stop - use >= RECORD_BYTES and self.swallows(data, use, stop):
                found.add_fault(at, "the length of a directory record is wrong")
                at, _ = self.resume(data, at)
                continue
            xar, extent, size, _, flags, interleave, volume = fixed(data, at)
            if not name or time is None or xar or interleave or (volume_number and volume != volume_number):
                at = self._add(data, at, directory, found)
                continue
            kind = mode & 0o170000
            if kind == 0o100000 and not flags & ~HIDDEN and (extent if size else not both32(data, at + 10)):
                start = extent * block if size else 0
                ino, locator = base + at << 2, None
                if links > 1:
                    serial = both32(data, serial_at) if serial_at else 0
                    if size or serial:
                        ino, locator = _link_ino(extent if size else 0, serial), base + at
                node = (
                    ino, mode & 0o107777, size, time, accessed, changed, uid, gid, links or 1, 0, (size + 511) >> 9,
                    start if start + size <= image_end else -1, locator,
                )  # fmt: skip
                append((name, new(Node, node)))
                at = stop
            elif kind == 0o040000 and flags & ~HIDDEN == IS_DIRECTORY and extent and size:
                attributes = Attributes(mode & 0o047777, time, accessed, changed, uid, gid)
                append((name, self._directory(extent * block, size, base + at, attributes, directory)))
                at = stop
            else:
                at = self._add(data, at, directory, found)

    def _read_names(self, data: bytes, directory: Directory, found: _Found) -> None:
        fixed, times, decode, new, append = (
            self._fixed.unpack_from, self._times, self._naming.decode, tuple.__new__, found.entries.append,
        )  # fmt: skip
        block, volume_number, image_end, is_special = (
            self._block_bytes,
            self._volume,
            self._reader.size,
            self._naming.acorn or self._is_cdi,
        )
        base, at, end = directory.address, 0, len(data)
        while at < end:
            length = data[at]
            stop = at + length
            if (
                length < RECORD_BYTES or stop > end or (at & _IN_SECTOR) + length > SECTOR_BYTES
                or data[at + 32] + 33 > length
            ) and not self.is_joined(data, at):  # fmt: skip
                at = self._after_broken(data, at, found)
                continue
            name_length = data[at + 32]
            if name_length == 1 and data[at + 33] < 2:
                at = stop
                continue
            use = at + 33 + name_length
            if stop - use >= RECORD_BYTES and self.swallows(data, use + 1, stop):
                found.add_fault(at, "the length of a directory record is wrong")
                at, _ = self.resume(data, at)
                continue
            xar, extent, size, stamp, flags, interleave, volume = fixed(data, at)
            common = not (xar or interleave or is_special or (volume_number and volume != volume_number))
            if common and flags & ~HIDDEN == 0 and (extent if size else not both32(data, at + 10)):
                time, start = times[stamp], extent * block if size else 0
                node = (
                    base + at << 2, _FILE_MODE, size, time, time, time, NOBODY, NOBODY, 1, 0, (size + 511) >> 9,
                    start if start + size <= image_end else -1, None,
                )  # fmt: skip
                append((decode(data[at + 33 : at + 33 + name_length]), new(Node, node)))
                at = stop
            else:
                at = self._add(data, at, directory, found)

    def _add(self, data: bytes, at: int, directory: Directory, found: _Found) -> int:
        """Adds the entry whose sound record is at `at`, unless it is not shown; returns where the next one begins."""
        parsed = self.file(data, at, directory.address, found.continuations)
        assert parsed is not None  # the caller has looked at the record
        entry = self.entry(parsed[0], directory, found.continuations)
        if entry:
            found.entries.append(entry)
        return parsed[1]

    def _after_broken(self, data: bytes, at: int, found: _Found) -> int:
        """Where to go on from `at`, where no sound record is: a fault, unless a sector simply ends there."""
        following, is_broken = self.resume(data, at, search=found.faults < _SEARCHES)
        if is_broken:
            found.add_fault(at, "a directory record is broken")
        return following

    def _named(self, found: list[Entry], data: bytes, directory: Directory) -> list[Entry]:
        """The entries under names that may be shown. All are looked at together, since hardly ever one needs a change."""
        joined = b"/".join([name for name, _ in found])
        if self._skip is not None and self._naming.posix and not joined.isascii():
            decode = self._naming.posix
            found = [(decode(name), node) for name, node in found]
            joined = b"/".join([name for name, _ in found])
        index = dict(found)
        if (
            len(index) == len(found)
            and joined.count(b"/") == max(0, len(found) - 1)
            and 0 not in joined
            and index.keys().isdisjoint((b"", b".", b".."))
            and (len(joined) <= limits.NAME_BYTES or max(map(len, index)) <= limits.NAME_BYTES)
        ):
            return found
        found = [(names.allowed(name), node) for name, node in found]
        whole = self._naming.whole
        if whole is None:
            return names.unique(found)

        def whole_name(node: Node) -> bytes:
            at = record_address(node) - directory.address
            return names.allowed(whole(data[at + 33 : at + 33 + data[at + 32]]))

        return names.unique(found, whole_name)

    # --- one entry --------------------------------------------------------------------------------------------------

    def entry(self, file: File, directory: Directory, continuations: susp.Continuations | None = None) -> Entry | None:
        """Name and node of a file or directory; None for what is not shown (associated files, moved directories)."""
        first, fields = file.sections[0], file.fields
        if file.is_fork or (fields and fields.relocated):
            return None
        name = fields.name.partition(b"\0")[0] if fields else b""
        if not name:
            name = self._naming.decode(first.name)
            if self._naming.acorn:
                name = names.acorn(name, first.system_use)
        if fields and fields.child is not None and not first.flags & IS_DIRECTORY:
            return name, self._moved(fields.child * self._block_bytes, first, directory, continuations)
        attributes = attributes_of(first, fields)
        if first.flags & IS_DIRECTORY:
            return name, self._directory(first.extent, file.stored_bytes, first.address, attributes, directory)
        return name, self._file(file, attributes)

    def _file(self, file: File, attributes: Attributes) -> Node:
        first, fields = file.sections[0], file.fields
        posix = fields.posix if fields else None
        mode, mtime, atime, ctime, uid, gid = attributes
        links = max(1, posix.nlink) if posix else 1
        size, stored, device, start, ino = 0, 0, 0, -1, first.address << 2 | RECORD
        if stat.S_ISREG(mode):
            size, stored = file.size, file.stored_bytes
            if not size:
                start = 0
            elif file.is_contiguous and not self.is_elsewhere(first) and first.extent + size <= self._reader.size:
                start = first.extent
        elif stat.S_ISLNK(mode):
            size = len(fields.target or b"") if fields else 0
        elif fields and fields.device and (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
            device = _device(*fields.device)
        if posix and links > 1 and (stored or posix.serial):
            ino = _link_ino(first.extent // self._block_bytes if stored else 0, posix.serial)
        blocks = (stored + 511) >> 9
        return Node(ino, mode, size, mtime, atime, ctime, uid, gid, links, device, blocks, start, first.address)

    def _directory(
        self, address: int, size: int, record: int, attributes: Attributes, parent: Directory, fault: str = ""
    ) -> Node:
        """The node of a directory. One that cannot be listed is known by its record, for its extent is something else's."""
        path = (*parent.path, parent.address)
        if not fault:
            if address in path or address == self._root:
                fault = "the directory contains itself"
            elif not address or address + RECORD_BYTES > self._reader.size:
                fault = "the directory lies outside the image"
            elif len(path) >= limits.DIRECTORY_DEPTH:
                fault = f"directories are nested more than {limits.DIRECTORY_DEPTH} deep"
        ino = record << 2 | RECORD if fault else address << 2 | DIRECTORY
        locator = Directory(address, size, record, path, fault)
        mode, mtime, atime, ctime, uid, gid = attributes
        mode = stat.S_IFDIR | stat.S_IMODE(mode)  # the flag may be missing in the `.` that they are from
        return Node(ino, mode, size, mtime, atime, ctime, uid, gid, 1, 0, (size + 511) >> 9, -1, locator)

    def recovered(self, record: PathRecord, parent: Directory) -> Entry | None:
        """Name and node of a directory that the path table tells of; None when there is no directory in that place."""
        dot = self.dot(record.address)
        if dot is None or dot.sections[0].extent != record.address:
            return None
        attributes = attributes_of(dot.sections[0], dot.fields)
        name = names.allowed(self._naming.decode(record.name))
        return name, self._directory(record.address, dot.sections[0].size, record.address, attributes, parent)

    def _moved(
        self, address: int, placeholder: Record, parent: Directory, continuations: susp.Continuations | None
    ) -> Node:
        """The node of a directory that a CL entry points to; its attributes are those of its `.`."""
        dot = self.dot(address, continuations=continuations)
        if dot is None:
            attributes = Attributes(_DIRECTORY_MODE, placeholder.time, placeholder.time, placeholder.time)
            why = "there is no directory in the place to which it was moved"
            return self._directory(address, 0, placeholder.address, attributes, parent, why)
        attributes = attributes_of(dot.sections[0], dot.fields)
        return self._directory(address, dot.sections[0].size, placeholder.address, attributes, parent)


def attributes_of(record: Record, fields: susp.Fields | None) -> Attributes:
    """Mode, times and owner. Whether it is a directory, the record's flag decides, not Rock Ridge's mode."""
    is_directory = record.flags & IS_DIRECTORY
    plain = _DIRECTORY_MODE if is_directory else _FILE_MODE
    if fields is None:
        return Attributes(plain, record.time, record.time, record.time)
    posix, times = fields.posix, fields.times
    if posix is None:
        mode = plain if fields.link is None or is_directory else _LINK_MODE
    elif is_directory:
        mode = stat.S_IFDIR | stat.S_IMODE(posix.mode)
    else:
        kind = stat.S_IFMT(posix.mode)
        if kind not in _TYPES:
            kind = stat.S_IFREG if fields.link is None else stat.S_IFLNK
        mode = kind | stat.S_IMODE(posix.mode)
    changed = times.get(susp.ATTRIBUTES, times.get(susp.CREATED, record.time))
    return Attributes(
        mode,
        times.get(susp.MODIFIED, record.time),
        times.get(susp.ACCESSED, record.time),
        changed,
        posix.uid if posix else NOBODY,
        posix.gid if posix else NOBODY,
    )


def record_address(node: Node) -> int:
    """The byte address of a node's record, the first where there are several; of the root's, its `.`."""
    if isinstance(node.locator, Directory):
        return node.locator.record
    return node.locator if isinstance(node.locator, int) else node.ino >> 2


def _link_ino(block: int, serial: int) -> int:
    """The inode number that all names of one file share."""
    return ((serial & (1 << _SERIAL_BITS) - 1) << 32 | block) << 2 | LINK


def _device(major: int, minor: int) -> int:
    """A device number as os.makedev makes it on Linux."""
    return (minor & 0xFF) | (major & 0xFFF) << 8 | (minor & 0xFFFFFF00) << 12 | (major & 0xFFFFF000) << 32
