"""List the images that are mounted.

--json gives a list of objects: source, mountpoint, options, alive.
"""

import argparse
import json

from imagefs.cli.common import add_talk_arguments
from imagefs.cli.output import write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="a list that programs can read")
    add_talk_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from imagefs.frontends.fuse.session import mounts

    found = mounts()
    if args.json:
        keys = ("source", "mountpoint", "options", "alive")
        write(json.dumps([{key: getattr(mount, key) for key in keys} for mount in found], indent=1) + "\n")
        return 0
    for mount in found:
        dead = "" if mount.alive else " (dead: imagefs umount takes it away)"
        write(f"{mount.source} on {mount.mountpoint} ({mount.options}){dead}\n")
    return 0
