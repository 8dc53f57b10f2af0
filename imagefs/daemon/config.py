"""The configuration of `imagefs serve`: a TOML file, every key of which stands with its meaning in examples/imagefs.toml.

Nothing in it is guessed: a key that is not known, a value of the wrong kind and a broken line are refused with the file's
name and the number of the line.

A path may begin with `~` (the home of whom the daemon runs as) or `~NAME`; a relative one begins at the folder of the file.
"""

import contextlib
import difflib
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from imagefs.cache import DEFAULT_BYTES
from imagefs.errors import NotFoundError, UsageError
from imagefs.limits import NAME_BYTES
from imagefs.options import OF_THE_MOUNT, Options, bytes_of, parse

FILE_BYTES = 1 << 20
"""A longer file is no configuration: 10,000 images with their options are half of it."""
_PLAIN = Options()
Where = tuple[str | int, ...]
"""The way to a key from the top of the file: names of keys, numbers of elements."""


class Watch(NamedTuple):
    """A folder whose images appear by themselves."""

    path: str
    """Absolute."""
    recursive: bool = False
    """With the folders in it."""


class Attached(NamedTuple):
    """An image that is attached from the start."""

    path: str
    """Absolute."""
    name: str | None = None
    """Its folder under the root; None: named after the file."""
    options: Options | None = None
    """Its own over the daemon's; None: those of the daemon, as they are when it is opened."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the daemon is to do. The defaults are those of an empty file."""

    root: str | None = None
    """The folder under which the images appear; None: the command line has to name it."""
    socket: str | None = None
    """The control socket; None: the place where the commands look for it."""
    watch: tuple[Watch, ...] = ()
    allow: tuple[str, ...] = ()
    """Absolute paths from below which images may be attached later, when the daemon is confined; settled at its start."""
    images: tuple[Attached, ...] = ()
    idle_seconds: float = 300.0
    """After this long without use an image is closed; 0: never."""
    deadline_seconds: float = 30.0
    """An image that takes longer over one request is called hung."""
    cache_bytes: int = DEFAULT_BYTES
    """Decoded data that is kept, of all images together."""
    sandbox: bool = True
    """Whether the daemon confines itself where the kernel can do that; the options sandbox and nosandbox go before it."""
    options: Options = _PLAIN
    """How every image is shown that says nothing else, and how the root is mounted."""


def default_path() -> str | None:
    """The file that is read when none is named: /etc/imagefs/imagefs.toml for root, else the user's; None: there is none."""
    if os.geteuid() == 0:
        path = "/etc/imagefs/imagefs.toml"
    else:
        base = os.environ.get("XDG_CONFIG_HOME", "")
        if not os.path.isabs(base):  # as the XDG specification wants it
            base = os.path.expanduser("~/.config")
        path = os.path.join(base, "imagefs", "imagefs.toml")
    return path if os.path.exists(path) else None


def load(path: str) -> Config:
    """The configuration in a file. Raises UsageError that names file and line, NotFoundError, OSError."""
    text = _text(path)
    try:
        table = tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"{path}:{_syntax(text, str(error))}") from None
    except RecursionError:
        raise UsageError(f"{path}:1: nested too deeply") from None
    try:
        return _config(table, os.path.dirname(os.path.abspath(path)))
    except _Wrong as wrong:
        raise UsageError(f"{path}:{line_of(text, wrong.where)}: {wrong}") from None


