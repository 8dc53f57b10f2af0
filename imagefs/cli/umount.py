"""Take a mount away, named by its mount point or by its image."""

import argparse

from imagefs.cli.common import add_talk_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-l", "--lazy", action="store_true", help="now for new users, later for those still in it")
    add_talk_arguments(parser)
    parser.add_argument("image", metavar="MOUNTPOINT|IMAGE", help="what is mounted, or where")


def run(args: argparse.Namespace) -> int:
    from imagefs.frontends.fuse.session import unmount

    unmount(args.image, lazy=args.lazy)
    return 0
