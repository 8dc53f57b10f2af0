"""List files in an image, as ls does, without a mount.

Names are sorted; those that begin with a dot are shown. Owners are numbers, `-` where the image does not say.
--json gives a list of objects: path, type, mode, size, mtime_ns, uid, gid, nlink, ino, target.
"""

import argparse
import json
from collections.abc import Iterator

from imagefs.cli.common import add_image_arguments, opened_tree
from imagefs.cli.listing import Listing, record
from imagefs.cli.output import Report, write
from imagefs.cli.paths import join, raw_path, resolve, walk
from imagefs.errors import ImageError
from imagefs.nodes import FileSystem, Node

Entries = list[tuple[bytes, Node]]
Group = tuple[bytes, Entries]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-l", "--long", action="store_true", help="mode, links, owner, group, size and time as well")
    parser.add_argument("-R", "--recursive", action="store_true", help="folders below as well")
    parser.add_argument("--json", action="store_true", help="a list that programs can read")
    add_image_arguments(parser)
    parser.add_argument(
        "paths", metavar="PATH", nargs="*", default=[], help="files and folders in the image (default: its root)"
    )


def run(args: argparse.Namespace) -> int:
    with opened_tree(args) as tree:
        files, folders = _named(tree, args)
        headings = args.recursive or len(args.paths) > 1
        groups = _groups(tree, folders, args)
        listing = Listing(tree, args.report, args.view, long=args.long)
        if args.json:
            _write_json(files, groups, listing)
        else:
            _write_text(files, groups, listing, headings=headings)
    status: int = args.report.status
    return status


def _named(tree: FileSystem, args: argparse.Namespace) -> tuple[Entries, Entries]:
    """The files and the folders that the command line names; what is not there is reported."""
    files: Entries = []
    folders: Entries = []
    for path in map(raw_path, args.paths or [""]):
        try:
            node = resolve(tree, path, follow=not args.long)
        except (ImageError, OSError) as error:
            args.report.fail(error, path)
            continue
        (folders if node.is_directory else files).append((path, node))
    return files, folders


def _groups(tree: FileSystem, folders: Entries, args: argparse.Namespace) -> Iterator[Group]:
    """(folder, its entries) in the order shown; a folder that cannot be read is reported and left out."""
    report: Report = args.report
    for path, node in folders:
        for folder, _, entries in walk(tree, node, path, report.fail):
            entries.sort(key=lambda entry: entry[0])
            yield folder, list(entries)
            if not args.recursive:
                break


def _write_text(files: Entries, groups: Iterator[Group], listing: Listing, *, headings: bool) -> None:
    write("".join(listing.lines(files)))
    between = "\n" if files else ""
    for folder, entries in groups:
        heading = f"{between}{listing.text(folder) or '.'}:\n" if headings else between
        write(heading + "".join(listing.lines(entries, folder)))
        between = "\n"


def _write_json(files: Entries, groups: Iterator[Group], listing: Listing) -> None:
    def entries() -> Iterator[tuple[bytes, Node]]:
        yield from files
        for folder, found in groups:
            yield from ((join(folder, name), node) for name, node in found)

    before = "[\n"
    for path, node in entries():
        write(f"{before} {json.dumps(record(path, listing.shown(node), listing.target(node, path)))}")
        before = ",\n"
    write("[]\n" if before == "[\n" else "\n]\n")
