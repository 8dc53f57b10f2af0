"""Names: from OSTA compressed Unicode (CS0) to the bytes that a file system may show.

CS0 begins with a byte that tells the form: 8 one byte for each of U+0000 to U+00FF, 16 two bytes, big-endian (UCS-2 by the
book; writers put surrogate pairs there), 254 and 255 the same in deleted entries. Other forms are read as 8. A dstring is a
field of fixed size whose last byte is the length in use. UDF 2.60 2.1.1 to 2.1.3.

A name that cannot be shown is changed as UDF 2.60 4.2.2.1 and Linux do it: each row of `/` and NUL becomes one `_`, what is
longer than 255 bytes is cut, and `#` with the CRC of the name as recorded (four hexadecimal digits) is put before the
extension, if there is one of at most five characters. So are `.` and `..`.
"""

import re
from binascii import crc_hqx
from collections.abc import Sequence

from imagefs import limits

_EIGHT, _SIXTEEN = (8, 254), (16, 255)
_ILLEGAL = re.compile("[/\0]+")
_EXTENSION = re.compile(r"\.[^.]{1,5}\Z", re.DOTALL)
_MARK_BYTES = 5
_ASCII_LETTERS = bytes(range(1, 128)).replace(b"/", b"")


def text_of(raw: bytes) -> str:
    """CS0 as text. Half a surrogate pair becomes U+FFFD, and so does half a character at the end."""
    if raw[:1] and raw[0] in _SIXTEEN:
        return raw[1:].decode("utf-16-be", "replace")
    return raw[1:].decode("latin-1")


def dstring(field: bytes) -> str:
    """The text of a dstring. A length that cannot be (a writer that forgot it) is that of the field; NULs end the text."""
    used = field[-1] if field else 0
    raw = field[:used] if 0 < used < len(field) else field[:-1]
    return text_of(raw).partition("\0")[0].strip() if raw[:1] and raw[0] in (*_EIGHT, *_SIXTEEN) else ""


def name_of(raw: bytes) -> bytes:
    """The name to show for a file identifier in CS0, in UTF-8; empty when there is none."""
    if raw[:1] == b"\x08" and not raw[1:].translate(None, _ASCII_LETTERS) and raw[1:] not in (b"", b".", b".."):
        return raw[1:]
    text = text_of(raw)
    shown = _ILLEGAL.sub("_", text)
    name = shown.encode()
    if shown == text and name not in (b".", b"..") and len(name) <= limits.NAME_BYTES:
        return name
    return _marked(shown, b"#%04X" % crc_hqx(raw[1:], 0))


def names_of(raws: Sequence[bytes]) -> list[bytes]:
    """`name_of` for each. All are looked at together, since hardly ever one needs a change."""
    shown = [raw[1:] for raw in raws]
    joined = b"/".join(shown)
    if (
        joined.isascii()
        and joined.count(b"/") == len(shown) - 1
        and 0 not in joined
        and {raw[:1] for raw in raws} == {b"\x08"}
        and {b"", b".", b".."}.isdisjoint(shown)
    ):
        return shown
    return [name_of(raw) for raw in raws]


def _marked(text: str, mark: bytes) -> bytes:
    """A name with a mark before its extension, cut at the border of a letter."""
    found = _EXTENSION.search(text)
    extension = found.group().encode() if found else b""
    stem = (text[: found.start()] if found else text).encode()
    room = limits.NAME_BYTES - _MARK_BYTES - len(extension)
    return stem[:room].decode(errors="ignore").encode() + mark + extension


def link_target(data: bytes) -> bytes | None:
    """The path that the components of a symbolic link make, None when they are broken. ECMA-167 4/14.16.1.

    A component is 0 type (1 root by agreement, 2 root, 3 the directory above, 4 the same directory, 5 a name), 1 length of
    the identifier, 2 LE16 version, 4 identifier in CS0.
    """
    parts: list[bytes] = []
    at = 0
    while at < len(data):
        if at + 4 > len(data) or at + 4 + data[at + 1] > len(data):
            return None
        kind, raw = data[at], data[at + 4 : at + 4 + data[at + 1]]
        if kind == 2 or (kind == 1 and not raw):
            parts = [b""]
        elif kind == 3:
            parts.append(b"..")
        elif kind == 4:
            parts.append(b".")
        elif kind == 5 and len(raw) > 1:
            parts.append(name_of(raw))
        at += 4 + len(raw)
    target = b"/".join(parts) if parts != [b""] else b"/"
    return target if target and len(target) <= limits.LINK_BYTES else None
