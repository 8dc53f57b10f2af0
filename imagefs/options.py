"""The options of `-o`: one table, the same in every command, written as mount(8) users write them.

A decoder sees only the view options (the ones that decide what is shown). Words that mount(8), fstab and systemd put
there and that change nothing here are accepted; anything else is refused by name.
"""

import dataclasses
import math
import string
from collections.abc import Callable, Iterable
from typing import Any

from imagefs.errors import UsageError

TREES = ("rr", "joliet", "evd", "iso", "udf", "hfs")
LAYOUTS = ("auto", "flat", "tree")
MAPS = ("normal", "off", "acorn")
AUDIO = ("wav", "flac")
ENGINES = ("direct", "pyfuse3")
MOST_THREADS = 64
"""Serving threads of one mount: beyond the number of processors they gain nothing."""
MOST_OWNER = (1 << 32) - 2
_DIGITS = 20
"""More than any number has that is taken."""
OF_THE_MOUNT = (
    "uid",
    "gid",
    "umask",
    "fmask",
    "dmask",
    "allow_other",
    "noexec",
    "engine",
    "threads",
    "sandbox",
    "run_as",
)
"""Options of a mount as a whole; the others are about one image."""
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclasses.dataclass(frozen=True)
class Options:
    """What the user asked for; None where the default decides."""

    # what is shown
    tree: str | None = None  # one of TREES
    layout: str = "auto"  # one of LAYOUTS
    volume: int | None = None  # the number of the one volume to show
    session: int | None = None  # the number of the session to show
    map: str = "normal"  # plain ISO 9660 names: lower case without ;1, as stored, or with Acorn's types
    iocharset: str | None = None  # Python codec for names that are not Unicode in the image
    audio: str = "wav"  # one of AUDIO
    swap_audio: bool = False  # exchange the bytes of every audio sample: a dump in the wrong byte order
    meta: bool = False  # show .imagefs as well
    # who may see it
    uid: int | None = None
    gid: int | None = None
    umask: int | None = None
    fmask: int | None = None
    dmask: int | None = None
    allow_other: bool = False
    noexec: bool = False
    # how it is mounted
    engine: str = "direct"  # one of ENGINES
    threads: int = 2  # serving threads of the direct engine
    sandbox: bool | None = None  # whether what parses is confined; None: as far as the system can
    run_as: int | None = None  # whom a mount made by root is served as; None: nobody

    @property
    def file_mask(self) -> int:
        """The permission bits that files keep."""
        return 0o7777 & ~((self.umask or 0) if self.fmask is None else self.fmask)

    @property
    def directory_mask(self) -> int:
        """The permission bits that directories keep."""
        return 0o7777 & ~((self.umask or 0) if self.dmask is None else self.dmask)


# What these raise says what the option takes, behind "it takes".


def _decimal(text: str) -> int | None:
    """A number as it is written without sign, spaces or other scripts' digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else None


def _number(text: str, most: float = math.inf) -> int:
    """A number from 1."""
    value = _decimal(text)
    if not value or value > most:
        raise ValueError("a number from 1" if most == math.inf else f"a number from 1 to {most}")
    return value


def _threads(text: str) -> int:
    return _number(text, MOST_THREADS)


def _owner(text: str, named: Callable[[str], int], what: str) -> int:
    """A uid or gid by number or name; the highest, -1, is nobody's."""
    try:
        number = _decimal(text)
        value = named(text) if number is None else number
    except KeyError:
        value = MOST_OWNER + 1
    if value > MOST_OWNER:
        raise ValueError(f"the name of a {what} of this system, or a number up to {MOST_OWNER}")
    return value


def _user(text: str) -> int:
    import pwd

    return _owner(text, lambda name: pwd.getpwnam(name).pw_uid, "user")


def _group(text: str) -> int:
    import grp

    return _owner(text, lambda name: grp.getgrnam(name).gr_gid, "group")


def _octal(text: str) -> int:
    digits = text.lstrip("0")
    if not text or set(text) - set(string.octdigits) or len(digits) > 3:
        raise ValueError("permission bits in octal, as 022")
    return int(text, 8)


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError("|".join(words))
        return text

    return parse


def _map(text: str) -> str:
    return {"n": "normal", "o": "off", "a": "acorn"}.get(text) or _one_of(MAPS)(text)


def _codec(text: str) -> str:
    import codecs

    try:
        b"A".decode(text)  # Python has codecs that are no character sets (hex, zip)
        return codecs.lookup(text).name
    except (LookupError, UnicodeError):
        raise ValueError("a character set that Python knows, as cp932") from None


