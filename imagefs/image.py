"""From a path to an Image, layer by layer: source, wrappers, container, volumes, file systems, tree."""

import contextlib
import functools
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from imagefs import limits
from imagefs.disc import Disc, Track
from imagefs.disc.wav import wav_of
from imagefs.errors import DamagedError, ImageError, NotAnImageError, NotFoundError, UsageError, message_of
from imagefs.formats import Answer, Candidate, Format, Layer, formats, matches
from imagefs.nodes import FileSystem, Node
from imagefs.options import Options
from imagefs.readers import Reader
from imagefs.sources import FileSource, Folder, open_source, open_split
from imagefs.tree import richest, show
from imagefs.volumes import Volume


class Image:
    """An opened image. Nothing but its outer structure is read before `tree` is asked for.

    `steps` are the formats that were taken off, from the outside in; `content` is what the last one gave, a flat Reader or a
    Disc. What the probes answered goes to `answers`. Closing it closes every file it opened. A context manager.
    """

    def __init__(self, path: str, options: Options, answers: list[Answer] | None = None) -> None:
        self.path, self.options = path, options
        self.answers: list[Answer] = [] if answers is None else answers
        self.warnings: list[str] = []
        self.steps: list[Format] = []
        self._folder = Folder(os.path.dirname(os.path.abspath(path)))
        try:
            self.content: Reader | Disc = self._open()
        except BaseException:
            self._folder.close()
            raise

    # --- from the file to the content -------------------------------------------------------------------------------

    def _open(self) -> Reader | Disc:
        source = open_source(self.path)
        self._folder.adopt(self.path, source)
        name = os.path.basename(os.path.realpath(self.path) if os.path.islink(self.path) else self.path)
        if os.path.islink(self.path):  # the parts lie beside the file itself
            self._folder, former = Folder(os.path.dirname(os.path.realpath(self.path))), self._folder
            self._folder.adopt(os.path.realpath(self.path), source)
            former.forget()
        self.source = source
        described = self._open_by_descriptor(name)
        if described is not None:
            return described
        reader = open_split(self._folder, name) or source
        if reader is not source:
            name = name.rpartition(".")[0]
        return self._unwrap(Candidate(reader, name, self._folder))

    def _open_by_descriptor(self, name: str) -> Reader | Disc | None:
        """The content through a descriptor beside the file (a CUE beside its BIN), None when there is none that works."""
        stem, _, extension = name.lower().rpartition(".")
        extensions = {extension}
        if any(extension in entry.extensions for entry in formats(Layer.WRAPPER)):
            extensions.add(stem.rpartition(".")[2])  # disc.bin.ecm beside disc.cue; a .bin may be a wrapper too
        for entry in formats(Layer.CONTAINER):
            if entry.parts is None or extensions.isdisjoint(entry.describes):
                continue
            for other in self._folder.names()[: limits.DISC_TRACKS]:
                if other.rpartition(".")[2].lower() in entry.extensions and self._describes(entry, other, name):
                    steps = list(self.steps)
                    try:
                        return self._unwrap(Candidate(self._folder.open(other), other, self._folder))
                    except (ImageError, OSError) as error:
                        self.warnings.append(f"{other} beside it is not used: {message_of(error)}")
                        self.steps = steps
        return None

    def _describes(self, entry: Format, descriptor: str, name: str) -> bool:
        """Whether a descriptor in the folder names the file `name`. Those that do not, or cannot be read, are let be."""
        try:
            with contextlib.closing(open_source(os.path.join(self._folder.path, descriptor))) as source:
                candidate = Candidate(source, descriptor, self._folder)
                parts = entry.parts(candidate) if entry.parts is not None and entry.probe(candidate) else ()
                return any(self._folder.find(part) == name for part in parts)
        except (ImageError, OSError):
            return False

    def _unwrap(self, candidate: Candidate) -> Reader | Disc:
        """Take off wrappers and containers until none fits. A format that matches and fails raises its own error."""
        for _ in range(limits.NESTING_DEPTH):
            found = matches(candidate, Layer.WRAPPER, self.answers) or matches(candidate, Layer.CONTAINER, self.answers)
            if not found:
                return candidate.reader
            entry = found[0][1]
            opened = self._open_format(entry, candidate)
            self.steps.append(entry)
            if isinstance(opened, Disc):
                self.warnings += opened.warnings
                return opened
            candidate = Candidate(opened, candidate.name.rpartition(".")[0] or candidate.name, self._folder)
        raise DamagedError(None, f"more than {limits.NESTING_DEPTH} images lie inside each other")

    def _open_format(self, entry: Format, candidate: Candidate) -> Any:
        try:
            return entry.open(candidate, self.options)
        except ImageError as error:
            for index, answer in enumerate(self.answers):
                if answer.format is entry and answer.candidate == candidate.name and answer.match:
                    self.answers[index] = answer._replace(error=message_of(error))
            raise

    # --- what it consists of ----------------------------------------------------------------------------------------

    @property
    def disc(self) -> Disc | None:
        """The disc, when the container describes one."""
        return self.content if isinstance(self.content, Disc) else None

    @property
    def raw(self) -> Reader:
        """The decoded sectors of the whole image, as `cat --raw` writes them."""
        return self.content.raw if isinstance(self.content, Disc) else self.content

    @functools.cached_property
    def volumes(self) -> Sequence[Volume]:
        """The places that may hold a file system, those of the newest session first."""
        if not isinstance(self.content, Disc):
            return (Volume(1, self.content),)
        space = self.content.space
        found = []
        for session in reversed(self.content.sessions):
            for track in session.tracks:
                if track.is_data and track.length > 0:
                    found.append(Volume(track.number, space, track.start * 2048, track.mode, session.number))
        return tuple(found)

    @functools.cached_property
    def filesystems(self) -> Sequence[tuple[Volume, FileSystem]]:
        """The volumes that hold a file system, opened; of several sessions, the newest that has one (or `-o session=`).

        Raises the error of the first volume that was recognised and could not be opened, when none could.
        """
        shown: list[tuple[Volume, FileSystem]] = []
        failed: ImageError | None = None
        wanted = self._wanted_volumes()
        for volume in wanted:
            if shown and volume.session != shown[0][0].session and not self._shows_all_sessions:
                break
            try:
                filesystem = self.open_filesystem(volume)
            except ImageError as error:
                failed = failed or error
                self.warnings.append(f"volume {volume.number}: {message_of(error)}")
                continue
            if filesystem is not None:
                self.warnings += filesystem.warnings
                shown.append((volume, filesystem))
        if not shown and failed is not None:
            raise failed
        return shown

    @property
    def _shows_all_sessions(self) -> bool:
        """The areas of a GD-ROM are discs of their own; the sessions of other discs are states of one."""
        return self.disc is not None and self.disc.medium == "GD-ROM"

    def _wanted_volumes(self) -> Sequence[Volume]:
        options, volumes = self.options, self.volumes
        if options.session is not None and isinstance(self.content, Disc) and len(self.content.sessions) > 1:
            volumes = [v for v in volumes if v.session == options.session]
            if not volumes:
                raise UsageError(
                    f"there is no session {options.session} with data; the disc has {len(self.content.sessions)}"
                )
        if options.volume is not None:
            volumes = [v for v in volumes if v.number == options.volume]
            if not volumes:
                numbers = ", ".join(str(v.number) for v in self.volumes) or "none"
                raise UsageError(f"there is no volume {options.volume}; there are: {numbers}")
        return volumes

    def open_filesystem(self, volume: Volume) -> FileSystem | None:
        """The richest tree of a volume, None when nothing recognises it."""
        candidate = Candidate(volume.reader, "", None, volume.origin)
        found = [entry for _, entry in matches(candidate, Layer.FILESYSTEM, self.answers)]
        if found and found[0].trees:
            return self._open_richest([entry for entry in found if entry.trees], candidate)
        opened: FileSystem | None = self._open_format(found[0], candidate) if found else None
        return opened

    def _open_richest(self, sides: Sequence[Format], candidate: Candidate) -> FileSystem:
        """Of file systems that describe the same files, the one that shows most, or that has the tree asked for."""
        wanted = [entry for entry in sides if self.options.tree in (None, *entry.trees)]
        if not wanted:
            titles = " and ".join(entry.title for entry in sides)
            raise NotFoundError(f"no tree={self.options.tree} is found in the volume; it is {titles}")
        opened: list[FileSystem] = []
        failed: list[tuple[Format, ImageError]] = []
        for entry in wanted:
            try:
                opened.append(self._open_format(entry, candidate))
            except ImageError as error:
                failed.append((entry, error))
        return richest(opened, failed)

    @property
    def audio(self) -> list[Track]:
        """The audio tracks that hold anything."""
        return [t for t in self.disc.tracks if not t.is_data and t.length > 0] if self.disc else []

    @functools.cached_property
    def tree(self) -> FileSystem:
        """What a mount shows. Raises NotAnImageError when nothing in the image can be shown."""
        volumes = [(volume.number, filesystem) for volume, filesystem in self.filesystems]
        extras = {}
        if self.options.layout != "flat" and self.options.volume is None:
            extras = {b"track%02d.wav" % track.number: wav_of(track.user) for track in self.audio}
        if not volumes and not extras:
            raise NotAnImageError(self._why_nothing())
        return show(volumes, extras, self.options.layout, self.source.mtime)

    def _why_nothing(self) -> str:
        if self.steps and self.steps[-1].name != "raw":
            return f"it is {self.steps[-1].title}, but no file system that imagefs reads is in it"
        return "nothing in it is known to imagefs; `imagefs info --why` tells what was tried"

    # --- use --------------------------------------------------------------------------------------------------------

    def find(self, path: str | bytes) -> Node:
        """The node at a path from the root; links are not followed. Raises NotFoundError."""
        raw = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
        node = self.tree.root
        for part in (p for p in raw.split(b"/") if p not in (b"", b".")):
            child = self.tree.lookup(node, part) if node.is_directory else None
            if child is None:
                raise NotFoundError(f"there is no {os.fsdecode(raw)!r} in it")
            node = child
        return node

    @property
    def sources(self) -> list[FileSource]:
        """Every file that was opened for this image."""
        return list(self._folder.sources())

    def close(self) -> None:
        """Close the files. Readers fail with OSError afterwards."""
        self._folder.close()

    def __enter__(self) -> "Image":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_image(path: str, options: Options | None = None, answers: list[Answer] | None = None) -> Image:
    """Open the image at `path`. What the probes answer is added to `answers`, also when none fits.

    Raises NotFoundError, NotAnImageError, DamagedError, MissingPartError, OutsideError, UnsupportedError, OSError.
    """
    return Image(os.fspath(path), options or Options(), answers)
