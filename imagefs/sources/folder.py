"""The folder an image lies in: the only place where its parts are looked for."""

import os
import stat
import unicodedata
from collections.abc import Iterator

from imagefs.errors import MissingPartError, OutsideError
from imagefs.readers import Reader
from imagefs.sources.local import FileSource, open_source


def _folded(name: str) -> str:
    """A name as file systems that ignore case compare it (macOS stores accents decomposed)."""
    return unicodedata.normalize("NFC", name).casefold()


class Folder:
    """Finds and opens the parts that an image names (a BIN, a split, a WAV).

    Only files at or below this folder are opened: no absolute path, no `..`, no symbolic link that leads out. What was
    opened is remembered, so that one file named twice is one source, and closed with the image.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)
        self._open: dict[str, FileSource] = {}
        self._listed: dict[str, dict[str, str]] = {}  # folder below this one -> folded name -> name

    def names(self) -> list[str]:
        """The names in the folder, sorted; empty when it cannot be listed."""
        try:
            return sorted(os.listdir(self.path))
        except OSError:
            return []

    def find(self, name: str) -> str | None:
        """The path of the file below the folder that `name` means, None when there is none.

        As written, with `\\` as `/`, then without regard to case and to how accents are composed. Raises OutsideError for a
        name that leads out of the folder, and for a device or a pipe in it.
        """
        parts = self._parts(name)
        found = ""
        for part in parts:
            here = os.path.join(self.path, found)
            if os.path.lexists(os.path.join(here, part)):
                found = os.path.join(found, part)
                continue
            same = self._listing(found).get(_folded(part))
            if same is None:
                return None
            found = os.path.join(found, same)
        return found if self._is_file(found) else None

    def _listing(self, below: str) -> dict[str, str]:
        """The names in a folder by what they are without regard to case. Listed once: a descriptor may name many files."""
        if below not in self._listed:
            try:
                names = sorted(os.listdir(os.path.join(self.path, below)), reverse=True)
            except OSError:
                names = []
            self._listed[below] = {_folded(name): name for name in names}
        return self._listed[below]

    def forget_names(self) -> None:
        """Let go of the names in the folder, which may be many: all parts are found."""
        self._listed.clear()

    def _parts(self, name: str) -> list[str]:
        if "\0" in name:
            raise OutsideError(f"it names a part with a NUL in its name, {name!r}")
        plain = name if os.path.lexists(os.path.join(self.path, name)) and "/" not in name else name.replace("\\", "/")
        if plain.startswith("/") or (plain[1:2] == ":" and plain[2:3] == "/"):
            raise OutsideError(f"it names {name!r}, an absolute path; only files beside the image are opened")
        parts = [part for part in plain.split("/") if part not in ("", ".")]
        if ".." in parts or not parts:
            raise OutsideError(
                f"it names {name!r}, which leaves the image's folder; only files beside the image are opened"
            )
        return parts

    def _is_file(self, relative: str) -> bool:
        full = os.path.realpath(os.path.join(self.path, relative))
        if os.path.commonpath([full, self.path]) != self.path:
            raise OutsideError(f"its part {relative!r} is a link that leaves the image's folder")
        try:
            mode = os.stat(full).st_mode
        except OSError:
            return False
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OutsideError(f"its part {relative!r} is a device, pipe or socket; only files are opened")
        return stat.S_ISREG(mode)

    def open(self, name: str) -> Reader:
        """Open a part by the name that the image gives it. Raises MissingPartError, OutsideError, OSError."""
        return self.open_file(name)

    def open_file(self, name: str) -> FileSource:
        """The same, as the file that it is."""
        found = self.find(name)
        if found is None:
            raise MissingPartError(name, [self.path])
        full = os.path.realpath(os.path.join(self.path, found))
        if full not in self._open:
            self._open[full] = open_source(full, may_be_empty=True)
        return self._open[full]

    def adopt(self, path: str, source: FileSource) -> None:
        """Remember a source opened elsewhere, so that it is shared and closed here."""
        self._open.setdefault(os.path.realpath(path), source)

    def sources(self) -> Iterator[FileSource]:
        """All that was opened."""
        return iter(list(self._open.values()))

    def close(self) -> None:
        """Close all that was opened."""
        for source in self._open.values():
            source.close()
        self._open.clear()

    def forget(self) -> None:
        """Let go of all without closing: somebody else has adopted it."""
        self._open.clear()