_VALUES: dict[str, tuple[Callable[[str], Any], str, str]] = {
    # name: (parser, what it takes, help)
    "tree": (_one_of(TREES), "|".join(TREES), "which of a disc's trees is shown (default: the richest)"),
    "layout": (_one_of(LAYOUTS), "|".join(LAYOUTS), "one volume at the root, or each in its folder"),
    "volume": (_number, "N", "show only volume N"),
    "session": (_number, "N", "show session N of a multi-session disc, or build N of a write-once UDF disc"),
    "map": (_map, "normal|off|acorn", "how plain ISO 9660 names are shown"),
    "iocharset": (_codec, "NAME", "character set of names that are not Unicode in the image"),
    "audio": (
        _one_of(AUDIO),
        "|".join(AUDIO),
        "audio tracks as WAV, or as FLAC with tags (of the same size: not packed)",
    ),
    "uid": (_user, "N|NAME", "owner of every file"),
    "gid": (_group, "N|NAME", "group of every file"),
    "umask": (_octal, "OCTAL", "permission bits to take away from everything"),
    "fmask": (_octal, "OCTAL", "permission bits to take away from files"),
    "dmask": (_octal, "OCTAL", "permission bits to take away from directories"),
    "engine": (_one_of(ENGINES), "|".join(ENGINES), "who speaks to the kernel"),
    "threads": (_threads, "N", "serving threads of the direct engine (default 2)"),
    "run_as": (_user, "N|NAME", "the user that a mount made by root is served as (default: nobody)"),
}
_FLAGS = {
    "swap_audio": ("swap_audio", "audio in the other byte order, for a dump that is only noise"),
    "meta": ("meta", "a folder .imagefs with what info tells, boot images, raw tracks, subchannel, CD-TEXT"),
    "allow_other": ("allow_other", "let other users in (fuse.conf must allow it)"),
    "noexec": ("noexec", "programs in the image cannot be started"),
    "sandbox": ("sandbox", "what reads the image is confined (the default)"),
    "nosandbox": ("sandbox", "what reads the image has all rights of who mounts"),
}
_HARMLESS = """
ro rw nodev nosuid dev suid exec defaults auto noauto user users
nouser owner group nofail _netdev async sync dirsync atime noatime relatime norelatime
strictatime nostrictatime lazytime nolazytime diratime nodiratime nosymfollow default_permissions loop silent loud iversion
noiversion mand nomand
"""
HARMLESS = frozenset(_HARMLESS.split())
"""Accepted and without effect: a mount is always ro,nosuid,nodev,default_permissions."""


def describe() -> Iterable[tuple[str, str]]:
    """(option as it is written, what it does) for every option, for --help and the manual."""
    for name, (_, takes, text) in _VALUES.items():
        yield f"{name}={takes}", text
    for name, (_, text) in _FLAGS.items():
        yield name, text


def split_words(text: str) -> list[str]:
    """The words between commas; a comma inside double quotes does not count, as mount(8) has it."""
    words, word, quoted = [], "", False
    for letter in text:
        if letter == '"':
            quoted = not quoted
        elif letter == "," and not quoted:
            words.append(word)
            word = ""
        else:
            word += letter
    return [w for w in (*words, word) if w]


def is_known(word: str) -> bool:
    """Whether a word is an option of imagefs, or one of those that mount(8) and fstab put beside them."""
    name = word.partition("=")[0]
    return name in _VALUES or word in _FLAGS or name in HARMLESS or name.startswith(("x-", "X-")) or name == "comment"


def bytes_of(text: str) -> int:
    """64M, 1GiB, 4096: a size in bytes, units are powers of 1024. Raises ValueError."""
    digits = text.rstrip("kKmMgGiIbB")
    unit = text[len(digits) :].lower().removesuffix("b").removesuffix("i")
    if not (digits.isascii() and digits.isdigit()) or unit not in _UNITS:
        raise ValueError("bytes, or a number with K, M or G")
    return int(digits) * _UNITS[unit]


def parse(texts: Iterable[str], defaults: Options = Options()) -> Options:
    """The options in one or more `-o` arguments, over `defaults`; later words win. Raises UsageError that names the word."""
    values: dict[str, Any] = {}
    for word in (word for text in texts for word in split_words(text)):
        name, _, value = word.partition("=")
        if not is_known(word):
            what = f"{name} takes no value" if name in _FLAGS else f"{word!r} is not known; see imagefs mount --help"
            raise UsageError(f"option {what}")
        if word in _FLAGS:
            values[_FLAGS[word][0]] = not word.startswith("nos")
        elif name in _VALUES:
            try:
                values[name] = _VALUES[name][0](value)
            except ValueError as error:
                raise UsageError(f"option {name}={value} is not understood: it takes {error}") from None
    return dataclasses.replace(defaults, **values)
