"""Have the daemon that runs read its configuration again.

What is new in it is attached and watched, what is gone no longer, and what takes a restart is said. A file with a mistake
changes nothing.
"""

import argparse

from imagefs.cli.common import add_socket_argument, add_talk_arguments
from imagefs.cli.output import printable, write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_socket_argument(parser)
    add_talk_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from imagefs.daemon.client import DaemonError, ask

    outcome = ask(args.socket, "reload")
    if not args.quiet:
        write("".join(printable(line) + "\n" for line in outcome["done"]))
    for line in outcome["restart"]:
        args.report.warn(line)
    for failed in outcome["failed"]:
        args.report.fail(DaemonError(failed), failed["about"])
    return int(args.report.status)
