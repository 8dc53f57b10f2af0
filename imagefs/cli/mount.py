"""Show an image as a folder, read-only, without root.

Without MOUNTPOINT a folder is made and its name is written to standard output. The mount stays until
`imagefs umount MOUNTPOINT`; with -f it stays in the foreground until it is interrupted.
"""

import argparse
import dataclasses
import logging

from imagefs.cli.common import add_image_arguments, options_of, size_in_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sandbox",
        action=argparse.BooleanOptionalAction,
        help="confine what reads the image, as -o sandbox and -o nosandbox do (default: as far as the system can)",
    )
    parser.add_argument("-f", "--foreground", action="store_true", help="do not go to the background")
    add_image_arguments(parser)
    parser.add_argument("mountpoint", metavar="MOUNTPOINT", nargs="?", help="an empty folder")


def run(args: argparse.Namespace) -> int:
    options = options_of(args)
    if args.sandbox is not None:
        options = dataclasses.replace(options, sandbox=args.sandbox)
    level = logging.ERROR if args.quiet else logging.DEBUG if args.verbose else logging.WARNING
    logging.basicConfig(format="imagefs: %(message)s", level=level)
    from imagefs.frontends.fuse.session import mount_image

    return mount_image(
        args.image,
        args.mountpoint,
        options,
        foreground=args.foreground,
        cache_bytes=size_in_bytes(args.cache_size),
    )
