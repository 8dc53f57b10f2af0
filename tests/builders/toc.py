"""cdrdao's TOC files written for tests."""

from collections.abc import Sequence
from typing import NamedTuple


class Statements(NamedTuple):
    """A track: its mode, and its statements, one to a line."""

    mode: str
    lines: Sequence[str]


def toc(tracks: Sequence[Statements], kind: str = "CD_ROM", head: Sequence[str] = ()) -> str:
    """The text."""
    blocks = ["\n".join((kind, *head))]
    blocks += ["\n".join((f"TRACK {track.mode}", *track.lines)) for track in tracks]
    return "\n\n".join(blocks) + "\n"


def time(frames: int) -> str:
    """Sectors as mm:ss:ff."""
    return f"{frames // 4500:02}:{frames // 75 % 60:02}:{frames % 75:02}"


def swapped(samples: bytes) -> bytes:
    """16-bit samples in the other byte order."""
    return bytes(byte for pair in zip(samples[1::2], samples[::2], strict=True) for byte in pair)
