"""Show an image as a folder, read-only, without root.

Without MOUNTPOINT a folder is made and its name is written to standard output: beside the image, or in the folder of the
session where that cannot be written, or, for root, where others could exchange the folder. The mount stays until
`imagefs umount MOUNTPOINT`; with -f it stays in the foreground until it is interrupted.
"""

import argparse
import dataclasses
import logging

from imagefs.cli.common import add_image_arguments, options_of, size_in_bytes
from imagefs.cli.output import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sandbox",
        action=argparse.BooleanOptionalAction,
        help="confine what reads the image, as -o sandbox and -o nosandbox do (default: as far as the system can)",
    )
    parser.add_argument("-f", "--foreground", action="store_true", help="do not go to the background")
    add_image_arguments(parser)
    parser.add_argument("mountpoint", metavar="MOUNTPOINT", nargs="?", help="an empty folder")


class _Plain(logging.Formatter):
    """Lines in which no name of a file can steer the terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


def run(args: argparse.Namespace) -> int:
    options = options_of(args)
    if args.sandbox is not None:
        options = dataclasses.replace(options, sandbox=args.sandbox)
    handler = logging.StreamHandler()
    handler.setFormatter(_Plain("imagefs: %(message)s"))
    level = logging.ERROR if args.quiet else logging.DEBUG if args.verbose else logging.WARNING
    logging.basicConfig(handlers=[handler], level=level)
    from imagefs.frontends.fuse.session import mount_image

    return mount_image(
        args.image,
        args.mountpoint,
        options,
        foreground=args.foreground,
        cache_bytes=size_in_bytes(args.cache_size),
    )
