"""Show an image as a folder of the daemon that runs (imagefs serve); the folder's name is written to standard output.

Without NAME the folder is named after the image. Nothing is opened before somebody looks into the folder.
"""

import argparse
import os

from imagefs.cli.common import add_option_words, add_socket_argument, add_talk_arguments
from imagefs.cli.output import write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="an image, or the descriptor beside it (.cue)")
    parser.add_argument("name", metavar="NAME", nargs="?", help="the name of its folder")
    add_option_words(parser)
    add_socket_argument(parser)
    add_talk_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from imagefs.daemon.client import ask

    options = ",".join(args.options) or None
    answer = ask(args.socket, "attach", path=os.path.abspath(args.image), name=args.name, options=options)
    write(f"{answer['folder']}\n")
    return 0
