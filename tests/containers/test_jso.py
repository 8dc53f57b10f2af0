"""JSO, as its readers know it; there is no program to make one."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefs.containers.jso import open_jso, probe
from imagefs.errors import DamagedError, ImageError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader, Reader
from tests.builders.cso import jso
from tests.contract import check_reader

CHANCE = random.Random(4)
BLOCKS = [CHANCE.choice((CHANCE.randbytes(2048), (b"%d-" % number * 2048)[:2048])) for number in range(23)]
CONTENT = b"".join(BLOCKS)


def opened(image: bytes) -> Reader:
    candidate = Candidate(BytesReader(image), "x.jso")
    match = probe(candidate)
    assert match is not None
    assert match.score == 95
    return open_jso(candidate, Options())


def mixed(block: int) -> str:
    return "plain" if block % 5 == 2 else "deflate"


@pytest.mark.parametrize("headers", [False, True])
@pytest.mark.parametrize("block_bytes", [2048, 16384])
@pytest.mark.parametrize("cut", [0, 500])
def test_content(headers: bool, block_bytes: int, cut: int):
    content = CONTENT[: len(CONTENT) - cut]
    how = mixed if not cut else lambda block: "deflate"
    check_reader(opened(jso(content, headers=headers, block_bytes=block_bytes, how=how)), content, block_bytes)


def test_lzo_is_refused_by_name():
    with pytest.raises(UnsupportedError, match="LZO"):
        open_jso(Candidate(BytesReader(jso(CONTENT, method=0))), Options())


@pytest.mark.parametrize(
    ("offset", "data"),
    [(6, b"\0\0"), (6, b"\1\4"), (8, b"\2"), (12, bytes(4)), (12, b"\xff\xff\xff\xff"), (32, b"\x20\0\0\0")],
    ids=["no block size", "odd block size", "block headers", "no size", "huge size", "header size"],
)
def test_refused(offset: int, data: bytes):
    image = bytearray(jso(CONTENT))
    image[offset : offset + len(data)] = data
    with pytest.raises(DamagedError):
        open_jso(Candidate(BytesReader(bytes(image))), Options())


def test_an_unknown_method():
    with pytest.raises(UnsupportedError, match="method 7"):
        open_jso(Candidate(BytesReader(jso(CONTENT, method=7))), Options())


def test_cut_off():
    image = jso(CONTENT, headers=True, how=mixed)
    index = struct.unpack_from("<24I", image, 48)
    reader = opened(image[: index[17] + 6])  # block 17 is plain, and all but 2 bytes of it are gone
    assert reader.pread(0, 17 * 2048) == CONTENT[: 17 * 2048]
    for block in range(17, 23):
        with pytest.raises(DamagedError):
            reader.pread(block * 2048, 1)


def test_no():
    assert probe(Candidate(BytesReader(b"JISO"))) is None
    assert probe(Candidate(BytesReader(b"CISO" + bytes(60)))) is None


@given(flip=st.integers(0, 47 + 24 * 4), value=st.integers(1, 255))
def test_one_byte_of_header_or_index(flip: int, value: int):
    image = bytearray(jso(CONTENT, how=mixed))
    image[flip] ^= value
    candidate = Candidate(BytesReader(bytes(image)))
    try:
        reader = open_jso(candidate, Options()) if probe(candidate) else None
    except ImageError:
        return
    if reader is not None and flip >= 16:
        touched = {(flip - 48) // 4, (flip - 48) // 4 - 1} if flip >= 48 else set()
        # Of two blocks that begin at one place either may be the wrong one.
        touched |= {block + 1 for block in range(22) if len(set(reader.positions(block, 1))) == 1}
        for block in set(range(23)) - touched:
            assert reader.pread(block * 2048, 2048) == BLOCKS[block]
