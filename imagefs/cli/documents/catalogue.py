"""The commands with their options and arguments as data, taken from their parsers: the source of pages and completions."""

import argparse
import enum
import inspect
from collections.abc import Iterable
from typing import NamedTuple

from imagefs import options
from imagefs.cli import COMMANDS
from imagefs.cli.common import parser_of


class Takes(enum.Enum):
    """What a word is, as far as a shell can complete it."""

    FILE = "file"
    FOLDER = "folder"
    MOUNT = "mount"  # where an image is mounted, or an image
    VIEW = "view"  # options of -o, with commas between them
    CHOICE = "choice"
    INSIDE = "inside"  # a path in the image that stands before it
    OTHER = "other"


_TAKES = {
    "IMAGE": Takes.FILE,
    "FILE": Takes.FILE,
    "MOUNTPOINT": Takes.FOLDER,
    "DIR": Takes.FOLDER,
    "FOLDER": Takes.FOLDER,
    "ROOT": Takes.FOLDER,
    "MOUNTPOINT|IMAGE": Takes.MOUNT,
    "OPTS": Takes.VIEW,
    "PATH": Takes.INSIDE,
}
"""The words that stand for arguments in help texts."""


class Word(NamedTuple):
    """An option (`flags` is not empty) or an argument; `metavar` is empty for an option that takes nothing."""

    flags: tuple[str, ...]
    metavar: str
    help: str
    choices: tuple[str, ...] = ()
    optional: bool = False
    many: bool = False

    @property
    def takes(self) -> Takes:
        """What its value, or it itself as an argument, is."""
        return Takes.CHOICE if self.choices else _TAKES.get(self.metavar, Takes.OTHER)


class Command(NamedTuple):
    """One command: `text` is its docstring, `follows` says that a foreign command stands after `--`."""

    name: str
    summary: str
    text: str
    options: tuple[Word, ...]
    arguments: tuple[Word, ...]
    follows: bool

    @property
    def takes_view_options(self) -> bool:
        """Whether it has -o."""
        return any(option.takes is Takes.VIEW for option in self.options)


def commands() -> tuple[Command, ...]:
    """Every command, in the order of the help."""
    return tuple(_command(name) for name in COMMANDS)


def _command(name: str) -> Command:
    module, parser = parser_of(name)
    words = [_word(action, parser) for action in parser._actions if action.help != argparse.SUPPRESS]
    return Command(
        name,
        COMMANDS[name],
        inspect.cleandoc(module.__doc__ or ""),
        tuple(word for word in words if word.flags),
        tuple(word for word in words if not word.flags),
        getattr(module, "COMMAND_FOLLOWS", False),
    )


def _word(action: argparse.Action, parser: argparse.ArgumentParser) -> Word:
    choices = tuple(str(choice) for choice in action.choices or ())
    metavar = "" if action.nargs == 0 else action.metavar or action.dest.upper()
    text = (action.help or "").replace("%%", "%")
    return Word(
        tuple(action.option_strings),
        metavar if isinstance(metavar, str) else " ".join(metavar),
        text,
        choices,
        optional=not action.required or action.nargs in ("?", "*"),
        many=action.nargs in ("*", "+"),
    )


def view_options() -> Iterable[tuple[str, str, tuple[str, ...]]]:
    """(name, help, values) of the options of -o; the name of one that takes a value ends with `=`."""
    for written, text in options.describe():
        name, equals, value = written.partition("=")
        values = tuple(value.split("|")) if "|" in value and value.islower() else ()
        yield name + equals, text, values
