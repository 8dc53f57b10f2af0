"""CDZ images that are damaged anywhere: an error of ours, a disc or sectors, soon, and no other end.

IMAGEFS_FUZZ_SECONDS makes it last longer than the moment that it takes among the other tests.
"""

import time

from imagefs.containers.cdz import FORMAT
from imagefs.disc import Disc
from imagefs.errors import ImageError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader
from tests.builders.ccd import DATA, Row, ccd
from tests.builders.cdz import cdz
from tests.builders.sectors import stored, volume
from tests.containers.test_cdz import SECTORS, SHEET
from tests.fuzz.test_discs import SLOWEST_SECONDS, damaged, seconds, walk

CCD = ccd([Row(1, 1, DATA, 0, 2)], [40])
SEEDS = [
    *(cdz(SECTORS, SHEET, tool) for tool in (0, 1, 2)),
    cdz(stored(volume(40), "MODE2/2448"), CCD, kind=b"CCD\0", last=1),
    cdz(SECTORS, None),
]
HEADS = 600
"""Most damage belongs where the heads of the chunks are, and the descriptor."""


def target(data: bytes) -> None:
    begin = time.monotonic()
    candidate = Candidate(BytesReader(data), "game.cdz")
    try:
        found = FORMAT.open(candidate, Options()) if FORMAT.probe(candidate) else None
        if isinstance(found, Disc):
            walk(found)
        elif found is not None:
            for offset in (0, found.size // 2, max(0, found.size - 3000)):
                assert len(found.pread(offset, 3000)) == min(3000, found.size - offset)
    except ImageError:
        pass
    assert time.monotonic() - begin < SLOWEST_SECONDS


def test_damaged_anywhere() -> None:
    for chance in seconds():
        seed = chance.choice(SEEDS)
        heads = HEADS if chance.random() < 0.7 else len(seed)
        target(damaged(seed[:heads], 0, chance) + seed[heads:])
