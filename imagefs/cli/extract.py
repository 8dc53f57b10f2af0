"""Copy files out of an image, all of them or those named, without a mount.

Without -C a folder named after the image is made in the current one; it must not exist yet. Folders, times, modes, links,
hard links and holes come out as they are in the image; owners are yours, and -o umask= takes permissions away. A file that
is damaged is reported and left out, and so is one that is there already, unless --overwrite says otherwise. Nothing is ever
written outside the folder.
"""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType

from imagefs.cli.common import add_image_arguments, opened_tree
from imagefs.cli.paths import raw_path, resolve, walk
from imagefs.cli.progress import Progress
from imagefs.cli.unpack import Unpacker
from imagefs.errors import ImageError, UsageError
from imagefs.nodes import FileSystem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-C", "--directory", metavar="DIR", help="the folder to copy to; made when it is not there")
    parser.add_argument("-f", "--overwrite", action="store_true", help="replace files that are there already")
    add_image_arguments(parser)
    parser.add_argument(
        "paths", metavar="PATH", nargs="*", default=[], help="files and folders in the image (default: all)"
    )


def run(args: argparse.Namespace) -> int:
    with _ended_by_signals(), opened_tree(args) as tree:
        paths = sorted({raw_path(path) for path in args.paths or [""]}, key=len)  # folders before what is in them
        progress = Progress(quiet=args.quiet)
        if progress.shown:
            progress.total = _bytes_in(tree, paths)
        target, fresh = _target(args)
        overwrite, options = args.overwrite, args.view
        with Unpacker(tree, target, args.report, progress, options, overwrite=overwrite, fresh=fresh) as unpacker:
            for path in paths:
                unpacker.unpack(path)
    status: int = args.report.status
    return status


def _target(args: argparse.Namespace) -> tuple[str, bool]:
    """The folder to copy to, made when it is not there, and whether it was made. Raises UsageError."""
    target = args.directory or folder_for(args.image)
    if not args.directory and not args.overwrite and os.path.lexists(target):
        raise UsageError(f"{target!r} is there already; name a folder with -C, or add --overwrite")
    fresh = not os.path.isdir(target)
    if fresh:
        os.makedirs(target)
    return target, fresh


def folder_for(image: str) -> str:
    """The folder's name for an image: its own without what says that it is one (disc.iso and disc.iso.001: disc)."""
    name = os.path.basename(os.path.normpath(image))
    stem, extension = os.path.splitext(name)
    if extension[1:].isdigit():
        stem = os.path.splitext(stem)[0]
    return stem if extension else f"{name}-files"


def _bytes_in(tree: FileSystem, paths: Sequence[bytes]) -> int:
    """The size of all files that are to be copied, as far as it can be told."""
    total = 0
    for path in paths:
        with contextlib.suppress(ImageError):
            node = resolve(tree, path, follow=False)
            total += node.size if node.is_file else 0
            if node.is_directory:
                walked = walk(tree, node, path, lambda error, path: None)
                total += sum(child.size for _, _, entries in walked for _, child in entries if child.is_file)
    return total


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the work as an interrupt does: with what is half done taken away."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # else ignored, by nohup for one, and to stay so
            with contextlib.suppress(ValueError):  # not in the main thread: signals are somebody else's
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
