"""Take an image away from the daemon that runs, named by its folder or by its path. Who is in it may finish."""

import argparse
import os

from imagefs.cli.common import add_socket_argument, add_talk_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="NAME|IMAGE", help="the name that imagefs list shows, or the image's path")
    add_socket_argument(parser)
    add_talk_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from imagefs.daemon.client import ask

    name = None if "/" in args.image else args.image
    ask(args.socket, "detach", name=name, path=os.path.abspath(args.image))
    return 0
