"""X-CD-Roast's texts written for tests."""

from collections.abc import Sequence
from typing import NamedTuple

DATA, AUDIO = 0, 1


class Track(NamedTuple):
    """A track of the text."""

    type: int
    name: str
    size: int
    start: int | None = None


def xcdroast(tracks: Sequence[Track], title: str = "The Disc") -> str:
    """NAME.toc."""
    total = sum(track.size for track in tracks)
    blocks = [f'# X-CD-Roast 0.98alpha16 - TOC-File\n\ncdtitle = "{title}"\ncdsize = {total}\ndiscid = "0a0b0c0d"\n']
    for number, track in enumerate(tracks, 1):
        start = "" if track.start is None else f"startsec = {track.start}\n"
        blocks.append(f'track = {number}\ntype = {track.type}\nsize = {track.size}\n{start}file = "{track.name}"\n')
    return "\n".join(blocks)


def xinf(name: str, number: str = "1 of 1", **keys: int | str) -> str:
    """The text beside a track's file."""
    rows = [f"{key} = {value}" if isinstance(value, int) else f'{key} = "{value}"' for key, value in keys.items()]
    return "\n".join(
        ["# X-CD-Roast 0.98alpha16 - Track-Info-File", "", f'file = "{name}"', f"track = {number}", *rows, ""]
    )
