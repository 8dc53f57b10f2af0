"""Putting files where a system or a desktop looks for them, and taking away exactly those again.

What was put somewhere is kept in a record, a JSON file: `files` maps each path to the SHA-256 of what was written (of a
link: of its target), `folders` lists the folders that had to be made. The record is written before the files, and has both
sums of a file until it was replaced, so that whatever ends an installation half-way, nothing is left that is not
known. A file that is there and not in the record is somebody else's, and so is one that is no longer as it was written:
neither is overwritten nor removed.
"""

import contextlib
import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

VERSION = 1


class Item(NamedTuple):
    """A file to be put at `path` (absolute): its content and mode, or the target of a link."""

    path: str
    content: bytes
    mode: int = 0o644
    is_link: bool = False

    @property
    def digest(self) -> str:
        """What the record keeps of it."""
        return _digest(self.content)


class Step(NamedTuple):
    """One thing that was done or would be: `verb` is write, keep, remove or refuse."""

    verb: str
    path: str


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest_there(path: str) -> str | None:
    """The digest of what is at a path; None when nothing is, "" of what is neither a file nor a link."""
    try:
        if os.path.islink(path):
            return _digest(os.fsencode(os.readlink(path)))
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return ""
        with open(path, "rb") as file:
            return _digest(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return None


@dataclass
class Record:
    """What was put where; `path` is the record's own file, None for an installation that others keep a record of."""

    path: str | None
    files: dict[str, list[str]] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: str | None) -> "Record":
        """The record in a file, an empty one where there is none. Raises OSError."""
        if path is None or not os.path.lexists(path):
            return cls(path)
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
            if found["version"] != VERSION:
                raise ValueError
            return cls(path, {path: list(sums) for path, sums in found["files"].items()}, list(found["folders"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise OSError(errno.EINVAL, "this record of what was installed cannot be read", path) from None

    def save(self) -> None:
        """Write the record; without files there is none. Raises OSError."""
        if self.path is None:
            return
        if self.files:
            self.folders += make_folders(os.path.dirname(self.path))
            text = json.dumps({"version": VERSION, "files": self.files, "folders": self.folders}, indent=1) + "\n"
            _write(Item(self.path, text.encode("utf-8", "surrogateescape")))
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)


def make_folders(path: str) -> list[str]:
    """Make a folder and those above it; the ones that were made, the outermost first. Raises OSError."""
    missing: list[str] = []
    while not os.path.isdir(path):
        missing.insert(0, path)
        path = os.path.dirname(path)
    for folder in missing:
        os.mkdir(folder, 0o755)
    return missing


def _write(item: Item) -> None:
    """Put a file at its place at once: nobody ever sees half of it."""
    temporary = tempfile.mktemp(prefix=".imagefs-", dir=os.path.dirname(item.path))  # noqa: S306 - made with O_EXCL
    try:
        if item.is_link:
            os.symlink(os.fsdecode(item.content), temporary)
        else:
            with open(temporary, "xb") as file:
                file.write(item.content)
                os.fchmod(file.fileno(), item.mode)
        os.rename(temporary, item.path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def install(items: Iterable[Item], record: Record, *, dry_run: bool = False) -> Iterator[Step]:
    """Put the items in their places, and take away what an earlier version left; what is done is said as it is done.

    Raises OSError; what was written until then is in the record.
    """
    wanted = {item.path: item for item in items}
    there = {path: _digest_there(path) for path in {*wanted, *record.files}}
    ours = [path for path in wanted if there[path] is None or there[path] in record.files.get(path, ())]
    if not dry_run:
        record.files |= {path: [*record.files.get(path, ()), wanted[path].digest] for path in ours}
        record.save()
    for path, item in wanted.items():
        if there[path] == item.digest:
            yield Step("keep", path)
        elif path not in ours:
            yield Step("refuse", path)
        else:
            if not dry_run:
                record.folders += make_folders(os.path.dirname(path))
                record.save()
                _write(item)
            yield Step("write", path)
    for path in sorted(record.files.keys() - wanted.keys()):
        yield from _remove(path, record, there[path], dry_run=dry_run)
    if not dry_run:
        record.files |= {path: [wanted[path].digest] for path in ours}
        record.save()


def uninstall(record: Record, *, dry_run: bool = False) -> Iterator[Step]:
    """Take away the files of the record, and then itself. The folders stay for `remove_folders`. Raises OSError."""
    for path in sorted(record.files):
        yield from _remove(path, record, _digest_there(path), dry_run=dry_run)
    if not dry_run:
        record.save()


def remove_folders(record: Record, generated: Collection[str]) -> None:
    """Remove the folders that were made and hold nothing now, or files alone that others generated from ours."""
    for folder in sorted(record.folders, key=len, reverse=True):
        with contextlib.suppress(OSError):  # somebody else's files are in it by now
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: not entry.is_dir(follow_symlinks=False))
            if all(entry.is_dir(follow_symlinks=False) or entry.name in generated for entry in entries):
                for entry in entries:  # folders first: one that is not empty ends it before anything is gone
                    (os.rmdir if entry.is_dir(follow_symlinks=False) else os.unlink)(entry.path)
            os.rmdir(folder)


def _remove(path: str, record: Record, there: str | None, *, dry_run: bool) -> Iterator[Step]:
    """Remove a file of the record if it is as it was written; it leaves the record in any case."""
    is_ours = there in record.files[path]
    if not dry_run:
        if is_ours:
            os.unlink(path)
        del record.files[path]
    if there is not None:
        yield Step("remove" if is_ours else "refuse", path)
