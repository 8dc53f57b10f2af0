"""Draw the folders of an image as a tree, without a mount."""

import argparse
from collections.abc import Iterator

from imagefs.cli.common import add_image_arguments, is_utf8_output, opened_tree
from imagefs.cli.listing import Listing
from imagefs.cli.output import Report, write
from imagefs.cli.paths import Visit, join, raw_path, resolve
from imagefs.errors import ImageError, UsageError
from imagefs.nodes import FileSystem, Node

_LINES = ("├── ", "└── ", "│   ", "    ")
_ASCII = ("|-- ", "`-- ", "|   ", "    ")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_image_arguments(parser)
    parser.add_argument("path", metavar="PATH", nargs="?", default="", help="a folder in the image (default: its root)")


def run(args: argparse.Namespace) -> int:
    with opened_tree(args) as tree:
        path = raw_path(args.path)
        try:
            top = resolve(tree, path, follow=True)
            if not top.is_directory:
                raise UsageError("it is a file, tree draws folders")
        except (ImageError, OSError) as error:
            args.report.fail(error, path)
            return int(args.report.status)
        listing = Listing(tree, args.report, args.view, long=False)
        write((listing.name(path, top) if path else args.image) + "\n")
        folders = files = 0
        for line, node in draw(tree, top, path, listing, args.report):
            folders, files = folders + node.is_directory, files + (not node.is_directory)
            write(line)
        write(f"\n{folders} director{'y' if folders == 1 else 'ies'}, {files} file{'' if files == 1 else 's'}\n")
    status: int = args.report.status
    return status


def draw(tree: FileSystem, top: Node, path: bytes, listing: Listing, report: Report) -> Iterator[tuple[str, Node]]:
    """(line, node) of everything below `top`, names sorted. A folder that cannot be read is reported and has no branches."""
    branch, last, through, blank = _LINES if is_utf8_output() else _ASCII
    visit = Visit(tree, report.fail)

    def sorted_entries(path: bytes, folder: Node) -> list[tuple[bytes, Node]]:
        return sorted(visit.entries(path, folder) or [], key=lambda entry: entry[0], reverse=True)

    stack = [(path, "", sorted_entries(path, top))]
    while stack:
        folder, indent, entries = stack[-1]
        if not entries:
            stack.pop()
            continue
        name, node = entries.pop()
        here = join(folder, name)
        target = listing.target(node, here)
        arrow = "" if target is None else f" -> {listing.text(target)}"
        yield f"{indent}{branch if entries else last}{listing.name(name, node)}{arrow}\n", node
        if node.is_directory:
            stack.append((here, indent + (through if entries else blank), sorted_entries(here, node)))
