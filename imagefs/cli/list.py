"""List the images that are mounted, and those that the daemon (imagefs serve) has as folders, with their counters.

--json gives a list of objects: source, mountpoint, options, alive; for an image of the daemon also name, state, error,
container, opened_at, opens, requests, watched.
"""

import argparse
import errno
import json
from typing import Any

from imagefs.cli.common import add_socket_argument, add_talk_arguments
from imagefs.cli.output import printable, write

_KEYS = ("source", "mountpoint", "options", "alive")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="a list that programs can read")
    add_socket_argument(parser)
    add_talk_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from imagefs.frontends.fuse.session import mounts

    found = mounts()
    images = _images_of_the_daemon(args)
    if args.json:
        rows = [{key: getattr(mount, key) for key in _KEYS} for mount in found]
        write(json.dumps(rows + [_row(image) for image in images], indent=1) + "\n")
        return int(args.report.status)
    for mount in found:
        dead = "" if mount.alive else " (dead: imagefs umount takes it away)"
        write(printable(f"{mount.source} on {mount.mountpoint} ({mount.options}){dead}") + "\n")
    write("".join(_line(image) + "\n" for image in images))
    return int(args.report.status)


def _images_of_the_daemon(args: argparse.Namespace) -> list[dict[str, Any]]:
    """None where no daemon runs, unless one was asked for by its socket."""
    from imagefs.daemon.client import ask

    try:
        return list(ask(args.socket, "list"))
    except OSError as error:
        if args.socket or error.errno != errno.ECONNREFUSED:
            args.report.fail(error)
        return []


def _row(image: dict[str, Any]) -> dict[str, Any]:
    """An image under the keys of a mount, with what the daemon knows beside them."""
    rest = {key: value for key, value in image.items() if key not in ("path", "folder")}
    alive = image["state"] not in ("failed", "hung")
    return {"source": image["path"], "mountpoint": image["folder"], "options": "", "alive": alive, **rest}


def _line(image: dict[str, Any]) -> str:
    words = [image["container"], image["state"], _count(image["opens"], "open"), _count(image["requests"], "request")]
    error = f": {image['error']}" if image["error"] else ""
    return printable(f"{image['path']} on {image['folder']} ({', '.join(filter(None, words))}){error}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
