"""`imagefs systemd-generator`: the images that /etc/imagefs.d/*.conf names become units, at boot and at every daemon-reload.

A file NAME.conf is one that systemd reads itself (EnvironmentFile= of systemd.exec(5)), for imagefs@NAME.service. Its keys:

key            value
IMAGE          the image's absolute path
MOUNTPOINT     where it is mounted; /run/imagefs/NAME when not given
OPTIONS        words as `imagefs mount -o` takes them; allow_other when not given, so that every user sees the files
AUTOMOUNT      yes: mount it when somebody looks into it, not at boot
IDLE_TIMEOUT   with AUTOMOUNT, unmount it when nobody did for so long: 60, 5min, 1h 30min; never when not given
SERVICE        yes: mount it by imagefs@NAME.service, which is watched, and started again after a crash

A value is bare (no quotes, no backslash), or in single quotes, or in double quotes with \\\\ and \\" in it: there systemd's
reading and this one cannot differ. Blank lines and lines that begin with # or ; mean nothing.

systemd.generator(7): the first argument is the folder for the units. A generator must not wait for anybody, so no image is
looked at, and what is wrong with a file is told to the kernel's log, whence the journal has it. The other files are not
affected, nor is the boot: nothing is ordered after such a mount that does not ask for it (RequiresMountsFor=).
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from imagefs.options import is_known, split_words

CONFIG, FSTAB = "/etc/imagefs.d", "/etc/fstab"
KERNEL_LOG = "/dev/kmsg"
ERROR, USAGE = 1, 64
LOG_ERR, LOG_DAEMON = 3, 3 << 3
"""syslog(3)'s numbers, as the kernel's log has them in front of a line."""
FILE_BYTES = 64 << 10
"""A longer file is none of ours: two paths and a few options are below 10 KiB."""
FILES = 4096
"""Units that a machine still boots with in time; for more images there is `imagefs serve`."""

KEYS = ("IMAGE", "MOUNTPOINT", "OPTIONS", "AUTOMOUNT", "IDLE_TIMEOUT", "SERVICE")
_NAME = re.compile(r"[A-Za-z0-9:_.-]+")
_SPAN = re.compile(r"(\d+ ?(us|ms|s|sec|m|min|h|hr|d|day|days|w|week|weeks)? ?)+")
_BARE = re.compile(r"""[^"'\\]*""")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_BLANKS = " \t\r"
_OCTAL = re.compile(r"\\([0-7]{3})")
_TRUTH = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}


class BrokenFileError(Exception):
    """What is wrong with a file, on which line (0: with the whole of it)."""

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(what)
        self.line = line


class Entry(NamedTuple):
    """One image. `name` is that of the file without .conf; `idle` is a time span of systemd's, or empty."""

    name: str
    image: str
    mountpoint: str
    options: str = "allow_other"
    automount: bool = False
    idle: str = ""
    service: bool = False


# --- reading ------------------------------------------------------------------------------------------------------------


def read(name: str, text: str) -> Entry:
    """The entry in the text of NAME.conf. Raises BrokenFileError."""
    if not _NAME.fullmatch(name):
        raise BrokenFileError("a name is letters, digits, and the characters : _ . -")
    lines: dict[str, int] = {}
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(_BLANKS)
        if not line or line[0] in "#;":
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise BrokenFileError("not KEY=VALUE", number)
        if key not in KEYS:
            raise BrokenFileError(f"key {key!r} is not known; known are {', '.join(KEYS)}", number)
        if key in values:
            raise BrokenFileError(f"{key} is there already, on line {lines[key]}", number)
        try:
            values[key], lines[key] = _value(value.strip(_BLANKS)), number
        except ValueError as error:
            raise BrokenFileError(f"{key}: {error}", number) from None
    return _entry(name, values, lines)


