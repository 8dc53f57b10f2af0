"""CHD, the "Compressed Hunks of Data" of MAME: CDs, GD-ROMs, DVDs, hard disks and anything else, in versions 1 to 5.

The content is cut into hunks of equal size. `header` says how large it is, `maps` where each hunk lies, `packing` how it is
packed (with `huffman` and `flac`), `metadata` what the content is. `hunks` makes a reader of it, `disc` a disc, where it is
one; all else is shown as the bytes that it is.

A hunk may be the same as one of another file, the parent. It is named by its SHA-1 (by its MD5 in old files) and is looked
for among the .chd files beside this one; a parent may have a parent.

Every hunk of version 3 to 5 has a checksum, which is looked at whenever it is decoded: a hunk whose bytes have changed is an
error and never shows other bytes.
Source: chd.h, chd.cpp and cdrom.cpp of MAME; libchdr; chd-rs; DuckStation.
"""

import contextlib
import os

from imagefs import limits
from imagefs.containers.chd.disc import disc_of
from imagefs.containers.chd.header import LENGTHS, MAGIC, Header, read_header
from imagefs.containers.chd.hunks import Parent, content_of
from imagefs.containers.chd.maps import read_map
from imagefs.containers.chd.metadata import GD_TAGS, LASERDISC_TAGS, OLD_TRACKS_TAG, TRACK_TAGS, entries, tracks
from imagefs.disc import Disc
from imagefs.errors import DamagedError, ImageError, MissingPartError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader
from imagefs.sources import Folder, open_source


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(16)
    if not head.startswith(MAGIC):
        return None
    length, version = int.from_bytes(head[8:12], "big"), int.from_bytes(head[12:16], "big")
    if LENGTHS.get(version) == length:
        return Match(100, f"magic and header of a CHD, version {version}")
    return Match(80, f"magic of a CHD, and a header of {length} bytes of version {version}")


def open_chd(candidate: Candidate, options: Options) -> Reader | Disc:
    """The disc, or the content as it is.

    Raises DamagedError, UnsupportedError, MissingPartError that names the parent, OSError.
    """
    base = candidate.reader
    header = read_header(base)
    metadata = entries(base, header.meta_offset)
    tags = {entry.tag for entry in metadata}
    if tags.intersection(LASERDISC_TAGS):
        raise UnsupportedError(
            "it is a CHD of a laserdisc: pictures and sound, no files; `chdman extractld` makes an AVI of it"
        )
    content = _content(base, header, candidate.folder)
    if not tags.intersection((*TRACK_TAGS, OLD_TRACKS_TAG)):
        return content
    is_gd = bool(tags.intersection(GD_TAGS))
    return disc_of(content, tracks(base, metadata), is_gd=is_gd, is_big_endian=b"CHGT" not in tags)


def _content(base: Reader, header: Header, folder: Folder | None, depth: int = 0) -> Reader:
    """The content of the file `base`, with its parents' where it needs them."""
    if depth > limits.PARENTS:
        raise DamagedError(None, f"a CHD with more than {limits.PARENTS} parents, each of the next")
    hunks = read_map(base, header)
    parent = None
    if header.parent:
        other, of_other = _parent(header, folder)
        if of_other.version == 5 and header.version == 5 and of_other.unit_bytes != header.unit_bytes:
            raise DamagedError(60, f"units of {header.unit_bytes} bytes, and its parent has {of_other.unit_bytes}")
        parent = Parent(_content(other, of_other, folder, depth + 1), of_other.hunks * of_other.hunk_bytes)
    return content_of(base, header, hunks, parent)


def _parent(header: Header, folder: Folder | None) -> tuple[Reader, Header]:
    """The parent's file and header. Raises MissingPartError."""
    for name in folder.names()[: limits.DISC_TRACKS] if folder else ():
        if folder and name.lower().endswith(".chd") and _is_named(folder, name, header.parent):
            source = folder.open(name)
            return source, read_header(source)
    sum_name = "SHA-1" if len(header.parent) == 20 else "MD5"
    raise MissingPartError(f"a CHD with the {sum_name} {header.parent.hex()}", [folder.path] if folder else [])


def _is_named(folder: Folder, name: str, wanted: bytes) -> bool:
    """Whether a file in the folder is a CHD that has this SHA-1 or MD5. Those that cannot be read are let be."""
    try:
        found = folder.find(name)
        if found is None:
            return False
        with contextlib.closing(open_source(os.path.join(folder.path, found))) as source:
            return source.pread(0, len(MAGIC)) == MAGIC and wanted in read_header(source).names
    except (ImageError, OSError):
        return False


FORMAT = Format(
    name="chd",
    title="a MAME CHD",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_chd,
    extensions=("chd",),
    mime=("application/x-mame-chd",),
    reads="versions 1 to 5 of CDs, GD-ROMs, DVDs, hard disks and raw content; codecs zlib, lzma, huff, flac, zstd and their "
    "CD forms; parents beside the file",
    lacks="laserdiscs, parents in versions 1 and 2",
)
