"""The manual: pages in the man(7) language, made from the commands' parsers and docstrings, the options and the formats.

imagefs(1) is about the whole, imagefs-COMMAND(1) about one command, imagefs.toml(5) about the daemon's configuration,
imagefs-formats(7) lists the formats, mount.imagefs(8) is the helper of mount(8).
"""

import inspect
import os
import re
import textwrap
import time
from collections.abc import Iterable, Iterator

from imagefs import __version__
from imagefs.cli import EXAMPLES, STATUSES, mount_helper
from imagefs.cli.documents.catalogue import Command, Word, commands
from imagefs.desktop.entries import from_source_tree
from imagefs.formats import all_formats
from imagefs.options import describe

WIDTH = 78
"""The longest line of a page's source: some programs take no more than 80."""
_CODE = re.compile(r"`([^`]+)`")
_DOMAIN = "Image file systems"

_ABOUT = """\
imagefs mounts images of discs and disks read-only, through FUSE, as an ordinary user: no kernel module, no loop device, no \
unpacking. What can be done with a mount can be done without one, too.

A damaged image shows what can be read; exactly the damaged reads fail. Images are not changed, and no other file than the \
image's own parts, in the image's own folder, is opened."""
_NAMES = """\
Names of plain ISO 9660 are shown as Linux shows them, in lower case and without their version (`-o map=off`: as they are \
recorded). Of several files with one name in one folder the later ones get a number, the same each time: `name (2).txt`. \
What no name may have, as a slash in it, becomes `_`. Bytes that are no text come out as they are, on a terminal escaped."""
_ENVIRONMENT = (
    ("NO_COLOR", "when it is set and not empty, no colours are used."),
    ("XDG_RUNTIME_DIR", "where a mount point is made when the image's own folder cannot be written."),
    ("IMAGEFS", "is set by `imagefs run` for its command: the folder that shows the image."),
)


def pages() -> dict[str, str]:
    """Every page: its file name (`imagefs-mount.1`), its source."""
    found = {
        "imagefs.1": _whole(),
        "imagefs.toml.5": _configuration(),
        "imagefs-formats.7": _formats(),
        "mount.imagefs.8": _helper(),
    }
    return found | {f"imagefs-{command.name}.1": _command(command) for command in commands()}


# --- pages --------------------------------------------------------------------------------------------------------------


def _whole() -> str:
    lines = [*_begin("imagefs", 1, "any disc or disk image is a folder")]
    lines += [".SH SYNOPSIS", ".B imagefs", r"\fICOMMAND\fR [\fIOPTION\fR]... \fIIMAGE\fR ..."]
    lines += [".SH DESCRIPTION", *_prose(_ABOUT), ".SH COMMANDS"]
    for command in commands():
        lines += [".TP", f".B {_text(command.name)}", *_filled(f"{command.summary}; see imagefs-{command.name}(1)")]
    lines += [".SH NAMES", *_prose(_NAMES)]
    lines += _view_options()
    lines += [".SH EXIT STATUS", *_table(re.findall(r"^  (\d+) +(.+)$", STATUSES, re.MULTILINE))]
    lines += [".SH ENVIRONMENT", *_table(_ENVIRONMENT)]
    lines += [".SH EXAMPLES", *_verbatim(EXAMPLES.splitlines())]
    return _end(lines, "imagefs-mount(1), imagefs-formats(7), imagefs.toml(5), mount.imagefs(8), fusermount3(1)")


def _command(command: Command) -> str:
    lines = [
        *_begin(f"imagefs-{command.name}", 1, command.summary),
        ".SH SYNOPSIS",
        f".B imagefs {_text(command.name)}",
    ]
    lines += [_synopsis(word) for word in (*command.options, *command.arguments) if "--help" not in word.flags]
    if command.follows:
        lines.append(r"\-\- \fICOMMAND\fR ...")
    lines += [".SH DESCRIPTION", *_prose(command.text)]
    explained = [word for word in command.arguments if word.help]
    if explained:
        lines += [".SH ARGUMENTS", *_table((word.metavar, word.help) for word in explained)]
    lines += [".SH OPTIONS"]
    for option in command.options:
        lines += [".TP", _flags(option), *_filled(option.help)]
    if command.takes_view_options:
        lines += _view_options()
    lines += [".SH EXIT STATUS", *_filled("0 when all went well; the others are listed in imagefs(1).")]
    return _end(lines, "imagefs(1), imagefs-formats(7)")


def _formats() -> str:
    lines = [*_begin("imagefs-formats", 7, "the formats that imagefs reads"), ".SH DESCRIPTION"]
    lines += _prose(
        "What an image is, is decided by its content; extensions are those of the common names. `imagefs info --why IMAGE` "
        "tells why an image is taken for what it is, `imagefs formats --json` is this list for programs."
    )
    for title, layer in (
        ("CODINGS AROUND AN IMAGE", "WRAPPER"),
        ("IMAGES", "CONTAINER"),
        ("PARTITIONS AND VOLUMES", "VOLUME"),
        ("FILE SYSTEMS", "FILESYSTEM"),
    ):
        entries = [entry for entry in all_formats() if entry.layer.name == layer]
        if entries:
            lines.append(f".SH {title}")
        for entry in entries:
            ends = "".join(f" .{end}" for end in entry.extensions)
            lines += [".TP", rf"\fB{_text(entry.name)}\fR{_text(ends)}"]
            lacks = f" Not yet: {entry.lacks}." if entry.lacks else ""
            lines += _filled(f"{entry.title}: {entry.reads}.{lacks}")
    return _end(lines, "imagefs(1), imagefs-info(1)")