def _text(path: str) -> str:
    """The content of the file. Raises UsageError, NotFoundError, OSError."""
    try:
        with open(path, "rb") as file:
            raw = file.read(FILE_BYTES + 1)
    except FileNotFoundError:
        raise NotFoundError(f"there is no configuration file {path}") from None
    if len(raw) > FILE_BYTES:
        raise UsageError(f"{path}:1: longer than {FILE_BYTES >> 20} MiB, which no configuration is")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: byte {raw[error.start]:#x} is no UTF-8") from None


def _syntax(text: str, said: str) -> str:
    """`LINE: what is wrong` of what tomllib said, which has the place at its end: `(at line 3, column 7)`."""
    what, mark, place = said.rpartition(" (at ")
    number = re.match(r"line (\d+)", place)
    line = int(number[1]) if number else text.rstrip().count("\n") + 1
    return f"{line}: {what if mark else said}"


# --- what may stand in it -----------------------------------------------------------------------------------------------


class _Wrong(Exception):
    """A key and what is wrong with it."""

    def __init__(self, where: Where, what: str) -> None:
        super().__init__(what)
        self.where = where


Parse = Callable[[Any], Any]
"""The value of a key, out of what tomllib made of it; raises ValueError that says what the key takes."""


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _seconds(value: Any, *, least: float = 0.0) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < least:
        raise ValueError(f"a number of seconds, {least:g} or more")
    return float(value)


def _deadline(value: Any) -> float:
    return _seconds(value, least=1.0)


def _size(value: Any) -> int:
    if isinstance(value, int | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            return bytes_of(str(value))
    raise ValueError("bytes, or a number with K, M or G as a text")


def _name(value: Any) -> str:
    if not isinstance(value, str) or not is_name(value):
        raise ValueError(f"the name of a folder: no /, not . or .., 1 to {NAME_BYTES} bytes")
    return value


def is_name(text: str) -> bool:
    """Whether a folder can have this name."""
    size = len(text.encode("utf-8", "surrogateescape"))
    return 0 < size <= NAME_BYTES and text not in (".", "..") and not {"/", "\0"} & set(text)


def _path_from(folder: str) -> Parse:
    def parse_path(value: Any) -> str:
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError("a path")
        path = os.path.expanduser(value)
        if path.startswith("~"):
            raise ValueError("a path, and there is no such user")
        return os.path.normpath(os.path.join(folder, path))

    return parse_path


def _paths_from(folder: str) -> Parse:
    parse_path = _path_from(folder)

    def parse_paths(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ValueError("a list of paths")
        return tuple(parse_path(each) for each in value)

    return parse_paths


def _options(value: Any) -> Options:
    if not isinstance(value, str):
        raise ValueError('words as -o takes them, as "uid=1000,umask=022"')
    return parse([value])


def _image_options(defaults: Options) -> Parse:
    def parse_options(value: Any) -> Options:
        if not isinstance(value, str):
            raise ValueError('words as -o takes them, as "tree=joliet"')
        return image_options([value], defaults)

    return parse_options


def image_options(texts: Sequence[str], defaults: Options) -> Options:
    """The options of one image of several, over the daemon's own. Raises UsageError, also for those of the whole mount."""
    options = parse(texts, defaults)
    for name in OF_THE_MOUNT:
        if getattr(options, name) != getattr(defaults, name):
            raise UsageError(f"option {name} is for all images of the daemon; it stands in its configuration alone")
    return options


def _top(folder: str) -> dict[str, Parse]:
    """The keys at the top of the file, without the tables."""
    path = _path_from(folder)
    return {
        "root": path,
        "socket": path,
        "idle_seconds": _seconds,
        "deadline_seconds": _deadline,
        "cache_size": _size,
        "sandbox": _boolean,
        "allow": _paths_from(folder),
        "options": _options,
    }


def _watch(folder: str) -> dict[str, Parse]:
    return {"path": _path_from(folder), "recursive": _boolean}


def _image(folder: str, defaults: Options) -> dict[str, Parse]:
    return {"path": _path_from(folder), "name": _name, "options": _image_options(defaults)}


TABLES = ("watch", "image")
"""Keys that are lists of tables; an element may also be a text, its path."""


def keys() -> dict[str, tuple[str, ...]]:
    """Every key that is known: those at the top under "", those of each table under its name."""
    return {"": (*_top(""), *TABLES), "watch": tuple(_watch("")), "image": tuple(_image("", _PLAIN))}


def _config(table: Mapping[str, Any], folder: str) -> Config:
    """The configuration of a parsed file in `folder`. Raises _Wrong."""
    values = _read((), {key: value for key, value in table.items() if key not in TABLES}, _top(folder), TABLES)
    options = values.get("options", _PLAIN)
    watch = [Watch(**row) for row in _rows(table, "watch", _watch(folder))]
    images = [Attached(**row) for row in _rows(table, "image", _image(folder, options))]
    _only_once("watch", [row.path for row in watch], "is watched already")
    _only_once("image", [row.name for row in images], "is the name of another image")
    if "cache_size" in values:
        values["cache_bytes"] = values.pop("cache_size")
    return Config(**values, watch=tuple(watch), images=tuple(images))


def _rows(table: Mapping[str, Any], name: str, known: Mapping[str, Parse]) -> list[dict[str, Any]]:
    """The values in each of a list of tables. Raises _Wrong."""
    rows = table.get(name, [])
    if not isinstance(rows, list):
        raise _Wrong((name,), f"{name} takes tables: [[{name}]]")
    found = []
    for number, row in enumerate(rows):
        if isinstance(row, str):
            row = {"path": row}
        if not isinstance(row, dict):
            raise _Wrong((name, number), f"{name} takes paths or tables, not {_shown(row)}")
        if "path" not in row:
            raise _Wrong((name, number), f"{name} has no path")
        found.append(_read((name, number), row, known))
    return found


def _read(
    where: Where, table: Mapping[str, Any], known: Mapping[str, Parse], tables: Sequence[str] = ()
) -> dict[str, Any]:
    """The values in one table. Raises _Wrong."""
    values = {}
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, [*known, *tables], 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join([*known, *tables])}"
            raise _Wrong((*where, key), f"key {key!r} is not known{hint}")
        try:
            values[key] = known[key](value)
        except UsageError as error:
            raise _Wrong((*where, key), f"{key}: {error}") from None
        except ValueError as error:
            raise _Wrong((*where, key), f"{key} takes {error}, not {_shown(value)}") from None
    return values


def _shown(value: Any) -> str:
    """A value as the file may have it, cut to a length for one line."""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _only_once(name: str, values: Sequence[str | None], what: str) -> None:
    for number, value in enumerate(values):
        if value is not None and value in values[:number]:
            raise _Wrong((name, number), f"{value!r} {what}")


# --- where it stands ----------------------------------------------------------------------------------------------------


def line_of(text: str, where: Where) -> int:
    """The number of the line on which a key or an element begins, in a file that parses.

    tomllib tells no places. But what a file says only grows with its lines, and the lines up to any statement's end parse
    alone (in an array over several lines: up to any element's end, with a bracket after them). So the end is found by
    bisection, and the beginning is the line after what parsed before.
    """
    lines = text.split("\n")
    low, high = 0, len(lines)  # `where` is not in the first `low` lines, and is in the first `high`
    while high - low > 1:
        middle = (low + high) // 2
        if _has(_parsed(lines, middle)[1], where):
            high = middle
        else:
            low = middle
    return _parsed(lines, high - 1)[0] + 1


def _parsed(lines: Sequence[str], count: int) -> tuple[int, Any]:
    """The most lines, at most `count`, that parse alone, and what they say."""
    for end in range(count, 0, -1):
        for bracket in ("", "\n]"):
            try:
                return end, tomllib.loads("\n".join(lines[:end]) + bracket)
            except ValueError:
                continue
    return 0, {}


def _has(table: Any, where: Where) -> bool:
    for key in where:
        if isinstance(key, int):
            if not isinstance(table, list) or key >= len(table):
                return False
        elif not isinstance(table, dict) or key not in table:
            return False
        table = table[key]
    return True
