"""Entries as `ls -l` shows them, coloured on a terminal, and as JSON with keys that stay."""

import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence

from imagefs.cli.output import Report, is_plain, printable
from imagefs.errors import ImageError
from imagefs.nodes import FileSystem, Node
from imagefs.options import Options

_TYPES = {
    stat.S_IFREG: ("file", ""),
    stat.S_IFDIR: ("directory", "01;34"),
    stat.S_IFLNK: ("link", "01;36"),
    stat.S_IFCHR: ("char", "01;33"),
    stat.S_IFBLK: ("block", "01;33"),
    stat.S_IFIFO: ("fifo", "33"),
    stat.S_IFSOCK: ("socket", "01;35"),
}
"""Word in JSON and colour of each type, the colours those of ls."""
_PROGRAM = "01;32"


class Listing:
    """How the entries of one image are shown: the long form or names alone, owners and modes as the options have them."""

    def __init__(self, tree: FileSystem, report: Report, options: Options, *, long: bool) -> None:
        self._tree, self._report, self._options, self._long = tree, report, options, long
        self._plain = is_plain(sys.stdout)
        self._escape = bool(sys.stdout and sys.stdout.isatty())

    def lines(self, entries: Sequence[tuple[bytes, Node]], folder: bytes = b"") -> Iterator[str]:
        """A line for each entry (name, node) in `folder`; in the long form the columns are as wide as they must be."""
        if not self._long:
            yield from (self.name(name, node) + "\n" for name, node in entries)
            return
        rows = [_columns(self.shown(node)) for _, node in entries]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for (name, node), row in zip(entries, rows, strict=True):
            mode, links, owner, group, size, date = (text.rjust(width) for text, width in zip(row, widths, strict=True))
            target = self.target(node, folder + b"/" + name)
            arrow = "" if target is None else " -> " + self.text(target)
            yield f"{mode} {links} {owner} {group} {size} {date} {self.name(name, node)}{arrow}\n"

    def shown(self, node: Node) -> Node:
        """The node with the owner and the permissions that a mount with these options gives it."""
        options = self._options
        mode = node.mode
        if not node.is_link:
            mode &= ~0o7777 | (options.directory_mask if node.is_directory else options.file_mask)
        uid = node.uid if options.uid is None else options.uid
        gid = node.gid if options.gid is None else options.gid
        return node._replace(mode=mode, uid=uid, gid=gid)

    def name(self, name: bytes, node: Node) -> str:
        """A name, in its colour and without control characters where it goes to a terminal."""
        text = self.text(name)
        if self._plain:
            return text
        colour = _TYPES.get(stat.S_IFMT(node.mode), ("", ""))[1]
        if node.is_file and node.mode & 0o111:
            colour = _PROGRAM
        return f"\033[{colour}m{text}\033[0m" if colour else text

    def text(self, raw: bytes) -> str:
        """Bytes of the image as text; escaped for a terminal, else what `write` turns back into the same bytes."""
        text = raw.decode("utf-8", "surrogateescape")
        return printable(text) if self._escape else text

    def target(self, node: Node, path: bytes) -> bytes | None:
        """Where a link leads, None for all else; what cannot be read is reported and shown as `?`."""
        if not node.is_link:
            return None
        try:
            return self._tree.readlink(node)
        except (ImageError, OSError) as error:
            self._report.fail(error, path.lstrip(b"/"))
            return b"?"


def record(path: bytes, node: Node, target: bytes | None) -> dict[str, object]:
    """An entry for JSON: sizes in bytes, times in ns since 1970 UTC, `uid` and `gid` null where the image has none."""
    return {
        "path": os.fsdecode(path),
        "type": _TYPES.get(stat.S_IFMT(node.mode), ("unknown", ""))[0],
        "mode": f"{stat.S_IMODE(node.mode):04o}",
        "size": node.size,
        "mtime_ns": node.mtime,
        "uid": node.uid if node.uid >= 0 else None,
        "gid": node.gid if node.gid >= 0 else None,
        "nlink": node.nlink,
        "ino": node.ino,
        "target": None if target is None else os.fsdecode(target),
    }


def _columns(node: Node) -> tuple[str, str, str, str, str, str]:
    """Mode, links, owner, group, size (or major, minor), time; owners as numbers, `-` where the image has none."""
    device = stat.S_ISCHR(node.mode) or stat.S_ISBLK(node.mode)
    size = f"{os.major(node.rdev)}, {os.minor(node.rdev)}" if device else str(node.size)
    owner, group = (str(number) if number >= 0 else "-" for number in (node.uid, node.gid))
    return stat.filemode(node.mode), str(node.nlink), owner, group, size, when(node.mtime)


def when(ns: int) -> str:
    """A time as `ls --time-style=long-iso` shows it, in the local zone."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(ns // 1_000_000_000))
    except (OverflowError, ValueError, OSError):  # a year that the C library has no name for
        return "?".ljust(16)
