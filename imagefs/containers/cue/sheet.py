"""The text of a CUE sheet as files, tracks and indexes; nothing here opens a file.

command                                          meaning
CATALOG n13                                      media catalogue number
CDTEXTFILE "x.cdt"                               CD-TEXT packs
FILE "name" BINARY|MOTOROLA|WAVE|AIFF|MP3 ...    what follows lies in this file; MOTOROLA: big-endian samples
TRACK nn AUDIO|CDG|MODE1/s|MODE2/s|CDI/s         s: bytes of a stored sector
FLAGS DCP 4CH PRE SCMS                           control bits
ISRC c12                                         recording code
TITLE, PERFORMER, SONGWRITER "text"              CD-TEXT; before the first TRACK they are the disc's
PREGAP, POSTGAP mm:ss:ff                         sectors before index 1 or after the track that are in no file
INDEX nn mm:ss:ff                                a place in the current file, in its sectors: 00 pregap, 01 start, 02 ...
REM SESSION nn                                   a new session begins
REM LEAD-OUT, LEAD-IN, PREGAP mm:ss:ff           lengths of what lies between two sessions, in no file
REM SINGLE-DENSITY AREA, HIGH-DENSITY AREA       the two areas of a GD-ROM
REM ORIGINAL MEDIA-TYPE: CD|DVD|BD               the medium

In the wild: UTF-8, UTF-16 and legacy code pages, with and without a byte order mark; lines ended by CRLF, LF or CR; words in
any case; strings without quotes, with curly ones, or with quotes inside (so the last quote of a line ends it); minutes above
99, frames above 74; 0x1A or NULs at the end; PREGAP and FLAGS after INDEX; `;` and `//` for comments.
Sources: Jeff Arnold, CDRWin user's guide, "CUE sheet commands"; sheets of EAC, Redump, IsoBuster, ImgBurn.
"""

import codecs
import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from imagefs import limits
from imagefs.disc import TrackKind
from imagefs.disc.layouts import CDRDAO_MODES, Layout, layout_of
from imagefs.disc.model import FRAMES_PER_SECOND, MAX_SESSION, MAX_TRACK, TEXTS
from imagefs.errors import DamagedError


class Index(NamedTuple):
    """A place in a file: `frame` sectors from its beginning. `file` counts the sheet's FILE lines from 0."""

    line: int
    file: int
    frame: int


@dataclass
class FileEntry:
    line: int
    name: str
    kind: str


@dataclass
class TrackEntry:
    line: int
    number: int
    layout: Layout
    session: int
    is_high_density: bool = False
    between: dict[str, int] = field(default_factory=dict)
    """Sectors of "LEAD-OUT", "LEAD-IN" and "PREGAP" before the first track of a session, as far as the sheet says."""
    skipped: int = 0
    """Sectors by which its addresses in the file are too large."""
    pregap: int = 0
    postgap: int = 0
    indexes: dict[int, Index] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    isrc: str = ""
    text: dict[str, str] = field(default_factory=dict)


@dataclass
class Sheet:
    """A parsed sheet. `encoding` is the codec its text was in."""

    encoding: str = "utf-8"
    files: list[FileEntry] = field(default_factory=list)
    tracks: list[TrackEntry] = field(default_factory=list)
    text: dict[str, str] = field(default_factory=dict)
    catalog: str = ""
    cdtext_file: str = ""
    medium: str = "CD"
    warnings: list[str] = field(default_factory=list)

    def warn(self, line: int, text: str) -> None:
        if len(self.warnings) < limits.WARNINGS:
            self.warnings.append(f"line {line}: {text}")


# --- text -----------------------------------------------------------------------------------------------------------------

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def decode(data: bytes, iocharset: str | None = None) -> tuple[str, str]:
    """(text, codec): by the byte order mark, else UTF-8 where it is valid, else `iocharset`, else Windows' code page 1252.

    Bytes that the codec does not have become U+FFFD.
    """
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return data.decode(codec, "replace"), codec
    if data[1:8:2] == b"\0" * len(data[1:8:2]) and len(data) > 3:
        return data.decode("utf-16-le", "replace"), "utf-16-le"
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        codec = iocharset or "cp1252"
        return data.decode(codec, "replace"), codec


def as_written(name: str, encoding: str) -> str:
    """A name as the operating system has it when the file's name was copied byte by byte from the sheet's code page."""
    if encoding.startswith("utf"):
        return name
    try:
        return os.fsdecode(name.encode(encoding))
    except UnicodeEncodeError:
        return name


# --- lines ----------------------------------------------------------------------------------------------------------------

