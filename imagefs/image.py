"""From a path to an Image, layer by layer: source, wrappers, container, volumes, file systems, tree."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from imagefs import limits
from imagefs.disc import Disc, Track
from imagefs.errors import DamagedError, ImageError, NotAnImageError, NotFoundError, message_of
from imagefs.formats import Answer, Candidate, Format, Layer, State, formats, matches
from imagefs.lazy import cached_property
from imagefs.nodes import BootImage, FileSystem, Node
from imagefs.options import Options
from imagefs.readers import Reader
from imagefs.sources import FileSource, Folder, open_source, open_split
from imagefs.tree import MOST_MEMBERS, RICHNESS, Content, LazyFolder, Shown, arrange, richest, show
from imagefs.tree.audio import AudioFiles
from imagefs.tree.meta import META_NAME, meta_files
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
        self._unused: ImageError | OSError | None = None
        """Why a descriptor beside the file is not used."""
        self._misnamed = ""
        """What it is by its name alone."""
        self._folder = Folder(os.path.dirname(os.path.abspath(path)))
        try:
            self.content: Reader | Disc = self._open()
        except BaseException:
            self._folder.close()
            raise
        self._folder.forget_names()

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
        stem, dot, extension = name.lower().rpartition(".")
        extensions = {extension if dot else ""}
        if any(extension in entry.extensions for entry in formats(Layer.WRAPPER)):
            # disc.bin.ecm beside disc.cue; a .bin may be a wrapper too
            extensions.add(stem.rpartition(".")[2] if "." in stem else "")
        for entry, other in self._descriptors(extensions):
            if self._describes(entry, other, name):
                steps = list(self.steps)
                try:
                    return self._unwrap(Candidate(self._folder.open(other), other, self._folder))
                except (ImageError, OSError) as error:
                    self.warnings.append(f"{other} beside it is not used: {message_of(error)}")
                    self._unused = self._unused or error
                    self.steps = steps
        return None

    def _descriptors(self, extensions: set[str]) -> Iterator[tuple[Format, str]]:
        """The files beside it that by their names describe data with one of these extensions, and their formats."""
        meant = [
            entry for entry in formats(Layer.CONTAINER) if entry.parts and not extensions.isdisjoint(entry.describes)
        ]
        ends = {entry.name: tuple(f".{extension}" for extension in entry.extensions) for entry in meant}
        every = tuple(end for each in ends.values() for end in each)
        names = [name for name in self._folder.names() if name.lower().endswith(every)] if meant else []
        for entry in meant:
            for name in names[: limits.DISC_TRACKS]:
                if name.lower().endswith(ends[entry.name]):
                    yield entry, name

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
            entry = found[0][1] if found else None
            if not self.steps and (entry is None or entry.name == "raw"):
                self._warn_of_name(candidate)
            if entry is None:
                return candidate.reader
            opened = self._open_format(entry, candidate)
            self.steps.append(entry)
            if isinstance(opened, Disc):
                self.warnings += opened.warnings
                return opened.with_swapped_audio() if self.options.swap_audio else opened
            candidate = Candidate(opened, candidate.name.rpartition(".")[0] or candidate.name, self._folder)
        raise DamagedError(None, f"more than {limits.NESTING_DEPTH} images lie inside each other")

    def _warn_of_name(self, candidate: Candidate) -> None:
        """What has a format's name and not its marks is perhaps a part of such an image: it is read, with a word."""
        every = (*formats(Layer.WRAPPER), *formats(Layer.CONTAINER))
        meant = [entry for entry in every if candidate.extension in entry.extensions]
        if meant and not any(entry.name == "raw" for entry in meant):
            titles = " or ".join(entry.title for entry in meant)
            self._misnamed = f"by its name it is {titles}, but has no mark of one (is it cut off?)"
            self.warnings.append(f"{self._misnamed}; it is read as plain sectors")

    def _open_format(self, entry: Format, candidate: Candidate, options: Options | None = None) -> Any:
        try:
            return entry.open(candidate, options or self.options)
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

    @cached_property
    def volumes(self) -> Sequence[Volume]:
        """The places that may hold a file system, those of the newest session first; of a set, those of its first disc."""
        if not isinstance(self.content, Disc):
            return self._parts_of(self.content)
        found = []
        for session in self.content.sessions if self.content.is_set else reversed(self.content.sessions):
            space = self.content.space_until(session.number)
            for track in session.tracks:
                if track.is_data and track.length > 0:
                    found.append(Volume(track.number, space, track.start * 2048, track.mode, session.number))
        return tuple(found)

    def _parts_of(self, content: Reader) -> Sequence[Volume]:
        """The partitions of a flat image, or all of it as one volume."""
        candidate = Candidate(content, "", self._folder)
        found = matches(candidate, Layer.VOLUME, self.answers)
        if not found:
            return (Volume(1, content),)
        parts: Sequence[Volume] = self._open_format(found[0][1], candidate)
        return parts

    @cached_property
    def filesystems(self) -> Sequence[tuple[Volume, FileSystem]]:
        """The volumes that hold a file system, opened; of several sessions, the newest that has one (or `-o session=`).

        Raises the error of the first volume that was recognised and could not be opened, when none could.
        """
        shown: list[tuple[Volume, FileSystem]] = []
        failed: ImageError | OSError | None = None
        wanted = self._wanted_volumes()
        for volume in wanted:
            if shown and volume.session != shown[0][0].session and not self._shows_all_sessions:
                break
            try:
                filesystem = self.open_filesystem(volume)
            except (ImageError, OSError) as error:  # a sector that a disk cannot give spoils one volume alone
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
        """The areas of a GD-ROM and the discs of a set are for themselves; the sessions of other discs are states of one."""
        return self.disc is not None and (self.disc.is_set or self.disc.medium == "GD-ROM")

    @property
    def _has_table(self) -> bool:
        """Whether a table of contents tells the sessions; `-o session=` then means those, else states of a volume."""
        return self.disc is not None and len(self.disc.sessions) > 1

    def _wanted_volumes(self) -> Sequence[Volume]:
        options, volumes = self.options, self.volumes
        if options.session is not None and self.disc is not None and self._has_table:
            if options.session not in [session.number for session in self.disc.sessions]:
                raise NotFoundError(f"there is no session {options.session}; the disc has {len(self.disc.sessions)}")
            volumes = [v for v in volumes if v.session == options.session]
        if options.volume is not None:
            volumes = [v for v in volumes if v.number == options.volume]
            if not volumes:
                numbers = ", ".join(str(v.number) for v in self.volumes) or "none"
                raise NotFoundError(f"there is no volume {options.volume}; there are: {numbers}")
        return volumes

    @property
    def _volume_options(self) -> Options:
        """The options for what is in a volume."""
        return replace(self.options, session=None) if self._has_table else self.options

    def _probe_volume(self, volume: Volume) -> tuple[Candidate, list[Format]]:
        """The volume as a candidate, and what it holds: one file system, or several that describe the same files."""
        candidate = Candidate(volume.reader, "", None, volume.origin)
        found = [entry for _, entry in matches(candidate, Layer.FILESYSTEM, self.answers)]
        return candidate, [entry for entry in found if entry.trees] if found and found[0].trees else found[:1]

    def open_filesystem(self, volume: Volume) -> FileSystem | None:
        """The richest tree of a volume, None when nothing recognises it."""
        candidate, found = self._probe_volume(volume)
        if found and found[0].trees:
            return self._open_richest(found, candidate)
        opened: FileSystem | None = self._open_format(found[0], candidate, self._volume_options) if found else None
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
                opened.append(self._open_format(entry, candidate, self._volume_options))
            except ImageError as error:
                failed.append((entry, error))
        return richest(opened, failed)

    # --- all of it at once ------------------------------------------------------------------------------------------

    @cached_property
    def all_trees(self) -> Sequence[Shown]:
        """Every tree of every state of every volume (or of those that the options choose), opened.

        What cannot be opened is a warning. Raises an error of one of them when nothing can. Of more than MOST_MEMBERS only
        the newest are opened.
        """
        shown: list[Shown] = []
        failed: list[ImageError] = []
        for volume, entry, state in self._newest_states(failed):
            trees = self._trees(entry, state, failed)
            shown[:0] = [Shown(volume.number, filesystem, volume.session, state.name) for filesystem in trees]
            if max(len(shown), len(failed)) > MOST_MEMBERS:
                self.warnings.append(f"of more than {MOST_MEMBERS} trees the newest are shown")
                break
        self.warnings += [message_of(error) for error in reversed(failed)]
        if not shown and failed:
            raise failed[-1]
        if not shown and self.options.tree is not None:
            raise NotFoundError(f"no tree={self.options.tree} is found in it")
        shown = shown[-MOST_MEMBERS:]
        self.warnings += [line for each in shown for line in each.filesystem.warnings]
        return shown

    def _newest_states(self, failed: list[ImageError]) -> Iterator[tuple[Volume, Format, State]]:
        """The states of all volumes, the newest first."""
        for volume in sorted(self._wanted_volumes(), key=lambda volume: (-volume.session, -volume.number)):
            candidate, found = self._probe_volume(volume)
            for entry in reversed(found):
                for state in reversed(self._states(entry, candidate, failed)):
                    yield volume, entry, state

    def _states(self, entry: Format, candidate: Candidate, failed: list[ImageError]) -> Sequence[State]:
        """The states of a volume; one without a name where it has no others."""
        only = State("", lambda options: self._open_format(entry, candidate, options))
        if self._volume_options.session is not None or entry.states is None:
            return [only]
        try:
            return entry.states(candidate) or [only]
        except ImageError as error:
            failed.append(error)
            return [only]

    def _trees(self, entry: Format, state: State, failed: list[ImageError]) -> Iterator[FileSystem]:
        """The trees of one state of a volume that can be opened."""
        options = self._volume_options
        if options.tree is not None and options.tree not in entry.trees:
            return
        try:
            first: FileSystem = state.open(options)
        except ImageError as error:
            failed.append(error)
            return
        if options.tree is not None or not first.trees:
            yield first
            return
        for tree in first.trees:
            try:
                yield first if tree == first.tree else state.open(replace(options, tree=tree))
            except ImageError as error:
                failed.append(error)

    def trees_of(self, volume: Volume) -> tuple[list[str], list[str]]:
        """(the trees that a volume has, the richest first; its states, the oldest first), as far as they can be opened."""
        candidate, found = self._probe_volume(volume)
        options = replace(self._volume_options, tree=None)
        trees: list[str] = []
        states: list[str] = []
        for entry in found:
            with contextlib.suppress(ImageError):
                filesystem: FileSystem = self._open_format(entry, candidate, options)
                trees += filesystem.trees or ([filesystem.tree] if filesystem.tree else [])
                states += () if entry.states is None else [state.name for state in entry.states(candidate)]
        return sorted(trees, key=lambda tree: RICHNESS.index(tree) if tree in RICHNESS else len(RICHNESS)), states

    # --- the tree ---------------------------------------------------------------------------------------------------

    def _audio(self) -> Mapping[int, Sequence[Track]]:
        """The audio tracks that hold anything, by session; of the one that is asked for."""
        if self.disc is None or self.options.volume is not None:
            return {}
        wanted = self.options.session if self._has_table else None
        return {
            session.number: [track for track in session.tracks if not track.is_data and track.length > 0]
            for session in self.disc.sessions
            if wanted in (None, session.number)
        }

    @cached_property
    def tree(self) -> FileSystem:
        """What a mount shows. Raises NotAnImageError when nothing in the image can be shown."""
        extras: dict[bytes, Content] = {META_NAME: self._meta_folder()} if self.options.meta else {}
        if self.options.layout == "tree":
            return self._arranged(extras)
        volumes = [Shown(volume.number, filesystem, volume.session) for volume, filesystem in self.filesystems]
        files: Mapping[bytes, Reader] = {}
        if self.disc is not None and (self.options.layout != "flat" or not volumes):
            tracks = [track for each in self._audio().values() for track in each]
            audio = AudioFiles(self.disc, tracks, self.options.audio)
            files = audio.plain() if volumes else audio.titled()
        self._refuse_nothing(bool(volumes or files))
        return show(volumes, {**files, **extras}, self.options.layout, self.source.mtime)

    def _arranged(self, extras: Mapping[bytes, Content]) -> FileSystem:
        shown, audio = self.all_trees, {}
        if self.disc is not None:
            for session, tracks in self._audio().items():
                audio[session] = AudioFiles(self.disc, tracks, self.options.audio).titled()
        self._refuse_nothing(bool(shown or any(audio.values())))
        word = b"disc" if self.disc is not None and self.disc.is_set else b"session"
        return arrange(shown, audio, extras, self.source.mtime, word)

    def _meta_folder(self) -> LazyFolder:
        from imagefs.describe import (
            facts_of,
            json_of,
        )  # here, since a mount may later not open a file that is no image's

        def make() -> Mapping[bytes, Content]:
            return meta_files(json_of(facts_of(self)[0]), self.disc, self._boot_images(), self._unknown_volumes)

        return LazyFolder(make)

    def _boot_images(self) -> list[BootImage]:
        """Those of the volumes that are shown, whichever of their sides is."""
        found: list[BootImage] = []
        for volume in self._shown_volumes():
            candidate, entries = self._probe_volume(volume)
            for entry in entries:
                with contextlib.suppress(ImageError):
                    filesystem = self._open_format(entry, candidate, replace(self._volume_options, tree=None))
                    found += filesystem.boot_images()
        return found

    def _shown_volumes(self) -> Sequence[Volume]:
        try:
            return [volume for volume, _ in self.filesystems]
        except ImageError:
            return []

    def _unknown_volumes(self) -> list[int]:
        """The numbers of the volumes in which no file system is known."""
        return [volume.number for volume in self.volumes if not self._probe_volume(volume)[1]]

    def _refuse_nothing(self, there_is_something: bool) -> None:
        """Raise NotAnImageError for an image without content; with `-o meta` the tracks of a disc are content."""
        if not there_is_something and not (self.options.meta and self.disc is not None and self.disc.tracks):
            raise self._unused or NotAnImageError(self._why_nothing())

    def _why_nothing(self) -> str:
        if self.steps and self.steps[-1].name != "raw":
            return f"it is {self.steps[-1].title}, but no file system that imagefs reads is in it"
        if self._misnamed:
            return f"nothing in it is known to imagefs; {self._misnamed}"
        extension = self.path.rpartition(".")[2].lower()
        described = (entry for entry in formats(Layer.CONTAINER) if extension in entry.describes)
        found = [entry.extensions[0] for entry in described if extension not in entry.extensions]
        partners = list(dict.fromkeys(found))
        if partners and extension != "iso":
            ends = " or ".join(f".{end}" for end in partners)
            return (
                f"nothing in it is known to imagefs; if it is the data of an image, put its {ends} beside it "
                f"(looked in {self._folder.path})"
            )
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
