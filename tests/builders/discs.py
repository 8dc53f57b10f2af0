"""Disc images written for tests: a CUE sheet with its files, and Nero images of both versions; and what cd-info says of one.

Nero images: the data first, then big-endian chunks, then a footer that tells where the first chunk is.
"""

import re
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest


def write_cue(folder: Path, sheet: str | bytes, files: Mapping[str, bytes], name: str = "disc.cue") -> Path:
    """A sheet and the files it names; the path of the sheet."""
    for part, content in files.items():
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_bytes(content)
    (folder / name).write_bytes(sheet if isinstance(sheet, bytes) else sheet.encode())
    return folder / name


def chunk(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">4sI", name, len(content)) + content


def nrg(data: bytes, chunks: Sequence[bytes], version: int = 2) -> bytes:
    """A whole image; the chunk END! and the footer are added."""
    footer = struct.pack(">4sQ", b"NER5", len(data)) if version == 2 else struct.pack(">4sI", b"NERO", len(data))
    return data + b"".join(chunks) + chunk(b"END!") + footer


def _bcd(value: int) -> int:
    return value // 10 << 4 | value % 10


class Cue(NamedTuple):
    """An entry of a table of contents: track (0 lead-in, 0xAA lead-out), index, LBA."""

    track: int
    index: int
    lba: int


def cues(entries: Sequence[Cue], version: int = 2) -> bytes:
    """The chunk CUEX (version 2) or CUES (1)."""
    body = b""
    for track, index, lba in entries:
        frames = lba + 150
        msf = bytes(map(_bcd, (frames // 4500, frames // 75 % 60, frames % 75)))
        place = struct.pack(">i", lba) if version == 2 else b"\0" + msf
        body += bytes((0x41, track if track == 0xAA else _bcd(track), _bcd(index), 0)) + place
    return chunk(b"CUEX" if version == 2 else b"CUES", body)


class Dao(NamedTuple):
    """A track written disc-at-once: three byte offsets in the image."""

    mode: int
    sector_bytes: int
    pregap: int
    start: int
    end: int
    isrc: bytes = b""


def dao(tracks: Sequence[Dao], first: int = 1, version: int = 2, catalog: bytes = b"") -> bytes:
    """The chunk DAOX (version 2) or DAOI (1)."""
    layout = struct.Struct(">12sHBxHQQQ" if version == 2 else ">12sHBxHIII")
    body = b"".join(layout.pack(t.isrc, t.sector_bytes, t.mode, 1, t.pregap, t.start, t.end) for t in tracks)
    length = 22 + len(body)
    head = struct.pack("<I13sxBBBB", length, catalog, 0, 1, first, first + len(tracks) - 1)
    return chunk(b"DAOX" if version == 2 else b"DAOI", head + body)


class Tao(NamedTuple):
    """A track written track-at-once: byte offset and length in the image, LBA."""

    mode: int
    offset: int
    length: int
    lba: int = 0


def tao(tracks: Sequence[Tao], version: int = 2) -> bytes:
    """The chunk ETN2 (version 2), ETNF (1) or TINF (0)."""
    layout = {2: ">QQIIQ", 1: ">IIIII", 0: ">III"}[version]
    name = {2: b"ETN2", 1: b"ETNF", 0: b"TINF"}[version]
    rows = [(t.offset, t.length, t.mode, t.lba, 0)[: 3 if version == 0 else 5] for t in tracks]
    return chunk(name, b"".join(struct.pack(layout, *row) for row in rows))


def sinf(tracks: int) -> bytes:
    return chunk(b"SINF", struct.pack(">I", tracks))


_TRACK = re.compile(r"^\s*(\d+): \d\d:\d\d:\d\d\s+(\d+) (\w+)", re.MULTILINE)


def cd_info_tracks(path: Path) -> list[tuple[int, int, str]]:
    """(number, LBA, "data", "audio" or "leadout") of each track as libcdio's cd-info has them. Skips the test without it."""
    if not shutil.which("cd-info"):
        pytest.skip("cd-info is not installed")
    kind = {".cue": "--cue-file", ".nrg": "--nrg-file"}[path.suffix]
    command = ["cd-info", f"{kind}={path}", "--no-header", "--no-analyze", "--no-device-info", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env={"LC_ALL": "C"})
    return [(int(number), int(lba), kind) for number, lba, kind in _TRACK.findall(done.stdout)]
