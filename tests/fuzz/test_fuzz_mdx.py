"""MDX images whose descriptor was damaged before it was encrypted, and whose sectors are: an error of ours or a disc, soon.

The images that were damaged afterwards are among the other descriptors: hardly one of them can be decrypted.
IMAGEFS_FUZZ_SECONDS makes it last longer than the moment that it takes among the other tests.
"""

import pytest

from imagefs.containers.mdx import FORMAT
from imagefs.formats import Candidate
from imagefs.readers import BytesReader
from tests.builders.mdx import SECTORS_AT, made, sealed
from tests.containers.test_mdx import DISC, packed
from tests.fuzz.test_discs import damaged, seconds, try_open

SEEDS = {
    "plain": made(DISC, one_file=True),
    "packed": made(packed(DISC), one_file=True),
    "encrypted": made(packed(DISC, 3), one_file=True, encrypted=True),
}


@pytest.mark.parametrize("kind", SEEDS)
def test_damaged_before_it_was_encrypted(kind: str) -> None:
    seed = SEEDS[kind]
    sectors = seed.file[SECTORS_AT : int.from_bytes(seed.file[48:56], "little")]
    for chance in seconds():
        descriptor = damaged(seed.descriptor, 18, chance)
        content = damaged(sectors, 0, chance) if chance.randrange(2) else sectors
        try_open(FORMAT, Candidate(BytesReader(sealed(descriptor, content)), "disc.mdx"))
