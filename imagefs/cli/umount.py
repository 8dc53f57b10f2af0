"""Take a mount away, named by its mount point or by its image.

With --dead only a mount whose daemon is gone is taken away; when there is none such, that is no failure.
"""

import argparse

from imagefs.cli.common import add_talk_arguments
from imagefs.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-l", "--lazy", action="store_true", help="now for new users, later for those still in it")
    parser.add_argument("--dead", action="store_true", help="only mounts without a daemon; without a name, all of them")
    add_talk_arguments(parser)
    parser.add_argument("image", metavar="MOUNTPOINT|IMAGE", nargs="?", help="what is mounted, or where")


def run(args: argparse.Namespace) -> int:
    from imagefs.frontends.fuse import mountinfo, session

    if args.dead:
        ours = {mount.mountpoint for mount in mountinfo.all_mounts() if mount.kind == mountinfo.TYPE}
        for place in [mountinfo.place_of(args.image)] if args.image else ours:
            session.take_dead_away(place)
        return 0
    if args.image is None:
        raise UsageError("name what is mounted, or where")
    session.unmount(args.image, lazy=args.lazy)
    return 0
