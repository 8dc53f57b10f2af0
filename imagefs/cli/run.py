"""Run a command that sees images as folders, which nobody else sees and which end with it. No root is needed.

The path is in the environment variable IMAGEFS: of one image its root, of several the folder that has one folder for each.
The exit status is the command's.

  imagefs run disc.iso -- sh -c 'ls "$IMAGEFS"'
"""

import argparse
import contextlib

from imagefs.cli.common import add_image_arguments, options_of
from imagefs.errors import UsageError

COMMAND_FOLLOWS = True
"""What stands after `--` is a command, not words of imagefs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_image_arguments(parser)
    parser.add_argument("more", metavar="IMAGE", nargs="*", default=[], help="more images")
    parser.usage = f"{parser.prog} [OPTION]... IMAGE... -- COMMAND [WORD]..."


def run(args: argparse.Namespace) -> int:
    if not args.command:
        raise UsageError("a command is missing: imagefs run IMAGE -- COMMAND")
    options = options_of(args)
    from imagefs.frontends.fuse.private import run_with
    from imagefs.image import open_image

    with contextlib.ExitStack() as stack:
        images = []
        for path in (args.image, *args.more):
            args.report.image = path
            image = stack.enter_context(open_image(path, options))
            image.tree.entries(image.tree.root)  # an image whose root cannot be read is refused
            for line in dict.fromkeys(image.warnings):
                args.report.warn(line)
            images.append(image)
        return run_with(images, options, args.command)
