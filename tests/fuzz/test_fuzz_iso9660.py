"""ISO 9660 volumes that are damaged anywhere: an error of ours or a tree with legal names, and no other end.

`target` takes an image's bytes and is all that another fuzzer needs. IMAGEFS_FUZZ_SECONDS makes it last longer than the
moment that it takes among the other tests.
"""

import contextlib
import os
import random
import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagefs.errors import ImageError
from tests.builders.iso import ROOT, SECTOR
from tests.filesystems.iso9660.images import survives
from tests.filesystems.iso9660.test_damage import everything

SECONDS = float(os.environ.get("IMAGEFS_FUZZ_SECONDS", "1"))
SLOWEST_SECONDS = 2.0
SEED = everything()
HEAD = 16 * SECTOR


def target(data: bytes) -> None:
    """Open what may be an image from sector 16 on, and walk it."""
    begin = time.monotonic()
    image = bytes(HEAD) + data
    if image[HEAD + 1 : HEAD + 6] == b"CD001":
        with contextlib.suppress(ImageError):
            survives(image)
    assert time.monotonic() - begin < SLOWEST_SECONDS


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, len(SEED) - HEAD - 1), st.binary(min_size=1, max_size=8)), max_size=12))
def test_changed_places(changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(SEED[HEAD:])
    for at, new in changes:
        data[at : at + len(new)] = new
    target(bytes(data))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=SECTOR))
def test_any_directory(root: bytes) -> None:
    at = ROOT * SECTOR - HEAD
    data = SEED[HEAD:]
    target(data[: at + 120] + root + data[at + 120 + len(root) :])


def test_for_a_while() -> None:
    end, number = time.monotonic() + SECONDS, 0
    busy = [*range(0, 3 * SECTOR, 8), *range(4 * SECTOR, 6 * SECTOR), *range(8 * SECTOR, 14 * SECTOR, 4)]
    while time.monotonic() < end or number < 50:
        chance, data = random.Random(number), bytearray(SEED[HEAD:])
        for _ in range(chance.randrange(1, 30)):
            data[chance.choice(busy)] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        target(bytes(data))
        number += 1
