"""The words of a TOC file: names, numbers and times, strings in quotes, braces.

`//` begins a comment up to the end of the line. In a string `\\"` and `\\\\` stand for their second character, `\\ooo` for a
byte in octal; any other backslash is one (names of Windows). Line ends mean nothing.
"""

import re
from typing import NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError

_TOKEN = re.compile(
    r'(?P<blank>[\s\0\x1a\ufeff]+|//[^\r\n]*)|"(?P<string>(?:[^"\\]|\\.)*)"|(?P<word>[{},]|(?:(?!//)[^\s"{},\0\x1a])+)',
    re.DOTALL,
)
_ESCAPE = re.compile(r'(?P<bytes>(?:\\[0-7]{3})+)|\\(?P<plain>["\\])')
_LINE_END = re.compile(r"\r\n|\n|\r")


class Token(NamedTuple):
    """`line` counts from 1. Braces and commas are words of one letter."""

    line: int
    text: str
    is_string: bool = False


def tokens(text: str) -> list[Token]:
    """All tokens. Raises DamagedError for a string without an end, and for more tokens than a disc needs."""
    found: list[Token] = []
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise DamagedError(None, f"line {line}: a string without its closing quote")
        if match["word"] is not None:
            found.append(Token(line, match["word"]))
        elif match["string"] is not None:
            found.append(Token(line, _ESCAPE.sub(_unescaped, match["string"]), is_string=True))
        if len(found) > limits.DESCRIPTOR_TOKENS:
            raise DamagedError(None, f"line {line}: more than {limits.DESCRIPTOR_TOKENS} words")
        line += len(_LINE_END.findall(match[0]))
        at = match.end()
    return found


def _unescaped(match: re.Match[str]) -> str:
    if match["plain"]:
        return match["plain"]
    raw = bytes(int(octal, 8) & 0xFF for octal in match["bytes"].split("\\")[1:])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
