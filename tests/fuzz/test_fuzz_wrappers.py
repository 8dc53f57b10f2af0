"""Compressed and wrapped files with damage anywhere: an error of ours or bytes of the image, soon, and no other end.

IMAGEFS_FUZZ_SECONDS makes it last longer than the moment that it takes among the other tests.
"""

import bz2
import gzip
import lzma
import random
from functools import partial

from imagefs.formats import Format
from imagefs.wrappers import bzip2, ecm, gz, isz, lz4frame, macbinary, xz, zst
from tests.builders.isz import isz as build_isz
from tests.fuzz.test_discs import damaged, seconds
from tests.fuzz.test_fuzz_cso import open_container, walk
from tests.wrappers import test_ecm, test_gz, test_lz4frame, test_macbinary, test_zst

CHANCE = random.Random(2)
CONTENT = b"".join(CHANCE.choice((bytes(2048), CHANCE.randbytes(2048), b"text" * 512)) for _ in range(30)) + b"end"
HALF = CONTENT[: len(CONTENT) // 2]

SEEDS: list[tuple[Format, bytes]] = [
    (gz.FORMAT, gzip.compress(CONTENT, mtime=0) + gzip.compress(HALF, mtime=0)),
    (gz.FORMAT, test_gz.bgzf(HALF) + test_gz.bgzf(CONTENT[len(HALF) :])),
    (xz.FORMAT, lzma.compress(CONTENT, preset=0) + bytes(4) + lzma.compress(HALF, preset=0)),
    (bzip2.FORMAT, bz2.compress(CONTENT, 1) + bz2.compress(HALF)),
    (zst.FORMAT, test_zst.compress(CONTENT) + test_zst.compress(HALF, size=False)),
    (zst.FORMAT, test_zst.seekable(CONTENT, 9000, checksums=True)),
    (lz4frame.FORMAT, test_lz4frame.compress(CONTENT) + test_lz4frame.compress(HALF, linked=True, checksums=True)),
    (ecm.FORMAT, test_ecm.PACKED),
    (
        isz.FORMAT,
        build_isz(CONTENT[: 30 * 2048], lambda chunk: ("plain", "zlib", "bzip2", "zeros")[chunk % 4], 4096)[0],
    ),
    (macbinary.FORMAT, test_macbinary.macbinary(CONTENT, b"resources")),
]
HEADS = (isz.FORMAT, macbinary.FORMAT)
"""Formats whose structures lie at the front."""


def test_wrappers() -> None:
    for chance in seconds():
        entry, seed = chance.choice(SEEDS)
        end = chance.random() < 0.4  # indexes and footers lie there
        if end and entry in HEADS:
            data = damaged(seed[:200], 0, chance) + seed[200:]
        else:
            kept = len(seed) - 60 if end else 0
            data = seed[:kept] + damaged(seed[kept:], 0, chance)
        walk(partial(open_container, entry, data))
