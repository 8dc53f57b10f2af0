"""List the formats that can be read."""

import argparse
import json
from collections.abc import Sequence

from imagefs.cli.common import add_talk_arguments
from imagefs.cli.output import write
from imagefs.formats import Format, all_formats

_TITLES = ("Name", "Format", "Files", "Read", "Not yet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="a list that programs can read")
    add_talk_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.json:
        write(json.dumps([_record(entry) for entry in all_formats()], indent=1) + "\n")
    else:
        write(formats_table())
    return 0


def formats_table() -> str:
    """The formats as a Markdown table, from the outside of an image inwards."""
    rows = [_TITLES, *map(_row, all_formats())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * width for width in widths]
    return "".join(_line(row, widths) for row in (rows[0], rule, *rows[1:]))


def _row(entry: Format) -> tuple[str, ...]:
    files = " ".join(f".{end}" for end in entry.extensions)
    return tuple(text.replace("|", "\\|") for text in (entry.name, entry.title, files, entry.reads, entry.lacks))


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(text.ljust(width) for text, width in zip(row, widths, strict=True))} |\n"


def _record(entry: Format) -> dict[str, object]:
    return {
        "name": entry.name,
        "title": entry.title,
        "layer": entry.layer.name.lower(),
        "extensions": list(entry.extensions),
        "mime": list(entry.mime),
        "reads": entry.reads,
        "lacks": entry.lacks,
    }
