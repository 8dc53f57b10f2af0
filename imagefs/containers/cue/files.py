"""The files that a CUE sheet names: finding them beside it, and the stored sectors in them.

Looked for, until one is there: the name as written (with `\\` as `/`, in any case, also in the sheet's own code page); the
last part of a relative path or of a Windows path beside the sheet; each of these also in a wrapper (x.bin.ecm); and when
the sheet has one BINARY file alone, the sheet's own name with the extension of a data file, then the only data file in the
folder. The last two are warned of.
Absolute paths and `..` lead out of the folder and are refused.
"""

import re
from typing import NamedTuple

from imagefs import formats
from imagefs.containers.cue.sheet import FileEntry, Sheet, as_written
from imagefs.disc.audio import samples_of, whole_sectors
from imagefs.errors import DamagedError, ImageError, MissingPartError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import Reader
from imagefs.sources import Folder

DATA_EXTENSIONS = ("bin", "img", "iso", "raw", "mdf", "dat")
_BINARY = ("BINARY", "MOTOROLA")
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\")
_SEPARATOR = re.compile(r"[\\/]")


def names_to_try(entry: FileEntry, encoding: str) -> list[str]:
    """The names under which a FILE may lie in the folder, the likeliest first."""
    names = [] if _WINDOWS_PATH.match(entry.name) else [entry.name]
    base = _SEPARATOR.split(entry.name)[-1]
    if base and not entry.name.startswith("/") and ".." not in _SEPARATOR.split(entry.name):
        names.append(base)
    names += [as_written(name, encoding) for name in names]
    return list(dict.fromkeys(names))


def _plausible(folder: Folder, stem: str) -> str | None:
    """The data file that a sheet named `stem`.cue most likely means."""
    for extension in DATA_EXTENSIONS:
        found = folder.find(f"{stem}.{extension}") if stem else None
        if found:
            return found
    there = [name for name in folder.names() if name.rpartition(".")[2].lower() in DATA_EXTENSIONS]
    return folder.find(there[0]) if len(there) == 1 else None


def find(entry: FileEntry, sheet: Sheet, candidate: Candidate) -> str | None:
    """The path below the folder of a sheet's file, None when it is not there. Raises OutsideError."""
    folder = candidate.folder
    if folder is None:
        return None
    for name in names_to_try(entry, sheet.encoding):
        found = formats.find_part(folder, name)
        if found:
            return found
    if sum(other.kind in _BINARY for other in sheet.files) != 1 or entry.kind not in _BINARY:
        return None
    found = _plausible(folder, candidate.name.rpartition(".")[0])
    if found:
        sheet.warn(entry.line, f"{entry.name!r} is not there; {found!r} is used instead")
    return found


class Part(NamedTuple):
    """What one FILE line gives: its stored sectors, or why they cannot be read."""

    reader: Reader | None
    is_big_endian: bool = False
    error: ImageError | None = None
    is_audio: bool = False
    """It is an audio file, so there is no data track in it."""


def open_part(entry: FileEntry, sheet: Sheet, candidate: Candidate) -> Part:
    """Open a sheet's file. Raises MissingPartError, OutsideError, DamagedError, OSError."""
    found = find(entry, sheet, candidate)
    if found is None or candidate.folder is None:
        raise MissingPartError(entry.name, [candidate.folder.path] if candidate.folder else [])
    if found == candidate.name:
        raise DamagedError(None, f"line {entry.line}: the sheet names itself as its data")
    return _part_of(formats.open_part(candidate.folder, found, Options()), entry)


def _part_of(source: Reader, entry: FileEntry) -> Part:
    """By what the file begins with: rippers write WAVE for every audio file, and BINARY for a WAV."""
    try:
        found = samples_of(source)
    except ImageError as error:
        return _unreadable(entry, str(error))
    if found is not None:
        return Part(whole_sectors(found.reader), found.is_big_endian, is_audio=True)
    if entry.kind not in (*_BINARY, "WAVE"):
        return _unreadable(entry, f"it does not begin as audio in {entry.kind}")
    return Part(source, is_big_endian=entry.kind == "MOTOROLA")


def _unreadable(entry: FileEntry, why: str) -> Part:
    return Part(None, error=UnsupportedError(f"{entry.name!r}: {why}"))
