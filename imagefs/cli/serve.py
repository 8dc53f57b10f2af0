"""Show any number of images as the folders of one mount: those in watched folders, as they come and go, and those that
are attached. Nothing is opened before somebody looks into its folder.

In a watched folder a file is an image by its extension; one that has none, or another, can be attached. A folder is called
as its image without the extension; of several with one name the later ones get " (2)", " (3)" ... A CUE and its BIN, an MDS
and its MDF, the parts of a split are one image. A file that is still being written appears when it is whole. It stays in the
foreground until it is interrupted or unmounted; imagefs attach, detach, list and status speak to it.

  imagefs serve --watch ~/Images ~/mnt
"""

import argparse
import logging
import os
from dataclasses import replace

from imagefs.cli.common import add_option_words, add_socket_argument, add_talk_arguments, size_in_bytes
from imagefs.errors import NotFoundError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c", "--config", metavar="FILE", help="the configuration, read again at SIGHUP; words here win"
    )
    parser.add_argument(
        "-w", "--watch", metavar="DIR", action="append", default=[], help="show the images in this folder"
    )
    parser.add_argument("-r", "--recursive", action="store_true", help="and those in the folders in it")
    parser.add_argument(
        "--allow",
        metavar="DIR",
        action="append",
        default=[],
        help="images may be attached from below this folder later",
    )
    parser.add_argument(
        "--sandbox",
        action=argparse.BooleanOptionalAction,
        help="confine what reads images, as -o sandbox and -o nosandbox do (default: as far as the system can)",
    )
    add_option_words(parser)
    parser.add_argument(
        "--idle", metavar="SECONDS", type=seconds, help="close an image unused for so long (300; 0: never)"
    )
    parser.add_argument("--deadline", metavar="SECONDS", type=seconds, help="answer with an error after so long (30)")
    parser.add_argument("--cache-size", metavar="N", help="bytes for decoded data of all images together (64M)")
    add_socket_argument(parser)
    add_talk_arguments(parser)
    parser.add_argument("root", metavar="ROOT", nargs="?", help="an empty folder, or one that is made")


def seconds(text: str) -> float:
    """A time as --idle takes it; argparse names this function when it is none."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError
    return value


def run(args: argparse.Namespace) -> int:
    level = logging.ERROR if args.quiet else logging.DEBUG if args.verbose else logging.WARNING
    logging.basicConfig(format="imagefs: %(message)s", level=level)
    from imagefs.daemon.config import Config, Watch, default_path, load
    from imagefs.daemon.starting import serve
    from imagefs.options import parse

    watched = [os.path.abspath(folder) for folder in args.watch]
    for folder in watched:
        if not os.path.isdir(folder):
            raise NotFoundError(f"there is no folder {folder} to watch")
    if args.deadline is not None and args.deadline < 1:
        raise UsageError("--deadline takes a number of seconds, 1 or more")
    allowed = tuple(os.path.abspath(folder) for folder in args.allow)
    path = default_path() if args.config is None else os.path.abspath(args.config)
    given = {
        "root": args.root and os.path.abspath(args.root),
        "idle_seconds": args.idle,
        "deadline_seconds": args.deadline,
        "cache_bytes": size_in_bytes(args.cache_size),
        "socket": args.socket and os.path.abspath(args.socket),
    }

    def configuration() -> Config:
        """The file, and over it what the command line says."""
        config = load(path) if path is not None else Config()
        kept = tuple(watch for watch in config.watch if watch.path not in watched)
        more = tuple(Watch(folder, args.recursive) for folder in dict.fromkeys(watched))
        words = {key: value for key, value in given.items() if value is not None}
        options = parse(args.options, config.options)
        if args.sandbox is not None:
            options = replace(options, sandbox=args.sandbox)
        return replace(config, **words, watch=(*kept, *more), allow=(*config.allow, *allowed), options=options)

    return serve(configuration, path)
