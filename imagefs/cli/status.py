"""Tell what the daemon that runs is doing: images in numbers, those in trouble, cache, memory.

--metrics writes the same in Prometheus' text format, without times, for node_exporter's textfile collector.
"""

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

from imagefs.cli.common import add_socket_argument, add_talk_arguments
from imagefs.cli.output import printable, write
from imagefs.cli.progress import clock, size_text

_WIDTH = 8
"""Columns of the words on the left."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="an object that programs can read")
    how.add_argument("--metrics", action="store_true", help="Prometheus' text format")
    add_socket_argument(parser)
    add_talk_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from imagefs.daemon.client import ask

    if args.metrics:
        write(ask(args.socket, "metrics"))
        return 0
    said = ask(args.socket, "status")
    if args.json:
        write(json.dumps(said, indent=1) + "\n")
    else:
        write("".join(f"{word:{_WIDTH}} {printable(text)}\n" for word, text in _lines(said)))
    return 0


def _lines(said: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "daemon", f"imagefs {said['version']}, process {said['pid']}, up {clock(time.time() - said['started'])}"
    yield "root", said["root"]
    yield "config", said["config"] or "none"
    yield "sandbox", said["sandbox"]
    for watch in said["watch"]:
        yield "watch", watch["path"] + (" and the folders in it" if watch["recursive"] else "")
    states = ", ".join(f"{count} {state}" for state, count in said["images"].items() if count)
    yield "images", states or "none"
    yield "opened", f"{said['opens']} times, {said['failures']} failed; {said['requests']} requests"
    kept = said["cache"]
    yield (
        "cache",
        f"{size_text(kept['resident'])} of {size_text(kept['limit'])}; {kept['hits']} hits, {kept['misses']} misses",
    )
    yield "memory", size_text(said["resident_bytes"])
    for image in said["trouble"]:
        yield image["state"], f"{image['name']}: {image['error']}" if image["error"] else image["name"]
