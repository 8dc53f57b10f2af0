"""From a session's descriptors to the tree that is shown: which trees there are, and which of them is the richest."""

import itertools
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from imagefs.errors import DamagedError, NotAnImageError, NotFoundError, UnsupportedError, message_of
from imagefs.filesystems.iso9660 import sessions, susp
from imagefs.filesystems.iso9660.descriptors import SECTOR_BYTES, Descriptor, DescriptorSet, read_set
from imagefs.filesystems.iso9660.filesystem import Iso9660, RootState
from imagefs.filesystems.iso9660.paths import PathTable
from imagefs.filesystems.iso9660.records import Record, RecordReader
from imagefs.options import Options
from imagefs.readers import Reader

TITLES = {"rr": "Rock Ridge", "joliet": "Joliet", "evd": "ISO 9660:1999", "iso": "plain ISO 9660"}
"""The trees, the richest first."""
PREGAP_SECTORS = 150
_RUN_OUT_SECTORS = 2
"""What is often missing at the end of a dump of a CD written track at once: sectors that hold nothing."""
_GUESSED_RECORDS = 4
_NAMED = 20
"""Names in one warning."""


class Tree(NamedTuple):
    """A tree that a volume has; `skip` is set for Rock Ridge alone (see RecordReader)."""

    name: str
    skip: int | None = None


def open_volume(reader: Reader, origin: int, options: Options) -> Iso9660:
    """The tree that the options choose of the volume whose session begins at byte `origin`.

    Raises NotAnImageError, DamagedError, NotFoundError (no such tree or session), UnsupportedError, OSError.
    """
    if options.tree and options.tree not in TITLES:
        raise UnsupportedError(f"this is the ISO 9660 side of the disc; its {options.tree.upper()} side is not read")
    return open_session(reader, origin, _choose_session(reader, origin, options), options)


def open_session(reader: Reader, origin: int, descriptors: DescriptorSet, options: Options) -> Iso9660:
    """The tree that the options choose of a session, by its descriptors. Raises DamagedError, NotFoundError, OSError."""
    if descriptors.first is None:
        raise DamagedError(origin, "it has no volume descriptor that leads to a directory")
    room = reader.size
    reader = sessions.at_address(reader, sessions.address_of_start(reader, descriptors, descriptors.first))
    descriptors, misled = _with_roots(reader, descriptors)
    trees = find_trees(reader, descriptors)
    if options.tree is None:
        shown = _richest(reader, descriptors, trees, options)
    else:
        shown = _open(reader, descriptors, _wanted(trees, options.tree), options)
    shown.warnings = (*shown.warnings, *misled, *_remarks(reader, descriptors))
    shown.trees = tuple(tree.name for tree in trees)
    shown.room = room
    return shown


def _choose_session(reader: Reader, origin: int, options: Options) -> DescriptorSet:
    start = origin // SECTOR_BYTES
    if not origin and options.session is not None:
        found = sessions.find_sessions(reader)
        if not 1 <= options.session <= len(found):
            raise NotFoundError(f"there is no session {options.session}; the image has {len(found)}")
        return found[options.session - 1]
    descriptors = read_set(reader, start) or (None if origin else read_set(reader, PREGAP_SECTORS))
    if descriptors is None:
        raise NotAnImageError("it has no ISO 9660 volume descriptors")
    return descriptors


def _with_roots(reader: Reader, descriptors: DescriptorSet) -> tuple[DescriptorSet, list[str]]:
    """The same with the roots that path tables name, where a descriptor leads to no directory; and remarks on that."""
    remarks: list[str] = []

    def mended(descriptor: Descriptor | None) -> Descriptor | None:
        root = _root_by_paths(reader, descriptor) if descriptor else None
        if descriptor is None or root is None:
            return descriptor
        if not descriptor.is_cdi:
            remarks.append("the root directory is where the path table says, not where its record does")
        return replace(descriptor, root=root)

    primary, joliet, enhanced = map(mended, (descriptors.primary, descriptors.joliet, descriptors.enhanced))
    return replace(descriptors, primary=primary, joliet=joliet, enhanced=enhanced), remarks


def _root_by_paths(reader: Reader, descriptor: Descriptor) -> bytes | None:
    """The record of the root that the path table names, None when it names no other than the descriptor or none is there."""
    address = PathTable(reader, descriptor).root if not sessions.has_root(reader, descriptor) else None
    if address is None or address == descriptor.root_block * descriptor.block_bytes:
        return None
    dot = RecordReader(reader, descriptor, None).dot(address)
    if dot is None or dot.sections[0].extent != address:
        return None
    block, size = address // descriptor.block_bytes, dot.sections[0].size
    return (
        b"\x22\0" + struct.pack("<I", block) + struct.pack(">I", block) + struct.pack("<I", size) + descriptor.root[14:]
    )


