"""The types of images for a desktop's database (shared-mime-info), made from the registry of formats.

A type is named as in `Format.mime`, else `application/x-NAME`. What the database has is left to it; types, extensions and
magic that it lacks are added. An extension of ours weighs 40 where 50 is the rule, so that it stands behind any other claim;
extensions that many programs use (`.bin`) are claimed by magic alone.
Source: the Shared MIME-info Database specification 0.21; what is known is that of shared-mime-info 2.2 to 2.4.
"""

from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from imagefs.formats import Format, Layer, all_formats

NAMESPACE = "http://www.freedesktop.org/standards/shared-mime-info"
GLOB_WEIGHT, MAGIC_PRIORITY = 40, 60

KNOWN: dict[str, tuple[str, ...]] = {
    "adf": ("application/x-amiga-disk-format",),
    "cdi": ("application/x-discjuggler-cd-image",),
    "chd": ("application/x-mame-chd",),
    "cso": ("application/x-compressed-iso",),
    "cue": ("application/x-cue",),
    "dmg": ("application/x-apple-diskimage",),
    "gdi": ("application/x-gd-rom-cue",),
    "img": ("application/x-raw-disk-image", "application/vnd.efi.img"),
    "iso": ("application/x-cd-image", "application/vnd.efi.iso"),
    "qcow": ("application/x-qemu-disk",),
    "qcow2": ("application/x-qemu-disk",),
    "qed": ("application/x-qed-disk",),
    "sqsh": ("application/vnd.squashfs",),
    "swm": ("application/x-ms-wim",),
    "toc": ("application/x-cdrdao-toc",),
    "vdi": ("application/x-vdi-disk",),
    "vhd": ("application/x-vhd-disk",),
    "vhdx": ("application/x-vhdx-disk",),
    "vmdk": ("application/x-vmdk-disk",),
    "wim": ("application/x-ms-wim",),
    # of something else
    "cdr": (),
    "hdf": (),
    "mdx": (),
    "ova": (),
    "raw": (),
    "sub": (),
}
"""Extensions that the database has, with the types it has for them: old name and new where it was changed."""
_KNOWN_TYPES = frozenset(name for names in KNOWN.values() for name in names)
_COMMON = ("001", "bin", "dat", "dd", "disk", "dsk", "flp", "hdd", "ima", "image", "st", "vfd")
"""Extensions that say nothing for themselves."""
_DISC_WRAPPERS = ("ecm", "isz")
"""Codings around a file in which nothing but an image is found; a .gz is not ours to open."""


class Type(NamedTuple):
    """A type, and what the database is to learn of it."""

    name: str
    title: str
    extensions: tuple[str, ...]
    magic: tuple[tuple[int, bytes], ...]


def _images() -> list[Format]:
    return [entry for entry in all_formats() if entry.layer is not Layer.WRAPPER or entry.name in _DISC_WRAPPERS]


def _known_types(entry: Format) -> list[str]:
    return [name for extension in entry.extensions for name in KNOWN.get(extension, ())]


def additions() -> list[Type]:
    """The types of which something is added, in the registry's order; a file system that several formats share is one."""
    found: dict[str, Type] = {}
    for entry in _images():
        extensions = tuple(end for end in entry.extensions if end not in KNOWN and end not in _COMMON)
        name = (entry.mime or (f"application/x-{entry.name}",))[0]
        before = found.get(name, Type(name, _title(entry), (), ()))
        taken = {end for other in found.values() for end in other.extensions}
        extensions = before.extensions + tuple(end for end in extensions if end not in taken)
        if extensions or entry.magic:
            found[name] = before._replace(extensions=extensions, magic=before.magic + entry.magic)
    return list(found.values())


def _title(entry: Format) -> str:
    """The format's title as the name of a type: without its article, with a capital."""
    title = entry.title.removeprefix("a ").removeprefix("an ")
    title += " image" if entry.layer is Layer.FILESYSTEM else ""
    return title[:1].upper() + title[1:]


def types() -> tuple[str, ...]:
    """Every type that imagefs opens: those of the database, by all their names, and those that are added."""
    names = [
        name for entry in _images() for name in (*_known_types(entry), *(entry.mime if _known_types(entry) else ()))
    ]
    return tuple(dict.fromkeys([*names, *(added.name for added in additions())]))


def package() -> bytes:
    """The file for `mime/packages`."""
    root = Element("mime-info", xmlns=NAMESPACE)
    for added in additions():
        element = SubElement(root, "mime-type", type=added.name)
        if added.name not in _KNOWN_TYPES:
            SubElement(element, "comment").text = added.title
            SubElement(element, "generic-icon", name="media-optical")
        if added.magic:
            magic = SubElement(element, "magic", priority=str(MAGIC_PRIORITY))
            for offset, value in added.magic:
                SubElement(magic, "match", type="string", offset=str(offset), value=_escaped(value))
        for extension in added.extensions:
            SubElement(element, "glob", weight=str(GLOB_WEIGHT), pattern=f"*.{extension}")
    indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root) + b"\n"


def _escaped(value: bytes) -> str:
    r"""Bytes as the specification writes them: letters, digits and blanks as they are, the rest as \xNN."""
    return "".join(chr(b) if chr(b).isascii() and (chr(b).isalnum() or b == 0x20) else f"\\x{b:02x}" for b in value)
