"""Which files of a folder are images, which of them belong together, and what they are called. By their names alone: no file
is opened.

A file is an image when its extension is one of a format's. Compressed files are (`disc.iso.gz`, not `notes.gz`) when what
they were before was one; of a numbered split the first part is, under the same rule (`disc.iso.001`, `disc.001`,
`disc.part01.daa`). Hidden files are none: programs write under such names what they rename when it is whole.

A data file belongs to a descriptor beside it (CUE, CCD, MDS ...) when it has the descriptor's name with an extension that
such descriptors stand beside (`x.cue`: `x.bin`, `x.bin.ecm`; `x.toc`: `x`; `x.bin.toc`: `x.bin`), or that name and a
track's number (`x (Track 2).bin`, `x-flat.vmdk`), or is nothing but a track's number (`track03.raw`) and only one descriptor
can mean it. Of two descriptors of one data file the first by the order of the formats counts, which is also the one that
opening the data file takes.

The folder is called after the file without its extensions, as `imagefs mount` calls it: people look for `Game`, not for
`Game.cue`. Of several with one name the later ones get ` (2)`, ` (3)` ...
"""

import functools
import re
from collections.abc import Collection, Container, Iterable
from typing import NamedTuple

from imagefs.formats import Format, Layer, formats
from imagefs.limits import NAME_BYTES

_SPLIT = re.compile(r"(.+)\.(\d{3})", re.DOTALL | re.ASCII)
_PART = re.compile(r"(.+)\.part(\d+)(\.[^.]+)", re.DOTALL | re.ASCII | re.IGNORECASE)
_IN_PARTS = frozenset((".daa", ".gbi", ".isz"))
"""Extensions that the further parts of an image have as well."""
_ANY_FILE = frozenset(("gz", "bgz", "xz", "bz2", "zst", "lz4"))
"""Extensions of wrappers that every kind of file may have."""
_ALONE = frozenset(("mdf",))
"""Extensions of data files that are an image without their descriptor, as BIN and IMG are, which are formats' own."""
_TRACK = re.compile(r"(?:[ ._-]*[(\[]?(?:track|session)[ ._-]*\d+[)\]]?|-flat|-[fs]\d{3})\Z", re.IGNORECASE)
_TRACK_ALONE = re.compile(r"track[ ._-]*\d+", re.IGNORECASE)


class Name(NamedTuple):
    """What a file's name tells."""

    stem: str
    """Without all that says what kind of file it is."""
    extension: str
    """In lower case, that of the image itself: iso of disc.iso.gz."""
    part: int = 0
    """The number in a split, 0 in one that begins with 0 and in what is none."""
    numbered: bool = False
    wrapped: bool = False


@functools.cache
def _extensions(layer: Layer) -> frozenset[str]:
    return frozenset(extension for entry in formats(layer) for extension in entry.extensions)


@functools.cache
def image_extensions() -> frozenset[str]:
    """What says that a file is an image, wrappers not counted."""
    return _extensions(Layer.CONTAINER) | _extensions(Layer.VOLUME) | _extensions(Layer.FILESYSTEM) | _ALONE


@functools.cache
def descriptors() -> tuple[Format, ...]:
    """The formats that name other files."""
    return tuple(entry for entry in formats(Layer.CONTAINER) if entry.parts is not None)


@functools.cache
def _data_extensions() -> frozenset[str]:
    return frozenset(extension for entry in descriptors() for extension in entry.describes)


@functools.lru_cache(1 << 15)
def parse(name: str) -> Name:
    """A file's name taken apart."""
    number, numbered, wrapped = 0, False, False
    if match := _SPLIT.fullmatch(name):
        name, number, numbered = match[1], int(match[2]), True
    elif (match := _PART.fullmatch(name)) and match[3].lower() in _IN_PARTS:
        name, number, numbered = match[1] + match[3], int(match[2]), True
    stem, dot, extension = name.rpartition(".")
    extension = extension.lower() if dot and stem else ""
    if extension in _extensions(Layer.WRAPPER):
        inner, inner_dot, inner_extension = stem.rpartition(".")
        known = inner_extension.lower() in image_extensions() | _data_extensions()
        if inner_dot and inner and known:
            return Name(inner, inner_extension.lower(), number, numbered, True)
        wrapped = True
    return Name(stem if extension else name, extension, number, numbered, wrapped)


def is_relevant(name: str, bare: Container[str] = ()) -> bool:
    """Whether a file is an image or may be a part of one; without an extension, where its name is one of `bare_parts`.

    Folders are full of other files without an extension. They are not even looked at.
    """
    if name.startswith("."):
        return False
    parsed = parse(name)
    return _is_image(parsed) or (
        parsed.extension in _data_extensions() if parsed.extension else name.casefold() in bare
    )


