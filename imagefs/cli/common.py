"""What the commands share: the parser, the words that every image takes, and opening."""

import argparse
import contextlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

from imagefs.cli.output import Report, guarded
from imagefs.errors import UsageError

if TYPE_CHECKING:
    from imagefs.image import Image
    from imagefs.nodes import FileSystem
    from imagefs.options import Options

USAGE_STATUS = UsageError.status


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and exit status 64."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_STATUS, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


def parser_of(name: str) -> tuple[ModuleType, Parser]:
    """The module of a command, and the parser of its words."""
    module = importlib.import_module(f"imagefs.cli.{name.replace('-', '_')}")
    parser = Parser(
        prog=f"imagefs {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    return module, parser


def run_command(name: str, words: Sequence[str]) -> int:
    """Import a command's module, parse `words` with its arguments and run it; its exit status."""
    module, parser = parser_of(name)
    command: list[str] = []
    if getattr(module, "COMMAND_FOLLOWS", False) and "--" in words:
        end = list(words).index("--")
        words, command = words[:end], list(words[end + 1 :])
    try:
        args = parser.parse_intermixed_args(_without_dashes(words))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else USAGE_STATUS
    args.command = command
    args.report = Report(getattr(args, "image", None) or "", quiet=args.quiet, verbose=args.verbose)
    return guarded(lambda: module.run(args), args.report)


def _without_dashes(words: Sequence[str]) -> list[str]:
    """The words with `--` taken out and those after it written so that they are no options: `-x` is `./-x`."""
    if "--" not in words:
        return list(words)
    end = list(words).index("--")
    return [*words[:end], *(f"./{word}" if word.startswith("-") else word for word in words[end + 1 :])]


def add_talk_arguments(parser: argparse.ArgumentParser) -> None:
    """-q and -v, which every command has."""
    parser.add_argument("-q", "--quiet", action="store_true", help="no warnings, no progress")
    parser.add_argument("-v", "--verbose", "--debug", action="store_true", help="say where an internal error happened")


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """What every command that opens an image takes: IMAGE, -o, --cache-size, --password-file, -q, -v."""
    parser.add_argument("image", metavar="IMAGE", help="an image, or the descriptor beside it (.cue)")
    add_option_words(parser)
    parser.add_argument("--cache-size", metavar="N", help="bytes for decoded data, as 64M (the default), 1G, 512K")
    parser.add_argument("--password-file", metavar="FILE", help="accepted; no format that is read needs a password yet")
    add_talk_arguments(parser)


def add_option_words(parser: argparse.ArgumentParser) -> None:
    """-o, with what it takes at the end of the help."""
    parser.add_argument(
        "-o",
        dest="options",
        metavar="OPTS",
        action="append",
        default=[],
        help="options with commas between them, listed below",
    )
    parser.epilog = options_help()


def add_socket_argument(parser: argparse.ArgumentParser) -> None:
    """--socket, which every command has that asks the daemon."""
    parser.add_argument("--socket", metavar="PATH", help="the daemon's control socket, where it is not the usual one")


def options_help() -> str:
    """The options of -o, a line each."""
    from imagefs.options import describe

    lines = [f"  {name:31} {text}" for name, text in describe()]
    return "options of -o:\n" + "\n".join(lines).replace("%", "%%")


def size_in_bytes(text: str | None) -> int | None:
    """64M, 1GiB, 4096: bytes, units are powers of 1024. Raises UsageError."""
    if text is None:
        return None
    from imagefs.options import bytes_of

    try:
        return bytes_of(text)
    except ValueError as error:
        raise UsageError(f"--cache-size {text!r} is not understood: it takes {error}") from None


def options_of(args: argparse.Namespace) -> "Options":
    """The options of -o, and the cache configured as asked. Raises UsageError."""
    from imagefs.options import parse

    options = parse(args.options)
    size = size_in_bytes(args.cache_size)
    if size is not None:
        from imagefs.cache import configure

        configure(size)
    return options


@contextlib.contextmanager
def opened(args: argparse.Namespace) -> Iterator["Image"]:
    """The image of the arguments, closed at the end.

    The parsed options are in `args.view` then; what the probes answer goes to `args.answers` where there is one.
    """
    args.view = options_of(args)
    from imagefs.image import open_image

    with open_image(args.image, args.view, getattr(args, "answers", None)) as image:
        yield image


@contextlib.contextmanager
def opened_tree(args: argparse.Namespace) -> Iterator["FileSystem"]:
    """What a mount of the image would show; what was found wrong with it is told once it is open."""
    with opened(args) as image:
        tree = image.tree
        for line in dict.fromkeys(image.warnings):
            args.report.warn(line)
        yield tree


def is_utf8_output() -> bool:
    """Whether lines can be drawn with more than ASCII."""
    return bool(sys.stdout and sys.stdout.encoding and sys.stdout.encoding.lower().startswith("utf"))