_LINE = re.compile(r"\r\n|\n|\r")
_OPENING, _CLOSING = '"“”„‟', '"”“‟'
_TIME = re.compile(r"(\d{1,6}):(\d{1,3}):(\d{1,3})$", re.ASCII)
_NUMBER = re.compile(r"\d{1,4}$", re.ASCII)
_CATALOG = re.compile(r"\d{13}$", re.ASCII)
_KINDS = frozenset(("BINARY", "MOTOROLA", "WAVE", "AIFF", "MP3", "FLAC", "OGG", "APE", "WV"))
_UNUSED = ("COMPOSER", "ARRANGER", "MESSAGE", "GENRE", "DISC_ID", "UPC_EAN", "TOC_INFO", "SIZE_INFO")
_MODES = CDRDAO_MODES | {"CDG": (TrackKind.AUDIO, 2448), "CDI": (TrackKind.MODE2, 2352)}
"""The kind by its word, and the stored bytes of a sector when no number follows it."""
_BETWEEN = ("LEAD-OUT", "LEAD-IN", "PREGAP")
_MAX_FILES = 2 * MAX_TRACK
"""A file for each track and one for each pregap."""


def split_string(rest: str) -> tuple[str, str]:
    """(string, what follows it): from the first quote to the last one of the line; all of it when there are no quotes."""
    if rest[:1] not in _OPENING or not rest:
        return rest, ""
    end = max(rest.rfind(quote) for quote in _CLOSING)
    if end <= 0:
        return rest[1:], ""
    return rest[1:end], rest[end + 1 :].strip()


def _name_and_kind(rest: str) -> tuple[str, str]:
    """The name and the type of a FILE line. Without quotes, or without the last one, the last word is the type."""
    name, kind = split_string(rest)
    if kind:
        return name, kind.upper()
    head, _, last = name.rpartition(" ")
    if head and last.upper() in _KINDS:
        return head.rstrip().rstrip(_CLOSING), last.upper()
    return name, "BINARY"


def _layout(word: str) -> Layout | None:
    """The layout a TRACK line names: MODE1/2352, AUDIO ..."""
    mode, _, size = word.upper().partition("/")
    kind, sector_bytes = _MODES.get(mode, (None, 0))
    if size:
        sector_bytes = int(size) if _NUMBER.match(size) else 0
    return layout_of(kind, sector_bytes) if kind else None


