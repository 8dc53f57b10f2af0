"""DAX. The images are made by the format's description with Python's zlib; no packaged program reads them."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefs.containers.dax import open_dax, probe
from imagefs.errors import DamagedError, ImageError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader, Reader
from tests.builders.dax import FRAME_BYTES, dax
from tests.contract import check_reader

CHANCE = random.Random(6)
FRAMES = [CHANCE.choice((CHANCE.randbytes(8192), (b"%d-" % number * 8192)[:8192])) for number in range(19)]
CONTENT = b"".join(FRAMES)
PLAIN = [(0, 2), (7, 1), (8, 3), (18, 1)]
OFFSETS, LENGTHS, AREAS = 32, 32 + 4 * 19, 32 + 6 * 19


def opened(image: bytes) -> Reader:
    candidate = Candidate(BytesReader(image), "x.dax")
    match = probe(candidate)
    assert match is not None
    assert match.score == 95
    return open_dax(candidate, Options())


def patched(image: bytes, offset: int, data: bytes) -> bytes:
    return image[:offset] + data + image[offset + len(data) :]


@pytest.mark.parametrize("fill_last", [False, True])
@pytest.mark.parametrize("cut", [0, 3000])
@pytest.mark.parametrize(("version", "plain"), [(0, []), (1, []), (1, PLAIN), (1, [(0, 19)])])
def test_content(version: int, plain: list[tuple[int, int]], cut: int, fill_last: bool):
    content = CONTENT[: len(CONTENT) - cut]
    check_reader(opened(dax(content, version=version, plain=plain, fill_last=fill_last)), content, FRAME_BYTES)


def test_frames_that_do_not_lie_in_order():
    """The tables place each frame on its own: here the first two are exchanged."""
    image = dax(CONTENT)
    offsets, lengths = image[OFFSETS : OFFSETS + 8], image[LENGTHS : LENGTHS + 4]
    image = patched(image, OFFSETS, offsets[4:] + offsets[:4])
    image = patched(image, LENGTHS, lengths[2:] + lengths[:2])
    content = FRAMES[1] + FRAMES[0] + CONTENT[2 * FRAME_BYTES :]
    check_reader(opened(image), content, FRAME_BYTES)


def test_areas_may_overlap():
    image = dax(CONTENT, version=1, plain=[(3, 4), (5, 3)])
    assert opened(image).pread(0, len(CONTENT)) == CONTENT


@pytest.mark.parametrize(
    ("offset", "data"),
    [
        (4, bytes(4)),
        (4, b"\xff\xff\xff\xff"),
        (12, b"\xff\xff\xff\xff"),
        (12, struct.pack("<I", 20)),
        (AREAS, struct.pack("<II", 18, 2)),
        (AREAS, struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF)),
    ],
    ids=["no size", "huge size", "huge areas", "more areas than frames", "area past the end", "area far away"],
)
def test_refused(offset: int, data: bytes):
    with pytest.raises(DamagedError):
        open_dax(Candidate(BytesReader(patched(dax(CONTENT, version=1, plain=PLAIN), offset, data))), Options())


@pytest.mark.parametrize("length", [10, 31, 50, LENGTHS + 3, AREAS + 5])
def test_tables_that_are_cut_off(length: int):
    with pytest.raises(DamagedError):
        open_dax(Candidate(BytesReader(dax(CONTENT, version=1, plain=PLAIN)[:length])), Options())


def test_version_2():
    with pytest.raises(UnsupportedError, match="DAX version 2"):
        open_dax(Candidate(BytesReader(dax(CONTENT, version=2))), Options())


def test_cut_off():
    image = dax(CONTENT, version=1, plain=PLAIN)
    (at,) = struct.unpack_from("<I", image, OFFSETS + 4 * 12)
    reader = opened(image[: at + 5])
    assert reader.pread(0, 12 * FRAME_BYTES) == CONTENT[: 12 * FRAME_BYTES]
    for frame in range(12, 19):
        with pytest.raises(DamagedError):
            reader.pread(frame * FRAME_BYTES, 1)


@given(flip=st.integers(AREAS, len(dax(CONTENT)) - 1), value=st.integers(1, 255))
def test_one_byte_of_a_frame(flip: int, value: int):
    """zlib streams have a checksum: an error, or the same bytes."""
    image = dax(CONTENT)
    offsets = struct.unpack_from("<19I", image, OFFSETS)
    hit = max(number for number in range(19) if offsets[number] <= flip)
    reader = opened(patched(image, flip, bytes([image[flip] ^ value])))
    for number, frame in enumerate(FRAMES):
        try:
            assert reader.pread(number * FRAME_BYTES, FRAME_BYTES) == frame
        except DamagedError:
            assert number == hit


@given(flip=st.integers(0, AREAS + 4 * 8 - 1), value=st.integers(1, 255))
def test_one_byte_of_the_tables(flip: int, value: int):
    """An error, or the same bytes: a frame's checksum fails where its place is wrong. Plain frames have none."""
    image = dax(CONTENT, version=1, plain=PLAIN)
    candidate = Candidate(BytesReader(patched(image, flip, bytes([image[flip] ^ value]))))
    try:
        reader = open_dax(candidate, Options()) if probe(candidate) else None
    except ImageError:
        return
    inside = {frame for first, count in PLAIN for frame in range(first, first + count)}
    for number, frame in enumerate(FRAMES):
        if reader is not None and flip >= OFFSETS and flip < AREAS and number not in inside:
            try:
                assert reader.pread(number * FRAME_BYTES, FRAME_BYTES) == frame
            except DamagedError:
                continue
