"""Volume descriptors: what a session's sectors 16 and up say of the volume and where its trees begin.

All begin with 0 type (0 boot record, 1 primary, 2 supplementary, 3 partition, 255 terminator), 1 `CD001`, 6 version.

offset  size  field of types 1 and 2            High Sierra, where it differs (`CDROM` at 9, type at 8)
8       32    system identifier                 16
40      32    volume identifier                 48
80      8     volume space size in blocks, both 88
88      32    escape sequences (type 2)
120     4     volume set size, both             128
124     4     number of this volume, both       132
128     4     logical block size, both          136
132     8     path table size, both             140
140     4     L path table, LE                  148
156     34    root directory record             180
190     128   volume set identifier             214
318     128   publisher                         342
446     128   data preparer                     470
574     128   application                       598
702     37    copyright file                    726 (32)
739     37    abstract file                     758 (32)
776     37    bibliographic file
813     17    creation                          790 (16)
830     17    modification                      806 (16)
847     17    expiration                        822 (16)
864     17    effective                         838 (16)
881     1     file structure version

"both" fields are LE followed by BE; the LE copy counts, the BE one when LE is 0 (a writer that filled in only that).
A CD-i disc has `CD-I `, and of the both-fields the BE halves alone; its path table, not a root record, leads to the root.
Type 2 with the escapes %/@ %/C %/E is Joliet of level 1, 2, 3; with version 2 it is the enhanced descriptor of
ISO 9660:1999.

What is tolerated, since real discs have it: no terminator, no primary, two primaries (the first counts), a wrong file
structure version, a wrong volume space size, a root record whose length or directory flag is wrong. Sources: ECMA-119
(4th edition) 8, the Joliet specification 3, Linux fs/isofs (High Sierra), images of several writers.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.filesystems.iso9660 import dates
from imagefs.readers import Reader

SECTOR_BYTES = 2048
SYSTEM_AREA_SECTORS = 16
MAGIC = b"CD001"
HIGH_SIERRA_MAGIC = b"CDROM"
CDI_MAGIC = b"CD-I "
_OTHER_MAGICS = (b"BEA01", b"NSR02", b"NSR03", b"TEA01", b"BOOT2", b"CDW02")
_BOOT, _PRIMARY, _SUPPLEMENTARY, _TERMINATOR = 0, 1, 2, 255
_JOLIET_LEVELS = {b"%/@": 1, b"%/C": 2, b"%/E": 3}
_EL_TORITO = b"EL TORITO SPECIFICATION"
_BLOCK_SIZES = (512, 1024, 2048)

_TEXTS = {
    # field: (offset, size, High Sierra's offset)
    "system_id": (8, 32, 16),
    "volume_id": (40, 32, 48),
    "volume_set_id": (190, 128, 214),
    "publisher_id": (318, 128, 342),
    "preparer_id": (446, 128, 470),
    "application_id": (574, 128, 598),
    "copyright_file": (702, 37, 726),
    "abstract_file": (739, 37, 758),
    "bibliographic_file": (776, 37, None),
}
_DATES = {"created": (813, 790), "modified": (830, 806), "expires": (847, 822), "effective": (864, 838)}
_LE32, _BE32, _LE16 = struct.Struct("<I"), struct.Struct(">I"), struct.Struct("<H")


def both32(data: bytes, offset: int) -> int:
    """A 32-bit field recorded in both byte orders."""
    return int(_LE32.unpack_from(data, offset)[0] or _BE32.unpack_from(data, offset + 4)[0])


def both16(data: bytes, offset: int) -> int:
    """A 16-bit field recorded in both byte orders."""
    return int.from_bytes(data[offset : offset + 2], "little") or int.from_bytes(data[offset + 2 : offset + 4], "big")


@dataclass(frozen=True)
class Descriptor:
    """A primary or supplementary descriptor. `root_block` is where its root directory is, in blocks of `block_bytes`."""

    raw: bytes = field(repr=False)
    high_sierra: bool
    joliet_level: int
    """1 to 3, 0 when it is no Joliet descriptor."""
    block_bytes: int
    block_bytes_stated: int
    """As recorded; another value than `block_bytes` when that could not be."""
    space_blocks: int
    """Advisory: some writers count one session, some nothing."""
    set_size: int
    set_number: int
    path_table_bytes: int
    root: bytes = field(repr=False)
    """The root directory's record, 34 bytes; its length and name are as they should be, whatever is recorded."""
    is_cdi: bool = False
    """A CD-i disc: big-endian fields alone, and no root record."""

    @property
    def root_block(self) -> int:
        return both32(self.root, 2) + self.root[1]

    @property
    def root_bytes(self) -> int:
        return both32(self.root, 10)

    @property
    def path_tables(self) -> list[tuple[int, str]]:
        """(block, byte order) of the path tables: L, its copy, M, its copy."""
        if self.high_sierra:
            return [(int(_LE32.unpack_from(self.raw, 148)[0]), "<")]
        small = [(int(_LE32.unpack_from(self.raw, at)[0]), "<") for at in (140, 144)]
        return small + [(int(_BE32.unpack_from(self.raw, at)[0]), ">") for at in (148, 152)]

    @property
    def label(self) -> str:
        return self.text(48 if self.high_sierra else 40)

    def text(self, offset: int, size: int = 32) -> str:
        """A text field without its padding: UTF-16 in a Joliet descriptor, else what it seems to be."""
        raw = self.raw[offset : offset + size]
        if self.joliet_level:
            return raw[: size & ~1].decode("utf-16-be", "replace").partition("\0")[0].strip()
        raw = raw.partition(b"\0")[0].strip()
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.decode("latin-1")

    def texts(self) -> Mapping[str, str]:
        """The identifiers that are given, by name."""
        at = 2 if self.high_sierra else 0
        places = {name: (place[at], place[1]) for name, place in _TEXTS.items()}
        found = {name: self.text(where, size) for name, (where, size) in places.items() if where is not None}
        return {name: text for name, text in found.items() if text not in ("", "_")}  # "_": libisofs before 0.6.24

    def stamp(self, name: str) -> bytes:
        """A date as recorded: 17 bytes, in High Sierra 16."""
        at = _DATES[name][self.high_sierra]
        return self.raw[at : at + dates.LONG_BYTES - self.high_sierra]

    def dates(self) -> Mapping[str, str]:
        """The dates that are given, as ISO 8601 text by name."""
        found = {name: dates.iso8601(self.stamp(name)) for name in _DATES}
        return {name: text for name, text in found.items() if text}

    @property
    def uuid(self) -> str | None:
        return dates.uuid_of(self.stamp("modified")) or dates.uuid_of(self.stamp("created"))