class _Parser:
    """One pass over the lines; what was read stands in `sheet`."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.line = 0
        self.session = 1
        self.is_high_density = False
        self.between: dict[str, int] = {}
        self.commands: dict[str, Callable[[str], None]] = {
            "FILE": self._file,
            "TRACK": self._track,
            "INDEX": self._index,
            "PREGAP": self._pregap,
            "POSTGAP": self._postgap,
            "FLAGS": self._flags,
            "ISRC": self._isrc,
            "CATALOG": self._catalog,
            "CDTEXTFILE": self._cdtextfile,
            "REM": self._rem,
        }
        self.commands |= {name.upper(): functools.partial(self._text, name) for name in TEXTS}
        self.commands |= dict.fromkeys(_UNUSED, lambda rest: None)

    def feed(self, line: str) -> None:
        self.line += 1
        line = line.strip(" \t\v\f\0\x1a\ufeff\u200b\u00a0")
        if not line or line.startswith((";", "//")):
            return
        word, *rest = line.split(None, 1)
        command = self.commands.get(word.upper())
        if command is None:
            self.sheet.warn(self.line, f"{word[:40]!r} is no command and is ignored")
        else:
            command(rest[0] if rest else "")

    def _fail(self, text: str) -> DamagedError:
        return DamagedError(None, f"line {self.line}: {text}")

    def _current(self, command: str) -> TrackEntry:
        if not self.sheet.tracks:
            raise self._fail(f"{command} before the first TRACK")
        return self.sheet.tracks[-1]

    def _file(self, rest: str) -> None:
        name, kind = _name_and_kind(rest)
        if not name:
            raise self._fail("FILE without a name")
        if len(self.sheet.files) >= _MAX_FILES:
            raise self._fail(f"more than {_MAX_FILES} files")
        self.sheet.files.append(FileEntry(self.line, name, kind))

    def _track(self, rest: str) -> None:
        if not self.sheet.files:
            raise self._fail("TRACK before the first FILE")
        words = rest.split()
        if len(words) < 2 or not _NUMBER.match(words[0]):
            raise self._fail(f"TRACK needs a number and a mode, not {rest[:40]!r}")
        layout = _layout(words[1])
        if layout is None:
            raise self._fail(f"{words[1][:40]!r} is no mode of a track that imagefs knows")
        before = self.sheet.tracks[-1].number if self.sheet.tracks else 0
        number = int(words[0])
        if number <= before:
            self.sheet.warn(self.line, f"track {number} after track {before} is taken as {before + 1}")
            number = before + 1
        if number > MAX_TRACK:
            raise self._fail(f"track {number}: a disc has at most {MAX_TRACK}")
        self.sheet.tracks.append(
            TrackEntry(self.line, number, layout, self.session, self.is_high_density, self.between)
        )
        self.is_high_density, self.between = False, {}

    def _time(self, text: str) -> int:
        """Frames of mm:ss:ff."""
        match = _TIME.match(text)
        if not match:
            raise self._fail(f"{text[:40]!r} is no time (minutes:seconds:frames)")
        minutes, seconds, frames = map(int, match.groups())
        if seconds > 59 or frames >= FRAMES_PER_SECOND:
            self.sheet.warn(self.line, f"{text} has too many seconds or frames")
        return (minutes * 60 + seconds) * FRAMES_PER_SECOND + frames

    def _index(self, rest: str) -> None:
        track = self._current("INDEX")
        words = rest.split()
        if len(words) < 2 or not _NUMBER.match(words[0]):
            raise self._fail(f"INDEX needs a number and a time, not {rest[:40]!r}")
        number = words[0]
        index = Index(self.line, len(self.sheet.files) - 1, self._time(words[1]))
        if int(number) > MAX_TRACK or int(number) in track.indexes:
            self.sheet.warn(self.line, f"INDEX {number} of track {track.number} is ignored")
        else:
            track.indexes[int(number)] = index

    def _pregap(self, rest: str) -> None:
        self._current("PREGAP").pregap = self._time(rest)

    def _postgap(self, rest: str) -> None:
        self._current("POSTGAP").postgap = self._time(rest)

    def _flags(self, rest: str) -> None:
        self._current("FLAGS").flags = tuple(rest.upper().split())

    def _isrc(self, rest: str) -> None:
        self._current("ISRC").isrc = split_string(rest)[0]

    def _catalog(self, rest: str) -> None:
        catalog = split_string(rest)[0]
        if _CATALOG.match(catalog):
            self.sheet.catalog = catalog
        else:
            self.sheet.warn(self.line, f"CATALOG needs 13 digits, not {catalog[:40]!r}")

    def _cdtextfile(self, rest: str) -> None:
        self.sheet.cdtext_file = split_string(rest)[0]

    def _text(self, name: str, rest: str) -> None:
        owner = self.sheet.tracks[-1].text if self.sheet.tracks else self.sheet.text
        owner[name] = split_string(rest)[0]

    def _rem(self, rest: str) -> None:
        words = rest.upper().split()
        if words[:1] == ["SESSION"] and len(words) > 1 and _NUMBER.match(words[1]):
            self.session = min(max(self.session, int(words[1])), MAX_SESSION)
        elif words[:2] == ["HIGH-DENSITY", "AREA"]:
            self.session, self.is_high_density, self.sheet.medium = self.session + 1, True, "GD-ROM"
        elif len(words) > 1 and words[0] in _BETWEEN and _TIME.match(words[1]):
            self.between[words[0]] = self._time(words[1])
        elif words[:2] == ["ORIGINAL", "MEDIA-TYPE:"] and len(words) > 2:
            self.sheet.medium = words[2]


def parse(data: bytes, iocharset: str | None = None) -> Sheet:
    """The sheet in `data`. Raises DamagedError that names the line, or that there is no track."""
    text, encoding = decode(data, iocharset)
    sheet = Sheet(encoding)
    parser = _Parser(sheet)
    for line in _LINE.split(text):
        parser.feed(line)
    if not sheet.tracks:
        raise DamagedError(None, "a CUE sheet without a TRACK")
    for track in sheet.tracks:
        if 1 not in track.indexes:
            raise DamagedError(None, f"line {track.line}: track {track.number} has no INDEX 01")
    return sheet


_FILE_LINE = re.compile(r"^[ \t\ufeff]*FILE[ \t]+\S", re.IGNORECASE | re.MULTILINE)
_TRACK_LINE = re.compile(r"^[ \t]*TRACK[ \t]+\d+[ \t]+(?:AUDIO|CDG|CDI|MODE)", re.IGNORECASE | re.MULTILINE)


def looks_like_sheet(head: bytes) -> tuple[bool, bool]:
    """Whether text that begins so has a FILE line, and a TRACK line with a number and a mode."""
    text = "\n".join(_LINE.split(decode(head)[0]))
    return bool(_FILE_LINE.search(text)), bool(_TRACK_LINE.search(text))