def _value(text: str) -> str:
    """A value without its quotes. Raises ValueError."""
    if any(letter < " " or letter == "\x7f" for letter in text):
        raise ValueError("there is a control character in it")
    if _BARE.fullmatch(text):
        return text
    if match := _SINGLE.fullmatch(text) or _DOUBLE.fullmatch(text):
        value = re.sub(r"\\(.)", r"\1", match[1]) if text[0] == '"' else match[1]
        if value.endswith(("\\", " ")):
            raise ValueError("a unit cannot have a value that ends with a backslash or a space")
        return value
    raise ValueError('a value with quotes or backslashes stands in quotes as a whole: "say \\"hi\\""')


def _entry(name: str, values: Mapping[str, str], lines: Mapping[str, int]) -> Entry:
    """The entry that the values make. Raises BrokenFileError."""

    def wrong(key: str, what: str) -> BrokenFileError:
        return BrokenFileError(f"{key}: {what}", lines[key])

    def path(key: str, default: str = "") -> str:
        value = values.get(key, default)
        if not value.startswith("/") or os.path.normpath(value) == "/":
            raise wrong(key, "an absolute path") if key in values else BrokenFileError(f"{key} is missing")
        return "/" + os.path.normpath(value).lstrip("/")

    def truth(key: str) -> bool:
        value = values.get(key, "no")
        if value.lower() not in _TRUTH:
            raise wrong(key, "yes or no")
        return _TRUTH[value.lower()]

    entry = Entry(
        name=name,
        image=path("IMAGE"),
        mountpoint=path("MOUNTPOINT", f"/run/imagefs/{name}"),
        options=values.get("OPTIONS", Entry._field_defaults["options"]),
        automount=truth("AUTOMOUNT"),
        idle=values.get("IDLE_TIMEOUT", ""),
        service=truth("SERVICE"),
    )
    unknown = [word for word in split_words(entry.options) if not is_known(word)]
    if unknown:
        raise wrong("OPTIONS", f"{', '.join(unknown)} is not known; see imagefs mount --help")
    if entry.idle and not _SPAN.fullmatch(entry.idle):
        raise wrong("IDLE_TIMEOUT", "a time as 60, 5min or 1h 30min")
    if entry.idle and not entry.automount:
        raise wrong("IDLE_TIMEOUT", "only with AUTOMOUNT=yes")
    if entry.service and entry.automount:
        raise wrong("SERVICE", "not together with AUTOMOUNT=yes")
    return entry


# --- units --------------------------------------------------------------------------------------------------------------


def escaped(path: str) -> str:
    """An absolute path as the name of a unit, as `systemd-escape --path` has it: slashes become dashes, others \\xNN."""
    kept = b":_.ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    text = ""
    for index, byte in enumerate(os.fsencode(path.strip("/"))):
        if byte == 0x2F:
            text += "-"
        elif byte in kept and (index or byte != 0x2E):
            text += chr(byte)
        else:
            text += f"\\x{byte:02x}"
    return text


