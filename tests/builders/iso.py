"""Small ISO 9660 volumes laid by hand, for what no writer makes: each record byte by byte as ECMA-119 and SUSP have it."""

import struct
from collections.abc import Mapping

SECTOR = 2048
TIME = bytes((106, 1, 2, 15, 4, 5, 0))
"""2006-01-02 15:04:05 UTC, as records hold it."""
TIME_NS = 1_136_214_245 * 10**9
DIRECTORY, ASSOCIATED, MORE = 2, 4, 128
ROOT = 20
"""The block of the root directory unless a test says otherwise."""


def both32(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def record(
    name: bytes, block: int, size: int, flags: int = 0, use: bytes = b"", *, xar: int = 0, unit: int = 0, gap: int = 0,
    volume: int = 1, time: bytes = TIME,
) -> bytes:  # fmt: skip
    """A directory record; `use` is its system use area."""
    fixed = bytes((xar,)) + both32(block) + both32(size) + time + bytes((flags, unit, gap)) + both16(volume)
    body = fixed + bytes((len(name),)) + name + bytes(1 - len(name) % 2) + use
    body += bytes((len(body) + 1) % 2)
    return bytes((len(body) + 1,)) + body


def directory(
    own: int, parent: int, *records: bytes, dot: bytes = b"", dotdot: bytes = b"", size: int | None = None
) -> bytes:
    """A directory's sectors: `.` and `..` with their system use areas, then the records, none across a sector."""
    sectors, sector = [], b""
    length = SECTOR * (1 + sum(map(len, records)) // (SECTOR - 300)) if size is None else size
    for each in (record(b"\0", own, length, 2, dot), record(b"\1", parent, SECTOR, 2, dotdot), *records):
        if len(sector) + len(each) > SECTOR:
            sectors.append(sector.ljust(SECTOR, b"\0"))
            sector = b""
        sector += each
    return b"".join([*sectors, sector.ljust(SECTOR, b"\0")]).ljust(length if size is None else 0, b"\0")


def descriptor(
    kind: int, root: int, root_size: int = SECTOR, *, blocks: int = 64, block_bytes: int = SECTOR, label: bytes = b"LABEL",
    escapes: bytes = b"", version: int = 1, volumes: tuple[int, int] = (1, 1),
) -> bytes:  # fmt: skip
    """A primary (1) or supplementary (2) volume descriptor."""
    raw = bytearray(SECTOR)
    raw[0:7] = bytes((kind,)) + b"CD001" + bytes((version,))
    raw[8:72] = b"\0 " * 32 if escapes else b" " * 64
    raw[40 : 40 + len(label)] = label
    raw[80:88] = both32(blocks)
    raw[88 : 88 + len(escapes)] = escapes
    raw[120:128] = both16(volumes[0]) + both16(volumes[1])
    raw[128:132] = both16(block_bytes)
    raw[156:190] = record(b"\0", root, root_size, 2)
    raw[813:881] = b"2006010215040500\0" * 4
    raw[881] = version
    return bytes(raw)


TERMINATOR = b"\xffCD001\1".ljust(SECTOR, b"\0")


def volume(
    contents: Mapping[int, bytes], *descriptors: bytes, blocks: int = 64, block_bytes: int = SECTOR, root: int = ROOT
) -> bytes:
    """An image of `blocks` blocks: descriptors (a primary one unless given), a terminator, and the contents by block."""
    data = bytearray(blocks * block_bytes)
    heads = descriptors or (descriptor(1, root, blocks=blocks, block_bytes=block_bytes),)
    for index, sector in enumerate((*heads, TERMINATOR)):
        data[(16 + index) * SECTOR : (17 + index) * SECTOR] = sector
    for block, content in contents.items():
        data[block * block_bytes : block * block_bytes + len(content)] = content
    return bytes(data)


# --- system use entries ---------------------------------------------------------------------------------------------


def entry(signature: bytes, data: bytes = b"", version: int = 1) -> bytes:
    return signature + bytes((4 + len(data), version)) + data


SP = entry(b"SP", b"\xbe\xef\0")


def px(mode: int, links: int = 1, uid: int = 0, gid: int = 0, serial: int | None = None) -> bytes:
    fields = (mode, links, uid, gid) if serial is None else (mode, links, uid, gid, serial)
    return entry(b"PX", b"".join(map(both32, fields)))


def nm(name: bytes, flags: int = 0) -> bytes:
    return entry(b"NM", bytes((flags,)) + name)


def sl(*components: tuple[int, bytes], flags: int = 0) -> bytes:
    return entry(b"SL", bytes((flags,)) + b"".join(bytes((kind, len(text))) + text for kind, text in components))


def ce(block: int, offset: int, length: int) -> bytes:
    return entry(b"CE", both32(block) + both32(offset) + both32(length))


def rock_ridge(*records: bytes, more: Mapping[int, bytes] | None = None) -> bytes:
    """A volume whose root holds these records and says that it has Rock Ridge."""
    root = directory(ROOT, ROOT, *records, dot=SP + px(0o40755, 2))
    return volume({ROOT: root, **(more or {})})
