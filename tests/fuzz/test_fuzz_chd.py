"""CHD with damage in header, metadata, map and hunks: an error of ours, or the right bytes, soon, and no other end.

IMAGEFS_FUZZ_SECONDS makes it last longer than the moment that it takes among the other tests.
"""

import random
import time

from imagefs.containers import chd
from imagefs.disc import Disc
from imagefs.errors import ImageError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader
from tests.builders.chd import Hunk, Meta, chd5, chd12, chd34, whole
from tests.builders.sectors import stored, tone, volume
from tests.fuzz.test_discs import SLOWEST_SECONDS, damaged, seconds
from tests.fuzz.test_discs import walk as walk_disc

CHANCE = random.Random(2)
CONTENT = b"".join(CHANCE.choice((bytes(4096), CHANCE.randbytes(4096), b"text" * 1024)) for _ in range(20))
NONE = [bytes(4)] * 3
SAME = [Hunk(0, CONTENT[:4096]), Hunk(5, number=0), *[Hunk(9)] * 40, Hunk(10), Hunk(4, CONTENT[:4096])]


def cd() -> bytes:
    """Two tracks, with runs in the map and hunks that are the same."""
    sectors = stored(volume(40), "MODE1/2352") + tone(24)
    frames = b"".join(sectors[at : at + 2352] + bytes(96) for at in range(0, len(sectors), 2352))
    lines = (
        b"TRACK:1 TYPE:MODE1_RAW SUBTYPE:NONE FRAMES:40",
        b"TRACK:2 TYPE:AUDIO SUBTYPE:NONE FRAMES:24 PREGAP:5 PGTYPE:V",
    )
    meta = [Meta(b"CHT2", line + b"\0") for line in lines]
    hunks = whole(frames, 19584, b"cdzl")
    return chd5(frames, hunks, [b"cdzl", *NONE], hunk_bytes=19584, unit_bytes=2448, meta=meta)


SEEDS = [
    chd5(CONTENT, whole(CONTENT), [b"zlib", *NONE], meta=[Meta(b"DVD ", b"\0")]),
    chd5(CONTENT, whole(CONTENT, name=b"lzma"), [b"lzma", *NONE]),
    chd5(CONTENT, whole(CONTENT, name=b"zstd"), [b"zstd", b"huff", b"flac", b"lzma"]),
    chd5(bytes(4096 * len(SAME)), SAME, [b"zlib", *NONE]),
    cd(),
    chd34(3, CONTENT, [1] * 20),
    chd34(4, CONTENT, [1, 2, 3, 4] * 5, numbers={number: number // 2 for number in range(20)}),
    chd12(2, CONTENT, (2, 4, 10), 1024),
]
HEADS = 200


def damage(seed: bytes, chance: random.Random) -> bytes:
    """Most of it where the structures are: the header with the metadata, and the map at the end."""
    match chance.randrange(3):
        case 0:
            return damaged(seed[:HEADS], 0, chance) + seed[HEADS:]
        case 1:
            return seed[:-HEADS] + damaged(seed[-HEADS:], 0, chance)
    return damaged(seed, 0, chance)


def walk(data: bytes) -> None:
    """Read at both ends and across the middle; an error of ours is an answer as well."""
    candidate = Candidate(BytesReader(data), "x.chd")
    try:
        content = chd.open_chd(candidate, Options()) if chd.probe(candidate) else None
    except ImageError:
        return
    if isinstance(content, Disc):
        walk_disc(content)
        return
    for offset in (0, content.size // 2, max(0, content.size - 9000)) if content is not None else ():
        length = min(9000, content.size - offset)
        assert sum(run.length for run in content.runs(offset, 9000)) == length
        try:
            assert len(content.pread(offset, 9000)) == length
        except ImageError:
            continue


def test_chd() -> None:
    for chance in seconds():
        data = damage(chance.choice(SEEDS), chance)
        begin = time.monotonic()
        walk(data)
        assert time.monotonic() - begin < SLOWEST_SECONDS