def _plain(text: str) -> str:
    """A value as it stands: only % means something in every unit."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """One word of a value that is a list of words."""
    return '"' + _plain(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def units(entry: Entry) -> Iterator[tuple[str, str]]:
    """(file, content) of what an entry becomes. A content that does not end its line is that of a symbolic link."""
    head = f"# Made by imagefs-generator.\n[Unit]\nSourcePath={CONFIG}/{entry.name}.conf\n"
    needs = f"RequiresMountsFor={_quoted(entry.image)}\n"
    if entry.service:
        unit = f"imagefs@{entry.name}.service"
        yield f"{unit}.d/50-image.conf", head + needs
        yield f"multi-user.target.wants/{unit}", f"../{unit}"
        return
    name = escaped(entry.mountpoint)
    head += f"Description=Image {_plain(entry.image)}\n"
    where = f"Where={_plain(entry.mountpoint)}\n"
    # nofail is systemd's, which keeps it: without it the boot would wait for the image, and end where there is none.
    words = ",".join(filter(None, ("ro", "nofail", entry.options)))
    mount = f"[Mount]\nWhat={_plain(entry.image)}\n{where}Type=imagefs\nOptions={_plain(words)}\n"
    yield f"{name}.mount", f"{head}{needs}{mount}"
    if entry.automount:
        idle = f"TimeoutIdleSec={entry.idle}\n" if entry.idle else ""
        yield f"{name}.automount", f"{head}[Automount]\n{where}{idle}"
    wanted = f"{name}.{'automount' if entry.automount else 'mount'}"
    yield f"local-fs.target.wants/{wanted}", f"../{wanted}"


def generate(config: str, folder: str) -> list[str]:
    """Write the units of every *.conf in `config` into `folder`; a line for each file that is broken."""
    complaints = []
    try:
        names = sorted(name for name in os.listdir(config) if name.endswith(".conf") and name[0] != ".")
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"{config}: {error.strerror}"]
    elsewhere = _mountpoints_of(FSTAB) if names else set()
    for name in names[:FILES]:
        path = os.path.join(config, name)
        try:
            entry = read(name.removesuffix(".conf"), _text(path))
            if entry.mountpoint in elsewhere:
                raise BrokenFileError(f"{FSTAB} has {entry.mountpoint} already")
            _write(entry, folder)
        except BrokenFileError as error:
            complaints.append(f"{path}:{error.line}: {error}" if error.line else f"{path}: {error}")
        except OSError as error:
            complaints.append(f"{path}: {error.strerror}")
    if len(names) > FILES:
        complaints.append(f"{config}: more than {FILES} files; those from {names[FILES]} on are left out")
    return complaints


def _mountpoints_of(fstab: str) -> set[str]:
    """The mount points in fstab(5): systemd-fstab-generator writes its units at the same time, and might come second."""
    try:
        with open(fstab, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.split() for line in file if not line.lstrip().startswith("#")]
    except OSError:
        return set()
    places = [_OCTAL.sub(lambda match: chr(int(match[1], 8)), words[1]) for words in lines if len(words) > 1]
    return {os.path.normpath(place) for place in places}


def _text(path: str) -> str:
    """The content of a file. Raises BrokenFileError, OSError."""
    # A FIFO must not hold the boot up.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        raw = file.read(FILE_BYTES + 1) or b""
    if len(raw) > FILE_BYTES:
        raise BrokenFileError(f"longer than {FILE_BYTES >> 10} KiB")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BrokenFileError("not UTF-8", raw.count(b"\n", 0, error.start) + 1) from None


def _write(entry: Entry, folder: str) -> None:
    """Write all units of an entry, or none. Raises BrokenFileError, OSError."""
    with contextlib.ExitStack() as undo:
        for name, content in units(entry):
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                if content.endswith("\n"):
                    with open(path, "x", encoding="utf-8") as file:
                        undo.callback(os.unlink, path)
                        file.write(content)
                else:
                    os.symlink(content, path)
                    undo.callback(os.unlink, path)
            except FileExistsError:
                raise BrokenFileError(f"another file has {entry.mountpoint} already") from None
        undo.pop_all()


def _report(lines: Sequence[str]) -> None:
    """Tell the kernel's log, since the journal may wait for units that wait for this; and who started it by hand."""
    with contextlib.suppress(OSError):  # a container may have none
        log = os.open(KERNEL_LOG, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            for line in lines:
                os.write(log, f"<{LOG_DAEMON | LOG_ERR}>imagefs-generator[{os.getpid()}]: {line}\n".encode())
        finally:
            os.close(log)
    for line in lines:
        print(f"imagefs-generator: {line}", file=sys.stderr)


def main(folders: Sequence[str]) -> int:
    """Run the generator with the folders that systemd names; 0, or 1 when a file was broken."""
    if len(folders) not in (1, 3):
        print("usage: imagefs systemd-generator FOLDER [EARLY LATE]", file=sys.stderr)
        return USAGE
    complaints = generate(CONFIG, folders[0])
    _report(complaints)
    return ERROR if complaints else 0
