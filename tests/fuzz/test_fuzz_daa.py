"""DAA and GBI images that are damaged anywhere: an error of ours or as many bytes as were asked for, soon.

Deflate and LZMA have no checksum here, so that a broken chunk may give other bytes, but never more or fewer.
IMAGEFS_FUZZ_SECONDS makes it last longer than the moment that it takes among the other tests.
"""

import os
import random
import time
from contextlib import suppress
from pathlib import Path

import pytest

from imagefs.containers.daa import FORMAT
from imagefs.containers.daa.deflate import inflate
from imagefs.errors import ImageError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader
from imagefs.sources import Folder
from tests.builders.daa import with_crc
from tests.builders.deflate import NUMBERINGS, deflate
from tests.containers.test_daa import IMAGE, KINDS, SPLITS, parts_of, write
from tests.fuzz.test_discs import damaged, seconds

SECONDS = float(os.environ.get("IMAGEFS_FUZZ_SECONDS", "1")) / 3
SLOWEST_SECONDS = 2.0


HEADER_BYTES = 76


def target(candidate: Candidate) -> None:
    begin = time.monotonic()
    try:
        reader = FORMAT.open(candidate, Options()) if FORMAT.probe(candidate) else None
        for offset in () if reader is None else (0, reader.size // 2, max(0, reader.size - 5000)):
            assert reader is not None
            assert len(reader.pread(offset, 5000)) == min(5000, reader.size - offset)
    except ImageError:
        pass
    assert time.monotonic() - begin < SLOWEST_SECONDS


def broken(seed: bytes, chance: random.Random) -> bytes:
    """With a few other bytes, perhaps cut. The checksum of the header is put right, so that not all is refused by it."""
    data = bytearray(seed)
    for _ in range(chance.randrange(1, 5)):
        data[chance.choice((chance.randrange(16, 120), chance.randrange(len(data))))] = chance.randrange(256)
    cut = bytes(data[: chance.choice((len(data), chance.randrange(1, len(data))))])
    return with_crc(cut) if len(cut) > HEADER_BYTES and chance.random() < 0.9 else cut


@pytest.mark.parametrize(
    "kind", ["0x100", "0x110 of both", "gBurner", "0x110 with all of these", "gBurner 0x110 with a packed table"]
)
def test_damaged_anywhere(kind: str) -> None:
    seed, end, number = KINDS[kind], time.monotonic() + SECONDS, 0
    while time.monotonic() < end or number < 100:
        target(Candidate(BytesReader(broken(seed, random.Random(number))), "disc.daa"))
        number += 1


def test_damaged_parts(tmp_path: Path) -> None:
    names, seeds = SPLITS["d00"], parts_of()
    for chance in seconds():
        whole = [damaged(part, 0, chance) if chance.random() < 0.3 else part for part in seeds]
        write(tmp_path, names, whole)
        folder = Folder(str(tmp_path))
        candidate = Candidate(folder.open(names[0]), names[0], folder)
        target(candidate)
        try:
            assert FORMAT.parts is not None
            assert set(FORMAT.parts(candidate)) <= set(names[1:])
        except ImageError:
            pass
        folder.close()


def test_damaged_deflate() -> None:
    content = IMAGE[80_000:][:20_000]
    seeds = [(number, deflate(content, numbering, 700)) for number, numbering in enumerate(NUMBERINGS)]
    for chance in seconds():
        numbering, seed = chance.choice(seeds)
        begin = time.monotonic()
        with suppress(ImageError):
            assert len(inflate(damaged(seed, 0, chance), 20_000, numbering, least=0, where=0)) <= 20_000
        assert time.monotonic() - begin < SLOWEST_SECONDS
