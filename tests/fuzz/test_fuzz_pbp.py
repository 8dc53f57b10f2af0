"""PBP packages that are damaged anywhere: an error of ours or a disc, soon, and no other end.

IMAGEFS_FUZZ_SECONDS makes it last longer than the moment that it takes among the other tests.
"""

import random

from imagefs.containers.pbp import FORMAT
from imagefs.formats import Candidate
from imagefs.readers import BytesReader
from tests.builders.pbp import PSAR_AT, disc, pbp, several
from tests.builders.sectors import stored, volume
from tests.fuzz.test_discs import seconds, try_open

SECTORS = stored(volume(40), "MODE2/2352")
CONTENT = 0x5000
"""The blocks begin early, so that the packages are small."""
SEEDS = [
    pbp(disc(SECTORS, content=CONTENT)),
    pbp(disc(SECTORS, content=CONTENT, is_plain=lambda block: block == 1)),
    pbp(several([disc(SECTORS, content=CONTENT), disc(SECTORS[: 20 * 2352], content=CONTENT)])),
]
STRUCTURES = (
    # (first byte, bytes) of what damage belongs to
    (4, 36),
    (PSAR_AT, 16),
    (PSAR_AT + 0x200, 20),
    (PSAR_AT + 0x800, 60),
    (PSAR_AT + 0xBFC, 4),
    (PSAR_AT + 0x4000, 96),
    (PSAR_AT + 0x8000 + 0x800, 60),
    (PSAR_AT + 0x8000 + 0x4000, 96),
)


def broken(seed: bytes, chance: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(chance.randrange(1, 6)):
        first, length = chance.choice((*STRUCTURES, (0, len(data))))
        at = (first + chance.randrange(length)) % len(data)
        data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return bytes(data[: chance.choice((len(data), len(data), chance.randrange(1, len(data))))])


def test_damaged_anywhere() -> None:
    for chance in seconds():
        try_open(FORMAT, Candidate(BytesReader(broken(chance.choice(SEEDS), chance)), "EBOOT.PBP"))