@dataclass(frozen=True)
class DescriptorSet:
    """The descriptors of one session, whose sector 0 is `start` (in sectors of 2048 bytes)."""

    start: int
    primary: Descriptor | None
    joliet: Descriptor | None
    enhanced: Descriptor | None
    boot_catalog: int | None
    """Sector of the El Torito catalog."""
    terminated: bool

    @property
    def first(self) -> Descriptor | None:
        """The descriptor that speaks for the volume."""
        return self.primary or self.joliet or self.enhanced


def _descriptor(raw: bytes, *, high_sierra: bool = False, joliet_level: int = 0, is_cdi: bool = False) -> Descriptor:
    shift = 8 if high_sierra else 0
    stated = both16(raw, 128 + shift)
    return Descriptor(
        raw=raw,
        high_sierra=high_sierra,
        joliet_level=joliet_level,
        block_bytes=stated if stated in _BLOCK_SIZES else SECTOR_BYTES,
        block_bytes_stated=stated,
        space_blocks=both32(raw, 80 + shift),
        set_size=both16(raw, 120 + shift),
        set_number=both16(raw, 124 + shift),
        path_table_bytes=both32(raw, 132 + shift),
        root=b"\x22" + (raw[181:212] if high_sierra else raw[157:188]) + b"\1\0",
        is_cdi=is_cdi,
    )


def is_descriptor(sector: bytes) -> bool:
    """Whether a sector is a volume descriptor of ISO 9660, High Sierra or CD-i."""
    return sector[1:6] in (MAGIC, CDI_MAGIC) or sector[9:14] == HIGH_SIERRA_MAGIC


def read_set(reader: Reader, start: int = 0) -> DescriptorSet | None:
    """The descriptor set of the session that begins at sector `start`; None when there is none.

    A set that the reader's end cuts off gives what is there. Raises DamagedError, OSError, BlockingIOError.
    """
    found: dict[str, Descriptor] = {}
    boot_catalog, terminated = None, False
    for sector in range(start + SYSTEM_AREA_SECTORS, start + limits.DESCRIPTOR_SECTORS):
        raw = _sector(reader, sector)
        if not is_descriptor(raw):
            if raw[1:6] in _OTHER_MAGICS or (not found and sector < start + SYSTEM_AREA_SECTORS + 2):
                continue  # a damaged first sector need not be the end of it
            break
        is_cdi = raw[1:6] == CDI_MAGIC
        if raw[1:6] != MAGIC and not is_cdi:
            if raw[8] == _TERMINATOR:
                terminated = True
                break
            if raw[8] == _PRIMARY:
                found.setdefault("primary", _descriptor(raw, high_sierra=True))
        elif raw[0] == _TERMINATOR:
            terminated = True
            break
        elif raw[0] == _PRIMARY:
            found.setdefault("cdi" if is_cdi else "primary", _descriptor(raw, is_cdi=is_cdi))
        elif raw[0] == _SUPPLEMENTARY:
            level = _JOLIET_LEVELS.get(raw[88:91], 0)
            if level:
                found.setdefault("joliet", _descriptor(raw, joliet_level=level))
            elif raw[6] == 2:
                found.setdefault("enhanced", _descriptor(raw))
        elif raw[0] == _BOOT and raw[7:39].startswith(_EL_TORITO):
            boot_catalog = _LE32.unpack_from(raw, 71)[0]
    if not found:
        return None
    primary = found.get("primary") or found.get("cdi")
    return DescriptorSet(start, primary, found.get("joliet"), found.get("enhanced"), boot_catalog, terminated)


def _sector(reader: Reader, sector: int) -> bytes:
    """One sector, empty when the reader does not have it whole."""
    if (sector + 1) * SECTOR_BYTES > reader.size:
        return b""
    try:
        return reader.exactly(sector * SECTOR_BYTES, SECTOR_BYTES)
    except DamagedError:
        return b""
