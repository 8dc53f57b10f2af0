"""Which of the file systems that describe the same files is shown."""

from collections import deque
from collections.abc import Sequence

from imagefs import limits
from imagefs.errors import DamagedError, ImageError, message_of
from imagefs.formats import Format
from imagefs.nodes import FileSystem

RICHNESS = ("rr", "udf", "hfs", "joliet", "evd", "iso")
"""The trees that may describe the same files, the one that tells most of them first."""

_STUB_NAME, _STUB_BYTES = b"readme.txt", 2048
_LARGE_BYTES = 1 << 32
"""What the size in one directory record of ISO 9660 cannot say."""


def richest(opened: Sequence[FileSystem], failed: Sequence[tuple[Format, ImageError]]) -> FileSystem:
    """The one of several file systems of a volume that is shown; `failed` are those that could not be opened.

    Raises the first error when none could, or when all that is left is a stub.
    """
    if not opened or (failed and all(map(_is_stub, opened))):
        raise failed[0][1]
    if len(opened) == 1 and not failed:
        return opened[0]
    states = {filesystem.tree: _state(filesystem) for filesystem in opened}
    shown = min(opened, key=lambda filesystem: (states[filesystem.tree], RICHNESS.index(filesystem.tree)))
    rank = RICHNESS.index(shown.tree)
    remarks = [
        f"its {entry.title} side cannot be read: {message_of(error)}"
        for entry, error in failed
        if RICHNESS.index(entry.trees[0]) < rank
    ]
    remarks += [
        f"its {other.kind} side ({other.tree}) is not shown: the root directory is damaged or empty"
        for other in opened
        if RICHNESS.index(other.tree) < rank
    ]
    udf = next((each for each in opened if each.tree == "udf" and not states["udf"]), None)
    if udf and shown.tree == "rr" and _is_shortened(shown, udf):
        shown = udf
        remarks = ["its UDF side is shown: in the other one (tree=rr) files of 4 GiB and more are cut short"]
    shown.warnings = (*remarks, *shown.warnings)
    return shown


def _is_shortened(iso: FileSystem, udf: FileSystem) -> bool:
    """Whether files of 4 GiB and more end early in `iso`: mkisofs -allow-limited-size records the low 32 bits of a size.

    The directories that both sides have are gone through together from the root on, up to a limit; what cannot be read tells
    nothing.
    """
    pending, left = deque([(iso.root, udf.root)]), limits.COMPARED_ENTRIES
    while pending and left > 0 and udf.reader.size >= _LARGE_BYTES:
        here, there = pending.popleft()
        try:
            entries = udf.entries(there)
            left -= 1 + len(entries)
            for name, node in entries:
                is_large = node.is_file and node.size >= _LARGE_BYTES
                same = iso.lookup(here, name) if is_large or node.is_directory else None
                if same and is_large and same.is_file and same.size < node.size:
                    return True
                if same and same.is_directory and node.is_directory:
                    pending.append((same, node))
        except (ImageError, OSError):
            continue
    return False


def _state(filesystem: FileSystem) -> int:
    """How much a tree's root shows, the best first: whole, damaged, empty, a stub."""
    try:
        entries = filesystem.entries(filesystem.root)
    except DamagedError:
        return 1
    return 2 if not entries else 3 if _is_stub(filesystem) else 0


def _is_stub(filesystem: FileSystem) -> bool:
    """Whether all that a tree holds is a file that says to use another one."""
    try:
        entries = filesystem.entries(filesystem.root)
    except DamagedError:
        return False
    if len(entries) != 1:
        return False
    name, node = entries[0]
    return name.lower() == _STUB_NAME and node.is_file and node.size <= _STUB_BYTES