def bare_parts(names: Iterable[str]) -> frozenset[str]:
    """What parts without an extension are called, case folded, of the descriptors among some names: `x` of `x.toc`."""
    return frozenset(parse(name).stem.casefold() for name in names if parse(name).extension in _describing_bare_parts())


@functools.cache
def _describing_bare_parts() -> frozenset[str]:
    return frozenset(extension for entry in descriptors() if "" in entry.describes for extension in entry.extensions)


def _is_image(parsed: Name) -> bool:
    if parsed.extension in image_extensions():
        return True
    if parsed.wrapped:
        return parsed.extension not in _ANY_FILE
    return parsed.numbered and not parsed.extension


def folder_name(name: str) -> str:
    """What the folder of an image's file is called."""
    return parse(name).stem


def numbered_name(name: str, copy: int) -> str:
    """`name (copy)`, the name cut where it would be too long for a file system."""
    if copy < 2:
        return name
    suffix = f" ({copy})"
    while len((name + suffix).encode("utf-8", "surrogateescape")) > NAME_BYTES:
        name = name[:-1]
    return name + suffix


def sets(names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The images among the files of one folder: the file that stands for each, and its other files; both sorted."""
    bare = bare_parts(names)
    known = sorted(name for name in names if is_relevant(name, bare))
    splits = _splits(known)
    heads = [name for name in known if not parse(name).numbered] + list(splits)
    claims = _claims(heads)
    found: dict[str, list[str]] = {}
    for name in sorted(heads):
        leader = claims.get(name, name)
        if leader != name or _is_image(parse(name)):
            rest = splits.get(name, ())
            found.setdefault(leader, []).extend([*([name] if leader != name else []), *rest])
    return {leader: tuple(sorted(parts)) for leader, parts in sorted(found.items())}


def _splits(names: Iterable[str]) -> dict[str, list[str]]:
    """The first file of each numbered split, and the others; later ones alone are no image."""
    groups: dict[tuple[str, str, bool], list[str]] = {}
    for name in names:
        parsed = parse(name)
        if parsed.numbered:
            groups.setdefault((parsed.stem, parsed.extension, parsed.wrapped), []).append(name)
    ordered = [sorted(group, key=lambda name: parse(name).part) for group in groups.values()]
    return {first: rest for first, *rest in ordered if parse(first).part in (0, 1)}


def _claims(heads: Iterable[str]) -> dict[str, str]:
    """Data file, or lesser descriptor, -> the descriptor that it belongs to."""
    ranked: list[tuple[str, Name, Format]] = []
    for entry in descriptors():
        for name in heads:
            parsed = parse(name)
            if parsed.extension in entry.extensions and not parsed.numbered and not parsed.wrapped:
                ranked.append((name, parsed, entry))
    if not ranked:
        return {}
    by_stem: dict[str, list[tuple[str, Name, Format]]] = {}
    for each in ranked:
        by_stem.setdefault(each[1].stem.casefold(), []).append(each)
    leaders = {name for name, _, _ in ranked}
    claims: dict[str, str] = {}
    for name in heads:
        if name not in leaders:
            parsed = parse(name)
            beside = [*_candidates(parsed, by_stem), *by_stem.get(name.casefold(), ())]
            found = [each for each in beside if _describes(each[2], parsed.extension)]
            if not found and _TRACK_ALONE.fullmatch(parsed.stem):
                found = [each for each in ranked if _describes(each[2], parsed.extension)]
                found = found if len(found) == 1 else []
            if found:
                claims[name] = found[0][0]
                for lesser in found[1:]:
                    if lesser[1].stem.casefold() == found[0][1].stem.casefold() and lesser[0] != found[0][0]:
                        claims.setdefault(lesser[0], found[0][0])
    return {name: claims.get(leader, leader) for name, leader in claims.items()}


def _describes(entry: Format, extension: str) -> bool:
    """Whether descriptors of a format stand beside files with this extension. One like their own tells a numbered part."""
    return extension in entry.describes and extension not in entry.extensions


def _candidates(parsed: Name, by_stem: dict[str, list[tuple[str, Name, Format]]]) -> list[tuple[str, Name, Format]]:
    """The descriptors that have the name of a data file, or what is left of it without a track's number."""
    stem = parsed.stem.casefold()
    found = by_stem.get(stem)
    if found is None and (match := _TRACK.search(stem)):
        found = by_stem.get(stem[: match.start()])
    return found or []
