"""PBP packages written for tests, field by field."""

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

DATA, AUDIO = 0x41, 0x01
BLOCK = 16 * 2352
PSAR_AT, CONTENT = 0x400, 0x10_0000
TABLE_AT = 0x4000


def _bcd(value: int) -> int:
    return value // 10 << 4 | value % 10


def msf(frames: int) -> bytes:
    """Minutes, seconds and frames in BCD."""
    return bytes(map(_bcd, (frames // 4500, frames // 75 % 60, frames % 75)))


class Entry(NamedTuple):
    """A track: LBAs of index 1 and of index 0. None is what popstation writes, two seconds before index 1."""

    control: int
    point: int
    index1: int
    index0: int | None = None


def contents(entries: Sequence[Entry], lead_out: bytes, *, points: bool = True) -> bytes:
    """The table of contents; `lead_out` as it is to stand there. Without `points`, of tracks alone."""
    heads = [(0xA0, b"\x01\x20\0"), (0xA1, bytes((_bcd(len(entries)), 0, 0))), (0xA2, lead_out)] if points else []
    rows = [struct.pack("<BBB3sB3s", entries[0].control, 0, point, bytes(3), 0, value) for point, value in heads]
    for entry in entries:
        index0 = entry.index1 if entry.index0 is None else entry.index0 + 150
        fields = (entry.control, 0, _bcd(entry.point), msf(index0), 0, msf(entry.index1 + 150))
        rows.append(struct.pack("<BBB3sB3s", *fields))
    return b"".join(rows)


def deflated(block: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    return stream.compress(block) + stream.flush()


def disc(
    sectors: bytes,
    table: bytes | None = None,
    *,
    is_plain: Callable[[int], bool] = lambda block: False,
    content: int = CONTENT,
    game: bytes = b"_SLUS_01234",
    padding: bytes = b"",
    fill_up: bool = True,
) -> bytes:
    """One disc: header, table of contents (one data track unless given), blocks. `padding` follows each block."""
    if table is None:
        table = contents([Entry(DATA, 1, 0)], msf(len(sectors) // 2352))
    rows, body = b"", b""
    for number, at in enumerate(range(0, len(sectors), BLOCK)):
        block = sectors[at : at + BLOCK].ljust(BLOCK if fill_up else 0, b"\0")
        packed = block if is_plain(number) else deflated(block)
        rows += struct.pack("<IH26x", len(body), len(packed))
        body += packed + padding
    head = b"PSISOIMG0000".ljust(0x400, b"\0") + game.ljust(0x400, b"\0") + table.ljust(0x3FC, b"\0")
    head += struct.pack("<I", content)
    return (head.ljust(TABLE_AT, b"\0") + rows).ljust(content, b"\0") + body


def several(discs: Sequence[bytes], *, table: bytes | None = None) -> bytes:
    """DATA.PSAR of several discs; `table` in place of that of their offsets."""
    at, begins, body = 0x8000, [0] * 5, b""
    for number, each in enumerate(discs):
        begins[number] = at if each else 0
        each = each.ljust(-(-len(each) // 0x8000) * 0x8000, b"\0")
        body += each
        at += len(each)
    offsets = struct.pack("<5I", *begins) if table is None else table
    return (b"PSTITLEIMG000000".ljust(0x200, b"\0") + offsets).ljust(0x8000, b"\0") + body


def pbp(psar: bytes, psar_at: int = PSAR_AT) -> bytes:
    """The package: a header, nothing for the other parts, DATA.PSAR."""
    offsets = struct.pack("<8I", 0x28, *[psar_at] * 7)
    return (b"\0PBP" + struct.pack("<I", 0x10000) + offsets).ljust(psar_at, b"\0") + psar
