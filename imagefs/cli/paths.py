"""Paths in an image: finding a node as a shell user writes it, and walking all folders below one."""

from collections.abc import Callable, Iterator

from imagefs import limits
from imagefs.errors import DamagedError, ImageError, NotFoundError
from imagefs.nodes import FileSystem, Node

LINK_HOPS = 40
"""Links followed in one path, as in Linux."""

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
    """One pass over the folders of a tree, each opened once."""

    def __init__(self, tree: FileSystem, onerror: OnError) -> None:
        self._tree, self._onerror = tree, onerror
        self._met: set[int] = set()

    def entries(self, path: bytes, folder: Node) -> list[tuple[bytes, Node]] | None:
        """The entries of a folder in a new list. None, and a word to `onerror`, for one that cannot be read, lies too deep,
        or was met before (a loop, or one folder under many names)."""
        try:
            if folder.ino in self._met:
                raise DamagedError(None, "this folder is in the image under another name already")
            if path.count(b"/") >= limits.DIRECTORY_DEPTH:
                raise DamagedError(None, f"folders lie more than {limits.DIRECTORY_DEPTH} deep")
            self._met.add(folder.ino)
            return list(self._tree.entries(folder))
        except (ImageError, OSError) as error:
            self._onerror(error, path)
            return None


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
