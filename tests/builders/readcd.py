"""What `readcd -clone` writes, for tests: the table of contents, and sectors with their subchannel."""

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tests.builders.subchannel import interleaved, position

DATA, AUDIO = 4, 0


class Row(NamedTuple):
    """A track: session, number, control (4 data), LBA of index 1, sectors of index 0 before it."""

    session: int
    number: int
    control: int
    lba: int
    pregap: int = 0


def _entry(session: int, point: int, control: int, frames: int, adr: int = 1) -> bytes:
    msf = (frames // 4500, frames // 75 % 60, frames % 75)
    return bytes((session, adr << 4 | control, 0, point, 0, 0, 0, 0, *msf))


def toc(rows: Sequence[Row], lead_outs: Sequence[int], end: bytes = b"\x01\0") -> bytes:
    """NAME.toc; `lead_outs` are the LBAs where the sessions end, `end` what stands behind the entries."""
    entries = []
    for session, lead_out in enumerate(lead_outs, 1):
        mine = [row for row in rows if row.session == session]
        entries += [_entry(session, 0xA0, mine[0].control, mine[0].number * 4500)]
        entries += [_entry(session, 0xA1, mine[-1].control, mine[-1].number * 4500)]
        entries += [_entry(session, 0xA2, mine[-1].control, lead_out + 150)]
        entries += [_entry(session, row.number, row.control, row.lba + 150) for row in mine]
        entries += [_entry(session, 0xB0, 4, 9 * 4500, adr=5)]
    body = b"".join(entries)
    return struct.pack(">HBB", 2 + len(body), 1, len(lead_outs)) + body + end


def clone(main: bytes, rows: Sequence[Row], frames: Mapping[int, bytes] | None = None) -> bytes:
    """Sectors of 2448 bytes from LBA 0 on: those of `main`, of 2352 bytes, and P to W; `frames` are other Q by LBA."""
    other, sectors = frames or {}, []
    for at in range(0, len(main), 2352):
        lba = at // 2352
        row = max((each for each in rows if each.lba - each.pregap <= lba), default=rows[0], key=lambda each: each.lba)
        q = position(lba, row.number, int(lba >= row.lba), row.control)
        sectors += [main[at : at + 2352], interleaved(other.get(lba, q))]
    return b"".join(sectors)
