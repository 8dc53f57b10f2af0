"""The text of a TOC file as tracks and what they consist of; nothing here opens a file.

word                                     meaning
CD_DA, CD_ROM, CD_ROM_XA, CD_I           type of the session; the last one counts
CATALOG "n13"                            media catalogue number
FIRST_TRACK_NO n                         number of the first track
CD_TEXT { ... }                          titles, performers, songwriters of the disc or of a track, in several languages
TRACK mode [RW | RW_RAW]                 a track begins; RW: 96 bytes of subchannel after each sector
[NO] COPY, [NO] PRE_EMPHASIS             control bits
TWO_, FOUR_CHANNEL_AUDIO                 control bits
ISRC "c12"                               recording code
FILE "name" [SWAP] [#bytes] start [len]  audio in a file (AUDIOFILE is the same); 0 or no length: to its end
DATAFILE "name" [#bytes] [len]           sectors in a file, from its byte #bytes on
SILENCE len, ZERO [mode] [RW] len        zeros that are in no file
FIFO "name" len                          a pipe: refused
PREGAP time                              zeros before index 1 that are in no file
START [time]                             index 1 lies there in the track, or where the statement stands
END [time]                               a postgap begins
INDEX time                               index 2, 3 ..., counted from index 1

mode          stored bytes   mode           stored bytes
AUDIO         2352           MODE2_FORM1    2048
MODE1         2048           MODE2_FORM2    2324
MODE1_RAW     2352           MODE2_FORM_MIX 2336
MODE2, MODE0  2336           MODE2_RAW      2352

A time is mm:ss:ff. A plain number is samples (588 in a sector) in audio statements and bytes in those for data.
In the wild: FILE in data tracks, with a start and a length in sectors; DATAFILE in audio tracks.
Source: cdrdao(1), "TOC files"; libcdio's reader for its dialect.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from imagefs import limits
from imagefs.containers.toc.lexer import Token, tokens
from imagefs.disc import TrackKind
from imagefs.disc.build import layout_with_subchannel
from imagefs.disc.layouts import CDRDAO_MODES, Layout, layout_of
from imagefs.disc.model import FRAMES_PER_SECOND, MAX_TRACK, SUBCHANNEL_BYTES, TEXTS
from imagefs.errors import DamagedError, UnsupportedError

SAMPLE_BYTES = 4
_TIME = re.compile(r"(\d{1,3}):(\d{1,3}):(\d{1,3})", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}", re.ASCII)
_CATALOG = re.compile(r"\d{13}", re.ASCII)
SESSION_TYPES = ("CD_DA", "CD_ROM", "CD_ROM_XA", "CD_I")
MODES = CDRDAO_MODES | {"MODE0": (TrackKind.MODE2, 2336)}
_SUBCHANNELS = ("RW", "RW_RAW")
_FLAGS = {"COPY": "DCP", "PRE_EMPHASIS": "PRE", "FOUR_CHANNEL_AUDIO": "4CH"}
_TEXTS = {name.upper(): name for name in TEXTS}


class Part(NamedTuple):
    """`length` bytes of a track (None: to the end) from byte `offset` of the file `name`, or zeros when that is empty."""

    line: int
    name: str
    offset: int
    length: int | None
    swap: bool = False


@dataclass
class TrackEntry:
    """`start` is the frame of index 1 in the stored track, `pregap` the frames before it that are in no file."""

    line: int
    number: int
    layout: Layout
    parts: list[Part] = field(default_factory=list)
    pregap: int = 0
    start: int = 0
    starts_after: int | None = None
    """A bare START: index 1 lies behind so many parts."""
    indexes: list[int] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    isrc: str = ""
    text: dict[str, str] = field(default_factory=dict)


@dataclass
class Sheet:
    """A parsed file."""

    tracks: list[TrackEntry] = field(default_factory=list)
    text: dict[str, str] = field(default_factory=dict)
    catalog: str = ""
    warnings: list[str] = field(default_factory=list)

    def warn(self, line: int, text: str) -> None:
        if len(self.warnings) < limits.WARNINGS:
            self.warnings.append(f"line {line}: {text}")


class _Parser:
    """One pass over the tokens; what was read stands in `sheet`."""

    def __init__(self, found: list[Token]) -> None:
        self.sheet = Sheet()
        self._tokens, self._at = found, 0
        self._line = 1
        self._first = 1
        self._parts = 0
        self._commands: dict[str, Callable[[], None]] = {
            "CATALOG": self._catalog,
            "FIRST_TRACK_NO": self._first_track,
            "CD_TEXT": self._cd_text,
            "TRACK": self._track,
            "NO": self._no,
            "TWO_CHANNEL_AUDIO": lambda: None,
            "ISRC": self._isrc,
            "FILE": self._file,
            "AUDIOFILE": self._file,
            "DATAFILE": self._datafile,
            "SILENCE": self._zeros,
            "ZERO": self._zeros,
            "FIFO": self._fifo,
            "PREGAP": self._pregap,
            "START": self._start,
            "END": self._end,
            "INDEX": self._index,
        }
        self._commands |= dict.fromkeys(SESSION_TYPES, lambda: None)

    def parse(self) -> Sheet:
        while self._at < len(self._tokens):
            token = self._take()
            if token.text in _FLAGS and not token.is_string:
                self._current(token.text).flags.append(_FLAGS[token.text])
                continue
            command = None if token.is_string else self._commands.get(token.text)
            if command is None:
                self.sheet.warn(token.line, f"{token.text[:40]!r} is no statement and is ignored")
            else:
                command()
        if not self.sheet.tracks:
            raise DamagedError(None, "a TOC file without a TRACK")
        return self.sheet

    # --- tokens -------------------------------------------------------------------------------------------------------

    def _fail(self, text: str) -> DamagedError:
        return DamagedError(None, f"line {self._line}: {text}")

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at, self._line = self._at + 1, token.line
        return token

    def _next(self) -> str:
        """The next word without taking it; empty before a string and at the end."""
        if self._at >= len(self._tokens) or self._tokens[self._at].is_string:
            return ""
        return self._tokens[self._at].text

    def _string(self, command: str) -> str:
        if self._at >= len(self._tokens) or not self._tokens[self._at].is_string:
            raise self._fail(f"{command} without a string in quotes")
        return self._take().text

    def _frames(self, text: str) -> int | None:
        """Frames of mm:ss:ff, None when it is no time."""
        match = _TIME.fullmatch(text)
        if not match:
            return None
        minutes, seconds, frames = map(int, match.groups())
        if seconds > 59 or frames >= FRAMES_PER_SECOND:
            self.sheet.warn(self._line, f"{text} has too many seconds or frames")
        return (minutes * 60 + seconds) * FRAMES_PER_SECOND + frames

    def _time(self, command: str) -> int:
        word = self._next()
        frames = self._frames(word)
        if frames is None:
            raise self._fail(f"{command} needs a time (minutes:seconds:frames), not {word[:40]!r}")
        self._at += 1
        return frames

    def _optional_time(self) -> int | None:
        frames = self._frames(self._next())
        self._at += frames is not None
        return frames

    def _bytes(self, unit: int, frame_bytes: int) -> int | None:
        """A length in bytes: a time in frames or a number of units. None, and nothing is taken, for anything else."""
        word = self._next()
        frames = self._frames(word)
        if frames is None and not _NUMBER.fullmatch(word):
            return None
        self._at += 1
        return int(word) * unit if frames is None else frames * frame_bytes

    def _offset(self) -> int:
        """The bytes of `#n`, 0 without it."""
        word = self._next()
        if not word.startswith("#"):
            return 0
        self._at += 1
        if not _NUMBER.fullmatch(word[1:]):
            raise self._fail(f"{word[:40]!r} is no byte offset")
        return int(word[1:])

    def _current(self, command: str) -> TrackEntry:
        if not self.sheet.tracks:
            raise self._fail(f"{command} before the first TRACK")
        return self.sheet.tracks[-1]

    # --- statements ---------------------------------------------------------------------------------------------------

    def _catalog(self) -> None:
        has_value = self._at < len(self._tokens) and (self._tokens[self._at].is_string or self._next().isdecimal())
        catalog = self._take().text if has_value else ""
        if _CATALOG.fullmatch(catalog):
            self.sheet.catalog = catalog
        else:
            self.sheet.warn(self._line, f"CATALOG needs 13 digits in quotes, not {catalog[:40]!r}")

    def _first_track(self) -> None:
        word = self._next()
        if not _NUMBER.fullmatch(word) or not 1 <= int(word) <= MAX_TRACK:
            raise self._fail(f"FIRST_TRACK_NO needs a number from 1 to {MAX_TRACK}, not {word[:40]!r}")
        self._at += 1
        self._first = int(word)

    def _track(self) -> None:
        mode = self._next()
        if mode not in MODES:
            raise self._fail(f"{mode[:40]!r} is no mode of a track")
        self._at += 1
        kind, size = MODES[mode]
        layout = layout_of(kind, size)
        if self._next() in _SUBCHANNELS:
            self._at += 1
            layout = layout_with_subchannel(kind, size + SUBCHANNEL_BYTES)
        number = self._first + len(self.sheet.tracks)
        if layout is None or number > MAX_TRACK:
            raise self._fail(f"track {number}: a disc has at most {MAX_TRACK}")
        self.sheet.tracks.append(TrackEntry(self._line, number, layout))

    def _no(self) -> None:
        word = self._next()
        if word not in _FLAGS:
            raise self._fail(f"NO {word[:40]!r} is no statement")
        self._at += 1

    def _isrc(self) -> None:
        self._current("ISRC").isrc = self._string("ISRC")

    def _cd_text(self) -> None:
        """The first TITLE, PERFORMER and SONGWRITER: those of the first language."""
        owner = self.sheet.tracks[-1].text if self.sheet.tracks else self.sheet.text
        depth = 0
        while self._at < len(self._tokens):
            token = self._take()
            depth += not token.is_string and (token.text == "{") - (token.text == "}")
            if depth <= 0:
                return
            following = self._tokens[self._at] if self._at < len(self._tokens) else token
            if not token.is_string and token.text in _TEXTS and following.is_string and following.text:
                owner.setdefault(_TEXTS[token.text], following.text)
        raise self._fail("CD_TEXT without its closing brace")

    def _add(self, part: Part) -> None:
        self._parts += 1
        if self._parts > limits.DISC_TRACKS:
            raise self._fail(f"more than {limits.DISC_TRACKS} pieces of tracks")
        self._current("data").parts.append(part)

    def _file(self) -> None:
        track, name = self._current("FILE"), self._string("FILE")
        size = track.layout.sector_bytes
        # Audio lengths are samples, and 588 of them make a sector; of a data track they are bytes.
        unit = SAMPLE_BYTES if track.layout.kind is TrackKind.AUDIO else 1
        swap = self._next() == "SWAP"
        self._at += swap
        offset = self._offset()
        start = self._bytes(unit, size)
        if start is None:
            raise self._fail(f"FILE needs a start, not {self._next()[:40]!r}")
        self._add(Part(self._line, name, offset + start, self._bytes(unit, size) or None, swap))

    def _datafile(self) -> None:
        track, name = self._current("DATAFILE"), self._string("DATAFILE")
        offset = self._offset()
        self._add(Part(self._line, name, offset, self._bytes(1, track.layout.sector_bytes) or None))

    def _zeros(self) -> None:
        track = self._current("SILENCE or ZERO")
        while self._next() in MODES or self._next() in _SUBCHANNELS:
            self._at += 1
        unit = SAMPLE_BYTES if track.layout.kind is TrackKind.AUDIO else 1
        length = self._bytes(unit, track.layout.sector_bytes)
        if length is None:
            raise self._fail(f"SILENCE and ZERO need a length, not {self._next()[:40]!r}")
        self._add(Part(self._line, "", 0, length))

    def _fifo(self) -> None:
        raise UnsupportedError(f"line {self._line}: FIFO: data that come from a pipe are not read")

    def _pregap(self) -> None:
        self._current("PREGAP").pregap = self._time("PREGAP")

    def _start(self) -> None:
        track, start = self._current("START"), self._optional_time()
        track.start, track.starts_after = (start, None) if start is not None else (0, len(track.parts))

    def _end(self) -> None:
        self._current("END")
        self._optional_time()

    def _index(self) -> None:
        track = self._current("INDEX")
        if len(track.indexes) < MAX_TRACK:
            track.indexes.append(self._time("INDEX"))
        else:
            raise self._fail(f"more than {MAX_TRACK} indexes")


def parse(text: str) -> Sheet:
    """The sheet in `text`. Raises DamagedError that names the line, UnsupportedError."""
    return _Parser(tokens(text)).parse()


_TRACK_STATEMENT = re.compile(rf"^[ \t\ufeff]*TRACK[ \t]+(?:{'|'.join(MODES)})(?=\s|/|$)", re.MULTILINE)
_TYPE_STATEMENT = re.compile(rf"^[ \t\ufeff]*(?:{'|'.join(SESSION_TYPES)})(?=\s|/|$)", re.MULTILINE)


def looks_like_sheet(text: str) -> tuple[bool, bool]:
    """Whether a text has a line with the type of a session, and a TRACK with a mode and without a number."""
    text = text.replace("\r", "\n")
    return bool(_TYPE_STATEMENT.search(text)), bool(_TRACK_STATEMENT.search(text))
