"""CloneCD's descriptors written for tests."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

DATA, AUDIO = 4, 0


class Row(NamedTuple):
    """A track: session, number, control (4 data), LBA of index 1, mode, further keys of its section."""

    session: int
    number: int
    control: int
    lba: int
    mode: int
    keys: Mapping[str, str | int] = {}


def _section(name: str, keys: Mapping[str, str | int]) -> str:
    return "\r\n".join((f"[{name}]", *(f"{key}={value}" for key, value in keys.items()), ""))


def _entry(number: int, session: int, point: int, control: int, lba: int) -> str:
    frames = lba + 150
    place = {"PMin": frames // 4500, "PSec": frames // 75 % 60, "PFrame": frames % 75, "PLBA": lba}
    head = {"Session": session, "Point": f"0x{point:02x}", "ADR": "0x01", "Control": f"0x{control:02x}"}
    return _section(f"Entry {number}", head | place)


def ccd(
    rows: Sequence[Row],
    lead_outs: Sequence[int],
    version: int = 3,
    disc: Mapping[str, str | int] | None = None,
    packs: Sequence[bytes] = (),
) -> str:
    """The text; `lead_outs` are the LBAs where the sessions end. Version 2 has no [TRACK] sections."""
    entries: list[tuple[int, int, int, int]] = []
    for session, lead_out in enumerate(lead_outs, 1):
        mine = [row for row in rows if row.session == session]
        entries += [(session, 0xA0, mine[0].control, 4350), (session, 0xA1, 0, 13350), (session, 0xA2, 0, lead_out)]
        entries += [(session, row.number, row.control, row.lba) for row in mine]
    head = {"TocEntries": len(entries), "Sessions": len(lead_outs), "DataTracksScrambled": 0}
    blocks = [_section("CloneCD", {"Version": version}), _section("Disc", head | (disc or {}))]
    if packs:
        keys: dict[str, str | int] = {f"Entry {number}": pack.hex(" ") for number, pack in enumerate(packs)}
        blocks.append(_section("CDText", {"Entries": len(packs)} | keys))
    blocks += [_section(f"Session {number}", {"PreGapMode": 1}) for number in range(1, len(lead_outs) + 1)]
    blocks += [_entry(number, *entry) for number, entry in enumerate(entries)]
    if version > 2:
        blocks += [_section(f"TRACK {r.number}", {"MODE": r.mode, **(r.keys or {"INDEX 1": r.lba})}) for r in rows]
    return "".join(blocks)
