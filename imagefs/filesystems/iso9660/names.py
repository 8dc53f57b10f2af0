"""Names: from the bytes of a directory record to the bytes that a file system may show.

What a name needs: 1 to 255 bytes, no `/`, no NUL, neither `.` nor `..`, no other entry of the directory like it.

* Plain ISO 9660, `map=normal` (as Linux): up to the first NUL, ASCII lower case, without `.;1` or `;1` at its very end; any
  other `;` becomes `.`, and so does `/` (Acorn discs). `map=off`: as recorded. `map=acorn`: as normal, and from the Acorn
  field (32 bytes of system use: `ARCHIMEDES`, LE32 load address, LE32 execution address, LE32 attributes) a leading `_`
  that stands for `!`, and the file type as `,xyz`.
* Enhanced (ISO 9660:1999): as recorded, without a version.
* Joliet: UTF-16, big endian (UCS-2 by the book; writers put surrogate pairs there). A `;1` goes (Nero), so do dots at the
  end (Windows ignores them, Linux drops them) of what is not dots alone.
* All but Joliet are bytes in whatever the writer had: they are shown as they are, unless `iocharset` names the character
  set of those that are not UTF-8.
"""

import codecs
import zlib
from collections import Counter
from collections.abc import Callable, Sequence

from imagefs import limits
from imagefs.filesystems._listings import Doubles
from imagefs.nodes import Node

_ACORN_BYTES = 32
_ACORN_MAGIC = b"ARCHIMEDES"


def normal(raw: bytes) -> bytes:
    """A plain name by the rules of Linux."""
    if 0 in raw:
        raw = raw[: raw.index(0)]
    if raw.endswith(b";1"):
        raw = raw[: -3 if raw.endswith(b".;1") else -2]
    return raw.lower().replace(b";", b".").replace(b"/", b".")


def as_recorded(raw: bytes) -> bytes:
    """A plain name with its case and version."""
    return raw.partition(b"\0")[0]


def enhanced(raw: bytes) -> bytes:
    """A name of the enhanced tree."""
    raw = raw.partition(b"\0")[0]
    return raw[:-2] if raw.endswith(b";1") else raw


def acorn(name: bytes, system_use: bytes) -> bytes:
    """A mapped name with what the Acorn field of its record adds."""
    if len(system_use) != _ACORN_BYTES or not system_use.startswith(_ACORN_MAGIC):
        return name
    if name.startswith(b"_") and system_use[19] & 1:
        name = b"!" + name[1:]
    load_address = int.from_bytes(system_use[10:14], "little")
    if load_address >> 20 == 0xFFF:
        name += b",%03x" % (load_address >> 8 & 0xFFF)
    return name


def joliet_whole(raw: bytes) -> bytes:
    """A Joliet name in UTF-8, dots at its end included. Half a surrogate pair becomes U+FFFD."""
    text = raw[: len(raw) & ~1].decode("utf-16-be", "replace")
    if "\0" in text:
        text = text[: text.index("\0")]
    return text.removesuffix(";1").encode()


def joliet(raw: bytes) -> bytes:
    """A Joliet name in UTF-8."""
    name = joliet_whole(raw)
    return name.rstrip(b".") or name


def charset_decoder(charset: str, then: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """`then` for names that are in `charset` where they are not UTF-8; the result is UTF-8.

    Before `then`, since the second byte of a multi-byte letter may look like a capital.
    """
    decode = codecs.getdecoder(charset)

    def name_of(raw: bytes) -> bytes:
        if raw.isascii():
            return then(raw)
        try:
            raw.decode()
        except UnicodeDecodeError:
            try:
                raw = decode(raw)[0].encode()
            except UnicodeError:
                return then(raw)  # in neither: as it is
        return then(raw)

    return name_of


def allowed(name: bytes) -> bytes:
    """The name without what no file system may show."""
    name = name.partition(b"\0")[0].replace(b"/", b"_")
    if name in (b"", b".", b".."):
        return b"_" * max(1, len(name))
    return shortened(name) if len(name) > limits.NAME_BYTES else name


def shortened(name: bytes) -> bytes:
    """A name that is too long, cut at the border of a letter, with the checksum of all of it."""
    mark = b"#%08x" % zlib.crc32(name)
    kept = name[: limits.NAME_BYTES - len(mark)]
    try:
        name.decode()
    except UnicodeDecodeError:
        return kept + mark
    return kept.decode(errors="ignore").encode() + mark


def unique(
    entries: Sequence[tuple[bytes, Node]], whole: Callable[[Node], bytes] | None = None
) -> list[tuple[bytes, Node]]:
    """The entries without exact duplicates (records that a writer repeated); other doubles get a number.

    `whole` gives the names of doubles that were shortened for looks as they are recorded.
    """
    if whole:
        count = Counter(name for name, _ in entries)
        entries = [(whole(node) if count[name] > 1 else name, node) for name, node in entries]
    index: dict[bytes, Node] = {}
    doubles = Doubles()
    for name, node in entries:
        if name not in index:
            index[name] = node
        elif not _is_same(index[name], node):
            index[doubles.name(name, index)] = node
    return list(index.items())


def _is_same(one: Node, other: Node) -> bool:
    """Whether two entries of one name are one file recorded twice."""
    if one.ino == other.ino:
        return True
    return one.mode == other.mode and (one.start, one.size) == (other.start, other.size) and one.start >= 0
