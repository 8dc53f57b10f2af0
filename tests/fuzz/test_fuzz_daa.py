"""DAA and GBI images that are damaged anywhere: an error of ours or as many bytes as were asked for, soon.

Deflate and LZMA have no checksum here, so that a broken chunk may give other bytes, but never more or fewer.
IMAGEFS_FUZZ_SECONDS makes it last longer than the moment that it takes among the other tests.
"""

import os
import random
import time

import pytest

from imagefs.containers.daa import FORMAT
from imagefs.errors import ImageError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader
from tests.containers.test_daa import KINDS

SECONDS = float(os.environ.get("IMAGEFS_FUZZ_SECONDS", "1")) / 3
SLOWEST_SECONDS = 2.0


def target(data: bytes) -> None:
    begin = time.monotonic()
    candidate = Candidate(BytesReader(data), "disc.daa")
    try:
        reader = FORMAT.open(candidate, Options()) if FORMAT.probe(candidate) else None
        for offset in () if reader is None else (0, reader.size // 2, max(0, reader.size - 5000)):
            assert reader is not None
            assert len(reader.pread(offset, 5000)) == min(5000, reader.size - offset)
    except ImageError:
        pass
    assert time.monotonic() - begin < SLOWEST_SECONDS


@pytest.mark.parametrize("kind", ["0x100", "0x110 of both", "gBurner"])
def test_damaged_anywhere(kind: str) -> None:
    seed, end, number = KINDS[kind], time.monotonic() + SECONDS, 0
    while time.monotonic() < end or number < 100:
        chance, data = random.Random(number), bytearray(seed)
        for _ in range(chance.randrange(1, 5)):
            data[chance.choice((chance.randrange(16, 120), chance.randrange(len(data))))] = chance.randrange(256)
        target(bytes(data[: chance.choice((len(data), chance.randrange(1, len(data))))]))
        number += 1