def find_trees(reader: Reader, descriptors: DescriptorSet) -> list[Tree]:
    """The trees of a volume, the richest first."""
    found = []
    if descriptors.primary:
        skip = find_rock_ridge(reader, descriptors.primary)
        if skip is not None:
            found.append(Tree("rr", skip))
    if descriptors.joliet:
        found.append(Tree("joliet"))
    if descriptors.primary:
        found.append(Tree("iso"))
    if descriptors.enhanced:
        # genisoimage gives it the primary tree's own root: then it is no tree of its own, and no richer one.
        shared = descriptors.primary is not None and descriptors.primary.root_block == descriptors.enhanced.root_block
        found.insert(len(found) - (bool(descriptors.primary) and not shared), Tree("evd"))
    return found


def find_rock_ridge(reader: Reader, descriptor: Descriptor) -> int | None:
    """How many bytes precede the Rock Ridge fields of a record, None in a tree without them.

    An SP entry in the root's `.` says so; the fields themselves have to be there as well, since Apple's use SP too. Without
    SP, the first records must all have a mode and a name: discs older than SUSP. Where the root is lost, another directory
    tells.
    """
    if descriptor.high_sierra or descriptor.is_cdi:
        return None
    root = descriptor.root_block * descriptor.block_bytes
    others = (child.address for child in PathTable(reader, descriptor).children(root))
    for address in itertools.chain((root,), itertools.islice(others, _GUESSED_RECORDS)):
        first = _first_records(reader, descriptor, address)
        if len(first) > (2 if address != root else 0):
            return _skip_of(first, susp.Continuations(reader, descriptor.block_bytes))
    return None


def _first_records(reader: Reader, descriptor: Descriptor, address: int) -> list[Record]:
    try:
        data = reader.pread(address, SECTOR_BYTES)
    except DamagedError:
        return []
    records = RecordReader(reader, descriptor, None).records(data, 0, address)
    return [record for record, _ in itertools.islice(records, 2 + _GUESSED_RECORDS)]


def _skip_of(first: Sequence[Record], continuations: susp.Continuations) -> int | None:
    """What `find_rock_ridge` tells, by the first records of a directory."""
    skip = susp.find_skip(first[0].system_use)
    areas = [record.system_use[skip or 0 :] for record in first]
    if skip is not None:
        areas[0] = first[0].system_use[first[0].system_use.index(b"SP\7") :]
    fields = [susp.read_fields(area, continuations) for area in areas]
    if skip is not None:
        return skip if any(field.is_rock_ridge for field in fields) else None
    files = fields[2:]
    return 0 if files and all(field.posix and field.name for field in files) else None


def _wanted(trees: Sequence[Tree], name: str) -> Tree:
    for tree in trees:
        if tree.name == name:
            return tree
    there = ", ".join(tree.name for tree in trees) or "none"
    raise NotFoundError(f"the volume has no {TITLES[name]} tree (tree={name}); it has: {there}")


def _open(reader: Reader, descriptors: DescriptorSet, tree: Tree, options: Options) -> Iso9660:
    """One tree. Raises DamagedError when nothing of its root can be read."""
    filesystem = Iso9660(reader, descriptors, tree.name, tree.skip, options)
    if filesystem.root_state is RootState.LOST:
        filesystem.entries(filesystem.root)  # raises what is wrong with it
    if filesystem.root_state is RootState.PARTIAL:
        found = b", ".join(filesystem.recovered_in_root()[:_NAMED]).decode("utf-8", "replace")
        if found:
            filesystem.warnings = (
                f"the root directory is damaged; by the path table it holds these folders, which can be opened: {found}",
            )
    return filesystem


def _richest(reader: Reader, descriptors: DescriptorSet, trees: Sequence[Tree], options: Options) -> Iso9660:
    """The first tree whose root is whole and not empty; failing that, the one that shows most.

    A directory that is damaged in one tree is often whole in another, and discs with an empty primary tree and all files in
    Joliet exist.
    """
    failed: DamagedError | None = None
    opened: list[Iso9660] = []
    for tree in trees:
        try:
            opened.append(_open(reader, descriptors, tree, options))
        except DamagedError as error:
            failed = failed or error
            continue
        if opened[-1].root_state is RootState.WHOLE:
            break
    if not opened:
        raise failed or DamagedError(None, "it has no directory tree")
    shown = min(opened, key=lambda filesystem: filesystem.root_state)
    if shown.tree != trees[0].name:
        why = message_of(failed) if failed else "its root is damaged or empty"
        shown.warnings = (
            *shown.warnings,
            f"the {TITLES[shown.tree]} tree is shown instead of {TITLES[trees[0].name]}: {why}",
        )
    return shown


def _remarks(reader: Reader, descriptors: DescriptorSet) -> list[str]:
    """What is wrong with the volume and was lived with."""
    found: list[str] = []
    first = descriptors.first
    if first is None:
        return found
    if descriptors.primary is None:
        found.append("the primary volume descriptor is missing")
    if not descriptors.terminated:
        found.append("the volume descriptors have no end")
    if first.block_bytes_stated != first.block_bytes:
        found.append(f"a block size of {first.block_bytes_stated} bytes is stated; {first.block_bytes} are taken")
    missing = first.space_blocks * first.block_bytes - reader.size
    if not descriptors.start and missing > _RUN_OUT_SECTORS * SECTOR_BYTES:
        found.append(f"the image ends {missing} bytes before the volume does; files there cannot be read")
    return found
