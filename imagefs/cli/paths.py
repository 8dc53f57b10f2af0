"""Paths in an image: finding a node as a shell user writes it, and walking all folders below one."""

import math
from collections.abc import Callable, Iterator

from imagefs import limits
from imagefs.errors import DamagedError, ImageError, NotFoundError
from imagefs.nodes import FileSystem, Node

LINK_HOPS = 40
"""Links followed in one path, as in Linux."""

MADE_UP_ENTRIES = 1 << 15
"""More than the folders hold that are made up: a disc has limits.DISC_TRACKS at most, with three files of each."""

OnError = Callable[[Exception, bytes], None]


def raw_path(text: str) -> bytes:
    """A path from the command line as an image has it: bytes, no slash at either end."""
    raw = text.encode("utf-8", "surrogateescape")
    return b"/".join(part for part in raw.split(b"/") if part not in (b"", b"."))


def join(folder: bytes, name: bytes) -> bytes:
    """A path in the image; that of the root is empty."""
    return b"%s/%s" % (folder, name) if folder else name


def resolve(tree: FileSystem, path: bytes, *, follow: bool) -> Node:
    """The node at a path from the root. Links on the way are followed inside the image, the last one with `follow`.

    Raises NotFoundError, also for a chain of more than 40 links.
    """
    done = [tree.root]
    todo = path.split(b"/")[::-1]
    hops = 0
    while todo:
        part = todo.pop()
        if part in (b"", b"."):
            continue
        node = done[-1] if done[-1].is_directory else None
        if node is not None and part == b"..":
            done = done[:-1] or [tree.root]
            continue
        node = tree.lookup(node, part) if node is not None else None
        if node is None:
            raise NotFoundError("there is no such file in the image")
        if node.is_link and (todo or follow):
            hops += 1
            if hops > LINK_HOPS:
                raise NotFoundError("it is a loop of symbolic links")
            target = tree.readlink(node)
            todo += target.split(b"/")[::-1]
            done = [tree.root] if target.startswith(b"/") else done
            continue
        done.append(node)
    return done[-1]


class Visit:
    """One pass over the folders of a tree.

    A folder with several names is entered under each, up to limits.DIRECTORY_NAMES; and no more entries are listed than the
    image has room for, since the directories of a hostile one may overlap as well.
    """

    def __init__(self, tree: FileSystem, onerror: OnError) -> None:
        self._tree, self._onerror = tree, onerror
        self._entered: dict[int, list[bytes]] = {}
        """Inode number -> the paths on which the folder was met"""
        most = math.inf if tree.room is None else tree.room // limits.ENTRY_BYTES
        self._left = most + MADE_UP_ENTRIES
        self._ended = False

    def entries(self, path: bytes, folder: Node) -> list[tuple[bytes, Node]] | None:
        """The entries of a folder in a new list. None, and a word to `onerror`, for one that cannot be read, lies too deep,
        contains itself, or was met too often; that is told once of each."""
        known = self._entered.setdefault(folder.ino, [])
        if self._ended or len(known) > limits.DIRECTORY_NAMES:
            return None
        try:
            self._enter(path, known)
            found = list(self._tree.entries(folder))
        except (ImageError, OSError) as error:
            self._left -= error.found if isinstance(error, DamagedError) else 0
            self._onerror(error, path)
            return None
        self._left -= len(found)
        return found

    def _enter(self, path: bytes, known: list[bytes]) -> None:
        """Note one more path of a folder. Raises DamagedError when it must not be entered there."""
        if self._left < 0:
            self._ended = True
            raise DamagedError(None, "the folders of the image overlap; this one and those that follow are left out")
        if path.count(b"/") >= limits.DIRECTORY_DEPTH:
            raise DamagedError(None, f"folders lie more than {limits.DIRECTORY_DEPTH} deep")
        if any(not above or path.startswith(above + b"/") for above in known):
            raise DamagedError(None, "the directory contains itself")
        known.append(path)
        if len(known) > limits.DIRECTORY_NAMES:
            most = limits.DIRECTORY_NAMES
            raise DamagedError(
                None, f"this folder has more than {most} names in the image; it is left out under the others"
            )


def walk(
    tree: FileSystem, top: Node, path: bytes, onerror: OnError
) -> Iterator[tuple[bytes, Node, list[tuple[bytes, Node]]]]:
    """(path, folder, entries) of `top` and all folders below it, each before those in it, siblings in the list's order.

    The caller may reorder or shorten the list: what is left is walked. What cannot be walked goes to `onerror`.
    """
    visit = Visit(tree, onerror)
    stack = [(path, top)]
    while stack:
        path, folder = stack.pop()
        entries = visit.entries(path, folder)
        if entries is not None:
            yield path, folder, entries
            stack += [(join(path, name), node) for name, node in reversed(entries) if node.is_directory]
