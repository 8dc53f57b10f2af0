"""CSO, ZSO, JSO, DAX and zisofs with damage in header, index and blocks: an error of ours or bytes, soon, and no other end.

IMAGEFS_FUZZ_SECONDS makes it last longer than the moment that it takes among the other tests.
"""

import random
import time
from collections.abc import Callable
from functools import partial

from imagefs.containers import cso, dax, jso
from imagefs.errors import ImageError
from imagefs.filesystems.iso9660.zisofs import open_zisofs
from imagefs.formats import Candidate, Format
from imagefs.options import Options
from imagefs.readers import BytesReader, Reader
from tests.builders import cso as build
from tests.builders.dax import dax as build_dax
from tests.builders.zisofs import PACK, zisofs1, zisofs2
from tests.fuzz.test_discs import SLOWEST_SECONDS, damaged, seconds

CHANCE = random.Random(1)
CONTENT = b"".join(CHANCE.choice((bytes(2048), CHANCE.randbytes(2048), b"text" * 512)) for _ in range(30)) + b"end"
HEADS = 200
"""Most damage belongs where the structures are: header and index."""


def mixed(block: int) -> str:
    return ("deflate", "lz4", "plain")[block % 3]


SEEDS: list[tuple[Format, bytes]] = [
    (cso.FORMAT, build.cso(CONTENT)),
    (cso.FORMAT, build.cso(CONTENT, shift=3, how=lambda block: "plain" if block % 4 else "deflate")),
    (cso.FORMAT, build.cso(CONTENT, version=2, shift=1, how=mixed)),
    (cso.FORMAT, build.zso(CONTENT, shift=2)),
    (jso.FORMAT, build.jso(CONTENT, headers=True)),
    (dax.FORMAT, build_dax(CONTENT, version=1, plain=[(2, 2)])),
]


def walk(open_it: Callable[[], Reader | None]) -> None:
    """Read at both ends and across the middle; a DamagedError is an answer as well."""
    begin = time.monotonic()
    try:
        reader = open_it()
    except ImageError:
        reader = None
    for offset in (0, reader.size // 2, max(0, reader.size - 5000)) if reader is not None else ():
        length = min(5000, reader.size - offset)
        assert sum(run.length for run in reader.runs(offset, 5000)) == length
        try:
            assert len(reader.pread(offset, 5000)) == length
        except ImageError:
            continue
    assert time.monotonic() - begin < SLOWEST_SECONDS


def open_container(entry: Format, data: bytes) -> Reader | None:
    candidate = Candidate(BytesReader(data), "x")
    return entry.open(candidate, Options()) if entry.probe(candidate) else None


def test_containers() -> None:
    for chance in seconds():
        entry, seed = chance.choice(SEEDS)
        heads = HEADS if chance.random() < 0.7 else len(seed)
        walk(partial(open_container, entry, damaged(seed[:heads], 0, chance) + seed[heads:]))


def test_zisofs() -> None:
    seeds = [zisofs1(CONTENT), *(zisofs2(CONTENT + bytes(40_000), name, 15) for name in PACK)]
    for chance in seconds():
        stored, entry = chance.choice(seeds)
        walk(partial(open_zisofs, BytesReader(damaged(stored, 0, chance)), entry))
