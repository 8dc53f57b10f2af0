"""CUE, NRG and raw images out of thin air and out of damaged real ones: an error of ours or a disc, soon, and no other end.

IMAGEFS_FUZZ_SECONDS makes it last longer than the moment that it takes among the other tests.
"""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefs.containers import cue, nrg, raw
from imagefs.disc import Disc
from imagefs.errors import ImageError
from imagefs.formats import Candidate, Format
from imagefs.options import Options
from imagefs.readers import BytesReader
from imagefs.sources import Folder
from tests.builders.sectors import stored, tone, volume
from tests.containers.test_cue import MIXED, TWO_SESSIONS
from tests.containers.test_cue_sheet import PLAIN
from tests.containers.test_nrg import CHUNKS_AT, mixed

SECONDS = float(os.environ.get("IMAGEFS_FUZZ_SECONDS", "1")) / 3
SLOWEST_SECONDS = 2.0
"""An input may not cost more than this, on a machine that others use too."""
WORDS = [line.encode() for line in (MIXED + TWO_SESSIONS + PLAIN).splitlines()] + [
    b"REM HIGH-DENSITY AREA",
    b"INDEX 99 99:59:74",
    b"PREGAP 999999:00:00",
    b"TRACK 99 CDI/2352",
    b'FILE "2.bin" MOTOROLA',
]


def damaged(seed: bytes, first: int, chance: random.Random) -> bytes:
    """`seed` with a few bytes changed, removed or doubled, from byte `first` on."""
    data = bytearray(seed)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(min(first, len(data) - 1), len(data))
        match chance.randrange(4):
            case 0:
                data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 1:
                del data[at : at + chance.randrange(1, 40)]
            case 2:
                data[at:at] = data[at : at + chance.randrange(1, 40)]
            case 3:
                data[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"))
        if not data:
            return b"\0"
    return bytes(data)


def seconds() -> Iterator[random.Random]:
    """A new source of chance for each input, until the time is over; the first hundred are always the same."""
    end = time.monotonic() + SECONDS
    number = 0
    while number < 100 or time.monotonic() < end:
        yield random.Random(number)
        number += 1


def try_open(entry: Format, candidate: Candidate) -> None:
    begin = time.monotonic()
    try:
        if entry.probe(candidate):
            disc = entry.open(candidate, Options())
            assert isinstance(disc, Disc)
            walk(disc)
    except ImageError:
        pass
    assert time.monotonic() - begin < SLOWEST_SECONDS


def walk(disc: Disc) -> None:
    """Read at both ends of everything; a DamagedError is an answer as well."""
    for reader in [disc.raw, disc.space, *(track.user for track in disc.tracks)]:
        for offset in (0, max(0, reader.size - 3000)):
            assert sum(run.length for run in reader.runs(offset, 3000)) == min(3000, reader.size - offset)
            try:
                assert len(reader.pread(offset, 3000)) == min(3000, reader.size - offset)
            except ImageError:
                continue


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("discs")
    whole = stored(volume(40), "MODE1/2352") + tone(50)
    for name in ("disc.bin", "1.bin", "2.bin"):
        (path / name).write_bytes(whole)
    return path


def test_nrg() -> None:
    seeds = [mixed(1), mixed(2)]
    for chance in seconds():
        data = damaged(chance.choice(seeds), CHUNKS_AT, chance)
        try_open(nrg.FORMAT, Candidate(BytesReader(data), "x.nrg"))


def test_raw() -> None:
    seeds = [stored(volume(24), mode) for mode in ("MODE1/2352", "MODE2/2336", "MODE1/2048", "MODE2/2448")]
    for chance in seconds():
        data = damaged(chance.choice(seeds), chance.choice((0, 16 * 2336)), chance)
        try_open(raw.FORMAT, Candidate(BytesReader(data), "x.bin"))


def test_cue(folder: Path) -> None:
    for chance in seconds():
        lines = chance.choices(WORDS, k=chance.randrange(3, 30))
        seed = chance.choice((b"\n".join(lines), MIXED.encode(), TWO_SESSIONS.encode()))
        parts = Folder(str(folder))
        try_open(cue.FORMAT, Candidate(BytesReader(damaged(seed, 0, chance)), "x.cue", parts))
        parts.close()
