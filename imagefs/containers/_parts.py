"""The data files that a descriptor names or stands beside. Only files at or below its own folder are opened."""

from collections.abc import Sequence

from imagefs import limits
from imagefs.containers.cue.files import names_to_try
from imagefs.containers.cue.sheet import FileEntry, decode
from imagefs.errors import DamagedError, MissingPartError
from imagefs.formats import Candidate, find_part, open_part
from imagefs.options import Options
from imagefs.readers import Reader


def read_text(candidate: Candidate, options: Options) -> tuple[str, str]:
    """(text, codec) of a text descriptor, which is at most 1 MiB long. Raises DamagedError, OSError."""
    size = candidate.reader.size
    if size > limits.DESCRIPTOR_BYTES:
        raise DamagedError(None, f"a text of {size} bytes; a descriptor has at most {limits.DESCRIPTOR_BYTES}")
    return decode(candidate.exactly(0, size), options.iocharset)


def stem_of(candidate: Candidate) -> str:
    """The descriptor's name without its last extension."""
    return candidate.name.rpartition(".")[0] or candidate.name


def find_named(candidate: Candidate, name: str, encoding: str = "utf-8") -> str | None:
    """The path below the folder of a file that is named in a text of the codec `encoding`, None when it is not there.

    As written, then its last part beside the descriptor; with `\\` as `/`, in any case; also in a wrapper.
    Raises OutsideError.
    """
    if candidate.folder is None:
        return None
    for each in names_to_try(FileEntry(0, name, ""), encoding):
        found = find_part(candidate.folder, each)
        if found:
            return found
    return None


def find_beside(candidate: Candidate, extensions: Sequence[str]) -> str | None:
    """The file with the descriptor's stem and the first of the extensions for which one is there."""
    for extension in extensions:
        found = find_part(candidate.folder, f"{stem_of(candidate)}.{extension}") if candidate.folder else None
        if found:
            return found
    return None


def open_found(candidate: Candidate, found: str | None, name: str) -> Reader:
    """Open what was found of the file called `name`. Raises MissingPartError, DamagedError, OutsideError, OSError."""
    if found is None or candidate.folder is None:
        raise MissingPartError(name, [candidate.folder.path] if candidate.folder else [])
    if found == candidate.name:
        raise DamagedError(None, "the descriptor names itself as its data")
    return open_part(candidate.folder, found, Options())
