"""ISO 9660, the file system of CDs, DVDs and most disc images, with all that grew on it.

sector  what
0-15    system area: boot code, partition tables of hybrid images; not looked at
16-     volume descriptors until type 255                                        descriptors
        path tables: for CD-i, and where a directory is damaged                  paths
        directories                                                              records, entries
        files                                                                    content, zisofs

One volume may describe its files by several trees: Rock Ridge (fields in the system use areas of the primary tree, `susp`),
Joliet and ISO 9660:1999 (trees of their own), and the primary tree's own names (`names`). `volume` chooses one, `filesystem`
shows it, `attributes` and `boot` read what else there is; `sessions` finds the sessions of an image without a table of
contents.

Read: levels 1 to 4; Rock Ridge 1.09 to 1.12 with moved directories, devices, hard links, continuation areas; Joliet 1 to 3;
zisofs 1 and 2; files of several extents and interleaved ones; XAR lengths; El Torito catalogs;
High Sierra and CD-i; logical blocks of 512 and 1024 bytes; images of a later track and with a stored pregap; attributes and
access control lists of AAIP, of Apple and of Amiga systems.
Not read: sparse files of RRIP 1.12 (SF; no writer is known).

Sources: ECMA-119 (4th edition), IEEE P1281 and P1282 1.12, the Joliet specification, El Torito 1.0, documents of libisofs,
and how Linux fs/isofs treats what is not in them.
"""

from collections.abc import Callable, Sequence

from imagefs.filesystems.iso9660.descriptors import (
    CDI_MAGIC,
    HIGH_SIERRA_MAGIC,
    MAGIC,
    SECTOR_BYTES,
    SYSTEM_AREA_SECTORS,
    DescriptorSet,
    is_descriptor,
)
from imagefs.filesystems.iso9660.filesystem import Iso9660
from imagefs.filesystems.iso9660.sessions import find_sessions
from imagefs.filesystems.iso9660.volume import PREGAP_SECTORS, open_session, open_volume
from imagefs.formats import Candidate, Format, Layer, Match, State
from imagefs.options import Options

_PROBED_SECTORS = 3  # a damaged primary descriptor is followed by others
_HEAD_BYTES = 192
_ROOT_EXTENT = slice(158, 166)


def probe(candidate: Candidate) -> Match | None:
    """Volume descriptors where they belong, or behind a stored pregap. Xbox discs have one that says nothing."""
    start = candidate.origin + SYSTEM_AREA_SECTORS * SECTOR_BYTES
    for index in range(_PROBED_SECTORS):
        head = candidate.at(start + index * SECTOR_BYTES, _HEAD_BYTES)
        if head[1:6] == CDI_MAGIC:
            return Match(85, f"CD-I at sector {start // SECTOR_BYTES + index}")
        if is_descriptor(head):
            where = f"at sector {start // SECTOR_BYTES + index}"
            if head[9:14] == HIGH_SIERRA_MAGIC and head[1:6] != MAGIC:
                return Match(85, f"CDROM {where} (High Sierra)")
            if head[0] == 1 and not any(head[_ROOT_EXTENT]):
                return Match(30, f"CD001 {where}, which leads to no directory: a stub")
            return Match(95 if not index else 80, f"CD001 {where}")
    if not candidate.origin:
        start += PREGAP_SECTORS * SECTOR_BYTES
        if is_descriptor(candidate.at(start, _HEAD_BYTES)):
            return Match(70, f"CD001 at sector {start // SECTOR_BYTES}, behind a stored pregap")
    return None


def open_iso9660(candidate: Candidate, options: Options) -> Iso9660:
    """The tree that the options choose. Raises what `open_volume` does."""
    return open_volume(candidate.reader, candidate.origin, options)


def states(candidate: Candidate) -> Sequence[State]:
    """The sessions of an image that has no table of contents, when there are several."""
    found = [] if candidate.origin else find_sessions(candidate.reader)
    if len(found) < 2:
        return []
    return [State(f"session{number}", _opener(candidate, session)) for number, session in enumerate(found, 1)]


def _opener(candidate: Candidate, session: DescriptorSet) -> Callable[[Options], Iso9660]:
    return lambda options: open_session(candidate.reader, candidate.origin, session, options)


FORMAT = Format(
    name="iso9660",
    title="ISO 9660",
    layer=Layer.FILESYSTEM,
    probe=probe,
    open=open_iso9660,
    extensions=("iso",),
    mime=("application/x-iso9660-image", "application/vnd.efi.iso", "application/x-cd-image"),
    trees=("rr", "joliet", "evd", "iso"),
    states=states,
    reads="levels 1 to 4, Rock Ridge, Joliet, ISO 9660:1999, zisofs, multi-session, El Torito, High Sierra, CD-i, ACLs",
)
