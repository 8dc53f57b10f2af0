"""BlindWrite descriptors written for tests, field by field."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

AUDIO, MODE1, MODE2, FORM1, FORM2, DVD = range(1, 7)


class Block(NamedTuple):
    """A data block: `sectors` of `sector_bytes` from LBA `first` on, at byte `offset` of the file `name`."""

    name: str
    first: int
    sectors: int
    sector_bytes: int
    offset: int = 0


class Entry(NamedTuple):
    """A track: `start` and `sectors` are with the pregap."""

    point: int
    type: int
    start: int
    sectors: int
    pregap: int = 0
    control: int = 4


def b6t(
    sessions: Sequence[Sequence[Entry]],
    blocks: Sequence[Block],
    profile: int = 8,
    catalog: bytes = b"",
    cdtext: bytes = b"",
) -> bytes:
    """The whole descriptor. Every session begins with an entry that is no track, all the skipped parts hold something."""
    is_cd = profile in (8, 9, 10)
    packs = b"\0\x2a\0\0" + cdtext if cdtext else b""
    skipped = {"page": b"2A" * 9, "unknown": bytes(4), "pma": b"PMA", "atip": b"ATIP", "bca": b"", "info": b"i" * 56}
    bca = b"BCA" if not is_cd else b""
    disc = struct.pack(
        "<8I2H3I?13s18xHHHHI12xII",
        *(2, 2, 6, 0, 0, 0, 0, 0),
        *(profile, len(sessions), 2, 0, 0, bool(catalog), catalog),
        *(len(skipped["pma"]), len(skipped["atip"]), len(packs), 56 if is_cd else 9, len(bca), 0, 9 if is_cd else 56),
    )
    data, tracks = _blocks(blocks), b"".join(_session(number, each) for number, each in enumerate(sessions, 1))
    lengths = struct.pack("<5I", len(skipped["page"]), len(skipped["unknown"]), len(data), len(tracks), 3)
    parts = [
        b"BWT5 STREAM SIGN", disc, b"j" * 32, b"VENDOR  PRODUCT         REV1".ljust(48), b"VOLUME".ljust(32), lengths,
        skipped["page"], skipped["unknown"], skipped["pma"], skipped["atip"], packs, bca, skipped["info"],
        data, tracks, b"DPM",
    ]  # fmt: skip
    whole = b"".join(parts)
    return whole + struct.pack("<I", len(whole) + 20) + b"BWT5 STREAM FOOT"


def _blocks(blocks: Sequence[Block]) -> bytes:
    path = "C:\\Images\\".encode("utf-16-le")
    rows = [struct.pack("<II", len(blocks), len(path)) + path]
    for block in blocks:
        name = block.name.encode("utf-16-le")
        size = block.sectors * block.sector_bytes
        fields = (0, size, 0, 0, 0, 0, block.offset, 0, 0, 0, block.first, block.sectors, len(name))
        rows.append(struct.pack("<10IiiI", *fields) + name + bytes(4))
    return b"".join(rows)


def _session(number: int, entries: Sequence[Entry]) -> bytes:
    start, end = entries[0].start, entries[-1].start + entries[-1].sectors
    head = struct.pack("<HBBiiHH", number, len(entries) + 1, 3, start, end, entries[0].point, entries[-1].point)
    return head + _entry(Entry(0xA0, 0, 0, 0)) + b"".join(map(_entry, entries))


def _entry(entry: Entry) -> bytes:
    is_disc = entry.type in (0, DVD)
    frames = 0 if is_disc else entry.start + entry.pregap + 150
    raw = struct.pack(
        "<BBBBIBBBBBBBBBBBBBBI16xii8xIH",
        *(entry.type, 0, 0, 0, 0, 0, 0, entry.control, 1, entry.point, 0, 0, 0, 0, 0),
        *(frames // 4500 & 0xFF, frames // 75 % 60, frames % 75, 1, entry.pregap, entry.start, entry.sectors, 1, 0),
    )
    return raw + (b"" if is_disc else b"8 bytes!")
