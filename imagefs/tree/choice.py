"""Which of the file systems that describe the same files is shown."""

from collections.abc import Sequence

from imagefs.errors import DamagedError, ImageError, message_of
from imagefs.formats import Format
from imagefs.nodes import FileSystem

RICHNESS = ("rr", "udf", "hfs", "joliet", "evd", "iso")
"""The trees that may describe the same files, the one that tells most of them first."""

_STUB_NAME, _STUB_BYTES = b"readme.txt", 2048


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
    shown.warnings = (*remarks, *shown.warnings)
    return shown


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