def _helper() -> str:
    """The page of the helper: its docstring is a line, the synopsis, and prose."""
    about, synopsis, *prose = inspect.cleandoc(mount_helper.__doc__ or "").split("\n\n")
    lines = [*_begin("mount.imagefs", 8, "mount an image by mount(8), fstab and systemd", "System administration")]
    lines += [".SH SYNOPSIS", ".B mount \\-t imagefs", r"[\-o \fIOPTIONS\fR] \fIIMAGE\fR \fIDIR\fR", ".br"]
    program, _, words = synopsis.partition(" ")
    lines += [f".B {_text(program)}", _text(words), ".SH DESCRIPTION"]
    what = about.partition(": ")[2]
    lines += _prose("\n\n".join((what[:1].upper() + what[1:], *prose)))
    lines += _view_options()
    lines += [".SH EXAMPLES", *_filled("A line of /etc/fstab that mounts the image when it is first looked at:")]
    entry = "/srv/a.iso  /mnt/a  imagefs  ro,noauto,nofail,x-systemd.automount  0 0"
    return _end([*lines, *_verbatim([entry])], "imagefs(1), imagefs-mount(1), mount(8), fstab(5), systemd.mount(5)")


def _configuration() -> str:
    """The page of the daemon's configuration: the example, whose comments are the text."""
    with open(from_source_tree("examples/imagefs.toml"), encoding="utf-8") as file:
        blocks = file.read().strip().split("\n\n")
    lines = [*_begin("imagefs.toml", 5, "the configuration of imagefs serve", "File formats"), ".SH SYNOPSIS"]
    lines += [".I /etc/imagefs/imagefs.toml", ".br", ".I $XDG_CONFIG_HOME/imagefs/imagefs.toml", ".SH DESCRIPTION"]
    for block in blocks:
        rows = block.splitlines()
        comments = [row.removeprefix("#").strip() for row in rows if row.startswith("#")]
        lines += [".PP", *_prose("\n".join(comments).replace("\n\n", "\n").strip())]
        settings = [row for row in rows if not row.startswith("#")]
        lines += _verbatim(settings) if settings else []
    return _end(lines, "imagefs-serve(1), imagefs-reload(1), imagefs-mount(1)")


# --- parts --------------------------------------------------------------------------------------------------------------


def _begin(page: str, section: int, what: str, manual: str = "User commands") -> Iterator[str]:
    now = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH") or time.time()))
    title = _text(page.upper())
    yield f'.TH "{title}" "{section}" "{time.strftime("%Y-%m-%d", now)}" "imagefs {__version__}" "{manual}"'
    yield from (".nh", ".ad l", ".SH NAME", *_wrapped(rf"{_text(page)} \- {_text(what)}"))


def _end(lines: list[str], also: str) -> str:
    """The page; a paragraph that begins a section needs no mark of its own."""
    lines += [".SH SEE ALSO", *_filled(also)]
    marked = zip(lines, ["", *lines], strict=False)
    return "".join(f"{line}\n" for line, before in marked if line != ".PP" or not before.startswith(".SH"))


def _view_options() -> list[str]:
    about = "Words with commas between them. What mount(8) and fstab(5) put there besides is accepted."
    lines = [".SH OPTIONS OF \\-o", *_filled(about)]
    for written, text in describe():
        name, equals, value = written.partition("=")
        lines += [".TP", rf"\fB{_text(name + equals)}\fR" + (rf"\fI{_text(value)}\fR" if value else ""), *_filled(text)]
    return lines


def _synopsis(word: Word) -> str:
    value = _value(word)
    if not word.flags:
        text = f"{value}..." if word.many else value
        return f"[{text}]" if word.optional else text
    flag = _text(word.flags[0])
    return rf"[\fB{flag}\fR {value}]" if value else rf"[\fB{flag}\fR]"


def _flags(word: Word) -> str:
    value = _value(word)
    return ", ".join(rf"\fB{_text(flag)}\fR" for flag in word.flags) + (f" {value}" if value else "")


def _value(word: Word) -> str:
    """What an option or argument takes: the values to choose from, else the word that stands for it."""
    return "|".join(map(_text, word.choices)) or (rf"\fI{_text(word.metavar)}\fR" if word.metavar else "")


def _table(rows: Iterable[tuple[str, str]]) -> list[str]:
    lines = []
    for name, text in rows:
        lines += [".TP", f".B {_text(name)}", *_filled(text)]
    return lines


def _prose(text: str) -> list[str]:
    """Paragraphs; those that are indented are shown as they are."""
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("  "):
            lines += _verbatim(paragraph.splitlines())
        else:
            lines += [*([".PP"] if lines else []), *_filled(paragraph)]
    return lines


def _verbatim(rows: Iterable[str]) -> list[str]:
    return [".PP", ".nf", ".RS 2", *(_guarded(_text(row.strip())) for row in rows), ".RE", ".fi"]


def _filled(text: str) -> list[str]:
    """Lines of running text; code spans are bold."""
    return _wrapped(_CODE.sub(r"\\fB\1\\fR", _text(" ".join(text.split()))))


def _wrapped(text: str) -> list[str]:
    return [_guarded(row) for row in textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)]


def _guarded(row: str) -> str:
    """A dot or an apostrophe at the beginning of a line would be a command."""
    return rf"\&{row}" if row[:1] in (".", "'") else row


def _text(text: str) -> str:
    r"""Text with what roff would take for its own escaped: `\` begins escapes, `-` is a hyphen, `~` and `^` are accents."""
    for plain, escaped in (("\\", r"\e"), ("-", r"\-"), ("~", r"\(ti"), ("^", r"\(ha"), ("'", r"\(aq")):
        text = text.replace(plain, escaped)
    return text
