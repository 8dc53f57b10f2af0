"""What the bench found: a table on the terminal, build/bench.json, and the README's part."""

import datetime
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

RESULTS = Path("build/bench.json")


class Result(NamedTuple):
    """A row against one peer. Medians over `runs` rounds; `ratio` is the median of the rounds' peer / ours."""

    row: str
    about: str
    ours: float
    peer: float
    peer_name: str
    ratio: float
    unit: str
    runs: int


def result(row: str, about: str, unit: str, peer_name: str, pairs: Sequence[tuple[float, float]]) -> Result:
    """From the rounds' (ours, peer) figures, of which less is better."""
    ours, peer = (median(pair[side] for pair in pairs) for side in (0, 1))
    ratio = median(theirs / mine for mine, theirs in pairs)
    return Result(row, about, round(ours, 4), round(peer, 4), peer_name, round(ratio, 3), unit, len(pairs))


def line(found: Result) -> str:
    """One line of the terminal's table."""
    return (
        f"{found.row:15} {found.ours:10.3f}  {found.peer_name:18} {found.peer:10.3f} {found.unit:5}"
        f" {found.ratio:8.2f}  {found.runs}"
    )


HEADER = f"{'row':15} {'imagefs':>10}  {'peer':18} {'its':>10} {'unit':5} {'ratio':>8}  rounds"


def save(results: Sequence[Result], *, busy: bool = False, keep: bool = False) -> Path:
    """Write build/bench.json (or bench-busy.json): a list of {row, about, ours, peer, peer_name, ratio, unit, runs}.

    With `keep` the rows that are there already stay in their places, but for those that were measured again.
    """
    path = RESULTS.with_stem("bench-busy") if busy else RESULTS
    path.parent.mkdir(exist_ok=True)
    table: dict[str, list[Result]] = {}
    for old in load(path) if keep and path.exists() else []:
        table.setdefault(old.row, []).append(old)
    table |= {name: [found for found in results if found.row == name] for name in dict.fromkeys(r.row for r in results)}
    path.write_text(json.dumps([found._asdict() for rows in table.values() for found in rows], indent=1) + "\n")
    return path


def load(path: Path = RESULTS) -> list[Result]:
    """The results of the last run. Raises FileNotFoundError."""
    return [Result(**entry) for entry in json.loads(path.read_text())]


def machine() -> str:
    """Where and when the results of the last run were measured, in a sentence."""
    when = datetime.datetime.fromtimestamp(RESULTS.stat().st_mtime, datetime.UTC).date()
    return (
        f"Measured on {when.isoformat()} on {os.cpu_count()} cores ({platform.machine()}), Linux {platform.release()},"
        f" Python {platform.python_version()}."
    )


def markdown(results: Sequence[Result]) -> str:
    """The README's table."""
    lines = ["| job | imagefs | peer | its | ratio |", "|---|---:|---|---:|---:|"]
    about = ""
    for found in results:
        label = "" if found.about == about else f"{found.about} (`{found.row}`)"
        about = found.about
        lines.append(
            f"| {label} | {found.ours:.3g} {found.unit} | {found.peer_name} | {found.peer:.3g} {found.unit}"
            f" | {found.ratio:.2f} |"
        )
    rounds = sorted({found.runs for found in results})
    note = f"{machine()} Medians of {' to '.join(map(str, rounds[:1] + rounds[1:][-1:]))} interleaved rounds;"
    return "\n".join([*lines, "", f"{note} a ratio above 1 means that imagefs is better."])
