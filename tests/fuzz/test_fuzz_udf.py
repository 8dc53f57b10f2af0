"""UDF volumes that are damaged anywhere: an error of ours or a tree with legal names, and no other end.

`target` takes an image's bytes and is all that another fuzzer needs. IMAGEFS_FUZZ_SECONDS makes it last longer than the
moment that it takes among the other tests.
"""

import contextlib
import os
import random
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagefs.errors import ImageError
from imagefs.filesystems.udf import FORMAT
from imagefs.formats import Candidate
from imagefs.readers import BytesReader
from tests.builders import udf
from tests.builders.udf import EMBEDDED, ROOT, Builder
from tests.filesystems.udf.images import survives

SECONDS = float(os.environ.get("IMAGEFS_FUZZ_SECONDS", "1"))
SLOWEST_SECONDS = 2.0
KINDS = ("physical", "sparable", "virtual", "metadata")


def everything(kind: str) -> bytes:
    """A small volume with a bit of all that can be in one, in blocks of 512 bytes."""
    made = Builder(kind, 512, 0x0250 if kind == "metadata" else 0x0201, extended=True)
    value = made.file(b"v", EMBEDDED)
    streams = made.directory([("stream", value)], kind=13, embedded=True)
    first = made.put(b"abc" * 1000)
    ads = udf.long_ad(512, first) + udf.long_ad(700, 0, 0, udf.HOLE) + udf.long_ad(512, first + 3)
    chain = made.block()
    more = udf.long_ad(1024, first + 1)
    made.blocks[chain] = udf.tagged(258, chain, b"\0" * 4 + bytes((len(more), 0, 0, 0)) + more)
    sparse = made.add(udf.FILE, 2748, ads + udf.long_ad(512, chain, made.reference, udf.NEXT), udf.LONG)
    sub = made.directory([("link", made.link((3, ""), (5, "x"))), ("日本", made.file(b"x" * 600))])
    disk = made.add(udf.BLOCK_DEVICE, 0, b"", attributes=udf.device_attributes(8, 1), extended=False)
    once = made.file(b"once", EMBEDDED, strategy=4096)
    newer = made.block()
    made.blocks[newer] = udf.tagged(259, newer, bytes(20) + udf.long_ad(512, value, made.reference))
    file = made.file(b"e", EMBEDDED, streams=udf.long_ad(512, streams, made.reference))
    made.directory([("file", file), ("sparse", sparse), ("sub", sub), ("disk", disk), ("once", once)], block=ROOT)
    return made.image()


SEEDS = {kind: everything(kind) for kind in KINDS}


def target(data: bytes) -> None:
    """Open what may be an image, and walk it."""
    begin = time.monotonic()
    with contextlib.suppress(ImageError):
        if FORMAT.probe(Candidate(BytesReader(data))) is not None:
            survives(data)
    assert time.monotonic() - begin < SLOWEST_SECONDS


def busy(image: bytes) -> list[int]:
    """The bytes that say anything."""
    return [at for at, byte in enumerate(image) if byte]


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_image_is_sound(kind: str) -> None:
    assert survives(SEEDS[kind])


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(KINDS), st.lists(st.tuples(st.integers(0, 1 << 30), st.binary(min_size=1, max_size=8)), max_size=12)
)
def test_changed_places(kind: str, changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(SEEDS[kind])
    places = busy(SEEDS[kind])
    for at, new in changes:
        place = places[at % len(places)]
        data[place : place + len(new)] = new
    target(bytes(data))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=290), st.integers(0, 1 << 40))
def test_any_directory(content: bytes, size: int) -> None:
    made = Builder(block_bytes=512)
    made.add(udf.DIRECTORY, size, content, block=ROOT)
    target(made.image())


@pytest.mark.parametrize("kind", KINDS)
def test_cut_off_anywhere(kind: str) -> None:
    whole = SEEDS[kind]
    for length in range(0, len(whole), 512 * 7):
        target(whole[:length])


def test_for_a_while() -> None:
    end, number = time.monotonic() + SECONDS, 0
    places = {kind: busy(image) for kind, image in SEEDS.items()}
    while time.monotonic() < end or number < 50:
        chance = random.Random(number)
        kind = chance.choice(KINDS)
        data = bytearray(SEEDS[kind])
        for _ in range(chance.randrange(1, 30)):
            at = chance.choice(places[kind])
            data[at] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
            block = at // 512 * 512
            if chance.random() < 0.8 and data[block : block + 2] != b"\0\0":  # past the checksum
                data[block + 4] = sum(data[block : block + 4] + data[block + 5 : block + 16]) & 0xFF
        target(bytes(data))
        number += 1
