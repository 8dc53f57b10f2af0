"""Write files of an image to standard output; with --raw the decoded sectors of the whole image.

--raw needs no file system: of a disc it writes the user data of each track one after the other (2048 bytes a sector of
data, 2352 of audio), of any other image its decoded bytes. Where the image is damaged the output ends, with an error.
"""

import argparse

from imagefs.cli.common import add_image_arguments, opened, opened_tree
from imagefs.cli.output import stdout
from imagefs.cli.paths import raw_path, resolve
from imagefs.errors import DamagedError, ImageError, UsageError
from imagefs.nodes import FileSystem
from imagefs.readers import Reader

PIECE_BYTES, SECTOR_BYTES = 1 << 20, 2048


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw", action="store_true", help="the decoded sectors of the whole image")
    add_image_arguments(parser)
    parser.add_argument("paths", metavar="PATH", nargs="*", default=[], help="files in the image")


def run(args: argparse.Namespace) -> int:
    if args.raw == bool(args.paths):
        raise UsageError("cat takes the paths of files in the image, or --raw alone; see imagefs cat --help")
    if args.raw:
        with opened(args) as image:
            copy(image.raw)
        return 0
    with opened_tree(args) as tree:
        for path in map(raw_path, args.paths):
            try:
                reader = _file(tree, path)
            except (ImageError, OSError) as error:
                args.report.fail(error, path)
                continue
            try:
                copy(reader)
            except ImageError as error:
                args.report.fail(error, path)
    status: int = args.report.status
    return status


def _file(tree: FileSystem, path: bytes) -> Reader:
    node = resolve(tree, path, follow=True)
    if node.is_directory:
        raise UsageError("it is a folder, cat writes files")
    if not node.is_file:
        raise UsageError("it is a device or a pipe and has no content")
    return tree.open(node)


def copy(reader: Reader) -> None:
    """Write all bytes of a reader to standard output. Raises DamagedError when the last sector that is whole is written."""
    out = stdout()
    for offset in range(0, reader.size, PIECE_BYTES):
        length = min(PIECE_BYTES, reader.size - offset)
        try:
            out.write(reader.exactly(offset, length))
        except DamagedError:
            for sector in range(offset, offset + length, SECTOR_BYTES):
                out.write(reader.exactly(sector, min(SECTOR_BYTES, reader.size - sector)))
